//! Why connections end, and the one line each leaves in the log.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use rt::time::now;
use thiserror::Error;

use super::ConnectionInfo;
use crate::frame::FrameError;
use crate::header::HeaderError;

/// How many connections that broke a rule may say so aloud in one span.
const WARNINGS: u32 = 20;

/// The span.
const WARNING_SPAN: Duration = Duration::from_secs(10);

/// Why a connection ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Closed {
    /// The peer ended it, between two requests.
    #[error("the peer closed it")]
    Peer,
    /// Nothing happened on it for too long.
    #[error("idle for {} s", .after.as_secs_f32())]
    Idle {
        /// The limit.
        after: Duration,
    },
    /// The broker is shutting down.
    #[error("the broker is shutting down")]
    Shutdown,
    /// The requests themselves: sizes, speed, or a failed read.
    #[error("{0}")]
    Frame(FrameError),
    /// A request without a header that can be read.
    #[error("{0}")]
    Header(HeaderError),
    /// A handler closed it, and says why.
    #[error("{0}")]
    Handler(String),
    /// A handler gave up a request without an answer.
    #[error("a request got no answer: its handler dropped it; this is a bug, please report it")]
    Abandoned,
    /// An answer could not be written.
    #[error("an answer could not be written: {0}")]
    Write(io::Error),
    /// The peer did not read.
    #[error("the peer took nothing of an answer for {} s", .after.as_secs_f32())]
    NotRead {
        /// The limit.
        after: Duration,
    },
    /// Requests were not finished in time for a shutdown.
    #[error("the broker is shutting down; {unanswered} requests were not finished in {} s", .after.as_secs_f32())]
    DrainOver {
        /// How many.
        unanswered: usize,
        /// The limit.
        after: Duration,
    },
}

impl Closed {
    /// Whether someone ought to know: a peer broke a rule, or a handler failed.
    pub fn is_violation(&self) -> bool {
        match self {
            Self::Frame(error) => error.is_violation(),
            Self::Header(_) | Self::Handler(_) | Self::Abandoned | Self::DrainOver { .. } => true,
            _ => false,
        }
    }

    /// Whether this side ends it while the peer may still be sending.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Frame(error) => error.is_violation(),
            Self::Shutdown
            | Self::Header(_)
            | Self::Handler(_)
            | Self::Abandoned
            | Self::DrainOver { .. } => true,
            _ => false,
        }
    }

    pub(super) fn log(&self, connection: &ConnectionInfo, requests: u64) {
        let (id, peer) = (connection.id, connection.peer);
        if !self.is_violation() {
            tracing::debug!(connection = id, %peer, requests, "connection closed: {self}");
            return;
        }
        match WARNED.with(|warned| warned.admit(now())) {
            Some(0) => {
                tracing::warn!(connection = id, %peer, requests, "connection closed: {self}");
            }
            Some(unsaid) => {
                tracing::warn!(
                    connection = id, %peer, requests, unsaid,
                    "connection closed: {self} (and others before it, not logged)"
                );
            }
            None => {
                tracing::debug!(connection = id, %peer, requests, "connection closed: {self}");
            }
        }
    }
}

thread_local! {
    static WARNED: Warned = const { Warned::new() };
}

/// How often this thread has warned lately. Whoever connects again and again to send
/// garbage must not fill the disk with it.
struct Warned {
    since: Cell<Option<Instant>>,
    count: Cell<u32>,
    unsaid: Cell<u64>,
}

impl Warned {
    const fn new() -> Self {
        Self {
            since: Cell::new(None),
            count: Cell::new(0),
            unsaid: Cell::new(0),
        }
    }

    /// Whether to warn now, and how many warnings were left out before.
    fn admit(&self, now: Instant) -> Option<u64> {
        let fresh = self
            .since
            .get()
            .is_none_or(|since| now.saturating_duration_since(since) >= WARNING_SPAN);
        if fresh {
            self.since.set(Some(now));
            self.count.set(0);
        }
        if self.count.get() >= WARNINGS {
            self.unsaid.set(self.unsaid.get() + 1);
            return None;
        }
        self.count.set(self.count.get() + 1);
        Some(self.unsaid.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_few_and_what_was_left_out_is_counted() {
        let warned = Warned::new();
        let start = Instant::now();
        for _ in 0..WARNINGS {
            assert_eq!(warned.admit(start), Some(0));
        }
        assert_eq!(warned.admit(start), None);
        assert_eq!(warned.admit(start + WARNING_SPAN / 2), None);
        assert_eq!(warned.admit(start + WARNING_SPAN), Some(2));
        assert_eq!(warned.admit(start + WARNING_SPAN), Some(0));
    }
}
