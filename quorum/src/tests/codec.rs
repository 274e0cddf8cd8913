//! The encoding: what is encoded comes back; whatever else comes, decoding ends in a message or an
//! error, and allocates no more than the bytes that came.

use flatbuffers::FlatBufferBuilder;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::generated as fb;

pub(crate) fn any_body() -> impl Strategy<Value = Body> {
    let number = || prop_oneof![0..20u64, any::<u64>()];
    prop_oneof![
        (number(), number(), number(), vec(any_entry(), 0..8)).prop_map(
            |(previous_index, previous_term, commit, entries)| Body::Append {
                previous_index,
                previous_term,
                commit,
                entries
            }
        ),
        (number(), any::<bool>(), number(), number(), number()).prop_map(
            |(index, rejected, hint_index, hint_term, commit)| Body::AppendResult {
                index,
                rejected,
                hint_index,
                hint_term,
                commit
            }
        ),
        (
            any::<(bool, bool)>(),
            number(),
            number(),
            number(),
            number()
        )
            .prop_map(
                |((trial, forced), last_index, last_term, commit, commit_term)| {
                    Body::VoteRequest(VoteRequest {
                        trial,
                        forced,
                        last_index,
                        last_term,
                        commit,
                        commit_term,
                    })
                }
            ),
        (any::<(bool, bool)>(), number(), number()).prop_map(
            |((trial, rejected), commit, commit_term)| Body::VoteResult(VoteResult {
                trial,
                rejected,
                commit,
                commit_term
            })
        ),
        (any_mark(), vec(any::<u8>(), 0..40)).prop_map(|(mark, content)| Body::Snapshot {
            mark,
            content: content.into()
        }),
        (number(), any::<Option<u64>>())
            .prop_map(|(commit, read)| Body::Heartbeat { commit, read }),
        (number(), any::<Option<u64>>())
            .prop_map(|(commit, read)| Body::HeartbeatResult { commit, read }),
        Just(Body::Stand),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let part = prop_oneof![Just(Part::Voter), Just(Part::Learner), Just(Part::Nothing)];
    let change = (any::<i32>(), part).prop_map(|(node, part)| Change { node, part });
    let body = prop_oneof![
        Just(EntryBody::Empty),
        Just(EntryBody::Leave),
        vec(any::<u8>(), 0..40).prop_map(|bytes| EntryBody::Payload(bytes.into())),
        (any::<bool>(), vec(change, 0..5))
            .prop_map(|(joint, changes)| EntryBody::Changes { joint, changes }),
    ];
    (any::<u64>(), any::<u64>(), body).prop_map(|(index, term, body)| Entry { index, term, body })
}

fn any_mark() -> impl Strategy<Value = SnapshotMark> {
    let nodes = || vec(any::<i32>(), 0..5);
    (
        any::<u64>(),
        any::<u64>(),
        nodes(),
        nodes(),
        nodes(),
        nodes(),
    )
        .prop_map(
            |(index, term, voters, learners, outgoing, next_learners)| SnapshotMark {
                index,
                term,
                membership: Membership {
                    voters,
                    learners,
                    outgoing,
                    next_learners,
                },
            },
        )
}

fn any_message() -> impl Strategy<Value = Message> {
    let ids = (any::<i32>(), any::<i32>(), any::<u64>());
    (ids, any_body()).prop_map(|((from, to, term), body)| Message {
        from,
        to,
        term,
        body,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_message_comes_back(message in any_message()) {
        prop_assert_eq!(decode(&encode(&message)), Ok(message));
    }

    #[test]
    fn an_entry_and_a_mark_come_back(entry in any_entry(), mark in any_mark()) {
        prop_assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry.clone()));
        prop_assert_eq!(decode_mark(&encode_mark(&mark)), Ok(mark.clone()));
        prop_assert!(decode(&encode_entry(&entry)).is_err());
        prop_assert!(decode_entry(&encode_mark(&mark)).is_err());
    }

    #[test]
    fn bytes_of_any_kind_are_survived(bytes in vec(any::<u8>(), 0..200)) {
        let mut identified = vec![8, 0, 0, 0];
        identified.extend(b"OTQM");
        identified.extend(&bytes);
        for bytes in [&bytes, &identified] {
            let _ = (decode(bytes), decode_entry(bytes), decode_mark(bytes));
        }
    }

    #[test]
    fn bytes_that_were_changed_are_survived(
        message in any_message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&message);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(message) = decode(&bytes) {
            prop_assert!(encode(&message).len() <= 16 * bytes.len());
        }
        let _ = decode(&bytes[..cut.index(bytes.len())]);
    }
}

#[test]
fn the_smallest_entries_are_within_the_limits_of_the_verifier() {
    for body in [
        EntryBody::Empty,
        EntryBody::Leave,
        EntryBody::Payload(payload(1)),
    ] {
        let entry = |index| Entry {
            index,
            term: 1,
            body: body.clone(),
        };
        let message = Message {
            from: 0,
            to: 1,
            term: 1,
            body: Body::Append {
                previous_index: 0,
                previous_term: 0,
                commit: 0,
                entries: (0..100_000).map(entry).collect(),
            },
        };
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
}

/// A vector of entries that are all one and the same would make much of little.
#[test]
fn entries_that_share_their_bytes_are_refused() {
    for count in [1, 3, 1000] {
        let mut b = FlatBufferBuilder::new();
        let bytes = Some(b.create_vector(&[7u8; 100]));
        let payload = fb::Payload::create(&mut b, &fb::PayloadArgs { bytes });
        let args = fb::EntryArgs {
            index: 2,
            term: 1,
            body_type: fb::EntryBody::Payload,
            body: Some(payload.as_union_value()),
        };
        let entry = fb::Entry::create(&mut b, &args);
        let entries = Some(b.create_vector(&vec![entry; count]));
        let args = fb::AppendArgs {
            entries,
            ..fb::AppendArgs::default()
        };
        let append = fb::Append::create(&mut b, &args);
        let args = fb::MessageArgs {
            body_type: fb::Body::Append,
            body: Some(append.as_union_value()),
            ..fb::MessageArgs::default()
        };
        let root = fb::Message::create(&mut b, &args);
        fb::finish_message_buffer(&mut b, root);
        match decode(b.finished_data()) {
            Ok(_) => assert_eq!(count, 1),
            Err(error) => {
                assert!(count > 1, "{error}");
                assert!(matches!(error, DecodeError::Malformed(_)));
            }
        }
    }
}

#[test]
fn kinds_of_a_later_version_are_named() {
    let message = Message {
        from: 0,
        to: 1,
        term: 1,
        body: Body::Stand,
    };
    let bytes = encode(&message);
    // One of the bytes is the kind.
    let named = (0..bytes.len()).filter_map(|place| {
        let mut changed = bytes.clone();
        changed[place] = 200;
        decode(&changed).err()
    });
    let expected = DecodeError::UnknownKind {
        what: "message",
        kind: 200,
    };
    assert!(named.into_iter().any(|error| error == expected));
}
