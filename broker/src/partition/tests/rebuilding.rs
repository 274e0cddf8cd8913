//! What is known of producers and transactions is what the log says: while it grows, when the leader changes
//! and a log is cut back, when a replica is opened again. `OTTLA_SEED` repeats a run.

use storage::{AbortedTransaction, Log, ReplayEvent};

use super::super::*;
use super::pair::*;
use super::transactions::transactional;

/// Numbers without order, the same ones after the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        let step = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = step.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What is known of producers, but for when they were last heard of.
fn known(partition: &Partition) -> Vec<(i64, i16, i32, i32, Option<i64>)> {
    let known = partition.producers().into_iter();
    let facts = |p: crate::producers::Description| {
        let coordinator = p.coordinator_epoch;
        (p.producer_id, p.epoch, p.last_sequence, coordinator, p.open)
    };
    known.map(facts).collect()
}

/// What the log of a replica says, from its first batch on.
async fn said(
    node: &Node,
) -> (
    Vec<(i64, i16, i32, i32, Option<i64>)>,
    Vec<AbortedTransaction>,
) {
    let mut rebuilt = Rebuilt::default();
    for batch in batch::batches(&node.bytes().await) {
        let info = batch.unwrap().info();
        rebuilt.take(ReplayEvent::Batch(info), 0, ("t", 0));
    }
    let facts = rebuilt.producers.describe().map(|p| {
        let coordinator = p.coordinator_epoch;
        (p.producer_id, p.epoch, p.last_sequence, coordinator, p.open)
    });
    (facts.collect(), rebuilt.aborted)
}

async fn check(pair: &Pair, what: &str) {
    for node in &pair.nodes {
        let (producers, aborted) = said(node).await;
        assert_eq!(known(&node.partition), producers, "{what}: producers");
        let log = node.partition.log();
        let found = log.aborted(0, i64::MAX).await.unwrap();
        assert_eq!(found, aborted, "{what}: aborted");
        let high_watermark = node.partition.high_watermark();
        let mut open: Vec<i64> = producers.iter().filter_map(|p| p.4).collect();
        open.sort_unstable();
        let stable = node.partition.last_stable_offset();
        let bound = open.first().map_or(high_watermark, |first| *first);
        assert!(
            stable <= bound.min(high_watermark),
            "{what}: {stable} of {open:?}"
        );
        if high_watermark == log.end().appended() {
            assert_eq!(
                stable,
                bound.min(high_watermark),
                "{what}: all is committed"
            );
        }
    }
}

/// Something a client or a coordinator does.
fn write(leader: &Partition, chance: &mut Chance) {
    let id = chance.below(4) as i64;
    let mut all = leader.producers().into_iter();
    let before = all.find(|known| known.producer_id == id);
    let epoch = before.map_or(0, |known| known.epoch);
    let sequence = before.map_or(0, |known| known.last_sequence + 1);
    let done = match chance.below(8) {
        0..4 => {
            let (bytes, info) = transactional(id, epoch, sequence, 1 + chance.below(3) as usize);
            leader.append(bytes, info, 5_000, false)
        }
        4 => {
            let (bytes, info) = transactional(id, epoch, -1, 1);
            leader.append_own(bytes, info, 5_000)
        }
        5 => {
            let (bytes, info) = produced(1, None);
            leader.append(bytes, info, 5_000, false)
        }
        _ => {
            let epoch = epoch + chance.below(2) as i16;
            leader.end_transaction(id, epoch, 1, chance.below(2) == 0, 5_000)
        }
    };
    done.unwrap();
}

async fn reopened(node: Node, path: &std::path::Path) -> Node {
    node.partition.log().close().await.unwrap();
    node.drive.close(true).await.unwrap();
    let drive = drive(path).await;
    let dir = drive.logs().await.unwrap().remove(0);
    let mut producers = Rebuilt::default();
    let mut told = |event| producers.take(event, 5_000, ("t", 0));
    let log = Log::open(&drive, &dir, log_config(&default_config()), &mut told).await;
    Node::over(
        drive,
        log.unwrap(),
        producers,
        node.number,
        default_config(),
    )
    .await
}

async fn run(path: &std::path::Path, seed: u64) {
    let mut chance = Chance(seed);
    let mut pair = Pair::make(path, default_config()).await;
    let mut leader = 0;
    pair.assign(leader, &[0, 1]);
    for step in 0..25 {
        let at = pair.node(leader).partition.clone();
        for _ in 0..chance.below(12) {
            write(&at, &mut chance);
        }
        let what = match chance.below(6) {
            0..3 => {
                pair.settle().await;
                "settle"
            }
            3 => {
                at.log().checkpoint().await.unwrap();
                "checkpoint"
            }
            4 => {
                // What the other doesn't have is cut off.
                leader = 1 - leader;
                pair.assign(leader, &[0, 1]);
                pair.settle().await;
                "change of leaders"
            }
            _ => {
                pair.settle().await;
                let [first, second] = pair.nodes;
                let first = reopened(first, &path.join("0")).await;
                let second = reopened(second, &path.join("1")).await;
                pair.nodes = [first, second];
                pair.leader = -1;
                pair.assign(leader, &[0, 1]);
                pair.settle().await;
                "restart"
            }
        };
        check(&pair, &format!("seed {seed}, step {step}, {what}")).await;
    }
    pair.close().await;
}

#[test]
fn what_is_known_is_what_the_log_says() {
    let given = std::env::var("OTTLA_SEED").ok();
    let seeds = match given.and_then(|seed| seed.parse::<u64>().ok()) {
        Some(seed) => seed..seed + 1,
        None => 1..5,
    };
    for seed in seeds {
        on_disk(move |path| async move { run(&path, seed).await });
    }
}
