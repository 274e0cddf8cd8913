//! The members of the metadata's quorum, as its leader sees and changes them.

use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use quorum::{ChangeError, MemberProgress, Quorum};

use super::wire::{MemberState, QuorumState, Reply};
use crate::shard::control::Control;

/// How long a change of the voters may take.
const CHANGE_LIMIT: Duration = Duration::from_secs(2);
/// How often to look whether it is complete.
const LOOK: Duration = Duration::from_millis(10);

/// When a member of the quorum was in touch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// When it last said something.
    heard: Option<Instant>,
    /// When it last had all that was committed.
    caught_up: Option<Instant>,
}

/// Why the voters don't become what was asked for.
struct Unchanged {
    error: ResponseError,
    why: String,
}

impl Unchanged {
    fn new(error: ResponseError, why: String) -> Self {
        Self { error, why }
    }
}

impl From<ChangeError> for Unchanged {
    fn from(error: ChangeError) -> Self {
        let why = error.to_string();
        let code = match error {
            ChangeError::Impossible(_) | ChangeError::NoChange => ResponseError::InvalidRequest,
            // It may be tried again.
            ChangeError::Propose(_) | ChangeError::UnderWay | ChangeError::TooEarly => {
                ResponseError::RequestTimedOut
            }
        };
        Self::new(code, why)
    }
}

impl Control {
    /// Notes who of the members is heard from, and has all that is committed.
    pub(super) fn see_members(&self) {
        let now = rt::time::now();
        let mut members = self.cluster.members.borrow_mut();
        for (node, visitor) in &*self.cluster.visitors.borrow() {
            members.entry(*node).or_default().heard = Some(visitor.heard);
        }
        self.meta.with_quorum(|quorum| {
            let commit = quorum.commit_index();
            let progress = quorum.progress().into_iter();
            for one in progress.filter(|one| one.active && one.matched >= commit) {
                members.entry(one.node).or_default().caught_up = Some(now);
            }
        });
    }

    /// How the quorum is, as its leader sees it.
    pub(super) fn quorum_state(&self) -> QuorumState {
        let offset = self.meta.offset();
        self.meta.with_quorum(|quorum| {
            let progress = quorum.progress();
            let member = |node: &i32| {
                let found = progress.iter().find(|one| one.node == *node);
                let lag = found.map(|one| quorum.commit_index().saturating_sub(one.matched));
                self.member_state(*node, found, offset, lag)
            };
            let membership = quorum.membership();
            QuorumState {
                leader: quorum.leader().unwrap_or(-1),
                term: quorum.term(),
                high_watermark: offset,
                voters: membership.voters.iter().map(member).collect(),
                observers: membership.learners.iter().map(member).collect(),
            }
        })
    }

    fn member_state(
        &self,
        node: i32,
        progress: Option<&MemberProgress>,
        offset: i64,
        lag: Option<u64>,
    ) -> MemberState {
        let wall_ms = rt::time::wall_ms();
        let since =
            |then: Instant| wall_ms - i64::try_from(then.elapsed().as_millis()).unwrap_or(0);
        let seen = self.cluster.members.borrow().get(&node).copied();
        let seen = seen.unwrap_or_default();
        let own = node == self.cluster.dialler.node;
        let told = |then: Option<Instant>| match own {
            true => wall_ms,
            false => then.map_or(-1, since),
        };
        MemberState {
            node,
            // Offsets are counted in records, the quorum counts entries.
            log_end: lag.map_or(-1, |lag| offset - i64::try_from(lag).unwrap_or(offset)),
            active: progress.is_some_and(|one| one.active),
            heard_ms: told(seen.heard),
            caught_up_ms: told(seen.caught_up),
        }
    }

    /// Makes `node` a voter, or none; waits until the quorum has agreed on it.
    pub(super) async fn change_voters(&self, node: i32, add: bool) -> Reply {
        let begun = self
            .meta
            .change_quorum(|quorum| self.begin_change(quorum, node, add));
        let done = match begun {
            Ok(()) => self.changed(node, add).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                tracing::info!(node, add, "the quorum's voters were changed");
                Reply::Done
            }
            Err(Unchanged { error, why }) => Reply::Refused {
                code: error.code(),
                message: why,
            },
        }
    }

    fn begin_change(&self, quorum: &mut Quorum, node: i32, add: bool) -> Result<(), Unchanged> {
        let refuse = |error, why| Err(Unchanged::new(error, why));
        let mut voters = quorum.membership().voters.clone();
        let votes = voters.contains(&node);
        if add {
            if votes {
                let why = format!("node {node} is a voter already");
                return refuse(ResponseError::DuplicateVoter, why);
            }
            if !quorum.membership().contains(node) {
                let why = format!("node {node} is not part of the cluster; start it first");
                return refuse(ResponseError::InvalidRequest, why);
            }
            let seen = self.cluster.members.borrow().get(&node).copied();
            if seen.is_none_or(|seen| seen.caught_up.is_none()) {
                let why =
                    format!("node {node} doesn't have all of the metadata yet; try again later");
                return refuse(ResponseError::RequestTimedOut, why);
            }
            voters.push(node);
        } else {
            if !votes {
                return refuse(
                    ResponseError::VoterNotFound,
                    format!("node {node} is no voter"),
                );
            }
            voters.retain(|voter| *voter != node);
            if voters.is_empty() {
                let why = format!("node {node} is the last voter; add another one first");
                return refuse(ResponseError::InvalidRequest, why);
            }
        }
        quorum.set_voters(&voters)?;
        Ok(())
    }

    /// Waits until a change of the voters that was begun is complete.
    async fn changed(&self, node: i32, add: bool) -> Result<(), Unchanged> {
        let deadline = rt::time::now() + CHANGE_LIMIT;
        loop {
            let complete = self.meta.with_quorum(|quorum| {
                let membership = quorum.membership();
                !membership.is_changing() && membership.voters.contains(&node) == add
            });
            if complete {
                return Ok(());
            }
            let why = if !self.meta.leads() {
                "this node is the quorum's leader no more"
            } else if rt::time::now() > deadline {
                "it takes long; is a majority of the voters up?"
            } else {
                rt::time::sleep(LOOK).await;
                continue;
            };
            let why = format!("whether the voters were changed isn't known: {why}");
            return Err(Unchanged::new(ResponseError::RequestTimedOut, why));
        }
    }
}
