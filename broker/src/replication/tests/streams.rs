//! What is appended to leaders comes to followers, whatever happens to the connections.

use std::rc::Rc;
use std::time::Duration;

use super::cluster::{Cluster, Node, at_last, id, run};
use crate::partition::Peers;

/// Enough that nothing has to be read from a drive.
const ROOMY: usize = 64 << 20;

/// A generator of numbers that repeat with its seed (SplitMix64).
struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[test]
fn records_of_a_leader_come_to_its_followers_and_are_committed_then() {
    run(|| async {
        let cluster = Cluster::new(3, ROOMY).await;
        cluster.create(0, &[0, 1, 2]).await;
        let appended = cluster.append(0, 0, 3);
        assert_eq!(appended.base_offset, 0);
        appended
            .acked
            .expect("others have to have it")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(cluster.nodes[0].partition(0).high_watermark(), 3);
        cluster.settle(0).await;
        assert_eq!(cluster.world.isr(0), [0, 1, 2]);
        cluster.stop();
    });
}

#[test]
fn one_connection_carries_all_partitions_that_two_shards_share() {
    run(|| async {
        let cluster = Cluster::new(2, ROOMY).await;
        for index in 0..20 {
            cluster.create(index, &[index % 2, 1 - index % 2]).await;
        }
        for round in 0..5 {
            for index in 0..20 {
                cluster.append(index % 2, index, 1 + round);
            }
        }
        for index in 0..20 {
            cluster.settle(index).await;
        }
        for node in &cluster.nodes {
            assert_eq!(node.replication.connections(), (1, 1));
            let counts = node.replication.counts();
            assert!(counts.bytes_in > 0 && counts.bytes_out > 0);
            assert_eq!((counts.isr_shrinks, counts.isr_expands), (0, 0));
        }
        cluster.stop();
    });
}

