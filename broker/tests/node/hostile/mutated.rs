//! Every API's request, with absurd lengths, counts and numbers in every place.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::BytesMut;
use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use net::registry::{ADVERTISED, FETCH, SHARE_FETCH, lookup};

use super::{PATIENCE, Victim};
use crate::semantics::groups::{
    commit_request, consumer_request, delete_request, fetch_request as offsets_request,
    join_request,
};
use crate::semantics::records::{
    Topic, batch, fetch_request, new_topic, produce_request, topic_name, wanted,
};
use crate::semantics::share_groups::{
    alter_offsets_request, delete_offsets_request, describe_offsets_request, share_request,
};
use crate::semantics::share_state::{
    delete_request as delete_state_request, initialize_request, read_request, share_key,
    summary_request, write_request,
};
use crate::semantics::shares::member::{
    acknowledge_request as share_acknowledge, fetch_request as share_fetch,
};
use crate::semantics::transactions::{
    add_request, end_request, marker_request, offsets_request as txn_offsets_request,
    producers_request,
};
use crate::semantics::wire::{encoded, text};

/// A frame, and where its body begins.
struct Sample {
    key: i16,
    version: i16,
    frame: BytesMut,
}

fn sample<R: Request>(samples: &mut Vec<Sample>, message: impl Fn(i16) -> R) {
    let api = lookup(R::KEY).expect("an API of this broker");
    for version in [api.served_min, api.max] {
        let frame = encoded(version, 1, "m", &message(version));
        let key = R::KEY;
        samples.push(Sample {
            key,
            version,
            frame,
        });
    }
}

fn metadata(version: i16, topic: &Topic) -> MetadataRequest {
    let named = MetadataRequestTopic::default().with_name(Some(topic_name(&topic.name)));
    // Where it can say so, that a name which mutation made up should not become a topic.
    MetadataRequest::default()
        .with_topics(Some(vec![named]))
        .with_allow_auto_topic_creation(version < 4)
}

fn data_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let name = || topic_name(&topic.name);
    sample(samples, |v| {
        produce_request(v, topic, -1, vec![(0, Some(batch(2)))])
    });
    sample(samples, |v| {
        fetch_request(vec![wanted(v, topic, &[(0, 0, 1000)])])
    });
    sample(samples, |_| {
        let partitions = vec![ListOffsetsPartition::default().with_timestamp(5)];
        let topic = ListOffsetsTopic::default()
            .with_name(name())
            .with_partitions(partitions);
        ListOffsetsRequest::default().with_topics(vec![topic])
    });
    sample(samples, |v| metadata(v, topic));
    sample(samples, |_| {
        let partitions = vec![DeleteRecordsPartition::default()];
        let topic = DeleteRecordsTopic::default()
            .with_name(name())
            .with_partitions(partitions);
        DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(1000)
    });
    sample(samples, |_| InitProducerIdRequest::default());
    sample(samples, |_| {
        let partitions = vec![OffsetForLeaderPartition::default()];
        let topic = OffsetForLeaderTopic::default()
            .with_topic(name())
            .with_partitions(partitions);
        OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
    });
}

fn admin_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let name = || topic_name(&topic.name);
    sample(samples, |_| {
        let topics = vec![new_topic("mutant", 1, &[("retention.ms", "1000")])];
        CreateTopicsRequest::default()
            .with_topics(topics)
            .with_validate_only(true)
    });
    sample(samples, |v| {
        let names = if v < 6 {
            vec![topic_name("nobody")]
        } else {
            Vec::new()
        };
        DeleteTopicsRequest::default().with_topic_names(names)
    });
    sample(samples, |_| {
        let config = AlterableConfig::default().with_name(text("retention.ms"));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(name().0)
            .with_configs(vec![config.with_value(Some(text("1000000")))]);
        AlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(true)
    });
    sample(samples, |_| {
        let config = incremental::AlterableConfig::default().with_name(text("retention.ms"));
        let resource = incremental::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(name().0)
            .with_configs(vec![config.with_value(Some(text("1000000")))]);
        IncrementalAlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(true)
    });
    sample(samples, |_| {
        let topic = CreatePartitionsTopic::default()
            .with_name(name())
            .with_count(3);
        CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_validate_only(true)
    });
}

