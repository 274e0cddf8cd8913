//! A drive that fails, and one that fills: only its own partitions suffer.

use std::time::{Duration, Instant};

use faultfs::{Fault, Op};
use kafka_protocol::messages::GroupId;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use crate::harness::{Broker, Options, faulty_drive, temp_dir};
use crate::kill::Deliveries;
use crate::roundtrip::{config, create_topic, read_values};
use crate::semantics::groups::{commit_request, coordinated, fetch_request};
use crate::semantics::wire::Connection;

const TOPIC: &str = "two-drives";
const PATIENCE: Duration = Duration::from_secs(60);

/// What the admin server says, as a list.
fn listed(broker: &Broker, path: &str, list: &str) -> Vec<serde_json::Value> {
    let answer = broker.http(path).expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let view: serde_json::Value = serde_json::from_str(body).expect("JSON");
    view[list].as_array().expect("a list").clone()
}

/// Which partitions are on the drive whose path contains `drive`.
fn partitions_on(broker: &Broker, drive: &str) -> Vec<i32> {
    let drives = listed(broker, "/v1/node", "drives");
    let named = |row: &&serde_json::Value| {
        row["path"]
            .as_str()
            .is_some_and(|path| path.contains(drive))
    };
    let id = &drives.iter().find(named).expect("the drive")["id"];
    let partitions = listed(broker, "/v1/partitions", "partitions");
    let on_it = partitions
        .iter()
        .filter(|row| row["topic"] == TOPIC && row["drive"] == *id);
    on_it
        .map(|row| row["partition"].as_i64().expect("an index") as i32)
        .collect()
}

