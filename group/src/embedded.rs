//! What members of classic groups tell each other through the broker: the subscription and the assignment
//! of Kafka's consumers, which the broker itself has to read when classic and consumer protocol meet.
//!
//! The bytes come from clients: nothing in them is believed before it was read.

use bytes::Bytes;
use coordinator::wire::{Malformed, Reader, Writer};

/// The type of the protocol that embeds these: what consumers have, and nobody else.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";
/// The latest version; later ones are read as this one.
const LATEST: i16 = 3;

/// Partitions of a topic by name.
pub(crate) type NamedPartitions = (String, Vec<i32>);

/// A member's subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The topics that it wants.
    pub topics: Vec<String>,
    /// What it has (since version 1).
    pub owned: Vec<NamedPartitions>,
    /// Its rack (since version 3).
    pub rack: Option<String>,
}

/// What a member is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The partitions.
    pub partitions: Vec<NamedPartitions>,
    /// Whether its assignor left notes for itself, which the broker can't keep.
    pub has_user_data: bool,
}

fn version(reader: &mut Reader<'_>) -> Result<i16, Malformed> {
    match reader.i16()? {
        version if version < 0 => Err(Malformed::Length(i64::from(version))),
        version => Ok(version.min(LATEST)),
    }
}

fn partitions(reader: &mut Reader<'_>) -> Result<Vec<NamedPartitions>, Malformed> {
    let topics = reader.array()?;
    (0..topics)
        .map(|_| {
            let topic = reader.string()?.to_owned();
            let partitions = reader.array()?;
            let partitions: Result<_, _> = (0..partitions).map(|_| reader.i32()).collect();
            Ok((topic, partitions?))
        })
        .collect()
}

impl Subscription {
    /// Reads the metadata of a member's protocol.
    ///
    /// # Errors
    /// It isn't the metadata of a consumer.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = version(&mut reader)?;
        let topics = reader.array()?;
        let topics: Result<_, _> = (0..topics)
            .map(|_| reader.string().map(str::to_owned))
            .collect();
        let mut subscription = Self {
            topics: topics?,
            ..Self::default()
        };
        reader.nullable_bytes()?;
        if version >= 1 {
            subscription.owned = partitions(&mut reader)?;
        }
        if version >= 2 {
            reader.i32()?;
        }
        if version >= 3 {
            subscription.rack = reader.nullable_string()?.map(str::to_owned);
        }
        Ok(subscription)
    }
}

impl Assignment {
    /// Reads what the leader of a classic group assigned a member.
    ///
    /// # Errors
    /// It isn't an assignment of a consumer.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        version(&mut reader)?;
        Ok(Self {
            partitions: partitions(&mut reader)?,
            has_user_data: reader
                .nullable_bytes()?
                .is_some_and(|data| !data.is_empty()),
        })
    }

    /// Writes an assignment for a member whose subscription is `subscription`, in the version of that.
    ///
    /// # Errors
    /// The subscription has no version.
    pub(crate) fn write(
        subscription: &[u8],
        partitions: &[NamedPartitions],
    ) -> Result<Bytes, Malformed> {
        let mut writer = Writer::of_version(version(&mut Reader::new(subscription))?);
        writer.array(partitions.len());
        for (topic, partitions) in partitions {
            writer.string(topic);
            writer.array(partitions.len());
            for partition in partitions {
                writer.i32(*partition);
            }
        }
        writer.nullable_bytes(None);
        Ok(writer.finish())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The metadata of a consumer's protocol.
    pub(crate) fn subscription(version: i16, topics: &[&str], owned: &[(&str, &[i32])]) -> Bytes {
        let mut writer = Writer::of_version(version);
        writer.array(topics.len());
        for topic in topics {
            writer.string(topic);
        }
        writer.nullable_bytes(Some(b"notes"));
        if version >= 1 {
            writer.array(owned.len());
            for (topic, partitions) in owned {
                writer.string(topic);
                writer.array(partitions.len());
                for partition in *partitions {
                    writer.i32(*partition);
                }
            }
        }
        if version >= 2 {
            writer.i32(7);
        }
        if version >= 3 {
            writer.nullable_string(Some("rack"));
        }
        writer.finish()
    }

    #[test]
    fn subscriptions_of_all_versions_are_read() {
        for version in 0..=5 {
            let bytes = subscription(version, &["a", "b"], &[("a", &[1, 2])]);
            let read = Subscription::read(&bytes).unwrap();
            assert_eq!(read.topics, ["a", "b"]);
            assert_eq!(read.owned.len(), usize::from(version >= 1));
            assert_eq!(read.rack.is_some(), version >= 3, "{version}");
        }
        let hostile = [0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert!(Subscription::read(&hostile).is_err());
        assert!(Subscription::read(&[0xff, 0xff, 0, 0, 0, 0]).is_err());
        assert!(Subscription::read(b"").is_err());
    }

    #[test]
    fn assignments_are_read_as_they_were_written() {
        let partitions = vec![("a".to_owned(), vec![0, 3])];
        let bytes = Assignment::write(&subscription(1, &[], &[]), &partitions).unwrap();
        let read = Assignment::read(&bytes).unwrap();
        assert_eq!(read.partitions, partitions);
        assert!(!read.has_user_data);
        assert_eq!(Assignment::read(b""), Ok(Assignment::default()));
    }
}
