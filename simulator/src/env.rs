//! What surrounds the hosts: the time, what happens when, the network, what has been promised so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use quorum::Body as QuorumBody;

use crate::ledger::Ledger;
use crate::message::{Address, Body, ControlRequest, Packet};
use crate::mutation::Mutation;
use crate::rng::Rng;
use crate::shape::Shape;

/// Microseconds of the virtual time.
pub(crate) type Micros = u64;

/// One millisecond.
pub(crate) const MS: Micros = 1000;

/// After how long a broken connection is made again, at least and at most.
const RECONNECT: (Micros, Micros) = (5 * MS, 60 * MS);

/// Lines of the trace that are kept.
const TRACE_LINES: usize = 20_000;

/// Something that happens at a time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message arrives.
    Deliver(Packet),
    /// A process of a node has something to do.
    Work { node: i32, life: u64, work: Work },
    /// Two nodes connect again.
    Join(i32, i32),
    /// A client looks at what there is to do.
    Client(usize),
    /// The next fault.
    Fault,
    /// A fault ends.
    Mend(Mend),
}

/// What a process does at a time.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    QuorumTick,
    /// Everything up to this ready is on the drive.
    QuorumWritten(u64),
    /// Replicas look at the time.
    Tick,
    Heartbeat,
    Checkpoint,
    /// A log is on the drive up to here, unless it was cut since.
    LogWritten {
        partition: i32,
        cuts: u64,
        end: i64,
    },
    /// A truncation is done.
    Cut {
        partition: i32,
    },
    /// There is a new connection with a node.
    Connected(i32),
    /// The connection with a node broke.
    Disconnected(i32),
    /// What became of a snapshot of the quorum's.
    SnapshotSent {
        to: i32,
        arrived: bool,
    },
}

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mend {
    /// A node starts, if it is down.
    Start(i32),
    /// A node that was stopped goes on.
    Resume(i32),
    /// Messages pass from one to the other again.
    Join(i32, i32),
    /// The drive is as fast as ever.
    Fast(i32),
    /// The drive has room.
    Room(i32),
}

/// Everything around the hosts.
pub(crate) struct Env {
    pub(crate) now: Micros,
    pub(crate) rng: Rng,
    pub(crate) shape: Shape,
    pub(crate) broken: Option<Mutation>,
    pub(crate) ledger: Ledger,
    queue: BTreeMap<(Micros, u64), Event>,
    events: u64,
    ids: u64,
    /// Pairs of nodes between which nothing passes, one way.
    pub(crate) cut: BTreeSet<(i32, i32)>,
    /// When the last message of a connection arrives.
    lines: BTreeMap<(Address, Address, u64), Micros>,
    /// Pairs whose connection is broken, until it is made again.
    parted: BTreeSet<(i32, i32)>,
    /// The process of each node that runs now.
    pub(crate) lives: BTreeMap<i32, u64>,
    /// Replicas something happened to since the last look.
    pub(crate) touched: BTreeSet<(i32, i32)>,
    /// What happened, if it is to be told.
    pub(crate) trace: Option<Vec<String>>,
}

/// Tells what happens, if somebody listens.
macro_rules! tell {
    ($env:expr, $($what:tt)+) => {
        if $env.trace.is_some() {
            $env.tell(format_args!($($what)+));
        }
    };
}
pub(crate) use tell;

impl Env {
    pub(crate) fn new(rng: Rng, shape: Shape, broken: Option<Mutation>, trace: bool) -> Self {
        Self {
            now: 0,
            rng,
            shape,
            broken,
            ledger: Ledger::default(),
            queue: BTreeMap::new(),
            events: 0,
            ids: 0,
            cut: BTreeSet::new(),
            lines: BTreeMap::new(),
            parted: BTreeSet::new(),
            lives: BTreeMap::new(),
            touched: BTreeSet::new(),
            trace: trace.then(Vec::new),
        }
    }

    /// Whether a rule is broken on purpose.
    pub(crate) fn breaks(&self, mutation: Mutation) -> bool {
        self.broken == Some(mutation)
    }

