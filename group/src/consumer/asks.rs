//! What the coordinator is asked about consumer groups, whichever protocol the question is in.

use coordinator::{Record, Token};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::record::Change;
use super::{ConsumerGroup, Convertible, Outcome, Refusal, regexes, validate};
use crate::ask::Asker;
use crate::classic::{Classic, not_joined, not_synced};
use crate::group::Group;
use crate::settings::MigrationPolicy;
use crate::state::State;
use crate::step::{Name, Step};
use crate::{Reply, Timer};

/// Runs a step of a consumer group and writes what it has to say.
fn run<T>(
    step: &mut Step<'_, '_>,
    id: &str,
    steps: impl FnOnce(&mut super::Step<'_, '_>) -> T,
) -> T {
    let mut records = Vec::new();
    let result = steps(&mut super::Step {
        world: step.world,
        settings: &step.settings.consumer_of(id),
        classic_max_size: step.settings.max_size,
        records: &mut records,
    });
    write(step, records);
    result
}

/// Writes records together as far as a batch can have them.
fn write(step: &mut Step<'_, '_>, records: Vec<Record>) {
    if step.fit(&records) {
        return step.write(records);
    }
    for record in records {
        step.write(vec![record]);
    }
}

fn missing(id: &str) -> Refusal {
    let message = format!("Consumer group {id} not found.");
    Refusal::new(ResponseError::GroupIdNotFound, message)
}

fn cannot_upgrade(id: &str, why: &str) -> Refusal {
    let message = format!("Cannot upgrade classic group {id} to consumer group because {why}.");
    Refusal::new(ResponseError::GroupIdNotFound, message)
}

/// How many bytes a heartbeat would have written of itself, about.
fn size_of(request: &ConsumerGroupHeartbeatRequest) -> usize {
    let topics = request.subscribed_topic_names.iter().flatten();
    let texts = [
        &request.instance_id,
        &request.rack_id,
        &request.subscribed_topic_regex,
        &request.server_assignor,
    ];
    let texts = texts.into_iter().flatten().map(|text| text.len());
    topics.map(|topic| topic.len() + 4).chain(texts).sum()
}

impl State {
    /// The group of this id, if it is a consumer group.
    fn consumer_mut(&mut self, id: &str) -> Option<&mut ConsumerGroup> {
        match self.groups.get_mut(id)? {
            Group::Consumer(group) => Some(group),
            Group::Classic(_) | Group::Share(_) => None,
        }
    }

    /// Whether this is a consumer group, for requests of the classic protocol.
    pub(crate) fn is_consumer(&self, id: &str) -> bool {
        matches!(self.groups.get(id), Some(Group::Consumer(_)))
    }

    /// Takes a record of a consumer group.
    pub(crate) fn replay_consumer(&mut self, id: &str, change: &Change, takes_away: bool) {
        if !self.is_consumer(id) {
            if takes_away {
                return;
            }
            self.insert(id, Group::Consumer(Box::new(ConsumerGroup::new(id))));
        }
        if self
            .consumer_mut(id)
            .is_some_and(|group| !group.apply(change))
        {
            self.groups.remove(id);
        }
    }

    /// Begins the timers of all members, when the log has been read.
    pub(crate) fn loaded_consumer(&mut self, step: &mut Step<'_, '_>) {
        for (id, group) in &mut self.groups {
            if let Group::Consumer(group) = group {
                run(step, id, |step| group.loaded(step));
                set_timer(step, id, group);
            }
        }
    }

    /// Something is due in a consumer group.
    pub(crate) fn consumer_due(&mut self, step: &mut Step<'_, '_>, id: &str) {
        let Some(group) = self.consumer_mut(id) else {
            return;
        };
        let outcome = run(step, id, |step| group.tick(step));
        self.settle(step, id, outcome);
    }

    /// Does what remains after something happened in a consumer group.
    fn settle(&mut self, step: &mut Step<'_, '_>, id: &str, outcome: Outcome) {
        let id: Name = id.into();
        match outcome {
            Outcome::Stays => {
                if let Some(group) = self.consumer_mut(&id) {
                    set_timer(step, &id, group);
                }
            }
            Outcome::Downgraded(group) => {
                step.timers.cancel(&Timer::Consumer(id.clone()));
                let group = Classic::begin(step, id.clone(), group);
                self.insert(&id, Group::Classic(Box::new(group)));
            }
        }
    }

