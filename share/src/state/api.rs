//! What the share coordinator is asked, and what it answers.

use std::fmt;
use std::str::FromStr;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use crate::partition::{StateBatch, StoredState};

/// A partition as one share group sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareKey {
    /// The group.
    pub group_id: String,
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
}

impl fmt::Display for ShareKey {
    /// As Kafka writes it, and hashes it: `group:topic id in base64:partition`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.group_id)?;
        self.topic_id
            .as_bytes()
            .chunks(3)
            .try_for_each(|bytes| base64(f, bytes))?;
        write!(f, ":{}", self.partition)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Characters of a topic id in base64 without padding.
const ID_LENGTH: usize = 22;

/// At most three bytes in base64 for URLs, without padding.
fn base64(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let bits = (0..3).fold(0u32, |bits, at| {
        bits << 8 | u32::from(bytes.get(at).copied().unwrap_or(0))
    });
    for at in 0..=bytes.len() {
        let index = (bits >> (18 - 6 * at)) & 0x3f;
        fmt::Write::write_char(f, char::from(ALPHABET[index as usize]))?;
    }
    Ok(())
}

fn read_base64(text: &str) -> Option<Uuid> {
    if text.len() != ID_LENGTH {
        return None;
    }
    let mut bits = 0u128;
    let mut rest = 0u8;
    for (at, byte) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|known| *known == byte)? as u8;
        if at + 1 < ID_LENGTH {
            bits = bits << 6 | u128::from(value);
        } else {
            rest = value;
        }
    }
    // 21 characters have 126 bits; the last one has two, and four that count for nothing.
    Some(Uuid::from_u128(bits << 2 | u128::from(rest >> 4)))
}

/// Why a text is no key of a share-partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// It hasn't three parts.
    #[error("a share key is 'group:topic id:partition'")]
    Parts,
    /// The group is empty.
    #[error("the group of a share key is empty")]
    Group,
    /// The second part is no topic id.
    #[error("the topic id of a share key is not 22 characters of base64")]
    TopicId,
    /// The third part is no number.
    #[error("the partition of a share key is not a number")]
    Partition,
}

impl FromStr for ShareKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let mut parts = text.split(':');
        let (Some(group), Some(topic), Some(partition), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAKey::Parts);
        };
        if group.trim().is_empty() {
            return Err(NotAKey::Group);
        }
        Ok(Self {
            group_id: group.to_owned(),
            topic_id: read_base64(topic).ok_or(NotAKey::TopicId)?,
            partition: partition.parse().map_err(|_| NotAKey::Partition)?,
        })
    }
}

/// How a share-partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initialize {
    /// Above that of everything asked about it before; -1 to leave it.
    pub state_epoch: i32,
    /// Its first offset; -1 if its leader is to find that.
    pub start_offset: i64,
}

/// What changed of a share-partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteState {
    /// That which its leader read; -1 not to be fenced by it.
    pub state_epoch: i32,
    /// That in which the partition is led; -1 not to be fenced by it.
    pub leader_epoch: i32,
    /// Its first offset; -1 if that didn't change.
    pub start_offset: i64,
    /// The states of those records that changed, in any order. What is not named stays as it is.
    pub batches: Vec<StateBatch>,
}

/// The little that is told of a share-partition to those who don't lead it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its state epoch, 0 if it was never begun.
    pub state_epoch: i32,
    /// That of its leader as far as the coordinator has heard of it, 0 if it hasn't.
    pub leader_epoch: i32,
    /// Its first offset; -1 if it is not known, or the share-partition was never begun.
    pub start_offset: i64,
}

/// A question. Each is about one share-partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Begins it, or begins it anew; answered by [`Reply::Done`].
    Initialize(ShareKey, Initialize),
    /// What is stored of it, for its leader in this epoch: from now on leaders of epochs before are fenced.
    Read(ShareKey, i32),
    /// Stores what changed; answered by [`Reply::Done`].
    Write(ShareKey, WriteState),
    /// Forgets it; answered by [`Reply::Done`].
    Delete(ShareKey),
    /// Where it begins.
    Summary(ShareKey),
}

/// An answer. `INVALID_REQUEST` is the error for one that was never begun, `UNKNOWN_TOPIC_OR_PARTITION` for one
/// whose partition isn't there, `FENCED_LEADER_EPOCH` and `FENCED_STATE_EPOCH` for those who are late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is stored.
    Done(Result<(), ResponseError>),
    /// To [`Ask::Read`].
    Read(Result<StoredState, ResponseError>),
    /// To [`Ask::Summary`].
    Summary(Result<Summary, ResponseError>),
}
