//! Every advertised version of every API, at least once.
//!
//! The table of what is advertised is walked, so that an API added there without an exercise here
//! fails. Each exercise looks for a sensible answer; what an API means is tested elsewhere.

use std::ops::RangeInclusive;

use batch::Compression;
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource as ReplacedResource;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::*;
use net::registry::ADVERTISED;

use super::node::{against_another, shared, unique};
use super::records::{
    BY_NAME, Topic, compressed, create, fetch_in, new_topic, produce_in, rows, topic_name,
};
use super::wire::{Connection, text};

/// What an exercise has: a connection and a topic of two partitions with ten records in the first.
pub(super) struct Exercise<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) topic: &'a Topic,
}

/// What clients of Kafka 4.1 find, key by key; the least version is that which is told.
const KAFKA: [(i16, RangeInclusive<i16>); 58] = [
    (0, 0..=13),
    (1, 4..=18),
    (2, 1..=10),
    (3, 0..=13),
    (8, 2..=9),
    (9, 1..=9),
    (10, 0..=6),
    (11, 0..=9),
    (12, 0..=4),
    (13, 0..=5),
    (14, 0..=5),
    (15, 0..=6),
    (16, 0..=5),
    (18, 0..=4),
    (19, 2..=7),
    (20, 1..=6),
    (21, 0..=2),
    (22, 0..=5),
    (23, 2..=4),
    (24, 0..=5),
    (25, 0..=4),
    (26, 0..=5),
    (27, 1..=1),
    (28, 0..=5),
    (32, 1..=4),
    (33, 0..=2),
    (35, 1..=4),
    (37, 0..=3),
    (42, 0..=2),
    (43, 0..=2),
    (44, 0..=1),
    (45, 0..=1),
    (46, 0..=0),
    (47, 0..=0),
    (55, 0..=2),
    (60, 0..=2),
    (61, 0..=0),
    (64, 0..=0),
    (65, 0..=0),
    (66, 0..=2),
    (68, 0..=1),
    (69, 0..=1),
    (74, 0..=1),
    (75, 0..=0),
    (76, 1..=1),
    (77, 1..=1),
    (78, 1..=1),
    (79, 1..=1),
    (80, 0..=0),
    (81, 0..=0),
    (83, 0..=0),
    (84, 0..=0),
    (85, 0..=0),
    (86, 0..=0),
    (87, 0..=0),
    (90, 0..=0),
    (91, 0..=0),
    (92, 0..=0),
];

// Section 1.1: least versions as Kafka's, Produce told from 0, nothing that is not there.
#[test]
fn what_is_told_are_kafkas_ranges() {
    let node = shared();
    let mut connection = node.connect();
    for version in 0..=4 {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("semantics"))
            .with_client_software_version(text("1"));
        let answer = connection.call(version, &request);
        assert_eq!(answer.error_code, 0);
        let range = |key: i16| {
            let found = answer.api_keys.iter().find(|api| api.api_key == key);
            found.map(|api| api.min_version..=api.max_version)
        };
        for (key, expected) in KAFKA {
            assert_eq!(range(key), Some(expected), "API {key} in version {version}");
        }
        if !against_another() {
            assert_eq!(answer.api_keys.len(), KAFKA.len(), "version {version}");
            let finalized = answer.finalized_features.iter();
            let finalized: Vec<_> = finalized
                .map(|one| (one.name.as_str(), one.max_version_level))
                .collect();
            let expected: &[_] = match version {
                ..3 => &[],
                _ => &[
                    ("group.version", 1),
                    ("share.version", 1),
                    ("transaction.version", 2),
                ],
            };
            assert_eq!(finalized, expected, "version {version}");
        }
        assert!(!answer.zk_migration_ready);
    }
}

