//! Changes that are asked for many at a time, each of which is made or refused by itself.

use std::rc::Rc;

use metadata::{Controller, ElectionType, MetaError, PlacementDrive, Reassignment, Record};
use serde::{Deserialize, Serialize};

use super::wire::{Call, Reply};
use crate::shard::Shard;
use crate::shard::control::{Control, ControlError};

/// One of several changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Elects a leader.
    ElectLeader {
        /// The topic.
        topic: String,
        /// The partition.
        index: i32,
        /// Which leader.
        kind: ElectionType,
    },
    /// Begins, changes or cancels the reassignment of a partition.
    Reassign(Reassignment),
}

/// What came of a step: nothing, if it was taken, or Kafka's error code and a text.
pub type Outcome = Option<(i16, String)>;

impl Step {
    fn decide(
        &self,
        controller: &Controller<'_>,
        drives: &[PlacementDrive],
    ) -> Result<Vec<Record>, MetaError> {
        match self {
            Self::ElectLeader { topic, index, kind } => {
                controller.elect_leader(topic, *index, *kind)
            }
            Self::Reassign(reassignment) => controller.reassign(reassignment, drives),
        }
    }
}

impl Control {
    /// Takes one step after the other, each on what those before it made.
    pub(super) async fn take_steps(&self, shard: &Shard, steps: &[Step]) -> Reply {
        let decided = self.meta.execute(|draft| {
            let mut outcomes = Vec::with_capacity(steps.len());
            for step in steps {
                let drives = shard.placeable(draft.controller().image());
                let records = step.decide(&draft.controller(), &drives);
                outcomes.push(match records {
                    Ok(records) => {
                        draft.take(records)?;
                        None
                    }
                    Err(error) => Some((error.code(), error.to_string())),
                });
            }
            Ok::<_, MetaError>(outcomes)
        });
        self.answer(decided.await, |outcomes, offset| Reply::Stepped {
            outcomes,
            offset,
        })
    }
}

impl Shard {
    /// Has the controller take `steps`, in order; gives what came of each. When this returns, every
    /// shard of this node has applied what changed.
    ///
    /// # Errors
    /// [`ControlError`], if it isn't known what came of them, or nothing did.
    pub async fn steps(self: &Rc<Self>, steps: Vec<Step>) -> Result<Vec<Outcome>, ControlError> {
        match self.ask_in_force(Call::Steps(steps)).await? {
            Reply::Stepped { outcomes, .. } => Ok(outcomes),
            other => Err(super::asking::unexpected(other)),
        }
    }
}
