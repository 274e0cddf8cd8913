//! Random commands on a small cluster: what must hold does so after every record, and a cluster
//! that is healed is whole again. `OTTLA_SEED` runs one seed.

use std::collections::BTreeMap;

use super::cluster_rules::{Leave, check};
use super::*;

const NODES: i32 = 5;
const TOPICS: [&str; 3] = ["a", "b", "c"];
const TIMEOUT_MS: u64 = 1000;

/// A generator of numbers that follow from its seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn node(&mut self) -> i32 {
        1 + self.below(NODES as usize) as i32
    }

    fn topic(&mut self) -> &'static str {
        TOPICS[self.below(TOPICS.len())]
    }

    /// Some of `all`, in any order.
    fn some_of(&mut self, all: &[i32]) -> Vec<i32> {
        let mut rest = all.to_vec();
        let mut taken = Vec::new();
        for _ in 0..1 + self.below(all.len()) {
            taken.push(rest.remove(self.below(rest.len())));
        }
        taken
    }

    fn nodes(&mut self) -> Vec<i32> {
        let all: Vec<i32> = (1..=NODES).collect();
        let mut some = self.some_of(&all);
        some.truncate(3);
        some
    }
}

struct Model {
    random: Random,
    image: Image,
    sessions: Sessions,
    now: u64,
    offset: i64,
    fresh: u128,
    log: Vec<Vec<u8>>,
    /// How often each command was decided.
    decided: BTreeMap<&'static str, u32>,
}

type Decision = Result<Vec<Record>, MetaError>;

impl Model {
    fn new(seed: u64) -> Self {
        let image = cluster([]);
        Self {
            random: Random(seed),
            sessions: Sessions::new(TIMEOUT_MS),
            now: 0,
            offset: 0,
            fresh: 0x10_0000,
            log: image.to_records().iter().map(encode).collect(),
            image,
            decided: BTreeMap::new(),
        }
    }

    /// A partition that is there.
    fn partition(&mut self) -> Option<(String, i32, PartitionState)> {
        let name = self.random.topic();
        let topic = self.image.topic(name)?;
        let index = self.random.below(topic.partitions.len());
        let state = topic.partitions[index].clone();
        Some((name.to_owned(), index as i32, state))
    }

    fn fresh_id(&mut self) -> Uuid {
        self.fresh += 1;
        id(self.fresh)
    }

    fn take(&mut self, what: &'static str, decision: Decision, leave: &Leave) {
        let Ok(records) = decision else { return };
        if !records.is_empty() {
            *self.decided.entry(what).or_default() += 1;
        }
        for record in &records {
            let before = self.image.clone();
            let applied = self.image.apply(record);
            assert_eq!(applied, Ok(()), "{what}: {record:?}");
            check(&before, &self.image, leave, what);
            self.log.push(encode(record));
            self.offset += 1;
        }
    }

    fn step(&mut self) {
        self.now += self.random.below(200) as u64;
        match self.random.below(16) {
            0 | 1 => self.register(),
            2..=5 => self.heartbeat(),
            6 => self.expire(),
            7 => self.broker_command(),
            8 => self.topic_command(),
            9..=11 => self.alter_partition(),
            12 | 13 => self.reassign(),
            14 => self.elect(),
            _ => self.configure(),
        }
    }

    fn register(&mut self) {
        let node = self.random.node();
        let mut command = registration(node, 2);
        if !self.random.one_in(4) {
            command.incarnation = self.fresh_id();
        }
        command.clean = self.random.one_in(2);
        command.boot_id = id(self.random.below(3) as u128);
        match self.random.below(8) {
            0 => drop(command.drives.pop()),
            1 => {
                let other = self.random.node();
                let theirs = drive(other, 0).drive;
                if self
                    .image
                    .broker(other)
                    .is_some_and(|b| b.has_online(theirs))
                {
                    command.drives[0].id = theirs;
                }
            }
            _ => {}
        }
        let controller = Controller::new(&self.image, &Rules, POLICY);
        let last = self.image.last_broker_epoch();
        let known = self.image.broker(node).cloned();
        let decided = self.sessions.register(&controller, &command, self.now);
        let Ok((epoch, records)) = decided else {
            return;
        };
        match known.filter(|broker| broker.incarnation == command.incarnation) {
            Some(broker) => assert_eq!(epoch, broker.epoch),
            None => assert_eq!(epoch, last + 1),
        }
        self.take("register", Ok(records), &Leave::default());
        self.sessions.committed(&self.image, node, self.offset);
    }

