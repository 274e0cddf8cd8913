//! Clients of both protocols in one group, that come and go, so that it moves from one protocol to the other
//! and back at any moment, while the coordinator dies. No partition is ever two members' at once, and in
//! the end each is somebody's.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::Token;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupResponse, SyncGroupRequest,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::requests::{group_id, join, subscription, text, topic_name};
use super::rig::{Rig, asker};
use crate::embedded::Assignment;
use crate::{Ask, Reply};

const PARTITIONS: i32 = 8;

/// Where a client is with the group.
#[derive(Debug, Default)]
enum Stage {
    /// It has to join.
    #[default]
    Out,
    /// It waits for the answer to a JoinGroup or SyncGroup.
    Waits(Token),
    /// It has its assignment.
    In,
}

#[derive(Debug, Default)]
struct Client {
    is_classic: bool,
    id: String,
    /// The generation or epoch.
    epoch: i32,
    stage: Stage,
    /// What it works on.
    owned: BTreeSet<i32>,
    /// What it was told to have, if it hasn't got there: the consumer protocol.
    target: Option<BTreeSet<i32>>,
}

struct Group {
    rig: Rig,
    topic: Uuid,
    clients: BTreeMap<u32, Client>,
    made: u32,
}

impl Client {
    /// It was sent away.
    fn begin_anew(&mut self) {
        self.owned.clear();
        self.target = None;
        self.epoch = 0;
        self.stage = Stage::Out;
        if self.is_classic {
            self.id.clear();
        }
    }

    /// One of the classic protocol has to join again, for which it gives up everything.
    fn rejoin(&mut self, error: i16) {
        match ResponseError::try_from_code(error) {
            Some(ResponseError::RebalanceInProgress) => {
                self.owned.clear();
                self.stage = Stage::Out;
            }
            _ => self.begin_anew(),
        }
    }
}

fn shares(members: &[String]) -> Vec<SyncGroupRequestAssignment> {
    let share = |index: usize| -> Vec<i32> {
        (0..PARTITIONS)
            .filter(|partition| *partition as usize % members.len() == index)
            .collect()
    };
    let one = |(index, id): (usize, &String)| {
        let given = Assignment::write(&subscription(&[]), &[("t".to_owned(), share(index))]);
        SyncGroupRequestAssignment::default()
            .with_member_id(text(id))
            .with_assignment(given.unwrap())
    };
    members.iter().enumerate().map(one).collect()
}

impl Group {
    fn new() -> Self {
        let rig = Rig::new();
        let topic = coordinator::Topics::by_name(&rig.topics, "t").unwrap().id;
        Self {
            rig,
            topic,
            clients: BTreeMap::new(),
            made: 0,
        }
    }

    fn come(&mut self, is_classic: bool) {
        self.made += 1;
        let id = if is_classic {
            String::new()
        } else {
            format!("consumer-{}", self.made)
        };
        let client = Client {
            is_classic,
            id,
            ..Client::default()
        };
        self.clients.insert(self.made, client);
    }

    /// The next thing that a client does.
    fn act(&mut self, number: u32) {
        let Some(mut client) = self.clients.remove(&number) else {
            return;
        };
        match client.is_classic {
            true => self.act_classic(&mut client),
            false => self.act_consumer(&mut client),
        }
        self.clients.insert(number, client);
    }

