//! Which topics a group is about, and who shall have which of their partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use coordinator::{Topic, World};
use uuid::Uuid;

use super::assignor::{Subscriber, assign};
use super::{Change, ShareGroup, Step};
use crate::assign::Partitions;
use crate::topics_hash::topics_hash;

/// How many members and partitions an assignment may have for each millisecond to the next: it keeps the
/// work of many members that join one by one from growing with their square.
const ASSIGNED_PER_MS: u64 = 50;

impl ShareGroup {
    /// Begins a new epoch of the group if `bump` says so, if its topics are others now, or if there is
    /// something to assign that wasn't before.
    pub(super) fn refresh(&mut self, step: &mut Step<'_, '_>, bump: bool) {
        let version = step.world.topics.version();
        let is_new = self.topics_version != Some(version);
        if !bump && !is_new && !self.may_lack {
            return;
        }
        let hash = topics_hash(step.world, self.wanted.keys());
        self.topics_version = Some(version);
        if bump || hash != self.hash || self.lacks(step.world) {
            let epoch = self.epoch.saturating_add(1);
            self.change(step, Change::Epoch(Some((epoch, hash))));
        }
        // What is asked for in this epoch has all that there is by now.
        self.may_lack = false;
    }

    /// Whether what could be assigned isn't what is assigned.
    fn lacks(&self, world: &World<'_>) -> bool {
        let mut assigned = Partitions::new();
        for (topic, partitions) in self.targets.values().flat_map(|target| target.iter()) {
            assigned.entry(*topic).or_default().extend(partitions);
        }
        !self.members.is_empty() && assigned != self.assignable(world)
    }

    /// What can be assigned: the partitions of wanted topics that there are, and whose state there is.
    fn assignable(&self, world: &World<'_>) -> Partitions {
        let mut assignable = Partitions::new();
        for name in self.wanted.keys() {
            let Some(Topic { id, partitions }) = world.topics.by_name(name) else {
                continue;
            };
            if let Some(ready) = self.states.initialized.get(&id) {
                let ready: BTreeSet<i32> = ready.partitions.range(..partitions).copied().collect();
                if !ready.is_empty() {
                    assignable.insert(id, ready);
                }
            }
        }
        assignable
    }

    /// Makes a new assignment if the group has a new epoch, though not too often.
    pub(super) fn assign(&mut self, step: &mut Step<'_, '_>) {
        let now = step.world.now.mono_ms;
        // The first one can't wait: nobody has an epoch without it.
        let too_early = self.assignment_epoch > 0 && now < self.assign_after_ms;
        if self.epoch <= self.assignment_epoch || too_early {
            return;
        }
        let assignable = self.assignable(step.world);
        let size: usize = assignable.values().map(BTreeSet::len).sum();
        let members = self.subscribers(step.world);
        let assigned = assign(&members, &assignable);
        let changed: Vec<(String, Partitions)> = members
            .iter()
            .zip(assigned)
            .filter(|(member, target)| {
                let had = self.targets.get(member.id);
                had.is_none_or(|had| **had != *target)
            })
            .map(|(member, target)| (member.id.to_owned(), target))
            .collect();
        self.assign_after_ms = now + (size + self.members.len()) as u64 / ASSIGNED_PER_MS;
        for (id, target) in changed {
            self.change(step, Change::Target(id, Some(target)));
        }
        self.change(step, Change::AssignmentEpoch(Some(self.epoch)));
        self.may_lack = false;
    }

    fn subscribers(&self, world: &World<'_>) -> Vec<Subscriber<'_>> {
        static NOTHING: Partitions = Partitions::new();
        let mut known: BTreeMap<&BTreeSet<String>, Rc<BTreeSet<Uuid>>> = BTreeMap::new();
        let resolve = |names: &BTreeSet<String>| {
            let topics = names.iter().filter_map(|name| world.topics.by_name(name));
            Rc::new(topics.map(|topic| topic.id).collect())
        };
        let mut members = Vec::with_capacity(self.members.len());
        for (id, member) in &self.members {
            let names = &member.about.topics;
            members.push(Subscriber {
                id,
                topics: known.entry(names).or_insert_with(|| resolve(names)).clone(),
                had: self.targets.get(id).map_or(&NOTHING, |had| had),
            });
        }
        members
    }
}
