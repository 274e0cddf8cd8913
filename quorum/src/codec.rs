//! Messages, entries and snapshots' marks as bytes: FlatBuffers by `schema/quorum.fbs`, through the
//! generated code beside this file.
//!
//! Decoding verifies the bytes before it reads them and never panics, whatever they are. What it
//! allocates is paid for by bytes that are there: parts that share bytes with others are refused, so no
//! small message becomes a large one.

use bytes::Bytes;
use flatbuffers::{
    FlatBufferBuilder, Follow, UnionWIPOffset, Vector, Verifiable, VerifierOptions, WIPOffset,
};
use thiserror::Error;

use crate::entry::{Change, Entry, EntryBody, Part};
use crate::generated as fb;
use crate::membership::{Membership, SnapshotMark};
use crate::message::{Body, Message, VoteRequest, VoteResult};

/// The shortest buffer with a root offset and a file identifier.
const SHORTEST: usize = 8;
/// Identifies an entry that stands alone.
const ENTRY_IDENTIFIER: &str = "OTQE";
/// Identifies a mark that stands alone.
const MARK_IDENTIFIER: &str = "OTQS";
/// An entry in a message has at least this many bytes: an offset to it, its index and its term.
const ENTRY_LEAST: usize = 20;

/// Why bytes are nothing of this schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes aren't a FlatBuffer of this schema.
    #[error("the bytes aren't of the metadata quorum's schema: {0}")]
    Malformed(String),
    /// It is of a kind that a later version brought.
    #[error("a {what} of kind {kind} isn't known to this version of the metadata quorum")]
    UnknownKind {
        /// What is of that kind.
        what: &'static str,
        /// The kind.
        kind: u8,
    },
}

/// The bytes of `message`.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::with_capacity(256);
    let (body_type, body) = encode_body(&mut builder, &message.body);
    let args = fb::MessageArgs {
        from: message.from,
        to: message.to,
        term: message.term,
        body_type,
        body: Some(body),
    };
    let root = fb::Message::create(&mut builder, &args);
    fb::finish_message_buffer(&mut builder, root);
    builder.finished_data().to_vec()
}

/// The bytes of `entry`, to be written.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::with_capacity(256);
    let root = encode_entry_table(&mut builder, entry);
    builder.finish(root, Some(ENTRY_IDENTIFIER));
    builder.finished_data().to_vec()
}

/// The bytes of `mark`, to be written beside the snapshot.
pub fn encode_mark(mark: &SnapshotMark) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::with_capacity(256);
    let root = encode_mark_table(&mut builder, mark);
    builder.finish(root, Some(MARK_IDENTIFIER));
    builder.finished_data().to_vec()
}

/// The message that `bytes` are.
///
/// # Errors
///
/// When they are none of this version.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let root = root::<fb::Message<'_>>(bytes, fb::MESSAGE_IDENTIFIER)?;
    let mut budget = Budget { left: bytes.len() };
    Ok(Message {
        from: root.from(),
        to: root.to(),
        term: root.term(),
        body: decode_body(root, &mut budget)?,
    })
}

/// The entry that `bytes` are.
///
/// # Errors
///
/// When they are none of this version.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, DecodeError> {
    let root = root::<fb::Entry<'_>>(bytes, ENTRY_IDENTIFIER)?;
    decode_entry_table(root, &mut Budget { left: bytes.len() })
}

/// The snapshot's mark that `bytes` are.
///
/// # Errors
///
/// When they are none of this version.
pub fn decode_mark(bytes: &[u8]) -> Result<SnapshotMark, DecodeError> {
    let root = root::<fb::SnapshotMark<'_>>(bytes, MARK_IDENTIFIER)?;
    decode_mark_table(root, &mut Budget { left: bytes.len() })
}

/// The bytes that may still be copied out of the buffer.
struct Budget {
    left: usize,
}