    fn act_classic(&mut self, client: &mut Client) {
        match client.stage {
            Stage::Out => {
                let token = self.rig.join(9, join(&client.id, None));
                client.stage = Stage::Waits(token);
            }
            Stage::Waits(token) if self.rig.is_waiting(token) => {}
            Stage::Waits(token) => match self.rig.taken(token) {
                Reply::Join(answer) => self.joined(client, &answer),
                Reply::Sync(answer) if answer.error_code == 0 => {
                    let given = Assignment::read(&answer.assignment).unwrap().partitions;
                    client.owned = given.into_iter().flat_map(|(_, given)| given).collect();
                    client.stage = Stage::In;
                }
                Reply::Sync(answer) => client.rejoin(answer.error_code),
                other => panic!("{other:?}"),
            },
            Stage::In => {
                let request = HeartbeatRequest::default()
                    .with_group_id(group_id("g"))
                    .with_generation_id(client.epoch)
                    .with_member_id(text(&client.id));
                match self.rig.answer(Ask::Heartbeat(request)) {
                    Reply::Heartbeat(answer) if answer.error_code == 0 => {}
                    Reply::Heartbeat(answer) => client.rejoin(answer.error_code),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn joined(&mut self, client: &mut Client, answer: &JoinGroupResponse) {
        client.stage = Stage::Out;
        match ResponseError::try_from_code(answer.error_code) {
            None => {}
            Some(ResponseError::MemberIdRequired) => {
                client.id = answer.member_id.to_string();
                return;
            }
            Some(_) => return client.rejoin(answer.error_code),
        }
        (client.epoch, client.id) = (answer.generation_id, answer.member_id.to_string());
        let members: Vec<String> = answer
            .members
            .iter()
            .map(|member| member.member_id.to_string())
            .collect();
        let request = SyncGroupRequest::default()
            .with_group_id(group_id("g"))
            .with_generation_id(client.epoch)
            .with_member_id(text(&client.id))
            .with_assignments(shares(&members));
        client.stage = Stage::Waits(self.rig.ask(Ask::Sync(4, request)));
    }

    fn act_consumer(&mut self, client: &mut Client) {
        // First it gives up; the coordinator hears of it before anything is taken.
        if let Some(target) = client.target.take() {
            let kept: BTreeSet<i32> = client.owned.intersection(&target).copied().collect();
            if kept == client.owned {
                client.owned = target;
            } else {
                client.owned = kept;
                client.target = Some(target);
            }
        }
        let mut owned = Vec::new();
        if !client.owned.is_empty() {
            let partitions = client.owned.iter().copied().collect();
            owned.push(
                TopicPartitions::default()
                    .with_topic_id(self.topic)
                    .with_partitions(partitions),
            );
        }
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id("g"))
            .with_member_id(text(&client.id))
            .with_member_epoch(client.epoch)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(Some(owned));
        if client.epoch == 0 {
            request.rebalance_timeout_ms = 20_000;
            request.subscribed_topic_names = Some(vec![topic_name("t")]);
        }
        let Reply::ConsumerHeartbeat(answer) =
            self.rig.answer(Ask::ConsumerHeartbeat(asker(), 1, request))
        else {
            panic!("another answer");
        };
        if answer.error_code != 0 {
            return client.begin_anew();
        }
        client.epoch = answer.member_epoch;
        if let Some(told) = answer.assignment {
            let told = told
                .topic_partitions
                .into_iter()
                .flat_map(|topic| topic.partitions);
            client.target = Some(told.collect());
        }
    }

    fn leave(&mut self, number: u32) {
        let Some(client) = self.clients.remove(&number) else {
            return;
        };
        if client.is_classic {
            self.rig.leave(&[(&client.id, None)]);
        } else {
            let request = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group_id("g"))
                .with_member_id(text(&client.id))
                .with_member_epoch(-1)
                .with_subscribed_topic_names(None)
                .with_topic_partitions(None);
            self.rig.ask(Ask::ConsumerHeartbeat(asker(), 1, request));
        }
    }

    /// Those whom the coordinator has as members.
    fn members(&mut self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        if let Reply::ConsumerDescribe(group) =
            self.rig.answer(Ask::ConsumerDescribe(group_id("g")))
        {
            ids.extend(
                group
                    .members
                    .iter()
                    .map(|member| member.member_id.to_string()),
            );
        }
        if let Reply::Describe(group) = self.rig.answer(Ask::Describe(group_id("g"), 6)) {
            ids.extend(
                group
                    .members
                    .iter()
                    .map(|member| member.member_id.to_string()),
            );
        }
        ids
    }

    fn check(&mut self) {
        let members = self.members();
        let mut owned = BTreeSet::new();
        for client in self
            .clients
            .values()
            .filter(|client| members.contains(&client.id))
        {
            for partition in &client.owned {
                assert!(owned.insert(*partition), "{} shares {partition}", client.id);
            }
        }
    }

    /// Everybody is heard, until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..100 {
            let numbers: Vec<u32> = self.clients.keys().copied().collect();
            for number in numbers {
                self.act(number);
                self.check();
            }
            self.rig.pass(1_000);
        }
        if self.clients.is_empty() {
            return;
        }
        let owned = self
            .clients
            .values()
            .flat_map(|client| client.owned.iter().copied());
        let owned: BTreeSet<i32> = owned.collect();
        assert_eq!(owned, (0..PARTITIONS).collect(), "{:?}", self.clients);
        assert_eq!(self.rig.state().as_deref(), Some("Stable"));
    }

    fn happens(&mut self, event: &Event) {
        let nth = |clients: &BTreeMap<u32, Client>, n: usize| {
            clients.keys().nth(n % clients.len().max(1)).copied()
        };
        match *event {
            Event::Come(is_classic) => self.come(is_classic),
            Event::Act(who) => {
                if let Some(number) = nth(&self.clients, who) {
                    self.act(number);
                }
            }
            Event::ActAll => {
                let numbers: Vec<u32> = self.clients.keys().copied().collect();
                numbers.into_iter().for_each(|number| self.act(number));
            }
            Event::Leave(who) => {
                if let Some(number) = nth(&self.clients, who) {
                    self.leave(number);
                }
            }
            Event::Die(who) => {
                if let Some(number) = nth(&self.clients, who) {
                    self.clients.remove(&number);
                }
            }
            Event::Pass(ms) => self.rig.pass(ms),
            Event::Reload => {
                self.rig.load();
                // Who waits for an answer doesn't get one, and asks again.
                for client in self.clients.values_mut() {
                    if matches!(client.stage, Stage::Waits(_)) {
                        client.stage = Stage::Out;
                    }
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Come(bool),
    Act(usize),
    ActAll,
    Leave(usize),
    Die(usize),
    Pass(u64),
    Reload,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(Event::Come),
        16 => any::<usize>().prop_map(Event::Act),
        10 => Just(Event::ActAll),
        2 => any::<usize>().prop_map(Event::Leave),
        1 => any::<usize>().prop_map(Event::Die),
        6 => (0u64..8_000).prop_map(Event::Pass),
        1 => Just(Event::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn no_partition_is_ever_of_two(events in prop::collection::vec(event(), 0..150)) {
        let mut group = Group::new();
        for event in &events {
            group.happens(event);
            group.check();
        }
        group.settle();
    }
}

// The second client leaves, and what is left is a classic group; its coordinator dies before anybody has come
// again.
#[test]
fn a_group_that_moved_rebalances_whoever_coordinates_it() {
    let events = [
        Event::Come(true),
        Event::Act(0),
        Event::Act(0),
        Event::Come(false),
        Event::Come(true),
        Event::ActAll,
        Event::Act(993_143_358_679_604_108),
        Event::Come(true),
        Event::ActAll,
        Event::Act(8_895_197_763_711_326_454),
        Event::Act(3_336_444_979_313_943_826),
        Event::Leave(8_420_878_801_253_702_173),
        Event::Reload,
        Event::Leave(8_949_087_907_802_240_912),
    ];
    let mut group = Group::new();
    for event in &events {
        group.happens(event);
        group.check();
    }
    group.settle();
}
