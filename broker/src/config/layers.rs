//! Where a broker setting's value comes from: the node's dynamic settings, the cluster's, the
//! file and flags the node was started with, the default. The first that has it wins, as in
//! Kafka.
//!
//! A view over maps that others own (the metadata image has the dynamic ones,
//! [`super::node::NodeConfig`] the static ones); it is made where it is needed and never kept.

use super::broker;
use super::def::Overrides;

/// Where a value comes from, with Kafka's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum Source {
    /// The topic's own override.
    Topic = 1,
    /// A dynamic setting of this node.
    DynamicNode = 2,
    /// A dynamic setting of all nodes.
    DynamicCluster = 3,
    /// The file, environment or flags the node was started with.
    Static = 4,
    /// The default.
    Default = 5,
    /// The group's own.
    Group = 8,
}

impl Source {
    /// The code DescribeConfigs sends.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// A broker setting as one layer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The name it was found under.
    pub name: &'static str,
    /// Its value.
    pub value: &'a str,
    /// The layer.
    pub source: Source,
}

/// A broker's settings, layer over layer.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// Dynamic settings of this node.
    pub node: &'a Overrides,
    /// Dynamic settings of the whole cluster.
    pub cluster: &'a Overrides,
    /// What the node was started with.
    pub fixed: &'a Overrides,
}

static EMPTY: Overrides = Overrides::new();

impl<'a> Layers<'a> {
    /// What the node was started with, over the defaults.
    pub fn of(fixed: &'a Overrides) -> Self {
        Layers {
            node: &EMPTY,
            cluster: &EMPTY,
            fixed,
        }
    }

    /// Nothing but defaults.
    pub fn defaults() -> Layers<'static> {
        Layers::of(&EMPTY)
    }

    /// Every layer's value of every one of `names`, the one that counts first.
    pub fn every(&self, names: &[&'static str]) -> Vec<Found<'a>> {
        let layers = [
            (self.node, Source::DynamicNode),
            (self.cluster, Source::DynamicCluster),
            (self.fixed, Source::Static),
        ];
        let mut found = Vec::new();
        for (layer, source) in layers {
            for &name in names {
                if let Some(value) = layer.get(name) {
                    found.push(Found {
                        name,
                        value,
                        source,
                    });
                }
            }
        }
        for &name in names {
            if let Some(value) = broker::lookup(name).and_then(|row| row.def.default) {
                let source = Source::Default;
                found.push(Found {
                    name,
                    value,
                    source,
                });
            }
        }
        found
    }

    /// The value in force of one broker setting; none where it is null.
    pub fn get(&self, name: &'static str) -> Option<&'a str> {
        self.every(&[name]).first().map(|found| found.value)
    }
}
