//! Moving partitions to other replicas (AlterPartitionReassignments). Pure, like `core`.
//!
//! A reassignment adds the new replicas to the old ones; when all that are to stay are in sync, the
//! others go (see `election`). Until then it can be changed or cancelled.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::core::Controller;
use super::election::Target;
use super::error::MetaError;
use super::image::Image;
use super::placement::{PlacementDrive, Placer, check_nodes};
use super::record::{PartitionState, Record};

/// Asks for other replicas of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub index: i32,
    /// The nodes it is to be on, the preferred leader first; `None` cancels what is in progress.
    pub replicas: Option<Vec<i32>>,
    /// Whether there may be more or fewer of them than before.
    pub allow_factor_change: bool,
}

/// A partition that is being reassigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingReassignment {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub index: i32,
    /// All replicas, the old and the new.
    pub replicas: Vec<i32>,
    /// The new ones.
    pub adding: Vec<i32>,
    /// Those that will go.
    pub removing: Vec<i32>,
}

/// The partitions that are being reassigned, by topic: all of them, or those of `wanted` that are.
pub fn reassignments(
    image: &Image,
    wanted: Option<&[(String, Vec<i32>)]>,
) -> Vec<OngoingReassignment> {
    let ongoing = |topic: &str, index: i32, state: &PartitionState| {
        state.is_reassigning().then(|| OngoingReassignment {
            topic: topic.to_owned(),
            index,
            replicas: state.replicas.clone(),
            adding: state.adding.clone(),
            removing: state.removing.clone(),
        })
    };
    let mut found = Vec::new();
    match wanted {
        None => {
            for topic in image.topics() {
                let partitions = (0..).zip(&topic.partitions);
                found.extend(partitions.filter_map(|(at, state)| ongoing(&topic.name, at, state)));
            }
        }
        Some(wanted) => {
            for (name, indexes) in wanted {
                let Some(topic) = image.topic(name) else {
                    continue;
                };
                let partitions = indexes
                    .iter()
                    .filter_map(|&at| topic.partition(at).map(|state| (at, state)));
                found.extend(partitions.filter_map(|(at, state)| ongoing(name, at, state)));
            }
        }
    }
    found
}

impl Controller<'_> {
    /// Begins, changes or cancels the reassignment of a partition; new replicas go to `drives`.
    /// One that has nothing to wait for is complete at once.
    ///
    /// # Errors
    /// [`MetaError::InvalidReplicaAssignment`], [`MetaError::InvalidReplicationFactor`],
    /// [`MetaError::NoReassignment`], and those of a partition that isn't there.
    pub fn reassign(
        &self,
        command: &Reassignment,
        drives: &[PlacementDrive],
    ) -> Result<Vec<Record>, MetaError> {
        let (topic, state) = self.known_partition(&command.topic, command.index)?;
        let mut target = Target::new(topic.id, command.index, state);
        match &command.replicas {
            Some(replicas) => self.begin(command, replicas, state, &mut target, drives)?,
            None => self.cancel(command, state, &mut target)?,
        }
        let change = target.decide(|node, drive| self.image.is_online(node, drive), || false);
        Ok(change.map(Record::PartitionChange).into_iter().collect())
    }

    fn begin(
        &self,
        command: &Reassignment,
        replicas: &[i32],
        state: &PartitionState,
        target: &mut Target<'_>,
        drives: &[PlacementDrive],
    ) -> Result<(), MetaError> {
        let bad = |what: String| {
            MetaError::InvalidReplicaAssignment(format!(
                "the assignment of partition {} of topic \"{}\" {what}",
                command.index, command.topic
            ))
        };
        check_nodes(replicas).map_err(bad)?;
        if let Some(unknown) = replicas.iter().find(|&&n| self.image.broker(n).is_none()) {
            return Err(bad(format!("names node {unknown}, which isn't registered")));
        }
        check_factor(command, replicas, state)?;
        let original = |node: &i32| state.replicas.contains(node) && !state.adding.contains(node);
        let kept = |node: i32| self.kept_drive(state, node);
        let new = replicas.iter().copied().filter(|&n| kept(n).is_none());
        let new: Vec<i32> = new.collect();
        let unfit = |node| bad(format!("names node {node}, which has no drive for it"));
        let places = Placer::new(self.image, drives)
            .place_on(&new)
            .map_err(unfit)?;
        let drive_of = |node: i32| {
            let placed = places.iter().find(|place| place.node == node);
            let known = kept(node).or(placed.map(|place| place.drive));
            known.or(state.directory_on(node)).unwrap_or_default()
        };
        let leaving = |node: &&i32| !replicas.contains(node);
        target.removing = state.replicas.iter().filter(leaving).copied().collect();
        target.adding = replicas.iter().copied().filter(|n| !original(n)).collect();
        let all = replicas.iter().chain(&target.removing);
        target.places = all.map(|&node| (node, drive_of(node))).collect();
        Ok(())
    }

    /// The drive that the replica of `node` stays on. A replica that isn't in sync and whose drive
    /// the node no longer has gets another: that is how it is repaired after a drive was replaced.
    fn kept_drive(&self, state: &PartitionState, node: i32) -> Option<Uuid> {
        let drive = state.directory_on(node)?;
        let broker = self.image.broker(node);
        let has = broker.is_some_and(|b| b.drives.iter().any(|info| info.id == drive));
        (has || state.isr.contains(&node)).then_some(drive)
    }

    fn cancel(
        &self,
        command: &Reassignment,
        state: &PartitionState,
        target: &mut Target<'_>,
    ) -> Result<(), MetaError> {
        let (topic, index) = (command.topic.clone(), command.index);
        if !state.is_reassigning() {
            return Err(MetaError::NoReassignment { topic, index });
        }
        let stays = |node: &i32| !state.adding.contains(node);
        target.adding.clear();
        target.removing.clear();
        target.places.retain(|(node, _)| stays(node));
        target.isr.retain(stays);
        let first: Option<&(i32, Uuid)> = target.places.first();
        if let (true, Some(&(node, _))) = (target.isr.is_empty(), first) {
            if !self.unclean_rule().allows(&command.topic) {
                return Err(MetaError::InvalidReplicaAssignment(format!(
                    "only new replicas of partition {index} of topic \"{topic}\" are in sync: to \
                     cancel its reassignment would lose what the others don't have"
                )));
            }
            target.isr.push(node);
        }
        Ok(())
    }
}

/// Checks that there are as many replicas as there would be after the reassignment in progress.
fn check_factor(
    command: &Reassignment,
    replicas: &[i32],
    state: &PartitionState,
) -> Result<(), MetaError> {
    let staying = state
        .replicas
        .iter()
        .filter(|n| !state.removing.contains(n));
    let factor = staying.count();
    if command.allow_factor_change || replicas.len() == factor {
        return Ok(());
    }
    Err(MetaError::InvalidReplicationFactor(format!(
        "partition {} of topic \"{}\" has {factor} replicas, not {}, and the request doesn't allow \
         to change that",
        command.index,
        command.topic,
        replicas.len()
    )))
}
