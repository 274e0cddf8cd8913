//! Random commands: whatever they are, images that took the same records are the same, and load is
//! spread evenly.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Command {
    Create {
        name: u8,
        partitions: i32,
        factor: i16,
        config: bool,
    },
    Delete {
        name: u8,
    },
    Grow {
        name: u8,
        count: i32,
    },
    Alter {
        name: u8,
        op: ConfigOp,
        value: &'static str,
    },
    Node {
        op: ConfigOp,
        all: bool,
    },
    ProducerIds,
    Register {
        node: i32,
        drives: u128,
    },
    Adopt {
        name: u8,
        index: i32,
        place: (i32, u128),
    },
    Move {
        name: u8,
        index: i32,
        to: (i32, u128),
    },
}

fn ops() -> impl Strategy<Value = ConfigOp> {
    proptest::sample::select(vec![
        ConfigOp::Set,
        ConfigOp::Delete,
        ConfigOp::Append,
        ConfigOp::Subtract,
    ])
}

fn commands() -> impl Strategy<Value = Command> {
    let name = || 0u8..6;
    prop_oneof![
        3 => (name(), -1..6i32, -1..4i16, any::<bool>())
            .prop_map(|(name, partitions, factor, config)| Command::Create { name, partitions, factor, config }),
        2 => name().prop_map(|name| Command::Delete { name }),
        1 => (name(), 0..9i32).prop_map(|(name, count)| Command::Grow { name, count }),
        2 => (name(), ops(), proptest::sample::select(vec!["compact", "delete", "shred"]))
            .prop_map(|(name, op, value)| Command::Alter { name, op, value }),
        1 => (ops(), any::<bool>()).prop_map(|(op, all)| Command::Node { op, all }),
        1 => Just(Command::ProducerIds),
        1 => (1..4i32, 1..4u128).prop_map(|(node, drives)| Command::Register { node, drives }),
        1 => (name(), 0..5i32, (1..4i32, 0..4u128))
            .prop_map(|(name, index, place)| Command::Adopt { name, index, place }),
        1 => (name(), 0..4i32, (1..4i32, 0..4u128)).prop_map(|(name, index, to)| Command::Move { name, index, to }),
    ]
}

/// Names of which some collide.
fn name_of(n: u8) -> &'static str {
    ["a", "b", "c.d", "c_d", "e", "f.g"][usize::from(n)]
}

/// What the controller says, or the records of what a leader of the partition would say.
fn decide(image: &Image, fresh: u128, command: &Command) -> Result<Vec<Record>, MetaError> {
    let controller = Controller::new(image, &Rules, POLICY);
    let drives = PlacementDrive::all(image);
    let change = |key: &str, op, value: &str| ConfigChange {
        key: key.into(),
        op,
        value: Some(value.into()),
    };
    match *command {
        Command::Create {
            name,
            partitions,
            factor,
            config,
        } => {
            let configs = if config {
                vec![("retention.ms".into(), Some("7".into()))]
            } else {
                Vec::new()
            };
            let (id, replication_factor) = (id(fresh), factor);
            let command = CreateTopic {
                id,
                partitions,
                replication_factor,
                configs,
                ..new_topic(name_of(name))
            };
            controller.create_topic(&command, &drives)
        }
        Command::Delete { name } => controller.delete_topic(&TopicRef::Name(name_of(name).into())),
        Command::Grow { name, count } => {
            let command = CreatePartitions {
                name: name_of(name).into(),
                count,
                assignments: None,
            };
            controller.create_partitions(&command, &drives)
        }
        Command::Alter { name, op, value } => controller.alter_configs(
            &Resource::topic(name_of(name)),
            &[change("cleanup.policy", op, value)],
        ),
        Command::Node { op, all } => {
            let resource = if all {
                Resource::all_brokers()
            } else {
                Resource::broker(1)
            };
            controller.alter_configs(&resource, &[change("retention.ms", op, "5")])
        }
        Command::ProducerIds => controller
            .allocate_producer_ids(1, 0)
            .map(|(_, records)| records),
        Command::Register { node, drives } => controller
            .register_broker(&registration(node, drives), Liveness::Silent)
            .map(|(_, records)| records),
        Command::Adopt { name, index, place } => {
            let place = drive(place.0, place.1);
            let partitions = vec![FoundPartition {
                index,
                place,
                latest_epoch: index,
            }];
            let name = name_of(name).to_owned();
            controller.adopt_topic(
                &AdoptTopic {
                    name,
                    id: None,
                    fresh_id: id(fresh),
                    partitions,
                },
                &drives,
            )
        }
        Command::Move { name, index, to } => {
            let topic = image
                .topic(name_of(name))
                .ok_or_else(|| MetaError::UnknownTopic(name_of(name).into()))?;
            let Some(state) = topic.partition(index) else {
                return Ok(Vec::new());
            };
            let to = drive(to.0, to.1);
            Ok(vec![Record::PartitionChange(PartitionChangeRecord {
                replicas: Some(vec![to.node]),
                isr: Some(vec![to.node]),
                leader: Some(to.node),
                leader_epoch: Some(state.leader_epoch + 1),
                directories: Some(vec![to.drive]),
                ..PartitionChangeRecord::of(topic.id, index, state.partition_epoch + 1)
            })])
        }
    }
}

