//! Frames and the messages in them.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::WireError;
use super::layout::{
    RawAnswer, RawCredit, RawDiverged, RawFollow, RawFollowing, RawMoved, RawOutOfRange,
    RawProgress, RawRecords, RawRefused, RawUnfollow,
};
use crate::message::{Answer, AnswerKind, Follow, Moved, Progress, Records, Refusal};
use crate::view::Position;

/// Bytes before a frame's content: its length.
pub const FRAME_HEAD_LEN: usize = 4;

/// The longest content of a frame: the largest request with room for what else a frame may hold.
pub const FRAME_MAX_BYTES: u32 = 128 << 20;

const FOLLOW: u8 = 1;
const PROGRESS: u8 = 2;
const UNFOLLOW: u8 = 3;
const CREDIT: u8 = 4;
const FOLLOWING: u8 = 16;
const DIVERGED: u8 = 17;
const OUT_OF_RANGE: u8 = 18;
const REFUSED: u8 = 19;
const RECORDS: u8 = 20;
const MOVED: u8 = 21;
const ALIVE: u8 = 32;

/// A message on a connection. `number` is the partition's on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// To a leader: send me this partition, which I'll call `number`.
    Follow {
        /// The number, above all before it on this connection.
        number: u32,
        /// The topic's id.
        topic: Uuid,
        /// The partition's index in the topic.
        index: i32,
        /// What the core says.
        follow: Follow,
    },
    /// To a leader: how far I am.
    Progress {
        /// Which partition.
        number: u32,
        /// What the core says.
        progress: Progress,
    },
    /// To a leader: I follow no longer.
    Unfollow {
        /// Which partition; the number isn't used again.
        number: u32,
    },
    /// To a leader: so many more bytes of records may be sent on this connection.
    Credit {
        /// How many.
        bytes: u64,
    },
    /// To a follower: what becomes of its wish.
    Answer {
        /// Which partition.
        number: u32,
        /// What the core says.
        answer: Answer,
    },
    /// To a follower: records.
    Records {
        /// Which partition.
        number: u32,
        /// What the core says.
        header: Records,
        /// The batches, as in the leader's log.
        bytes: Bytes,
    },
    /// To a follower: what else moved.
    Moved {
        /// Which partition.
        number: u32,
        /// What the core says.
        moved: Moved,
    },
    /// To either: I'm here, and all I said is still so.
    Alive,
}

/// Records as short as this are copied: a piece of their own would cost more.
const SMALL_PIECE: usize = 512;

/// A frame to be written: pieces to be sent one after the other.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The pieces, record bytes as they were given but for very short ones.
    pub pieces: Vec<Bytes>,
}

/// Gathers messages to a frame.
#[derive(Debug, Default)]
pub struct FrameWriter {
    /// Layouts, and short records, not yet cut into a piece.
    heads: BytesMut,
    pieces: Vec<Bytes>,
    /// Bytes in `pieces`.
    gathered: usize,
}

impl FrameWriter {
    /// Bytes gathered so far, without the frame's head.
    pub fn len(&self) -> usize {
        self.gathered + self.heads.len()
    }

