//! Share groups of members that behave as clients do, lose answers, die and change their minds, while topics
//! come and grow, the share coordinator fails, and the coordinator is made anew of its log.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use proptest::prelude::*;

use super::rig::Rig;
use super::share::{assigned, beating, count};
use crate::Partitions;

/// What one member of the group believes.
#[derive(Clone, Debug, Default)]
struct Client {
    topics: Vec<&'static str>,
    epoch: i32,
    has: Partitions,
    says_all: bool,
}

const TOPICS: [&str; 3] = ["t", "u", "v"];

struct Chaos {
    rig: Rig,
    clients: BTreeMap<String, Client>,
    made: usize,
}

impl Chaos {
    fn beat(&mut self, id: &str, lost: bool) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let topics = (client.epoch == 0 || client.says_all).then_some(&client.topics[..]);
        let answer = self.rig.beats(beating(id, client.epoch, topics));
        let written = self.rig.shared();
        client.says_all = lost;
        match ResponseError::try_from_code(answer.error_code) {
            _ if lost => {}
            None => {
                assert_eq!(answer.member_epoch, written.assignment_epoch);
                assert!(client.epoch <= answer.member_epoch, "epochs go up");
                client.epoch = answer.member_epoch;
                if let Some(has) = assigned(&answer) {
                    client.has = has;
                }
            }
            Some(
                ResponseError::UnknownMemberId
                | ResponseError::FencedMemberEpoch
                | ResponseError::GroupIdNotFound,
            ) => {
                // A client takes a new id when it is fenced.
                let mut fresh = self.clients.remove(id).unwrap();
                (fresh.epoch, fresh.has) = (0, Partitions::new());
                self.made += 1;
                self.clients.insert(format!("c{}", self.made), fresh);
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.rig.pass(4_000);
            self.rig.states_are_made(true);
            let ids: Vec<String> = self.clients.keys().cloned().collect();
            ids.iter().for_each(|id| self.beat(id, false));
        }
        let mut wanted = Partitions::new();
        for name in self.clients.values().flat_map(|client| &client.topics) {
            if let Some(topic) = coordinator::Topics::by_name(&self.rig.topics, name) {
                wanted.insert(topic.id, (0..topic.partitions).collect());
            }
        }
        let mut has = Partitions::new();
        for (topic, partitions) in self.clients.values().flat_map(|client| &client.has) {
            has.entry(*topic).or_default().extend(partitions);
        }
        assert_eq!(has, wanted, "everything is somebody's");
        let sizes: Vec<usize> = self
            .clients
            .values()
            .map(|client| count(&client.has))
            .collect();
        let alike = self
            .clients
            .values()
            .all(|client| client.topics.len() == TOPICS.len());
        if let (true, Some(most)) = (alike, sizes.iter().max()) {
            let part = count(&wanted).div_ceil(sizes.len());
            assert!(*most <= part + 1, "{sizes:?}");
        }
        let written = self.rig.log.len();
        let ids: Vec<String> = self.clients.keys().cloned().collect();
        ids.iter().for_each(|id| self.beat(id, false));
        assert_eq!(self.rig.log.len(), written, "then nothing changes any more");
    }
}

#[derive(Clone, Debug)]
enum Event {
    Join(u8),
    Beat(usize, bool),
    Leave(usize),
    Die(usize),
    Wish(usize, u8),
    Make(usize),
    Grow(usize),
    Delete(usize),
    States(bool),
    Pass(u64),
    Load(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => any::<u8>().prop_map(Event::Join),
        20 => (any::<usize>(), prop::bool::weighted(0.15)).prop_map(|(who, lost)| Event::Beat(who, lost)),
        1 => any::<usize>().prop_map(Event::Leave),
        1 => any::<usize>().prop_map(Event::Die),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(who, wish)| Event::Wish(who, wish)),
        2 => (0..TOPICS.len()).prop_map(Event::Make),
        1 => (0..TOPICS.len()).prop_map(Event::Grow),
        1 => (0..TOPICS.len()).prop_map(Event::Delete),
        5 => prop::bool::weighted(0.7).prop_map(Event::States),
        3 => (0u64..20_000).prop_map(Event::Pass),
        1 => any::<bool>().prop_map(Event::Load),
    ]
}

fn wish(bits: u8) -> Vec<&'static str> {
    // All of them more often than others, as most groups have it.
    let bits = if bits < 128 { 7 } else { bits & 7 };
    let chosen = TOPICS
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits & (1 << bit) != 0);
    let chosen: Vec<_> = chosen.map(|(_, topic)| *topic).collect();
    if chosen.is_empty() { vec!["t"] } else { chosen }
}

fn happens(chaos: &mut Chaos, event: Event) {
    let nth = |clients: &BTreeMap<String, Client>, n: usize| {
        clients.keys().nth(n % clients.len().max(1)).cloned()
    };
    match event {
        Event::Join(bits) => {
            chaos.made += 1;
            let client = Client {
                topics: wish(bits),
                ..Client::default()
            };
            chaos.clients.insert(format!("c{}", chaos.made), client);
        }
        Event::Beat(who, lost) => {
            if let Some(id) = nth(&chaos.clients, who) {
                chaos.beat(&id, lost);
            }
        }
        Event::Leave(who) | Event::Die(who) => {
            if let Some(id) = nth(&chaos.clients, who) {
                chaos.clients.remove(&id);
                if matches!(event, Event::Leave(_)) {
                    chaos.rig.share_beat(&id, -1, None);
                }
            }
        }
        Event::Wish(who, bits) => {
            if let Some(id) = nth(&chaos.clients, who) {
                let client = chaos.clients.get_mut(&id).unwrap();
                (client.topics, client.says_all) = (wish(bits), true);
            }
        }
        Event::Make(topic) => {
            if coordinator::Topics::by_name(&chaos.rig.topics, TOPICS[topic]).is_none() {
                chaos.rig.topics.make(TOPICS[topic]);
            }
        }
        Event::Grow(topic) => chaos.rig.topics.grow(TOPICS[topic], 3),
        Event::Delete(topic) => chaos.rig.topics.delete(TOPICS[topic]),
        Event::States(well) => {
            chaos.rig.states_are_made(well);
        }
        Event::Pass(ms) => chaos.rig.pass(ms),
        Event::Load(compacted) => {
            let before = chaos.rig.shared();
            if compacted {
                chaos.rig.compact();
            }
            chaos.rig.load();
            assert_eq!(
                chaos.rig.shared(),
                before,
                "a replayed group is the group that was"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn in_the_end_everything_is_somebodys(events in prop::collection::vec(event(), 0..120)) {
        let mut chaos = Chaos { rig: Rig::new(), clients: BTreeMap::new(), made: 0 };
        for event in events {
            happens(&mut chaos, event);
        }
        chaos.settle();
    }
}
