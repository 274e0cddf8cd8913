//! Where a topic's partitions are: a shard's own reading of the metadata image, made for looking up
//! by name or id once per request.
//!
//! Owns nothing that the image does not say; rebuilt topic by topic when the image changes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use uuid::Uuid;

use super::ShardId;
use crate::config::TopicConfig;

/// A partition as a request sees it.
#[derive(Clone, Debug)]
pub struct PartitionRoute {
    /// The shard that owns its drive; `None` while that drive is not here.
    pub owner: Option<ShardId>,
    /// The drive its replica of this node is on.
    pub drive: Uuid,
    /// The node id of the leader, -1 while there is none.
    pub leader: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
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