    fn heartbeat(&mut self) {
        let node = self.random.node();
        let Some(broker) = self.image.broker(node) else {
            return;
        };
        let (epoch, drives) = (broker.epoch, broker.drives.clone());
        let failed = drives.iter().filter(|_| self.random.one_in(20));
        let command = Heartbeat {
            node,
            broker_epoch: epoch,
            offline_drives: failed.map(|info| info.id).collect(),
            metadata_offset: self.offset - self.random.below(2) as i64,
            want_fence: self.random.one_in(12),
            want_shutdown: self.random.one_in(6),
        };
        let controller = Controller::new(&self.image, &Rules, POLICY);
        let decided = self.sessions.heartbeat(&controller, &command, self.now);
        let (reply, records) = decided.unwrap();
        self.take("heartbeat", Ok(records), &Leave::default());
        self.sessions.committed(&self.image, node, self.offset);
        let broker = self.image.broker(node).unwrap();
        assert_eq!(broker.fenced, reply.fenced);
        if reply.may_stop {
            assert_eq!(leads(&self.image, node), 0, "what may stop leads nothing");
            *self.decided.entry("stop").or_default() += 1;
        }
    }

    fn expire(&mut self) {
        if self.random.one_in(10) {
            // Another controller.
            self.sessions.start(&self.image, self.offset, self.now);
        }
        for node in self.sessions.expired(&self.image, self.now) {
            let decision = over(&self.image).fence(node);
            self.take("expire", decision, &Leave::default());
        }
        assert_eq!(self.sessions.expired(&self.image, self.now), []);
    }

    fn broker_command(&mut self) {
        let node = self.random.node();
        let which = self.random.below(12);
        let controller = over(&self.image);
        let (what, decision) = match which {
            0..=2 => ("fence", controller.fence(node)),
            3..=5 => ("unfence", controller.unfence(node)),
            6 | 7 => ("shutdown", controller.controlled_shutdown(node)),
            8 | 9 => {
                let failed = drive(node, u128::from(self.now % 2)).drive;
                ("drive", controller.drives_failed(node, &[failed]))
            }
            10 => ("rebalance", Ok(controller.rebalance_leaders(10, 2))),
            _ => ("unregister", controller.unregister_broker(node)),
        };
        self.take(what, decision, &Leave::default());
    }

    fn topic_command(&mut self) {
        let name = self.random.topic();
        let drives = PlacementDrive::all(&self.image);
        let count = 1 + self.random.below(4) as i32;
        let (what, decision) = match self.random.below(6) {
            0 => {
                let topic = TopicRef::Name(name.to_owned());
                ("delete", over(&self.image).delete_topic(&topic))
            }
            1 => {
                let command = CreatePartitions {
                    name: name.to_owned(),
                    count: count + 1,
                    assignments: None,
                };
                let decision = over(&self.image).create_partitions(&command, &drives);
                ("grow", decision)
            }
            2 => {
                let assignments = vec![(0, self.random.nodes())];
                let command = CreateTopic {
                    id: self.fresh_id(),
                    assignments,
                    ..new_topic(name)
                };
                ("assign", over(&self.image).create_topic(&command, &drives))
            }
            _ => {
                let command = CreateTopic {
                    id: self.fresh_id(),
                    partitions: count,
                    replication_factor: 1 + self.random.below(4) as i16,
                    ..new_topic(name)
                };
                ("create", over(&self.image).create_topic(&command, &drives))
            }
        };
        self.take(what, decision, &Leave::default());
    }

