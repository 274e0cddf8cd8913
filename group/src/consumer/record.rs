//! What a consumer group is, as records: Kafka's schemas of KIP-848, keys 3 to 8 and 16.
//!
//! Everything that changes a group is a [`Change`], so that the records of a group always make the same
//! group again.

use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use coordinator::Record;
use coordinator::wire::{Malformed, Reader, Writer};

use super::member::{About, Classic, Standing, State};
use crate::assign::Partitions;

const EPOCH: i16 = 3;
const PARTITION_METADATA: i16 = 4;
const MEMBER: i16 = 5;
const ASSIGNMENT_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;
const REGEX: i16 = 16;

/// The topics that a regular expression is resolved to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Their names.
    pub topics: BTreeSet<String>,
    /// The version of the metadata.
    pub version: i64,
    /// When that was, in milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// One record: what is so from now on, `None` if it is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The epoch of the group, and the hash of its topics. Without it, the group is no more.
    Epoch(Option<(i32, i64)>),
    /// Metadata of partitions, which Kafka before 4.1 wrote: only whether it is there matters.
    PartitionMetadata(bool),
    /// What a member said of itself.
    Member(String, Option<About>),
    /// The epoch of the target assignment.
    AssignmentEpoch(Option<i32>),
    /// What a member shall have.
    Target(String, Option<Partitions>),
    /// Where a member stands.
    Standing(String, Option<Standing>),
    /// What a regular expression means.
    Regex(String, Option<Resolved>),
}

/// Whether keys of this version are of consumer groups.
pub(crate) fn is_known(version: i16) -> bool {
    (EPOCH..=CURRENT).contains(&version) || version == REGEX
}

impl Change {
    fn version(&self) -> i16 {
        match self {
            Self::Epoch(_) => EPOCH,
            Self::PartitionMetadata(_) => PARTITION_METADATA,
            Self::Member(..) => MEMBER,
            Self::AssignmentEpoch(_) => ASSIGNMENT_EPOCH,
            Self::Target(..) => TARGET,
            Self::Standing(..) => CURRENT,
            Self::Regex(..) => REGEX,
        }
    }

    /// The record of this change of a group.
    pub(crate) fn record(&self, group: &str) -> Record {
        let mut key = Writer::of_version(self.version());
        key.string(group);
        if let Self::Member(id, _)
        | Self::Target(id, _)
        | Self::Standing(id, _)
        | Self::Regex(id, _) = self
        {
            key.string(id);
        }
        Record {
            key: key.finish(),
            value: self.value(),
        }
    }

    fn value(&self) -> Option<Bytes> {
        let mut out = Writer::of_version(0);
        match self {
            Self::Epoch(epoch) => {
                let (epoch, hash) = (*epoch)?;
                out.i32(epoch);
                match hash {
                    0 => out.tagged(&[]),
                    _ => out.tagged(&[(0, Bytes::copy_from_slice(&hash.to_be_bytes()))]),
                }
                return Some(out.finish());
            }
            // It is never written, only taken away.
            Self::PartitionMetadata(_) => return None,
            Self::Member(_, about) => return Some(write_about(out, about.as_ref()?)),
            Self::AssignmentEpoch(epoch) => out.i32((*epoch)?),
            Self::Target(_, partitions) => write_partitions(&mut out, partitions.as_ref()?),
            Self::Standing(_, standing) => {
                let standing = standing.as_ref()?;
                out.i32(standing.epoch);
                out.i32(standing.previous_epoch);
                out.i8(state_number(standing.state));
                write_partitions(&mut out, &standing.assigned);
                write_partitions(&mut out, &standing.revoking);
            }
            Self::Regex(_, resolved) => {
                let resolved = resolved.as_ref()?;
                out.compact_array(resolved.topics.len());
                for topic in &resolved.topics {
                    out.compact_string(topic);
                }
                out.i64(resolved.version);
                out.i64(resolved.timestamp_ms);
            }
        }
        out.tagged(&[]);
        Some(out.finish())
    }

