//! What a transaction marker says: the batch that ends a producer's transaction on a partition.

use crate::builder::ControlType;
use crate::codec::DecompressLimit;
use crate::view::Batch;

/// The end of a transaction, as the one record of a control batch says it; whose transaction it was, the
/// batch's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// How it ended.
    pub outcome: ControlType,
    /// Leader epoch of the coordinator's partition, by which an old coordinator is known.
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The marker in a batch. `None` if it isn't a control batch, holds control records of another kind,
    /// or none any more (compaction).
    pub(crate) fn of(batch: &Batch<'_>) -> Option<Self> {
        if !batch.attributes().is_control() {
            return None;
        }
        let records = batch.records(DecompressLimit::bytes(0)).ok()?;
        let record = records.iter().next()?.ok()?;
        // Its format's version, then the epoch; later versions may add fields behind.
        let epoch = record.value()?.get(2..6)?;
        Some(Self {
            outcome: record.control()?,
            coordinator_epoch: i32::from_be_bytes(epoch.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::{Builder, Compression, NewRecord};

    #[test]
    fn a_marker_is_read_as_it_was_built() {
        for outcome in [ControlType::Abort, ControlType::Commit] {
            let bytes = Builder::end_transaction(outcome, 4711, 3, 9, 1_000)
                .build()
                .unwrap();
            let info = Batch::parse(&bytes).unwrap().info();
            let marker = Marker {
                outcome,
                coordinator_epoch: 9,
            };
            assert_eq!(info.marker, Some(marker));
            assert_eq!((info.producer_id, info.producer_epoch), (4711, 3));
        }
    }

    #[test]
    fn other_batches_hold_no_marker() {
        let record = NewRecord {
            key: Some(&[0, 0, 0, 1]),
            value: Some(&[0; 6]),
            ..NewRecord::default()
        };
        let data = Builder::new(Compression::None).record(record);
        let of = |builder: Builder| {
            Batch::parse(&builder.build().unwrap())
                .unwrap()
                .info()
                .marker
        };
        assert_eq!(of(data.clone()), None);
        assert!(of(data.control()).is_some());
        assert_eq!(of(Builder::new(Compression::None).control()), None);
        let short = NewRecord {
            value: Some(&[0; 5]),
            ..record
        };
        assert_eq!(
            of(Builder::new(Compression::None).control().record(short)),
            None
        );
        let other = NewRecord {
            key: Some(&[0, 0, 0, 2]),
            ..record
        };
        assert_eq!(
            of(Builder::new(Compression::None).control().record(other)),
            None
        );
    }
}
