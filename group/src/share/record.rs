//! What a share group is, as records: Kafka's schemas of KIP-932, keys 10 to 15.
//!
//! Everything that changes a group is a [`Change`], so that the records of a group always make the same
//! group again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use coordinator::Record;
use coordinator::wire::{Malformed, Reader, Writer};
use uuid::Uuid;

use super::member::{About, Standing};
use crate::assign::Partitions;
use crate::consumer::{read_partitions, write_partitions};

const MEMBER: i16 = 10;
const EPOCH: i16 = 11;
const ASSIGNMENT_EPOCH: i16 = 12;
const TARGET: i16 = 13;
const CURRENT: i16 = 14;
const STATES: i16 = 15;

/// The number of the one state that members of share groups have.
const STABLE: i8 = 0;

/// Partitions of a topic, whose name is told for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub name: String,
    pub partitions: BTreeSet<i32>,
}

/// How far the share-partitions of a group are with their state, which the share coordinator keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct States {
    /// The state is being made.
    pub initializing: BTreeMap<Uuid, Named>,
    /// It is there, so that the partition may be assigned.
    pub initialized: BTreeMap<Uuid, Named>,
    /// It is being deleted; by topic, with the topic's name.
    pub deleting: BTreeMap<Uuid, String>,
}

/// One record: what is so from now on, `None` if it is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The epoch of the group, and the hash of its topics. Without it, the group is no more.
    Epoch(Option<(i32, i64)>),
    /// What a member said of itself.
    Member(String, Option<About>),
    /// The epoch of the target assignment.
    AssignmentEpoch(Option<i32>),
    /// What a member shall have.
    Target(String, Option<Partitions>),
    /// Where a member stands.
    Standing(String, Option<Standing>),
    /// How far the share-partitions are.
    States(Option<States>),
}

/// Whether keys of this version are of share groups.
pub(crate) fn is_known(version: i16) -> bool {
    (MEMBER..=STATES).contains(&version)
}

impl Change {
    fn version(&self) -> i16 {
        match self {
            Self::Epoch(_) => EPOCH,
            Self::Member(..) => MEMBER,
            Self::AssignmentEpoch(_) => ASSIGNMENT_EPOCH,
            Self::Target(..) => TARGET,
            Self::Standing(..) => CURRENT,
            Self::States(_) => STATES,
        }
    }

    /// The record of this change of a group.
    pub(crate) fn record(&self, group: &str) -> Record {
        let mut key = Writer::of_version(self.version());
        key.string(group);
        if let Self::Member(id, _) | Self::Target(id, _) | Self::Standing(id, _) = self {
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
                out.i64(hash);
            }
            Self::Member(_, about) => write_about(&mut out, about.as_ref()?),
            Self::AssignmentEpoch(epoch) => out.i32((*epoch)?),
            Self::Target(_, partitions) => write_partitions(&mut out, partitions.as_ref()?),
            Self::Standing(_, standing) => {
                let standing = standing.as_ref()?;
                out.i32(standing.epoch);
                out.i32(standing.previous_epoch);
                out.i8(STABLE);
                write_partitions(&mut out, &standing.assigned);
            }
            Self::States(states) => write_states(&mut out, states.as_ref()?),
        }
        out.tagged(&[]);
        Some(out.finish())
    }

    /// Reads a record whose key has this version, and which group it is about.
    ///
    /// # Errors
    /// It isn't of a share group, or malformed.
    pub(crate) fn read(
        version: i16,
        mut key: Reader<'_>,
        value: Option<&[u8]>,
    ) -> Result<(String, Self), Malformed> {
        let group = key.string()?.to_owned();
        let mut value = value.map(Reader::new);
        if let Some(value) = &mut value {
            match value.i16()? {
                0 => {}
                unknown => return Err(Malformed::Length(i64::from(unknown))),
            }
        }
        let value = value.as_mut();
        let mut id = || key.string().map(str::to_owned);
        let epoch = |value: &mut Reader<'_>| Ok((value.i32()?, value.i64()?));
        let change = match version {
            MEMBER => Self::Member(id()?, value.map(read_about).transpose()?),
            EPOCH => Self::Epoch(value.map(epoch).transpose()?),
            ASSIGNMENT_EPOCH => Self::AssignmentEpoch(value.map(Reader::i32).transpose()?),
            TARGET => Self::Target(id()?, value.map(read_partitions).transpose()?),
            CURRENT => Self::Standing(id()?, value.map(read_standing).transpose()?),
            STATES => Self::States(value.map(read_states).transpose()?),
            _ => return Err(Malformed::Length(i64::from(version))),
        };
        Ok((group, change))
    }
}

fn write_about(out: &mut Writer, about: &About) {
    out.compact_nullable_string(about.rack_id.as_deref());
    out.compact_string(&about.client_id);
    out.compact_string(&about.client_host);
    out.compact_array(about.topics.len());
    for topic in &about.topics {
        out.compact_string(topic);
    }
}

