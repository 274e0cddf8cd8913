//! What a coordinator is told of the world with each call.

use uuid::Uuid;

/// The time, by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never jumps: for timers.
    pub mono_ms: u64,
    /// Milliseconds since 1970: for what is written and shown.
    pub wall_ms: i64,
}

/// A topic of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: Uuid,
    /// How many partitions it has.
    pub partitions: i32,
}

/// The cluster's topics.
pub trait Topics {
    /// Another number whenever a topic was made, deleted or given partitions.
    fn version(&self) -> i64;
    /// A topic.
    fn by_name(&self, name: &str) -> Option<Topic>;
    /// The name of a topic.
    fn name_of(&self, id: Uuid) -> Option<String>;
    /// Calls `each` with the name of every topic, in order of the names.
    fn each(&self, each: &mut dyn FnMut(&str));
    /// The racks of the nodes that have a replica of the partition, in no particular order; empty where none is known.
    fn racks(&self, id: Uuid, partition: i32) -> Vec<String>;
}

/// What a coordinator is told with each call.
pub struct World<'a> {
    /// The time.
    pub now: Now,
    /// The topics.
    pub topics: &'a dyn Topics,
    /// Gives a fresh random id.
    pub fresh_id: &'a mut dyn FnMut() -> Uuid,
}

impl World<'_> {
    /// A fresh random id.
    pub fn id(&mut self) -> Uuid {
        (self.fresh_id)()
    }
}
