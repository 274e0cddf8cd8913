//! Rebalances: who has to come, how long that is waited for, and what the group agrees on.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::answers::{not_joined, not_synced};
use super::{Classic, Gathering, Phase, subscription};
use crate::state::State;
use crate::step::{Name, Step};
use crate::{Reply, Timer};

impl State {
    /// A member's session is over, or the time to join with the id that it was given.
    pub(crate) fn session_over(&mut self, step: &mut Step<'_, '_>, group: &str, member: &str) {
        if let Some(group) = self.classic_mut(group) {
            group.session_over(step, member);
        }
    }

    /// The time to join a group is over.
    pub(crate) fn join_over(&mut self, step: &mut Step<'_, '_>, group: &str) {
        if let Some(group) = self.classic_mut(group) {
            group.join_over(step);
        }
    }

    /// The time to ask for an assignment is over.
    pub(crate) fn sync_over(&mut self, step: &mut Step<'_, '_>, group: &str) {
        if let Some(group) = self.classic_mut(group) {
            group.sync_over(step);
        }
    }
}

impl Classic {
    /// After something changed that the group has to agree on anew.
    pub(super) fn rebalance_or_complete(&mut self, step: &mut Step<'_, '_>) {
        match self.phase {
            Phase::Preparing => self.complete_if_joined(step),
            Phase::Empty | Phase::Completing | Phase::Stable => self.prepare(step),
        }
    }

    /// Begins a rebalance.
    pub(super) fn prepare(&mut self, step: &mut Step<'_, '_>) {
        if self.phase == Phase::Completing {
            self.withdraw(step, ResponseError::RebalanceInProgress);
        }
        self.unsynced.clear();
        step.timers.cancel(&Timer::Sync(self.id.clone()));
        let rebalance_ms = self.rebalance_timeout_ms();
        let is_first = self.is_empty();
        self.enter(step, Phase::Preparing);
        if is_first {
            let delay_ms = step.settings.initial_rebalance_delay_ms;
            self.gather(step, delay_ms, rebalance_ms.saturating_sub(delay_ms));
        } else if self.all_joined() {
            self.complete_join(step);
        } else {
            step.after(Timer::Join(self.id.clone()), rebalance_ms);
        }
    }

    /// Waits for more members of a group that was empty.
    fn gather(&mut self, step: &mut Step<'_, '_>, delay_ms: u64, remaining_ms: u64) {
        self.gathering = Some(Gathering {
            delay_ms,
            remaining_ms,
            joined: false,
        });
        step.after(Timer::Join(self.id.clone()), delay_ms);
    }

