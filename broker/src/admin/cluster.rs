//! The JSON of `/v1/cluster`: all nodes, as this one knows them. Names are kept as in `v1`.

use std::collections::BTreeMap;

use metadata::{BrokerRecord, Image};
use serde::Serialize;

use crate::cluster::{CLIENT_LISTENER, CONTROLLER_LISTENER};

/// `/v1/cluster`.
#[derive(Debug, Serialize)]
pub struct ClusterView {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The node that decides changes of the metadata, while this node knows of one.
    pub controller: Option<i32>,
    /// Its nodes, by id.
    pub nodes: Vec<MemberView>,
}

/// A node of the cluster.
#[derive(Debug, Serialize)]
pub struct MemberView {
    /// Its id.
    pub node_id: i32,
    /// Where clients reach it.
    pub address: Option<String>,
    /// Where other nodes reach it; none where it is alone.
    pub internal: Option<String>,
    /// Its rack.
    pub rack: Option<String>,
    /// up, fenced or stopping.
    pub state: &'static str,
    /// Replicas of partitions on it.
    pub replicas: usize,
    /// Partitions that it leads.
    pub leads: usize,
    /// Its drives.
    pub drives: Vec<MemberDriveView>,
}

/// A drive of a node.
#[derive(Debug, Serialize)]
pub struct MemberDriveView {
    /// Its id.
    pub id: String,
    /// Its directory.
    pub path: String,
    /// online or failed.
    pub state: &'static str,
}

impl ClusterView {
    /// The cluster as `image` says, and who is the controller.
    pub fn new(image: &Image, controller: Option<i32>) -> Self {
        let mut counts = BTreeMap::<i32, (usize, usize)>::new();
        for state in image.topics().flat_map(|topic| &topic.partitions) {
            for node in &state.replicas {
                counts.entry(*node).or_default().0 += 1;
            }
            counts.entry(state.leader).or_default().1 += 1;
        }
        let node = |broker: &BrokerRecord| {
            let count = counts.get(&broker.node_id).copied();
            member(broker, count.unwrap_or_default())
        };
        Self {
            cluster_id: image.cluster_id().map(str::to_owned),
            controller,
            nodes: image.brokers().values().map(node).collect(),
        }
    }
}

fn member(broker: &BrokerRecord, (replicas, leads): (usize, usize)) -> MemberView {
    let address = |name: &str| {
        let found = broker.endpoints.iter().find(|at| at.name == name);
        found.map(|at| format!("{}:{}", at.host, at.port))
    };
    let drives = broker.drives.iter().map(|drive| MemberDriveView {
        id: drive.id.to_string(),
        path: drive.path.clone(),
        state: match broker.has_online(drive.id) {
            true => "online",
            false => "failed",
        },
    });
    MemberView {
        node_id: broker.node_id,
        address: address(CLIENT_LISTENER),
        internal: address(CONTROLLER_LISTENER),
        rack: broker.rack.clone(),
        state: match (broker.fenced, broker.in_controlled_shutdown) {
            (true, _) => "fenced",
            (false, true) => "stopping",
            (false, false) => "up",
        },
        replicas,
        leads,
        drives: drives.collect(),
    }
}

#[cfg(test)]
mod tests {
    use metadata::testing::{broker, drive, id};
    use metadata::{PartitionRecord, PartitionState, Record, TopicRecord};

    use super::*;

    #[test]
    fn every_node_is_told_with_what_it_carries() {
        let mut image = Image::new();
        let mut fenced = broker(2, 2);
        fenced.fenced = true;
        fenced.offline_drives = vec![drive(2, 1).drive];
        let topic = TopicRecord {
            id: id(1),
            name: "t".into(),
        };
        let partition = PartitionRecord {
            topic_id: id(1),
            index: 0,
            state: PartitionState {
                replicas: vec![2, 1],
                isr: vec![1],
                leader: 1,
                directories: vec![drive(2, 0).drive, drive(1, 0).drive],
                ..PartitionState::default()
            },
        };
        for record in [
            Record::Broker(broker(1, 1)),
            Record::Broker(fenced),
            Record::Topic(topic),
            Record::Partition(partition),
        ] {
            image.apply(&record).unwrap();
        }
        let view = serde_json::to_value(ClusterView::new(&image, Some(1))).unwrap();
        assert_eq!(view["controller"], 1);
        let [one, two] = &view["nodes"].as_array().unwrap()[..] else {
            panic!("{view}");
        };
        assert_eq!(
            (&one["state"], &two["state"]),
            (&"up".into(), &"fenced".into())
        );
        assert_eq!((&one["leads"], &two["leads"]), (&1.into(), &0.into()));
        assert_eq!((&one["replicas"], &two["replicas"]), (&1.into(), &1.into()));
        assert_eq!(one["address"], "localhost:9092");
        assert_eq!(one["internal"], serde_json::Value::Null);
        assert_eq!(two["drives"][0]["state"], "online");
        assert_eq!(two["drives"][1]["state"], "failed");
    }
}
