//! What the controller is asked to change: commands, and how each is decided.
//!
//! A command is the same whether it is decided on this node or carried to the node that is the
//! controller. It must hold all that the decision needs beside the metadata: ids are drawn by whoever
//! asks.

use metadata::{
    AdoptTopic, ConfigChange, Controller, CreatePartitions, CreateTopic, MetaError, PlacementDrive,
    ProducerIds, Record, Resource, TopicRef,
};
use serde::{Deserialize, Serialize};

/// A change of the metadata that somebody asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Creates a topic.
    CreateTopic(CreateTopic),
    /// Deletes a topic with all its records.
    DeleteTopic(TopicRef),
    /// Gives a topic more partitions.
    CreatePartitions(CreatePartitions),
    /// Changes some settings of a resource.
    AlterConfigs(Resource, Vec<ConfigChange>),
    /// Gives a resource exactly these settings.
    ReplaceConfigs(Resource, Vec<(String, Option<String>)>),
    /// Gives a node a block of producer ids, all of them from a number on.
    AllocateProducerIds {
        /// The node.
        node: i32,
        /// No id below it.
        free: i64,
    },
    /// Takes in a topic that was found on a node's drives.
    AdoptTopic(AdoptTopic),
    /// Takes a broker out of the cluster.
    UnregisterBroker(i32),
}

/// What a command gives beside its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing.
    Done,
    /// Producer ids.
    ProducerIds(ProducerIds),
}

impl Command {
    /// The records of the change.
    ///
    /// # Errors
    /// The controller's, of each kind of command.
    pub(crate) fn decide(
        &self,
        controller: &Controller<'_>,
        drives: &[PlacementDrive],
    ) -> Result<(Vec<Record>, Answer), MetaError> {
        let records = match self {
            Self::CreateTopic(command) => controller.create_topic(command, drives),
            Self::DeleteTopic(topic) => controller.delete_topic(topic),
            Self::CreatePartitions(command) => controller.create_partitions(command, drives),
            Self::AlterConfigs(resource, changes) => controller.alter_configs(resource, changes),
            Self::ReplaceConfigs(resource, settings) => {
                controller.replace_configs(resource, settings)
            }
            Self::AllocateProducerIds { node, free } => {
                let (ids, records) = controller.allocate_producer_ids(*node, *free)?;
                return Ok((records, Answer::ProducerIds(ids)));
            }
            Self::AdoptTopic(command) => controller.adopt_topic(command, drives),
            Self::UnregisterBroker(node) => controller.unregister_broker(*node),
        };
        Ok((records?, Answer::Done))
    }
}
