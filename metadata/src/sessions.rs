//! Which brokers are alive: their sessions with this controller, and what their heartbeats lead to.
//!
//! Soft state, kept by the node that is the controller and lost with that; what follows from it
//! becomes records. Pure: times are given, in milliseconds of any clock that doesn't go back.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use uuid::Uuid;

use super::core::Controller;
use super::error::MetaError;
use super::fencing::with_failed;
use super::image::Image;
use super::record::{BrokerRecord, Record};
use super::registration::{Liveness, RegisterBroker};

/// What a broker says of itself, at least several times a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its node id.
    pub node: i32,
    /// The epoch it got when it registered.
    pub broker_epoch: i64,
    /// The offset after the last metadata record that it has applied.
    pub metadata_offset: i64,
    /// Whether it wants to be fenced, or to stay so.
    pub want_fence: bool,
    /// Whether it wants to stop.
    pub want_shutdown: bool,
    /// Those of its drives that have failed since it started.
    pub offline_drives: Vec<Uuid>,
}

/// What a broker is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// It has applied the record of its registration.
    pub caught_up: bool,
    /// It is fenced.
    pub fenced: bool,
    /// It is giving its partitions away.
    pub in_controlled_shutdown: bool,
    /// It may stop now: the others know of the leaders in its place.
    pub may_stop: bool,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    /// When it is over.
    deadline_ms: u64,
    /// Whether the broker has been heard of, by this controller.
    heard: bool,
    /// The offset after its registration, once that is committed.
    registered_at: Option<i64>,
    /// The offset after the changes that gave its partitions away, once they are committed.
    shutdown_at: Option<i64>,
    /// How far its metadata was at its last heartbeat.
    metadata_offset: i64,
}

/// The sessions of all brokers.
#[derive(Clone, Debug)]
pub struct Sessions {
    timeout_ms: u64,
    nodes: BTreeMap<i32, Session>,
}

/// What a broker becomes by a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fenced,
    Unfenced,
    ControlledShutdown,
    MayStop,
}

impl Sessions {
    /// No sessions yet, each to last for `timeout_ms` after a heartbeat
    /// (`broker.session.timeout.ms`).
    pub fn new(timeout_ms: u64) -> Self {
        Self {
            timeout_ms,
            nodes: BTreeMap::new(),
        }
    }

    /// Gives every broker of `image` a whole session from `now_ms` on, as this node becomes the
    /// controller with `offset` as the end of what is committed.
    pub fn start(&mut self, image: &Image, offset: i64, now_ms: u64) {
        let deadline_ms = now_ms.saturating_add(self.timeout_ms);
        let session = |broker: &BrokerRecord| Session {
            deadline_ms,
            heard: false,
            registered_at: Some(offset),
            shutdown_at: broker.in_controlled_shutdown.then_some(offset),
            metadata_offset: -1,
        };
        let brokers = image.brokers().iter();
        self.nodes = brokers
            .map(|(&node, broker)| (node, session(broker)))
            .collect();
    }

    /// Decides a registration; see [`Controller::register_broker`]. [`Sessions::committed`] has to
    /// be called when the records are.
    ///
    /// # Errors
    /// Those of [`Controller::register_broker`].
    pub fn register(
        &mut self,
        controller: &Controller<'_>,
        command: &RegisterBroker,
        now_ms: u64,
    ) -> Result<(i64, Vec<Record>), MetaError> {
        let node = command.node_id;
        let existing = controller.image.broker(node);
        let same = existing.is_some_and(|broker| broker.incarnation == command.incarnation);
        let decided = controller.register_broker(command, self.liveness(node, now_ms))?;
        let session = self.touch(node, now_ms);
        if !same {
            session.registered_at = None;
            session.shutdown_at = None;
            session.metadata_offset = -1;
        }
        Ok(decided)
    }

    /// Decides what follows from a heartbeat: fencing, unfencing, a controlled shutdown, failed
    /// drives. [`Sessions::committed`] has to be called when the records are.
    ///
    /// # Errors
    /// [`MetaError::StaleBrokerEpoch`] when the sender isn't the broker that is registered.
    pub fn heartbeat(
        &mut self,
        controller: &Controller<'_>,
        heartbeat: &Heartbeat,
        now_ms: u64,
    ) -> Result<(HeartbeatReply, Vec<Record>), MetaError> {
        let node = heartbeat.node;
        let before = controller.check_broker_epoch(node, heartbeat.broker_epoch)?;
        let session = self.touch(node, now_ms);
        session.metadata_offset = heartbeat.metadata_offset;
        let registered_at = session.registered_at;
        let caught_up = registered_at.is_some_and(|at| heartbeat.metadata_offset >= at);
        let next = self.next_state(controller, before, heartbeat, caught_up);
        let mut after = with_failed(before, &heartbeat.offline_drives);
        match next {
            State::Fenced | State::MayStop => after.fenced = true,
            State::Unfenced => {
                after.fenced = false;
                after.in_controlled_shutdown = false;
            }
            State::ControlledShutdown => after.in_controlled_shutdown = true,
        }
        let reply = HeartbeatReply {
            caught_up,
            fenced: after.fenced,
            in_controlled_shutdown: next == State::ControlledShutdown,
            may_stop: next == State::MayStop,
        };
        Ok((reply, controller.change_broker(before, &after)))
    }

