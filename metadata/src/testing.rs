//! What tests of the metadata share, here and in the broker: rules, brokers, topics.

#![allow(clippy::unwrap_used, missing_docs, reason = "only for tests")]

use uuid::Uuid;

use crate::*;

/// Rules with one key of each sort, for topics and brokers alike.
pub struct Rules;

impl ConfigRules for Rules {
    fn key(&self, _kind: ResourceType, key: &str) -> Result<KeyKind, String> {
        match key {
            "retention.ms" | "segment.bytes" => Ok(KeyKind {
                list: false,
                read_only: false,
            }),
            "unclean.leader.election.enable" => Ok(KeyKind {
                list: false,
                read_only: false,
            }),
            "cleanup.policy" => Ok(KeyKind {
                list: true,
                read_only: false,
            }),
            "node.id" => Ok(KeyKind {
                list: false,
                read_only: true,
            }),
            _ => Err(format!(
                "\"{key}\" is no config; did you mean retention.ms?"
            )),
        }
    }

    fn check(&self, _kind: ResourceType, key: &str, value: &str) -> Result<(), String> {
        let fine = match key {
            "cleanup.policy" => value
                .split(',')
                .all(|one| matches!(one, "compact" | "delete" | "")),
            "unclean.leader.election.enable" => value.parse::<bool>().is_ok(),
            _ => value.parse::<i64>().is_ok(),
        };
        if fine {
            Ok(())
        } else {
            Err(format!("\"{value}\" is no value for \"{key}\""))
        }
    }

    fn check_together(
        &self,
        _image: &Image,
        _resource: &Resource,
        configs: &Configs,
    ) -> Result<(), String> {
        match (
            configs.get("retention.ms").map(String::as_str),
            configs.get("segment.bytes"),
        ) {
            (Some("1"), Some(_)) => {
                Err("a retention.ms of 1 doesn't go with a segment.bytes".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn inherited(&self, image: &Image, _resource: &Resource, key: &str) -> Option<String> {
        let all = image.config(ResourceType::Broker, "", key);
        let default = || (key == "cleanup.policy").then(|| "delete".to_owned());
        all.map(str::to_owned).or_else(default)
    }
}

pub const POLICY: Policy = Policy {
    default_partitions: 3,
    default_replication_factor: 1,
    delete_topics: true,
};

/// The `n`th id of the tests.
pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Drive `drive` of node `node`.
pub fn drive(node: i32, drive: u128) -> PlacementDrive {
    PlacementDrive {
        node,
        drive: id(0xd000 + node as u128 * 16 + drive),
    }
}

/// A broker with that many drives, as one of level 1 is: unfenced, of epoch 0.
pub fn broker(node_id: i32, drives: u128) -> BrokerRecord {
    let info = |n| DriveInfo {
        id: drive(node_id, n).drive,
        shard: n as u32,
        path: format!("/data/{n}"),
    };
    let endpoint = Endpoint {
        name: "PLAINTEXT".to_owned(),
        host: "localhost".to_owned(),
        port: 9092,
        security_protocol: 0,
    };
    BrokerRecord {
        node_id,
        rack: None,
        shards: drives as u32,
        drives: (0..drives).map(info).collect(),
        endpoints: vec![endpoint],
        epoch: 0,
        incarnation: Uuid::nil(),
        boot_id: Uuid::nil(),
        clean: false,
        internal_endpoints: Vec::new(),
        fenced: false,
        in_controlled_shutdown: false,
        offline_drives: Vec::new(),
    }
}

/// The same broker as it registers: its first start, on a machine of its own.
pub fn registration(node_id: i32, drives: u128) -> RegisterBroker {
    let BrokerRecord {
        shards,
        drives,
        endpoints,
        ..
    } = broker(node_id, drives);
    let internal = |shard| InternalEndpoint {
        host: "localhost".to_owned(),
        port: 9100 + shard as u16,
    };
    RegisterBroker {
        cluster_id: Some("test-cluster".to_owned()),
        node_id,
        incarnation: id(0x1_0000 + node_id as u128),
        boot_id: id(0xb0_0000 + node_id as u128),
        clean: true,
        metadata_versions: METADATA_VERSIONS,
        rack: None,
        shards,
        drives,
        endpoints,
        internal_endpoints: (0..shards).map(internal).collect(),
    }
}

/// Registers a broker and unfences it.
pub fn join(image: &mut Image, registration: &RegisterBroker) {
    let controller = Controller::new(image, &Rules, POLICY);
    let (_, records) = controller
        .register_broker(registration, Liveness::Silent)
        .unwrap();
    apply(image, &records);
    let controller = Controller::new(image, &Rules, POLICY);
    let records = controller.unfence(registration.node_id).unwrap();
    apply(image, &records);
}

/// An image with the brokers 1 to `nodes`, each active and with two drives.
pub fn members(nodes: i32) -> Image {
    let mut image = cluster([]);
    for node in 1..=nodes {
        join(&mut image, &registration(node, 2));
    }
    image
}

/// Creates a topic with these replicas for its partitions, the first of each leading.
pub fn create_on(image: &mut Image, name: &str, partitions: &[&[i32]]) {
    let assignments = (0..).zip(partitions.iter().map(|nodes| nodes.to_vec()));
    let command = CreateTopic {
        assignments: assignments.collect(),
        ..new_topic(name)
    };
    create(image, &command);
}

/// An image with these brokers.
pub fn cluster(brokers: impl IntoIterator<Item = BrokerRecord>) -> Image {
    let mut image = Image::new();
    let start = Controller::new(&image, &Rules, POLICY).bootstrap("test-cluster");
    apply(&mut image, &start);
    for broker in brokers {
        apply(&mut image, &[Record::Broker(broker)]);
    }
    image
}

pub fn apply(image: &mut Image, records: &[Record]) {
    for record in records {
        image.apply(record).unwrap();
    }
}

pub fn rebuilt(image: &Image) -> Image {
    let mut again = Image::new();
    apply(&mut again, &image.to_records());
    again
}

/// A command for a topic with defaults, whose id follows from its name.
pub fn new_topic(name: &str) -> CreateTopic {
    CreateTopic {
        id: id(crc32c::crc32c(name.as_bytes()).into()),
        name: name.to_owned(),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

/// Creates a topic in `image`, on all its drives.
pub fn create(image: &mut Image, command: &CreateTopic) {
    let drives = PlacementDrive::all(image);
    let records = Controller::new(image, &Rules, POLICY)
        .create_topic(command, &drives)
        .unwrap();
    apply(image, &records);
}
