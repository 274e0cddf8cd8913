//! What goes wrong, and when it is mended.

use crate::env::{Event, MS, Mend, tell};
use crate::node::Command;
use crate::shape::Fault;
use crate::world::World;

impl World {
    /// Something goes wrong; the next thing is to come.
    pub(crate) fn fault(&mut self) {
        let kinds = self.env.shape.faults.clone();
        if self.healing || kinds.is_empty() {
            return;
        }
        let kind = self.env.rng.pick(&kinds);
        self.go_wrong(kind);
        let pace = self.env.shape.pace;
        let next = self.env.rng.between(1, 2 * pace);
        self.env.after(next, Event::Fault);
    }

    fn go_wrong(&mut self, kind: Fault) {
        let count = self.nodes.len() as u64;
        let one = self.env.rng.below(count) as usize;
        let other = self.env.rng.below(count) as usize;
        let (id, other_id) = (self.nodes[one].id, self.nodes[other].id);
        let partition = self.env.rng.below(self.env.shape.partitions as u64) as i32;
        tell!(
            self.env,
            "fault: {kind:?} (node {id}, other {other_id}, partition {partition})"
        );
        let long = self.env.rng.between(5 * MS, 800 * MS);
        match kind {
            Fault::Crash => {
                self.nodes[one].crash(&mut self.env);
                self.mend_after(long, Mend::Start(id));
            }
            Fault::Pause => {
                let node = &mut self.nodes[one];
                if node.process.is_some() && node.stopped.is_none() {
                    node.stopped = Some(Vec::new());
                    self.mend_after(long, Mend::Resume(id));
                }
            }
            Fault::Cut => {
                self.cut(id, other_id, long);
                if self.env.rng.chance(60) {
                    self.cut(other_id, id, long);
                }
            }
            Fault::Isolate => {
                let ids: Vec<i32> = self.nodes.iter().map(|node| node.id).collect();
                for to in ids {
                    self.cut(id, to, long);
                    self.cut(to, id, long);
                }
            }
            Fault::Part => self.env.part(id, other_id),
            Fault::Jump => self.nodes[one].clock.ahead_ms += long / MS,
            Fault::Slow => {
                self.nodes[one].slow = self.env.rng.between(5 * MS, 150 * MS);
                self.mend_after(2 * long, Mend::Fast(id));
            }
            Fault::Full => {
                self.nodes[one].full = true;
                self.mend_after(long, Mend::Room(id));
            }
            Fault::Reassign => self.reassign(partition),
            Fault::Elect => {
                let command = match self.env.rng.chance(50) {
                    true => Command::Elect { partition },
                    false => Command::Rebalance,
                };
                self.command(&command);
            }
            Fault::Shutdown => self.nodes[one].to_stop = true,
            Fault::Transfer => self.nodes[one].transfer(&mut self.env, other_id),
            Fault::Delete => {
                let most = self.env.ledger.deletable(partition);
                self.nodes[one].delete_before(&mut self.env, partition, most);
            }
        }
    }

    fn mend_after(&mut self, delay: u64, mend: Mend) {
        self.env.after(delay, Event::Mend(mend));
    }

    fn cut(&mut self, from: i32, to: i32, long: u64) {
        if from != to {
            self.env.cut.insert((from, to));
            self.mend_after(long, Mend::Join(from, to));
        }
    }

    fn reassign(&mut self, partition: i32) {
        let mut ids: Vec<i32> = self.nodes.iter().map(|node| node.id).collect();
        let factor = self.env.rng.below(ids.len() as u64) as usize + 1;
        while ids.len() > factor {
            let at = self.env.rng.below(ids.len() as u64) as usize;
            ids.remove(at);
        }
        let turn = self.env.rng.below(ids.len() as u64) as usize;
        ids.rotate_left(turn);
        let replicas = (!self.env.rng.chance(10)).then_some(ids);
        self.command(&Command::Reassign {
            partition,
            replicas,
        });
    }

    /// Lets whoever believes to be the controller decide something.
    pub(crate) fn command(&mut self, command: &Command) {
        for node in &mut self.nodes {
            if node.is_controller() {
                node.command(&mut self.env, command);
            }
        }
    }

    /// A fault ends.
    pub(crate) fn mend(&mut self, mend: Mend) {
        tell!(self.env, "mend: {mend:?}");
        let (Mend::Start(id)
        | Mend::Resume(id)
        | Mend::Fast(id)
        | Mend::Room(id)
        | Mend::Join(id, _)) = mend;
        let node = &mut self.nodes[id as usize];
        match mend {
            Mend::Start(_) => node.start(&mut self.env),
            Mend::Resume(_) => {
                for event in node.stopped.take().into_iter().flatten() {
                    self.env.after(0, event);
                }
            }
            Mend::Join(from, to) => {
                self.env.cut.remove(&(from, to));
            }
            Mend::Fast(_) => node.slow = 0,
            Mend::Room(_) => node.full = false,
        }
    }

    /// Ends all faults at once.
    pub(crate) fn mend_all(&mut self) {
        self.healing = true;
        let shape = &mut self.env.shape;
        (shape.late, shape.lost, shape.doubled) = (0, 0, 0);
        self.env.cut.clear();
        for id in 0..self.nodes.len() as i32 {
            self.nodes[id as usize].to_stop = false;
            for mend in [
                Mend::Fast(id),
                Mend::Room(id),
                Mend::Resume(id),
                Mend::Start(id),
            ] {
                self.mend(mend);
            }
        }
    }
}