    /// Takes all assignments back, and tells those who wait for one.
    pub(super) fn withdraw(&mut self, step: &mut Step<'_, '_>, error: ResponseError) {
        let mut told = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = Bytes::new();
            if let Some((waiting, _)) = member.syncing.take() {
                step.reply(waiting, not_synced(error));
                told.push(id.clone());
            }
        }
        self.put_off_sessions(step, &told);
    }

    pub(super) fn put_off_sessions(&self, step: &mut Step<'_, '_>, ids: &[Name]) {
        for id in ids {
            if let Some(member) = self.members.get(id) {
                self.put_off_session(step, id, member);
            }
        }
    }

    /// Goes on if everybody is there; the first rebalance of an empty group takes its time.
    pub(super) fn complete_if_joined(&mut self, step: &mut Step<'_, '_>) {
        if self.phase == Phase::Preparing && !self.was_empty && self.all_joined() {
            self.complete_join(step);
        }
    }

    fn join_over(&mut self, step: &mut Step<'_, '_>) {
        if self.phase != Phase::Preparing {
            return;
        }
        match self.gathering {
            Some(gathering) if gathering.joined && gathering.remaining_ms > 0 => {
                let delay_ms = step
                    .settings
                    .initial_rebalance_delay_ms
                    .min(gathering.remaining_ms);
                self.gather(
                    step,
                    delay_ms,
                    gathering.remaining_ms.saturating_sub(gathering.delay_ms),
                );
            }
            _ => self.complete_join(step),
        }
    }

    /// Goes on without those who didn't come. Static members may come later.
    pub(super) fn complete_join(&mut self, step: &mut Step<'_, '_>) {
        step.timers.cancel(&Timer::Join(self.id.clone()));
        self.gathering = None;
        let absent = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.instance.is_none());
        let absent: Vec<Name> = absent.map(|(id, _)| id.clone()).collect();
        for id in absent {
            self.remove(&id);
            self.end_session(step, &id);
        }
        if !self.members.is_empty() && !self.has_joined_leader() {
            // Only static members, none of whom came.
            let rebalance_ms = self.rebalance_timeout_ms();
            return step.after(Timer::Join(self.id.clone()), rebalance_ms);
        }
        self.begin_generation(step);
        match self.is_empty() {
            true => step.write(vec![self.record()]),
            false => self.tell_all_joined(step),
        }
    }

    /// Makes sure that the leader is one who came. Returns whether there is one.
    fn has_joined_leader(&mut self) -> bool {
        let joined = |(_, member): &(&Name, &super::Member)| member.joining.is_some();
        let leader = self
            .leader
            .as_ref()
            .and_then(|leader| self.members.get_key_value(leader));
        if leader.is_some_and(|leader| joined(&leader)) {
            return true;
        }
        match self.members.iter().find(joined) {
            Some((id, _)) => {
                self.leader = Some(id.clone());
                true
            }
            None => false,
        }
    }

    fn begin_generation(&mut self, step: &Step<'_, '_>) {
        // One never ends: after the last comes the first again, as in Java.
        self.generation = self.generation.wrapping_add(1);
        self.protocol = self.choose_protocol();
        self.topics = self.subscribed();
        self.unsynced.clear();
        let phase = if self.members.is_empty() {
            Phase::Empty
        } else {
            Phase::Completing
        };
        self.enter(step, phase);
    }

    fn tell_all_joined(&mut self, step: &mut Step<'_, '_>) {
        let joined = self.joined();
        let ids: Vec<Name> = self.members.keys().cloned().collect();
        for id in &ids {
            if let Some((waiting, version)) = self.take_joining(id) {
                let mut answer = joined.answer(version, id);
                if self.is_leader(id) {
                    answer.members = self.joined_members();
                }
                step.reply(waiting, Reply::Join(answer));
            }
            if let Some(member) = self.members.get_mut(id) {
                member.is_new = false;
            }
        }
        self.put_off_sessions(step, &ids);
        self.unsynced.extend(ids);
        let rebalance_ms = self.rebalance_timeout_ms();
        step.after(Timer::Sync(self.id.clone()), rebalance_ms);
    }

    /// The protocol that all know and most like best; none if there are no members.
    pub(super) fn choose_protocol(&self) -> Option<Name> {
        let mut votes: BTreeMap<&Name, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member
                .protocols
                .iter()
                .map(|(name, _)| name)
                .find(|name| self.all_know(name));
            *votes.entry(vote?).or_default() += 1;
        }
        // Of several with as many votes the first by name.
        let chosen = votes.into_iter().rev().max_by_key(|(_, votes)| *votes);
        chosen.map(|(name, _)| name.clone())
    }

    /// What its members want, if they say so in a way that is known here.
    pub(super) fn subscribed(&self) -> Option<std::collections::BTreeSet<Name>> {
        if self.protocol_type() != Some(super::CONSUMER) {
            return None;
        }
        if self.members.is_empty() {
            return Some(std::collections::BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let metadata: Vec<Bytes> = self
            .members
            .values()
            .map(|member| member.metadata(protocol))
            .collect();
        subscription::topics(metadata.iter().map(|metadata| &metadata[..]))
    }

    fn session_over(&mut self, step: &mut Step<'_, '_>, id: &str) {
        if self.pending.contains(id) {
            self.remove(id);
            if self.phase == Phase::Preparing && self.all_joined() {
                self.complete_join(step);
            }
            return;
        }
        if self
            .members
            .get(id)
            .is_some_and(|member| !member.shows_itself())
        {
            self.dismiss(step, id);
            match self.phase {
                Phase::Stable | Phase::Completing => self.prepare(step),
                Phase::Preparing if self.all_joined() => self.complete_join(step),
                Phase::Preparing | Phase::Empty => {}
            }
        }
    }

    /// Takes a member out, and tells whoever waits in its name.
    pub(super) fn dismiss(&mut self, step: &mut Step<'_, '_>, id: &str) {
        self.end_session(step, id);
        let Some(member) = self.remove(id) else {
            return;
        };
        if let Some((waiting, version)) = member.joining {
            step.reply(
                waiting,
                not_joined(version, "", ResponseError::UnknownMemberId),
            );
        }
        if let Some((waiting, _)) = member.syncing {
            step.reply(waiting, not_synced(ResponseError::UnknownMemberId));
        }
    }

    fn sync_over(&mut self, step: &mut Step<'_, '_>) {
        if !matches!(self.phase, Phase::Completing | Phase::Stable) || self.unsynced.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.unsynced) {
            self.dismiss(step, &id);
        }
        self.prepare(step);
    }
}
