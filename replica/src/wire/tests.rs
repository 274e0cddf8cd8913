//! What is written is read back; whatever else is read is refused.

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{Answer, AnswerKind, Follow, Moved, Position, Progress, Records, Refusal};

fn content(frame: &Frame) -> Bytes {
    let whole: Vec<u8> = frame.pieces.iter().flatten().copied().collect();
    let (head, content) = whole.split_at(FRAME_HEAD_LEN);
    let len = frame_len(head.try_into().unwrap()).unwrap();
    assert_eq!(len, content.len());
    Bytes::copy_from_slice(content)
}

fn answer(kind: AnswerKind) -> Message {
    let position = Position {
        last_epoch: 4,
        end: 70,
    };
    Message::Answer {
        number: 9,
        answer: Answer {
            leader_epoch: 5,
            position,
            kind,
        },
    }
}

fn every_kind() -> Vec<Message> {
    vec![
        Message::Follow {
            number: 9,
            topic: Uuid::from_u128(77),
            index: 3,
            follow: Follow {
                leader_epoch: 5,
                partition_epoch: 8,
                position: Position {
                    last_epoch: -1,
                    end: 0,
                },
            },
        },
        Message::Progress {
            number: 9,
            progress: Progress {
                leader_epoch: 5,
                stable_end: 100,
                log_start: 10,
            },
        },
        Message::Unfollow { number: 9 },
        Message::Credit { bytes: 1 << 40 },
        answer(AnswerKind::Following {
            high_watermark: 90,
            log_start: 10,
        }),
        answer(AnswerKind::Diverged { epoch: 3, end: 60 }),
        answer(AnswerKind::OutOfRange { log_start: 80 }),
        answer(AnswerKind::Refused(Refusal::FencedEpoch)),
        answer(AnswerKind::Refused(Refusal::UnknownEpoch)),
        answer(AnswerKind::Refused(Refusal::NotLeader)),
        answer(AnswerKind::Refused(Refusal::NotReplica)),
        answer(AnswerKind::Refused(Refusal::StaleBroker)),
        records(&[1, 2, 3, 4]),
        Message::Moved {
            number: 9,
            moved: Moved {
                leader_epoch: 5,
                high_watermark: 95,
                log_start: 11,
            },
        },
        Message::Alive,
    ]
}

fn records(bytes: &[u8]) -> Message {
    Message::Records {
        number: 9,
        header: Records {
            leader_epoch: 5,
            base_offset: 70,
            next_offset: 72,
            high_watermark: 60,
            log_start: 10,
        },
        bytes: Bytes::copy_from_slice(bytes),
    }
}

#[test]
fn a_frame_gives_back_every_kind_of_message_in_order() {
    let mut writer = FrameWriter::default();
    for message in every_kind() {
        writer.push(&message).unwrap();
    }
    let len = writer.len();
    let content = content(&writer.finish());
    assert_eq!(content.len(), len);
    assert!(writer.is_empty());
    let read: Result<Vec<_>, _> = messages(content).collect();
    assert_eq!(read.unwrap(), every_kind());
}

#[test]
fn record_bytes_are_neither_copied_to_be_sent_nor_when_received() {
    let Message::Records {
        number,
        header,
        bytes,
    } = records(&[7; 1000])
    else {
        unreachable!("it is one");
    };
    let given = bytes.as_ptr();
    let mut writer = FrameWriter::default();
    writer
        .push(&Message::Moved {
            number,
            moved: Moved {
                leader_epoch: 5,
                high_watermark: 1,
                log_start: 0,
            },
        })
        .unwrap();
    writer
        .push(&Message::Records {
            number,
            header,
            bytes,
        })
        .unwrap();
    let frame = writer.finish();
    assert!(frame.pieces.iter().any(|piece| piece.as_ptr() == given));
    let content = content(&frame);
    let range = content.as_ptr_range();
    let read: Vec<_> = messages(content).map(Result::unwrap).collect();
    assert!(matches!(&read[1], Message::Records { bytes, .. } if range.contains(&bytes.as_ptr())));
}

#[test]
fn short_records_share_a_piece() {
    let mut writer = FrameWriter::default();
    let Message::Records { number, header, .. } = records(&[]) else {
        unreachable!("it is one");
    };
    let (short, long) = (Bytes::from(vec![1; 100]), Bytes::from(vec![2; 1000]));
    let given = [&short, &short, &long, &short, &short].map(Bytes::clone);
    writer.push_records(number, &header, &given).unwrap();
    let frame = writer.finish();
    assert_eq!(
        frame.pieces.len(),
        4,
        "the length, two of short ones, the long one"
    );
    let read: Vec<_> = messages(content(&frame)).map(Result::unwrap).collect();
    let all = given.concat();
    assert!(matches!(&read[..], [Message::Records { bytes, .. }] if *bytes == all));
}

