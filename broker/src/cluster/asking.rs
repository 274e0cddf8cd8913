//! Asking the controller, wherever it is.
//!
//! What was surely not carried out is asked again until the time is up; what may have been is not, and
//! whoever asked is told so.

use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use metadata::AlterPartition;
use replica::{IsrAnswer, IsrChange};

use super::links::CallError;
use super::wire::{Call, IsrReply, Reply};
use super::{Answer, Command, QuorumState};
use crate::partition::PartitionId;
use crate::shard::control::{Control, ControlError};
use crate::shard::{CONTROL_SHARD, Shard};

/// How long a client's command may take to find the controller and be committed.
const COMMAND_LIMIT: Duration = Duration::from_secs(15);
/// The same for what is asked again anyway.
const ASK_LIMIT: Duration = Duration::from_secs(3);
/// How long to wait before asking again where nobody was the controller.
const AGAIN: Duration = Duration::from_millis(25);

/// Why there is no answer of the controller's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AskError {
    /// No controller was found in time.
    #[error("no controller was found in time ({0}); is a majority of the quorum's nodes up?")]
    NoController(String),
    /// It may have been carried out.
    #[error("{0}; whether the change was made isn't known")]
    Unknown(String),
}

impl Control {
    /// Asks the controller, here or on another node.
    pub(super) async fn ask(
        &self,
        shard: &Rc<Shard>,
        call: Call,
        limit: Duration,
    ) -> Result<Reply, AskError> {
        let deadline = rt::time::now() + limit;
        let mut why = "none was asked".to_owned();
        let mut turn = 0;
        let mut hint = None;
        loop {
            let left = deadline.saturating_duration_since(rt::time::now());
            if left.is_zero() {
                return Err(AskError::NoController(why));
            }
            let turned = self.meta.turned();
            if self.meta.leads() {
                let reply = self.serve(shard, shard.node_id(), call.clone()).await;
                match reply {
                    Reply::NotController { .. } => {}
                    reply if is_too_early(&reply) => {}
                    reply => return Ok(reply),
                }
                rt::time::sleep(AGAIN).await;
                continue;
            }
            let Some(node) = self.candidate(shard, hint.take(), &mut turn) else {
                // The quorum has no leader yet.
                let _ = rt::time::timeout(left.min(AGAIN * 4), turned).await;
                continue;
            };
            let patience = left.min(ASK_LIMIT);
            match self.cluster.links.call(node, call.clone(), patience).await {
                Ok(Reply::NotController { leader }) => {
                    hint = leader.filter(|leader| *leader != node);
                    why = format!("node {node} isn't it");
                }
                Ok(reply) if is_too_early(&reply) => {}
                Ok(reply) => return Ok(reply),
                Err(error @ (CallError::Unreachable { .. } | CallError::Refused { .. })) => {
                    why = error.to_string();
                }
                Err(error @ (CallError::Lost { .. } | CallError::TimedOut { .. })) => {
                    return Err(AskError::Unknown(error.to_string()));
                }
            }
            if hint.is_none() {
                rt::time::sleep(AGAIN).await;
            }
        }
    }

    /// Whom to ask: who is said to be the controller, or where nobody knows, one node after the other.
    fn candidate(&self, shard: &Shard, hint: Option<i32>, turn: &mut usize) -> Option<i32> {
        let me = shard.node_id();
        let leader = self.meta.with_quorum(quorum::Quorum::leader);
        if let Some(node) = hint.or(leader).filter(|node| *node != me) {
            return Some(node);
        }
        let is_voter = self
            .meta
            .with_quorum(|quorum| quorum.membership().voters.contains(&me));
        if is_voter {
            return None;
        }
        let nodes = self.cluster.links.nodes();
        *turn += 1;
        nodes.get(*turn % nodes.len().max(1)).copied()
    }

    async fn alter_isr(
        &self,
        shard: &Rc<Shard>,
        changes: Vec<(PartitionId, IsrChange)>,
    ) -> Vec<IsrAnswer> {
        let count = changes.len();
        let unknown = || vec![IsrAnswer::Unknown; count];
        let sequence = self.cluster.isr_sequence.get() + 1;
        self.cluster.isr_sequence.set(sequence);
        let (node, broker_epoch) = (shard.node_id(), self.cluster.standing().epoch);
        let change = |(partition, change): (PartitionId, IsrChange)| AlterPartition {
            node,
            broker_epoch,
            topic_id: partition.topic_id,
            index: partition.index,
            leader_epoch: change.leader_epoch,
            partition_epoch: change.partition_epoch,
            isr: change
                .isr
                .iter()
                .map(|one| (one.node, one.broker_epoch))
                .collect(),
        };
        let call = Call::AlterIsr {
            sequence,
            changes: changes.into_iter().map(change).collect(),
        };
        match self.ask(shard, call, ASK_LIMIT).await {
            Ok(Reply::Isr(replies)) if replies.len() == count => {
                replies.into_iter().map(isr_answer).collect()
            }
            Ok(other) => {
                tracing::debug!(?other, "a change of in-sync replicas was not made");
                unknown()
            }
            Err(error) => {
                tracing::debug!(%error, "a change of in-sync replicas got no answer");
                unknown()
            }
        }
    }
}

