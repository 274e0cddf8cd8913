//! SyncGroup and Heartbeat.

use std::collections::BTreeMap;

use bytes::Bytes;
use coordinator::Token;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse, SyncGroupRequest};

use super::answers::not_synced;
use super::{Classic, Phase};
use crate::state::State;
use crate::step::{Name, Step};
use crate::{Reply, Timer};

impl State {
    /// SyncGroup.
    pub(crate) fn sync(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        version: i16,
        request: &SyncGroupRequest,
    ) {
        if request.group_id.is_empty() {
            return step.reply(from, not_synced(ResponseError::InvalidGroupId));
        }
        if version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
            return step.reply(from, not_synced(ResponseError::InconsistentGroupProtocol));
        }
        if self.is_consumer(&request.group_id) {
            return self.sync_consumer(step, from, request);
        }
        let group = self
            .classic_mut(&request.group_id)
            .filter(|group| !group.is_empty());
        let Some(group) = group else {
            return step.reply(from, not_synced(ResponseError::UnknownMemberId));
        };
        let was_stable = group.phase == Phase::Stable;
        match group.check_sync(request) {
            Ok(()) => group.sync(step, (from, version), request),
            Err(error) => step.reply(from, not_synced(error)),
        }
        let is_stable = group.phase == Phase::Stable;
        self.figures.rebalances += u64::from(!was_stable && is_stable);
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Token,
        request: &HeartbeatRequest,
    ) {
        if self.is_consumer(&request.group_id) {
            return self.heartbeat_consumer(step, from, request);
        }
        let result = match self.classic_mut(&request.group_id) {
            _ if request.group_id.is_empty() => Err(ResponseError::InvalidGroupId),
            Some(group) => group.heartbeat(step, request),
            None => Err(ResponseError::UnknownMemberId),
        };
        let code = result.map_or_else(|error| error.code(), |()| 0);
        step.reply(
            from,
            Reply::Heartbeat(HeartbeatResponse::default().with_error_code(code)),
        );
    }
}

impl Classic {
    fn heartbeat(
        &self,
        step: &mut Step<'_, '_>,
        request: &HeartbeatRequest,
    ) -> Result<(), ResponseError> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if let Some((id, member)) = self.members.get_key_value(request.member_id.as_str()) {
            self.put_off_session(step, id, member);
        }
        match self.phase {
            Phase::Preparing => Err(ResponseError::RebalanceInProgress),
            Phase::Completing | Phase::Stable | Phase::Empty => Ok(()),
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ResponseError> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |said: Option<&str>, agreed: Option<&Name>| {
            said.zip(agreed)
                .is_some_and(|(said, agreed)| *said != **agreed)
        };
        if differs(
            request.protocol_type.as_deref(),
            self.protocol_type.as_ref(),
        ) || differs(request.protocol_name.as_deref(), self.protocol.as_ref())
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Preparing => Err(ResponseError::RebalanceInProgress),
            Phase::Completing | Phase::Stable | Phase::Empty => Ok(()),
        }
    }

    fn sync(&mut self, step: &mut Step<'_, '_>, from: (Token, i16), request: &SyncGroupRequest) {
        let id = request.member_id.as_str();
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            step.timers.cancel(&Timer::Sync(self.id.clone()));
        }
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if self.phase == Phase::Stable {
            let assignment = member.assignment.clone();
            return step.reply(from.0, self.synced(assignment));
        }
        if let Some((before, _)) = member.syncing.replace(from) {
            step.reply(before, not_synced(ResponseError::RebalanceInProgress));
        }
        if self.is_leader(id) {
            self.distribute(step, request);
        }
    }

    /// Takes the leader's assignment; one that it doesn't mention gets nothing.
    fn distribute(&mut self, step: &mut Step<'_, '_>, request: &SyncGroupRequest) {
        let assignments = request.assignments.iter();
        let assignments = assignments.map(|given| (given.member_id.as_str(), &given.assignment));
        let assignments: BTreeMap<&str, &Bytes> = assignments.collect();
        for (id, member) in &mut self.members {
            let given = assignments.get(&**id);
            member.assignment =
                given.map_or_else(Bytes::new, |given| Bytes::copy_from_slice(given));
        }
        let record = self.record();
        if !step.fit(std::slice::from_ref(&record)) {
            self.withdraw(step, ResponseError::UnknownServerError);
            return self.prepare(step);
        }
        step.write(vec![record]);
        self.enter(step, Phase::Stable);
        let mut told = Vec::new();
        let answer = self.synced(Bytes::new());
        for (id, member) in &mut self.members {
            if let (Some((waiting, _)), Reply::Sync(answer)) = (member.syncing.take(), &answer) {
                let answer = answer.clone().with_assignment(member.assignment.clone());
                step.reply(waiting, Reply::Sync(answer));
                told.push(id.clone());
            }
        }
        self.put_off_sessions(step, &told);
    }
}