    /// Whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put(&mut self, kind: u8, layout: &(impl IntoBytes + Immutable)) {
        self.heads.put_u8(kind);
        self.heads.put_slice(layout.as_bytes());
    }

    fn check_room(&self, records: usize) -> Result<(), WireError> {
        /// More than any layout.
        const LAYOUT_MAX: usize = 64;
        let bytes = u32::try_from(self.len() + LAYOUT_MAX + records).unwrap_or(u32::MAX);
        if bytes > FRAME_MAX_BYTES {
            return Err(WireError::TooLong { bytes });
        }
        Ok(())
    }

    /// Adds records that lie in several pieces.
    ///
    /// # Errors
    /// As of [`push`](Self::push).
    pub fn push_records(
        &mut self,
        number: u32,
        header: &Records,
        records: &[Bytes],
    ) -> Result<(), WireError> {
        let len = records.iter().map(Bytes::len).sum();
        self.check_room(len)?;
        self.put_records(number, header, len);
        for bytes in records {
            if bytes.len() <= SMALL_PIECE {
                self.heads.put_slice(bytes);
            } else {
                self.cut();
                self.gathered += bytes.len();
                self.pieces.push(bytes.clone());
            }
        }
        Ok(())
    }

    /// Adds a message.
    ///
    /// # Errors
    /// [`WireError::TooLong`] if the frame would be longer than [`FRAME_MAX_BYTES`]; the message is not in
    /// it then.
    pub fn push(&mut self, message: &Message) -> Result<(), WireError> {
        if let Message::Records {
            number,
            header,
            bytes,
        } = message
        {
            return self.push_records(*number, header, std::slice::from_ref(bytes));
        }
        self.check_room(0)?;
        self.put_message(message);
        Ok(())
    }

    fn put_message(&mut self, message: &Message) {
        match message {
            Message::Follow {
                number,
                topic,
                index,
                follow,
            } => self.put(
                FOLLOW,
                &RawFollow {
                    number: (*number).into(),
                    topic: topic.into_bytes(),
                    index: (*index).into(),
                    leader_epoch: follow.leader_epoch.into(),
                    partition_epoch: follow.partition_epoch.into(),
                    last_epoch: follow.position.last_epoch.into(),
                    end: follow.position.end.into(),
                },
            ),
            Message::Progress { number, progress } => self.put(
                PROGRESS,
                &RawProgress {
                    number: (*number).into(),
                    leader_epoch: progress.leader_epoch.into(),
                    stable_end: progress.stable_end.into(),
                    log_start: progress.log_start.into(),
                },
            ),
            Message::Unfollow { number } => self.put(
                UNFOLLOW,
                &RawUnfollow {
                    number: (*number).into(),
                },
            ),
            Message::Credit { bytes } => self.put(
                CREDIT,
                &RawCredit {
                    bytes: (*bytes).into(),
                },
            ),
            Message::Answer { number, answer } => self.put_answer(*number, answer),
            // Goes another way, for its bytes.
            Message::Records { .. } => {}
            Message::Moved { number, moved } => self.put(
                MOVED,
                &RawMoved {
                    number: (*number).into(),
                    leader_epoch: moved.leader_epoch.into(),
                    high_watermark: moved.high_watermark.into(),
                    log_start: moved.log_start.into(),
                },
            ),
            Message::Alive => self.heads.put_u8(ALIVE),
        }
    }

    fn put_answer(&mut self, number: u32, answer: &Answer) {
        let head = RawAnswer {
            number: number.into(),
            leader_epoch: answer.leader_epoch.into(),
            last_epoch: answer.position.last_epoch.into(),
            end: answer.position.end.into(),
        };
        match answer.kind {
            AnswerKind::Following {
                high_watermark,
                log_start,
            } => {
                self.put(FOLLOWING, &head);
                let rest = RawFollowing {
                    high_watermark: high_watermark.into(),
                    log_start: log_start.into(),
                };
                self.heads.put_slice(rest.as_bytes());
            }
            AnswerKind::Diverged { epoch, end } => {
                self.put(DIVERGED, &head);
                let rest = RawDiverged {
                    epoch: epoch.into(),
                    end: end.into(),
                };
                self.heads.put_slice(rest.as_bytes());
            }
            AnswerKind::OutOfRange { log_start } => {
                self.put(OUT_OF_RANGE, &head);
                let rest = RawOutOfRange {
                    log_start: log_start.into(),
                };
                self.heads.put_slice(rest.as_bytes());
            }
            AnswerKind::Refused(refusal) => {
                self.put(REFUSED, &head);
                self.heads.put_u8(number_of(refusal));
            }
        }
    }

    fn put_records(&mut self, number: u32, header: &Records, len: usize) {
        let raw = RawRecords {
            number: number.into(),
            leader_epoch: header.leader_epoch.into(),
            base_offset: header.base_offset.into(),
            next_offset: header.next_offset.into(),
            high_watermark: header.high_watermark.into(),
            log_start: header.log_start.into(),
            // There was room for it, and that is counted in 32 bits.
            len: u32::try_from(len).unwrap_or(u32::MAX).into(),
        };
        self.put(RECORDS, &raw);
    }

    /// Makes a piece of what lies in the buffer.
    fn cut(&mut self) {
        if !self.heads.is_empty() {
            let heads = self.heads.split().freeze();
            self.gathered += heads.len();
            self.pieces.push(heads);
        }
    }

    /// Ends the frame; the writer is empty again.
    pub fn finish(&mut self) -> Frame {
        // There was room for all of it.
        let len = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let mut pieces = Vec::with_capacity(self.pieces.len() + 2);
        pieces.push(Bytes::copy_from_slice(&len.to_le_bytes()));
        self.cut();
        pieces.append(&mut self.pieces);
        self.gathered = 0;
        Frame { pieces }
    }
}

/// Length of the content that follows a frame's head.
///
/// # Errors
/// [`WireError::TooLong`].
pub fn frame_len(head: [u8; FRAME_HEAD_LEN]) -> Result<usize, WireError> {
    let bytes = u32::from_le_bytes(head);
    match usize::try_from(bytes) {
        Ok(len) if bytes <= FRAME_MAX_BYTES => Ok(len),
        _ => Err(WireError::TooLong { bytes }),
    }
}

/// The messages of a frame's content, in order. After an error there are no more.
pub fn messages(content: Bytes) -> Messages {
    Messages { left: content }
}

/// See [`messages`].
#[derive(Debug)]
pub struct Messages {
    left: Bytes,
}

impl Iterator for Messages {
    type Item = Result<Message, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let message = self.message();
        if message.is_err() {
            self.left.clear();
        }
        Some(message)
    }
}

impl Messages {
    fn take<T: FromBytes + KnownLayout + Immutable + Unaligned>(&mut self) -> Result<T, WireError> {
        let (layout, _) = T::read_from_prefix(&self.left).map_err(|_| WireError::CutShort)?;
        // As many bytes were just read.
        let _ = self.left.split_to(size_of::<T>());
        Ok(layout)
    }

