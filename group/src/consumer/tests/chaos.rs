//! Members that behave as clients do, lose answers, die, come back and change their minds, while topics come
//! and grow and the coordinator is made anew of its log. No partition is ever two members' at once, and in
//! the end everything is somebody's.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ConsumerGroupHeartbeatResponse, TopicName};
use proptest::prelude::*;
use uuid::Uuid;

use super::room::{Room, assigned, beating, joining, text};
use crate::assign::Partitions;

const TOPICS: [&str; 4] = ["t", "a1", "a2", "b"];

/// A client of the consumer protocol.
#[derive(Clone, Debug, Default)]
struct Client {
    instance: Option<String>,
    topics: BTreeSet<&'static str>,
    regex: bool,
    epoch: i32,
    /// What it works on.
    owned: Partitions,
    /// What it was told to have, if it hasn't got there.
    target: Option<Partitions>,
    /// Whether it says everything with its next heartbeat.
    says_all: bool,
}

fn intersection(a: &Partitions, b: &Partitions) -> Partitions {
    let both = a.iter().filter_map(|(topic, a)| {
        let both: BTreeSet<i32> = a.intersection(b.get(topic)?).copied().collect();
        (!both.is_empty()).then_some((*topic, both))
    });
    both.collect()
}

struct Chaos {
    room: Room,
    clients: BTreeMap<String, Client>,
    made: usize,
}

impl Chaos {
    fn join(&mut self, instance: Option<String>, wish: u8) {
        self.made += 1;
        let mut client = Client {
            instance,
            ..Client::default()
        };
        client.wish(wish);
        self.clients.insert(format!("c{}", self.made), client);
    }

    /// One heartbeat of a client, whose answer may be lost. It does what it was told before.
    fn beat(&mut self, id: &str, lost: bool) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        // First it gives up; the coordinator hears of it before anything is taken.
        if let Some(target) = client.target.take() {
            let kept = intersection(&client.owned, &target);
            if kept == client.owned {
                client.owned = target;
            } else {
                client.owned = kept;
                client.target = Some(target);
            }
        }
        let mut request = match client.epoch {
            0 => joining(id, &[]),
            epoch => beating(id, epoch, Some(&client.owned)),
        };
        if client.epoch == 0 || client.says_all {
            let names = client.topics.iter().map(|topic| TopicName(text(topic)));
            request.rebalance_timeout_ms = 20_000;
            request.subscribed_topic_names = Some(names.collect());
            request.subscribed_topic_regex = Some(text(if client.regex { "a.*" } else { "" }));
        }
        request.instance_id = client.instance.as_deref().map(text);
        let answer = self.room.heartbeat(&request);
        let client = self.clients.get_mut(id).unwrap();
        client.says_all = lost;
        match answer {
            _ if lost => {}
            Ok(answer) => client.take(&answer),
            Err(refusal) => match refusal.error {
                ResponseError::UnreleasedInstanceId => {}
                ResponseError::FencedInstanceId => drop(self.clients.remove(id)),
                ResponseError::UnknownMemberId | ResponseError::FencedMemberEpoch => {
                    (client.epoch, client.target) = (0, None);
                    client.owned.clear();
                }
                other => panic!("{other:?}: {}", refusal.message),
            },
        }
    }

    /// Everybody's partitions, of those who are members and know it.
    fn check(&self) {
        self.room.check_log();
        let mut owned: BTreeSet<(Uuid, i32)> = BTreeSet::new();
        for (id, client) in &self.clients {
            if !self.room.group.members.contains_key(id) {
                continue;
            }
            for (topic, partitions) in &client.owned {
                for partition in partitions {
                    assert!(
                        owned.insert((*topic, *partition)),
                        "{id} shares {topic}-{partition}"
                    );
                }
            }
        }
    }

    /// Everybody is heard, until nothing changes any more.
    fn settle(&mut self) {
        // Those who died are found out.
        for _ in 0..20 {
            self.room.pass(4_000);
            let ids: Vec<String> = self.clients.keys().cloned().collect();
            for id in ids {
                self.beat(&id, false);
                self.check();
            }
        }
        if self.clients.is_empty() {
            return;
        }
        assert_eq!(self.room.group.state(), "Stable");
        let mut wanted: BTreeSet<(Uuid, i32)> = BTreeSet::new();
        for (name, topic) in self.room.topics.all() {
            let wants = |client: &Client| {
                client.topics.contains(name.as_str()) || client.regex && name.starts_with('a')
            };
            if self.clients.values().any(wants) {
                wanted.extend((0..topic.partitions).map(|partition| (topic.id, partition)));
            }
        }
        let owned = self.clients.values().flat_map(|client| &client.owned);
        let owned = owned.flat_map(|(topic, partitions)| partitions.iter().map(|p| (*topic, *p)));
        assert_eq!(owned.collect::<BTreeSet<_>>(), wanted);
    }
}