fn asking_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let name = || topic_name(&topic.name);
    sample(samples, |v| {
        let request = FindCoordinatorRequest::default();
        if v < 4 {
            request.with_key(text("group"))
        } else {
            request.with_coordinator_keys(vec![text("group")])
        }
    });
    sample(samples, |v| {
        let (software, version) = if v < 3 { ("", "") } else { ("mutant", "1.0") };
        ApiVersionsRequest::default()
            .with_client_software_name(text(software))
            .with_client_software_version(text(version))
    });
    sample(samples, |_| {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(name().0)
            .with_configuration_keys(Some(vec![text("retention.ms")]));
        DescribeConfigsRequest::default().with_resources(vec![resource])
    });
    sample(samples, |_| {
        let topic = DescribableLogDirTopic::default()
            .with_topic(name())
            .with_partitions(vec![0]);
        DescribeLogDirsRequest::default().with_topics(Some(vec![topic]))
    });
    sample(samples, |_| {
        ListPartitionReassignmentsRequest::default().with_timeout_ms(1000)
    });
    sample(samples, |_| DescribeClusterRequest::default());
    sample(samples, |v| {
        let types = if v < 1 { vec![] } else { vec![2, 32] };
        ListConfigResourcesRequest::default().with_resource_types(types)
    });
    sample(samples, |_| {
        let topics = vec![TopicRequest::default().with_name(name())];
        DescribeTopicPartitionsRequest::default()
            .with_topics(topics)
            .with_response_partition_limit(10)
    });
}

fn group_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let group = || GroupId(text("mutant"));
    sample(samples, |_| {
        commit_request(&group(), &topic.name, &[(0, 1)])
    });
    sample(samples, |v| match v {
        ..8 => OffsetFetchRequest::default().with_group_id(group()),
        _ => offsets_request(&group(), Some((&topic.name, vec![0]))),
    });
    sample(samples, |_| join_request(&group(), ""));
    sample(samples, |_| {
        HeartbeatRequest::default().with_group_id(group())
    });
    sample(samples, |_| {
        LeaveGroupRequest::default().with_group_id(group())
    });
    sample(samples, |_| {
        SyncGroupRequest::default().with_group_id(group())
    });
    sample(samples, |_| {
        DescribeGroupsRequest::default().with_groups(vec![group()])
    });
    sample(samples, |_| ListGroupsRequest::default());
    sample(samples, |_| {
        DeleteGroupsRequest::default().with_groups_names(vec![group()])
    });
    sample(samples, |v| consumer_request(&group(), &topic.name, v));
    sample(samples, |_| {
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()])
    });
    sample(samples, |_| delete_request(&group(), &topic.name, &[0]));
}

fn share_group_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let group = || GroupId(text("mutant-share"));
    sample(samples, |_| {
        share_request(&group(), "m", 0, Some(&[&topic.name]))
    });
    sample(samples, |_| {
        ShareGroupDescribeRequest::default().with_group_ids(vec![group()])
    });
    sample(samples, |_| describe_offsets_request(&group(), None));
    sample(samples, |_| {
        alter_offsets_request(&group(), &topic.name, &[(0, 3)])
    });
    sample(samples, |_| {
        delete_offsets_request(&group(), &[&topic.name])
    });
}

fn transaction_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let producer = || (TransactionalId(text("mutant")), ProducerId(0x5050_5050), 1);
    sample(samples, |v| add_request(v, &producer(), &topic.name, &[0]));
    sample(samples, |_| {
        let (id, producer, epoch) = producer();
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(id)
            .with_producer_id(producer)
            .with_producer_epoch(epoch)
            .with_group_id(GroupId(text("mutant")))
    });
    sample(samples, |_| end_request(&producer(), true));
    sample(samples, |_| producers_request(&topic.name, 0));
    sample(samples, |_| marker_request(&producer(), &topic.name, 0));
    sample(samples, |_| {
        txn_offsets_request(&producer(), &GroupId(text("mutant")), &topic.name)
    });
    sample(samples, |_| {
        DescribeTransactionsRequest::default().with_transactional_ids(vec![producer().0])
    });
    sample(samples, |_| {
        ListTransactionsRequest::default().with_state_filters(vec![text("Ongoing")])
    });
}

fn shared_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let who = ("mutant", "AAAAAAAAAAAAAAAAAAAAAA");
    sample(samples, |_| {
        let said = share_fetch_request::AcknowledgementBatch::default()
            .with_last_offset(1)
            .with_acknowledge_types(vec![1, 2]);
        let partition =
            share_fetch_request::FetchPartition::default().with_acknowledgement_batches(vec![said]);
        share_fetch(who, 1, topic, vec![partition])
    });
    sample(samples, |_| {
        share_acknowledge(who, 1, (topic, 0), &[(0, 1, &[1, 2])])
    });
}

