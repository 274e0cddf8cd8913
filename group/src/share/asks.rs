//! What the coordinator is asked about share groups.

use coordinator::{Record, Token};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::share_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{GroupId, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use super::ShareGroup;
use super::heartbeat::validate;
use super::record::Change;
use crate::ask::{Asker, ShareAsk, ShareReply};
use crate::assign::Partitions;
use crate::consumer::Refusal;
use crate::group::Group;
use crate::state::State;
use crate::step::{Name, Step};
use crate::{Reply, Timer};

/// Runs a step of a share group, writes what it has to say and passes on what is to be done.
fn run<T>(
    step: &mut Step<'_, '_>,
    id: &str,
    steps: impl FnOnce(&mut super::Step<'_, '_>) -> T,
) -> T {
    let (mut records, mut effects): (Vec<Record>, Vec<_>) = Default::default();
    let result = steps(&mut super::Step {
        world: step.world,
        settings: &step.settings.share_of(id),
        record_max: step.settings.batch_max_bytes / 2,
        records: &mut records,
        effects: &mut effects,
    });
    if step.fit(&records) {
        step.write(records);
    } else {
        for record in records {
            step.write(vec![record]);
        }
    }
    step.effects(effects);
    result
}

fn not_found(id: &str) -> Refusal {
    let message = format!("Share group {id} not found.");
    Refusal::new(ResponseError::GroupIdNotFound, message)
}

/// How many bytes a heartbeat would have written of itself, about.
fn size_of(request: &ShareGroupHeartbeatRequest) -> usize {
    let topics = request.subscribed_topic_names.iter().flatten();
    topics.map(|topic| topic.len() + 4).sum()
}

impl State {
    /// The group of this id, if it is a share group.
    fn share_mut(&mut self, id: &str) -> Result<&mut ShareGroup, Refusal> {
        match self.groups.get_mut(id) {
            Some(Group::Share(group)) => Ok(group),
            Some(_) => {
                let message = format!("Group {id} is not a share group.");
                Err(Refusal::new(ResponseError::GroupIdNotFound, message))
            }
            None => Err(not_found(id)),
        }
    }

    /// The share group of this id, if it has no members.
    fn empty_share_mut(&mut self, id: &str) -> Result<&mut ShareGroup, Refusal> {
        let group = self.share_mut(id)?;
        match group.is_empty() {
            true => Ok(group),
            false => Err(Refusal::new(
                ResponseError::NonEmptyGroup,
                "The group is not empty.",
            )),
        }
    }

    /// Whether this is a share group.
    pub(crate) fn is_share(&self, id: &str) -> bool {
        matches!(self.groups.get(id), Some(Group::Share(_)))
    }

    /// Takes a record of a share group.
    pub(crate) fn replay_share(&mut self, id: &str, change: &Change, takes_away: bool) {
        if !self.is_share(id) {
            if takes_away {
                return;
            }
            self.insert(id, Group::Share(Box::new(ShareGroup::new(id))));
        }
        if self.share_mut(id).is_ok_and(|group| !group.apply(change)) {
            self.groups.remove(id);
        }
    }

    /// Begins the sessions of all members, when the log has been read.
    pub(crate) fn loaded_share(&mut self, step: &mut Step<'_, '_>) {
        for (id, group) in &mut self.groups {
            if let Group::Share(group) = group {
                run(step, id, |step| group.loaded(step));
                set_timer(step, id, group);
            }
        }
    }

    /// Something is due in a share group.
    pub(crate) fn share_due(&mut self, step: &mut Step<'_, '_>, id: &Name) {
        if let Ok(group) = self.share_mut(id) {
            run(step, id, |step| group.tick(step));
            set_timer(step, id, group);
        }
    }

    /// Forgets topics that are no more.
    pub(crate) fn sweep_share(&mut self, step: &mut Step<'_, '_>) {
        for (id, group) in &mut self.groups {
            if let Group::Share(group) = group {
                run(step, id, |step| group.forget_deleted_topics(step));
            }
        }
    }

    /// Takes a share group away that has no members.
    pub(crate) fn delete_share(&mut self, step: &mut Step<'_, '_>, id: &str) {
        if let Ok(group) = self.share_mut(id) {
            run(step, id, |step| group.write_tombstones(step));
            self.groups.remove(id);
            step.timers.cancel(&Timer::Share(id.into()));
        }
    }

    /// ShareGroupHeartbeat.
    pub(crate) fn share_heartbeat(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        asker: &Asker,
        request: &ShareGroupHeartbeatRequest,
    ) {
        let answer = self.share_heartbeat_checked(step, asker, request);
        let answer = answer.unwrap_or_else(|refusal| {
            ShareGroupHeartbeatResponse::default()
                .with_error_code(refusal.error.code())
                .with_error_message(Some(StrBytes::from_string(refusal.message)))
        });
        step.reply(from, Reply::ShareHeartbeat(answer));
    }

    fn share_heartbeat_checked(
        &mut self,
        step: &mut Step<'_, '_>,
        asker: &Asker,
        request: &ShareGroupHeartbeatRequest,
    ) -> Result<ShareGroupHeartbeatResponse, Refusal> {
        validate(request)?;
        if size_of(request) > step.settings.batch_max_bytes / 2 {
            return Err(Refusal::new(
                ResponseError::InvalidRequest,
                "The subscription is larger than a record may be.",
            ));
        }
        let id: Name = request.group_id.as_str().into();
        if request.member_epoch == 0 && !self.groups.contains_key(&id) {
            self.insert(&id, Group::Share(Box::new(ShareGroup::new(&id))));
        }
        let group = self.share_mut(&id)?;
        let result = run(step, &id, |step| group.heartbeat(step, asker, request));
        if group.is_unwritten() {
            self.groups.remove(&id);
        } else {
            set_timer(step, &id, group);
        }
        result
    }

    /// ShareGroupDescribe of one group.
    pub(crate) fn share_describe(&mut self, step: &mut Step<'_, '_>, from: Token, id: GroupId) {
        let answer = match self.share_mut(&id) {
            Ok(group) => group.describe(step.world),
            Err(refusal) => DescribedGroup::default()
                .with_group_id(id)
                .with_error_code(refusal.error.code())
                .with_error_message(Some(StrBytes::from_string(refusal.message))),
        };
        step.reply(from, Reply::ShareDescribe(answer));
    }

    /// What is asked about the states of a group's share-partitions.
    pub(crate) fn share(&mut self, step: &mut Step<'_, '_>, from: Token, id: &str, ask: ShareAsk) {
        let reply = match ask {
            ShareAsk::Initialized(partitions) => {
                self.share_initialized(step, id, &partitions, true)
            }
            ShareAsk::NotInitialized(partitions) => {
                self.share_initialized(step, id, &partitions, false)
            }
            ShareAsk::WithState => {
                let group = self.share_mut(id);
                let partitions =
                    group.map_or_else(|_| Partitions::new(), |group| group.with_state());
                ShareReply::Partitions(Ok(partitions))
            }
            ShareAsk::Delete => ShareReply::Partitions(self.begin_share_deletion(step, id)),
            ShareAsk::Alter(request) => {
                let group = self.empty_share_mut(id);
                let alter = |group: &mut ShareGroup| {
                    run(step, id, |step| group.begin_alteration(step, &request))
                };
                ShareReply::Altered(group.and_then(alter).map_err(Into::into))
            }
            ShareAsk::DeleteOffsets(request) => {
                let group = self.empty_share_mut(id);
                let delete = |group: &mut ShareGroup| {
                    run(step, id, |step| group.begin_offset_deletion(step, &request))
                };
                ShareReply::OffsetsDeleted(group.map(delete).map_err(Into::into))
            }
            ShareAsk::OffsetsDeleted(topics) => {
                if let Ok(group) = self.share_mut(id) {
                    run(step, id, |step| group.offsets_deleted(step, &topics));
                }
                ShareReply::Noted
            }
        };
        step.reply(from, Reply::Share(reply));
    }

    fn share_initialized(
        &mut self,
        step: &mut Step<'_, '_>,
        id: &str,
        partitions: &Partitions,
        there: bool,
    ) -> ShareReply {
        if let Ok(group) = self.share_mut(id) {
            run(step, id, |step| group.initialized(step, partitions, there));
        }
        ShareReply::Noted
    }

    /// Other groups, and those that there aren't, have no states.
    fn begin_share_deletion(
        &mut self,
        step: &mut Step<'_, '_>,
        id: &str,
    ) -> Result<Partitions, (ResponseError, String)> {
        if !self.is_share(id) {
            return Ok(Partitions::new());
        }
        let group = self.empty_share_mut(id)?;
        Ok(run(step, id, |step| group.begin_deletion(step)))
    }
}

/// Wakes the coordinator when something is due in a group.
fn set_timer(step: &mut Step<'_, '_>, id: &Name, group: &ShareGroup) {
    let timer = Timer::Share(id.clone());
    match group.deadline() {
        Some(due_ms) => step.timers.set(timer, due_ms),
        None => step.timers.cancel(&timer),
    }
}
