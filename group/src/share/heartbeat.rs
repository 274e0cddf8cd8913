//! ShareGroupHeartbeat: members join, say what they want, and are told what they get.

use std::cmp::Ordering;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::share_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use super::member::{LEAVING, Member, Standing};
use super::{Change, ShareGroup, Step};
use crate::Asker;
use crate::assign::Partitions;
use crate::consumer::Refusal;

/// When a member comes again that waits for its partitions, in milliseconds; sooner, if it always does.
const SOON_MS: i32 = 500;
/// The longest string of a record's key, in bytes.
const LONGEST: usize = i16::MAX as usize;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, message)
}

/// Whether a request can be one at all.
///
/// # Errors
/// Why it can't.
pub(super) fn validate(request: &ShareGroupHeartbeatRequest) -> Result<(), Refusal> {
    if request.member_id.is_empty() {
        return Err(invalid("MemberId can't be empty."));
    }
    if request.group_id.is_empty() {
        return Err(invalid("GroupId can't be empty."));
    }
    if request.rack_id.as_ref().is_some_and(|rack| rack.is_empty()) {
        return Err(invalid("RackId can't be empty."));
    }
    let rack = request.rack_id.as_ref().map_or(0, |rack| rack.len());
    let lengths = [request.group_id.len(), request.member_id.len(), rack];
    if lengths.into_iter().any(|length| length > LONGEST) {
        return Err(invalid("A string is longer than 32767 bytes."));
    }
    let topics = request.subscribed_topic_names.as_ref();
    if request.member_epoch == 0 && topics.is_none_or(|topics| topics.is_empty()) {
        return Err(invalid(
            "SubscribedTopicNames must be set in first request.",
        ));
    }
    if request.member_epoch < LEAVING {
        return Err(invalid("MemberEpoch is invalid."));
    }
    Ok(())
}

impl ShareGroup {
    /// Answers a request that is [valid](validate).
    ///
    /// # Errors
    /// Why it is refused; then nothing has changed.
    pub(super) fn heartbeat(
        &mut self,
        step: &mut Step<'_, '_>,
        asker: &Asker,
        request: &ShareGroupHeartbeatRequest,
    ) -> Result<ShareGroupHeartbeatResponse, Refusal> {
        let id = request.member_id.as_str();
        if request.member_epoch == LEAVING {
            self.member(id)?;
            self.fence(step, id);
            return Ok(ShareGroupHeartbeatResponse::default()
                .with_member_id(Some(text(id)))
                .with_member_epoch(LEAVING));
        }
        self.refuse_if_full(step, id)?;
        let had = match self.member(id) {
            Ok(member) => Some(member.clone()),
            Err(_) if request.member_epoch == 0 => None,
            Err(unknown) => return Err(unknown),
        };
        if let Some(had) = &had {
            check_epoch(had, request.member_epoch)?;
        }
        let bump = self.tell(step, asker, request, had.as_deref());
        self.refresh(step, bump);
        self.assign(step);
        self.reconcile(step, id)?;
        self.put_off(step, id);
        self.initialize(step);

        let at = &self.member(id)?.at;
        let tells = request.member_epoch == 0
            || request.subscribed_topic_names.is_some()
            || had.is_none_or(|had| had.at.assigned != at.assigned);
        let mut response = ShareGroupHeartbeatResponse::default()
            .with_member_id(Some(text(id)))
            .with_member_epoch(at.epoch)
            .with_heartbeat_interval_ms(self.heartbeat_interval_ms(step));
        response.assignment = tells.then(|| assignment(&at.assigned));
        Ok(response)
    }

    /// When a member is to come again: soon, while its partitions may have their states at any moment.
    fn heartbeat_interval_ms(&self, step: &Step<'_, '_>) -> i32 {
        let set = step.settings.heartbeat_interval_ms;
        match self.is_initializing(step.world.now.mono_ms) {
            true => set.min(SOON_MS),
            false => set,
        }
    }

    /// Whether there is room for a member, or it is there already.
    fn refuse_if_full(&self, step: &Step<'_, '_>, id: &str) -> Result<(), Refusal> {
        let max = step.settings.max_size;
        if self.members.len() >= max && !self.members.contains_key(id) {
            return Err(Refusal::new(
                ResponseError::GroupMaxSizeReached,
                format!("The share group has reached its maximum capacity of {max} members."),
            ));
        }
        Ok(())
    }

    /// Writes down what a member says of itself. `true`: it wants other topics than before.
    fn tell(
        &mut self,
        step: &mut Step<'_, '_>,
        asker: &Asker,
        request: &ShareGroupHeartbeatRequest,
        had: Option<&Member>,
    ) -> bool {
        if had.is_some_and(|had| had.about.stays_with(asker, request)) {
            return false;
        }
        let old = had.map(|had| had.about.clone()).unwrap_or_default();
        let new = old.with(asker, request);
        let bump = old.topics != new.topics;
        if had.is_none() || old != new {
            self.change(
                step,
                Change::Member(request.member_id.as_str().to_owned(), Some(new)),
            );
        }
        bump
    }

    /// Gives a member what it shall have. Nobody has to give up anything before.
    fn reconcile(&mut self, step: &mut Step<'_, '_>, id: &str) -> Result<(), Refusal> {
        let at = &self.member(id)?.at;
        if at.epoch == self.assignment_epoch {
            return Ok(());
        }
        let target = self.targets.get(id).map(|target| (**target).clone());
        let next = Standing {
            epoch: self.assignment_epoch,
            previous_epoch: at.epoch,
            assigned: target.unwrap_or_default(),
        };
        self.change(step, Change::Standing(id.to_owned(), Some(next)));
        Ok(())
    }

    /// Takes a member out, which is there. The group gets a new epoch.
    pub(super) fn fence(&mut self, step: &mut Step<'_, '_>, id: &str) {
        self.change(step, Change::Standing(id.to_owned(), None));
        self.change(step, Change::Target(id.to_owned(), None));
        self.change(step, Change::Member(id.to_owned(), None));
        self.timers.cancel(&id.to_owned());
        self.refresh(step, true);
    }
}

/// Whether a heartbeat has the epoch of its member, or repeats the one before because an answer was lost.
fn check_epoch(member: &Member, epoch: i32) -> Result<(), Refusal> {
    let Standing {
        epoch: known,
        previous_epoch,
        ..
    } = &member.at;
    let how = match epoch.cmp(known) {
        Ordering::Equal => return Ok(()),
        Ordering::Less if epoch == *previous_epoch => return Ok(()),
        Ordering::Less => "smaller",
        Ordering::Greater => "greater",
    };
    Err(Refusal::new(
        ResponseError::FencedMemberEpoch,
        format!(
            "The share group member has a {how} member epoch ({epoch}) than the one known by the group \
             coordinator ({known}). The member must abandon all its partitions and rejoin."
        ),
    ))
}

fn assignment(partitions: &Partitions) -> Assignment {
    let topics = partitions.iter().map(|(topic, partitions)| {
        TopicPartitions::default()
            .with_topic_id(*topic)
            .with_partitions(partitions.iter().copied().collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
