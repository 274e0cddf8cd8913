//! What a follower takes and what it doesn't, and how it begins.

use bytes::{Bytes, BytesMut};
use replica::Records;

use super::super::*;
use super::pair::*;

/// Two replicas in step, and records the second one hasn't been given yet.
async fn about_to_take(path: &std::path::Path) -> (Pair, Records, Bytes) {
    let mut pair = Pair::make(path, default_config()).await;
    pair.assign(0, &[0, 1]);
    append(&pair.nodes[0].partition, 2, None, true).unwrap();
    pair.settle().await;
    append(&pair.nodes[0].partition, 3, None, true).unwrap();
    append(&pair.nodes[0].partition, 4, None, true).unwrap();
    let (header, bytes) = pair.records(0).await;
    assert_eq!((header.base_offset, header.next_offset), (2, 9));
    (pair, header, bytes)
}

#[test]
fn bytes_that_are_not_what_they_should_be_are_refused_as_a_whole() {
    on_disk(async |path| {
        let (mut pair, header, bytes) = about_to_take(&path).await;
        let follower = Rc::clone(&pair.nodes[1].partition);
        let second = batch::batches(&bytes).next().unwrap().unwrap().size();
        let refused = |header: &Records, bytes: &[u8]| {
            let error = follower.on_records(0, header, &Bytes::copy_from_slice(bytes));
            assert_eq!(follower.log().end().appended(), 2);
            error.unwrap_err()
        };
        let mut flipped = bytes.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(matches!(
            refused(&header, &flipped),
            RecordsError::Damaged(_)
        ));
        let cut = &bytes[..bytes.len() - 1];
        assert!(matches!(refused(&header, cut), RecordsError::Damaged(_)));
        let first_only = &bytes[..second];
        assert!(matches!(
            refused(&header, first_only),
            RecordsError::Short { found: 5, said: 9 }
        ));
        let said_less = Records {
            next_offset: 8,
            ..header
        };
        assert!(matches!(
            refused(&said_less, &bytes),
            RecordsError::Unfit { found: 5, .. }
        ));
        let mut later_epoch = BytesMut::from(&bytes[..]);
        batch::stamp(&mut later_epoch[..second], 2, 9);
        assert!(matches!(
            refused(&header, &later_epoch),
            RecordsError::Unfit { epoch: 9, .. }
        ));
        let mut overlapping = BytesMut::from(&bytes[..]);
        batch::stamp(&mut overlapping[..second], 1, 1);
        assert!(matches!(
            refused(&header, &overlapping),
            RecordsError::Unfit { found: 1, .. }
        ));
        follower.on_records(0, &header, &bytes).unwrap();
        follower.on_records(0, &header, &bytes).unwrap();
        pair.settle().await;
        pair.assert_same(9).await;
        pair.close().await;
    });
}

#[test]
fn what_is_there_already_is_left_out() {
    on_disk(async |path| {
        let (mut pair, header, bytes) = about_to_take(&path).await;
        let follower = Rc::clone(&pair.nodes[1].partition);
        let second = batch::batches(&bytes).next().unwrap().unwrap().size();
        let first = Records {
            next_offset: 5,
            ..header
        };
        follower
            .on_records(0, &first, &bytes.slice(..second))
            .unwrap();
        assert_eq!(follower.log().end().appended(), 5);
        follower.on_records(0, &header, &bytes).unwrap();
        assert_eq!(follower.log().end().appended(), 9);
        pair.settle().await;
        pair.assert_same(9).await;
        pair.close().await;
    });
}

#[test]
fn a_gap_is_asked_for_again() {
    on_disk(async |path| {
        let (mut pair, header, bytes) = about_to_take(&path).await;
        let follower = Rc::clone(&pair.nodes[1].partition);
        let second = batch::batches(&bytes).next().unwrap().unwrap().size();
        let behind = Records {
            base_offset: 5,
            ..header
        };
        follower
            .on_records(0, &behind, &bytes.slice(second..))
            .unwrap();
        assert_eq!(follower.log().end().appended(), 2);
        pair.settle().await;
        pair.assert_same(9).await;
        pair.close().await;
    });
}

#[test]
fn a_follower_below_the_leaders_log_begins_anew() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0]);
        let leader = Rc::clone(&pair.nodes[0].partition);
        pair.nodes[0].kept.0.borrow_mut().clear();
        pair.nodes[1].kept.0.borrow_mut().clear();
        for _ in 0..5 {
            append(&leader, 4, None, false).unwrap();
        }
        while leader.high_watermark() < 20 {
            rt::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        leader.delete_records_before(8).await.unwrap();
        append(&leader, 4, Some(0), false).unwrap();
        pair.nodes[1].partition.connected();
        pair.settle().await;
        pair.assert_same(24).await;
        let follower = &pair.nodes[1].partition;
        assert_eq!(follower.log().log_start(), 8);
        assert_eq!(follower.held().0, 1, "it learned of the producer");
        assert_eq!(pair.changes.len(), 1, "it joined");
        pair.close().await;
    });
}

#[test]
fn a_fetch_that_waits_is_woken_by_the_high_watermark() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let waiters = [0, 1].map(|at: usize| {
            let waiter = Waiter::new(1);
            pair.nodes[at].partition.watch(&waiter, false);
            waiter
        });
        append(&pair.nodes[0].partition, 2, None, true).unwrap();
        while pair.nodes[0].partition.log().stable_end() < 2 {
            rt::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let none = std::time::Duration::ZERO;
        assert!(rt::time::timeout(none, waiters[0].fired()).await.is_err());
        pair.settle().await;
        for waiter in waiters {
            waiter.fired().await;
        }
        pair.close().await;
    });
}
