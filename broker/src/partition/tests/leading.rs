//! Who waits for whom: the two kinds of acknowledgement, the change of leaders, what may be deleted.

use replica::NotServed;
use storage::Watermarks;

use super::super::*;
use super::pair::*;

#[test]
fn acks_of_all_wait_for_the_follower_and_acks_of_one_do_not() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let leader = Rc::clone(&pair.nodes[0].partition);
        let mut all = append(&leader, 3, None, true).unwrap().acked.unwrap();
        let one = append(&leader, 2, None, false).unwrap();
        assert_eq!(one.base_offset, 3);
        if let Some(one) = one.acked {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        assert_eq!(leader.high_watermark(), 0);
        assert!(now(&mut all).await.is_none(), "the follower has nothing");
        pair.settle().await;
        assert_eq!(all.await.unwrap(), Ok(()));
        pair.assert_same(5).await;
        assert_eq!(
            leader.held().1,
            0,
            "nothing is left above the high watermark"
        );
        pair.close().await;
    });
}

#[test]
fn too_few_in_sync_are_told_before_or_after() {
    on_disk(async |path| {
        let config = TopicConfig {
            min_insync_replicas: 2,
            ..default_config()
        };
        let mut pair = Pair::make(&path, config).await;
        pair.assign(0, &[0, 1]);
        let leader = Rc::clone(&pair.nodes[0].partition);
        let waiting = append(&leader, 1, None, true).unwrap().acked.unwrap();
        while leader.log().stable_end() < 1 {
            rt::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        pair.assign(0, &[0]);
        assert_eq!(waiting.await.unwrap(), Err(AckError::NotEnoughReplicas));
        assert_eq!(leader.high_watermark(), 1);
        assert!(matches!(
            append(&leader, 1, None, true),
            Err(ProduceError::NotServed(NotServed::NotEnoughReplicas))
        ));
        assert_eq!(append(&leader, 1, None, false).unwrap().base_offset, 1);
        pair.settle().await;
        assert_eq!(
            pair.changes.len(),
            1,
            "the follower has caught up and joins"
        );
        assert!(append(&leader, 1, None, true).is_ok());
        pair.settle().await;
        pair.assert_same(3).await;
        pair.close().await;
    });
}

#[test]
fn a_new_leader_has_the_old_one_cut_what_it_does_not_have() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let [old, new] = [0, 1].map(|at: usize| Rc::clone(&pair.nodes[at].partition));
        append(&old, 10, Some(0), true).unwrap();
        pair.settle().await;
        let lost = append(&old, 5, Some(10), true).unwrap().acked.unwrap();
        append(&old, 5, Some(15), false).unwrap();
        pair.assign(1, &[0, 1]);
        assert_eq!(lost.await.unwrap(), Err(AckError::NotLeader));
        assert_eq!(old.check(-1, true), Err(NotServed::NotLeaderOrFollower));
        assert_eq!(old.check(-1, false), Ok(()), "it may be read from");
        assert_eq!(old.check(1, false), Err(NotServed::FencedLeaderEpoch));
        // The producer goes on with the new leader, which knows where it was.
        let again = append(&new, 5, Some(10), true).unwrap();
        assert_eq!(again.base_offset, 10);
        pair.settle().await;
        pair.assert_same(15).await;
        assert_eq!(again.acked.unwrap().await.unwrap(), Ok(()));
        assert_eq!(old.log().epoch_end(1), (1, 10));
        // And with the first one again, whose memory of what it cut off is gone.
        pair.assign(0, &[0, 1]);
        pair.settle().await;
        let repeated = append(&old, 5, Some(10), true).unwrap();
        assert_eq!(repeated.base_offset, 10, "it is there already");
        assert_eq!(append(&old, 5, Some(15), true).unwrap().base_offset, 15);
        pair.settle().await;
        pair.assert_same(20).await;
        pair.close().await;
    });
}

#[test]
fn an_assignment_waits_for_the_end_of_a_cut() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let old = Rc::clone(&pair.nodes[0].partition);
        append(&old, 10, None, true).unwrap();
        pair.assign(1, &[0, 1]);
        append(&pair.nodes[1].partition, 4, None, true).unwrap();
        // Up to the answer that has the log cut back, which takes its time.
        while !old.state.borrow().work.is_cutting() {
            for at in 0..2 {
                pair.deliver_all(at);
            }
            rt::time::sleep(std::time::Duration::from_micros(10)).await;
        }
        pair.assign(0, &[0, 1]);
        assert_eq!(old.leader_epoch(), 2, "still the one before");
        assert!(!old.is_leader());
        pair.settle().await;
        assert!(old.is_leader());
        assert_eq!(old.leader_epoch(), 3);
        // What it asked while there was no leader was refused, and is asked again.
        pair.nodes[1].partition.connected();
        pair.settle().await;
        pair.assert_same(0).await;
        pair.close().await;
    });
}

#[test]
fn nothing_is_deleted_above_the_high_watermark_and_the_follower_deletes_too() {
    on_disk(async |path| {
        let config = TopicConfig {
            retention_ms: 0,
            segment_bytes: 4_000,
            ..default_config()
        };
        let mut pair = Pair::make(&path, config).await;
        pair.assign(0, &[0, 1]);
        let [leader, follower] = [0, 1].map(|at: usize| Rc::clone(&pair.nodes[at].partition));
        for _ in 0..10 {
            append(&leader, 4, None, false).unwrap();
        }
        while leader.log().stable_end() < 40 {
            rt::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let far = rt::time::wall_ms();
        assert_eq!(leader.retain(far).await.unwrap().segments, 0);
        pair.settle().await;
        leader.delete_records_before(13).await.unwrap();
        let mut everywhere = Box::pin(leader.deleted_everywhere(13));
        let waited = rt::time::timeout(std::time::Duration::ZERO, &mut everywhere).await;
        assert!(waited.is_err(), "the follower knows nothing of it yet");
        pair.settle().await;
        assert_eq!(everywhere.await, Ok(13));
        assert_eq!(follower.log().log_start(), 13);
        leader.retain(far).await.unwrap();
        assert_eq!(leader.log().log_start(), 40);
        pair.settle().await;
        assert_eq!(follower.log().log_start(), 40);
        pair.close().await;
    });
}

#[test]
fn high_watermarks_are_kept_of_partitions_with_other_replicas() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        append(&pair.nodes[0].partition, 6, None, true).unwrap();
        pair.settle().await;
        append(&pair.nodes[0].partition, 1, None, true).unwrap();
        let node = &pair.nodes[0];
        node.partition.note_watermark();
        node.watermarks.write().await.unwrap();
        let read = Watermarks::open(&node.drive).await;
        assert_eq!((read.get("t", 0), read.get("t", 1)), (Some(6), None));
        let text = std::fs::read_to_string(node.drive.path().join("replication-offset-checkpoint"));
        assert_eq!(text.unwrap(), "0\n1\nt 0 6\n");
        pair.settle().await;
        pair.close().await;
    });
}
