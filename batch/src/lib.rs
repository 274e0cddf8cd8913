//! Kafka's record batch, version 2: the unit that is checked, stored, replicated and fetched.
//!
//! What this crate owns: the layout of a batch ([`Batch`], [`BatchInfo`], [`batches`]), the rules a
//! produced batch must keep ([`check_produced`]), the two fields a broker writes into it ([`stamp`]),
//! the records inside ([`Batch::records`]), and building one ([`Builder`], [`Open`]).
//!
//! What it must never do: read a clock, a file or a socket; allocate by a length that came from the
//! network before that length was compared with the bytes that are there; panic on any input.
//!
//! The bytes of a batch are the same on the wire and in a segment file. Base offset and partition
//! leader epoch lie before the checksummed part, so a broker stamps them without a new checksum.

mod attributes;
mod builder;
mod check;
mod codec;
mod error;
mod header;
mod marker;
mod open;
mod recompress;
mod records;
mod retain;
mod snappy;
mod stamp;
mod varint;
mod view;
mod walk;

pub use attributes::{Attributes, Compression, TimestampType};
pub use builder::{Builder, ControlType, Header, NewRecord};
pub use check::{ProducedLimits, TimestampBounds, check_produced};
pub use codec::DecompressLimit;
pub use error::{BatchError, ErrorClass, RecordFault};
pub use marker::Marker;
pub use open::{Open, ProducerFields, stamp_producer};
pub use recompress::recompress;
pub use records::{Headers, Record, RecordHeader, Records, RecordsIter};
pub use retain::{Horizon, Retained, emptied, retain};
pub use stamp::{stamp, stamp_append_time, stamp_create_time};
pub use view::{Batch, BatchInfo, Batches, batches};

/// Length of a batch's header: every batch is at least this long.
pub const HEADER_LEN: usize = 61;

/// Bytes in front of what the batch's length field counts: base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;

/// The only record format this crate reads and writes.
pub const MAGIC: i8 = 2;

/// Producer id of a batch written without idempotence.
pub const NO_PRODUCER_ID: i64 = -1;

/// Producer epoch of a batch written without idempotence.
pub const NO_PRODUCER_EPOCH: i16 = -1;

/// Sequence of a batch written without idempotence, and of control batches.
pub const NO_SEQUENCE: i32 = -1;

/// Timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;

/// Partition leader epoch of a batch no leader has taken yet.
pub const NO_LEADER_EPOCH: i32 = -1;