    /// Reads a record whose key has this version, and which group it is about.
    ///
    /// # Errors
    /// It isn't of a consumer group, or malformed.
    pub(crate) fn read(
        version: i16,
        mut key: Reader<'_>,
        value: Option<&[u8]>,
    ) -> Result<(String, Self), Malformed> {
        let group = key.string()?.to_owned();
        let mut value = match value {
            Some(value) => {
                let mut value = Reader::new(value);
                match value.i16()? {
                    0 => Some(value),
                    unknown => return Err(Malformed::Length(i64::from(unknown))),
                }
            }
            None => None,
        };
        let value = value.as_mut();
        let mut id = || key.string().map(str::to_owned);
        let change = match version {
            EPOCH => Self::Epoch(value.map(read_epoch).transpose()?),
            PARTITION_METADATA => Self::PartitionMetadata(value.is_some()),
            MEMBER => Self::Member(id()?, value.map(read_about).transpose()?),
            ASSIGNMENT_EPOCH => Self::AssignmentEpoch(value.map(Reader::i32).transpose()?),
            TARGET => Self::Target(id()?, value.map(read_partitions).transpose()?),
            CURRENT => Self::Standing(id()?, value.map(read_standing).transpose()?),
            REGEX => Self::Regex(id()?, value.map(read_resolved).transpose()?),
            _ => return Err(Malformed::Length(i64::from(version))),
        };
        Ok((group, change))
    }
}

fn state_number(state: State) -> i8 {
    match state {
        State::Stable => 0,
        State::UnrevokedPartitions => 1,
        State::UnreleasedPartitions => 2,
        State::Unknown => 127,
    }
}

/// Writes partitions by topic, as several records have them.
pub(crate) fn write_partitions(out: &mut Writer, partitions: &Partitions) {
    out.compact_array(partitions.len());
    for (topic, partitions) in partitions {
        out.uuid(*topic);
        out.compact_array(partitions.len());
        for partition in partitions {
            out.i32(*partition);
        }
        out.tagged(&[]);
    }
}

fn write_about(mut out: Writer, about: &About) -> Bytes {
    out.compact_nullable_string(about.instance_id.as_deref());
    out.compact_nullable_string(about.rack_id.as_deref());
    out.compact_string(&about.client_id);
    out.compact_string(&about.client_host);
    out.compact_array(about.topics.len());
    for topic in &about.topics {
        out.compact_string(topic);
    }
    out.compact_nullable_string(about.regex.as_deref());
    out.i32(about.rebalance_timeout_ms);
    out.compact_nullable_string(about.assignor.as_deref());
    // Kafka takes one that isn't there for an empty one, so that null has to be written.
    let classic = about.classic.as_ref();
    let classic = classic.map_or(Bytes::from_static(&[0]), |classic| write_classic(classic));
    out.tagged(&[(0, classic)]);
    out.finish()
}

fn write_classic(classic: &Classic) -> Bytes {
    let mut out = Writer::default();
    // A structure that may be null says first that it isn't.
    out.varint(1);
    out.i32(classic.session_timeout_ms);
    out.compact_array(classic.protocols.len());
    for (name, metadata) in &classic.protocols {
        out.compact_string(name);
        out.compact_bytes(metadata);
        out.tagged(&[]);
    }
    out.tagged(&[]);
    out.finish()
}

fn read_epoch(value: &mut Reader<'_>) -> Result<(i32, i64), Malformed> {
    let epoch = value.i32()?;
    let mut hash = 0;
    value.tagged(|tag, mut field| {
        if tag == 0 {
            hash = field.i64()?;
        }
        Ok(())
    })?;
    Ok((epoch, hash))
}

