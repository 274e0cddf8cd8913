//! A group alone in a room, with a few topics and a clock that is turned by hand.

use std::cell::RefCell;
use std::collections::BTreeMap;

use coordinator::wire::Reader;
use coordinator::{Now, Record, Topic, Topics, World};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::Asker;
use crate::assign::Partitions;
use crate::consumer::{Change, ConsumerGroup, Outcome, Refusal, Step, validate};
use crate::settings::ConsumerSettings;

/// Topics that can be made, made larger, and deleted.
#[derive(Default)]
pub(super) struct Known {
    topics: RefCell<BTreeMap<String, Topic>>,
    version: RefCell<i64>,
}

impl Known {
    pub(super) fn set(&self, name: &str, partitions: i32) -> Uuid {
        *self.version.borrow_mut() += 1;
        let fresh = Topic {
            id: Uuid::from_u128(*self.version.borrow() as u128),
            partitions,
        };
        let mut topics = self.topics.borrow_mut();
        let topic = topics.entry(name.into()).or_insert(fresh);
        topic.partitions = partitions.max(topic.partitions);
        topic.id
    }

    pub(super) fn delete(&self, name: &str) {
        *self.version.borrow_mut() += 1;
        self.topics.borrow_mut().remove(name);
    }

    pub(super) fn all(&self) -> Vec<(String, Topic)> {
        self.topics.borrow().clone().into_iter().collect()
    }
}

impl Topics for Known {
    fn version(&self) -> i64 {
        *self.version.borrow()
    }

    fn by_name(&self, name: &str) -> Option<Topic> {
        self.topics.borrow().get(name).copied()
    }

    fn name_of(&self, id: Uuid) -> Option<String> {
        self.all()
            .into_iter()
            .find(|(_, topic)| topic.id == id)
            .map(|(name, _)| name)
    }

    fn each(&self, each: &mut dyn FnMut(&str)) {
        self.topics.borrow().keys().for_each(|name| each(name));
    }

    fn racks(&self, _id: Uuid, _partition: i32) -> Vec<String> {
        Vec::new()
    }
}

pub(super) struct Room {
    pub(super) group: ConsumerGroup,
    pub(super) topics: Known,
    pub(super) settings: ConsumerSettings,
    pub(super) now_ms: u64,
    pub(super) log: Vec<Record>,
    ids: u128,
}

impl Room {
    /// With a topic `t` of so many partitions.
    pub(super) fn new(partitions: i32) -> Self {
        let topics = Known::default();
        topics.set("t", partitions);
        Self {
            group: ConsumerGroup::new("group"),
            topics,
            settings: ConsumerSettings::default(),
            now_ms: 1_000,
            log: Vec::new(),
            ids: 1 << 64,
        }
    }

    pub(super) fn step<T>(
        &mut self,
        run: impl FnOnce(&mut ConsumerGroup, &mut Step<'_, '_>) -> T,
    ) -> T {
        let ids = &mut self.ids;
        let mut world = World {
            now: Now {
                mono_ms: self.now_ms,
                wall_ms: self.now_ms as i64,
            },
            topics: &self.topics,
            fresh_id: &mut || {
                *ids += 1;
                Uuid::from_u128(*ids)
            },
        };
        let mut step = Step {
            world: &mut world,
            settings: &self.settings,
            classic_max_size: usize::MAX,
            records: &mut self.log,
        };
        run(&mut self.group, &mut step)
    }

    pub(super) fn heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        self.heartbeat_outcome(request)
            .map(|(response, _)| response)
    }

    pub(super) fn heartbeat_outcome(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Outcome), Refusal> {
        validate(1, request, &self.settings)?;
        self.step(|group, step| group.heartbeat(step, &asker(), request))
    }

    /// A member joins that wants `t`.
    pub(super) fn join(&mut self, id: &str) -> ConsumerGroupHeartbeatResponse {
        self.heartbeat(&joining(id, &["t"])).unwrap()
    }

    /// A heartbeat that says only what the member has.
    pub(super) fn beat(
        &mut self,
        id: &str,
        epoch: i32,
        owned: &Partitions,
    ) -> ConsumerGroupHeartbeatResponse {
        self.heartbeat(&beating(id, epoch, Some(owned))).unwrap()
    }

    /// Lets time go by, with every tick that is due.
    pub(super) fn pass(&mut self, ms: u64) -> Outcome {
        let end = self.now_ms + ms;
        while let Some(due) = self.group.deadline().filter(|due| *due <= end) {
            self.now_ms = self.now_ms.max(due);
            let outcome = self.step(|group, step| group.tick(step));
            if outcome != Outcome::Stays {
                return outcome;
            }
        }
        self.now_ms = end;
        Outcome::Stays
    }

    /// The group that the log makes.
    pub(super) fn replayed(&self) -> ConsumerGroup {
        let mut group = ConsumerGroup::new("group");
        for record in &self.log {
            let mut key = Reader::new(&record.key);
            let version = key.i16().unwrap();
            let (id, change) = Change::read(version, key, record.value.as_deref()).unwrap();
            assert_eq!(id, "group");
            if !group.apply(&change) {
                group = ConsumerGroup::new("group");
            }
        }
        group
    }

    /// The group is what its log says.
    pub(super) fn check_log(&self) {
        assert_eq!(self.group.said(), self.replayed().said());
    }
}

impl ConsumerGroup {
    /// Everything that is in its records, or counted from it.
    pub(super) fn said(&self) -> String {
        format!(
            "{:?}",
            (
                (
                    self.epoch,
                    self.hash,
                    self.assignment_epoch,
                    self.has_partition_metadata
                ),
                (&self.members, &self.targets, &self.regexes, &self.counts),
            )
        )
    }
}

pub(super) fn asker() -> Asker {
    Asker {
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
    }
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A request that says nothing but who it is from.
pub(super) fn beating(
    id: &str,
    epoch: i32,
    owned: Option<&Partitions>,
) -> ConsumerGroupHeartbeatRequest {
    let mut request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("group")))
        .with_member_id(text(id))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None);
    request.topic_partitions = owned.map(|owned| {
        let topics = owned.iter().map(|(topic, partitions)| {
            TopicPartitions::default()
                .with_topic_id(*topic)
                .with_partitions(partitions.iter().copied().collect())
        });
        topics.collect()
    });
    request
}

/// A request to join with these topics.
pub(super) fn joining(id: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    let names = topics.iter().map(|topic| TopicName(text(topic)));
    beating(id, 0, Some(&Partitions::new()))
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(names.collect()))
}

/// What an answer assigns; `None` if it says nothing of that.
pub(super) fn assigned(response: &ConsumerGroupHeartbeatResponse) -> Option<Partitions> {
    let topics = response.assignment.as_ref()?.topic_partitions.iter();
    Some(
        topics
            .map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect()))
            .collect(),
    )
}

/// How many partitions these are.
pub(super) fn load(partitions: &Partitions) -> usize {
    partitions.values().map(|partitions| partitions.len()).sum()
}
