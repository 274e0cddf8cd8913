//! Tests of the metadata.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster_model;
mod cluster_rules;
mod configs;
mod controller;
mod election;
mod fencing;
mod image;
mod image_brokers;
mod isr;
mod model;
mod placement;
mod reassignment;
mod records;
mod registration;
mod sessions;

use uuid::Uuid;

use super::testing::*;
use super::*;

/// A controller over `image`.
fn over(image: &Image) -> Controller<'_> {
    Controller::new(image, &Rules, POLICY)
}

/// Decides and applies; gives the records.
fn run(
    image: &mut Image,
    command: impl FnOnce(Controller<'_>) -> Result<Vec<Record>, MetaError>,
) -> Vec<Record> {
    let records = command(over(image)).unwrap();
    apply(image, &records);
    records
}

/// The leader, those in sync, the leader epoch and the partition epoch.
type Seen = (i32, Vec<i32>, i32, i32);

fn seen(image: &Image, topic: &str, index: i32) -> Seen {
    let state = state_of(image, topic, index);
    let (leader_epoch, partition_epoch) = (state.leader_epoch, state.partition_epoch);
    (
        state.leader,
        state.isr.clone(),
        leader_epoch,
        partition_epoch,
    )
}

fn state_of<'a>(image: &'a Image, topic: &str, index: i32) -> &'a PartitionState {
    image.topic(topic).unwrap().partition(index).unwrap()
}

/// Changes a partition as a log says it was.
fn set(
    image: &mut Image,
    topic: &str,
    index: i32,
    change: impl FnOnce(PartitionChangeRecord) -> PartitionChangeRecord,
) {
    let id = image.topic(topic).unwrap().id;
    let epoch = state_of(image, topic, index).partition_epoch + 1;
    let record = change(PartitionChangeRecord::of(id, index, epoch));
    apply(image, &[Record::PartitionChange(record)]);
}

/// Sets `unclean.leader.election.enable` of a topic, or of all.
fn set_unclean(image: &mut Image, topic: Option<&str>, value: &str) {
    let record = ConfigRecord {
        resource: topic.map_or_else(Resource::all_brokers, Resource::topic),
        key: "unclean.leader.election.enable".to_owned(),
        value: Some(value.to_owned()),
    };
    apply(image, &[Record::Config(record)]);
}