#[test]
fn connections_cut_at_random_lose_and_repeat_nothing() {
    let seed = Rng(u64::from(std::process::id())).below(u64::MAX);
    println!("seed {seed}");
    run(move || async move {
        let mut rng = Rng(seed);
        let mut cuts = 0;
        let cluster = Cluster::new(3, ROOMY).await;
        for index in 0..4 {
            let first = index % 3;
            let replicas = [first, (first + 1) % 3, (first + 2) % 3];
            cluster.create(index, &replicas).await;
        }
        for _ in 0..400 {
            let index = rng.below(4) as i32;
            let records = 1 + rng.below(30) as usize;
            cluster.append(index % 3, index, records);
            if rng.below(12) == 0 {
                cuts += cluster.cut(rng.below(3) as i32);
            }
            if rng.below(3) == 0 {
                let pause = rng.below(10);
                rt::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        for index in 0..4 {
            cluster.settle(index).await;
        }
        assert!(cuts > 0, "no connection was there to be cut");
        cluster.stop();
    });
}

#[test]
fn more_than_the_window_comes_at_last() {
    run(|| async {
        let cluster = Cluster::new(2, ROOMY).await;
        cluster.create(0, &[0, 1]).await;
        // About 40 MB, where 16 MiB may be under way.
        for _ in 0..100 {
            cluster.append(0, 0, 3_000);
            rt::task::yield_now().await;
        }
        cluster.settle(0).await;
        cluster.stop();
    });
}

#[test]
fn what_only_the_drive_has_comes_to_a_new_follower() {
    run(|| async {
        // The tail keeps nothing that is written.
        let cluster = Cluster::new(2, 0).await;
        cluster.create(0, &[0]).await;
        cluster.create(1, &[0, 1]).await;
        for _ in 0..50 {
            cluster.append(0, 0, 500);
            cluster.append(0, 1, 5);
        }
        let leader = cluster.nodes[0].partition(0);
        at_last("all is written", || leader.log().stable_end() == 25_000).await;
        cluster.nodes[1].open(0).await;
        cluster.add_replica(0, 1);
        cluster.settle(0).await;
        cluster.settle(1).await;
        assert!(leader.log().metrics().cold_reads > 0);
        at_last("the new replica is in sync", || {
            cluster.world.isr(0) == [0, 1]
        })
        .await;
        assert_eq!(cluster.nodes[0].replication.counts().isr_expands, 1);
        cluster.stop();
    });
}

#[test]
fn a_leader_that_comes_back_gives_up_what_nobody_else_has() {
    run(|| async {
        let cluster = Cluster::new(2, ROOMY).await;
        cluster.create(0, &[0, 1]).await;
        cluster.append(0, 0, 10);
        cluster.settle(0).await;
        // The two can't reach each other while the old leader appends.
        cluster.part();
        let lost = cluster.append(0, 0, 7);
        cluster.elect_for(0, 1, &[1]);
        cluster.append(1, 0, 2);
        cluster.join();
        cluster.tell(0);
        assert!(lost.acked.unwrap().await.unwrap().is_err());
        cluster.settle(0).await;
        let leader = cluster.nodes[1].partition(0);
        assert_eq!(leader.log().end().appended(), 12);
        cluster.stop();
    });
}

#[test]
fn a_follower_that_is_gone_leaves_the_isr_and_one_that_is_idle_stays() {
    run(|| async {
        let cluster = Cluster::new(3, ROOMY).await;
        cluster.create(0, &[0, 1, 2]).await;
        cluster.append(0, 0, 1);
        cluster.settle(0).await;
        cluster.nodes[2].replication.stop();
        at_last("the one that stopped is out", || {
            cluster.world.isr(0) != [0, 1, 2]
        })
        .await;
        assert_eq!(cluster.world.isr(0), [0, 1]);
        let appended = cluster.append(0, 0, 1);
        appended.acked.unwrap().await.unwrap().unwrap();
        let counts = cluster.nodes[0].replication.counts();
        assert_eq!((counts.isr_shrinks, counts.isr_expands), (1, 0));
        cluster.stop();
    });
}

#[test]
fn a_replica_that_was_taken_away_begins_anew() {
    run(|| async {
        let cluster = Cluster::new(2, ROOMY).await;
        cluster.create(0, &[0, 1]).await;
        cluster.append(0, 0, 10);
        cluster.settle(0).await;
        let before = Rc::downgrade(&cluster.nodes[1].partition(0));
        cluster.nodes[1].remove(0).await;
        cluster.nodes[1].open(0).await;
        cluster.tell(0);
        cluster.append(0, 0, 1);
        cluster.settle(0).await;
        at_last("nobody holds the old one", || before.upgrade().is_none()).await;
        cluster.nodes[1].remove(0).await;
        at_last("there is no connection for nothing", || {
            let ended = |node: &Node| node.replication.connections() == (0, 0);
            cluster.nodes.iter().all(ended)
        })
        .await;
        cluster.stop();
    });
}

#[test]
fn a_follow_of_a_partition_that_is_not_open_yet_is_asked_again() {
    run(|| async {
        let cluster = Cluster::new(2, ROOMY).await;
        cluster.create(1, &[0, 1]).await;
        cluster.append(0, 1, 4);
        cluster.settle(1).await;
        // Its leader opens it only after the follower has asked.
        cluster.nodes[1].open(0).await;
        cluster.give(0, &[0, 1]);
        rt::time::sleep(Duration::from_millis(50)).await;
        assert!(!cluster.nodes[1].partition(0).is_in_step());
        cluster.nodes[0].open(0).await;
        cluster.tell(0);
        cluster.append(0, 0, 4);
        cluster.settle(0).await;
        assert!(cluster.nodes[1].partition(0).is_in_step());
        cluster.stop();
    });
}

#[test]
fn a_new_registration_ends_connections_of_the_old_one() {
    run(|| async {
        let cluster = Cluster::new(2, ROOMY).await;
        cluster.create(0, &[0, 1]).await;
        cluster.append(0, 0, 2);
        cluster.settle(0).await;
        let line = cluster.nodes[1].replication.links.all()[0].line().unwrap();
        // Unchanged, it stays.
        cluster.nodes[1].replication.peer_changed(0);
        rt::time::sleep(Duration::from_millis(20)).await;
        let now = || cluster.nodes[1].replication.links.all()[0].line();
        assert!(now().is_some_and(|now| Rc::ptr_eq(&now, &line)));
        cluster.register(0, 20);
        at_last("there is another", || {
            now().is_some_and(|now| now.peer.broker_epoch == 20)
        })
        .await;
        cluster.append(0, 0, 2);
        cluster.settle(0).await;
        assert!(
            cluster.nodes[0]
                .replication
                .followers
                .of(id(0), 1)
                .is_some()
        );
        cluster.stop();
    });
}
