//! A group of the classic protocol, written down as plainly as can be: everything is counted anew whenever it is
//! needed, and there are no records. What the coordinator says is held against it.

mod time;

use std::collections::{BTreeMap, BTreeSet};

use coordinator::Token;
use uuid::Uuid;

use crate::classic::Phase;

pub(super) const DELAY_MS: u64 = 3_000;
pub(super) const MAX_SIZE: usize = 4;
const NEW_MEMBER_MS: u64 = 300_000;

/// What of an answer is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: i16,
    pub(super) generation: i32,
    pub(super) id: String,
    pub(super) leader: String,
    pub(super) protocol: String,
    pub(super) members: Vec<String>,
    pub(super) assignment: String,
    pub(super) skip: bool,
}

impl Said {
    pub(super) fn code(code: i16) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    fn not_joined(code: i16, id: &str) -> Self {
        Self {
            code,
            generation: -1,
            id: id.into(),
            ..Self::default()
        }
    }
}

/// One asks to join.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) protocols: Vec<&'static str>,
    pub(super) session_ms: u64,
    pub(super) rebalance_ms: u64,
    pub(super) version: i16,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) instance: Option<String>,
    pub(super) protocols: Vec<&'static str>,
    pub(super) session_ms: u64,
    pub(super) rebalance_ms: u64,
    pub(super) assignment: String,
    deadline_ms: Option<u64>,
    joining: Option<Token>,
    syncing: Option<Token>,
    is_new: bool,
}

/// What is in the log.
#[derive(Clone, Debug, Default)]
struct Stored {
    generation: i32,
    leader: Option<String>,
    protocol: Option<&'static str>,
    members: BTreeMap<String, Member>,
}

#[derive(Debug)]
pub(super) struct Naive {
    pub(super) now_ms: u64,
    pub(super) said: Vec<(Token, Said)>,
    pub(super) phase: Phase,
    pub(super) generation: i32,
    pub(super) members: BTreeMap<String, Member>,
    leader: Option<String>,
    protocol: Option<&'static str>,
    was_empty: bool,
    pending: BTreeMap<String, u64>,
    unsynced: BTreeSet<String>,
    join_ms: Option<u64>,
    sync_ms: Option<u64>,
    /// The delay of this round, what remains after it, and whether somebody came.
    gathering: Option<(u64, u64, bool)>,
    ids: u128,
    stored: Option<Stored>,
    /// Whether it has offsets.
    commits: bool,
}

