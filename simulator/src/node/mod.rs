//! A node: what stays when its process ends, and the process.

mod broker;
mod controller;
mod member;
mod partition;
mod process;
mod sequences;
mod serving;

use std::collections::BTreeMap;

use replica::LogView;

pub(crate) use controller::Command;
use member::Stored;
pub(crate) use process::Process;

use crate::env::{Env, Event, MS, Mend, Micros, Work, tell};
use crate::log::Log;

/// A node's own clock: it never goes back, but may be fast or slow, and jump ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// How fast it goes, of 1000.
    pub(crate) rate: u64,
    /// How far it is ahead, in milliseconds.
    pub(crate) ahead_ms: u64,
}

/// What parts of a node have to know of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Me {
    pub(crate) node: i32,
    pub(crate) life: u64,
    /// By its own clock.
    pub(crate) now_ms: u64,
    /// Its drive has no room.
    pub(crate) full: bool,
    slow: Micros,
}

impl Me {
    /// How long a write to the drive takes.
    pub(crate) fn write_takes(&self, env: &mut Env) -> Micros {
        let (low, high) = env.shape.write;
        let slower = match self.slow {
            0 => 0,
            slow => env.rng.between(slow / 2, slow),
        };
        env.rng.between(low, high) + slower
    }
}

/// What of the partitions is on the drive.
#[derive(Debug, Default)]
pub(crate) struct Drive {
    /// Logs that no process has open.
    pub(crate) logs: BTreeMap<i32, Log>,
    /// The high watermarks that were written down.
    pub(crate) checkpoint: BTreeMap<i32, i64>,
}

/// A node.
pub(crate) struct Node {
    pub(crate) id: i32,
    /// What a stopped member has on the drive.
    member: Option<Stored>,
    drive: Drive,
    pub(crate) clock: Clock,
    pub(crate) life: u64,
    pub(crate) process: Option<Box<Process>>,
    /// What comes while the process stands still; `None` while it doesn't.
    pub(crate) stopped: Option<Vec<Event>>,
    /// How much longer writes take.
    pub(crate) slow: Micros,
    pub(crate) full: bool,
    /// Whether it is to stop in order.
    pub(crate) to_stop: bool,
}

impl Node {
    /// A node that never ran: one of the first voters, or one that joins.
    pub(crate) fn new(id: i32, voters: i32, clock: Clock) -> Self {
        let stored = match id < voters {
            true => Stored::bootstrap(voters),
            false => Stored::default(),
        };
        Self {
            id,
            member: Some(stored),
            drive: Drive::default(),
            clock,
            life: 0,
            process: None,
            stopped: None,
            slow: 0,
            full: false,
            to_stop: false,
        }
    }

    fn me(&self, env: &Env) -> Me {
        let ms = env.now / MS * self.clock.rate / 1000;
        Me {
            node: self.id,
            life: self.life,
            now_ms: 1_000_000 + ms + self.clock.ahead_ms,
            full: self.full,
            slow: self.slow,
        }
    }

    /// A process begins.
    pub(crate) fn start(&mut self, env: &mut Env) {
        let Some(stored) = self.member.take() else {
            return;
        };
        self.life += 1;
        self.to_stop = false;
        env.lives.insert(self.id, self.life);
        tell!(env, "node {} starts, life {}", self.id, self.life);
        let process = Process::new(env, self.id, self.life, stored);
        self.process = Some(Box::new(process));
        for work in [
            Work::QuorumTick,
            Work::Tick,
            Work::Heartbeat,
            Work::Checkpoint,
        ] {
            let after = env.rng.between(0, 10 * MS);
            env.work_after(after, self.id, work);
        }
    }

    /// The process dies.
    pub(crate) fn crash(&mut self, env: &mut Env) {
        self.end(env, false);
    }

    /// The process ends, in order or not.
    fn end(&mut self, env: &mut Env, in_order: bool) {
        self.stopped = None;
        let Some(process) = self.process.take() else {
            return;
        };
        tell!(env, "node {} ends (in order: {in_order})", self.id);
        env.lives.insert(self.id, u64::MAX);
        let Process {
            member, partitions, ..
        } = *process;
        for (id, mut partition) in partitions {
            env.touched.insert((self.id, id));
            if in_order && !partition.is_cutting() {
                partition.log.store(partition.log.end());
                let high_watermark = partition.replica.high_watermark();
                self.drive.checkpoint.insert(id, high_watermark);
            }
            partition.log.crash(&mut env.rng);
            self.drive.logs.insert(id, partition.log);
        }
        self.member = Some(member.crash(&mut env.rng, env.broken));
    }

