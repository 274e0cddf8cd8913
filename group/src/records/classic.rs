//! `GroupMetadataKey` (2) and `GroupMetadataValue` (0 to 4).

use bytes::Bytes;
use coordinator::Record;
use coordinator::wire::{Malformed, Reader, Writer};

use super::Unreadable;

/// What a record says of a classic group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupMetadata<'a> {
    /// Empty if the group has none.
    pub(crate) protocol_type: &'a str,
    pub(crate) generation: i32,
    pub(crate) protocol: Option<&'a str>,
    pub(crate) leader: Option<&'a str>,
    /// Since when it is in its state, in milliseconds since 1970; -1 if that isn't known.
    pub(crate) state_since_ms: i64,
    pub(crate) members: Vec<MemberMetadata<'a>>,
}

/// What it says of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberMetadata<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) client_id: &'a str,
    pub(crate) client_host: &'a str,
    /// -1 if it is not said: then it is the session's.
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) subscription: &'a [u8],
    pub(crate) assignment: &'a [u8],
}

/// Reads the group's id, which follows the version of the key.
pub(crate) fn read_key(mut fields: Reader<'_>) -> Result<&str, Malformed> {
    let group = fields.string()?;
    fields.end()?;
    Ok(group)
}

fn key(group: &str) -> Bytes {
    let mut key = Writer::of_version(2);
    key.string(group);
    key.finish()
}

/// The record that says that there is no such group.
pub(crate) fn tombstone(group: &str) -> Record {
    Record {
        key: key(group),
        value: None,
    }
}

impl<'a> GroupMetadata<'a> {
    /// The record that says so, of version 3, which is what Kafka 4.1 writes.
    pub(crate) fn record(&self, group: &str) -> Record {
        let mut value = Writer::of_version(3);
        value.string(self.protocol_type);
        value.i32(self.generation);
        value.nullable_string(self.protocol);
        value.nullable_string(self.leader);
        value.i64(self.state_since_ms);
        value.array(self.members.len());
        for member in &self.members {
            value.string(member.id);
            value.nullable_string(member.instance);
            value.string(member.client_id);
            value.string(member.client_host);
            value.i32(member.rebalance_timeout_ms);
            value.i32(member.session_timeout_ms);
            value.bytes(member.subscription);
            value.bytes(member.assignment);
        }
        Record {
            key: key(group),
            value: Some(value.finish()),
        }
    }

    /// Reads a value.
    pub(crate) fn read(value: &'a [u8]) -> Result<Self, Unreadable> {
        let mut fields = Reader::new(value);
        let version = fields.i16()?;
        match version {
            0..=3 => Ok(Self::read_old(fields, version)?),
            4 => Ok(Self::read_compact(fields)?),
            _ => Err(Unreadable::Version(version)),
        }
    }

    fn read_old(mut fields: Reader<'a>, version: i16) -> Result<Self, Malformed> {
        let mut group = Self {
            protocol_type: fields.string()?,
            generation: fields.i32()?,
            protocol: fields.nullable_string()?,
            leader: fields.nullable_string()?,
            state_since_ms: if version >= 2 { fields.i64()? } else { -1 },
            members: Vec::new(),
        };
        for _ in 0..fields.array()? {
            group.members.push(MemberMetadata {
                id: fields.string()?,
                instance: if version >= 3 {
                    fields.nullable_string()?
                } else {
                    None
                },
                client_id: fields.string()?,
                client_host: fields.string()?,
                rebalance_timeout_ms: if version >= 1 { fields.i32()? } else { -1 },
                session_timeout_ms: fields.i32()?,
                subscription: fields.bytes()?,
                assignment: fields.bytes()?,
            });
        }
        fields.end()?;
        Ok(group)
    }

    fn read_compact(mut fields: Reader<'a>) -> Result<Self, Malformed> {
        let mut group = Self {
            protocol_type: fields.compact_string()?,
            generation: fields.i32()?,
            protocol: fields.compact_nullable_string()?,
            leader: fields.compact_nullable_string()?,
            state_since_ms: fields.i64()?,
            members: Vec::new(),
        };
        for _ in 0..fields.compact_array()? {
            group.members.push(MemberMetadata {
                id: fields.compact_string()?,
                instance: fields.compact_nullable_string()?,
                client_id: fields.compact_string()?,
                client_host: fields.compact_string()?,
                rebalance_timeout_ms: fields.i32()?,
                session_timeout_ms: fields.i32()?,
                subscription: fields.compact_bytes()?,
                assignment: fields.compact_bytes()?,
            });
            fields.no_tagged()?;
        }
        fields.no_tagged()?;
        fields.end()?;
        Ok(group)
    }
}
