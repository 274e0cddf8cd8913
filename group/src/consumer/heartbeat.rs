//! ConsumerGroupHeartbeat: members join, say what they want and have, and are told what they get.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use super::member::{LEAVING, LEAVING_FOR_NOW, Member, Standing, State};
use super::reconcile::{Owned, Target};
use super::{Change, ConsumerGroup, Outcome, Refusal, Step, Timer};
use crate::Asker;
use crate::assign::Partitions;
use crate::settings::ConsumerSettings;

/// The longest string of a record's key, in bytes.
const LONGEST: usize = i16::MAX as usize;
/// Since which version of the request a member makes its id itself.
const OWN_ID: i16 = 1;

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
pub(crate) fn validate(
    version: i16,
    request: &ConsumerGroupHeartbeatRequest,
    settings: &ConsumerSettings,
) -> Result<(), Refusal> {
    let epoch = request.member_epoch;
    if request.member_id.is_empty() && (version >= OWN_ID || epoch > 0 || epoch == LEAVING) {
        return Err(invalid("MemberId can't be empty."));
    }
    if request.group_id.is_empty() {
        return Err(invalid("GroupId can't be empty."));
    }
    let is_empty = |text: &Option<StrBytes>| text.as_ref().is_some_and(|text| text.is_empty());
    if is_empty(&request.instance_id) {
        return Err(invalid("InstanceId can't be empty."));
    }
    if is_empty(&request.rack_id) {
        return Err(invalid("RackId can't be empty."));
    }
    let optional = [
        &request.instance_id,
        &request.rack_id,
        &request.subscribed_topic_regex,
    ];
    let lengths = optional.into_iter().flatten().map(|text| text.len());
    if lengths
        .chain([request.group_id.len(), request.member_id.len()])
        .any(|length| length > LONGEST)
    {
        return Err(invalid("A string is longer than 32767 bytes."));
    }
    if epoch == 0 {
        if request.rebalance_timeout_ms == -1 {
            return Err(invalid(
                "RebalanceTimeoutMs must be provided in first request.",
            ));
        }
        if request
            .topic_partitions
            .as_ref()
            .is_none_or(|owned| !owned.is_empty())
        {
            return Err(invalid("TopicPartitions must be empty when (re-)joining."));
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
            return Err(invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            ));
        }
    } else if epoch == LEAVING_FOR_NOW && request.instance_id.is_none() {
        return Err(invalid("InstanceId can't be null."));
    } else if epoch < LEAVING_FOR_NOW {
        return Err(invalid("MemberEpoch is invalid."));
    }
    match &request.server_assignor {
        Some(assignor) if settings.assignors.iter().all(|known| *known != **assignor) => {
            let known = settings.assignors.join(", ");
            Err(Refusal::new(
                ResponseError::UnsupportedAssignor,
                format!(
                    "ServerAssignor {assignor} is not supported. Supported assignors: {known}."
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// What a request says that the member has.
fn owned_of(request: &ConsumerGroupHeartbeatRequest) -> Owned {
    let owned = request.topic_partitions.as_ref()?;
    Some(
        owned
            .iter()
            .map(|topic| (topic.topic_id, topic.partitions.clone()))
            .collect(),
    )
}

/// A member's id as it joins, and what it takes over.
pub(super) struct Entry {
    /// The member that it is or takes the place of.
    pub before: Option<(String, Rc<Member>)>,
    /// Whether it takes the place of another id.
    pub replaces: bool,
}

impl ConsumerGroup {
    /// Answers a request that is [valid](validate).
    ///
    /// # Errors
    /// Why it is refused; then nothing has changed.
    pub(crate) fn heartbeat(
        &mut self,
        step: &mut Step<'_, '_>,
        asker: &Asker,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Outcome), Refusal> {
        if request.member_epoch < 0 {
            return self.leave(step, request);
        }
        self.refuse_if_full(step, &request.member_id)?;
        let id = match request.member_id.is_empty() {
            true => step.world.id().to_string(),
            false => request.member_id.as_str().to_owned(),
        };
        let owned = owned_of(request);
        let entry = self.enter(&id, request, &owned)?;
        if let Some(regex) = &request.subscribed_topic_regex {
            self.check_regex(regex)?;
        }
        let had = self.take_place(step, &id, &entry);

        let bump = self.tell(step, asker, &id, request, had.as_deref());
        self.refresh(step, bump || self.epoch == 0);
        self.assign(step);
        self.reconcile(step, &id, &owned)?;
        let timeout_ms = step.settings.session_timeout_ms;
        self.set_timer(step, &id, Timer::Session, timeout_ms);

        let at = &self.member(&id)?.at;
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some()
                || request.subscribed_topic_regex.is_some())
            && owned.is_some();
        let is_other = had.is_none_or(|had| had.at.assigned != at.assigned);
        let tells = request.member_epoch == 0 || is_full || is_other;
        let mut response = ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(text(&id)))
            .with_member_epoch(at.epoch)
            .with_heartbeat_interval_ms(step.settings.heartbeat_interval_ms);
        response.assignment = tells.then(|| assignment(&at.assigned));
        Ok((response, Outcome::Stays))
    }

    /// Whether there is room for a member, or it is there already.
    pub(super) fn refuse_if_full(&self, step: &Step<'_, '_>, id: &str) -> Result<(), Refusal> {
        let max = step.settings.max_size;
        if self.members.len() >= max && !self.members.contains_key(id) {
            return Err(Refusal::new(
                ResponseError::GroupMaxSizeReached,
                format!("The consumer group has reached its maximum capacity of {max} members."),
            ));
        }
        Ok(())
    }

    /// Finds the member that a request is from, or lets it in.
    fn enter(
        &self,
        id: &str,
        request: &ConsumerGroupHeartbeatRequest,
        owned: &Owned,
    ) -> Result<Entry, Refusal> {
        let epoch = request.member_epoch;
        let Some(instance) = &request.instance_id else {
            let before = match self.members.get(id) {
                Some(member) => {
                    check_epoch(member, epoch, owned)?;
                    Some((id.to_owned(), member.clone()))
                }
                None if epoch == 0 => None,
                None => return Err(self.member(id).err().unwrap_or_else(|| invalid(""))),
            };
            return Ok(Entry {
                before,
                replaces: false,
            });
        };
        match self.member_of_instance(instance) {
            Some((other, member)) if epoch == 0 => {
                if member.about.classic.is_none() && member.at.epoch != LEAVING_FOR_NOW {
                    return Err(Refusal::new(
                        ResponseError::UnreleasedInstanceId,
                        format!(
                            "Static member {id} with instance id {instance} cannot join the group because \
                             the instance id is owned by {other} member."
                        ),
                    ));
                }
                let before = Some((other.to_owned(), member.clone()));
                Ok(Entry {
                    before,
                    replaces: true,
                })
            }
            None if epoch == 0 => {
                let before = self
                    .members
                    .get(id)
                    .map(|member| (id.to_owned(), member.clone()));
                Ok(Entry {
                    before,
                    replaces: false,
                })
            }
            found => {
                let (other, member) = self.not_fenced(found, id, instance)?;
                check_epoch(member, epoch, owned)?;
                let before = Some((other.to_owned(), member.clone()));
                Ok(Entry {
                    before,
                    replaces: false,
                })
            }
        }
    }

    /// The member of an instance, if it is there and has this id.
    pub(super) fn not_fenced<'a>(
        &self,
        found: Option<(&'a str, &'a Rc<Member>)>,
        id: &str,
        instance: &str,
    ) -> Result<(&'a str, &'a Rc<Member>), Refusal> {
        match found {
            None => Err(Refusal::new(
                ResponseError::UnknownMemberId,
                format!("Instance id {instance} is unknown."),
            )),
            Some((other, _)) if other != id => Err(Refusal::new(
                ResponseError::FencedInstanceId,
                format!(
                    "Static member {id} with instance id {instance} was fenced by member {other}."
                ),
            )),
            Some(found) => Ok(found),
        }
    }

    /// Lets a static member have the place of the one that it is the next process of. What the member
    /// had before the request is given back.
    pub(super) fn take_place(
        &mut self,
        step: &mut Step<'_, '_>,
        id: &str,
        entry: &Entry,
    ) -> Option<Rc<Member>> {
        let (before, member) = entry.before.as_ref()?;
        if entry.replaces {
            let target = self.targets.get(before).cloned().unwrap_or_default();
            self.remove(step, before);
            self.change(
                step,
                Change::Member(id.to_owned(), Some(member.about.clone())),
            );
            self.change(step, Change::Target(id.to_owned(), Some((*target).clone())));
            self.change(
                step,
                Change::Standing(id.to_owned(), Some(member.at.back())),
            );
        }
        Some(member.clone())
    }

    /// Writes down what a member says of itself. `true`: the group needs another assignment.
    fn tell(
        &mut self,
        step: &mut Step<'_, '_>,
        asker: &Asker,
        id: &str,
        request: &ConsumerGroupHeartbeatRequest,
        had: Option<&Member>,
    ) -> bool {
        let mut bump = false;
        if had.is_none_or(|had| !had.about.stays_with(asker, request)) {
            let old = had.map(|had| had.about.clone()).unwrap_or_default();
            let new = old.with(asker, request);
            bump = old.topics != new.topics || old.regex != new.regex;
            if had.is_none() || old != new {
                self.change(step, Change::Member(id.to_owned(), Some(new)));
            }
            if let Some(regex) = old.regex {
                self.drop_regex_if_unused(step, &regex);
            }
        }
        self.resolve_regexes(step) || bump
    }

    /// Brings a member as near to its target as it can get now.
    pub(super) fn reconcile(
        &mut self,
        step: &mut Step<'_, '_>,
        id: &str,
        owned: &Owned,
    ) -> Result<(), Refusal> {
        let member = self.member(id)?.clone();
        if member.at.is_reconciled_to(self.assignment_epoch) {
            return Ok(());
        }
        let none = Partitions::new();
        let target = Target {
            epoch: self.assignment_epoch,
            partitions: self.targets.get(id).map_or(&none, |target| target),
            owned,
            taken: &|topic, partition| self.is_taken(topic, partition),
        };
        let next = target.next(&member.at).ok_or_else(|| {
            Refusal::new(
                ResponseError::FencedMemberEpoch,
                "The consumer group member is in a unknown state. The member must abandon all its \
                 partitions and rejoin.",
            )
        })?;
        if next == member.at {
            return Ok(());
        }
        let state = next.state;
        self.change(step, Change::Standing(id.to_owned(), Some(next)));
        if member.about.classic.is_none() {
            match state {
                State::UnrevokedPartitions => {
                    self.set_timer(
                        step,
                        id,
                        Timer::Rebalance,
                        member.about.rebalance_timeout_ms,
                    );
                }
                _ => self.timers.cancel(&(id.to_owned(), Timer::Rebalance)),
            }
        }
        Ok(())
    }

    fn leave(
        &mut self,
        step: &mut Step<'_, '_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Outcome), Refusal> {
        let id = request.member_id.as_str().to_owned();
        let response = ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(text(&id)))
            .with_member_epoch(request.member_epoch);
        match &request.instance_id {
            None => {
                self.member(&id)?;
            }
            Some(instance) => {
                let found = self.member_of_instance(instance);
                let away = self.not_fenced(found, &id, instance)?.1.at.away();
                if request.member_epoch == LEAVING_FOR_NOW {
                    self.change(step, Change::Standing(id, Some(away)));
                    return Ok((response, Outcome::Stays));
                }
            }
        }
        Ok((response, self.fence(step, &[id])))
    }
}

/// Whether a heartbeat has the epoch of its member, or repeats the one before because an answer was lost.
fn check_epoch(member: &Member, epoch: i32, owned: &Owned) -> Result<(), Refusal> {
    let Standing {
        epoch: known,
        previous_epoch,
        assigned,
        ..
    } = &member.at;
    let is_part = |owned: &Owned| {
        owned.as_ref().is_some_and(|owned| {
            owned.iter().all(|(topic, owned)| {
                assigned
                    .get(topic)
                    .is_some_and(|assigned| owned.iter().all(|one| assigned.contains(one)))
            })
        })
    };
    let how = match epoch.cmp(known) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less if epoch == *previous_epoch && is_part(owned) => return Ok(()),
        std::cmp::Ordering::Less => "smaller",
        std::cmp::Ordering::Greater => "greater",
    };
    Err(Refusal::new(
        ResponseError::FencedMemberEpoch,
        format!(
            "The consumer group member has a {how} member epoch ({epoch}) than the one known by the group \
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
