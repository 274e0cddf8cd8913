//! The pipelined client against a small broker that can be told to misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broker;

use std::time::{Duration, Instant};

use batch::{Compression, DecompressLimit, batches};
use broker::{Broker, Mood, silent, stranger};
use net::client::{Acks, TopicPartition};
use net::consumer::{Consumer, ConsumerConfig, Event, StartAt};
use net::link::{LinkConfig, LinkError};
use net::producer::{Producer, ProducerConfig, Push};
use rt::executor::{self, ExecutorConfig};

fn on_executor<T: Send + 'static, F: Future<Output = T> + 'static>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    let config = ExecutorConfig {
        io_memory: 64 * 1024,
        ..ExecutorConfig::default()
    };
    executor::run(config, make).unwrap()
}

fn config() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 200,
        retry_pause: Duration::from_millis(5),
        ..ProducerConfig::default()
    }
}

/// Produces `count` numbered records, round robin over the partitions of one topic; what failed.
fn produce(broker: &Broker, partitions: usize, count: u32, config: ProducerConfig) -> Vec<String> {
    let address = vec![broker.address.clone()];
    on_executor(move || async move {
        let topics = [("t", partitions)];
        let link = LinkConfig::default();
        let mut producer = Producer::open(address, &topics, config, link)
            .await
            .unwrap();
        let began = Instant::now();
        let now = || began.elapsed().as_nanos() as u64 + 1;
        let mut failed = Vec::new();
        let (mut put, mut back) = (0, 0);
        while back < count {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{back} of {count}"
            );
            for _ in 0..50.min(count - put) {
                let value = put.to_be_bytes();
                let slot = put as usize % partitions;
                producer.append(slot, 1, None, Some(&value), put, now());
                put += 1;
            }
            let push = if put == count { Push::All } else { Push::Busy };
            producer.turn(now(), push);
            while let Some(outcome) = producer.next_outcome() {
                back += outcome.tickets.len() as u32;
                if let Err(why) = outcome.result {
                    failed.push(why.to_string());
                }
                producer.recycle(outcome.tickets);
            }
            if put == count && back < count {
                producer.wait(now(), u64::MAX).await;
            } else {
                rt::task::yield_now().await;
            }
        }
        assert!(producer.is_idle());
        producer.close().await;
        failed
    })
}

fn numbers(partition: u32, partitions: u32, count: u32) -> Vec<Vec<u8>> {
    let numbers = (0..count).filter(|number| number % partitions == partition);
    numbers
        .map(|number| number.to_be_bytes().to_vec())
        .collect()
}

#[test]
fn everything_arrives_in_order_with_every_codec() {
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let broker = Broker::start(&[("t", 3)]);
        let config = ProducerConfig {
            compression,
            acks: Acks::Leader,
            ..config()
        };
        assert!(produce(&broker, 3, 1000, config).is_empty());
        for partition in 0..3 {
            let stored = broker.values("t", partition);
            assert_eq!(stored, numbers(partition as u32, 3, 1000));
        }
        // Not a request for each batch of some twelve records.
        assert!(broker.produces() < 60, "{}", broker.produces());
    }
}

#[test]
fn refusals_that_pass_and_lost_connections_change_nothing() {
    let broker = Broker::start(&[("t", 2)]);
    broker.mood(&[
        Mood::Refuse(6),
        Mood::TakeAndHangUp,
        Mood::HangUp,
        Mood::Refuse(7),
        Mood::TakeAndHangUp,
    ]);
    let config = ProducerConfig {
        idempotent: true,
        in_flight: 1,
        ..config()
    };
    assert!(produce(&broker, 2, 600, config).is_empty());
    for partition in 0..2 {
        let stored = broker.values("t", partition);
        assert_eq!(stored, numbers(partition as u32, 2, 600));
    }
}

#[test]
fn a_refusal_for_good_is_told_with_its_name() {
    let broker = Broker::start(&[("t", 1)]);
    broker.mood(&[Mood::Refuse(10)]);
    let failed = produce(&broker, 1, 100, config());
    assert_eq!(failed, ["MESSAGE_TOO_LARGE (10)"]);
    assert!(!broker.values("t", 0).is_empty());
}

#[test]
fn what_cannot_be_delivered_in_time_is_given_up() {
    let broker = Broker::start(&[("t", 1)]);
    broker.mood(&[Mood::Refuse(19); 1000]);
    let config = ProducerConfig {
        delivery_timeout: Duration::from_millis(300),
        ..config()
    };
    let failed = produce(&broker, 1, 5, config);
    assert_eq!(failed.len(), 1);
    assert!(failed[0].contains("NOT_ENOUGH_REPLICAS"), "{failed:?}");
    assert!(broker.values("t", 0).is_empty());
}

