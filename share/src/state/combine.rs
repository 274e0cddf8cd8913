//! Putting what changed of a share-partition together with what is known of it.

use std::collections::BinaryHeap;

use crate::partition::StateBatch;

/// What orders batches that have an offset in common: the one that was delivered more often is newer, and
/// of the same delivery the one that ends it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Layer {
    delivery_count: i16,
    state: i8,
    last: i64,
}

/// All of `known` and `changed` from `start` on, without overlaps, in order of their offsets, and in as few
/// batches as possible. Of several batches that have an offset in common the one with the highest delivery count
/// counts, then the one with the highest state (available, acknowledged, archived).
///
/// Every batch's first offset must be at most its last, and that less than the highest number.
pub(crate) fn combine(known: &[StateBatch], changed: &[StateBatch], start: i64) -> Vec<StateBatch> {
    let all = known.iter().chain(changed);
    let mut all: Vec<StateBatch> = all
        .filter(|batch| batch.last_offset >= start)
        .map(|batch| StateBatch {
            first_offset: batch.first_offset.max(start),
            ..*batch
        })
        .collect();
    all.sort_by_key(|batch| batch.first_offset);
    let mut rest = all.into_iter().peekable();
    let mut combined = Vec::new();
    let mut layers: BinaryHeap<Layer> = BinaryHeap::new();
    let mut at = start;
    loop {
        while layers.peek().is_some_and(|layer| layer.last < at) {
            layers.pop();
        }
        let next = rest.peek().map(|batch| batch.first_offset);
        match (layers.peek(), next) {
            (None, None) => return combined,
            (None, Some(next)) => at = next,
            (Some(top), next) => {
                let last = next.map_or(top.last, |next| top.last.min(next - 1));
                push(
                    &mut combined,
                    StateBatch {
                        first_offset: at,
                        last_offset: last,
                        delivery_state: top.state,
                        delivery_count: top.delivery_count,
                    },
                );
                at = last + 1;
            }
        }
        while let Some(batch) = rest.next_if(|batch| batch.first_offset <= at) {
            layers.push(Layer {
                delivery_count: batch.delivery_count,
                state: batch.delivery_state,
                last: batch.last_offset,
            });
        }
    }
}

/// Adds a batch, to the one before where it goes on with the same.
fn push(combined: &mut Vec<StateBatch>, batch: StateBatch) {
    match combined.last_mut() {
        Some(before)
            if before.last_offset + 1 == batch.first_offset
                && before.delivery_state == batch.delivery_state
                && before.delivery_count == batch.delivery_count =>
        {
            before.last_offset = batch.last_offset;
        }
        _ => combined.push(batch),
    }
}