/// The load of every drive, counted from the partitions.
pub(super) fn counted(image: &Image) -> std::collections::BTreeMap<(i32, Uuid), u32> {
    let mut loads = std::collections::BTreeMap::new();
    for state in image.topics().flat_map(|topic| &topic.partitions) {
        for place in state
            .replicas
            .iter()
            .copied()
            .zip(state.directories.iter().copied())
        {
            *loads.entry(place).or_default() += 1;
        }
    }
    loads
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn images_of_the_same_records_are_the_same(commands in proptest::collection::vec(commands(), 1..60)) {
        let mut image = cluster([broker(1, 2), broker(2, 1)]);
        let mut log: Vec<Vec<u8>> = image.to_records().iter().map(encode).collect();
        for (n, command) in commands.iter().enumerate() {
            let before = image.clone();
            let decision = decide(&image, 0x1000 + n as u128, command);
            prop_assert_eq!(&decision, &decide(&before, 0x1000 + n as u128, command), "decided twice alike");
            let Ok(records) = decision else { continue };
            for record in &records {
                prop_assert_eq!(image.apply(record), Ok(()), "{:?}", command);
            }
            log.extend(records.iter().map(encode));
            prop_assert_eq!(&rebuilt(&image), &image, "a snapshot after {:?}", command);
        }
        let mut replayed = Image::new();
        for bytes in &log {
            replayed.apply(&decode(bytes).unwrap().unwrap()).unwrap();
        }
        prop_assert_eq!(&replayed, &image);
        for ((node, drive), replicas) in counted(&image) {
            prop_assert_eq!(image.drive_load(node, drive).replicas, replicas);
        }
        for topic in image.topics() {
            prop_assert_eq!(image.topic_by_id(topic.id), Some(topic));
            prop_assert_eq!(image.alike(&topic.name).count() > 0, topic.name.contains(['.', '_']));
        }
    }

    #[test]
    fn single_replicas_are_balanced_over_drives(
        drives in proptest::collection::vec(1..4u128, 1..4),
        topics in proptest::collection::vec(1..20i32, 1..20),
    ) {
        let brokers = (1..).zip(&drives).map(|(node, &drives)| broker(node, drives));
        let mut image = cluster(brokers);
        for (n, &partitions) in topics.iter().enumerate() {
            let command = CreateTopic { partitions, replication_factor: 1, ..new_topic(&format!("t{n}")) };
            create(&mut image, &command);
            let places = PlacementDrive::all(&image);
            let loads = places.iter().map(|place| image.drive_load(place.node, place.drive).replicas);
            let (least, most) = (loads.clone().min().unwrap(), loads.max().unwrap());
            prop_assert!(most - least <= 1, "{} to {}", least, most);
        }
    }

    #[test]
    fn replicas_and_leaders_are_balanced_over_nodes(
        nodes in 1..6i32,
        factor in 1..4i16,
        topics in proptest::collection::vec(1..12i32, 1..12),
    ) {
        prop_assume!(i32::from(factor) <= nodes);
        let mut image = cluster((1..=nodes).map(|node| broker(node, 1)));
        for (n, &partitions) in topics.iter().enumerate() {
            let command = CreateTopic { partitions, replication_factor: factor, ..new_topic(&format!("t{n}")) };
            create(&mut image, &command);
        }
        for state in image.topics().flat_map(|topic| &topic.partitions) {
            let distinct: std::collections::BTreeSet<_> = state.replicas.iter().collect();
            prop_assert_eq!(distinct.len(), state.replicas.len());
        }
        let loads = (1..=nodes).map(|node| image.drive_load(node, drive(node, 0).drive).replicas);
        prop_assert!(loads.clone().max().unwrap() - loads.min().unwrap() <= 1);
        let leaders = (1..=nodes).map(|node| image.preferred_leaders(node));
        let (least, most) = (leaders.clone().min().unwrap(), leaders.max().unwrap());
        prop_assert!(most - least <= 2, "{} to {} leaders a node", least, most);
    }
}