    fn alter_partition(&mut self) {
        let Some((topic, index, state)) = self.partition() else {
            return;
        };
        let mut isr = self.random.some_of(&state.replicas);
        if self.random.one_in(2) {
            isr.clone_from(&state.replicas);
            isr.retain(|&node| self.image.is_active(node));
        }
        if !isr.contains(&state.leader) {
            isr.push(state.leader);
        }
        let stale = i32::from(self.random.one_in(8));
        let epoch_of = |node: &i32| self.image.broker(*node).map_or(0, |broker| broker.epoch);
        let command = AlterPartition {
            node: state.leader,
            broker_epoch: epoch_of(&state.leader),
            topic_id: self.image.topic(&topic).unwrap().id,
            index,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch - stale,
            isr: isr.iter().map(|node| (*node, epoch_of(node))).collect(),
        };
        let decided = over(&self.image).alter_partition(&command);
        assert!(stale == 0 || decided.is_err());
        let Ok((altered, records)) = decided else {
            return;
        };
        let leave = Leave {
            joining: isr,
            ..Leave::default()
        };
        let reassigning = state.is_reassigning();
        self.take("alter", Ok(records), &leave);
        let now = state_of(&self.image, &topic, index);
        assert_eq!(altered.state, *now);
        if reassigning && !now.is_reassigning() {
            *self.decided.entry("complete").or_default() += 1;
        }
    }

    fn reassign(&mut self) {
        let Some((topic, index, state)) = self.partition() else {
            return;
        };
        let replicas = match state.is_reassigning() && self.random.one_in(3) {
            true => None,
            false => Some(self.random.nodes()),
        };
        let what = if replicas.is_some() {
            "reassign"
        } else {
            "cancel"
        };
        let command = Reassignment {
            topic: topic.clone(),
            index,
            replicas: replicas.clone(),
            allow_factor_change: !self.random.one_in(4),
        };
        let drives = PlacementDrive::all(&self.image);
        let decision = over(&self.image).reassign(&command, &drives);
        // A cancelled one may go back to what wasn't in sync, where that is allowed.
        let unclean = replicas.is_none() && over(&self.image).unclean_rule().allows(&topic);
        let done = decision.is_ok();
        self.take(
            what,
            decision,
            &Leave {
                unclean,
                joining: Vec::new(),
            },
        );
        if let (true, Some(replicas)) = (done, replicas) {
            let now = state_of(&self.image, &topic, index);
            let staying = now.replicas.iter().filter(|n| !now.removing.contains(n));
            assert_eq!(staying.copied().collect::<Vec<_>>(), replicas);
        }
    }

    fn elect(&mut self) {
        let Some((topic, index, _)) = self.partition() else {
            return;
        };
        let controller = over(&self.image);
        let elect = |kind| controller.elect_leader(&topic, index, kind);
        let (what, decision) = match self.now % 3 {
            0 => ("preferred", elect(ElectionType::Preferred)),
            1 => ("unclean", elect(ElectionType::Unclean)),
            _ => ("leaderless", Ok(controller.elect_leaderless(3))),
        };
        let leave = Leave {
            unclean: what == "unclean",
            joining: Vec::new(),
        };
        self.take(what, decision, &leave);
    }

    fn configure(&mut self) {
        let name = self.random.topic();
        let resource = match self.random.one_in(3) {
            true => Resource::all_brokers(),
            false => Resource::topic(name),
        };
        let op = match self.random.one_in(2) {
            true => ConfigOp::Delete,
            false => ConfigOp::Set,
        };
        let value = (if self.random.one_in(2) {
            "true"
        } else {
            "false"
        })
        .to_owned();
        let change = ConfigChange {
            key: "unclean.leader.election.enable".to_owned(),
            op,
            value: Some(value),
        };
        let decision = over(&self.image).alter_configs(&resource, &[change]);
        self.take("configure", decision, &Leave::default());
    }

