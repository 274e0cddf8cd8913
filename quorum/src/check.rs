//! What a message is looked through for before the algorithm sees it.
//!
//! The algorithm trusts the other members and panics at what they can't have sent. Here every such thing
//! is found first: whatever bytes decode to, and whoever sent them, a member goes on.

use std::ops::RangeInclusive;

use raft::{ProgressState, RawNode, StateRole};

use crate::config::CONTENT_MAX;
use crate::entry::Entry;
use crate::error::StepError;
use crate::membership::{NUMBER_MAX, SnapshotMark, node_of, raft_id};
use crate::message::{Body, Message};
use crate::store::Store;

/// What becomes of a message that isn't refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// It comes too late or too early to mean anything.
    Ignore,
}

/// Indexes and terms that exist.
const NUMBER: RangeInclusive<u64> = 1..=NUMBER_MAX;

/// Looks through `message`, and mends it where a hint would lead the algorithm astray. `settled` says
/// that the member has nothing unwritten that could keep it from leading.
pub(crate) fn check(
    raw: &RawNode<Store>,
    here: i32,
    settled: bool,
    message: &mut Message,
) -> Result<Verdict, StepError> {
    let Message { from, to, term, .. } = *message;
    if to != here || from < 0 || from == here {
        return Err(StepError::Misdirected { from, to, here });
    }
    if !NUMBER.contains(&term) {
        return Err(impossible(from, format!("term {term}")));
    }
    if let Some(fault) = fault(term, &message.body) {
        return Err(impossible(from, fault));
    }
    let raft = &raw.raft;
    if term < raft.term {
        return Ok(Verdict::Pass);
    }
    let current = term == raft.term;
    let leads = current && raft.leader_id == raft_id(from);
    let rival = node_of(raft.leader_id).filter(|_| current && !leads);
    let missing = |index| Err(StepError::NotInLog { from, index });
    match &mut message.body {
        Body::Append { .. } | Body::Snapshot { .. } | Body::Heartbeat { .. } if rival.is_some() => {
            let leader = rival.unwrap_or(from);
            Err(StepError::TwoLeaders { from, term, leader })
        }
        Body::Heartbeat { commit, .. } if *commit > raft.raft_log.last_index() => missing(*commit),
        Body::Snapshot { mark, .. } if contradicts(raw, mark) => missing(mark.index),
        Body::Stand if !leads || !settled => Ok(Verdict::Ignore),
        Body::AppendResult {
            index,
            rejected,
            hint_index,
            hint_term,
            ..
        } if current && raft.state == StateRole::Leader => {
            if *rejected {
                return Ok(mend_hint(raw, from, *index, hint_index, hint_term));
            }
            if *index > raft.raft_log.last_index() {
                return missing(*index);
            }
            Ok(Verdict::Pass)
        }
        _ => Ok(Verdict::Pass),
    }
}

fn impossible(from: i32, fault: String) -> StepError {
    StepError::Impossible { from, fault }
}

/// Whether a snapshot ends at what is committed here, but in another entry.
fn contradicts(raw: &RawNode<Store>, mark: &SnapshotMark) -> bool {
    let log = &raw.raft.raft_log;
    mark.index == log.committed && !log.match_term(mark.index, mark.term)
}

/// A rejection says where the logs may agree. The algorithm would go back below what the follower is
/// known to have (raft-rs #557, not in 0.7.0) when a rejection comes late, or hints too low.
fn mend_hint(
    raw: &RawNode<Store>,
    from: i32,
    index: u64,
    hint_index: &mut u64,
    hint_term: &mut u64,
) -> Verdict {
    let Some(progress) = raw.raft.prs().get(raft_id(from)) else {
        return Verdict::Pass;
    };
    if progress.state == ProgressState::Replicate {
        return Verdict::Pass;
    }
    if index <= progress.matched {
        return Verdict::Ignore;
    }
    let log = &raw.raft.raft_log;
    if *hint_term > 0 {
        *hint_index = log.find_conflict_by_term(*hint_index, *hint_term).0;
        *hint_term = 0;
    }
    *hint_index = (*hint_index).max(progress.matched);
    Verdict::Pass
}

/// What is wrong with a message by itself.
fn fault(term: u64, body: &Body) -> Option<String> {
    match body {
        Body::Append {
            previous_index,
            previous_term,
            commit,
            entries,
        } => {
            within(*commit).or_else(|| append_fault(term, *previous_index, *previous_term, entries))
        }
        Body::AppendResult {
            index,
            hint_index,
            hint_term,
            commit,
            ..
        } => [*index, *hint_index, *hint_term, *commit]
            .into_iter()
            .find_map(within),
        Body::VoteRequest(request) => [
            request.last_index,
            request.last_term,
            request.commit,
            request.commit_term,
        ]
        .into_iter()
        .find_map(within),
        Body::VoteResult(result) => [result.commit, result.commit_term]
            .into_iter()
            .find_map(within),
        Body::Snapshot { mark, content } => {
            if mark.term > term {
                return Some(format!("a snapshot of term {}", mark.term));
            }
            let large = content.len() > CONTENT_MAX;
            mark.fault()
                .or_else(|| large.then(|| format!("a snapshot of {} bytes", content.len())))
        }
        Body::Heartbeat { commit, .. } | Body::HeartbeatResult { commit, .. } => within(*commit),
        Body::Stand => None,
    }
}

fn within(number: u64) -> Option<String> {
    (number > NUMBER_MAX).then(|| format!("index or term {number}"))
}

/// The log never begins with nothing, so there is an entry before any.
fn append_fault(
    term: u64,
    previous_index: u64,
    previous_term: u64,
    entries: &[Entry],
) -> Option<String> {
    if !NUMBER.contains(&previous_index) || !NUMBER.contains(&previous_term) {
        return Some(format!(
            "entries after index {previous_index} of term {previous_term}"
        ));
    }
    let (mut index, mut last) = (previous_index, previous_term);
    for entry in entries {
        if entry.index != index + 1 || entry.index > NUMBER_MAX || entry.term < last {
            return Some(format!(
                "entry {} of term {} right after entry {index} of term {last}",
                entry.index, entry.term
            ));
        }
        if let Some(fault) = entry.fault() {
            return Some(fault);
        }
        (index, last) = (entry.index, entry.term);
    }
    (last > term).then(|| format!("an entry of term {last} from a leader of term {term}"))
}