    /// Lets the process see to an event, now or when it goes on.
    pub(crate) fn handle(&mut self, env: &mut Env, event: Event) {
        if let Some(stopped) = &mut self.stopped {
            stopped.push(event);
            return;
        }
        let me = self.me(env);
        let Some(process) = &mut self.process else {
            if let Event::Deliver(packet) = event {
                env.lost(&packet);
            }
            return;
        };
        match event {
            Event::Deliver(packet) => process.deliver(env, &me, &mut self.drive, packet),
            Event::Work { life, work, .. } if life == self.life => {
                process.work(env, &me, &mut self.drive, work, self.to_stop);
            }
            _ => return,
        }
        // What it was told may have changed what it is.
        let me = self.me(env);
        let Some(process) = &mut self.process else {
            return;
        };
        process.turn(env, &me, &mut self.drive);
        if process.may_stop {
            env.ledger.count("stopped in order");
            self.end(env, true);
            let after = env.rng.between(10 * MS, 300 * MS);
            env.after(after, Event::Mend(Mend::Start(self.id)));
        }
    }

    /// Lets an operator's command reach the controller, if this node is it.
    pub(crate) fn command(&mut self, env: &mut Env, command: &Command) {
        let me = self.me(env);
        if let (Some(process), None) = (&mut self.process, &self.stopped) {
            process.command(env, command);
            process.turn(env, &me, &mut self.drive);
        }
    }

    /// Whether this node decides for the cluster, as far as it knows.
    pub(crate) fn is_controller(&self) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.is_controller())
    }

    /// The log of a partition, wherever it is.
    pub(crate) fn log(&self, partition: i32) -> Option<&Log> {
        let open = self.process.as_ref();
        let open = open.and_then(|process| process.partitions.get(&partition));
        open.map(|open| &open.log)
            .or_else(|| self.drive.logs.get(&partition))
    }

    /// Hands the leadership of the quorum to another member.
    pub(crate) fn transfer(&mut self, env: &mut Env, to: i32) {
        let me = self.me(env);
        if let (Some(process), None) = (&mut self.process, &self.stopped) {
            // To one that is no voter it isn't handed.
            let _refused = process.member.quorum.transfer_leader(to);
            process.turn(env, &me, &mut self.drive);
        }
    }

    /// Deletes records of a partition that this node leads, below an offset.
    pub(crate) fn delete_before(&mut self, env: &mut Env, partition: i32, most: i64) {
        let me = self.me(env);
        if let (Some(process), None) = (&mut self.process, &self.stopped) {
            if let Some(open) = process.partitions.get_mut(&partition) {
                open.delete_before(env, &me, most);
            }
            process.turn(env, &me, &mut self.drive);
        }
    }

    /// Has the ledger look at a replica.
    pub(crate) fn look(&mut self, env: &mut Env, partition: i32) {
        if let Some(process) = &mut self.process
            && let Some(open) = process.partitions.get_mut(&partition)
        {
            open.look(env);
        }
    }

    /// A replica of this node, in words.
    pub(crate) fn describe(&self, partition: i32) -> Option<String> {
        let open = self.process.as_ref()?.partitions.get(&partition)?;
        let (end, stable) = (open.log.end(), open.log.stable_end());
        Some(format!(
            "log end {end}, stored {stable}: {:?}",
            open.replica
        ))
    }

    /// What keeps this node from rest, where all else is done: something about a partition.
    pub(crate) fn unrest(&self, partition: i32, end: i64) -> Option<String> {
        let process = self.process.as_ref()?;
        let open = process.partitions.get(&partition)?;
        let log = &open.log;
        let ends = [log.end(), log.stable_end(), open.replica.high_watermark()];
        (ends != [end; 3] || open.is_cutting()).then(|| {
            format!(
                "node {} has partition {partition} at end, stored end, high watermark {ends:?}, \
                 {end} are committed: {:?}",
                self.id, open.replica
            )
        })
    }
}