#[test]
fn without_acks_a_batch_is_done_when_it_is_written() {
    let broker = Broker::start(&[("t", 1)]);
    let config = ProducerConfig {
        acks: Acks::None,
        ..config()
    };
    assert!(produce(&broker, 1, 500, config).is_empty());
    let began = Instant::now();
    while broker.values("t", 0).len() < 500 {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(broker.values("t", 0), numbers(0, 1, 500));
}

#[test]
fn who_is_no_broker_is_called_so() {
    let open = |address: String| {
        let link = LinkConfig {
            request_timeout: Duration::from_millis(300),
            ..LinkConfig::default()
        };
        let opening = move || async move {
            Producer::<()>::open(vec![address], &[("t", 1)], ProducerConfig::default(), link).await
        };
        on_executor(move || async move { opening().await.map(|_| ()) }).unwrap_err()
    };
    let amqp = open(stranger(b"AMQP\0\0\x09\x01"));
    assert!(matches!(&amqp, LinkError::NotKafka { reason, .. } if reason.contains("AMQP")));
    assert!(matches!(open(silent()), LinkError::TimedOut { .. }));
    let nobody = open("127.0.0.1:1".to_owned());
    assert!(matches!(nobody, LinkError::Unreachable { .. }), "{nobody}");
}

/// Reads `count` records; their values by slot.
fn consume(broker: &Broker, from: StartAt, partitions: i32, count: usize) -> Vec<Vec<Vec<u8>>> {
    let (address, forgetting) = (vec![broker.address.clone()], broker.clone());
    let wanted: Vec<_> = (0..partitions)
        .map(|partition| (TopicPartition::new("t", partition), from))
        .collect();
    on_executor(move || async move {
        let (config, link) = (ConsumerConfig::default(), LinkConfig::default());
        let mut consumer = Consumer::open(address, &wanted, config, link)
            .await
            .unwrap();
        let mut values = vec![Vec::new(); wanted.len()];
        let began = Instant::now();
        let mut got = 0;
        while got < count {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{got} of {count}"
            );
            consumer.turn();
            let Some(event) = consumer.next_event() else {
                consumer.wait(Duration::from_millis(20)).await;
                continue;
            };
            let Event::Fetched {
                slot,
                from,
                records,
            } = event
            else {
                panic!("{event:?}");
            };
            for batch in batches(&records) {
                let records = batch
                    .unwrap()
                    .records(DecompressLimit::bytes(1 << 20))
                    .unwrap();
                for record in &records {
                    let record = record.unwrap();
                    if record.offset >= from {
                        values[slot].push(record.value().unwrap().to_vec());
                        got += 1;
                    }
                }
            }
            if got > count / 2 && got < count / 2 + 40 {
                forgetting.forget_sessions();
            }
        }
        consumer.close().await;
        values
    })
}

#[test]
fn all_that_is_stored_is_read_once_and_in_order_in_sessions() {
    let broker = Broker::start(&[("t", 2)]);
    assert!(produce(&broker, 2, 800, config()).is_empty());
    let values = consume(&broker, StartAt::Earliest, 2, 800);
    assert_eq!(values, [numbers(0, 2, 800), numbers(1, 2, 800)]);
    let fetches = broker.fetches();
    assert_eq!(fetches[0], (0, 0, 2), "the first asks for a session");
    assert_eq!(fetches[1].1, 1, "the second goes on in it: {fetches:?}");
    let begun = fetches.iter().filter(|fetch| fetch.0 == 0).count();
    assert!(begun >= 2, "a lost session is begun anew: {fetches:?}");
    assert!(begun < fetches.len() / 2, "{fetches:?}");
}

#[test]
fn reading_begins_where_it_is_told() {
    let broker = Broker::start(&[("t", 1)]);
    assert!(produce(&broker, 1, 100, config()).is_empty());
    let values = consume(&broker, StartAt::Offset(40), 1, 60);
    assert_eq!(values[0], numbers(0, 1, 100)[40..]);
}

#[test]
fn latest_is_what_comes_after_opening() {
    let broker = Broker::start(&[("t", 1)]);
    assert!(produce(&broker, 1, 100, config()).is_empty());
    let (address, theirs) = (vec![broker.address.clone()], broker);
    on_executor(move || async move {
        let wanted = [(TopicPartition::new("t", 0), StartAt::Latest)];
        let (reading, link) = (ConsumerConfig::default(), LinkConfig::default());
        let mut consumer = Consumer::open(address, &wanted, reading, link)
            .await
            .unwrap();
        let producing = std::thread::spawn(move || produce(&theirs, 1, 10, config()));
        let began = Instant::now();
        let from = loop {
            assert!(began.elapsed() < Duration::from_secs(20));
            consumer.turn();
            match consumer.next_event() {
                Some(Event::Fetched { from, .. }) => break from,
                _ => consumer.wait(Duration::from_millis(20)).await,
            }
        };
        assert_eq!(from, 100);
        consumer.close().await;
        assert!(producing.join().unwrap().is_empty());
    });
}
