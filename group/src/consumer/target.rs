//! Which topics a group is about, and who shall have which of their partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use coordinator::World;
use uuid::Uuid;

use super::member::Member;
use super::{Change, ConsumerGroup, Step};
use crate::assign::{Assignor, Partitions, Question, Subscriber};
use crate::topics_hash::topics_hash;

/// How many members and partitions an assignment may have for each millisecond to the next: it keeps the
/// work of many members that join one by one from growing with their square.
const ASSIGNED_PER_MS: u64 = 50;

/// What a member says that it wants: names, and an expression.
type Wish<'a> = (&'a BTreeSet<String>, Option<&'a str>);

impl ConsumerGroup {
    /// Begins a new epoch of the group if `bump` says so, or if its topics are others now.
    pub(super) fn refresh(&mut self, step: &mut Step<'_, '_>, bump: bool) {
        let version = step.world.topics.version();
        if !bump && self.topics_version == Some(version) {
            return;
        }
        let hash = topics_hash(step.world, self.counts.names.keys());
        self.topics_version = Some(version);
        if bump || hash != self.hash {
            self.change(
                step,
                Change::Epoch(Some((self.epoch.saturating_add(1), hash))),
            );
        }
        if self.has_partition_metadata {
            self.change(step, Change::PartitionMetadata(false));
        }
    }

    /// Makes a new assignment if the group has a new epoch, though not too often.
    pub(super) fn assign(&mut self, step: &mut Step<'_, '_>) {
        let now = step.world.now.mono_ms;
        // The first one can't wait: nobody has an epoch without it.
        let too_early = self.assignment_epoch > 0 && now < self.assign_after_ms;
        if self.epoch <= self.assignment_epoch || too_early {
            return;
        }
        let assignor = self.assignor(&step.settings.assignors);
        let question = self.question(step.world);
        let size = question
            .topics
            .values()
            .map(|count| *count as u64)
            .sum::<u64>();
        let next = now + (size + self.members.len() as u64) / ASSIGNED_PER_MS;
        let assigned = assignor.assign(&question);
        let changed: Vec<(String, Partitions)> = question
            .members
            .iter()
            .zip(assigned)
            .filter(|(member, target)| {
                self.targets
                    .get(member.id)
                    .is_none_or(|had| **had != *target)
            })
            .map(|(member, target)| (member.id.to_owned(), target))
            .collect();
        self.assign_after_ms = next;
        for (id, target) in changed {
            self.change(step, Change::Target(id, Some(target)));
        }
        self.change(step, Change::AssignmentEpoch(Some(self.epoch)));
    }

    /// The assignor that most members would like, the first that is set if nobody has a wish.
    pub(super) fn assignor(&self, set: &[String]) -> Assignor {
        Assignor::named(self.assignor_name(set)).unwrap_or(Assignor::Uniform)
    }

    /// Its name.
    pub(super) fn assignor_name<'a>(&'a self, set: &'a [String]) -> &'a str {
        let wishes = self.counts.assignors.iter();
        let most = wishes
            .filter(|(name, _)| set.contains(name))
            .max_by_key(|(_, count)| **count);
        let default = || set.first().map_or("uniform", String::as_str);
        most.map_or_else(default, |(name, _)| name)
    }

    fn question(&self, world: &World<'_>) -> Question<'_> {
        static NOTHING: Partitions = Partitions::new();
        let mut topics = BTreeMap::new();
        let mut known: BTreeMap<Wish<'_>, Rc<BTreeSet<Uuid>>> = BTreeMap::new();
        let mut wanted = |member: &'_ Rc<Member>| -> Rc<BTreeSet<Uuid>> {
            let mut ids = BTreeSet::new();
            let resolved = member
                .about
                .regex
                .as_ref()
                .and_then(|regex| self.regexes.get(regex));
            let by_regex = resolved.iter().flat_map(|resolved| &resolved.topics);
            for name in member.about.topics.iter().chain(by_regex) {
                if let Some(topic) = world.topics.by_name(name) {
                    topics.insert(topic.id, topic.partitions);
                    ids.insert(topic.id);
                }
            }
            Rc::new(ids)
        };
        let mut members = Vec::with_capacity(self.members.len());
        for (id, member) in &self.members {
            let about = &member.about;
            let key = (&about.topics, about.regex.as_deref());
            members.push(Subscriber {
                id,
                instance: about.instance_id.as_deref(),
                topics: known.entry(key).or_insert_with(|| wanted(member)).clone(),
                had: self.targets.get(id).map_or(&NOTHING, |had| had),
            });
        }
        Question { members, topics }
    }
}
