//! The cluster, its clients, and what happens to them one after the other.

use metadata::Image;

use crate::client::{Client, Consumer, Line, Producer};
use crate::env::{Env, Event, MS, Micros};
use crate::ledger::TOPIC;
use crate::message::{Address, Body};
use crate::mutation::Mutation;
use crate::node::{Clock, Command, Node};
use crate::rng::Rng;
use crate::shape::Shape;

/// How long the cluster has to come up, or to come to rest when all faults have ended.
const PATIENCE: Micros = 20_000 * MS;

/// Time between looks at whether it has.
const LOOK: Micros = 50 * MS;

/// What happens.
pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    /// There are no faults any more.
    pub(crate) healing: bool,
    /// The metadata's last entry that members were checked at.
    checked: u64,
}

impl World {
    pub(crate) fn new(seed: u64, broken: Option<Mutation>, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let shape = Shape::of(&mut rng);
        let mut env = Env::new(rng, shape, broken, trace);
        let mut nodes = Vec::new();
        for id in 0..env.shape.nodes {
            let clock = Clock {
                rate: env.rng.between(950, 1050),
                ahead_ms: env.rng.below(100_000),
            };
            nodes.push(Node::new(id, env.shape.voters, clock));
        }
        Self {
            env,
            nodes,
            clients: Vec::new(),
            healing: false,
            checked: 0,
        }
    }

    /// Runs from the beginning to the end. What doesn't hold is in the ledger.
    pub(crate) fn run(&mut self) {
        let faults = std::mem::take(&mut self.env.shape.faults);
        let bad = (
            self.env.shape.late,
            self.env.shape.lost,
            self.env.shape.doubled,
        );
        for node in &mut self.nodes {
            node.start(&mut self.env);
        }
        if !self.run_until("the cluster came up", Self::not_up) {
            return;
        }
        self.begin_clients();
        self.env.shape.faults = faults;
        let shape = &mut self.env.shape;
        (shape.late, shape.lost, shape.doubled) = bad;
        self.env.after(0, Event::Fault);
        let end = self.env.now + self.env.shape.duration;
        self.run_to(end);
        self.mend_all();
        for client in &mut self.clients {
            if let Client::Producer(producer) = client {
                producer.ends = true;
                producer.make();
            }
        }
        if self.run_until("everything came to rest", Self::unrest) {
            self.check_clients();
        }
    }

    fn begin_clients(&mut self) {
        let Shape {
            partitions,
            producers,
            consumers,
            ..
        } = self.env.shape;
        for partition in 0..partitions {
            for _ in 0..producers {
                let at = self.clients.len();
                let line = Line::new(at, partition);
                let all = self.env.rng.chance(75);
                // An even number tells who retries under the protection of sequence numbers.
                let id = 2 * at as u32 + u32::from(!all);
                let in_flight = self.env.rng.between(1, 5) as usize;
                let producer = Producer::new(id, line, all, in_flight);
                self.clients.push(Client::Producer(producer));
            }
            for _ in 0..consumers {
                let line = Line::new(self.clients.len(), partition);
                self.clients.push(Client::Consumer(Consumer::new(line)));
            }
        }
        for at in 0..self.clients.len() {
            self.env.after(MS, Event::Client(at));
        }
    }

    /// Lets everything happen up to a time; whether all held.
    fn run_to(&mut self, until: Micros) -> bool {
        while let Some(event) = self.env.next(until) {
            self.happen(event);
            self.check();
            if self.env.ledger.failure.is_some() {
                return false;
            }
        }
        true
    }

