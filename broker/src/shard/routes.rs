//! Where a topic's partitions are: a shard's own reading of the metadata image, made for looking up
//! by name or id once per request.
//!
//! Owns nothing that the image does not say; rebuilt topic by topic when the image changes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::ShardId;
use crate::config::TopicConfig;
use crate::partition::PartitionId;

/// A partition as a request sees it.
#[derive(Clone, Debug)]
pub struct PartitionRoute {
    /// The shard that owns its drive; `None` while that drive is not here.
    pub owner: Option<ShardId>,
    /// The drive its replica of this node is on; nil where this node has none.
    pub drive: Uuid,
    /// The node id of the leader, -1 while there is none.
    pub leader: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
}

impl PartitionRoute {
    /// The shard that serves the replica of this node.
    ///
    /// # Errors
    /// `NOT_LEADER_OR_FOLLOWER` if it has none, `KAFKA_STORAGE_ERROR` while its drive is away.
    pub fn place(&self) -> Result<ShardId, ResponseError> {
        self.owner.ok_or(if self.drive.is_nil() {
            ResponseError::NotLeaderOrFollower
        } else {
            ResponseError::KafkaStorageError
        })
    }
}

/// A topic as a request sees it.
#[derive(Debug)]
pub struct TopicRoute {
    /// The topic's id.
    pub id: Uuid,
    /// The topic's name.
    pub name: String,
    /// Its settings in force.
    pub config: Rc<TopicConfig>,
    /// Its partitions by index.
    pub partitions: Vec<PartitionRoute>,
}

impl TopicRoute {
    /// The partition of this index.
    pub fn partition(&self, index: i32) -> Option<&PartitionRoute> {
        let at = usize::try_from(index).ok()?;
        self.partitions.get(at)
    }

    /// The leader of a partition and its epoch, if it has one (KIP-951).
    pub fn leader(&self, index: i32) -> Option<(i32, i32)> {
        let route = self.partition(index)?;
        (route.leader >= 0).then_some((route.leader, route.leader_epoch))
    }
}

/// All topics of a shard's image.
#[derive(Default)]
pub struct Routes {
    by_name: RefCell<HashMap<String, Rc<TopicRoute>>>,
    by_id: RefCell<HashMap<Uuid, Rc<TopicRoute>>>,
}

impl Routes {
    /// The topic of that name.
    pub fn by_name(&self, name: &str) -> Option<Rc<TopicRoute>> {
        self.by_name.borrow().get(name).cloned()
    }

    /// The topic of that id.
    pub fn by_id(&self, id: Uuid) -> Option<Rc<TopicRoute>> {
        self.by_id.borrow().get(&id).cloned()
    }

    /// Whether the metadata has this partition.
    pub fn has(&self, id: PartitionId) -> bool {
        let by_id = self.by_id.borrow();
        let route = by_id.get(&id.topic_id);
        route.is_some_and(|route| route.partition(id.index).is_some())
    }

    /// All topics, sorted by name.
    pub fn all(&self) -> Vec<Rc<TopicRoute>> {
        let mut all: Vec<_> = self.by_name.borrow().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Puts a topic in, in place of what had its id.
    pub fn put(&self, route: Rc<TopicRoute>) {
        self.by_name
            .borrow_mut()
            .insert(route.name.clone(), Rc::clone(&route));
        self.by_id.borrow_mut().insert(route.id, route);
    }

    /// Takes a topic out.
    pub fn remove(&self, id: Uuid) {
        if let Some(route) = self.by_id.borrow_mut().remove(&id) {
            let mut by_name = self.by_name.borrow_mut();
            // A topic of the same name may have been made anew in the meantime.
            if by_name.get(&route.name).is_some_and(|r| r.id == id) {
                by_name.remove(&route.name);
            }
        }
    }
}