impl Budget {
    fn take(&mut self, count: usize) -> Result<(), DecodeError> {
        self.left = self.left.checked_sub(count).ok_or_else(|| {
            DecodeError::Malformed("parts of it lie in the same bytes".to_owned())
        })?;
        Ok(())
    }
}

fn root<'a, T: Follow<'a> + Verifiable + 'a>(
    bytes: &'a [u8],
    identifier: &str,
) -> Result<T::Inner, DecodeError> {
    let long_enough = bytes.len() >= SHORTEST;
    if !long_enough || !flatbuffers::buffer_has_identifier(bytes, identifier, false) {
        let text = format!("it isn't identified as {identifier}");
        return Err(DecodeError::Malformed(text));
    }
    let options = VerifierOptions {
        // Not even entries that hold nothing have more.
        max_tables: bytes.len() / 8,
        max_apparent_size: bytes.len().saturating_mul(4),
        ..VerifierOptions::default()
    };
    flatbuffers::root_with_opts::<T>(&options, bytes)
        .map_err(|error| DecodeError::Malformed(error.to_string()))
}

fn need<T>(part: Option<T>, name: &str) -> Result<T, DecodeError> {
    part.ok_or_else(|| DecodeError::Malformed(format!("no {name}")))
}

fn copy(part: Option<Vector<'_, u8>>, budget: &mut Budget) -> Result<Bytes, DecodeError> {
    let bytes = part.map_or(&[][..], |vector| vector.bytes());
    budget.take(bytes.len())?;
    Ok(Bytes::copy_from_slice(bytes))
}

fn decode_body(root: fb::Message<'_>, budget: &mut Budget) -> Result<Body, DecodeError> {
    Ok(match root.body_type() {
        fb::Body::Append => decode_append(need(root.body_as_append(), "body")?, budget)?,
        fb::Body::AppendResult => {
            let table = need(root.body_as_append_result(), "body")?;
            Body::AppendResult {
                index: table.index(),
                rejected: table.rejected(),
                hint_index: table.hint_index(),
                hint_term: table.hint_term(),
                commit: table.commit(),
            }
        }
        fb::Body::VoteRequest => {
            let table = need(root.body_as_vote_request(), "body")?;
            Body::VoteRequest(VoteRequest {
                trial: table.trial(),
                forced: table.forced(),
                last_index: table.last_index(),
                last_term: table.last_term(),
                commit: table.commit(),
                commit_term: table.commit_term(),
            })
        }
        fb::Body::VoteResult => {
            let table = need(root.body_as_vote_result(), "body")?;
            Body::VoteResult(VoteResult {
                trial: table.trial(),
                rejected: table.rejected(),
                commit: table.commit(),
                commit_term: table.commit_term(),
            })
        }
        fb::Body::Snapshot => {
            let table = need(root.body_as_snapshot(), "body")?;
            Body::Snapshot {
                mark: decode_mark_table(need(table.mark(), "mark")?, budget)?,
                content: copy(table.content(), budget)?,
            }
        }
        fb::Body::Heartbeat => {
            let table = need(root.body_as_heartbeat(), "body")?;
            let (commit, read) = (table.commit(), table.read());
            Body::Heartbeat { commit, read }
        }
        fb::Body::HeartbeatResult => {
            let table = need(root.body_as_heartbeat_result(), "body")?;
            let (commit, read) = (table.commit(), table.read());
            Body::HeartbeatResult { commit, read }
        }
        fb::Body::Stand => Body::Stand,
        fb::Body(kind) => return Err(unknown("message", kind)),
    })
}

fn unknown(what: &'static str, kind: u8) -> DecodeError {
    DecodeError::UnknownKind { what, kind }
}

fn decode_append(table: fb::Append<'_>, budget: &mut Budget) -> Result<Body, DecodeError> {
    let mut entries = Vec::new();
    if let Some(tables) = table.entries() {
        for table in tables {
            budget.take(ENTRY_LEAST)?;
            entries.push(decode_entry_table(table, budget)?);
        }
    }
    Ok(Body::Append {
        previous_index: table.previous_index(),
        previous_term: table.previous_term(),
        commit: table.commit(),
        entries,
    })
}

