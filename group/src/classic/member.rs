//! The members of a classic group, and what keeps the group's counts of them right.

use bytes::Bytes;
use coordinator::Token;
use kafka_protocol::messages::JoinGroupRequest;

use super::Classic;
use crate::Timer;
use crate::ask::Asker;
use crate::step::{Name, Step};

/// A member of a classic group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Option<Name>,
    pub(super) client_id: Name,
    pub(super) client_host: Name,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// What it could work by, the best first, and what it says for each.
    pub(super) protocols: Vec<(Name, Bytes)>,
    pub(super) assignment: Bytes,
    /// Who waits for the answer to its JoinGroup, which is of this version.
    pub(super) joining: Option<(Token, i16)>,
    /// Who waits for the answer to its SyncGroup, which is of this version.
    pub(super) syncing: Option<(Token, i16)>,
    /// Whether it has not been through any rebalance: then it has to show itself while it waits.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn new(
        asker: &Asker,
        request: &JoinGroupRequest,
        protocols: Vec<(Name, Bytes)>,
    ) -> Self {
        Self {
            instance: request.group_instance_id.as_deref().map(Name::from),
            client_id: asker.client_id.as_str().into(),
            client_host: asker.client_host.as_str().into(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols,
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            is_new: true,
        }
    }

    /// What it says for a protocol; empty if it doesn't know it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let known = self.protocols.iter().find(|(name, _)| **name == *protocol);
        known
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    /// Whether its waiting for an answer shows that it is there.
    pub(super) fn shows_itself(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }
}

/// What a request says of protocols, in memory of its own. Of two of the same name the first counts.
pub(super) fn protocols_of(request: &JoinGroupRequest) -> Vec<(Name, Bytes)> {
    let mut protocols: Vec<(Name, Bytes)> = Vec::with_capacity(request.protocols.len());
    let mut seen = std::collections::BTreeSet::new();
    for protocol in &request.protocols {
        if seen.insert(protocol.name.as_str()) {
            protocols.push((
                protocol.name.as_str().into(),
                Bytes::copy_from_slice(&protocol.metadata),
            ));
        }
    }
    protocols
}

impl Classic {
    fn count_protocols(&mut self, protocols: &[(Name, Bytes)]) {
        for (name, _) in protocols {
            match self.known.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    self.known.insert(name.clone(), 1);
                }
            }
        }
    }

    fn discount_protocols(&mut self, protocols: &[(Name, Bytes)]) {
        for (name, _) in protocols {
            if let Some(count) = self.known.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.known.remove(name);
                }
            }
        }
    }

    /// Whether every member knows this protocol.
    pub(super) fn all_know(&self, protocol: &str) -> bool {
        self.known.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    pub(super) fn add(&mut self, id: Name, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.into());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.joining += usize::from(member.joining.is_some());
        self.count_protocols(&member.protocols);
        self.pending.remove(&id);
        self.members.insert(id, member);
    }

    /// Takes a member out, or one that was to join. Its timer is the caller's affair.
    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let removed = self.members.remove(id);
        if let Some(member) = &removed {
            self.discount_protocols(&member.protocols);
            self.joining -= usize::from(member.joining.is_some());
            if let Some(instance) = &member.instance {
                self.instances.remove(instance);
            }
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending.remove(id);
        self.unsynced.remove(id);
        removed
    }

    /// Takes what a member says as it joins again, and who waits for the answer. Returns who did so before.
    pub(super) fn update(
        &mut self,
        id: &str,
        request: &JoinGroupRequest,
        protocols: Vec<(Name, Bytes)>,
        waiting: (Token, i16),
    ) -> Option<(Token, i16)> {
        self.count_protocols(&protocols);
        let member = self.members.get_mut(id)?;
        let old = std::mem::replace(&mut member.protocols, protocols);
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        let before = member.joining.replace(waiting);
        self.joining += usize::from(before.is_none());
        self.discount_protocols(&old);
        before
    }

    /// Takes away who waits for the answer to a member's JoinGroup.
    pub(super) fn take_joining(&mut self, id: &str) -> Option<(Token, i16)> {
        let waiting = self.members.get_mut(id)?.joining.take();
        self.joining -= usize::from(waiting.is_some());
        waiting
    }

    /// Begins a member's session anew.
    pub(super) fn put_off_session(&self, step: &mut Step<'_, '_>, id: &Name, member: &Member) {
        let session_ms = u64::try_from(member.session_timeout_ms).unwrap_or(0);
        step.after(Timer::Session(self.id.clone(), id.clone()), session_ms);
    }

    pub(super) fn end_session(&self, step: &mut Step<'_, '_>, id: &str) {
        step.timers
            .cancel(&Timer::Session(self.id.clone(), id.into()));
    }
}
