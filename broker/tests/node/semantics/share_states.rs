//! What nodes ask each other about the states of share-partitions, for the walk of `versions`; and the requests.

use kafka_protocol::messages::delete_share_group_state_request as delete;
use kafka_protocol::messages::initialize_share_group_state_request as initialize;
use kafka_protocol::messages::read_share_group_state_request as read;
use kafka_protocol::messages::read_share_group_state_summary_request as summary;
use kafka_protocol::messages::write_share_group_state_request as write;
use kafka_protocol::messages::*;
use uuid::Uuid;

use super::groups::coordinated;
use super::share_groups::assigned;
use super::versions::Exercise;

/// An InitializeShareGroupState request of partition 0.
pub fn initialize_request(group: &GroupId, topic: Uuid) -> InitializeShareGroupStateRequest {
    let partition = initialize::PartitionData::default()
        .with_state_epoch(1000)
        .with_start_offset(3);
    let topic = initialize::InitializeStateData::default()
        .with_topic_id(topic)
        .with_partitions(vec![partition]);
    InitializeShareGroupStateRequest::default()
        .with_group_id(group.0.clone())
        .with_topics(vec![topic])
}

/// A ReadShareGroupState request of partition 0.
pub fn read_request(group: &GroupId, topic: Uuid) -> ReadShareGroupStateRequest {
    let topic = read::ReadStateData::default()
        .with_topic_id(topic)
        .with_partitions(vec![read::PartitionData::default().with_leader_epoch(5)]);
    ReadShareGroupStateRequest::default()
        .with_group_id(group.0.clone())
        .with_topics(vec![topic])
}

/// A WriteShareGroupState request of partition 0.
pub fn write_request(group: &GroupId, topic: Uuid) -> WriteShareGroupStateRequest {
    let batch = write::StateBatch::default()
        .with_first_offset(6)
        .with_last_offset(8)
        .with_delivery_state(0)
        .with_delivery_count(2);
    let partition = write::PartitionData::default()
        .with_state_epoch(1000)
        .with_leader_epoch(5)
        .with_start_offset(6)
        .with_state_batches(vec![batch]);
    let topic = write::WriteStateData::default()
        .with_topic_id(topic)
        .with_partitions(vec![partition]);
    WriteShareGroupStateRequest::default()
        .with_group_id(group.0.clone())
        .with_topics(vec![topic])
}

/// A ReadShareGroupStateSummary request of partition 0.
pub fn summary_request(group: &GroupId, topic: Uuid) -> ReadShareGroupStateSummaryRequest {
    let topic = summary::ReadStateSummaryData::default()
        .with_topic_id(topic)
        .with_partitions(vec![summary::PartitionData::default().with_leader_epoch(5)]);
    ReadShareGroupStateSummaryRequest::default()
        .with_group_id(group.0.clone())
        .with_topics(vec![topic])
}

/// A DeleteShareGroupState request of partition 0.
pub fn delete_state_request(group: &GroupId, topic: Uuid) -> DeleteShareGroupStateRequest {
    let topic = delete::DeleteStateData::default()
        .with_topic_id(topic)
        .with_partitions(vec![delete::PartitionData::default()]);
    DeleteShareGroupStateRequest::default()
        .with_group_id(group.0.clone())
        .with_topics(vec![topic])
}

impl Exercise<'_> {
    /// All of them one after the other, whichever is asked for: each finds what the one before has done.
    pub(super) fn share_states(&mut self, version: i16) {
        let group = coordinated(self.connection, "share-state");
        assigned(self.connection, &group, "m", &self.topic.name, 2);
        let (connection, topic) = (&mut *self.connection, self.topic.id);
        let begun = connection.call(version, &initialize_request(&group, topic));
        assert_eq!(begun.results[0].partitions[0].error_code, 0);
        let read = connection.call(version, &read_request(&group, topic));
        let row = &read.results[0].partitions[0];
        assert_eq!(
            (row.error_code, row.state_epoch, row.start_offset),
            (0, 1000, 3)
        );
        let written = connection.call(version, &write_request(&group, topic));
        assert_eq!(written.results[0].partitions[0].error_code, 0);
        let read = connection.call(version, &read_request(&group, topic));
        let batch = &read.results[0].partitions[0].state_batches[0];
        let offsets = (batch.first_offset, batch.last_offset);
        assert_eq!((offsets, batch.delivery_count), ((6, 8), 2));
        let told = connection.call(version, &summary_request(&group, topic));
        let row = &told.results[0].partitions[0];
        assert_eq!(
            (row.error_code, row.start_offset, row.leader_epoch),
            (0, 6, 5)
        );
        let deleted = connection.call(version, &delete_state_request(&group, topic));
        assert_eq!(deleted.results[0].partitions[0].error_code, 0);
        let told = connection.call(version, &summary_request(&group, topic));
        assert_eq!(told.results[0].partitions[0].start_offset, -1);
    }
}