    /// Every broker is back with its drives and has caught up: everything is led by its first
    /// replica, with all replicas in sync.
    fn heal(&mut self) {
        for node in 1..=NODES {
            let command = RegisterBroker {
                incarnation: self.fresh_id(),
                ..registration(node, 2)
            };
            let decided = over(&self.image).register_broker(&command, Liveness::Silent);
            let decision = decided.map(|(_, records)| records);
            assert!(decision.is_ok(), "{decision:?}");
            self.take("heal", decision, &Leave::default());
        }
        for node in 1..=NODES {
            let decision = over(&self.image).unfence(node);
            self.take("heal", decision, &Leave::default());
        }
        let partitions = over(&self.image).partitions();
        let all: Vec<(Uuid, i32, PartitionState)> = partitions
            .map(|(topic, index, state)| (topic.id, index, state.clone()))
            .collect();
        for (topic_id, index, state) in all {
            assert_ne!(state.leader, -1, "{state:?}");
            let command = AlterPartition {
                node: state.leader,
                broker_epoch: self.image.broker(state.leader).unwrap().epoch,
                topic_id,
                index,
                leader_epoch: state.leader_epoch,
                partition_epoch: state.partition_epoch,
                isr: state
                    .replicas
                    .iter()
                    .map(|&n| (n, ANY_BROKER_EPOCH))
                    .collect(),
            };
            let (_, records) = over(&self.image).alter_partition(&command).unwrap();
            let leave = Leave {
                joining: state.replicas,
                ..Leave::default()
            };
            self.take("heal", Ok(records), &leave);
        }
        let decision = Ok(over(&self.image).rebalance_leaders(0, usize::MAX));
        self.take("heal", decision, &Leave::default());
        for (topic, index, state) in over(&self.image).partitions() {
            let name = format!("{}-{index} {state:?}", topic.name);
            assert_eq!(Some(state.leader), state.preferred_leader(), "{name}");
            assert_eq!(state.isr.len(), state.replicas.len(), "{name}");
            assert!(!state.is_reassigning(), "{name}");
        }
    }

    fn check_whole(&self) {
        assert_eq!(rebuilt(&self.image), self.image);
        let mut replayed = Image::new();
        for bytes in &self.log {
            replayed.apply(&decode(bytes).unwrap().unwrap()).unwrap();
        }
        assert_eq!(replayed, self.image);
        for ((node, drive), replicas) in model::counted(&self.image) {
            assert_eq!(self.image.drive_load(node, drive).replicas, replicas);
        }
    }
}

fn leads(image: &Image, node: i32) -> usize {
    let partitions = over(image).partitions();
    partitions
        .filter(|(_, _, state)| state.leader == node)
        .count()
}

#[test]
fn whatever_happens_the_rules_hold() {
    let only = std::env::var("OTTLA_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    let seeds = only.map_or(0..400, |seed: u64| seed..seed + 1);
    let mut decided: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in seeds {
        println!("OTTLA_SEED={seed}");
        let mut model = Model::new(seed);
        for _ in 0..300 {
            model.step();
        }
        model.check_whole();
        model.heal();
        model.check_whole();
        for (what, count) in model.decided {
            *decided.entry(what).or_default() += count;
        }
    }
    println!("{decided:?}");
    let kinds = [
        "register",
        "heartbeat",
        "stop",
        "expire",
        "fence",
        "unfence",
        "shutdown",
        "drive",
        "rebalance",
        "unregister",
        "delete",
        "grow",
        "assign",
        "create",
        "alter",
        "complete",
        "reassign",
        "cancel",
        "preferred",
        "unclean",
        "leaderless",
        "configure",
        "heal",
    ];
    for kind in kinds {
        assert!(
            only.is_some() || decided.contains_key(kind),
            "no {kind} in all the seeds"
        );
    }
}