fn decode_entry_table(table: fb::Entry<'_>, budget: &mut Budget) -> Result<Entry, DecodeError> {
    let body = match table.body_type() {
        fb::EntryBody::Empty => EntryBody::Empty,
        fb::EntryBody::Payload => {
            let payload = need(table.body_as_payload(), "payload")?;
            EntryBody::Payload(copy(payload.bytes(), budget)?)
        }
        fb::EntryBody::Changes => {
            decode_changes(need(table.body_as_changes(), "changes")?, budget)?
        }
        fb::EntryBody::Leave => EntryBody::Leave,
        fb::EntryBody(kind) => return Err(unknown("entry", kind)),
    };
    Ok(Entry {
        index: table.index(),
        term: table.term(),
        body,
    })
}

fn decode_changes(table: fb::Changes<'_>, budget: &mut Budget) -> Result<EntryBody, DecodeError> {
    let mut changes = Vec::new();
    for change in need(table.changes(), "changes")? {
        budget.take(size_of::<fb::Change>())?;
        let part = match change.part() {
            fb::Part::Voter => Part::Voter,
            fb::Part::Learner => Part::Learner,
            fb::Part::Nothing => Part::Nothing,
            fb::Part(kind) => return Err(unknown("part in the quorum", kind)),
        };
        let node = change.node();
        changes.push(Change { node, part });
    }
    Ok(EntryBody::Changes {
        joint: table.joint(),
        changes,
    })
}

fn decode_mark_table(
    table: fb::SnapshotMark<'_>,
    budget: &mut Budget,
) -> Result<SnapshotMark, DecodeError> {
    let membership = need(table.membership(), "membership")?;
    let mut nodes = |list: Option<Vector<'_, i32>>| {
        let Some(list) = list else {
            return Ok(Vec::new());
        };
        budget.take(list.bytes().len())?;
        Ok(list.iter().collect())
    };
    Ok(SnapshotMark {
        index: table.index(),
        term: table.term(),
        membership: Membership {
            voters: nodes(membership.voters())?,
            learners: nodes(membership.learners())?,
            outgoing: nodes(membership.outgoing())?,
            next_learners: nodes(membership.next_learners())?,
        },
    })
}

fn encode_body(
    b: &mut FlatBufferBuilder<'_>,
    body: &Body,
) -> (fb::Body, WIPOffset<UnionWIPOffset>) {
    match *body {
        Body::Append {
            previous_index,
            previous_term,
            commit,
            ref entries,
        } => {
            let tables: Vec<_> = entries.iter().map(|e| encode_entry_table(b, e)).collect();
            let args = fb::AppendArgs {
                previous_index,
                previous_term,
                commit,
                entries: Some(b.create_vector(&tables)),
            };
            let table = fb::Append::create(b, &args);
            (fb::Body::Append, table.as_union_value())
        }
        Body::AppendResult {
            index,
            rejected,
            hint_index,
            hint_term,
            commit,
        } => {
            let args = fb::AppendResultArgs {
                index,
                rejected,
                hint_index,
                hint_term,
                commit,
            };
            let table = fb::AppendResult::create(b, &args);
            (fb::Body::AppendResult, table.as_union_value())
        }
        Body::VoteRequest(ref request) => {
            let table = encode_vote_request(b, request);
            (fb::Body::VoteRequest, table.as_union_value())
        }
        Body::VoteResult(ref result) => {
            let table = encode_vote_result(b, result);
            (fb::Body::VoteResult, table.as_union_value())
        }
        Body::Snapshot {
            ref mark,
            ref content,
        } => {
            let mark = Some(encode_mark_table(b, mark));
            let content = Some(b.create_vector(content));
            let table = fb::Snapshot::create(b, &fb::SnapshotArgs { mark, content });
            (fb::Body::Snapshot, table.as_union_value())
        }
        Body::Heartbeat { commit, read } => {
            let table = fb::Heartbeat::create(b, &fb::HeartbeatArgs { commit, read });
            (fb::Body::Heartbeat, table.as_union_value())
        }
        Body::HeartbeatResult { commit, read } => {
            let table = fb::HeartbeatResult::create(b, &fb::HeartbeatResultArgs { commit, read });
            (fb::Body::HeartbeatResult, table.as_union_value())
        }
        Body::Stand => {
            let table = fb::Stand::create(b, &fb::StandArgs {});
            (fb::Body::Stand, table.as_union_value())
        }
    }
}

