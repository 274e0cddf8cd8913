//! What records make of an image.

use std::sync::Arc;

use super::*;

fn two_topics() -> Image {
    let mut image = cluster([broker(1, 2)]);
    create(&mut image, &new_topic("a.b"));
    create(
        &mut image,
        &CreateTopic {
            configs: vec![("retention.ms".into(), Some("5".into()))],
            ..new_topic("logs")
        },
    );
    image
}

fn change(topic_id: Uuid, index: i32) -> PartitionChangeRecord {
    PartitionChangeRecord::of(topic_id, index, 1)
}

#[test]
fn topics_are_found_by_name_and_by_id() {
    let image = two_topics();
    let topic = image.topic("logs").unwrap();
    assert_eq!(image.topic_by_id(topic.id), Some(topic));
    assert_eq!(topic.partitions.len(), 3);
    assert_eq!(topic.partition(2).unwrap().leader, 1);
    assert!(topic.partition(3).is_none() && topic.partition(-1).is_none());
    assert!(image.topic("log").is_none());
    let names: Vec<&str> = image.topics().map(|topic| &*topic.name).collect();
    assert_eq!(names, ["a.b", "logs"]);
    let later: Vec<&str> = image.topics_from("a.c").map(|topic| &*topic.name).collect();
    assert_eq!(later, ["logs"]);
}

#[test]
fn a_removed_topic_leaves_nothing_behind() {
    let mut image = two_topics();
    for name in ["a.b", "logs"] {
        let id = image.topic(name).unwrap().id;
        apply(&mut image, &[Record::RemoveTopic(RemoveTopicRecord { id })]);
    }
    assert_eq!(image, cluster([broker(1, 2)]));
    assert_eq!(image.drive_load(1, drive(1, 0).drive), DriveLoad::default());
}

#[test]
fn a_config_that_is_unset_leaves_nothing_behind() {
    let mut image = cluster([broker(1, 1)]);
    let before = image.clone();
    let mut record = ConfigRecord {
        resource: Resource::broker(1),
        key: "k".into(),
        value: Some("v".into()),
    };
    apply(&mut image, &[Record::Config(record.clone())]);
    assert_eq!(image.config(ResourceType::Broker, "1", "k"), Some("v"));
    assert_eq!(
        image.configured(ResourceType::Broker).collect::<Vec<_>>(),
        ["1"]
    );
    record.value = None;
    apply(&mut image, &[Record::Config(record)]);
    assert_eq!(image, before);
}

#[test]
fn a_changed_partition_moves_its_load() {
    let mut image = two_topics();
    let id = image.topic("logs").unwrap().id;
    let (from, to) = (drive(1, 0).drive, drive(1, 1).drive);
    let moved = image
        .topic("logs")
        .unwrap()
        .partitions
        .iter()
        .position(|p| p.directories == [from])
        .unwrap();
    let before = (
        image.drive_load(1, from).replicas,
        image.drive_load(1, to).replicas,
    );
    let record = PartitionChangeRecord {
        directories: Some(vec![to]),
        leader: Some(-1),
        leader_epoch: Some(7),
        ..change(id, moved as i32)
    };
    apply(&mut image, &[Record::PartitionChange(record)]);
    assert_eq!(
        (
            image.drive_load(1, from).replicas,
            image.drive_load(1, to).replicas
        ),
        (before.0 - 1, before.1 + 1)
    );
    let state = image
        .topic("logs")
        .unwrap()
        .partition(moved as i32)
        .unwrap();
    assert_eq!(
        (state.leader, state.leader_epoch, state.partition_epoch),
        (-1, 7, 1)
    );
    assert_eq!(
        (state.isr.as_slice(), state.replicas.as_slice()),
        ([1].as_slice(), [1].as_slice())
    );
    assert_eq!(state.directory_on(1), Some(to));
    assert_eq!(state.directory_on(2), None);
    assert_eq!(rebuilt(&image), image);
}

#[test]
fn what_cannot_follow_is_refused_and_changes_nothing() {
    let image = two_topics();
    let known = image.topic("logs").unwrap().id;
    let partition = |topic_id, index, directories| {
        let state = image.topic("logs").unwrap().partitions[0].clone();
        Record::Partition(PartitionRecord {
            topic_id,
            index,
            state: PartitionState {
                directories,
                ..state
            },
        })
    };
    let unknown = id(99);
    let topic = |id, name: &str| {
        Record::Topic(TopicRecord {
            id,
            name: Arc::from(name),
        })
    };
    let drives = vec![id(1)];
    let refused = [
        (
            topic(unknown, "logs"),
            ApplyError::TopicExists {
                name: Arc::from("logs"),
                id: unknown,
            },
        ),
        (
            topic(known, "new"),
            ApplyError::TopicExists {
                name: Arc::from("new"),
                id: known,
            },
        ),
        (
            partition(unknown, 0, drives.clone()),
            ApplyError::UnknownTopic(unknown),
        ),
        (
            partition(known, 4, drives.clone()),
            ApplyError::PartitionGap {
                topic_id: known,
                index: 4,
                expected: 3,
            },
        ),
        (
            partition(known, -1, drives),
            ApplyError::PartitionGap {
                topic_id: known,
                index: -1,
                expected: 3,
            },
        ),
        (
            partition(known, 3, vec![]),
            ApplyError::DrivesOfReplicas {
                topic_id: known,
                index: 3,
                replicas: 1,
                directories: 0,
            },
        ),
        (
            Record::RemoveTopic(RemoveTopicRecord { id: unknown }),
            ApplyError::UnknownTopic(unknown),
        ),
        (
            Record::PartitionChange(change(unknown, 0)),
            ApplyError::UnknownTopic(unknown),
        ),
        (
            Record::PartitionChange(change(known, 3)),
            ApplyError::UnknownPartition {
                topic_id: known,
                index: 3,
            },
        ),
        (
            Record::PartitionChange(PartitionChangeRecord {
                replicas: Some(vec![1, 2]),
                ..change(known, 0)
            }),
            ApplyError::DrivesOfReplicas {
                topic_id: known,
                index: 0,
                replicas: 2,
                directories: 1,
            },
        ),
        (
            Record::ProducerIdBlock(ProducerIdBlockRecord {
                next_producer_id: -1,
                broker: 1,
            }),
            ApplyError::ProducerIdsBackwards {
                next: -1,
                current: 0,
            },
        ),
        (
            Record::Feature(FeatureRecord {
                name: METADATA_VERSION.into(),
                level: 3,
            }),
            ApplyError::UnsupportedFeature {
                name: METADATA_VERSION.into(),
                level: 3,
                supported: 2,
            },
        ),
    ];
    for (record, error) in refused {
        let mut after = image.clone();
        assert_eq!(after.apply(&record), Err(error), "{record:?}");
        assert_eq!(after, image);
    }
}

#[test]
fn features_and_the_cluster_id_are_kept() {
    let mut image = cluster([]);
    assert_eq!(image.cluster_id(), Some("test-cluster"));
    assert_eq!(image.feature(METADATA_VERSION), METADATA_VERSION_LEVEL);
    let set = |level| {
        Record::Feature(FeatureRecord {
            name: "group.version".into(),
            level,
        })
    };
    apply(&mut image, &[set(1)]);
    assert_eq!(image.features().len(), 2);
    assert_eq!(rebuilt(&image), image);
    apply(&mut image, &[set(0)]);
    assert_eq!(image.feature("group.version"), 0);
    assert_eq!(image.features().len(), 1);
}