/// Reads what [`write_partitions`] writes.
pub(crate) fn read_partitions(value: &mut Reader<'_>) -> Result<Partitions, Malformed> {
    let mut partitions = Partitions::new();
    for _ in 0..value.compact_array()? {
        let topic = value.uuid()?;
        let count = value.compact_array()?;
        let of_topic: BTreeSet<i32> = (0..count).map(|_| value.i32()).collect::<Result<_, _>>()?;
        value.no_tagged()?;
        if !of_topic.is_empty() {
            partitions.insert(topic, of_topic);
        }
    }
    Ok(partitions)
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn read_about(value: &mut Reader<'_>) -> Result<About, Malformed> {
    let mut about = About {
        instance_id: owned(value.compact_nullable_string()?),
        rack_id: owned(value.compact_nullable_string()?),
        client_id: value.compact_string()?.to_owned(),
        client_host: value.compact_string()?.to_owned(),
        ..About::default()
    };
    for _ in 0..value.compact_array()? {
        about.topics.insert(value.compact_string()?.to_owned());
    }
    about.regex = owned(
        value
            .compact_nullable_string()?
            .filter(|regex| !regex.is_empty()),
    );
    about.rebalance_timeout_ms = value.i32()?;
    about.assignor = owned(value.compact_nullable_string()?);
    value.tagged(|tag, mut field| {
        if tag == 0 && field.varint()? != 0 {
            about.classic = Some(Rc::new(read_classic(&mut field)?));
        }
        Ok(())
    })?;
    Ok(about)
}

fn read_classic(value: &mut Reader<'_>) -> Result<Classic, Malformed> {
    let mut classic = Classic {
        session_timeout_ms: value.i32()?,
        protocols: Vec::new(),
    };
    for _ in 0..value.compact_array()? {
        let name = value.compact_string()?.to_owned();
        let metadata = Bytes::copy_from_slice(value.compact_bytes()?);
        value.no_tagged()?;
        classic.protocols.push((name, metadata));
    }
    Ok(classic)
}

fn read_standing(value: &mut Reader<'_>) -> Result<Standing, Malformed> {
    Ok(Standing {
        epoch: value.i32()?,
        previous_epoch: value.i32()?,
        state: match value.i8()? {
            0 => State::Stable,
            1 => State::UnrevokedPartitions,
            2 => State::UnreleasedPartitions,
            _ => State::Unknown,
        },
        assigned: read_partitions(value)?,
        revoking: read_partitions(value)?,
    })
}

fn read_resolved(value: &mut Reader<'_>) -> Result<Resolved, Malformed> {
    let count = value.compact_array()?;
    Ok(Resolved {
        topics: (0..count)
            .map(|_| value.compact_string().map(str::to_owned))
            .collect::<Result<_, _>>()?,
        version: value.i64()?,
        timestamp_ms: value.i64()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use uuid::Uuid;

    fn again(change: &Change) {
        let record = change.record("group");
        let mut key = Reader::new(&record.key);
        let version = key.i16().unwrap();
        assert!(is_known(version));
        let read = Change::read(version, key, record.value.as_deref()).unwrap();
        assert_eq!(read, ("group".to_owned(), change.clone()));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let partitions = Partitions::from([(Uuid::from_u128(5), BTreeSet::from([0, 7]))]);
        let about = About {
            instance_id: Some("instance".into()),
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            topics: BTreeSet::from(["a".into(), "b".into()]),
            regex: Some("c.*".into()),
            assignor: Some("range".into()),
            classic: Some(Rc::new(Classic {
                session_timeout_ms: 6000,
                protocols: vec![("range".into(), Bytes::from_static(b"metadata"))],
            })),
            ..About::default()
        };
        again(&Change::Epoch(Some((3, -4))));
        again(&Change::Epoch(Some((3, 0))));
        again(&Change::Epoch(None));
        again(&Change::PartitionMetadata(false));
        again(&Change::Member("member".into(), Some(about)));
        again(&Change::Member("member".into(), Some(About::default())));
        again(&Change::AssignmentEpoch(Some(2)));
        again(&Change::Target("member".into(), Some(partitions.clone())));
        again(&Change::Target("member".into(), None));
        for state in [State::UnrevokedPartitions, State::UnreleasedPartitions] {
            let standing = Standing {
                epoch: 4,
                previous_epoch: 3,
                state,
                assigned: partitions.clone(),
                revoking: partitions.clone(),
            };
            again(&Change::Standing("member".into(), Some(standing)));
        }
        let resolved = Resolved {
            topics: BTreeSet::from(["cat".into()]),
            version: 9,
            timestamp_ms: 10,
        };
        again(&Change::Regex("c.*".into(), Some(resolved)));
    }
}