/// Whether nothing was done because the controller is too young.
fn is_too_early(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused { code, .. } if *code == ResponseError::NotController.code())
}

fn isr_answer(reply: IsrReply) -> IsrAnswer {
    let code = match reply {
        IsrReply::Accepted(partition_epoch) => return IsrAnswer::Accepted { partition_epoch },
        IsrReply::Refused(code) => ResponseError::try_from_code(code),
    };
    match code {
        Some(ResponseError::IneligibleReplica | ResponseError::OperationNotAttempted) => {
            IsrAnswer::Ineligible
        }
        Some(ResponseError::FencedLeaderEpoch) => IsrAnswer::Fenced,
        Some(ResponseError::InvalidUpdateVersion) => IsrAnswer::InvalidVersion,
        Some(ResponseError::NotController) | None => IsrAnswer::Unknown,
        Some(_) => IsrAnswer::NotLeader,
    }
}

impl Shard {
    /// Has the controller carry out `command`, or only say whether it would; when this returns well,
    /// every shard of this node has applied the change.
    ///
    /// # Errors
    /// [`ControlError`]. Nothing changed then, unless it is [`ControlError::NotAsked`] with
    /// [`AskError::Unknown`].
    pub async fn command(
        self: &Rc<Self>,
        command: Command,
        validate_only: bool,
    ) -> Result<Answer, ControlError> {
        let call = Call::Command {
            command,
            validate_only,
        };
        match self.ask_in_force(call).await? {
            Reply::Changed { answer, .. } => Ok(answer),
            other => Err(unexpected(other)),
        }
    }

    /// Asks the controller, and waits until what that changed is in force on every shard of this node.
    pub(super) async fn ask_in_force(self: &Rc<Self>, call: Call) -> Result<Reply, ControlError> {
        self.run_on(CONTROL_SHARD, move |shard| {
            let shard = Rc::clone(shard);
            async move {
                let control = shard.control_here().ok_or(ControlError::Starting)?;
                let reply = control.ask(&shard, call, COMMAND_LIMIT).await?;
                if let Reply::Changed { offset, .. } | Reply::Stepped { offset, .. } = reply {
                    control.in_force(offset).await;
                }
                Ok(reply)
            }
        })
        .await
    }

    /// Asks the controller for other sets of in-sync replicas; gives what it said to each, in order. Of one
    /// partition only one change may be under way, and calls must be in the order of the changes.
    pub async fn alter_isr(
        self: &Rc<Self>,
        changes: Vec<(PartitionId, IsrChange)>,
    ) -> Vec<IsrAnswer> {
        self.run_on(CONTROL_SHARD, move |shard| {
            let shard = Rc::clone(shard);
            async move {
                match shard.control_here() {
                    Some(control) => control.alter_isr(&shard, changes).await,
                    None => vec![IsrAnswer::Unknown; changes.len()],
                }
            }
        })
        .await
    }

    /// Tells the controller that this node can't lead a partition in this epoch any more. It may get lost.
    pub async fn resign(self: &Rc<Self>, partition: PartitionId, leader_epoch: i32) {
        self.run_on(CONTROL_SHARD, move |shard| {
            let shard = Rc::clone(shard);
            async move {
                let Some(control) = shard.control_here() else {
                    return;
                };
                let call = Call::Resign {
                    broker: (shard.node_id(), control.cluster.standing().epoch),
                    topic_id: partition.topic_id,
                    index: partition.index,
                    leader_epoch,
                };
                if let Err(error) = control.ask(&shard, call, ASK_LIMIT).await {
                    tracing::warn!(%error, "a leadership that has to end could not be given up");
                }
            }
        })
        .await;
    }

    /// How the metadata's quorum is, as its leader sees it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn describe_quorum(self: &Rc<Self>) -> Result<QuorumState, ControlError> {
        match self.ask_in_force(Call::DescribeQuorum).await? {
            Reply::Quorum(state) => Ok(state),
            other => Err(unexpected(other)),
        }
    }

    /// Makes a node a voter of the metadata's quorum, or one of its voters none.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn change_voter(self: &Rc<Self>, node: i32, add: bool) -> Result<(), ControlError> {
        let call = match add {
            true => Call::AddVoter(node),
            false => Call::RemoveVoter(node),
        };
        match self.ask_in_force(call).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }
}

pub(super) fn unexpected(reply: Reply) -> ControlError {
    match reply {
        Reply::Refused { code, message } => ControlError::ByController { code, message },
        other => ControlError::ByController {
            code: ResponseError::UnknownServerError.code(),
            message: format!("the controller answered what wasn't asked: {other:?}"),
        },
    }
}