impl Client {
    fn wish(&mut self, wish: u8) {
        let chosen = TOPICS
            .iter()
            .enumerate()
            .filter(|(bit, _)| wish & (1 << bit) != 0);
        self.topics = chosen.map(|(_, topic)| *topic).collect();
        self.regex = wish & 16 != 0;
        self.says_all = true;
    }

    fn take(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        self.epoch = answer.member_epoch;
        if let Some(told) = assigned(answer) {
            self.target = Some(told);
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Join(u8),
    JoinStatic(u8, u8),
    Beat(usize, bool),
    BeatAll,
    Leave(usize),
    LeaveForNow(usize),
    Die(usize),
    Wish(usize, u8),
    Topic(usize, i32),
    Delete(usize),
    Pass(u64),
    Reload,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => any::<u8>().prop_map(Event::Join),
        2 => (0u8..3, any::<u8>()).prop_map(|(instance, wish)| Event::JoinStatic(instance, wish)),
        20 => (any::<usize>(), prop::bool::weighted(0.15)).prop_map(|(who, lost)| Event::Beat(who, lost)),
        6 => Just(Event::BeatAll),
        1 => any::<usize>().prop_map(Event::Leave),
        2 => any::<usize>().prop_map(Event::LeaveForNow),
        1 => any::<usize>().prop_map(Event::Die),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(who, wish)| Event::Wish(who, wish)),
        2 => (0..TOPICS.len(), 1i32..7).prop_map(|(topic, count)| Event::Topic(topic, count)),
        1 => (0..TOPICS.len()).prop_map(Event::Delete),
        4 => (0u64..25_000).prop_map(Event::Pass),
        1 => Just(Event::Reload),
    ]
}

fn happens(chaos: &mut Chaos, event: Event) {
    let nth = |clients: &BTreeMap<String, Client>, n: usize| {
        clients.keys().nth(n % clients.len().max(1)).cloned()
    };
    match event {
        Event::Join(wish) => chaos.join(None, wish),
        Event::JoinStatic(instance, wish) => {
            let instance = format!("i{instance}");
            // Of an instance there is one process at a time.
            chaos
                .clients
                .retain(|_, client| client.instance.as_ref() != Some(&instance));
            chaos.join(Some(instance), wish);
        }
        Event::Beat(who, lost) => {
            if let Some(id) = nth(&chaos.clients, who) {
                chaos.beat(&id, lost);
            }
        }
        Event::BeatAll => {
            let ids: Vec<String> = chaos.clients.keys().cloned().collect();
            ids.iter().for_each(|id| chaos.beat(id, false));
        }
        Event::Leave(who) | Event::LeaveForNow(who) | Event::Die(who) => {
            let Some(id) = nth(&chaos.clients, who) else {
                return;
            };
            let client = chaos.clients.remove(&id).unwrap();
            let epoch = match event {
                Event::Leave(_) => -1,
                Event::LeaveForNow(_) if client.instance.is_some() => -2,
                _ => return,
            };
            let mut request = beating(&id, epoch, None);
            request.instance_id = client.instance.as_deref().map(text);
            let _ = chaos.room.heartbeat(&request);
        }
        Event::Wish(who, wish) => {
            if let Some(id) = nth(&chaos.clients, who) {
                chaos.clients.get_mut(&id).unwrap().wish(wish);
            }
        }
        Event::Topic(topic, count) => drop(chaos.room.topics.set(TOPICS[topic], count)),
        Event::Delete(topic) => chaos.room.topics.delete(TOPICS[topic]),
        Event::Pass(ms) => drop(chaos.room.pass(ms)),
        Event::Reload => {
            chaos.room.group = chaos.room.replayed();
            chaos.room.step(|group, step| group.loaded(step));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn no_partition_is_ever_of_two(events in prop::collection::vec(event(), 0..120)) {
        let mut chaos = Chaos { room: Room::new(3), clients: BTreeMap::new(), made: 0 };
        for event in events {
            happens(&mut chaos, event);
            chaos.check();
        }
        chaos.settle();
    }
}