fn cluster_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let name = || topic_name(&topic.name);
    sample(samples, |_| {
        let partitions = TopicPartitions::default()
            .with_topic(name())
            .with_partitions(vec![0]);
        ElectLeadersRequest::default().with_topic_partitions(Some(vec![partitions]))
    });
    sample(samples, |_| {
        let to = ReassignablePartition::default().with_replicas(Some(vec![BrokerId(1)]));
        let topic = ReassignableTopic::default()
            .with_name(name())
            .with_partitions(vec![to]);
        AlterPartitionReassignmentsRequest::default().with_topics(vec![topic])
    });
    sample(samples, |_| {
        let topic = TopicData::default()
            .with_topic_name(topic_name("__cluster_metadata"))
            .with_partitions(vec![PartitionData::default()]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    });
    // Nobody has this id, whatever becomes of it.
    sample(samples, |_| {
        UnregisterBrokerRequest::default().with_broker_id(BrokerId(0x5050_5050))
    });
    sample(samples, |_| {
        let listener = Listener::default()
            .with_name(text("CONTROLLER"))
            .with_host(text("localhost"));
        AddRaftVoterRequest::default()
            .with_voter_id(7)
            .with_listeners(vec![listener])
    });
    sample(samples, |_| {
        RemoveRaftVoterRequest::default().with_voter_id(7)
    });
}

fn share_samples(topic: &Topic, samples: &mut Vec<Sample>) {
    let key = || share_key("mutant", topic.id, 0);
    sample(samples, |_| initialize_request(&key(), 1, 0));
    sample(samples, |_| read_request(&key(), 1));
    sample(samples, |_| {
        write_request(&key(), (1, 1), 0, &[(0, 3, 0, 1), (4, 5, 2, 1)])
    });
    sample(samples, |_| delete_state_request(&key()));
    sample(samples, |_| summary_request(&key()));
}

/// What may be answered after a time that the request says: Fetch, JoinGroup, SyncGroup, ShareFetch.
const MAY_WAIT: [i16; 4] = [FETCH, 11, 14, SHARE_FETCH];

/// Sends a frame; waits for an answer or the end, except where a wait is what may be asked for.
fn send(victim: &Victim, sample: &Sample, frame: &[u8]) {
    let mut stream = TcpStream::connect(victim.broker.kafka).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    // It may be closed at any moment.
    if stream.write_all(&bytes).is_err() || MAY_WAIT.contains(&sample.key) {
        return;
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    match stream.read(&mut [0; 512]) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            panic!(
                "API {} v{} neither answered nor closed: {error}",
                sample.key, sample.version
            )
        }
        _ => {}
    }
}

/// What is written over every place of a body: numbers, counts and lengths of both forms.
const ABSURD: [&[u8]; 4] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0x7f, 0xff],
];

#[test]
fn no_length_count_or_number_in_any_request_harms_the_broker() {
    let victim = Victim::start_with(|options| {
        // Nothing that a mutant might create should take long.
        options
            .set("num.partitions", "1")
            .argument("--log-filter=info,net=debug")
    });
    let mut samples = Vec::new();
    data_samples(&victim.topic, &mut samples);
    admin_samples(&victim.topic, &mut samples);
    asking_samples(&victim.topic, &mut samples);
    group_samples(&victim.topic, &mut samples);
    share_group_samples(&victim.topic, &mut samples);
    transaction_samples(&victim.topic, &mut samples);
    shared_samples(&victim.topic, &mut samples);
    cluster_samples(&victim.topic, &mut samples);
    share_samples(&victim.topic, &mut samples);
    assert_eq!(
        samples.len(),
        2 * ADVERTISED.len(),
        "each advertised API has its samples"
    );
    let mut sent = 0;
    for sample in &samples {
        send(&victim, sample, &sample.frame);
        // Behind key, version, correlation id and a client id of one letter.
        for (step, at) in (11..sample.frame.len()).enumerate() {
            let absurd = ABSURD[step % ABSURD.len()];
            let other = ABSURD[(step + 2) % ABSURD.len()];
            for absurd in [absurd, other] {
                let mut frame = sample.frame.clone();
                let end = frame.len().min(at + absurd.len());
                frame[at..end].copy_from_slice(&absurd[..end - at]);
                send(&victim, sample, &frame);
                sent += 1;
            }
            if step % 4 == 0 {
                send(&victim, sample, &sample.frame[..at]);
                sent += 1;
            }
        }
        assert!(
            !victim.status("State").starts_with('Z'),
            "API {} v{}",
            sample.key,
            sample.version
        );
    }
    eprintln!("{sent} mutants of {} requests", samples.len());
    victim.assert_logged("can't be read", 1);
    victim.assert_unharmed();
    victim.assert_bounded("mutated requests");
}
