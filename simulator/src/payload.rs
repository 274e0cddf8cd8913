//! Records of the metadata as an entry's payload or a snapshot's content: each with its length before it.

use bytes::Bytes;
use metadata::Record;

/// The bytes of these records.
pub(crate) fn encode(records: &[Record]) -> Bytes {
    let mut bytes = Vec::new();
    for record in records {
        let one = metadata::encode(record);
        bytes.extend((one.len() as u32).to_le_bytes());
        bytes.extend(one);
    }
    bytes.into()
}

/// The records of these bytes.
pub(crate) fn decode(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (one, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        // A kind that may be skipped isn't written by this version.
        match metadata::decode(one) {
            Ok(record) => records.extend(record),
            Err(error) => panic!("what was proposed can't be read: {error}"),
        }
        bytes = rest;
    }
    records
}
