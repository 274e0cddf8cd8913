//! What the workers of one phase share: when it begins, from when on it counts, when it ends, and how far
//! it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number of one worker on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lonely(AtomicU64);

/// One worker's progress, which others may look at.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Lonely>);

impl Progress {
    /// How far it is.
    pub fn get(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Says how far it is.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.0.store(value, Ordering::Relaxed);
    }
}

/// Times are nanoseconds since 1970; a time not known yet is `u64::MAX`.
#[derive(Debug)]
struct Shared {
    start: AtomicU64,
    zero: AtomicU64,
    end: AtomicU64,
    left: AtomicU64,
    zero_at_ready: bool,
    count_stored: bool,
}

/// Shared by the workers of a phase and the engine.
#[derive(Debug, Clone)]
pub struct Plan(Arc<Shared>);

/// A time that is not known yet.
pub const UNKNOWN: u64 = u64::MAX;

impl Plan {
    /// A phase whose time begins with [`Self::begin`].
    pub fn new() -> Self {
        Self::made(false, false)
    }

    /// A phase in which consumers count everything they read, whenever it was sent. With `zero_at_ready`
    /// time begins when the first consumer is ready.
    pub fn of_stored(zero_at_ready: bool) -> Self {
        Self::made(zero_at_ready, true)
    }

    fn made(zero_at_ready: bool, count_stored: bool) -> Self {
        Self(Arc::new(Shared {
            start: AtomicU64::new(UNKNOWN),
            zero: AtomicU64::new(UNKNOWN),
            end: AtomicU64::new(UNKNOWN),
            left: AtomicU64::new(UNKNOWN),
            zero_at_ready,
            count_stored,
        }))
    }

    /// Lets producers begin: at `start`, counted what is due from `zero` on, before `end` and at most `records`.
    pub fn begin(&self, start: u64, zero: u64, end: Option<u64>, records: Option<u64>) {
        self.0
            .left
            .store(records.unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.0.end.store(end.unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.0.zero.store(zero, Ordering::Relaxed);
        self.0.start.store(start, Ordering::Release);
    }

    /// When producers begin.
    pub fn start(&self) -> u64 {
        self.0.start.load(Ordering::Acquire)
    }

    /// From when on it counts.
    #[inline]
    pub fn zero(&self) -> u64 {
        self.0.zero.load(Ordering::Relaxed)
    }

    /// When no more is due.
    pub fn end(&self) -> u64 {
        self.0.end.load(Ordering::Relaxed)
    }

    /// Whether consumers count what was sent before.
    pub fn count_stored(&self) -> bool {
        self.0.count_stored
    }

    /// A consumer is ready.
    pub fn ready(&self, now_ns: u64) {
        if self.0.zero_at_ready {
            let _ =
                self.0
                    .zero
                    .compare_exchange(UNKNOWN, now_ns, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Where time begins when the first consumer is ready: in another process one was, at this time.
    pub fn zero_no_later(&self, zero_ns: u64) {
        if self.0.zero_at_ready {
            self.0.zero.fetch_min(zero_ns, Ordering::Relaxed);
        }
    }

    /// Takes up to `wanted` of the records that are still to be sent by all.
    pub fn claim(&self, wanted: u64) -> u64 {
        if self.0.left.load(Ordering::Relaxed) == UNKNOWN {
            return wanted;
        }
        let mut got = 0;
        let _ = self
            .0
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                got = wanted.min(left);
                Some(left - got)
            });
        got
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::new()
    }
}
