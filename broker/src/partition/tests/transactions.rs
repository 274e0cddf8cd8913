//! Transactions in a partition and its follower: how far readers may see, who is fenced, what a cut takes
//! back.

use std::time::Duration;

use super::super::*;
use super::pair::*;
use crate::producers::ProducerError;

/// A batch of a transaction as a coordinator writes it, or a client where it is numbered.
pub(super) fn transactional(
    id: i64,
    epoch: i16,
    sequence: i32,
    count: usize,
) -> (BytesMut, BatchInfo) {
    let mut builder = batch::Builder::new(batch::Compression::None)
        .producer(id, epoch, sequence)
        .transactional();
    for _ in 0..count {
        builder.push(batch::NewRecord {
            timestamp: 1_000,
            value: Some(b"value"),
            ..batch::NewRecord::default()
        });
    }
    let bytes = BytesMut::from(&builder.build().unwrap()[..]);
    let info = batch::Batch::parse(&bytes).unwrap().info();
    (bytes, info)
}

fn own(partition: &Partition, id: i64, epoch: i16, count: usize) -> Appended {
    let (bytes, info) = transactional(id, epoch, -1, count);
    partition.append_own(bytes, info, 5_000).unwrap()
}

/// The last stable offset on both replicas.
fn stable(pair: &Pair) -> [i64; 2] {
    [0, 1].map(|at: usize| pair.nodes[at].partition.last_stable_offset())
}

#[test]
fn readers_stop_at_the_oldest_open_transaction() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let leader = Rc::clone(&pair.nodes[0].partition);
        append(&leader, 2, None, true).unwrap();
        own(&leader, 1, 0, 3);
        own(&leader, 2, 0, 1);
        assert_eq!(stable(&pair), [0, 0], "nothing is committed");
        pair.settle().await;
        assert_eq!(stable(&pair), [2, 2]);
        let marker = leader.end_transaction(1, 0, 5, true, 6_000).unwrap();
        assert_eq!(marker.base_offset, 6);
        assert_eq!(leader.last_stable_offset(), 2, "the marker isn't committed");
        pair.settle().await;
        assert_eq!(marker.acked.unwrap().await.unwrap(), Ok(()));
        assert_eq!(stable(&pair), [5, 5]);
        leader.end_transaction(2, 0, 5, false, 6_000).unwrap();
        pair.settle().await;
        assert_eq!(stable(&pair), [8, 8]);
        pair.assert_same(8).await;
        pair.close().await;
    });
}

#[test]
fn old_producers_and_old_coordinators_are_fenced() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let [leader, follower] = [0, 1].map(|at: usize| Rc::clone(&pair.nodes[at].partition));
        own(&leader, 1, 3, 1);
        assert!(matches!(
            leader.end_transaction(1, 2, 5, true, 6_000),
            Err(ProduceError::Producer(ProducerError::OldEpoch { .. }))
        ));
        leader.end_transaction(1, 4, 5, false, 6_000).unwrap();
        let (bytes, info) = transactional(1, 3, -1, 1);
        assert!(matches!(
            leader.append_own(bytes, info, 6_000),
            Err(ProduceError::Producer(ProducerError::OldEpoch { .. }))
        ));
        assert!(matches!(
            follower.end_transaction(1, 4, 5, false, 6_000),
            Err(ProduceError::NotServed(_))
        ));
        pair.settle().await;
        pair.assign(1, &[0, 1]);
        assert!(matches!(
            follower.end_transaction(1, 4, 4, false, 6_000),
            Err(ProduceError::Producer(ProducerError::OldCoordinator { .. }))
        ));
        pair.close().await;
    });
}

#[test]
fn a_marker_that_is_cut_off_leaves_the_transaction_open() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let old = Rc::clone(&pair.nodes[0].partition);
        own(&old, 1, 0, 4);
        pair.settle().await;
        old.end_transaction(1, 0, 5, false, 6_000).unwrap();
        own(&old, 2, 0, 1);
        while old.log().stable_end() < 6 {
            rt::time::sleep(Duration::from_millis(1)).await;
        }
        pair.assign(1, &[0, 1]);
        pair.settle().await;
        assert_eq!(old.log().end().appended(), 4);
        assert_eq!(stable(&pair), [0, 0]);
        let [old, new] = [0, 1].map(|at: usize| Rc::clone(&pair.nodes[at].partition));
        let [known, leaders] = [&old, &new].map(|replica| {
            let known = replica.producers().into_iter();
            known.map(|p| (p.producer_id, p.open)).collect::<Vec<_>>()
        });
        assert_eq!(known, [(1, Some(0))]);
        assert_eq!(known, leaders);
        new.end_transaction(1, 0, 6, true, 6_000).unwrap();
        pair.settle().await;
        assert_eq!(stable(&pair), [5, 5]);
        pair.assert_same(5).await;
        pair.close().await;
    });
}

#[test]
fn who_waits_for_what_counts_is_woken_by_the_end_of_a_transaction() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let leader = Rc::clone(&pair.nodes[0].partition);
        own(&leader, 1, 0, 1);
        pair.settle().await;
        let waits = [Waiter::new(1), Waiter::new(1)];
        leader.watch(&waits[0], false);
        leader.watch(&waits[1], true);
        let fired = async |at: usize| {
            let wait = rt::time::timeout(Duration::ZERO, waits[at].fired());
            wait.await.is_ok()
        };
        own(&leader, 1, 0, 1);
        pair.settle().await;
        assert!(fired(0).await);
        assert!(!fired(1).await, "the transaction is open");
        leader.end_transaction(1, 0, 5, true, 6_000).unwrap();
        pair.settle().await;
        assert!(fired(1).await);
        pair.close().await;
    });
}
