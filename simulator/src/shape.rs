//! What a seed chooses before anything happens: how large the cluster is, how bad its world.

use crate::env::{MS, Micros};
use crate::rng::Rng;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A node's process dies at once, and starts again later.
    Crash,
    /// A node stands still for a time, as by SIGSTOP.
    Pause,
    /// Between two nodes nothing passes, one way or both.
    Cut,
    /// A node is cut off from all others.
    Isolate,
    /// The connections between two nodes break.
    Part,
    /// A node's clock jumps ahead.
    Jump,
    /// A node's drive is slow for a time.
    Slow,
    /// A node's drive is full for a time.
    Full,
    /// A partition gets other replicas.
    Reassign,
    /// A partition is given to its preferred leader.
    Elect,
    /// A node stops in order.
    Shutdown,
    /// The quorum's leader hands over.
    Transfer,
    /// Records are deleted.
    Delete,
}

const FAULTS: [Fault; 13] = [
    Fault::Crash,
    Fault::Pause,
    Fault::Cut,
    Fault::Isolate,
    Fault::Part,
    Fault::Jump,
    Fault::Slow,
    Fault::Full,
    Fault::Reassign,
    Fault::Elect,
    Fault::Shutdown,
    Fault::Transfer,
    Fault::Delete,
];

/// What a seed chose.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) nodes: i32,
    /// Of the nodes, the first so many vote in the quorum from the beginning.
    pub(crate) voters: i32,
    pub(crate) partitions: i32,
    /// Replicas of a partition.
    pub(crate) factor: i32,
    pub(crate) min_insync: usize,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    /// Least and most time that a message takes.
    pub(crate) delay: (Micros, Micros),
    /// Percent of messages that take much longer.
    pub(crate) late: u64,
    /// Percent of messages that get lost.
    pub(crate) lost: u64,
    /// Percent of messages that come twice.
    pub(crate) doubled: u64,
    /// Least and most time that a write takes.
    pub(crate) write: (Micros, Micros),
    /// The kinds of faults there are.
    pub(crate) faults: Vec<Fault>,
    /// The mean time between faults.
    pub(crate) pace: Micros,
    /// How long there are faults.
    pub(crate) duration: Micros,
    /// Entries of the quorum's log after which a snapshot is taken.
    pub(crate) snapshot_every: u64,
    /// Most records in a message between replicas.
    pub(crate) most: u64,
    /// Mean time between a producer's batches.
    pub(crate) produce: Micros,
}

impl Shape {
    pub(crate) fn of(rng: &mut Rng) -> Self {
        let nodes = rng.pick(&[1, 2, 3, 3, 3, 3, 4, 5]);
        let voters = match nodes {
            1 => 1,
            2 => rng.pick(&[1, 2]),
            5 => rng.pick(&[1, 3, 5]),
            _ => rng.pick(&[1, 3, 3, 3]),
        };
        let factor = rng.between(1, 3).max(rng.between(1, 3)).min(nodes as u64) as i32;
        // Each seed has some kinds of faults only: the rare ones meet more often so.
        let some = rng.pick(&[25, 50, 80]);
        let mut faults: Vec<Fault> = FAULTS.to_vec();
        faults.retain(|_| rng.chance(some));
        Self {
            nodes,
            voters,
            partitions: rng.between(1, 2) as i32,
            factor,
            min_insync: rng.between(1, 2) as usize,
            producers: rng.between(1, 3) as usize,
            consumers: rng.between(1, 2) as usize,
            delay: rng.pick(&[(100, 500), (200, 2 * MS), (MS, 8 * MS)]),
            late: rng.pick(&[0, 0, 2]),
            lost: rng.pick(&[0, 0, 1, 5]),
            doubled: rng.pick(&[0, 1, 10]),
            write: rng.pick(&[(50, 200), (200, 3 * MS), (MS, 10 * MS)]),
            faults,
            pace: rng.pick(&[20, 60, 150]) * MS,
            duration: rng.pick(&[1000, 2000, 3000]) * MS,
            snapshot_every: rng.pick(&[5, 30, 1000]),
            most: rng.pick(&[2, 10]),
            produce: rng.pick(&[8, 20, 50]) * MS,
        }
    }
}
