//! Nodes whose connection to this one has just broken.
//!
//! The controller fences a node that is gone within half a second, and others lead in its place; until then the
//! metadata names it. Clients that are told so learn it for nothing, and some ask again only after
//! seconds. So for a short time they are told that there is no leader, which all of them take for a reason to
//! ask again soon. It must not last: the connection may be broken while clients reach the node.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;

/// How long a node is taken for lost: somewhat more than others need to lead in its place.
const LOST: Duration = Duration::from_millis(1500);

/// The nodes, and since when.
#[derive(Debug, Default)]
pub(super) struct LostNodes(BTreeMap<i32, Instant>);

impl LostNodes {
    fn lose(&mut self, node: i32, now: Instant) {
        self.0.insert(node, now);
    }

    fn find(&mut self, node: i32) {
        self.0.remove(&node);
    }

    fn at(&mut self, now: Instant) -> BTreeSet<i32> {
        self.0
            .retain(|_, since| now.saturating_duration_since(*since) < LOST);
        self.0.keys().copied().collect()
    }
}

impl Shard {
    /// Tells all shards that the connection of a node broke, or that it is here again. Doesn't wait.
    pub(crate) fn node_seen(self: &Rc<Self>, node: i32, lost: bool) {
        let now = rt::time::now();
        let shard = Rc::clone(self);
        rt::task::spawn(async move {
            let told = shard.run_on_all(move |shard| {
                let mut nodes = shard.lost.borrow_mut();
                match lost {
                    true => nodes.lose(node, now),
                    false => nodes.find(node),
                }
                async {}
            });
            told.await;
        })
        .detach();
    }

    /// The nodes that were lost just now.
    pub(crate) fn lost_nodes(&self) -> BTreeSet<i32> {
        self.lost.borrow_mut().at(rt::time::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_lost_until_it_is_back_or_for_a_short_time() {
        let now = Instant::now();
        let mut nodes = LostNodes::default();
        nodes.lose(1, now);
        nodes.lose(2, now);
        assert_eq!(nodes.at(now), [1, 2].into());
        nodes.find(2);
        assert_eq!(nodes.at(now + LOST / 2), [1].into());
        assert_eq!(nodes.at(now + LOST), [].into());
        // It is forgotten, not hidden.
        assert_eq!(nodes.at(now), [].into());
    }
}
