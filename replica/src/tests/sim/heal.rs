//! Checking the world, and making it good again: then all must come to rest, equal.

use super::World;
use crate::LogView;

/// Rounds in which a world without faults has to come to rest.
const ROUNDS: usize = 80;

impl World {
    /// Looks at every node.
    pub(super) fn look(&mut self) -> Result<(), String> {
        // Leaders first: what they commit is what followers may know.
        for leads in [true, false] {
            for node in &self.nodes {
                let is_leader = node.replica.as_ref().is_some_and(|r| r.is_leader());
                if is_leader == leads {
                    self.ledger.check(node)?;
                }
            }
        }
        Ok(())
    }

    /// What must be true after every step.
    pub(super) fn check(&mut self) -> Result<(), String> {
        self.look()?;
        self.ledger.check_isr(self.controller.now(), &self.nodes)
    }

    /// Ends all faults, and requires that everything comes to rest.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        (self.bad, self.rough) = (0, 0);
        self.blocked = Default::default();
        for one in 0..self.nodes.len() {
            if self.nodes[one].replica.is_none() {
                self.start(one);
            }
            self.nodes[one].slow = false;
            self.nodes[one].cut(self.now_ms);
            self.controller.unfence(self.nodes[one].id);
        }
        for node in 0..self.nodes.len() {
            let id = self.nodes[node].id;
            if !self.controller.now().replicas.contains(&id) {
                self.controller.reassign(id);
            }
        }
        for round in 0..ROUNDS {
            if round == 2 {
                for one in 0..self.nodes.len() {
                    self.reconnect(one);
                }
            }
            if round == 20 {
                for one in 0..self.nodes.len() {
                    self.append(one)?;
                }
            }
            self.round()?;
        }
        self.at_rest()
    }

    fn round(&mut self) -> Result<(), String> {
        self.now_ms += 10;
        for one in 0..self.nodes.len() {
            while self.nodes[one].metadata < self.controller.states.len() {
                self.learn(one);
                self.look()?;
            }
            self.push(one);
            self.store(one);
            self.alive(one);
            self.tick(one);
            self.look()?;
        }
        for _ in 0..8 {
            self.controller_works();
            self.look()?;
        }
        self.collect()?;
        for packet in std::mem::take(&mut self.packets) {
            self.deliver(packet);
            self.look()?;
        }
        self.collect()?;
        self.check()
    }

    fn at_rest(&self) -> Result<(), String> {
        let state = self.controller.now();
        let end = self.ledger.len();
        if state.isr.len() != self.nodes.len() {
            return Err(format!("not all are in sync: {state:?}"));
        }
        for node in &self.nodes {
            let replica = node.replica.as_ref().unwrap();
            let (start, log_end, stable) =
                (node.log.start(), node.log.end(), node.log.stable_end());
            let high_watermark = replica.high_watermark();
            let leader = &self.nodes[usize::try_from(state.leader).unwrap()];
            if [log_end, stable, high_watermark] != [end; 3] || start < leader.log.start() {
                return Err(format!(
                    "node {} is not at rest: start {start}, end {log_end}, stored {stable}, high \
                     watermark {high_watermark}, {end} committed, leader {}, start {}: {replica:?}",
                    node.id,
                    leader.id,
                    leader.log.start()
                ));
            }
        }
        Ok(())
    }
}
