//! How partitions are given to the members of a group: the assignors that Kafka has in the broker.
//!
//! An assignor is a function of the members, what each is subscribed to and was to have so far, and of how
//! many partitions each topic has. The same question always has the same answer. Kafka's assignors don't
//! look at racks (any more), so neither do these.

mod balance;
mod range;
#[cfg(test)]
mod tests;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use uuid::Uuid;

/// Partitions by topic. No topic without any.
pub type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// A member of the group, as an assignor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber<'a> {
    /// Its id.
    pub id: &'a str,
    /// The id of its instance, if it is a static member.
    pub instance: Option<&'a str>,
    /// The topics that it wants; all of them exist.
    pub topics: Rc<BTreeSet<Uuid>>,
    /// What it was to have so far. No partition is in two of them.
    pub had: &'a Partitions,
}

/// What there is to assign, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    /// The members, in order of their ids.
    pub members: Vec<Subscriber<'a>>,
    /// How many partitions each topic has that somebody wants.
    pub topics: BTreeMap<Uuid, i32>,
}

impl Question<'_> {
    /// Whether all members want the same.
    fn homogeneous(&self) -> bool {
        self.members.windows(2).all(|pair| {
            Rc::ptr_eq(&pair[0].topics, &pair[1].topics) || pair[0].topics == pair[1].topics
        })
    }

    fn partitions(&self, topic: Uuid) -> i32 {
        self.topics.get(&topic).copied().unwrap_or(0)
    }
}

/// An assignor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assignor {
    /// As even as can be, moving as little as possible.
    Uniform,
    /// A run of neighbours of each topic, so that topics of the same size are divided alike.
    Range,
}

impl Assignor {
    /// The assignor of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// What each member shall have, in the order of the members.
    pub(crate) fn assign(self, question: &Question<'_>) -> Vec<Partitions> {
        match self {
            Self::Range => range::assign(question),
            Self::Uniform if question.homogeneous() => uniform::assign(question),
            Self::Uniform => balance::assign(question),
        }
    }
}

/// Takes a partition away.
fn remove(from: &mut Partitions, topic: Uuid, partition: i32) {
    if let Some(partitions) = from.get_mut(&topic) {
        partitions.remove(&partition);
        if partitions.is_empty() {
            from.remove(&topic);
        }
    }
}