    pub(crate) fn tell(&mut self, what: fmt::Arguments<'_>) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            if trace.len() >= 2 * TRACE_LINES {
                trace.drain(..TRACE_LINES);
            }
            trace.push(format!("{:>6}.{:03} {what}", now / MS, now % MS));
        }
    }

    /// How many events there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// A number that wasn't given before.
    pub(crate) fn fresh(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Lets something happen later.
    pub(crate) fn after(&mut self, delay: Micros, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + delay, self.events), event);
    }

    /// Lets the present process of a node do something later.
    pub(crate) fn work_after(&mut self, delay: Micros, node: i32, work: Work) {
        let life = self.lives.get(&node).copied().unwrap_or(0);
        self.after(delay, Event::Work { node, life, work });
    }

    /// The next event up to a time, which is reached by it or, where there is none, at once.
    pub(crate) fn next(&mut self, until: Micros) -> Option<Event> {
        let next = self.queue.first_entry();
        match next.filter(|entry| entry.key().0 <= until) {
            Some(entry) => {
                let ((at, _), event) = entry.remove_entry();
                self.now = self.now.max(at);
                Some(event)
            }
            None => {
                self.now = until;
                None
            }
        }
    }

    fn delay(&mut self) -> (Micros, bool) {
        let (low, high) = self.shape.delay;
        let late = self.rng.chance(self.shape.late);
        let delay = self.rng.between(low, high);
        (if late { delay * 20 } else { delay }, late)
    }

    /// The delay that keeps the order of a connection.
    fn in_order(&mut self, packet: &Packet, delay: Micros) -> Micros {
        let connection = match packet.body {
            Body::Control { place, .. } | Body::Client { place, .. } => place.connection,
            _ => 0,
        };
        let line = (packet.from, packet.to, connection);
        let last = self.lines.entry(line).or_default();
        *last = (*last + 1).max(self.now + delay);
        *last - self.now
    }

    /// Sends a message, which may get lost, come twice, or late.
    pub(crate) fn send(&mut self, packet: Packet) {
        let (from, to) = (packet.from, packet.to);
        if from == to {
            self.after(10, Event::Deliver(packet));
            return;
        }
        if self.is_lost(&packet) {
            self.lost(&packet);
            return;
        }
        let (delay, late) = self.delay();
        match packet.body {
            Body::Control { .. } | Body::Client { .. } => {
                let delay = match self.breaks(Mutation::RequestsOvertake) {
                    true => delay + self.overtaken(&packet),
                    false => self.in_order(&packet, delay),
                };
                self.after(delay, Event::Deliver(packet));
            }
            Body::Replication { .. } => {
                let delay = if late {
                    // What follows overtakes it; a connection on which that happens doesn't last.
                    self.part_nodes(&packet);
                    delay
                } else {
                    self.in_order(&packet, delay)
                };
                if self.rng.chance(self.shape.doubled) {
                    let again = delay * self.rng.between(1, 3);
                    self.after(again, Event::Deliver(packet.clone()));
                }
                self.after(delay, Event::Deliver(packet));
            }
            Body::Quorum(_) if self.rng.chance(self.shape.doubled) => {
                let (again, _) = self.delay();
                self.after(again, Event::Deliver(packet.clone()));
                self.after(delay, Event::Deliver(packet));
            }
            _ => self.after(delay, Event::Deliver(packet)),
        }
    }

    /// For a mutation: how much later a request comes, to be overtaken by others.
    fn overtaken(&mut self, packet: &Packet) -> Micros {
        let alters = matches!(
            packet.body,
            Body::Control {
                request: ControlRequest::Alter { .. },
                ..
            }
        );
        match alters && self.rng.chance(50) {
            true => self.rng.between(0, 1500 * MS),
            false => 0,
        }
    }

    fn is_lost(&mut self, packet: &Packet) -> bool {
        match (packet.from, packet.to) {
            (Address::Node(from), Address::Node(to)) if self.cut.contains(&(from, to)) => true,
            _ => self.rng.chance(self.shape.lost),
        }
    }

    /// A message doesn't arrive: those at its ends notice that their connection broke.
    pub(crate) fn lost(&mut self, packet: &Packet) {
        if !matches!(packet.body, Body::Quorum(_) | Body::Alive) {
            tell!(self, "lost: {packet:?}");
        }
        let (Address::Node(from), Address::Node(to)) = (packet.from, packet.to) else {
            return;
        };
        match &packet.body {
            Body::Quorum(bytes) => self.snapshot_sent(from, to, bytes, false),
            Body::Replication { .. } | Body::Alive => self.part(from, to),
            _ => {}
        }
    }

    fn part_nodes(&mut self, packet: &Packet) {
        if let (Address::Node(from), Address::Node(to)) = (packet.from, packet.to) {
            self.part(from, to);
        }
    }

    /// Breaks the connections between two nodes, which are made again soon.
    pub(crate) fn part(&mut self, one: i32, other: i32) {
        let pair = (one.min(other), one.max(other));
        if self.parted.insert(pair) {
            let after = self.rng.between(RECONNECT.0, RECONNECT.1);
            self.after(after, Event::Join(pair.0, pair.1));
            self.tell_both((one, other), Work::Disconnected);
        }
    }

    fn tell_both(&mut self, (one, other): (i32, i32), work: impl Fn(i32) -> Work) {
        for (node, other) in [(one, other), (other, one)] {
            let life = self.lives.get(&node).copied().unwrap_or(0);
            let work = work(other);
            self.after(0, Event::Work { node, life, work });
        }
    }

    /// Two nodes connect again, if they can.
    pub(crate) fn join(&mut self, one: i32, other: i32) {
        let apart = [(one, other), (other, one)];
        if apart.iter().any(|pair| self.cut.contains(pair)) {
            let after = self.rng.between(RECONNECT.0, RECONNECT.1);
            return self.after(after, Event::Join(one, other));
        }
        self.parted.remove(&(one, other));
        self.tell_both((one, other), Work::Connected);
    }

    /// A member has to be told of every snapshot it sent.
    pub(crate) fn snapshot_sent(&mut self, from: i32, to: i32, bytes: &[u8], arrived: bool) {
        let message = quorum::decode(bytes);
        if message.is_ok_and(|message| matches!(message.body, QuorumBody::Snapshot { .. })) {
            self.work_after(MS, from, Work::SnapshotSent { to, arrived });
        }
    }
}