#[test]
fn a_frame_that_is_too_long_is_neither_written_nor_read() {
    let mut writer = FrameWriter::default();
    let much = Bytes::from(vec![0; 100 << 20]);
    let Message::Records { number, header, .. } = records(&[]) else {
        unreachable!("it is one");
    };
    let message = Message::Records {
        number,
        header,
        bytes: much,
    };
    writer.push(&message).unwrap();
    assert!(matches!(
        writer.push(&message),
        Err(WireError::TooLong { .. })
    ));
    writer.push(&Message::Alive).unwrap();
    assert_eq!(
        frame_len(0xffff_ffff_u32.to_le_bytes()),
        Err(WireError::TooLong { bytes: u32::MAX })
    );
}

#[test]
fn bytes_that_nobody_sends_are_refused_by_what_is_wrong_with_them() {
    let first = |bytes: &[u8]| messages(Bytes::copy_from_slice(bytes)).next().unwrap();
    assert_eq!(first(&[99]), Err(WireError::UnknownKind(99)));
    assert_eq!(first(&[1, 0, 0]), Err(WireError::CutShort));
    let mut writer = FrameWriter::default();
    writer.push(&records(&[1, 2, 3])).unwrap();
    let good = content(&writer.finish());
    assert_eq!(first(&good[..good.len() - 1]), Err(WireError::CutShort));
    let mut bad = good.to_vec();
    bad[1 + 8 + 7] = 0x80;
    assert_eq!(first(&bad), Err(WireError::BadField("base_offset")));
    let mut bad = good.to_vec();
    bad[1 + 16..][..8].copy_from_slice(&70_i64.to_le_bytes());
    assert_eq!(first(&bad), Err(WireError::BadField("next_offset")));
    let mut after = messages(Bytes::from_static(&[99, 32]));
    assert!(after.next().unwrap().is_err());
    assert_eq!(after.next(), None);
}

fn hello(cluster_id: &str) -> Hello {
    Hello {
        cluster_id: cluster_id.to_owned(),
        node: 3,
        broker_epoch: 12,
        shard: 1,
        to_node: 2,
        to_shard: 7,
        connection: 5,
    }
}

#[test]
fn a_hello_is_known_by_its_first_bytes() {
    let mut bytes = Vec::new();
    hello("kqzYQ0nMR5mS3iTrh2e5nA").encode(&mut bytes).unwrap();
    assert_eq!(hello_len(&bytes), Ok(Some(bytes.len())));
    assert_eq!(hello_len(&bytes[..10]), Ok(None));
    assert_eq!(hello_len(b"GET / HT"), Err(WireError::NotReplication));
    assert_eq!(Hello::decode(&bytes), Ok(hello("kqzYQ0nMR5mS3iTrh2e5nA")));
    assert_eq!(
        Hello::decode(&bytes[..bytes.len() - 1]),
        Err(WireError::CutShort)
    );
    bytes[8] = 9;
    assert_eq!(hello_len(&bytes), Err(WireError::Version { theirs: 9 }));
    assert_eq!(
        hello(&"x".repeat(65)).encode(&mut Vec::new()),
        Err(WireError::BadField("cluster_id"))
    );
}

proptest! {
    #[test]
    fn hostile_frames_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut errors = 0;
        for message in messages(Bytes::from(bytes)) {
            errors += usize::from(message.is_err());
        }
        prop_assert!(errors <= 1);
    }

    #[test]
    fn good_frames_with_bytes_changed_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut writer = FrameWriter::default();
        for message in every_kind() {
            writer.push(&message).unwrap();
        }
        let mut bytes = content(&writer.finish()).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(end.index(bytes.len() + 1));
        let _ = messages(Bytes::from(bytes)).count();
    }

    #[test]
    fn hostile_hellos_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        magic in any::<bool>(),
    ) {
        let mut whole = if magic { b"OTTLARPL\x01\x00".to_vec() } else { Vec::new() };
        whole.extend(bytes);
        let _ = hello_len(&whole);
        let _ = Hello::decode(&whole);
    }

    #[test]
    fn hellos_survive(node in any::<i32>(), epoch in any::<i64>(), shard in any::<u16>(), id in "[a-zA-Z0-9_-]{0,64}") {
        let said = Hello { node, broker_epoch: epoch, shard, ..hello(&id) };
        let mut bytes = Vec::new();
        said.encode(&mut bytes).unwrap();
        prop_assert_eq!(Hello::decode(&bytes), Ok(said));
    }
}
