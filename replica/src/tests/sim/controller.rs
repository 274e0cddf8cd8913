//! A controller that never fails: it hands out epochs, elects from the ISR, and makes ISR changes. Its log
//! of states is what nodes learn from, each in its own time.

use super::NODES_MAX;
use crate::{Assignment, IsrAnswer, IsrChange, Peer};

/// The partition and its nodes after one more change.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) leader: i32,
    pub(super) leader_epoch: i32,
    pub(super) partition_epoch: i32,
    pub(super) replicas: Vec<i32>,
    pub(super) isr: Vec<i32>,
    pub(super) brokers: [Peer; NODES_MAX],
}

impl Metadata {
    pub(super) fn peers(&self) -> Vec<Peer> {
        let replicas = self.replicas.iter();
        replicas.map(|&node| *self.broker(node)).collect()
    }

    pub(super) fn broker(&self, node: i32) -> &Peer {
        &self.brokers[usize::try_from(node).unwrap()]
    }

    pub(super) fn assignment<'a>(&'a self, peers: &'a [Peer]) -> Assignment<'a> {
        Assignment {
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            replicas: peers,
            isr: &self.isr,
        }
    }
}

/// The controller.
#[derive(Debug)]
pub(super) struct Controller {
    /// Every state there was; the last is what is.
    pub(super) states: Vec<Metadata>,
    broker_epochs: i64,
}

impl Controller {
    /// All nodes registered, all replicas in sync, the first one leading.
    pub(super) fn new(nodes: usize) -> Self {
        let replicas: Vec<i32> = (0..i32::try_from(nodes).unwrap()).collect();
        let mut node = -1;
        let brokers = [(); NODES_MAX].map(|()| {
            node += 1;
            Peer {
                node,
                broker_epoch: 0,
                eligible: true,
            }
        });
        Self {
            states: vec![Metadata {
                leader: 0,
                leader_epoch: 0,
                partition_epoch: 0,
                isr: replicas.clone(),
                replicas,
                brokers,
            }],
            broker_epochs: 0,
        }
    }

    pub(super) fn now(&self) -> &Metadata {
        self.states.last().unwrap()
    }

    fn change(&mut self, change: impl FnOnce(&mut Metadata)) {
        let mut next = self.now().clone();
        change(&mut next);
        let same = |a: &Metadata, b: &Metadata| {
            (a.leader, a.leader_epoch, &a.replicas, &a.isr)
                == (b.leader, b.leader_epoch, &b.replicas, &b.isr)
        };
        if !same(&next, self.now()) {
            next.partition_epoch += 1;
        }
        self.states.push(next);
    }

    /// A node is no longer heard: it leaves the ISR, unless it is the last, and leads no longer.
    pub(super) fn fence(&mut self, node: i32) {
        self.change(|state| {
            state.brokers[usize::try_from(node).unwrap()].eligible = false;
            if state.isr.len() > 1 {
                state.isr.retain(|&member| member != node);
            }
            if state.leader == node {
                state.elect(None);
            }
        });
    }

    /// A node is heard again.
    pub(super) fn unfence(&mut self, node: i32) {
        self.change(|state| {
            state.brokers[usize::try_from(node).unwrap()].eligible = true;
            if state.leader < 0 {
                state.elect(None);
            }
        });
    }

    /// A process registers; what the node led before is over. Gives its broker epoch, and the number of
    /// the first state that it may believe.
    pub(super) fn register(&mut self, node: i32) -> (i64, usize) {
        self.broker_epochs += 1;
        let broker_epoch = self.broker_epochs;
        self.fence(node);
        self.change(|state| {
            state.brokers[usize::try_from(node).unwrap()].broker_epoch = broker_epoch;
        });
        (broker_epoch, self.states.len() - 1)
    }

    /// Makes another member of the ISR the leader.
    pub(super) fn elect(&mut self, preferred: i32) {
        self.change(|state| state.elect(Some(preferred)));
    }

    /// Gives a node a replica, or takes it away.
    pub(super) fn reassign(&mut self, node: i32) {
        self.change(|state| {
            if !state.replicas.contains(&node) {
                state.replicas.push(node);
            } else if !state.isr.contains(&node) && state.leader != node {
                state.replicas.retain(|&replica| replica != node);
            }
        });
    }

    /// Kafka's `AlterPartition`.
    pub(super) fn alter(&mut self, from: i32, change: &IsrChange) -> IsrAnswer {
        let state = self.now();
        if change.leader_epoch != state.leader_epoch {
            return IsrAnswer::Fenced;
        }
        if from != state.leader {
            return IsrAnswer::NotLeader;
        }
        if change.partition_epoch != state.partition_epoch {
            return IsrAnswer::InvalidVersion;
        }
        let may_join = change.isr.iter().all(|member| {
            let broker = state.broker(member.node);
            state.replicas.contains(&member.node)
                && broker.eligible
                && [-1, broker.broker_epoch].contains(&member.broker_epoch)
        });
        if !may_join {
            return IsrAnswer::Ineligible;
        }
        let isr = change.isr.iter().map(|member| member.node).collect();
        self.change(|state| state.isr = isr);
        IsrAnswer::Accepted {
            partition_epoch: self.now().partition_epoch,
        }
    }
}

impl Metadata {
    fn elect(&mut self, preferred: Option<i32>) {
        let may_lead = |node: &i32| self.broker(*node).eligible;
        let members = || self.isr.iter().copied().filter(may_lead);
        let leader = members().find(|&node| Some(node) == preferred);
        let leader = leader.or_else(|| members().next()).unwrap_or(-1);
        if preferred.is_none() || leader != self.leader {
            self.leader = leader;
            self.leader_epoch += 1;
        }
    }
}
