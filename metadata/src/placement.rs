//! Where new replicas go: to the least-loaded drives, each replica of a partition on another node.
//!
//! Pure and deterministic: the same image, drives and calls give the same places.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::image::{DriveLoad, Image};

/// A drive that can take new replicas: its broker is up, and it is neither failed nor full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlacementDrive {
    /// The node it belongs to.
    pub node: i32,
    /// The drive's id.
    pub drive: Uuid,
}

impl PlacementDrive {
    /// The drives of every registered broker, by node and in the order each named them.
    pub fn all(image: &Image) -> Vec<Self> {
        let brokers = image.brokers().values();
        brokers
            .flat_map(|b| {
                b.drives.iter().map(|d| Self {
                    node: b.node_id,
                    drive: d.id,
                })
            })
            .collect()
    }
}

/// Places the replicas of several partitions one after another, each aware of those before.
#[derive(Debug)]
pub(crate) struct Placer {
    drives: Vec<(PlacementDrive, DriveLoad)>,
    /// How many partitions have this node as their preferred leader.
    leaders: BTreeMap<i32, u32>,
}

impl Placer {
    pub(crate) fn new(image: &Image, drives: &[PlacementDrive]) -> Self {
        let load_of = |drive: &PlacementDrive| (*drive, image.drive_load(drive.node, drive.drive));
        let leaders = drives
            .iter()
            .map(|drive| (drive.node, image.preferred_leaders(drive.node)))
            .collect();
        Self {
            drives: drives.iter().map(load_of).collect(),
            leaders,
        }
    }

    /// How many nodes have a drive to offer: the most replicas a partition can have.
    pub(crate) fn nodes(&self) -> usize {
        self.leaders.len()
    }

    /// Drives for `count` replicas, preferred leader first; `None` when fewer nodes than that have
    /// a drive.
    pub(crate) fn place(&mut self, count: usize) -> Option<Vec<PlacementDrive>> {
        let mut chosen: Vec<usize> = Vec::with_capacity(count);
        for _ in 0..count {
            let free = |node: i32| {
                chosen
                    .iter()
                    .all(|&taken| self.drives[taken].0.node != node)
            };
            let open = self
                .drives
                .iter()
                .enumerate()
                .filter(|(_, (drive, _))| free(drive.node));
            let (least, _) = open.min_by_key(|(_, (_, load))| *load)?;
            chosen.push(least);
        }
        // Which nodes is settled; the one that leads least is the preferred leader.
        chosen.sort_by_key(|&at| self.leaders.get(&self.drives[at].0.node).copied());
        Some(self.take(&chosen))
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
            if place == 0 {
                load.preferred_leaders += 1;
                *self.leaders.entry(drive.node).or_default() += 1;
            }
        }
        chosen.iter().map(|&at| self.drives[at].0).collect()
    }
}