    /// Runs until nothing is said to be missing any more.
    fn run_until(&mut self, what: &str, missing: fn(&mut Self) -> Option<String>) -> bool {
        let end = self.env.now + PATIENCE;
        loop {
            if !self.run_to(self.env.now + LOOK) {
                return false;
            }
            let Some(why) = missing(self) else {
                return true;
            };
            if self.env.now >= end {
                self.env
                    .ledger
                    .fail(format!("never it was said that {what}: {why}"));
                return false;
            }
        }
    }

    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(packet) => match packet.to {
                Address::Node(to) => {
                    self.nodes[to as usize].handle(&mut self.env, Event::Deliver(packet));
                }
                Address::Client(to) => {
                    if let Body::ClientReply { id, reply } = packet.body {
                        self.clients[to].answered(&mut self.env, id, &reply);
                    }
                }
            },
            Event::Work { node, .. } => self.nodes[node as usize].handle(&mut self.env, event),
            Event::Client(at) => {
                let next = self.clients[at].tick(&mut self.env);
                self.env.after(next, Event::Client(at));
            }
            Event::Join(one, other) => self.env.join(one, other),
            Event::Fault => self.fault(),
            Event::Mend(mend) => self.mend(mend),
        }
    }

    /// What must hold after every event.
    fn check(&mut self) {
        let entry = self.env.ledger.image().map_or(0, |(index, _)| index);
        if self.env.touched.is_empty() && entry == self.checked {
            return;
        }
        let mut partitions: Vec<i32> = Vec::new();
        for (node, partition) in std::mem::take(&mut self.env.touched) {
            self.nodes[node as usize].look(&mut self.env, partition);
            partitions.push(partition);
        }
        if entry != self.checked {
            self.checked = entry;
            partitions = (0..self.env.shape.partitions).collect();
        }
        partitions.sort_unstable();
        partitions.dedup();
        for partition in partitions {
            let isr = self.state(partition).map(|state| state.isr.clone());
            for node in isr.into_iter().flatten() {
                let log = self.nodes[node as usize].log(partition);
                self.env.ledger.check_member(node, partition, log);
            }
        }
    }

    fn image(&self) -> Option<&Image> {
        self.env.ledger.image().map(|(_, image)| image)
    }

    fn state(&self, partition: i32) -> Option<&metadata::PartitionState> {
        self.image()?.topic(TOPIC)?.partition(partition)
    }

    /// What is missing until the cluster is up.
    fn not_up(&mut self) -> Option<String> {
        if let Some(why) = self.not_joined() {
            return Some(why);
        }
        if self.image()?.topic(TOPIC).is_some() {
            return None;
        }
        let (partitions, factor) = (self.env.shape.partitions, self.env.shape.factor as i16);
        self.command(&Command::Create { partitions, factor });
        Some("there is no topic".to_owned())
    }

    /// Which node isn't in the cluster.
    fn not_joined(&self) -> Option<String> {
        let Some(image) = self.image() else {
            return Some("there is no metadata".to_owned());
        };
        let controllers: Vec<&Node> = self.nodes.iter().filter(|n| n.is_controller()).collect();
        if controllers.len() != 1 {
            return Some(format!("there are {} controllers", controllers.len()));
        }
        let entry = self.env.ledger.image().map(|(index, _)| index);
        for node in &self.nodes {
            let id = node.id;
            let broker = image.broker(id);
            if !broker.is_some_and(metadata::BrokerRecord::is_active) {
                return Some(format!("node {id} isn't active: {broker:?}"));
            }
            let applied = node.process.as_ref().map(|process| process.member.applied);
            if applied != entry {
                return Some(format!(
                    "node {id} has metadata up to {applied:?} of {entry:?}"
                ));
            }
        }
        None
    }

    /// What isn't at rest yet.
    fn unrest(&mut self) -> Option<String> {
        if let Some(why) = self.not_joined() {
            return Some(why);
        }
        for partition in 0..self.env.shape.partitions {
            let Some(state) = self.state(partition).cloned() else {
                return Some(format!("partition {partition} is gone"));
            };
            let full = state.isr.len() == state.replicas.len();
            if state.leader < 0 || !full || state.is_reassigning() {
                let leader = self.nodes.get(state.leader as usize);
                let leads = leader.and_then(|node| node.describe(partition));
                return Some(format!(
                    "partition {partition}: {state:?}, led by {leads:?}"
                ));
            }
            let end = self.env.ledger.committed(partition);
            for &node in &state.replicas {
                if let Some(why) = self.nodes[node as usize].unrest(partition, end) {
                    return Some(why);
                }
            }
            for node in self
                .nodes
                .iter()
                .filter(|n| !state.replicas.contains(&n.id))
            {
                if node.log(partition).is_some() {
                    return Some(format!("node {} has a replica too many", node.id));
                }
            }
        }
        self.clients.iter().find_map(|client| match client {
            Client::Producer(producer) if !producer.is_done() => Some(format!("{producer:?}")),
            Client::Consumer(consumer) => {
                let end = self.env.ledger.committed(consumer.line.partition);
                (consumer.offset != end).then(|| format!("{consumer:?}, of {end}"))
            }
            Client::Producer(_) => None,
        })
    }

    /// What clients were told must be so.
    fn check_clients(&mut self) {
        for client in &self.clients {
            if let Client::Producer(producer) = client {
                let (partition, id) = (producer.line.partition, producer.id);
                self.env.ledger.check_acknowledged(partition, id);
            }
        }
    }
}