fn read_about(value: &mut Reader<'_>) -> Result<About, Malformed> {
    let mut about = About {
        rack_id: value.compact_nullable_string()?.map(str::to_owned),
        client_id: value.compact_string()?.to_owned(),
        client_host: value.compact_string()?.to_owned(),
        ..About::default()
    };
    for _ in 0..value.compact_array()? {
        about.topics.insert(value.compact_string()?.to_owned());
    }
    Ok(about)
}

fn read_standing(value: &mut Reader<'_>) -> Result<Standing, Malformed> {
    let (epoch, previous_epoch, _) = (value.i32()?, value.i32()?, value.i8()?);
    Ok(Standing {
        epoch,
        previous_epoch,
        assigned: read_partitions(value)?,
    })
}

fn write_named(out: &mut Writer, topics: &BTreeMap<Uuid, Named>) {
    out.compact_array(topics.len());
    for (topic, Named { name, partitions }) in topics {
        out.uuid(*topic);
        out.compact_string(name);
        out.compact_array(partitions.len());
        for partition in partitions {
            out.i32(*partition);
        }
        out.tagged(&[]);
    }
}

fn write_states(out: &mut Writer, states: &States) {
    write_named(out, &states.initializing);
    write_named(out, &states.initialized);
    out.compact_array(states.deleting.len());
    for (topic, name) in &states.deleting {
        out.uuid(*topic);
        out.compact_string(name);
        out.tagged(&[]);
    }
}

fn read_named(value: &mut Reader<'_>) -> Result<BTreeMap<Uuid, Named>, Malformed> {
    let mut topics = BTreeMap::new();
    for _ in 0..value.compact_array()? {
        let topic = value.uuid()?;
        let name = value.compact_string()?.to_owned();
        let count = value.compact_array()?;
        let partitions: BTreeSet<i32> =
            (0..count).map(|_| value.i32()).collect::<Result<_, _>>()?;
        value.no_tagged()?;
        if !partitions.is_empty() {
            topics.insert(topic, Named { name, partitions });
        }
    }
    Ok(topics)
}

fn read_states(value: &mut Reader<'_>) -> Result<States, Malformed> {
    let mut states = States {
        initializing: read_named(value)?,
        initialized: read_named(value)?,
        deleting: BTreeMap::new(),
    };
    for _ in 0..value.compact_array()? {
        let topic = value.uuid()?;
        let name = value.compact_string()?.to_owned();
        value.no_tagged()?;
        states.deleting.insert(topic, name);
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A change as Apache Kafka 4.1.1 writes it, both ways; and its end.
    fn is(change: &Change, key: &str, value: &str) {
        let record = change.record("g");
        assert_eq!(hex(&record.key), key);
        assert_eq!(hex(record.value.as_deref().unwrap()), value);
        let read = |value: Option<&[u8]>| {
            let mut key = Reader::new(&record.key);
            let version = key.i16().unwrap();
            assert!(is_known(version));
            Change::read(version, key, value).unwrap()
        };
        assert_eq!(
            read(record.value.as_deref()),
            ("g".to_owned(), change.clone())
        );
        let (_, end) = read(None);
        assert_eq!(end.record("g").key, record.key);
        assert_eq!(end.record("g").value, None);
    }

    #[test]
    fn records_are_written_as_kafka_writes_them() {
        let topic = Uuid::from_u64_pair(1, 2);
        let both = BTreeSet::from([0, 3]);
        let partitions = Partitions::from([(topic, both.clone())]);
        let about = About {
            rack_id: Some("r".into()),
            client_id: "c".into(),
            client_host: "/h".into(),
            topics: BTreeSet::from(["s".into(), "t".into()]),
        };
        is(
            &Change::Member("m".into(), Some(about)),
            "000a00016700016d",
            "000002720263032f68030273027400",
        );
        is(
            &Change::Epoch(Some((5, -7))),
            "000b000167",
            "000000000005fffffffffffffff900",
        );
        is(
            &Change::AssignmentEpoch(Some(4)),
            "000c000167",
            "00000000000400",
        );
        is(
            &Change::Target("m".into(), Some(partitions.clone())),
            "000d00016700016d",
            "000002000000000000000100000000000000020300000000000000030000",
        );
        let standing = Standing {
            epoch: 4,
            previous_epoch: 3,
            assigned: partitions,
        };
        is(
            &Change::Standing("m".into(), Some(standing)),
            "000e00016700016d",
            "000000000004000000030002000000000000000100000000000000020300000000000000030000",
        );
        let named = Named {
            name: "t".into(),
            partitions: both,
        };
        let states = States {
            initializing: BTreeMap::from([(topic, named.clone())]),
            initialized: BTreeMap::from([(topic, named)]),
            deleting: BTreeMap::from([(topic, "u".into())]),
        };
        is(
            &Change::States(Some(states)),
            "000f000167",
            "000002000000000000000100000000000000020274030000000000000003000200000000000000010000000000000002027403000000000000000300020000000000000001000000000000000202750000",
        );
    }
}