    /// ConsumerGroupHeartbeat.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        asker: &Asker,
        version: i16,
        request: &ConsumerGroupHeartbeatRequest,
    ) {
        let answer = self.consumer_heartbeat_checked(step, asker, version, request);
        let answer = answer.unwrap_or_else(|refusal| {
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(refusal.error.code())
                .with_error_message(Some(StrBytes::from_string(refusal.message)))
        });
        step.reply(from, Reply::ConsumerHeartbeat(answer));
    }

    fn consumer_heartbeat_checked(
        &mut self,
        step: &mut Step<'_, '_>,
        asker: &Asker,
        version: i16,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        validate(version, request, &step.settings.consumer)?;
        if size_of(request) > step.settings.batch_max_bytes / 2 {
            return Err(Refusal::new(
                ResponseError::InvalidRequest,
                "The subscription is larger than a record may be.",
            ));
        }
        let id = request.group_id.as_str();
        if !self.is_consumer(id) {
            if request.member_epoch != 0 {
                return Err(missing(id));
            }
            // What could still be refused once the group is there.
            if let Some(regex) = request.subscribed_topic_regex.as_deref() {
                regexes::check(regex)?;
            }
            self.make_consumer(step, id)?;
        }
        let Some(group) = self.consumer_mut(id) else {
            return Err(missing(id));
        };
        let result = run(step, id, |step| group.heartbeat(step, asker, request));
        if group.is_unwritten() {
            self.groups.remove(id);
        }
        let (answer, outcome) = result?;
        self.settle(step, id, outcome);
        Ok(answer)
    }

    /// Makes a consumer group, of what there is of a classic one.
    fn make_consumer(&mut self, step: &mut Step<'_, '_>, id: &str) -> Result<(), Refusal> {
        let was = match self.groups.get(id) {
            Some(Group::Share(_)) => {
                let message = format!("Group {id} is not a consumer group.");
                return Err(Refusal::new(ResponseError::GroupIdNotFound, message));
            }
            Some(Group::Classic(group)) if !group.is_empty() => Some(upgradable(step, id, group)?),
            _ => None,
        };
        let group = match was {
            Some(was) => {
                // Before the group's own records the end of the other's; only if it can be.
                let mut records = Vec::new();
                let upgraded = ConsumerGroup::upgrade(
                    &mut super::Step {
                        world: step.world,
                        settings: &step.settings.consumer,
                        classic_max_size: step.settings.max_size,
                        records: &mut records,
                    },
                    id,
                    &was,
                )
                .map_err(|why| cannot_upgrade(id, &why.to_string()))?;
                if let Some(group) = self.classic_mut(id) {
                    group.end(step);
                }
                write(step, records);
                upgraded
            }
            None => {
                self.delete_if_empty(step, id);
                ConsumerGroup::new(id)
            }
        };
        self.insert(id, Group::Consumer(Box::new(group)));
        Ok(())
    }

    /// ConsumerGroupDescribe of one group.
    pub(crate) fn consumer_describe(&self, step: &mut Step<'_, '_>, from: Token, id: GroupId) {
        let answer = match self.groups.get(id.as_str()) {
            Some(Group::Consumer(group)) => {
                group.describe(step.world, &step.settings.consumer.assignors)
            }
            _ => {
                let refusal = missing(&id);
                DescribedGroup::default()
                    .with_group_id(id)
                    .with_error_code(refusal.error.code())
                    .with_error_message(Some(StrBytes::from_string(refusal.message)))
            }
        };
        step.reply(from, Reply::ConsumerDescribe(answer));
    }

    /// JoinGroup in a consumer group that has members.
    pub(crate) fn join_consumer(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        asker: &Asker,
        version: i16,
        request: &JoinGroupRequest,
    ) {
        let id = request.group_id.as_str();
        let Some(group) = self.consumer_mut(id) else {
            return;
        };
        match run(step, id, |step| group.join(step, asker, version, request)) {
            Ok((answer, outcome)) => {
                step.reply(from, Reply::Join(answer));
                self.settle(step, id, outcome);
            }
            Err(error) => step.reply(from, not_joined(version, &request.member_id, error)),
        }
    }

    /// SyncGroup in a consumer group.
    pub(crate) fn sync_consumer(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        request: &SyncGroupRequest,
    ) {
        let id = request.group_id.as_str();
        let Some(group) = self.consumer_mut(id) else {
            return;
        };
        match run(step, id, |step| group.sync(step, request)) {
            Ok(answer) => step.reply(from, Reply::Sync(answer)),
            Err(error) => step.reply(from, not_synced(error)),
        }
        self.settle(step, id, Outcome::Stays);
    }

    /// Heartbeat in a consumer group.
    pub(crate) fn heartbeat_consumer(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        request: &HeartbeatRequest,
    ) {
        let id = request.group_id.as_str();
        let Some(group) = self.consumer_mut(id) else {
            return;
        };
        let result = run(step, id, |step| group.classic_heartbeat(step, request));
        let code = result.map_or_else(|error| error.code(), |()| 0);
        let answer = HeartbeatResponse::default().with_error_code(code);
        step.reply(from, Reply::Heartbeat(answer));
        self.settle(step, id, Outcome::Stays);
    }

    /// LeaveGroup in a consumer group, of one member or more.
    pub(crate) fn leave_consumer(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &LeaveGroupRequest,
    ) -> LeaveGroupResponse {
        let id = request.group_id.as_str();
        let Some(group) = self.consumer_mut(id) else {
            return LeaveGroupResponse::default();
        };
        let (answer, outcome) = run(step, id, |step| group.classic_leave(step, request));
        self.settle(step, id, outcome);
        answer
    }

    /// Takes a consumer group away that has no members.
    pub(crate) fn delete_consumer(&mut self, step: &mut Step<'_, '_>, id: &str) {
        if let Some(group) = self.consumer_mut(id) {
            run(step, id, |step| group.write_tombstones(step));
            self.groups.remove(id);
            step.timers.cancel(&Timer::Consumer(id.into()));
        }
    }
}

/// Wakes the coordinator when something is due in a group.
fn set_timer(step: &mut Step<'_, '_>, id: &Name, group: &ConsumerGroup) {
    let timer = Timer::Consumer(id.clone());
    match group.deadline() {
        Some(due_ms) => step.timers.set(timer, due_ms),
        None => step.timers.cancel(&timer),
    }
}

/// What a consumer group would be made of, if it may be.
fn upgradable(step: &Step<'_, '_>, id: &str, group: &Classic) -> Result<Convertible, Refusal> {
    let settings = &step.settings.consumer;
    let allowed = matches!(
        settings.migration_policy,
        MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade
    );
    if !allowed {
        return Err(cannot_upgrade(id, "online upgrade is disabled"));
    }
    let was = group.convertible().ok_or_else(|| {
        cannot_upgrade(id, "the group does not use the consumer embedded protocol")
    })?;
    if was.members.len() > settings.max_size {
        let why = "the group size exceeds the consumer group maximum size";
        return Err(cannot_upgrade(id, why));
    }
    Ok(was)
}