fn encode_vote_request<'a>(
    b: &mut FlatBufferBuilder<'a>,
    request: &VoteRequest,
) -> WIPOffset<fb::VoteRequest<'a>> {
    let args = fb::VoteRequestArgs {
        trial: request.trial,
        forced: request.forced,
        last_index: request.last_index,
        last_term: request.last_term,
        commit: request.commit,
        commit_term: request.commit_term,
    };
    fb::VoteRequest::create(b, &args)
}

fn encode_vote_result<'a>(
    b: &mut FlatBufferBuilder<'a>,
    result: &VoteResult,
) -> WIPOffset<fb::VoteResult<'a>> {
    let args = fb::VoteResultArgs {
        trial: result.trial,
        rejected: result.rejected,
        commit: result.commit,
        commit_term: result.commit_term,
    };
    fb::VoteResult::create(b, &args)
}

fn encode_entry_table<'a>(
    b: &mut FlatBufferBuilder<'a>,
    entry: &Entry,
) -> WIPOffset<fb::Entry<'a>> {
    let (body_type, body) = match &entry.body {
        EntryBody::Empty => {
            let table = fb::Empty::create(b, &fb::EmptyArgs {});
            (fb::EntryBody::Empty, table.as_union_value())
        }
        EntryBody::Payload(payload) => {
            let bytes = Some(b.create_vector(payload));
            let table = fb::Payload::create(b, &fb::PayloadArgs { bytes });
            (fb::EntryBody::Payload, table.as_union_value())
        }
        EntryBody::Changes { joint, changes } => {
            let changes: Vec<_> = changes.iter().map(encode_change).collect();
            let args = fb::ChangesArgs {
                joint: *joint,
                changes: Some(b.create_vector(&changes)),
            };
            let table = fb::Changes::create(b, &args);
            (fb::EntryBody::Changes, table.as_union_value())
        }
        EntryBody::Leave => {
            let table = fb::Leave::create(b, &fb::LeaveArgs {});
            (fb::EntryBody::Leave, table.as_union_value())
        }
    };
    let args = fb::EntryArgs {
        index: entry.index,
        term: entry.term,
        body_type,
        body: Some(body),
    };
    fb::Entry::create(b, &args)
}

fn encode_change(change: &Change) -> fb::Change {
    let part = match change.part {
        Part::Voter => fb::Part::Voter,
        Part::Learner => fb::Part::Learner,
        Part::Nothing => fb::Part::Nothing,
    };
    fb::Change::new(change.node, part)
}

fn encode_mark_table<'a>(
    b: &mut FlatBufferBuilder<'a>,
    mark: &SnapshotMark,
) -> WIPOffset<fb::SnapshotMark<'a>> {
    let membership = fb::MembershipArgs {
        voters: Some(b.create_vector(&mark.membership.voters)),
        learners: Some(b.create_vector(&mark.membership.learners)),
        outgoing: Some(b.create_vector(&mark.membership.outgoing)),
        next_learners: Some(b.create_vector(&mark.membership.next_learners)),
    };
    let args = fb::SnapshotMarkArgs {
        index: mark.index,
        term: mark.term,
        membership: Some(fb::Membership::create(b, &membership)),
    };
    fb::SnapshotMark::create(b, &args)
}
