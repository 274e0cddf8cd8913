//! The committed offsets of all groups of the partition, and those of transactions that haven't ended.

mod commit;
mod delete;
mod epochs;
mod fetch;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use uuid::Uuid;

use crate::step::Name;

use epochs::Epochs;

pub(crate) use sweep::Sweeps;

/// What is committed of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// -1 if the client didn't say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Box<str>,
    /// When, in milliseconds since 1970.
    pub(crate) commit_ms: i64,
    /// Until when it is kept, if the client said that.
    pub(crate) expire_ms: Option<i64>,
    /// The topic's id at that time; nil if it isn't known.
    pub(crate) topic_id: Uuid,
    /// Which of two commits was written later: rises along the log.
    pub(crate) order: i64,
}

/// What a group has of a topic. Never empty.
#[derive(Debug, Default)]
struct OfTopic {
    committed: BTreeMap<i32, Committed>,
    /// The producers whose open transactions have a commit of the partition. No set is empty.
    open: BTreeMap<i32, BTreeSet<i64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    group: Name,
    topic: Name,
    partition: i32,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    groups: BTreeMap<Name, BTreeMap<Name, OfTopic>>,
    /// By producer: what becomes committed when its transaction does.
    pending: BTreeMap<i64, BTreeMap<Place, Committed>>,
    /// Which groups have anything of a topic.
    topics: BTreeMap<Name, BTreeSet<Name>>,
    epochs: Epochs,
    order: i64,
    count: usize,
}

impl Offsets {
    /// How many partitions have a committed offset.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The place in the log of what is written now; while replaying, what lies at this offset.
    fn order(&mut self, replayed: Option<i64>) -> i64 {
        let order = replayed.unwrap_or(self.order);
        self.order = self.order.max(order + 1);
        order
    }

    fn of(&self, group: &str, topic: &str) -> Option<&OfTopic> {
        self.groups.get(group)?.get(topic)
    }

    fn of_mut(&mut self, group: &str, topic: &str) -> &mut OfTopic {
        if self.of(group, topic).is_none() {
            let group = match self.groups.get_key_value(group) {
                Some((group, _)) => group.clone(),
                None => group.into(),
            };
            let topic = match self.topics.get_key_value(topic) {
                Some((topic, _)) => topic.clone(),
                None => topic.into(),
            };
            self.topics
                .entry(topic.clone())
                .or_default()
                .insert(group.clone());
            self.groups
                .entry(group)
                .or_default()
                .insert(topic, OfTopic::default());
        }
        #[expect(clippy::expect_used, reason = "it was just put there")]
        self.groups
            .get_mut(group)
            .and_then(|topics| topics.get_mut(topic))
            .expect("the topic is there")
    }

    fn drop_if_empty(&mut self, group: &str, topic: &str) {
        let Some(topics) = self.groups.get_mut(group) else {
            return;
        };
        if topics
            .get(topic)
            .is_none_or(|of| !of.committed.is_empty() || !of.open.is_empty())
        {
            return;
        }
        topics.remove(topic);
        if topics.is_empty() {
            self.groups.remove(group);
        }
        if let Some(groups) = self.topics.get_mut(topic) {
            groups.remove(group);
            if groups.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Takes a commit that is written, or was read at the offset `replayed`.
    pub(crate) fn put(
        &mut self,
        group: &str,
        topic: &str,
        partition: i32,
        mut committed: Committed,
        replayed: Option<i64>,
    ) {
        committed.order = self.order(replayed);
        if self
            .of_mut(group, topic)
            .committed
            .insert(partition, committed)
            .is_none()
        {
            self.count += 1;
        }
    }

    /// Takes a commit that is part of the producer's open transaction.
    pub(crate) fn put_pending(
        &mut self,
        (producer_id, epoch): (i64, i16),
        (group, topic, partition): (&str, &str, i32),
        mut committed: Committed,
        replayed: Option<i64>,
    ) {
        committed.order = self.order(replayed);
        self.epochs.saw(producer_id, epoch);
        self.of_mut(group, topic)
            .open
            .entry(partition)
            .or_default()
            .insert(producer_id);
        let (Some((group, _)), Some((topic, _))) = (
            self.groups.get_key_value(group),
            self.topics.get_key_value(topic),
        ) else {
            return;
        };
        let place = Place {
            group: group.clone(),
            topic: topic.clone(),
            partition,
        };
        self.pending
            .entry(producer_id)
            .or_default()
            .insert(place, committed);
    }

    /// Forgets what is committed of the partition, also by open transactions.
    pub(crate) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        let Some(of) = self
            .groups
            .get_mut(group)
            .and_then(|topics| topics.get_mut(topic))
        else {
            return;
        };
        if of.committed.remove(&partition).is_some() {
            self.count -= 1;
        }
        let place = Place {
            group: group.into(),
            topic: topic.into(),
            partition,
        };
        for producer_id in of.open.remove(&partition).unwrap_or_default() {
            if let Some(pending) = self.pending.get_mut(&producer_id) {
                pending.remove(&place);
                if pending.is_empty() {
                    self.pending.remove(&producer_id);
                }
            }
        }
        self.drop_if_empty(group, topic);
    }

    /// Takes the end of a producer's transaction. A commit that was written after what the transaction
    /// has of the same partition stays.
    pub(crate) fn transaction_ended(&mut self, producer_id: i64, epoch: i16, commit: bool) {
        self.epochs.saw(producer_id, epoch);
        for (place, pending) in self.pending.remove(&producer_id).unwrap_or_default() {
            let Place {
                group,
                topic,
                partition,
            } = place;
            let of = self.of_mut(&group, &topic);
            if let Some(producers) = of.open.get_mut(&partition) {
                producers.remove(&producer_id);
                if producers.is_empty() {
                    of.open.remove(&partition);
                }
            }
            let later = of
                .committed
                .get(&partition)
                .is_none_or(|old| old.order < pending.order);
            if commit && later && of.committed.insert(partition, pending).is_none() {
                self.count += 1;
            }
            self.drop_if_empty(&group, &topic);
        }
    }

    /// The next topic and group that has anything of it, in order.
    fn next_use(&self, after: Option<(Name, Name)>) -> Option<(Name, Name)> {
        let bounds = match after {
            None => (Bound::Unbounded, Bound::Unbounded),
            Some((topic, group)) => {
                let further = (Bound::Excluded(group), Bound::Unbounded);
                let groups = self.topics.get_key_value(&topic);
                let next =
                    groups.and_then(|(topic, groups)| Some((topic, groups.range(further).next()?)));
                if let Some((topic, group)) = next {
                    return Some((topic.clone(), group.clone()));
                }
                (Bound::Excluded(topic), Bound::Unbounded)
            }
        };
        let (topic, groups) = self.topics.range(bounds).next()?;
        Some((topic.clone(), groups.first()?.clone()))
    }

    /// Everything that the group has: committed, or by an open transaction.
    pub(crate) fn all_of(&self, group: &str) -> Vec<(Name, i32)> {
        let mut all = Vec::new();
        for (topic, of) in self.groups.get(group).into_iter().flatten() {
            all.extend(
                of.committed
                    .keys()
                    .map(|partition| (topic.clone(), *partition)),
            );
            let open = of
                .open
                .keys()
                .filter(|partition| !of.committed.contains_key(partition));
            all.extend(open.map(|partition| (topic.clone(), *partition)));
        }
        all
    }
}
