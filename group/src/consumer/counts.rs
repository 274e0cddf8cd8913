//! What can be counted from the members of a group, kept as they change so that nobody has to go
//! through all of them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::member::{Member, State};
use super::record::Resolved;
use crate::assign::Partitions;

/// How many want a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Members that name it.
    by_name: usize,
    /// Regular expressions that match it.
    by_regex: usize,
}

/// The counts. Nothing is in them with a count of zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// How many want each topic.
    pub names: BTreeMap<String, Wanted>,
    /// How many members have each regular expression.
    pub regexes: BTreeMap<String, usize>,
    /// How many members would like each assignor.
    pub assignors: BTreeMap<String, usize>,
    /// How many members speak the classic protocol.
    pub classic: usize,
    /// How many of those have each of its protocols.
    pub protocols: BTreeMap<String, usize>,
    /// Which member has each instance.
    pub instances: BTreeMap<String, String>,
    /// How many members have each partition, or have to give it up. More than one only ever while a
    /// compacted log is replayed.
    pub owned: BTreeMap<(Uuid, i32), usize>,
    /// How many members are stable in each epoch.
    stable: BTreeMap<i32, usize>,
}

fn add<K: Ord>(to: &mut BTreeMap<K, usize>, key: K) {
    *to.entry(key).or_default() += 1;
}

fn take<K: Ord>(from: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = from.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            from.remove(key);
        }
    }
}

impl Counts {
    /// How many members are stable in an epoch.
    pub(super) fn stable_at(&self, epoch: i32) -> usize {
        self.stable.get(&epoch).copied().unwrap_or(0)
    }

    /// A member is another now, has come, or gone.
    pub(super) fn replace(&mut self, id: &str, old: Option<&Member>, new: Option<&Member>) {
        if old.map(|member| &member.about) != new.map(|member| &member.about) {
            if let Some(old) = old {
                self.forget(id, old);
            }
            if let Some(new) = new {
                self.count(id, new);
            }
        }
        if let Some(at) = old.map(|old| &old.at) {
            self.own(&at.assigned, false);
            self.own(&at.revoking, false);
            if at.state == State::Stable {
                take(&mut self.stable, &at.epoch);
            }
        }
        if let Some(at) = new.map(|new| &new.at) {
            self.own(&at.assigned, true);
            self.own(&at.revoking, true);
            if at.state == State::Stable {
                add(&mut self.stable, at.epoch);
            }
        }
    }

    fn own(&mut self, partitions: &Partitions, add_them: bool) {
        for (topic, partitions) in partitions {
            for partition in partitions {
                match add_them {
                    true => add(&mut self.owned, (*topic, *partition)),
                    false => take(&mut self.owned, &(*topic, *partition)),
                }
            }
        }
    }

    fn count(&mut self, id: &str, member: &Member) {
        let about = &member.about;
        for topic in &about.topics {
            self.names.entry(topic.clone()).or_default().by_name += 1;
        }
        if let Some(regex) = &about.regex {
            add(&mut self.regexes, regex.clone());
        }
        if let Some(assignor) = &about.assignor {
            add(&mut self.assignors, assignor.clone());
        }
        if let Some(classic) = &about.classic {
            self.classic += 1;
            for (protocol, _) in &classic.protocols {
                add(&mut self.protocols, protocol.clone());
            }
        }
        if let Some(instance) = &about.instance_id {
            self.instances.insert(instance.clone(), id.to_owned());
        }
    }

    fn forget(&mut self, id: &str, member: &Member) {
        let about = &member.about;
        for topic in &about.topics {
            self.unwant(topic, |wanted| wanted.by_name -= 1);
        }
        if let Some(regex) = &about.regex {
            take(&mut self.regexes, regex);
        }
        if let Some(assignor) = &about.assignor {
            take(&mut self.assignors, assignor);
        }
        if let Some(classic) = &about.classic {
            self.classic -= 1;
            for (protocol, _) in &classic.protocols {
                take(&mut self.protocols, protocol);
            }
        }
        if let Some(instance) = &about.instance_id
            && self
                .instances
                .get(instance)
                .is_some_and(|member| member == id)
        {
            self.instances.remove(instance);
        }
    }

    fn unwant(&mut self, topic: &str, less: impl FnOnce(&mut Wanted)) {
        if let Some(wanted) = self.names.get_mut(topic) {
            less(wanted);
            if *wanted == Wanted::default() {
                self.names.remove(topic);
            }
        }
    }

    /// A regular expression means something else now.
    pub(super) fn resolve(&mut self, old: Option<&Resolved>, new: Option<&Resolved>) {
        for topic in old.iter().flat_map(|old| &old.topics) {
            self.unwant(topic, |wanted| wanted.by_regex -= 1);
        }
        for topic in new.iter().flat_map(|new| &new.topics) {
            self.names.entry(topic.clone()).or_default().by_regex += 1;
        }
    }
}
