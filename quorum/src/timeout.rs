//! How long a member waits before it stands for election: random, so that two seldom stand together,
//! but from the seed given.
//!
//! The algorithm draws the timeout from the operating system's randomness whenever its state begins
//! anew. Each such occasion changes the term, the role or the leader, or is an election's start. So
//! where one of those is seen, a timeout is drawn here; and after every event ours is put in the place
//! of whatever the algorithm has drawn, which it therefore never acts upon.

use raft::{RawNode, StateRole, Storage};

/// How many ticks members stand apart whom a broken connection makes stand: ticks of two members
/// aren't in step.
const APART: usize = 2;

/// The election timeouts of one member.
pub(crate) struct Timeouts {
    state: u64,
    /// A timeout is at least this, and less than twice this.
    election_ticks: usize,
    current: usize,
    seen: Option<(u64, StateRole, u64)>,
}

impl Timeouts {
    /// Members may be given the same seed: each has its own sequence.
    pub(crate) fn new(seed: u64, node: i32, election_ticks: usize) -> Self {
        let mut timeouts = Self {
            state: seed,
            election_ticks,
            current: election_ticks,
            seen: None,
        };
        timeouts.state = timeouts.draw() ^ u64::from(node.unsigned_abs());
        timeouts
    }

    /// To be called after every event; `stood` says that an election was begun by it.
    pub(crate) fn pin<S: Storage>(&mut self, raw: &mut RawNode<S>, stood: bool) {
        let now = Some((raw.raft.term, raw.raft.state, raw.raft.leader_id));
        if stood || self.seen != now {
            self.seen = now;
            let ticks = self.election_ticks as u64;
            self.current = self.election_ticks + (self.draw() % ticks) as usize;
        }
        raw.raft.set_randomized_election_timeout(self.current);
    }

    /// What began the wait has likely come to an end: makes it as short as a leader needs that is alive
    /// to connect again and send a heartbeat. All members may see that at once, so those of a higher
    /// `rank` wait for the lower ones.
    pub(crate) fn hasten(&mut self, heartbeat_ticks: usize, rank: usize) {
        let longest = 2 * self.election_ticks - 1;
        let hasty = self.election_ticks + heartbeat_ticks + 1 + rank * APART;
        self.current = hasty.min(longest);
    }

    /// SplitMix64, by Steele, Lea and Flood ("Fast splittable pseudorandom number generators", 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
