//! Records as a coordinator writes them and reads them again.

use bytes::Bytes;

/// One record for the coordinator's partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about; compaction keeps the last record of each key.
    pub key: Bytes,
    /// What is so from now on; `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// Records that are appended together, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The producer id and epoch of the transaction they are part of, if they are of one.
    pub producer: Option<(i64, i16)>,
    /// The records, at least one.
    pub records: Vec<Record>,
}

/// A record that was read from the partition's log.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its time in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The producer id and epoch of the transaction it is part of, if it is of one.
    pub producer: Option<(i64, i16)>,
    /// Its key.
    pub key: &'a Bytes,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a Bytes>,
}
