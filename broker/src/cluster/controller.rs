//! What the controller does: it answers the other nodes' calls, and fences those that fell silent.
//!
//! Every node runs this; it acts on the one that leads the metadata's quorum. What it knows of who is
//! alive is lost with its leadership; the next controller gives everybody a session again, and a short
//! one to those that aren't connected to it.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;
use kafka_protocol::ResponseError;
use metadata::{AlterPartition, Heartbeat, MetaError, RegisterBroker, Sessions};
use quorum::Role;

use super::standstill::Standstill;
use super::wire::{Call, Inquiry, IsrReply, Reply};
use super::{Cluster, Command};
use crate::meta::{Decided, ProposeError};
use crate::shard::Shard;
use crate::shard::control::{Control, ControlError};

/// How often the sessions are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a node may be away whose connection broke: a process that is alive dials again.
const GRACE_MS: u64 = 300;
/// Partitions that an election of many changes in one commit.
const CHANGES_MAX: usize = 1000;

impl Cluster {
    /// The connection of `node` broke.
    pub(super) fn cut(&self, node: i32) {
        let now_ms = self.now_ms();
        if let Some(sessions) = &mut *self.sessions.borrow_mut() {
            sessions.cut(node, now_ms, GRACE_MS);
        }
    }
}

impl Reply {
    fn failed(error: &ControlError) -> Self {
        Self::Refused {
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl Control {
    /// Answers a call of node `from`.
    pub(crate) async fn serve(&self, shard: &Rc<Shard>, from: i32, call: Call) -> Reply {
        if let Call::Inquire = call {
            return self.inquiry(from);
        }
        if !self.meta.leads() {
            return self.not_controller();
        }
        match call {
            Call::Inquire => self.inquiry(from),
            Call::Register(command) => self.register(&command).await,
            Call::Heartbeat(heartbeat) => self.heartbeat(&heartbeat).await,
            Call::Command {
                command,
                validate_only,
            } => self.change(shard, &command, validate_only).await,
            Call::Steps(steps) => self.take_steps(shard, &steps).await,
            Call::AlterIsr { sequence, changes } => self.alter(from, sequence, &changes).await,
            Call::Resign {
                broker,
                topic_id,
                index,
                leader_epoch,
            } => {
                let decided = self.meta.execute(|draft| {
                    draft.decide(|controller| {
                        controller.resign(broker, topic_id, index, leader_epoch)
                    })
                });
                self.answer(decided.await, |(), _| Reply::Done)
            }
            Call::DescribeQuorum => Reply::Quorum(self.quorum_state()),
            Call::AddVoter(node) => self.change_voters(node, true).await,
            Call::RemoveVoter(node) => self.change_voters(node, false).await,
        }
    }

    fn not_controller(&self) -> Reply {
        let leader = self.meta.with_quorum(quorum::Quorum::leader);
        let me = self.cluster.dialler.node;
        Reply::NotController {
            leader: leader.filter(|leader| *leader != me),
        }
    }

    fn inquiry(&self, from: i32) -> Reply {
        let image = self.meta.image();
        Reply::Inquiry(Inquiry {
            cluster_id: image.cluster_id().map(str::to_owned),
            voters: self
                .meta
                .with_quorum(|quorum| quorum.membership().voters.clone()),
            registered: image.broker(from).is_some(),
        })
    }

    /// The reply to what was decided and committed, or not.
    pub(super) fn answer<T>(
        &self,
        decided: Result<Decided<Result<T, MetaError>>, ProposeError>,
        reply: impl FnOnce(T, i64) -> Reply,
    ) -> Reply {
        match decided {
            Ok(Decided {
                value: Ok(value),
                offset,
            }) => reply(value, offset),
            Ok(Decided {
                value: Err(error), ..
            }) => Reply::failed(&error.into()),
            Err(ProposeError::NotLeader(_)) => self.not_controller(),
            Err(error) => Reply::failed(&error.into()),
        }
    }

    async fn register(&self, command: &RegisterBroker) -> Reply {
        let now_ms = self.cluster.now_ms();
        let decided = self.meta.execute(|draft| {
            let mut sessions = self.cluster.sessions.borrow_mut();
            let sessions = sessions.as_mut().ok_or_else(too_early)?;
            let (epoch, records) = sessions.register(&draft.controller(), command, now_ms)?;
            draft.take(records)?;
            Ok(epoch)
        });
        let decided = decided.await;
        self.note_committed(command.node_id, &decided);
        self.answer(decided, |epoch, offset| Reply::Registered { epoch, offset })
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat) -> Reply {
        let now_ms = self.cluster.now_ms();
        let decided = self.meta.execute(|draft| {
            let mut sessions = self.cluster.sessions.borrow_mut();
            let sessions = sessions.as_mut().ok_or_else(too_early)?;
            let (reply, records) = sessions.heartbeat(&draft.controller(), heartbeat, now_ms)?;
            draft.take(records)?;
            Ok(reply)
        });
        let decided = decided.await;
        self.note_committed(heartbeat.node, &decided);
        self.answer(decided, |reply, _| reply.into())
    }

    fn note_committed<T>(
        &self,
        node: i32,
        decided: &Result<Decided<Result<T, MetaError>>, ProposeError>,
    ) {
        let Ok(Decided {
            value: Ok(_),
            offset,
        }) = decided
        else {
            return;
        };
        if let Some(sessions) = &mut *self.cluster.sessions.borrow_mut() {
            sessions.committed(&self.meta.image(), node, *offset);
        }
    }

    async fn change(&self, shard: &Rc<Shard>, command: &Command, validate_only: bool) -> Reply {
        let decided = shard
            .decide(self, validate_only, |controller, drives| {
                command.decide(controller, drives)
            })
            .await;
        match decided {
            Ok((answer, offset)) => Reply::Changed { answer, offset },
            Err(ControlError::NotCommitted(ProposeError::NotLeader(_))) => self.not_controller(),
            Err(error) => Reply::failed(&error),
        }
    }

    /// Changes sets of in-sync replicas, in the order in which their leader asked.
    async fn alter(&self, from: i32, sequence: u64, changes: &[AlterPartition]) -> Reply {
        let Some(epoch) = changes.first().map(|change| change.broker_epoch) else {
            return Reply::Isr(Vec::new());
        };
        let decided = self.meta.execute(|draft| {
            let mut seen = self.cluster.isr_seen.borrow_mut();
            if seen
                .get(&from)
                .is_some_and(|last| *last >= (epoch, sequence))
            {
                return Err(MetaError::InvalidRequest(
                    "a later change of in-sync replicas came before this one".to_owned(),
                ));
            }
            seen.insert(from, (epoch, sequence));
            let mut replies = Vec::with_capacity(changes.len());
            for change in changes {
                let altered = draft.controller().alter_partition(change);
                replies.push(match altered {
                    Ok((altered, records)) => {
                        draft.take(records)?;
                        match altered.leader_moved {
                            true => IsrReply::Refused(ResponseError::NewLeaderElected.code()),
                            false => IsrReply::Accepted(altered.state.partition_epoch),
                        }
                    }
                    Err(error) => IsrReply::Refused(error.code()),
                });
            }
            Ok(replies)
        });
        self.answer(decided.await, |replies, _| Reply::Isr(replies))
    }

    /// Acts as the controller for as long as this node is it, until the node stops.
    pub(crate) async fn control_for_ever(self: Rc<Self>, shard: Rc<Shard>) {
        let standstill = Standstill::from(rt::time::now());
        future::or(self.control(&shard, &standstill), standstill.beat()).await;
    }

    async fn control(&self, shard: &Shard, standstill: &Standstill) {
        let mut rebalanced = rt::time::now();
        while self.meta.closed().is_none() {
            // Sooner if something changed.
            let _: Result<(), _> = rt::time::timeout(LOOK, self.meta.turned()).await;
            let stood_still = standstill.take(rt::time::now());
            if !self.meta.leads() {
                self.cluster.sessions.take();
                continue;
            }
            self.see_members();
            if self.cluster.sessions.borrow().is_none() || stood_still {
                self.begin_sessions(shard).await;
            }
            self.fence_silent().await;
            self.take_in_members();
            if rebalanced.elapsed() > shard.settings().rebalance_interval {
                rebalanced = rt::time::now();
                self.rebalance(shard).await;
            }
        }
    }

    /// Gives every broker a session.
    async fn begin_sessions(&self, shard: &Shard) {
        let timeout_ms = shard.settings().session_timeout_ms;
        let now_ms = self.cluster.now_ms();
        let mut sessions = Sessions::new(timeout_ms);
        let nodes: Vec<i32> = {
            let image = self.meta.image();
            sessions.start(&image, self.meta.offset(), now_ms);
            image.brokers().keys().copied().collect()
        };
        let me = self.cluster.dialler.node;
        for node in nodes {
            let here = self.cluster.visitors.borrow().contains_key(&node);
            if node != me && !here {
                sessions.cut(node, now_ms, GRACE_MS);
            }
        }
        self.cluster.isr_seen.borrow_mut().clear();
        self.cluster.members.borrow_mut().clear();
        *self.cluster.sessions.borrow_mut() = Some(sessions);
        tracing::info!("this node is the controller");
        let id = Shard::fresh_cluster_id();
        let begun = self
            .meta
            .execute(|draft| draft.decide(|c| Ok(c.bootstrap(&id))));
        if let Err(error) = begun.await {
            tracing::warn!(%error, "a new cluster could not be begun");
        }
    }

    async fn fence_silent(&self) {
        let now_ms = self.cluster.now_ms();
        let silent = match &*self.cluster.sessions.borrow() {
            Some(sessions) => sessions.expired(&self.meta.image(), now_ms),
            None => return,
        };
        // A node alone has nobody who could take its place.
        let alone = self.meta.image().brokers().len() == 1;
        for node in silent.into_iter().filter(|_| !alone) {
            tracing::warn!(
                node,
                "a node isn't heard of any more; others lead in its place"
            );
            let fenced = self
                .meta
                .execute(|draft| draft.decide(|controller| controller.fence(node)));
            if let Err(error) = fenced.await {
                return tracing::warn!(node, %error, "it could not be fenced");
            }
        }
    }

    /// Brings the quorum's members without a vote in line with who is registered.
    fn take_in_members(&self) {
        let image = self.meta.image();
        let (missing, gone) = self.meta.with_quorum(|quorum| {
            let membership = quorum.membership();
            if membership.is_changing() || quorum.role() != Role::Leader {
                return (None, None);
            }
            let missing = image
                .brokers()
                .keys()
                .find(|node| !membership.contains(**node));
            let gone = membership
                .learners
                .iter()
                .find(|node| image.broker(**node).is_none());
            (missing.copied(), gone.copied())
        });
        let changed = match (missing, gone) {
            (Some(node), _) => self.meta.change_quorum(|quorum| quorum.add_learner(node)),
            (None, Some(node)) => self.meta.change_quorum(|quorum| quorum.remove(node)),
            (None, None) => return,
        };
        if let Err(error) = changed {
            tracing::debug!(%error, "the quorum's members can't be changed now");
        }
    }

    /// Gives partitions leaders where they have none and could, and back to their first replicas.
    async fn rebalance(&self, shard: &Shard) {
        let percentage = shard.settings().leader_imbalance;
        let decided = self.meta.execute(|draft| {
            draft.decide(|controller| Ok(controller.elect_leaderless(CHANGES_MAX)))?;
            if let Some(percentage) = percentage {
                draft.decide(|controller| {
                    Ok(controller.rebalance_leaders(percentage, CHANGES_MAX))
                })?;
            }
            Ok::<(), MetaError>(())
        });
        if let Err(error) = decided.await {
            tracing::warn!(%error, "leaders could not be given back to their first replicas");
        }
    }
}

fn too_early() -> MetaError {
    MetaError::NotController("this node has just become the controller; ask again".to_owned())
}