/// Sends one record of `size` bytes and gives what became of it.
fn send(broker: &Broker, partition: i32, size: usize) -> Result<i64, RDKafkaErrorCode> {
    let producer: ThreadedProducer<Deliveries> = config(broker)
        .set("message.timeout.ms", "30000")
        .set("message.send.max.retries", "0")
        .create_with_context(Deliveries::default())
        .expect("a producer");
    let value = "x".repeat(size);
    let record: BaseRecord<'_, (), str> =
        BaseRecord::to(TOPIC).partition(partition).payload(&value);
    producer.send(record).map_err(|(error, _)| code(&error))?;
    producer.flush(PATIENCE).expect("an outcome");
    let context = producer.context();
    if let Some(error) = context.errors.lock().expect("not poisoned").pop() {
        return Err(error);
    }
    let rows = context.rows.lock().expect("not poisoned");
    Ok(rows.first().expect("an outcome").1)
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error
        .rdkafka_error_code()
        .unwrap_or(RDKafkaErrorCode::Unknown)
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A broker with a good drive and a faulty one, and a partition on each.
fn two_drives(dir: &std::path::Path, faulty: &std::path::Path) -> (Broker, i32, i32) {
    let mut options = Options::at(dir)
        .set("offsets.topic.num.partitions", "4")
        .argument("--log-filter=warn")
        .argument("--drive-reserve=8M");
    options.data_dirs = vec![dir.join("good"), faulty.join("bad")];
    let broker = Broker::start(&options);
    create_topic(&broker, TOPIC, 4, &[("segment.bytes", "1048576")]);
    let good = partitions_on(&broker, "/good");
    let bad = partitions_on(&broker, "/bad");
    assert_eq!(
        (good.len(), bad.len()),
        (2, 2),
        "partitions are spread over the drives"
    );
    (broker, good[0], bad[0])
}

#[test]
fn a_drive_that_fails_takes_down_only_its_own_partitions() {
    let dir = temp_dir();
    let Some(drive) = faulty_drive(dir.path()) else {
        return;
    };
    let (broker, good, bad) = two_drives(dir.path(), drive.path());
    send(&broker, good, 100).expect("the good drive takes it");
    send(&broker, bad, 100).expect("the bad drive still takes it");
    drive
        .controls()
        .inject(Fault::eio(&[Op::Write]))
        .expect("in this process");
    assert_eq!(
        send(&broker, bad, 100),
        Err(RDKafkaErrorCode::KafkaStorageError)
    );
    assert_eq!(send(&broker, good, 100), Ok(1));
    assert_eq!(
        send(&broker, bad, 100),
        Err(RDKafkaErrorCode::KafkaStorageError)
    );
    assert_eq!(read_values(&broker, TOPIC, good).len(), 2);
    let ready = broker.http("/readyz").expect("an answer");
    assert!(
        ready.starts_with("HTTP/1.1 200"),
        "one drive still serves: {ready}"
    );
    assert!(ready.contains("bad"), "the failed drive is named: {ready}");
}

/// A group whose coordinator has its partition on the drive with this in its path.
fn group_on(broker: &Broker, connection: &mut Connection, drive: &str) -> GroupId {
    let partitions = {
        let drives = listed(broker, "/v1/node", "drives");
        let on_it = |row: &&serde_json::Value| {
            let path = row["path"].as_str();
            path.is_some_and(|path| path.contains(drive))
        };
        let id = drives.iter().find(on_it).expect("the drive")["id"].clone();
        let rows = listed(broker, "/v1/partitions", "partitions");
        let on_it = rows
            .into_iter()
            .filter(move |row| row["topic"] == "__consumer_offsets" && row["drive"] == id);
        on_it
            .map(|row| row["partition"].as_i64().expect("an index") as i32)
            .collect::<Vec<_>>()
    };
    loop {
        let group = coordinated(connection, "drive");
        if partitions.contains(&coordinator::partition_for(&group, 4)) {
            return group;
        }
    }
}

/// Commits an offset, and gives the error.
fn commit(connection: &mut Connection, group: &GroupId, offset: i64) -> i16 {
    let request = commit_request(group, TOPIC, &[(0, offset)]);
    let answer = connection.call(8, &request);
    answer.topics[0].partitions[0].error_code
}

fn fetched(connection: &mut Connection, group: &GroupId) -> Option<i64> {
    let answer = connection.call(8, &fetch_request(group, Some((TOPIC, vec![0]))));
    let group = &answer.groups[0];
    let row = group.topics.first().map(|topic| &topic.partitions[0]);
    row.filter(|row| row.error_code == 0)
        .map(|row| row.committed_offset)
}

#[test]
fn a_coordinator_on_a_full_drive_refuses_and_goes_on_where_it_was() {
    let dir = temp_dir();
    let Some(drive) = faulty_drive(dir.path()) else {
        return;
    };
    let limit = drive.controls().set_capacity(Some(40 << 20));
    limit.expect("in this process");
    let (broker, _, bad) = two_drives(dir.path(), drive.path());
    let mut connection = Connection::open(broker.kafka);
    coordinated(&mut connection, "first");
    let (well, ill) = (
        group_on(&broker, &mut connection, "/good"),
        group_on(&broker, &mut connection, "/bad"),
    );
    assert_eq!(commit(&mut connection, &well, 1), 0);
    assert_eq!(commit(&mut connection, &ill, 1), 0);
    while send(&broker, bad, 900_000).is_ok() {}
    let mut certain = 1;
    let mut refused = 0;
    for offset in 2..2_000 {
        match commit(&mut connection, &ill, offset) {
            0 => certain = offset,
            code => {
                assert!((14..=16).contains(&code), "{code} for {offset}");
                refused += 1;
            }
        }
        if refused == 5 {
            break;
        }
    }
    assert!(refused > 0, "the drive never said that it is full");
    assert_eq!(
        commit(&mut connection, &well, 2),
        0,
        "the other drive goes on"
    );
    drive
        .controls()
        .set_capacity(None)
        .expect("in this process");
    wait_until("an answer of the coordinator", || {
        fetched(&mut connection, &ill).is_some()
    });
    assert_eq!(
        fetched(&mut connection, &ill),
        Some(certain),
        "what was refused isn't there, what was acknowledged is"
    );
    wait_until("recovery without a restart", || {
        commit(&mut connection, &ill, 5_000) == 0
    });
    assert_eq!(fetched(&mut connection, &ill), Some(5_000));
    assert!(broker.stop().success());
}

#[test]
fn a_full_drive_refuses_and_recovers_by_itself() {
    let dir = temp_dir();
    let Some(drive) = faulty_drive(dir.path()) else {
        return;
    };
    drive
        .controls()
        .set_capacity(Some(40 << 20))
        .expect("in this process");
    let (broker, good, bad) = two_drives(dir.path(), drive.path());
    let mut stored = 0;
    let refused = loop {
        match send(&broker, bad, 900_000) {
            Ok(offset) => {
                assert_eq!(offset, stored, "offsets go on where they were");
                stored += 1;
            }
            Err(error) => break error,
        }
        assert!(stored < 60, "the drive never said that it is full");
    };
    assert_eq!(refused, RDKafkaErrorCode::KafkaStorageError);
    assert!(
        send(&broker, good, 900_000).is_ok(),
        "the other drive goes on"
    );
    assert_eq!(
        read_values(&broker, TOPIC, bad).len() as i64,
        stored,
        "what it took can be read"
    );
    drive
        .controls()
        .set_capacity(None)
        .expect("in this process");
    wait_until("recovery without a restart", || {
        send(&broker, bad, 100) == Ok(stored)
    });
    assert_eq!(read_values(&broker, TOPIC, bad).len() as i64, stored + 1);
    assert!(broker.stop().success());
}
