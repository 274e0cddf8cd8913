//! What clients are told of brokers and replicas, read from the metadata as it is on this shard.
//!
//! Of a broker's addresses only that for clients is told; the one between nodes is no listener of Kafka's.

use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;
use metadata::{BrokerRecord, Endpoint, Image, PartitionState};

use crate::cluster::CLIENT_LISTENER;
use crate::shard::Shard;

/// Text as the protocol's types hold it.
pub(super) fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

/// Node ids as the protocol's types hold them.
pub(super) fn ids(nodes: &[i32]) -> Vec<BrokerId> {
    nodes.iter().copied().map(BrokerId).collect()
}

/// Where clients reach a broker.
pub(super) fn endpoint(broker: &BrokerRecord) -> Option<&Endpoint> {
    let mut endpoints = broker.endpoints.iter();
    endpoints.find(|endpoint| endpoint.name == CLIENT_LISTENER)
}

/// The brokers that clients can reach at all, each with its address there; `fenced` ones, too, or not.
pub(super) fn brokers(
    image: &Image,
    fenced: bool,
) -> impl Iterator<Item = (&BrokerRecord, &Endpoint)> {
    let wanted = move |broker: &&BrokerRecord| fenced || !broker.fenced;
    let all = image.brokers().values().filter(wanted);
    all.filter_map(|broker| Some((broker, endpoint(broker)?)))
}

/// The brokers that clients are to turn to: those that aren't fenced, or all where all are.
///
/// Unlike Kafka, which tells of none then: the broker that answers is there, the others may soon be, and librdkafka
/// (2.10 and later, its issue 5301) forgets all brokers for good when it is told that there is none.
pub(super) fn contacts(image: &Image) -> impl Iterator<Item = (&BrokerRecord, &Endpoint)> {
    let none = brokers(image, false).next().is_none();
    brokers(image, none)
}

/// Whether clients can reach the broker of this id.
pub(super) fn is_reachable(image: &Image, node: i32) -> bool {
    image.broker(node).and_then(endpoint).is_some()
}

/// The leader of a partition, if it has one that clients can reach.
pub(super) fn leader(image: &Image, state: &PartitionState) -> Option<BrokerId> {
    is_reachable(image, state.leader).then_some(BrokerId(state.leader))
}

/// The replicas of a partition that are on a broker or a drive that isn't there.
pub(super) fn offline(image: &Image, state: &PartitionState) -> Vec<BrokerId> {
    let is_online = |node: i32, broker: &BrokerRecord| {
        let drive = state.directory_on(node).unwrap_or_default();
        !broker.fenced && endpoint(broker).is_some() && broker.has_online(drive)
    };
    let is_offline = |node: &&i32| {
        let broker = image.broker(**node);
        broker.is_none_or(|broker| !is_online(**node, broker))
    };
    let offline = state.replicas.iter().filter(is_offline);
    offline.copied().map(BrokerId).collect()
}

/// Whom clients are to send what is for the controller. Every broker passes that on; the one that
/// decides itself saves a step.
pub(super) fn controller(shard: &Shard) -> BrokerId {
    let decides = shard.controller.get();
    shard.with_image(|image| {
        let fit = |node: &i32| image.broker(*node).is_some_and(|broker| !broker.fenced);
        let chosen = decides.into_iter().chain([shard.node_id()]).find(fit);
        let any = || brokers(image, false).next().map(|(one, _)| one.node_id);
        BrokerId(chosen.or_else(any).unwrap_or(-1))
    })
}

#[cfg(test)]
mod tests {
    use metadata::Record;
    use metadata::testing::{broker, drive};

    use super::*;

    /// Nodes 1 to 4: 2 is fenced, the first drive of 3 has failed, 4 has no address for clients.
    fn image() -> Image {
        let mut image = Image::new();
        for node in 1..=4 {
            let mut record = broker(node, 2);
            record.fenced = node == 2;
            if node == 3 {
                record.offline_drives = vec![drive(3, 0).drive];
            }
            if node == 4 {
                record.endpoints[0].name = crate::cluster::CONTROLLER_LISTENER.to_owned();
            }
            image.apply(&Record::Broker(record)).unwrap();
        }
        image
    }

    fn state(replicas: &[i32], on: u128) -> PartitionState {
        PartitionState {
            replicas: replicas.to_vec(),
            isr: replicas.to_vec(),
            leader: replicas[0],
            directories: replicas.iter().map(|n| drive(*n, on).drive).collect(),
            ..PartitionState::default()
        }
    }

    #[test]
    fn clients_are_told_of_brokers_that_they_can_reach() {
        let image = image();
        let told = |fenced| -> Vec<i32> {
            brokers(&image, fenced)
                .map(|(broker, _)| broker.node_id)
                .collect()
        };
        assert_eq!(told(false), [1, 3]);
        assert_eq!(told(true), [1, 2, 3]);
    }

    #[test]
    fn clients_are_never_told_that_there_is_no_broker() {
        let told = |image: &Image| -> Vec<i32> {
            contacts(image).map(|(broker, _)| broker.node_id).collect()
        };
        assert_eq!(told(&image()), [1, 3]);
        let mut all_fenced = Image::new();
        for node in 1..=3 {
            let mut record = broker(node, 2);
            record.fenced = true;
            all_fenced.apply(&Record::Broker(record)).unwrap();
        }
        assert_eq!(told(&all_fenced), [1, 2, 3]);
    }

    #[test]
    fn a_replica_is_offline_with_its_broker_or_its_drive() {
        let image = image();
        let told = |on| offline(&image, &state(&[1, 2, 3, 4, 5], on));
        assert_eq!(told(0), ids(&[2, 3, 4, 5]));
        assert_eq!(told(1), ids(&[2, 4, 5]));
    }

    #[test]
    fn a_leader_is_told_while_clients_can_reach_it() {
        let image = image();
        let told = |node| {
            let state = PartitionState {
                leader: node,
                ..state(&[1], 0)
            };
            leader(&image, &state)
        };
        assert_eq!(told(1), Some(BrokerId(1)));
        assert_eq!([told(4), told(5), told(-1)], [None, None, None]);
    }
}
