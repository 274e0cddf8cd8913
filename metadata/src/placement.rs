//! Where new replicas go: over as many racks as there are, then to the nodes that carry the least
//! for the drives they have, there to the least-loaded drive; each replica of a partition on
//! another node.
//!
//! As in Kafka, brokers that are fenced are used only where the active ones don't suffice, and no
//! broker that is stopping is. Pure and deterministic: the same image, drives and calls give the
//! same places.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use uuid::Uuid;

use super::image::{DriveLoad, Image};

/// A drive that can take new replicas: it is neither failed nor full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlacementDrive {
    /// The node it belongs to.
    pub node: i32,
    /// The drive's id.
    pub drive: Uuid,
}

impl PlacementDrive {
    /// The drives of every registered broker that haven't failed, by node and in the order each
    /// named them.
    pub fn all(image: &Image) -> Vec<Self> {
        let brokers = image.brokers().values();
        brokers
            .flat_map(|b| {
                let online = b.drives.iter().filter(|info| b.has_online(info.id));
                online.map(|info| Self {
                    node: b.node_id,
                    drive: info.id,
                })
            })
            .collect()
    }
}

/// What of a node weighs on where replicas go.
#[derive(Debug)]
struct Node<'a> {
    /// Nodes without a rack are in one, as in Kafka.
    rack: Option<&'a str>,
    fenced: bool,
    stopping: bool,
    drives: u64,
    replicas: u64,
    /// How many partitions have it as their preferred leader.
    leaders: u32,
}

impl Node<'_> {
    /// Its load, for the drives it has.
    fn fullness(&self) -> u64 {
        (self.replicas << 32) / self.drives.max(1)
    }
}

/// Places the replicas of several partitions one after another, each aware of those before.
#[derive(Debug)]
pub(crate) struct Placer<'a> {
    drives: Vec<(PlacementDrive, DriveLoad)>,
    nodes: BTreeMap<i32, Node<'a>>,
}

impl<'a> Placer<'a> {
    pub(crate) fn new(image: &'a Image, drives: &[PlacementDrive]) -> Self {
        let mut nodes: BTreeMap<i32, Node<'a>> = BTreeMap::new();
        let mut loads = Vec::with_capacity(drives.len());
        for &drive in drives {
            let load = image.drive_load(drive.node, drive.drive);
            let broker = image.broker(drive.node);
            let node = nodes.entry(drive.node).or_insert_with(|| Node {
                rack: broker.and_then(|broker| broker.rack.as_deref()),
                fenced: broker.is_none_or(|broker| broker.fenced),
                stopping: broker.is_some_and(|broker| broker.in_controlled_shutdown),
                drives: 0,
                replicas: 0,
                leaders: image.preferred_leaders(drive.node),
            });
            node.drives += 1;
            node.replicas += u64::from(load.replicas);
            loads.push((drive, load));
        }
        Self {
            drives: loads,
            nodes,
        }
    }

    /// How many nodes can be chosen: the most replicas a partition can have. None when no active
    /// one is among them, which could lead.
    pub(crate) fn nodes(&self) -> usize {
        if !self.nodes.keys().any(|&node| self.can_lead(node)) {
            return 0;
        }
        self.nodes.values().filter(|node| !node.stopping).count()
    }

    /// Drives for `count` replicas, preferred leader first; `None` when fewer nodes than that can
    /// be chosen, or none of them can lead.
    pub(crate) fn place(&mut self, count: usize) -> Option<Vec<PlacementDrive>> {
        let mut chosen: Vec<i32> = Vec::with_capacity(count);
        for _ in 0..count {
            let in_rack = |rack| chosen.iter().filter(|n| self.rack(**n) == rack).count();
            let open = self.nodes.iter().filter(|(id, node)| {
                let may_lead = !chosen.is_empty() || !node.fenced;
                may_lead && !node.stopping && !chosen.contains(id)
            });
            let weighed =
                open.min_by_key(|(_, node)| (in_rack(node.rack), node.fenced, node.fullness()));
            chosen.push(*weighed?.0);
        }
        // Which nodes is settled; of the active ones that which leads least is the preferred leader.
        chosen.sort_by_key(|id| self.nodes.get(id).map(|node| (node.fenced, node.leaders)));
        self.place_on(&chosen).ok()
    }

    /// Whether the node may lead a new partition.
    pub(crate) fn can_lead(&self, node: i32) -> bool {
        let node = self.nodes.get(&node);
        node.is_some_and(|node| !node.fenced && !node.stopping)
    }

    fn rack(&self, node: i32) -> Option<&'a str> {
        self.nodes.get(&node).and_then(|node| node.rack)
    }

    /// The least-loaded drive of each of `nodes`, in their order; the node that has none is the
    /// error.
    pub(crate) fn place_on(&mut self, nodes: &[i32]) -> Result<Vec<PlacementDrive>, i32> {
        let mut chosen = Vec::with_capacity(nodes.len());
        for &node in nodes {
            let own = self
                .drives
                .iter()
                .enumerate()
                .filter(|(_, (drive, _))| drive.node == node);
            let (least, _) = own.min_by_key(|(_, (_, load))| *load).ok_or(node)?;
            chosen.push(least);
        }
        Ok(self.take(&chosen))
    }

    /// Counts what was placed elsewhere by another rule, so that it weighs on the next choices.
    pub(crate) fn count(&mut self, place: PlacementDrive) {
        if let Some(at) = self.drives.iter().position(|(drive, _)| *drive == place) {
            self.take(&[at]);
        }
    }

    fn take(&mut self, chosen: &[usize]) -> Vec<PlacementDrive> {
        for (place, &at) in chosen.iter().enumerate() {
            let (drive, load) = &mut self.drives[at];
            load.replicas += 1;
            load.preferred_leaders += u32::from(place == 0);
            if let Some(node) = self.nodes.get_mut(&drive.node) {
                node.replicas += 1;
                node.leaders += u32::from(place == 0);
            }
        }
        chosen.iter().map(|&at| self.drives[at].0).collect()
    }
}

/// Checks that an assignment names some nodes, each once; what is wrong with it is the error.
pub(crate) fn check_nodes(nodes: &[i32]) -> Result<(), String> {
    if nodes.is_empty() {
        return Err("is empty".to_owned());
    }
    match (1..nodes.len()).find(|&at| nodes[..at].contains(&nodes[at])) {
        Some(twice) => Err(format!("names node {} twice", nodes[twice])),
        None => Ok(()),
    }
}
