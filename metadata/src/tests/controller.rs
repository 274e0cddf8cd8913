//! What the controller decides and refuses, command by command.

use super::*;

/// Three brokers with two drives each, and a topic "taken" of two partitions, one replica each.
fn image() -> Image {
    let mut image = cluster([broker(1, 2), broker(2, 2), broker(3, 2)]);
    create(
        &mut image,
        &CreateTopic {
            partitions: 2,
            ..new_topic("taken")
        },
    );
    image
}

fn with<T>(image: &Image, command: impl FnOnce(Controller<'_>, &[PlacementDrive]) -> T) -> T {
    command(
        Controller::new(image, &Rules, POLICY),
        &PlacementDrive::all(image),
    )
}

fn refusal(command: &CreateTopic) -> (i16, String) {
    let error = with(&image(), |c, drives| c.create_topic(command, drives)).unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn names_that_cannot_be_a_topics() {
    let long = "x".repeat(250);
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a b",
        "ä",
        "a\0",
        long.as_str(),
        "__cluster_metadata",
    ] {
        assert_eq!(refusal(&new_topic(name)).0, 17, "{name:?}");
        assert_eq!(
            check_topic_name(name).is_err(),
            name != "__cluster_metadata"
        );
    }
    let longest = "x".repeat(TOPIC_NAME_MAX);
    for name in ["...", "a", "A-b_c.9", "_", longest.as_str()] {
        assert!(
            with(&image(), |c, drives| c
                .create_topic(&new_topic(name), drives))
            .is_ok(),
            "{name:?}"
        );
    }
}

#[test]
fn names_that_differ_by_dots_and_underscores_only_collide() {
    for (there, new, collides) in [
        ("a.b", "a_b", true),
        ("a_b", "a.b", true),
        ("a.b_c", "a_b.c", true),
        ("a.b", "a-b", false),
        ("ab", "a.b", false),
    ] {
        let mut image = cluster([broker(1, 1)]);
        create(&mut image, &new_topic(there));
        let result = with(&image, |c, drives| c.create_topic(&new_topic(new), drives));
        assert_eq!(
            result.is_err_and(|error| error.code() == 17 && error.to_string().contains(there)),
            collides,
            "{there} {new}"
        );
    }
}

#[test]
fn topics_that_are_refused() {
    let base = || new_topic("new");
    let assigned = |assignments: &[(i32, &[i32])]| CreateTopic {
        assignments: assignments
            .iter()
            .map(|(at, nodes)| (*at, nodes.to_vec()))
            .collect(),
        ..base()
    };
    let config = |key: &str, value: Option<&str>| CreateTopic {
        configs: vec![(key.to_owned(), value.map(str::to_owned))],
        ..base()
    };
    let cases = [
        ("exists", new_topic("taken"), 36),
        (
            "the id exists",
            CreateTopic {
                id: new_topic("taken").id,
                ..base()
            },
            36,
        ),
        (
            "no partitions",
            CreateTopic {
                partitions: 0,
                ..base()
            },
            37,
        ),
        (
            "negative partitions",
            CreateTopic {
                partitions: -2,
                ..base()
            },
            37,
        ),
        (
            "too many partitions",
            CreateTopic {
                partitions: i32::MAX,
                ..base()
            },
            44,
        ),
        (
            "no replicas",
            CreateTopic {
                replication_factor: 0,
                ..base()
            },
            38,
        ),
        (
            "more replicas than nodes",
            CreateTopic {
                replication_factor: 4,
                ..base()
            },
            38,
        ),
        (
            "both",
            CreateTopic {
                partitions: 1,
                ..assigned(&[(0, &[1])])
            },
            42,
        ),
        (
            "both, by factor",
            CreateTopic {
                replication_factor: 1,
                ..assigned(&[(0, &[1])])
            },
            42,
        ),
        ("doesn't start at 0", assigned(&[(1, &[1])]), 39),
        ("a gap", assigned(&[(0, &[1]), (2, &[1])]), 39),
        ("a partition twice", assigned(&[(0, &[1]), (0, &[1])]), 39),
        ("an empty list", assigned(&[(0, &[])]), 39),
        ("a node twice", assigned(&[(0, &[1, 2, 1])]), 39),
        ("an unknown node", assigned(&[(0, &[9])]), 39),
        ("uneven", assigned(&[(0, &[1, 2]), (1, &[1])]), 39),
        ("unknown config", config("dummy.doesntexist", Some("1")), 40),
        ("bad value", config("retention.ms", Some("soon")), 40),
        ("null value", config("retention.ms", None), 40),
        ("read-only config", config("node.id", Some("1")), 40),
        (
            "configs that don't go together",
            CreateTopic {
                configs: vec![
                    ("retention.ms".into(), Some("1".into())),
                    ("segment.bytes".into(), Some("1".into())),
                ],
                ..base()
            },
            40,
        ),
    ];
    for (what, command, code) in cases {
        assert_eq!(refusal(&command).0, code, "{what}: {}", refusal(&command).1);
    }
}

#[test]
fn a_topic_takes_defaults_assignments_and_configs() {
    let mut image = image();
    create(&mut image, &new_topic("defaults"));
    assert_eq!(image.topic("defaults").unwrap().partitions.len(), 3);

    let command = CreateTopic {
        assignments: vec![(1, vec![3, 1]), (0, vec![2, 3])],
        configs: vec![("cleanup.policy".into(), Some("compact".into()))],
        ..new_topic("assigned")
    };
    create(&mut image, &command);
    let topic = image.topic("assigned").unwrap();
    assert_eq!(topic.id, command.id);
    let nodes: Vec<_> = topic
        .partitions
        .iter()
        .map(|p| (p.replicas.clone(), p.leader, p.isr.clone()))
        .collect();
    assert_eq!(
        nodes,
        [(vec![2, 3], 2, vec![2, 3]), (vec![3, 1], 3, vec![3, 1])]
    );
    for partition in &topic.partitions {
        for (&node, drive) in partition.replicas.iter().zip(&partition.directories) {
            assert!(
                image.brokers()[&node]
                    .drives
                    .iter()
                    .any(|info| info.id == *drive)
            );
        }
    }
    assert_eq!(
        image.config(ResourceType::Topic, "assigned", "cleanup.policy"),
        Some("compact")
    );
}

#[test]
fn only_drives_that_take_partitions_are_used() {
    let image = image();
    let only = [drive(2, 1)];
    let controller = Controller::new(&image, &Rules, POLICY);
    let records = controller.create_topic(&new_topic("new"), &only).unwrap();
    let places = |record: &Record| match record {
        Record::Partition(partition) => Some(partition.state.directories.clone()),
        _ => None,
    };
    assert_eq!(
        records.iter().filter_map(places).collect::<Vec<_>>(),
        vec![vec![only[0].drive]; 3]
    );
    let none = controller.create_topic(&new_topic("new"), &[]).unwrap_err();
    assert_eq!(none.code(), 38);
    let elsewhere = CreateTopic {
        assignments: vec![(0, vec![1])],
        ..new_topic("new")
    };
    assert_eq!(
        controller
            .create_topic(&elsewhere, &only)
            .unwrap_err()
            .code(),
        39
    );
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let image = image();
    let taken = image.topic("taken").unwrap().id;
    let delete = |topic: TopicRef| Controller::new(&image, &Rules, POLICY).delete_topic(&topic);
    let removal = Ok(vec![Record::RemoveTopic(RemoveTopicRecord { id: taken })]);
    assert_eq!(delete(TopicRef::Name("taken".into())), removal);
    assert_eq!(delete(TopicRef::Id(taken)), removal);
    assert_eq!(delete(TopicRef::Name("nope".into())).unwrap_err().code(), 3);
    assert_eq!(delete(TopicRef::Id(id(4))).unwrap_err().code(), 100);
    let frozen = Controller::new(
        &image,
        &Rules,
        Policy {
            delete_topics: false,
            ..POLICY
        },
    );
    assert_eq!(
        frozen
            .delete_topic(&TopicRef::Id(taken))
            .unwrap_err()
            .code(),
        73
    );
}

#[test]
fn partitions_are_added() {
    let mut image = image();
    let assignments = vec![(0, vec![1, 2])];
    create(
        &mut image,
        &CreateTopic {
            assignments,
            ..new_topic("two")
        },
    );
    let add = |name: &str, count: i32, assignments: Option<&[&[i32]]>| {
        let assignments =
            assignments.map(|lists| lists.iter().map(|nodes| nodes.to_vec()).collect());
        let command = CreatePartitions {
            name: name.to_owned(),
            count,
            assignments,
        };
        with(&image, |c, drives| c.create_partitions(&command, drives))
    };
    let cases = [
        ("unknown topic", add("nope", 5, None), 3),
        ("as many as there are", add("two", 1, None), 37),
        ("fewer", add("taken", 1, None), 37),
        ("negative", add("two", -1, None), 37),
        ("far too many", add("two", i32::MAX, None), 44),
        ("too few assignments", add("two", 3, Some(&[&[1, 2]])), 39),
        ("other number of replicas", add("two", 2, Some(&[&[1]])), 39),
        ("an unknown node", add("two", 2, Some(&[&[1, 7]])), 39),
    ];
    for (what, result, code) in cases {
        assert_eq!(result.unwrap_err().code(), code, "{what}");
    }
    let mut after = image.clone();
    apply(
        &mut after,
        &add("two", 3, Some(&[&[2, 3], &[3, 1]])).unwrap(),
    );
    let replicas: Vec<_> = after
        .topic("two")
        .unwrap()
        .partitions
        .iter()
        .map(|p| p.replicas.clone())
        .collect();
    assert_eq!(replicas, [[1, 2], [2, 3], [3, 1]]);
    let mut after = image.clone();
    apply(&mut after, &add("two", 4, None).unwrap());
    assert!(
        after
            .topic("two")
            .unwrap()
            .partitions
            .iter()
            .all(|p| p.replicas.len() == 2)
    );
    assert_eq!(after.topic("two").unwrap().partitions.len(), 4);
    let nowhere = CreatePartitions {
        name: "two".into(),
        count: 4,
        assignments: None,
    };
    let error = Controller::new(&image, &Rules, POLICY)
        .create_partitions(&nowhere, &[drive(1, 0)])
        .unwrap_err();
    assert_eq!(error.code(), 38);
}

#[test]
fn producer_ids_are_given_once() {
    let mut image = cluster([broker(1, 1)]);
    for block in 0..3 {
        let (ids, records) = Controller::new(&image, &Rules, POLICY)
            .allocate_producer_ids(1, 0)
            .unwrap();
        assert_eq!(
            ids,
            ProducerIds {
                first: block * 1000,
                count: 1000
            }
        );
        apply(&mut image, &records);
    }
    let last = ProducerIdBlockRecord {
        next_producer_id: i64::MAX - 5,
        broker: 1,
    };
    apply(&mut image, &[Record::ProducerIdBlock(last)]);
    let error = Controller::new(&image, &Rules, POLICY)
        .allocate_producer_ids(1, 0)
        .unwrap_err();
    assert_eq!(error, MetaError::ProducerIdsExhausted);
}

#[test]
fn a_cluster_starts_once() {
    let image = cluster([]);
    assert_eq!(
        Controller::new(&image, &Rules, POLICY).bootstrap("another"),
        []
    );
}

fn found(index: i32, drive: PlacementDrive, latest_epoch: i32) -> FoundPartition {
    FoundPartition {
        index,
        place: drive,
        latest_epoch,
    }
}

fn adopt(
    image: &Image,
    name: &str,
    id: Option<Uuid>,
    partitions: Vec<FoundPartition>,
) -> Result<Vec<Record>, MetaError> {
    let command = AdoptTopic {
        name: name.to_owned(),
        id,
        fresh_id: super::id(0xf),
        partitions,
    };
    with(image, |c, drives| c.adopt_topic(&command, drives))
}

#[test]
fn an_unknown_topics_directories_are_adopted() {
    let mut image = cluster([broker(1, 2)]);
    let partitions = vec![found(2, drive(1, 0), 4), found(0, drive(1, 0), -1)];
    let records = adopt(&image, "kafkas", Some(id(7)), partitions.clone()).unwrap();
    apply(&mut image, &records);
    let topic = image.topic("kafkas").unwrap();
    assert_eq!(topic.id, id(7));
    let places: Vec<_> = topic
        .partitions
        .iter()
        .map(|p| (p.directories[0], p.leader_epoch, p.leader))
        .collect();
    let (first, second) = (drive(1, 0).drive, drive(1, 1).drive);
    assert_eq!(
        places,
        [(first, 0, 1), (second, 0, 1), (first, 5, 1)],
        "the gap is filled elsewhere"
    );
    assert_eq!(
        adopt(&image, "kafkas", Some(id(7)), partitions.clone()),
        Ok(vec![]),
        "once"
    );
    assert_eq!(
        adopt(&image, "kafkas", None, partitions),
        Ok(vec![]),
        "a directory without id, too"
    );
}

#[test]
fn a_directory_without_an_id_gets_the_fresh_one() {
    let mut image = cluster([broker(1, 1)]);
    let records = adopt(&image, "old", None, vec![found(0, drive(1, 0), 0)]).unwrap();
    apply(&mut image, &records);
    assert_eq!(image.topic("old").unwrap().id, id(0xf));
}

#[test]
fn a_known_topic_takes_partitions_that_follow() {
    let mut image = cluster([broker(1, 1)]);
    create(&mut image, &new_topic("known"));
    let topic_id = image.topic("known").unwrap().id;
    let records = adopt(
        &image,
        "known",
        Some(topic_id),
        vec![found(3, drive(1, 0), 0)],
    )
    .unwrap();
    assert_eq!(records.len(), 1);
    apply(&mut image, &records);
    assert_eq!(image.topic("known").unwrap().partitions.len(), 4);
}

#[test]
fn directories_that_contradict_the_metadata_are_refused() {
    let mut image = cluster([broker(1, 2)]);
    create(
        &mut image,
        &CreateTopic {
            partitions: 1,
            ..new_topic("known")
        },
    );
    let topic = image.topic("known").unwrap();
    let other = [drive(1, 0), drive(1, 1)]
        .into_iter()
        .find(|place| topic.partitions[0].directories != [place.drive])
        .unwrap();
    let cases = [
        (
            "left over from a deleted topic",
            adopt(&image, "known", Some(id(5)), vec![found(0, drive(1, 0), 0)]),
            103,
        ),
        (
            "another topic's id",
            adopt(
                &image,
                "new",
                Some(topic.id),
                vec![found(0, drive(1, 0), 0)],
            ),
            103,
        ),
        (
            "on another drive",
            adopt(&image, "known", Some(topic.id), vec![found(0, other, 0)]),
            103,
        ),
        (
            "on two drives",
            adopt(
                &image,
                "new",
                None,
                vec![found(0, drive(1, 0), 0), found(0, drive(1, 1), 0)],
            ),
            103,
        ),
        (
            "a bad name",
            adopt(&image, "n w", None, vec![found(0, drive(1, 0), 0)]),
            17,
        ),
        (
            "a bad number",
            adopt(&image, "new", None, vec![found(-1, drive(1, 0), 0)]),
            37,
        ),
        (
            "an absurd number",
            adopt(&image, "new", None, vec![found(i32::MAX, drive(1, 0), 0)]),
            44,
        ),
    ];
    for (what, result, code) in cases {
        assert_eq!(result.unwrap_err().code(), code, "{what}");
    }
    assert_eq!(
        adopt(&image, "new", None, vec![]),
        Ok(vec![]),
        "nothing found, nothing adopted"
    );
}
