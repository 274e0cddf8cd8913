//! Requests that are in order and small, and ask for answers or effects that are not.

use std::io::Write;
use std::net::TcpStream;

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreatePartitionsRequest, DescribeConfigsRequest, FetchRequest, MetadataRequest,
};

use super::{PATIENCE, Victim};
use crate::semantics::records::{create, fetch_request, new_topic, topic_name, try_create, wanted};
use crate::semantics::wire::{Connection, encoded, text};

/// Just below the most elements a request may have.
const MANY: usize = 200_000;

/// All settings of this broker, with all that can be told of them.
fn everything(times: usize) -> DescribeConfigsRequest {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(4)
        .with_resource_name(text("1"));
    DescribeConfigsRequest::default()
        .with_resources(vec![resource.with_configuration_keys(None); times])
        .with_include_synonyms(true)
        .with_include_documentation(true)
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let victim = Victim::start_with(|options| options);
    let request = encoded(4, 1, "greedy", &everything(1));
    let mut frames = BytesMut::new();
    for _ in 0..64 {
        frames.put_i32(request.len() as i32);
        frames.put_slice(&request);
    }
    let mut greedy: Vec<TcpStream> = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(victim.broker.kafka).expect("a connection");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(&frames).expect("sent");
        greedy.push(stream);
    }
    for _ in 0..3 {
        victim.assert_unharmed();
    }
    victim.assert_bounded("100 clients with 64 unread answers each");
}

#[test]
fn the_same_thing_asked_for_many_times_is_told_once() {
    let victim = Victim::start_with(|options| options);
    let mut connection = victim.connect();
    let wide = create(&mut connection, "wide", 100, &[]);
    let named = MetadataRequestTopic::default().with_name(Some(topic_name(&wide.name)));
    let request = MetadataRequest::default().with_topics(Some(vec![named; MANY / 2]));
    let answer = connection.call(9, &request);
    assert_eq!(
        answer.topics.len(),
        1,
        "as Kafka does, which keeps the names in a set"
    );
    victim.assert_bounded("one topic asked for 100,000 times");
    let answer = connection.call(4, &everything(20_000));
    assert!(answer.results.iter().all(|row| row.error_code == 0));
    victim.assert_bounded("one broker's settings asked for 20,000 times");
    victim.assert_unharmed();
}

#[test]
fn sessions_cannot_be_filled_without_end() {
    let victim = Victim::start_with(|options| options);
    let mut open: Vec<Connection> = Vec::new();
    for at in 0..24 {
        let partitions = (0..MANY as i32).map(|index| {
            FetchPartition::default()
                .with_partition(index)
                .with_partition_max_bytes(1)
        });
        // Of a topic that is not there; the session remembers what was asked all the same.
        let topic = FetchTopic::default()
            .with_topic(topic_name(&format!("{at}-{}", "x".repeat(240))))
            .with_partitions(partitions.collect());
        let request = fetch_request(vec![topic]).with_session_epoch(0);
        let mut connection = victim.connect();
        let answer = connection.call::<FetchRequest>(12, &request);
        assert_eq!(answer.error_code, 0);
        open.push(connection);
    }
    victim.assert_bounded("24 sessions of 200,000 partitions that do not exist");
    let request = fetch_request(vec![wanted(12, &victim.topic, &[(0, 0, 1000)])]);
    let answer = victim
        .connect()
        .call::<FetchRequest>(12, &request.with_session_epoch(0));
    assert_eq!(answer.error_code, 0, "others still fetch");
    victim.assert_unharmed();
}

#[test]
fn a_long_name_before_many_partitions_is_held_once() {
    let victim = Victim::start_with(|options| options);
    let partitions = (0..MANY as i32).map(|index| FetchPartition::default().with_partition(index));
    let topic = FetchTopic::default()
        .with_topic(topic_name(&"x".repeat(30_000)))
        .with_partitions(partitions.collect());
    let request = fetch_request(vec![topic]).with_session_epoch(-1);
    let answer = victim.connect().call::<FetchRequest>(12, &request);
    assert_eq!(answer.responses[0].partitions.len(), MANY);
    victim.assert_unharmed();
    victim.assert_bounded("200,000 partitions of a topic with a long name");
}

#[test]
fn partitions_by_the_billion_are_refused() {
    let victim = Victim::start_with(|options| options);
    let mut connection = victim.connect();
    for count in [i32::MAX, 1_000_000, i32::MIN] {
        let created = try_create(&mut connection, new_topic("billions", count, &[]));
        assert_ne!(created.error_code, 0, "{count} partitions were created");
        let more = CreatePartitionsTopic::default()
            .with_name(topic_name(&victim.topic.name))
            .with_count(count);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![more])
            .with_timeout_ms(5000);
        let answer = connection.call(3, &request);
        assert_ne!(
            answer.results[0].error_code, 0,
            "{count} partitions were added"
        );
    }
    victim.assert_unharmed();
    victim.assert_bounded("partitions by the billion");
}
