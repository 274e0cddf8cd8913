//! Files that earlier versions wrote stay readable.

use std::fs::{read, write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use uuid::Uuid;

use super::super::log::MetaLog;
use super::super::log::format::scan_log;
use super::log::{NEVER, names, open, store, whole, with_entries};
use super::*;

/// Files of layout version 1, as the first release wrote them: they stay readable.
#[test]
fn files_of_version_1_are_read() {
    let (image, next) = read_fixture("v1");
    assert_eq!(next, 15);
    assert_eq!(image, fixture(1).0);
}

/// The same layout with records of metadata.version 2.
#[test]
fn files_with_records_of_level_2_are_read() {
    let (image, next) = read_fixture("v1-level-2");
    let (expected, records, _) = fixture(2);
    assert_eq!(next, records.len() as i64);
    assert_eq!(image, expected);
}

/// Layout version 2: the log of a quorum.
#[test]
fn files_of_version_2_are_read() {
    let (image, next) = read_fixture("v2");
    let (expected, records, _) = fixture(2);
    assert_eq!(next, records.len() as i64);
    assert_eq!(image, expected);
}

fn read_fixture(name: &str) -> (Image, i64) {
    let dir = TempDir::new().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/meta/tests/fixtures");
    let kept = folder.join(name);
    for name in names(&kept) {
        std::fs::copy(kept.join(&name), dir.path().join(&name)).unwrap();
    }
    open(dir.path()).unwrap()
}

/// What the files of a level of metadata.version hold: the records of the snapshot and, from offset
/// `.2` on, those after it.
fn fixture(level: i16) -> (Image, Vec<Record>, usize) {
    let mut image = Image::new();
    let mut log = vec![
        Record::Feature(FeatureRecord {
            name: METADATA_VERSION.to_owned(),
            level,
        }),
        Record::ClusterId(ClusterIdRecord {
            id: "OttlaFixture1".to_owned(),
        }),
    ];
    log.push(Record::Broker(BrokerRecord {
        rack: Some("r1".to_owned()),
        ..broker(1, 2)
    }));
    apply(&mut image, &log);
    let configs = vec![("retention.ms".to_owned(), Some("86400000".to_owned()))];
    let controller = Controller::new(&image, &Rules, POLICY);
    let drives = PlacementDrive::all(&image);
    let records = controller
        .create_topic(
            &CreateTopic {
                configs,
                ..new_topic("orders.v1")
            },
            &drives,
        )
        .unwrap();
    apply(&mut image, &records);
    log.extend(records);
    let snapshot_at = log.len();
    let topic_id = image.topic("orders.v1").unwrap().id;
    let doomed = Controller::new(&image, &Rules, POLICY).create_topic(
        &CreateTopic {
            partitions: 1,
            ..new_topic("doomed")
        },
        &drives,
    );
    let mut rest = doomed.unwrap();
    rest.extend(after_the_snapshot(topic_id));
    if level >= 2 {
        rest.extend(of_level_2(topic_id));
    }
    apply(&mut image, &rest);
    log.extend(rest);
    (image, log, snapshot_at)
}

fn after_the_snapshot(topic_id: Uuid) -> Vec<Record> {
    vec![
        Record::RemoveTopic(RemoveTopicRecord {
            id: new_topic("doomed").id,
        }),
        Record::PartitionChange(PartitionChangeRecord {
            topic_id,
            index: 1,
            replicas: None,
            isr: Some(vec![]),
            leader: Some(-1),
            leader_epoch: Some(1),
            partition_epoch: 1,
            directories: None,
            adding: None,
            removing: None,
        }),
        Record::Config(ConfigRecord {
            resource: Resource::all_brokers(),
            key: "segment.bytes".into(),
            value: None,
        }),
        Record::Config(ConfigRecord {
            resource: Resource::broker(1),
            key: "retention.ms".into(),
            value: Some("1".into()),
        }),
        Record::ProducerIdBlock(ProducerIdBlockRecord {
            next_producer_id: 1000,
            broker: 1,
        }),
    ]
}

/// One of each kind that level 2 brought, and its fields in the kinds there were.
fn of_level_2(topic_id: Uuid) -> Vec<Record> {
    let joined = |node, epoch| BrokerRecord {
        epoch,
        incarnation: id(7),
        boot_id: id(8),
        clean: true,
        internal_endpoints: vec![InternalEndpoint {
            host: "inside".to_owned(),
            port: 9100,
        }],
        fenced: true,
        in_controlled_shutdown: true,
        ..broker(node, 2)
    };
    let failed = drive(2, 1).drive;
    vec![
        Record::LastBrokerEpoch(LastBrokerEpochRecord { epoch: 3 }),
        Record::Broker(joined(2, 4)),
        Record::Broker(joined(3, 5)),
        Record::BrokerChange(BrokerChangeRecord {
            node_id: 2,
            epoch: 4,
            fenced: Some(false),
            in_controlled_shutdown: None,
            offline_drives: Some(vec![failed]),
        }),
        Record::UnregisterBroker(UnregisterBrokerRecord {
            node_id: 3,
            epoch: 5,
        }),
        Record::PartitionChange(PartitionChangeRecord {
            replicas: Some(vec![2, 1]),
            directories: Some(vec![drive(2, 0).drive, drive(1, 0).drive]),
            adding: Some(vec![2]),
            removing: Some(vec![1]),
            ..PartitionChangeRecord::of(topic_id, 0, 1)
        }),
    ]
}

/// Writes the fixture; run it by name when a new layout version needs one, into a folder of its
/// own.
#[test]
#[ignore = "writes the fixture of the current layout version and level"]
fn write_the_fixture() {
    let dir = PathBuf::from(
        std::env::var_os("OTTLA_FIXTURE_DIR").expect("OTTLA_FIXTURE_DIR names the folder"),
    );
    let path = dir.clone();
    on_executor(move || async move {
        let (_, records, snapshot_at) = fixture(METADATA_VERSION_LEVEL);
        let (mut log, opened) = MetaLog::open(&path, NEVER).await.unwrap();
        let mut image = with_entries(opened);
        store(&mut log, &[&records[..snapshot_at]]).await.unwrap();
        apply(&mut image, &records[..snapshot_at]);
        let mark = whole(&log);
        log.take_snapshot(mark, image.to_records()).await.unwrap();
        store(&mut log, &[&records[snapshot_at..]]).await.unwrap();
    });
    for name in names(&dir).iter().filter(|name| name.ends_with(".log")) {
        let bytes = read(dir.join(name)).unwrap();
        write(dir.join(name), &bytes[..scan_log(&bytes).unwrap().end]).unwrap();
    }
}