impl Naive {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            now_ms,
            said: Vec::new(),
            phase: Phase::Empty,
            generation: 0,
            members: BTreeMap::new(),
            leader: None,
            protocol: None,
            was_empty: false,
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            join_ms: None,
            sync_ms: None,
            gathering: None,
            ids: 0,
            stored: None,
            commits: false,
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.stored.is_some() || self.commits
    }

    fn say(&mut self, to: Token, said: Said) {
        self.said.push((to, said));
    }

    fn all_know(&self, protocol: &str) -> bool {
        self.members
            .values()
            .all(|member| member.protocols.contains(&protocol))
    }

    fn joining(&self) -> usize {
        self.members
            .values()
            .filter(|member| member.joining.is_some())
            .count()
    }

    fn all_joined(&self) -> bool {
        self.joining() == self.members.len() && self.pending.is_empty()
    }

    fn patience_ms(&self) -> u64 {
        self.members
            .values()
            .map(|member| member.rebalance_ms)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn instance(&self, instance: &str) -> Option<String> {
        let mut members = self.members.iter();
        let found = members.find(|(_, member)| member.instance.as_deref() == Some(instance));
        found.map(|(id, _)| id.clone())
    }

    fn check(&self, id: &str, instance: Option<&str>) -> Result<(), i16> {
        if let Some(instance) = instance {
            match self.instance(instance) {
                None => return Err(25),
                Some(now) if now != id => return Err(82),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) {
            Ok(())
        } else {
            Err(25)
        }
    }

    fn store(&mut self) {
        self.stored = Some(Stored {
            generation: self.generation,
            leader: self.leader.clone(),
            protocol: self.protocol,
            members: self.members.clone(),
        });
    }

    pub(super) fn load(&mut self) {
        let stored = self.stored.clone().unwrap_or_default();
        *self = Self {
            ids: self.ids,
            commits: self.commits,
            generation: stored.generation,
            leader: stored.leader.clone(),
            protocol: stored.protocol,
            members: stored.members.clone(),
            stored: self.stored.take(),
            ..Self::new(self.now_ms)
        };
        if !self.members.is_empty() {
            self.phase = Phase::Stable;
        }
        for member in self.members.values_mut() {
            member.protocols = self.protocol.into_iter().collect();
            member.deadline_ms = Some(self.now_ms + member.session_ms);
            (member.joining, member.syncing, member.is_new) = (None, None, false);
        }
    }

    fn joined(&self, id: &str) -> Said {
        let is_leader = self.leader.as_deref() == Some(id);
        Said {
            generation: self.generation,
            id: id.into(),
            leader: self.leader.clone().unwrap_or_default(),
            protocol: self.protocol.unwrap_or_default().into(),
            members: self.members.keys().filter(|_| is_leader).cloned().collect(),
            ..Said::default()
        }
    }

    pub(super) fn join(&mut self, token: Token, join: Join) {
        if !self.exists() {
            if !join.id.is_empty() {
                return self.say(token, Said::not_joined(25, &join.id));
            }
            self.stored = Some(Stored::default());
        }
        let id = join.id.clone();
        let room = match self.phase {
            Phase::Empty => true,
            Phase::Preparing => {
                self.members
                    .get(&id)
                    .is_some_and(|member| member.joining.is_some())
                    || self.joining() < MAX_SIZE
            }
            _ => self.members.contains_key(&id) || self.members.len() < MAX_SIZE,
        };
        if !room {
            self.remove(&id);
            self.say(token, Said::not_joined(81, ""));
            return self.complete_if_joined();
        }
        if self.phase != Phase::Empty
            && !join
                .protocols
                .iter()
                .any(|protocol| self.all_know(protocol))
        {
            return self.say(token, Said::not_joined(23, &id));
        }
        if !id.is_empty() {
            return self.join_known(token, &id, join);
        }
        self.ids += 1;
        let prefix = join.instance.as_deref().unwrap_or("client");
        let new_id = format!("{prefix}-{}", Uuid::from_u128(self.ids));
        match join
            .instance
            .as_deref()
            .and_then(|instance| self.instance(instance))
        {
            Some(old_id) => self.replace(token, &old_id, &new_id, join),
            None if join.instance.is_none() && join.version >= 4 => {
                self.pending
                    .insert(new_id.clone(), self.now_ms + join.session_ms);
                self.say(token, Said::not_joined(79, &new_id));
            }
            None => self.add(token, &new_id, join),
        }
    }

    fn add(&mut self, token: Token, id: &str, join: Join) {
        if let Some(gathering) = &mut self.gathering {
            gathering.2 = true;
        }
        let member = Member {
            instance: join.instance,
            protocols: join.protocols,
            session_ms: join.session_ms,
            rebalance_ms: join.rebalance_ms,
            assignment: String::new(),
            deadline_ms: Some(self.now_ms + NEW_MEMBER_MS),
            joining: Some(token),
            syncing: None,
            is_new: true,
        };
        self.pending.remove(id);
        self.members.insert(id.into(), member);
        self.leader.get_or_insert_with(|| id.into());
        self.rebalance();
    }

    fn update(&mut self, token: Token, id: &str, join: Join) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        (member.protocols, member.session_ms, member.rebalance_ms) =
            (join.protocols, join.session_ms, join.rebalance_ms);
        if let Some(before) = member.joining.replace(token) {
            self.say(before, Said::not_joined(27, id));
        }
    }

    fn join_known(&mut self, token: Token, id: &str, join: Join) {
        if self.pending.contains_key(id) {
            return match join.instance {
                Some(_) => self.say(token, Said::not_joined(25, id)),
                None => self.add(token, id, join),
            };
        }
        if let Err(code) = self.check(id, join.instance.as_deref()) {
            return self.say(token, Said::not_joined(code, id));
        }
        let unchanged = self.members[id].protocols == join.protocols;
        let is_leader = self.leader.as_deref() == Some(id);
        if unchanged
            && (self.phase == Phase::Completing || self.phase == Phase::Stable && !is_leader)
        {
            let said = self.joined(id);
            return self.say(token, said);
        }
        self.update(token, id, join);
        self.rebalance();
    }

    fn replace(&mut self, token: Token, old_id: &str, new_id: &str, join: Join) {
        let leader_before = self.leader.clone();
        let version = join.version;
        let mut member = self.members.remove(old_id).unwrap();
        if let Some(waiting) = member.joining.take() {
            self.say(waiting, Said::not_joined(82, old_id));
        }
        if let Some(waiting) = member.syncing.take() {
            self.say(waiting, Said::code(82));
        }
        member.deadline_ms = Some(self.now_ms + join.session_ms);
        self.members.insert(new_id.into(), member);
        if self.leader.as_deref() == Some(old_id) {
            self.leader = Some(new_id.into());
        }
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(new_id.into());
        }
        self.update(token, new_id, join);
        if self.phase == Phase::Stable && self.chosen() == self.protocol {
            self.members.get_mut(new_id).unwrap().joining = None;
            let mut said = self.joined(new_id);
            said.skip = version >= 9 && self.leader.as_deref() == Some(new_id);
            if version < 9 {
                said.leader = leader_before.unwrap_or_default();
                said.members.clear();
            }
            self.say(token, said);
            return self.store();
        }
        self.rebalance();
    }

    fn chosen(&self) -> Option<&'static str> {
        let mut votes: BTreeMap<&'static str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member
                .protocols
                .iter()
                .find(|protocol| self.all_know(protocol));
            *votes.entry(vote.unwrap()).or_default() += 1;
        }
        let most = votes.values().max()?;
        votes
            .iter()
            .find(|(_, votes)| *votes == most)
            .map(|(protocol, _)| *protocol)
    }

    /// Takes a member out, or one that was to join.
    fn remove(&mut self, id: &str) {
        self.pending.remove(id);
        self.unsynced.remove(id);
        if let Some(member) = self.members.remove(id) {
            if let Some(waiting) = member.joining {
                self.say(waiting, Said::not_joined(25, ""));
            }
            if let Some(waiting) = member.syncing {
                self.say(waiting, Said::code(25));
            }
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn rebalance(&mut self) {
        if self.phase == Phase::Preparing {
            return self.complete_if_joined();
        }
        self.unsynced.clear();
        self.sync_ms = None;
        if self.phase == Phase::Completing {
            self.withdraw();
        }
        self.was_empty = self.phase == Phase::Empty;
        self.phase = Phase::Preparing;
        if self.was_empty {
            let remaining_ms = self.patience_ms().saturating_sub(DELAY_MS);
            self.gathering = Some((DELAY_MS, remaining_ms, false));
            self.join_ms = Some(self.now_ms + DELAY_MS);
        } else if self.all_joined() {
            self.complete();
        } else {
            self.join_ms = Some(self.now_ms + self.patience_ms());
        }
    }

    fn withdraw(&mut self) {
        let now_ms = self.now_ms;
        let mut told = Vec::new();
        for member in self.members.values_mut() {
            member.assignment.clear();
            if let Some(waiting) = member.syncing.take() {
                member.deadline_ms = Some(now_ms + member.session_ms);
                told.push(waiting);
            }
        }
        told.into_iter()
            .for_each(|waiting| self.say(waiting, Said::code(27)));
    }

    fn complete_if_joined(&mut self) {
        if self.phase == Phase::Preparing && !self.was_empty && self.all_joined() {
            self.complete();
        }
    }

    fn complete(&mut self) {
        (self.join_ms, self.gathering) = (None, None);
        let absent = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.instance.is_none());
        let absent: Vec<String> = absent.map(|(id, _)| id.clone()).collect();
        absent.iter().for_each(|id| self.remove(id));
        if !self.members.is_empty() {
            let came = |id: &String| self.members[id].joining.is_some();
            if !self.leader.as_ref().is_some_and(came) {
                let Some(leader) = self.members.keys().find(|id| came(id)) else {
                    self.join_ms = Some(self.now_ms + self.patience_ms());
                    return;
                };
                self.leader = Some(leader.clone());
            }
        }
        self.generation += 1;
        self.protocol = self.chosen();
        self.was_empty = false;
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            return self.store();
        }
        self.phase = Phase::Completing;
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let said = self.joined(&id);
            let now_ms = self.now_ms;
            let member = self.members.get_mut(&id).unwrap();
            member.is_new = false;
            member.deadline_ms = Some(now_ms + member.session_ms);
            if let Some(waiting) = member.joining.take() {
                self.say(waiting, said);
            }
            self.unsynced.insert(id);
        }
        self.sync_ms = Some(self.now_ms + self.patience_ms());
    }

    pub(super) fn sync(
        &mut self,
        token: Token,
        generation: i32,
        id: &str,
        given: &[(String, String)],
    ) {
        if !self.exists() || self.phase == Phase::Empty {
            return self.say(token, Said::code(25));
        }
        let refused = self.check(id, None).and_then(|()| match () {
            () if generation != self.generation => Err(22),
            () if self.phase == Phase::Preparing => Err(27),
            () => Ok(()),
        });
        if let Err(code) = refused {
            return self.say(token, Said::code(code));
        }
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_ms = None;
        }
        if self.phase == Phase::Stable {
            let said = self.synced(id);
            return self.say(token, said);
        }
        if let Some(before) = self.members.get_mut(id).unwrap().syncing.replace(token) {
            self.say(before, Said::code(27));
        }
        if self.leader.as_deref() == Some(id) {
            for (id, member) in &mut self.members {
                let given = given.iter().rfind(|(to, _)| to == id);
                member.assignment = given.map(|(_, what)| what.clone()).unwrap_or_default();
            }
            self.phase = Phase::Stable;
            self.store();
            for id in self.members.keys().cloned().collect::<Vec<_>>() {
                let said = self.synced(&id);
                let now_ms = self.now_ms;
                let member = self.members.get_mut(&id).unwrap();
                if let Some(waiting) = member.syncing.take() {
                    member.deadline_ms = Some(now_ms + member.session_ms);
                    self.say(waiting, said);
                }
            }
        }
    }

    fn synced(&self, id: &str) -> Said {
        Said {
            protocol: self.protocol.unwrap_or_default().into(),
            assignment: self.members[id].assignment.clone(),
            ..Said::default()
        }
    }

    fn touch(&mut self, id: &str) {
        let now_ms = self.now_ms;
        if let Some(member) = self.members.get_mut(id) {
            member.deadline_ms = Some(now_ms + member.session_ms);
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        token: Token,
        generation: i32,
        id: &str,
        instance: Option<&str>,
    ) {
        let mut code = match self.check(id, instance) {
            Err(code) => code,
            Ok(()) if generation != self.generation => 22,
            Ok(()) => 0,
        };
        if code == 0 {
            self.touch(id);
            code = if self.phase == Phase::Preparing {
                27
            } else {
                0
            };
        }
        self.say(token, Said::code(code));
    }

    pub(super) fn commit(&mut self, token: Token, generation: i32, id: &str) {
        let code = match self.check(id, None) {
            _ if !self.exists() && generation >= 0 => 22,
            _ if generation < 0 && self.phase == Phase::Empty => 0,
            _ if generation < 0 && id.is_empty() => 25,
            Err(code) => code,
            Ok(()) if generation != self.generation => 22,
            Ok(()) if self.phase == Phase::Completing => 27,
            Ok(()) => {
                self.touch(id);
                0
            }
        };
        self.commits |= code == 0;
        self.say(token, Said::code(code));
    }

    pub(super) fn leave(&mut self, token: Token, id: &str, instance: Option<&str>) {
        let who = match (id, instance) {
            ("", Some(instance)) => self.instance(instance).ok_or(25),
            ("", None) => Err(25),
            _ if self.pending.contains_key(id) => Ok(id.into()),
            _ => self.check(id, instance).map(|()| id.into()),
        };
        let code = who.as_ref().err().copied().unwrap_or(0);
        if let Ok(id) = who {
            self.remove(&id);
            if self.phase != Phase::Empty {
                self.rebalance();
            }
        }
        self.say(token, Said::code(code));
    }
}