    /// What was decided on a registration or a heartbeat of `node` is committed, and `offset` is the
    /// offset after it.
    pub fn committed(&mut self, image: &Image, node: i32, offset: i64) {
        let stopping = image
            .broker(node)
            .is_some_and(|broker| broker.in_controlled_shutdown);
        if let Some(session) = self.nodes.get_mut(&node) {
            session.registered_at.get_or_insert(offset);
            if stopping {
                session.shutdown_at.get_or_insert(offset);
            }
        }
    }

    /// The connection of `node` broke: unless it is heard of within `grace_ms`, its session is over.
    pub fn cut(&mut self, node: i32, now_ms: u64, grace_ms: u64) {
        if let Some(session) = self.nodes.get_mut(&node) {
            let latest = now_ms.saturating_add(grace_ms);
            session.deadline_ms = session.deadline_ms.min(latest);
        }
    }

    /// What can be said of the life of `node`.
    pub fn liveness(&self, node: i32, now_ms: u64) -> Liveness {
        match self.nodes.get(&node) {
            Some(session) if session.deadline_ms <= now_ms => Liveness::Silent,
            Some(session) if session.heard => Liveness::Heard,
            Some(_) => Liveness::Presumed,
            None => Liveness::Silent,
        }
    }

    /// The brokers to be fenced, as their sessions are over, the longest silent first. They are
    /// named until they are fenced in `image`, or heard of.
    pub fn expired(&self, image: &Image, now_ms: u64) -> Vec<i32> {
        let over = self.unfenced(image).filter(|&(at, _)| at <= now_ms);
        let mut over: Vec<(u64, i32)> = over.collect();
        over.sort_unstable();
        over.into_iter().map(|(_, node)| node).collect()
    }

    /// When the next session of an unfenced broker is over, unless it is heard of before.
    pub fn next_deadline(&self, image: &Image) -> Option<u64> {
        self.unfenced(image).map(|(at, _)| at).min()
    }

    fn unfenced(&self, image: &Image) -> impl Iterator<Item = (u64, i32)> {
        let unfenced = |node: i32| image.broker(node).is_some_and(|broker| !broker.fenced);
        let sessions = self.nodes.iter();
        sessions
            .filter(move |(node, _)| unfenced(**node))
            .map(|(&node, session)| (session.deadline_ms, node))
    }

    fn touch(&mut self, node: i32, now_ms: u64) -> &mut Session {
        let deadline_ms = now_ms.saturating_add(self.timeout_ms);
        let session = self.nodes.entry(node).or_insert(Session {
            deadline_ms,
            heard: true,
            registered_at: None,
            shutdown_at: None,
            metadata_offset: -1,
        });
        session.deadline_ms = deadline_ms;
        session.heard = true;
        session
    }

    /// Kafka's transitions.
    fn next_state(
        &self,
        controller: &Controller<'_>,
        broker: &BrokerRecord,
        heartbeat: &Heartbeat,
        caught_up: bool,
    ) -> State {
        let Heartbeat {
            node,
            want_fence,
            want_shutdown,
            ..
        } = *heartbeat;
        let leads = || {
            controller
                .partitions()
                .any(|(_, _, state)| state.leader == node)
        };
        if broker.fenced {
            return match (want_shutdown, want_fence) {
                (true, _) => State::MayStop,
                (false, false) if caught_up => State::Unfenced,
                (false, _) => State::Fenced,
            };
        }
        if broker.in_controlled_shutdown {
            let told = || self.others_know(controller.image, node);
            return match !leads() && told() {
                true => State::MayStop,
                false => State::ControlledShutdown,
            };
        }
        match (want_shutdown, want_fence) {
            (true, true) => State::MayStop,
            (true, false) if leads() => State::ControlledShutdown,
            (true, false) => State::MayStop,
            (false, true) => State::Fenced,
            (false, false) => State::Unfenced,
        }
    }

    /// Whether every other active broker has applied the changes that gave `node`'s partitions away.
    fn others_know(&self, image: &Image, node: i32) -> bool {
        let Some(shutdown_at) = self.nodes.get(&node).and_then(|s| s.shutdown_at) else {
            return false;
        };
        let knows = |other: &i32| {
            let session = self.nodes.get(other);
            session.is_some_and(|session| session.metadata_offset >= shutdown_at)
        };
        let others = image.brokers().values().filter(|broker| broker.is_active());
        others
            .map(|broker| broker.node_id)
            .all(|other| other == node || knows(&other))
    }
}