    fn message(&mut self) -> Result<Message, WireError> {
        let kind: u8 = self.take()?;
        Ok(match kind {
            FOLLOW => {
                let raw: RawFollow = self.take()?;
                Message::Follow {
                    number: raw.number.get(),
                    topic: Uuid::from_bytes(raw.topic),
                    index: not_negative("index", raw.index.get())?,
                    follow: Follow {
                        leader_epoch: raw.leader_epoch.get(),
                        partition_epoch: raw.partition_epoch.get(),
                        position: position(raw.last_epoch.get(), raw.end.get())?,
                    },
                }
            }
            PROGRESS => {
                let raw: RawProgress = self.take()?;
                Message::Progress {
                    number: raw.number.get(),
                    progress: Progress {
                        leader_epoch: raw.leader_epoch.get(),
                        stable_end: not_negative("stable_end", raw.stable_end.get())?,
                        log_start: not_negative("log_start", raw.log_start.get())?,
                    },
                }
            }
            UNFOLLOW => Message::Unfollow {
                number: self.take::<RawUnfollow>()?.number.get(),
            },
            CREDIT => Message::Credit {
                bytes: self.take::<RawCredit>()?.bytes.get(),
            },
            FOLLOWING | DIVERGED | OUT_OF_RANGE | REFUSED => self.answer(kind)?,
            RECORDS => self.records()?,
            MOVED => {
                let raw: RawMoved = self.take()?;
                Message::Moved {
                    number: raw.number.get(),
                    moved: Moved {
                        leader_epoch: raw.leader_epoch.get(),
                        high_watermark: not_negative("high_watermark", raw.high_watermark.get())?,
                        log_start: not_negative("log_start", raw.log_start.get())?,
                    },
                }
            }
            ALIVE => Message::Alive,
            unknown => return Err(WireError::UnknownKind(unknown)),
        })
    }

    fn answer(&mut self, kind: u8) -> Result<Message, WireError> {
        let head: RawAnswer = self.take()?;
        let kind = match kind {
            FOLLOWING => {
                let raw: RawFollowing = self.take()?;
                AnswerKind::Following {
                    high_watermark: not_negative("high_watermark", raw.high_watermark.get())?,
                    log_start: not_negative("log_start", raw.log_start.get())?,
                }
            }
            DIVERGED => {
                let raw: RawDiverged = self.take()?;
                AnswerKind::Diverged {
                    epoch: not_negative("epoch", raw.epoch.get())?,
                    end: not_negative("end", raw.end.get())?,
                }
            }
            OUT_OF_RANGE => {
                let raw: RawOutOfRange = self.take()?;
                AnswerKind::OutOfRange {
                    log_start: not_negative("log_start", raw.log_start.get())?,
                }
            }
            _ => AnswerKind::Refused(refusal_of(self.take::<RawRefused>()?.refusal)?),
        };
        Ok(Message::Answer {
            number: head.number.get(),
            answer: Answer {
                leader_epoch: head.leader_epoch.get(),
                position: position(head.last_epoch.get(), head.end.get())?,
                kind,
            },
        })
    }

    fn records(&mut self) -> Result<Message, WireError> {
        let raw: RawRecords = self.take()?;
        let len = usize::try_from(raw.len.get()).map_err(|_| WireError::CutShort)?;
        if len > self.left.len() {
            return Err(WireError::CutShort);
        }
        let base_offset = not_negative("base_offset", raw.base_offset.get())?;
        if raw.next_offset.get() <= base_offset {
            return Err(WireError::BadField("next_offset"));
        }
        Ok(Message::Records {
            number: raw.number.get(),
            header: Records {
                leader_epoch: raw.leader_epoch.get(),
                base_offset,
                next_offset: raw.next_offset.get(),
                high_watermark: not_negative("high_watermark", raw.high_watermark.get())?,
                log_start: not_negative("log_start", raw.log_start.get())?,
            },
            bytes: self.left.split_to(len),
        })
    }
}

fn not_negative<T: PartialOrd + Default>(name: &'static str, value: T) -> Result<T, WireError> {
    if value < T::default() {
        return Err(WireError::BadField(name));
    }
    Ok(value)
}

fn position(last_epoch: i32, end: i64) -> Result<Position, WireError> {
    if last_epoch < -1 {
        return Err(WireError::BadField("last_epoch"));
    }
    Ok(Position {
        last_epoch,
        end: not_negative("end", end)?,
    })
}

fn number_of(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::FencedEpoch => 0,
        Refusal::UnknownEpoch => 1,
        Refusal::NotLeader => 2,
        Refusal::NotReplica => 3,
        Refusal::StaleBroker => 4,
    }
}

fn refusal_of(number: u8) -> Result<Refusal, WireError> {
    match number {
        0 => Ok(Refusal::FencedEpoch),
        1 => Ok(Refusal::UnknownEpoch),
        2 => Ok(Refusal::NotLeader),
        3 => Ok(Refusal::NotReplica),
        4 => Ok(Refusal::StaleBroker),
        _ => Err(WireError::BadField("refusal")),
    }
}
