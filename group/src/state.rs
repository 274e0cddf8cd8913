//! What one partition of `__consumer_offsets` says: its groups and their offsets.

use std::collections::BTreeMap;

use coordinator::{Replayed, Token};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;

use crate::Reply;
use crate::classic::Classic;
use crate::consumer;
use crate::group::Group;
use crate::offsets::{Offsets, Sweeps};
use crate::records::{self, Kind, Unreadable};
use crate::share;
use crate::step::{Name, Step};

/// What was done since the coordinator was made, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many groups are of a type and in a state.
    pub groups: BTreeMap<(&'static str, &'static str), u64>,
    /// How many partitions of topics have a committed offset of a group.
    pub offsets: u64,
    /// How many offsets were committed.
    pub commits: u64,
    /// How many were deleted: by request, or with their group or topic.
    pub deletions: u64,
    /// How many had expired.
    pub expirations: u64,
    /// How often a classic group was given new assignments.
    pub rebalances: u64,
}

/// Groups and offsets.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) groups: BTreeMap<Name, Group>,
    pub(crate) offsets: Offsets,
    pub(crate) sweeps: Sweeps,
    pub(crate) figures: Figures,
}

impl State {
    /// The group of this id.
    pub(crate) fn group_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.groups.get_mut(id)
    }

    /// The group of this id, if it is a classic one.
    pub(crate) fn classic_mut(&mut self, id: &str) -> Option<&mut Classic> {
        match self.groups.get_mut(id)? {
            Group::Classic(group) => Some(group),
            Group::Consumer(_) | Group::Share(_) => None,
        }
    }

    /// Puts a group there, in place of the one of this id.
    pub(crate) fn insert(&mut self, id: &str, group: Group) -> &mut Group {
        let id: Name = id.into();
        self.groups.remove(&id);
        self.groups.entry(id).or_insert(group)
    }

    /// Takes a record of the log.
    pub(crate) fn replay(&mut self, record: &Replayed<'_>) -> Result<(), Unreadable> {
        let (kind, fields) = records::kind_of(record.key)?;
        match kind {
            Kind::Offset => self.replay_offset(records::offset::Key::read(fields)?, record),
            Kind::Group => self.replay_classic(records::classic::read_key(fields)?, record),
            Kind::Other(kind) if consumer::is_known(kind) => {
                let value = record.value.map(|value| &value[..]);
                let (group, change) = consumer::Change::read(kind, fields, value)?;
                self.replay_consumer(&group, &change, value.is_none());
                Ok(())
            }
            Kind::Other(kind) if share::is_known(kind) => {
                let value = record.value.map(|value| &value[..]);
                let (group, change) = share::Change::read(kind, fields, value)?;
                self.replay_share(&group, &change, value.is_none());
                Ok(())
            }
            Kind::Other(kind) => Err(Unreadable::Kind(kind)),
        }
    }

    fn replay_offset(
        &mut self,
        key: records::offset::Key<'_>,
        record: &Replayed<'_>,
    ) -> Result<(), Unreadable> {
        let Some(value) = record.value else {
            self.offsets.remove(key.group, key.topic, key.partition);
            return Ok(());
        };
        let committed = records::offset::read(value)?;
        if !self.groups.contains_key(key.group) {
            self.insert(
                key.group,
                Group::new_classic(key.group, record.timestamp_ms),
            );
        }
        let replayed = Some(record.offset);
        match record.producer {
            None => self
                .offsets
                .put(key.group, key.topic, key.partition, committed, replayed),
            Some(producer) => {
                let place = (key.group, key.topic, key.partition);
                self.offsets
                    .put_pending(producer, place, committed, replayed);
            }
        }
        Ok(())
    }

    fn replay_classic(&mut self, id: &str, record: &Replayed<'_>) -> Result<(), Unreadable> {
        match record.value {
            None => {
                self.groups.remove(id);
            }
            Some(value) => {
                let metadata = records::classic::GroupMetadata::read(value)?;
                let group = Classic::replayed(id.into(), &metadata);
                self.insert(id, Group::Classic(Box::new(group)));
            }
        }
        Ok(())
    }

    /// ListGroups.
    pub(crate) fn list(
        &self,
        step: &mut Step<'_, '_>,
        from: Token,
        states: &[String],
        types: &[String],
    ) {
        let asked = |names: &[String], name: &str| {
            names.is_empty()
                || names
                    .iter()
                    .any(|asked| asked.trim().eq_ignore_ascii_case(name))
        };
        let shown = |(_, group): &(&Name, &Group)| {
            asked(states, group.state()) && asked(types, group.kind())
        };
        let listed = self
            .groups
            .iter()
            .filter(shown)
            .map(|(id, group)| group.listed(id));
        step.reply(from, Reply::List(listed.collect()));
    }

    /// DeleteGroups.
    pub(crate) fn delete(&mut self, step: &mut Step<'_, '_>, from: Token, id: GroupId) {
        let error = match self.groups.get(id.as_str()) {
            None => Some(ResponseError::GroupIdNotFound),
            Some(group) if !group.is_empty() => Some(ResponseError::NonEmptyGroup),
            Some(_) => None,
        };
        if error.is_none() {
            self.forget_all(step, &id);
            self.delete_if_empty(step, &id);
        }
        let code = error.map_or(0, |error| error.code());
        let answer = DeletableGroupResult::default()
            .with_group_id(id)
            .with_error_code(code);
        step.reply(from, Reply::Delete(answer));
    }

    /// Deletes a group that has no members.
    pub(crate) fn delete_if_empty(&mut self, step: &mut Step<'_, '_>, id: &str) {
        match self.groups.get_mut(id) {
            Some(group) if !group.is_empty() => return,
            Some(Group::Classic(group)) => group.delete(step),
            Some(Group::Consumer(_)) => return self.delete_consumer(step, id),
            Some(Group::Share(_)) => return self.delete_share(step, id),
            None => return,
        }
        self.groups.remove(id);
    }

    /// What was done, and what there is.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = self.figures.clone();
        figures.offsets = self.offsets.count() as u64;
        for group in self.groups.values() {
            *figures
                .groups
                .entry((group.kind(), group.state()))
                .or_default() += 1;
        }
        figures
    }
}
