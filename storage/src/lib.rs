//! The log on a drive: segments in Kafka's format, direct I/O, indexes, recovery, retention.
//!
//! What this crate owns: everything below a drive's folder; the hot tail of each log and the
//! budget it counts against; when bytes are written, synced, believed, cut and deleted.
//!
//! What it must never do: know a request, a producer's state or a replica (owners keep those, and
//! are told through [`LogOwner`] and [`ReplayEvent`]); change a batch; let a [`LogEnd`] pass what
//! it promises.
//!
//! Everything here belongs to one shard and stays on it. The files are described in
//! `docs/formats.md`; that description is a promise.

mod aborted;
mod budget;
mod checkpoint;
mod compact;
mod config;
mod drive;
mod end;
mod epoch;
mod error;
mod files;
mod identity;
mod index;
mod kafka;
mod keep;
mod listing;
mod log;
mod metrics;
mod name;
mod policy;
mod reader;
mod recovery;
mod sealed;
mod segment;
mod tail;
mod watermarks;

pub use aborted::AbortedTransaction;
pub use budget::TailBudget;
pub use compact::plan::Compactable;
pub use compact::transactions::{LastWritten, Writers};
pub use config::{DriveConfig, LogConfig};
pub use drive::{Drive, Health, LogDir};
pub use end::LogEnd;
pub use error::{
    AppendError, DriveError, DriveFailed, LogError, LogFailure, ReadError, UnknownVersion,
};
pub use log::{
    ColdRead, Compacted, Log, LogOwner, Read, ReplayEvent, Retained, Round, TimedOffset,
};
pub use metrics::{DriveMetrics, LATENCY_BUCKETS, Latency, LogMetrics};
pub use name::{LogName, id_text, parse_id};
pub use recovery::BATCH_MAX;
pub use watermarks::Watermarks;