// Section 1: all of it.
#[test]
fn every_advertised_version_is_answered() {
    let node = shared();
    let mut connection = node.connect();
    for api in ADVERTISED {
        for version in api.served_min..=api.max {
            let topic = create(&mut connection, "exercise", 2, &[]);
            let set = compressed(Compression::Lz4, 10);
            assert_eq!(
                produce_in(&mut connection, BY_NAME, &topic, 0, &set).error_code,
                0
            );
            let mut exercise = Exercise {
                connection: &mut connection,
                topic: &topic,
            };
            exercise.run(api.key, version);
        }
    }
}

impl Exercise<'_> {
    fn run(&mut self, key: i16, version: i16) {
        match key {
            0 => self.produce(version),
            1 => self.fetch(version),
            2 => self.list_offsets(version),
            3 => self.metadata(version),
            8 => self.offset_commit(version),
            9 => self.offset_fetch(version),
            10 => self.find_coordinator(version),
            11 => self.join_group(version),
            12 => self.heartbeat(version),
            13 => self.leave_group(version),
            14 => self.sync_group(version),
            15 => self.describe_groups(version),
            16 => self.list_groups(version),
            18 => self.api_versions(version),
            19 => self.create_topics(version),
            20 => self.delete_topics(version),
            21 => self.delete_records(version),
            22 => self.init_producer_id(version),
            23 => self.offset_for_leader_epoch(version),
            24 => self.add_partitions_to_txn(version),
            25 => self.add_offsets_to_txn(version),
            26 => self.end_txn(version),
            27 => self.write_txn_markers(version),
            28 => self.txn_offset_commit(version),
            32 => self.describe_configs(version),
            33 => self.alter_configs(version),
            35 => self.describe_log_dirs(version),
            37 => self.create_partitions(version),
            42 => self.delete_groups(version),
            43 => self.elect_leaders(version),
            44 => self.incremental_alter_configs(version),
            45 => self.alter_partition_reassignments(version),
            46 => self.list_partition_reassignments(version),
            47 => self.offset_delete(version),
            55 => self.describe_quorum(version),
            60 => self.describe_cluster(version),
            64 => self.unregister_broker(version),
            68 => self.consumer_heartbeat(version),
            61 => self.describe_producers(version),
            65 => self.describe_transactions(version),
            66 => self.list_transactions(version),
            69 => self.consumer_describe(version),
            75 => self.describe_topic_partitions(version),
            80 => self.add_raft_voter(version),
            81 => self.remove_raft_voter(version),
            74 => self.list_config_resources(version),
            key => self.run_share(key, version),
        }
    }

    fn produce(&mut self, version: i16) {
        let set = compressed(Compression::Snappy, 3);
        for base in [0, 3] {
            let outcome = produce_in(self.connection, version, self.topic, 1, &set);
            let answer = (
                outcome.error_code,
                outcome.base_offset,
                outcome.log_append_time_ms,
            );
            assert_eq!(answer, (0, base, -1), "version {version}");
            let start = if version < 5 { -1 } else { 0 };
            assert_eq!(outcome.log_start_offset, start, "version {version}");
            assert!(outcome.record_errors.is_empty() && outcome.error_message.is_none());
        }
    }

    fn fetch(&mut self, version: i16) {
        let found = fetch_in(self.connection, version, self.topic, 0, 4);
        let offsets = (
            found.error_code,
            found.high_watermark,
            found.last_stable_offset,
        );
        assert_eq!(offsets, (0, 10, 10), "version {version}");
        assert_eq!(found.log_start_offset, if version < 5 { -1 } else { 0 });
        let rows = rows(&found.records.expect("records"));
        assert!(rows.iter().map(|row| row.0).eq(0..10), "version {version}");
    }

    fn list_offsets(&mut self, version: i16) {
        for (timestamp, offset) in [(-2, 0), (-1, 10), (1, 0)] {
            let partition = ListOffsetsPartition::default()
                .with_partition_index(0)
                .with_timestamp(timestamp);
            let topic = ListOffsetsTopic::default()
                .with_name(topic_name(&self.topic.name))
                .with_partitions(vec![partition]);
            let mut request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![topic]);
            if version >= 10 {
                request = request.with_timeout_ms(30_000);
            }
            let answer = self.connection.call(version, &request);
            let found = &answer.topics[0].partitions[0];
            assert_eq!(
                (found.error_code, found.offset),
                (0, offset),
                "version {version}"
            );
        }
    }

    fn metadata(&mut self, version: i16) {
        let asked = MetadataRequestTopic::default().with_name(Some(topic_name(&self.topic.name)));
        let mut request = MetadataRequest::default().with_topics(Some(vec![asked]));
        if version >= 8 {
            request = request.with_include_topic_authorized_operations(true);
        }
        if (8..=10).contains(&version) {
            request = request.with_include_cluster_authorized_operations(true);
        }
        let answer = self.connection.call(version, &request);
        assert_eq!((answer.error_code, answer.throttle_time_ms), (0, 0));
        assert_eq!((answer.brokers.len(), answer.topics[0].error_code), (1, 0));
        assert_eq!(answer.topics[0].partitions.len(), 2, "version {version}");
    }

    fn api_versions(&mut self, version: i16) {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("a"))
            .with_client_software_version(text("1"));
        let answer = self.connection.call(version, &request);
        assert!(answer.error_code == 0 && answer.api_keys.len() >= ADVERTISED.len());
    }

    fn create_topics(&mut self, version: i16) {
        let name = unique("created");
        let request = CreateTopicsRequest::default().with_topics(vec![new_topic(
            &name,
            2,
            &[("flush.ms", "9")],
        )]);
        let row = self.connection.call(version, &request).topics.remove(0);
        assert_eq!(
            (row.error_code, &**row.name),
            (0, name.as_str()),
            "version {version}"
        );
        assert_eq!(row.topic_id.is_nil(), version < 7);
    }

    fn delete_topics(&mut self, version: i16) {
        let name = topic_name(&self.topic.name);
        let request = if version < 6 {
            DeleteTopicsRequest::default().with_topic_names(vec![name.clone()])
        } else {
            let state = DeleteTopicState::default().with_name(Some(name.clone()));
            DeleteTopicsRequest::default().with_topics(vec![state])
        };
        let row = self
            .connection
            .call(version, &request.with_timeout_ms(30_000))
            .responses
            .remove(0);
        assert_eq!(
            (row.error_code, row.name),
            (0, Some(name)),
            "version {version}"
        );
        assert_eq!(row.topic_id.is_nil(), version < 6);
    }

    fn delete_records(&mut self, version: i16) {
        let partition = DeleteRecordsPartition::default()
            .with_partition_index(0)
            .with_offset(4);
        let topic = DeleteRecordsTopic::default()
            .with_name(topic_name(&self.topic.name))
            .with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(30_000);
        let answer = self.connection.call(version, &request);
        let found = &answer.topics[0].partitions[0];
        assert_eq!(
            (found.error_code, found.low_watermark),
            (0, 4),
            "version {version}"
        );
    }

    fn init_producer_id(&mut self, version: i16) {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let answer = self.connection.call(version, &request);
        assert_eq!(
            (answer.error_code, answer.producer_epoch),
            (0, 0),
            "version {version}"
        );
        assert!(answer.producer_id.0 >= 0);
        self.init_transactional_id(version);
    }

    fn offset_for_leader_epoch(&mut self, version: i16) {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(0)
            .with_leader_epoch(0);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(topic_name(&self.topic.name))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let answer = self.connection.call(version, &request);
        let found = &answer.topics[0].partitions[0];
        let end = (found.error_code, found.leader_epoch, found.end_offset);
        assert_eq!(end, (0, 0, 10), "version {version}");
    }

    fn describe_configs(&mut self, version: i16) {
        for (kind, name) in [(2, self.topic.name.as_str()), (4, "1"), (4, "")] {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configuration_keys(None);
            let mut request = DescribeConfigsRequest::default()
                .with_resources(vec![resource])
                .with_include_synonyms(true);
            if version >= 3 {
                request = request.with_include_documentation(true);
            }
            let result = self.connection.call(version, &request).results.remove(0);
            assert_eq!(
                result.error_code, 0,
                "version {version}: {:?}",
                result.error_message
            );
            assert!(
                !result.configs.is_empty() || name.is_empty(),
                "version {version}: {name:?}"
            );
        }
    }

    fn alter_configs(&mut self, version: i16) {
        let resource = ReplacedResource::default()
            .with_resource_type(2)
            .with_resource_name(text(&self.topic.name));
        let request = AlterConfigsRequest::default().with_resources(vec![resource]);
        let row = self.connection.call(version, &request).responses.remove(0);
        assert_eq!(
            (row.error_code, row.resource_type),
            (0, 2),
            "version {version}"
        );
        assert_eq!(row.resource_name.as_str(), self.topic.name);
    }

    fn describe_log_dirs(&mut self, version: i16) {
        let asked = DescribableLogDirTopic::default()
            .with_topic(topic_name(&self.topic.name))
            .with_partitions(vec![0, 1]);
        for topics in [Some(vec![asked]), None] {
            let all = topics.is_none();
            let request = DescribeLogDirsRequest::default().with_topics(topics);
            let answer = self.connection.call(version, &request);
            assert_eq!(answer.error_code, 0, "version {version}");
            let mut sizes = Vec::new();
            for dir in &answer.results {
                assert_eq!(dir.error_code, 0, "version {version}");
                assert!(std::path::Path::new(dir.log_dir.as_str()).is_absolute());
                assert_eq!(dir.total_bytes > 0 && dir.usable_bytes > 0, version >= 4);
                for topic in &dir.topics {
                    if *topic.name == *self.topic.name {
                        let rows = topic.partitions.iter();
                        sizes.extend(rows.map(|p| (p.partition_index, p.partition_size > 0)));
                    } else {
                        assert!(all, "version {version}: only what was asked for");
                    }
                }
            }
            sizes.sort_unstable();
            assert_eq!(sizes, [(0, true), (1, false)], "version {version}");
        }
    }

    fn create_partitions(&mut self, version: i16) {
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name(&self.topic.name))
            .with_count(3)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
        let answer = self
            .connection
            .call(version, &request.with_timeout_ms(30_000));
        assert_eq!(answer.results.len(), 1);
        let row = &answer.results[0];
        assert_eq!((row.error_code, &**row.name), (0, self.topic.name.as_str()));
    }

    fn incremental_alter_configs(&mut self, version: i16) {
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(&self.topic.name));
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let row = self.connection.call(version, &request).responses.remove(0);
        assert_eq!(
            (row.error_code, row.resource_type),
            (0, 2),
            "version {version}"
        );
    }

    fn elect_leaders(&mut self, version: i16) {
        let one = TopicPartitions::default()
            .with_topic(topic_name(&self.topic.name))
            .with_partitions(vec![0, 7]);
        for (topics, expected) in [(Some(vec![one]), vec![84, 3]), (None, Vec::new())] {
            let request = ElectLeadersRequest::default().with_topic_partitions(topics);
            let answer = self.connection.call(version, &request);
            assert_eq!(answer.error_code, 0, "version {version}");
            let mut rows = answer.replica_election_results.iter();
            let found = rows.find(|row| **row.topic == *self.topic.name);
            let codes = found.iter().flat_map(|row| &row.partition_result);
            // ELECTION_NOT_NEEDED, which isn't told to whoever asks for all.
            assert!(
                codes.map(|row| row.error_code).eq(expected),
                "version {version}"
            );
        }
    }

    fn alter_partition_reassignments(&mut self, version: i16) {
        let to = |index, nodes: Option<&[i32]>| {
            let nodes = nodes.map(|nodes| nodes.iter().copied().map(BrokerId).collect());
            ReassignablePartition::default()
                .with_partition_index(index)
                .with_replicas(nodes)
        };
        let partitions = vec![
            to(0, Some(&[1])),
            to(1, None),
            to(7, Some(&[1])),
            to(1, Some(&[99])),
        ];
        let topic = ReassignableTopic::default()
            .with_name(topic_name(&self.topic.name))
            .with_partitions(partitions);
        let mut request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
        if version >= 1 {
            request = request.with_allow_replication_factor_change(false);
        }
        let answer = self.connection.call(version, &request);
        assert_eq!((answer.error_code, answer.responses.len()), (0, 1));
        let rows = answer.responses[0].partitions.iter();
        // NO_REASSIGNMENT_IN_PROGRESS, UNKNOWN_TOPIC_OR_PARTITION, INVALID_REPLICA_ASSIGNMENT.
        let codes = rows.map(|row| (row.partition_index, row.error_code));
        assert!(
            codes.eq([(0, 0), (1, 85), (7, 3), (1, 39)]),
            "version {version}"
        );
    }

    fn describe_quorum(&mut self, version: i16) {
        let ask = |topic: &str| {
            let partition = PartitionData::default().with_partition_index(0);
            let topic = TopicData::default()
                .with_topic_name(topic_name(topic))
                .with_partitions(vec![partition]);
            DescribeQuorumRequest::default().with_topics(vec![topic])
        };
        let answer = self.connection.call(version, &ask("__cluster_metadata"));
        assert_eq!(answer.error_code, 0, "version {version}");
        let found = &answer.topics[0].partitions[0];
        assert_eq!((found.error_code, found.leader_id.0), (0, 1));
        assert!(found.high_watermark > 0 && found.leader_epoch > 0);
        let voter = &found.current_voters[0];
        assert_eq!((voter.replica_id.0, found.current_voters.len()), (1, 1));
        assert!(voter.log_end_offset >= found.high_watermark);
        assert_eq!(voter.replica_directory_id.is_nil(), version < 2);
        assert_eq!(voter.last_caught_up_timestamp > 0, version > 0);
        assert_eq!(answer.nodes.len(), usize::from(version >= 2));
        let answer = self.connection.call(version, &ask(&self.topic.name));
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!((answer.error_code, code), (0, 3), "version {version}");
    }

    fn unregister_broker(&mut self, version: i16) {
        let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(99));
        // BROKER_ID_NOT_REGISTERED
        assert_eq!(self.connection.call(version, &request).error_code, 102);
    }

    fn list_partition_reassignments(&mut self, version: i16) {
        let request = ListPartitionReassignmentsRequest::default().with_topics(None);
        let answer = self.connection.call(version, &request);
        assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
    }

    fn describe_cluster(&mut self, version: i16) {
        let mut request = DescribeClusterRequest::default();
        if version >= 2 {
            request = request.with_include_fenced_brokers(true);
        }
        let answer = self.connection.call(version, &request);
        assert_eq!(
            (answer.error_code, answer.brokers.len()),
            (0, 1),
            "version {version}"
        );
        assert_eq!(answer.endpoint_type, 1);
        assert!(!answer.brokers[0].is_fenced);
    }

    fn describe_topic_partitions(&mut self, version: i16) {
        let asked = TopicRequest::default().with_name(topic_name(&self.topic.name));
        let request = DescribeTopicPartitionsRequest::default().with_topics(vec![asked]);
        let answer = self.connection.call(version, &request);
        let row = &answer.topics[0];
        assert_eq!(
            (row.error_code, row.topic_id, row.partitions.len()),
            (0, self.topic.id, 2)
        );
        assert_eq!(answer.next_cursor, None);
    }
}
