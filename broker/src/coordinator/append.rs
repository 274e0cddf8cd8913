//! A core's records as batches in its partition.

use batch::{Builder, Compression, NO_SEQUENCE, NewRecord};
use bytes::BytesMut;
use coordinator::Batch;
use replica::NotServed;
use storage::AppendError;

use super::CoordinatorError;
use crate::partition::{Partition, ProduceError};

/// Appends `batches` in order, with the time `now_ms` since 1970.
///
/// # Errors
/// What those who wait are to be told; some of the batches may be in the log then.
pub(super) fn append(
    partition: &Partition,
    batches: &[Batch],
    compression: Compression,
    now_ms: i64,
) -> Result<(), CoordinatorError> {
    for batch in batches {
        append_one(partition, batch, compression, now_ms)?;
    }
    Ok(())
}

fn append_one(
    partition: &Partition,
    batch: &Batch,
    compression: Compression,
    now_ms: i64,
) -> Result<(), CoordinatorError> {
    let mut builder = Builder::new(compression);
    if let Some((id, epoch)) = batch.producer {
        builder = builder.producer(id, epoch, NO_SEQUENCE).transactional();
    }
    for record in &batch.records {
        builder.push(NewRecord {
            timestamp: now_ms,
            key: Some(&record.key),
            value: record.value.as_deref(),
            headers: &[],
        });
    }
    let refused = |error: &dyn std::fmt::Display| {
        let index = partition.id().index;
        tracing::error!(topic = partition.topic(), partition = index, %error, "a coordinator's records make no batch");
        CoordinatorError::TooLarge
    };
    let bytes = builder.build().map_err(|error| refused(&error))?;
    let info = batch::Batch::parse(&bytes)
        .map_err(|error| refused(&error))?
        .info();
    let bytes = bytes
        .try_into_mut()
        .unwrap_or_else(|bytes| BytesMut::from(&bytes[..]));
    let appended = partition.append_own(bytes, info, now_ms);
    appended.map(drop).map_err(|error| told(partition, &error))
}

/// What those who wait are told of a record that wasn't appended.
fn told(partition: &Partition, error: &ProduceError) -> CoordinatorError {
    let index = partition.id().index;
    tracing::warn!(topic = partition.topic(), partition = index, %error, "a coordinator could not write");
    match error {
        ProduceError::NotServed(NotServed::NotEnoughReplicas) => CoordinatorError::NotAvailable,
        ProduceError::Append(AppendError::TooLarge { .. }) => CoordinatorError::TooLarge,
        ProduceError::NotServed(_)
        | ProduceError::Append(_)
        | ProduceError::Producer(_)
        | ProduceError::Transaction(_) => CoordinatorError::NotCoordinator,
    }
}
