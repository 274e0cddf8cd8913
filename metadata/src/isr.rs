//! A leader's changes of the set of in-sync replicas (AlterPartition). Pure, like `core`; checks and
//! codes are Kafka's, in Kafka's order.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::core::Controller;
use super::election::Target;
use super::error::MetaError;
use super::record::{BrokerRecord, PartitionState, Record};

/// The broker epoch that isn't compared with the one in the metadata.
pub const ANY_BROKER_EPOCH: i64 = -1;

/// What a leader asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPartition {
    /// The node that asks.
    pub node: i32,
    /// Its broker epoch.
    pub broker_epoch: i64,
    /// The topic.
    pub topic_id: Uuid,
    /// The partition.
    pub index: i32,
    /// The epoch in which it leads.
    pub leader_epoch: i32,
    /// The partition's epoch that the change is of.
    pub partition_epoch: i32,
    /// The replicas that are to be in sync, each with the broker epoch under which it was seen to
    /// be, or [`ANY_BROKER_EPOCH`].
    pub isr: Vec<(i32, i64)>,
}

/// What the partition is after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredPartition {
    /// The partition.
    pub state: PartitionState,
    /// Another node leads now, since the change completed a reassignment: Kafka tells the one that
    /// asked NEW_LEADER_ELECTED, though the change was made.
    pub leader_moved: bool,
}

impl Controller<'_> {
    /// Changes who is in sync with a leader, as the leader asks, and completes a reassignment that
    /// waited for it.
    ///
    /// # Errors
    /// [`MetaError::StaleBrokerEpoch`], [`MetaError::UnknownTopicId`],
    /// [`MetaError::UnknownPartition`], [`MetaError::NotController`] when the asker knows more than
    /// this controller, [`MetaError::FencedLeaderEpoch`], [`MetaError::InvalidUpdateVersion`] when
    /// the partition has changed meanwhile, [`MetaError::InvalidRequest`],
    /// [`MetaError::IneligibleReplica`].
    pub fn alter_partition(
        &self,
        command: &AlterPartition,
    ) -> Result<(AlteredPartition, Vec<Record>), MetaError> {
        self.check_broker_epoch(command.node, command.broker_epoch)?;
        let topic = self
            .image
            .topic_by_id(command.topic_id)
            .ok_or(MetaError::UnknownTopicId(command.topic_id))?;
        let unknown = || MetaError::UnknownPartition {
            topic: topic.name.to_string(),
            index: command.index,
        };
        let now = topic.partition(command.index).ok_or_else(unknown)?;
        let name = format!("partition {} of topic \"{}\"", command.index, topic.name);
        check_epochs(&name, command, now)?;
        check_isr(&name, command, now)?;
        self.check_eligible(&name, command, now)?;
        let mut target = Target::new(topic.id, command.index, now);
        target.isr = command.isr.iter().map(|&(node, _)| node).collect();
        let change = target.decide(
            |node, drive| self.image.is_online(node, drive),
            || self.unclean_rule().allows(&topic.name),
        );
        let state = change
            .as_ref()
            .map_or_else(|| now.clone(), |change| now.with(change));
        let leader_moved = state.leader != now.leader;
        let records = change.map(Record::PartitionChange).into_iter().collect();
        Ok((
            AlteredPartition {
                state,
                leader_moved,
            },
            records,
        ))
    }

    /// Checks that `node` is registered with this epoch.
    pub(crate) fn check_broker_epoch(
        &self,
        node: i32,
        epoch: i64,
    ) -> Result<&BrokerRecord, MetaError> {
        match self.image.broker(node) {
            Some(broker) if broker.epoch == epoch => Ok(broker),
            Some(broker) => Err(MetaError::StaleBrokerEpoch(format!(
                "broker {node} is registered with epoch {}, not {epoch}: it, or another process \
                 with its id, registered since",
                broker.epoch
            ))),
            None => Err(MetaError::StaleBrokerEpoch(format!(
                "broker {node} is not registered: it was taken out of the cluster"
            ))),
        }
    }

    fn check_eligible(
        &self,
        name: &str,
        command: &AlterPartition,
        now: &PartitionState,
    ) -> Result<(), MetaError> {
        for &(node, epoch) in &command.isr {
            let drive = now.directory_on(node).unwrap_or_default();
            let why = match self.image.broker(node) {
                None => "isn't registered".to_owned(),
                Some(broker) if broker.in_controlled_shutdown => "is stopping".to_owned(),
                Some(broker) if broker.fenced => "is fenced".to_owned(),
                Some(broker) if epoch != ANY_BROKER_EPOCH && epoch != broker.epoch => {
                    format!("has started again, with epoch {}", broker.epoch)
                }
                Some(broker) if !broker.has_online(drive) => {
                    format!("has its replica on drive {drive}, which is offline")
                }
                Some(_) => continue,
            };
            return Err(MetaError::IneligibleReplica(format!(
                "node {node} can't be in sync for {name}: it {why}"
            )));
        }
        Ok(())
    }
}

fn check_epochs(
    name: &str,
    command: &AlterPartition,
    now: &PartitionState,
) -> Result<(), MetaError> {
    if command.leader_epoch > now.leader_epoch || command.partition_epoch > now.partition_epoch {
        return Err(MetaError::NotController(format!(
            "{name} has leader epoch {} and partition epoch {} here, node {} knows {} and {}: \
             there is a newer controller",
            now.leader_epoch,
            now.partition_epoch,
            command.node,
            command.leader_epoch,
            command.partition_epoch
        )));
    }
    if command.leader_epoch < now.leader_epoch {
        return Err(MetaError::FencedLeaderEpoch(format!(
            "{name} has leader epoch {}, not {}",
            now.leader_epoch, command.leader_epoch
        )));
    }
    if command.node != now.leader {
        return Err(MetaError::InvalidRequest(format!(
            "{name} is led by node {}, not {}",
            now.leader, command.node
        )));
    }
    if command.partition_epoch < now.partition_epoch {
        return Err(MetaError::InvalidUpdateVersion(format!(
            "{name} has partition epoch {}, not {}",
            now.partition_epoch, command.partition_epoch
        )));
    }
    Ok(())
}

fn check_isr(name: &str, command: &AlterPartition, now: &PartitionState) -> Result<(), MetaError> {
    let members: Vec<i32> = command.isr.iter().map(|&(node, _)| node).collect();
    let refuse = |what: String| {
        Err(MetaError::InvalidRequest(format!(
            "{name} can't have {members:?} in sync: {what}"
        )))
    };
    if let Some(other) = members.iter().find(|node| !now.replicas.contains(node)) {
        return refuse(format!("{other} isn't one of its replicas"));
    }
    if let Some(at) = (1..members.len()).find(|&at| members[..at].contains(&members[at])) {
        return refuse(format!("{} is named twice", members[at]));
    }
    if !members.contains(&now.leader) {
        return refuse(format!("its leader {} isn't among them", now.leader));
    }
    Ok(())
}
