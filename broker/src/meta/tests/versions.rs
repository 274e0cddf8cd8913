//! Files that earlier versions wrote stay readable.

use std::fs::{read, write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::format::scan_log;
use super::super::log::MetaLog;
use super::log::{NEVER, names, open};
use super::*;

/// Files of layout version 1, as the first release wrote them: they stay readable.
#[test]
fn files_of_version_1_are_read() {
    let dir = TempDir::new().unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/meta/tests/fixtures/v1");
    for name in names(&kept) {
        std::fs::copy(kept.join(&name), dir.path().join(&name)).unwrap();
    }
    let (image, next) = open(dir.path()).unwrap();
    assert_eq!(next, 15);
    assert_eq!(image, fixture().0);
}

/// What the files of version 1 hold: the records of the snapshot and, from offset `.2` on, those
/// after it.
fn fixture() -> (Image, Vec<Record>, usize) {
    let mut image = Image::new();
    let mut log = Controller::new(&image, &Rules, POLICY).bootstrap("OttlaFixture1");
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
    rest.extend([
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
    ]);
    apply(&mut image, &rest);
    log.extend(rest);
    (image, log, snapshot_at)
}

/// Writes the fixture; run it by name when a new layout version needs one, into a folder of its
/// own.
#[test]
#[ignore = "writes the fixture of the current layout version"]
fn write_the_fixture() {
    let dir = PathBuf::from(
        std::env::var_os("OTTLA_FIXTURE_DIR").expect("OTTLA_FIXTURE_DIR names the folder"),
    );
    let path = dir.clone();
    on_executor(move || async move {
        let (_, records, snapshot_at) = fixture();
        let (mut log, mut image) = MetaLog::open(&path, NEVER).await.unwrap();
        log.append(&[&records[..snapshot_at]]).await.unwrap();
        apply(&mut image, &records[..snapshot_at]);
        log.take_snapshot(image.to_records()).await.unwrap();
        log.append(&[&records[snapshot_at..]]).await.unwrap();
    });
    for name in names(&dir).iter().filter(|name| name.ends_with(".log")) {
        let bytes = read(dir.join(name)).unwrap();
        write(dir.join(name), &bytes[..scan_log(&bytes).unwrap().end]).unwrap();
    }
}
