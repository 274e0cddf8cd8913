//! Share sessions: where they are kept, and what happens when one ends.
//!
//! A group's sessions on this node are all on its home, a shard that its name chooses. Who opens one comes over a
//! connection of some shard; when that connection ends, its shard tells the homes where it began sessions.
//! A session that has ended gives back what its member had; the last one of a group takes the group's
//! share-partitions of this node with it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kafka_protocol::ResponseError;
use rt::sync::Notify;
use share::TopicIdPartition;
use share::session::{Closed, Fetched, Opening, SessionError, SessionKey, Sessions};
use uuid::Uuid;

use crate::partition::PartitionId;
use crate::shard::{Shard, ShardId};

/// The most partitions that all sessions of one home have together: they hold memory for as long as their
/// connections stay open.
const PARTITIONS_MOST: usize = 128 * 1024;

/// The sessions of the groups whose home a shard is, and which connections of the shard's have sessions where.
pub struct Homes {
    sessions: RefCell<Sessions>,
    /// Groups whose last session has ended, and whose share-partitions are not given up yet.
    leaving: RefCell<BTreeSet<String>>,
    left: Notify,
    /// The homes at which connections of this shard's began sessions.
    connections: RefCell<BTreeMap<u64, BTreeSet<ShardId>>>,
}

impl Default for Homes {
    fn default() -> Self {
        Self {
            // As many as the settings say when one is opened.
            sessions: RefCell::new(Sessions::new(0)),
            leaving: RefCell::default(),
            left: Notify::new(),
            connections: RefCell::default(),
        }
    }
}

impl Homes {
    /// How many sessions are open, and how many partitions they have.
    pub fn sizes(&self) -> (usize, usize) {
        let sessions = self.sessions.borrow();
        (sessions.len(), sessions.partitions())
    }
}

/// What a ShareFetch says of its session.
#[derive(Clone, Debug)]
pub(crate) struct Fetching {
    /// Whose session it is.
    pub(crate) key: SessionKey,
    /// Its epoch.
    pub(crate) epoch: i32,
    /// Partitions to fetch from.
    pub(crate) add: Vec<TopicIdPartition>,
    /// Partitions that the session is to lose.
    pub(crate) forget: Vec<TopicIdPartition>,
    /// Whether there are acknowledgements.
    pub(crate) acknowledges: bool,
    /// The connection's number.
    pub(crate) connection: u64,
}

/// What it is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Partitions to fetch from, in order.
    pub(crate) partitions: Vec<TopicIdPartition>,
    /// Whether the session is to be closed when all is done.
    pub(crate) last: bool,
}

impl Shard {
    /// Where a group's sessions are.
    pub(crate) fn share_home(&self, group: &str) -> ShardId {
        let hash = crc32c::crc32c(group.as_bytes());
        ShardId(usize::try_from(hash).unwrap_or(0) % self.node.shards)
    }

    /// Takes the session's part of a ShareFetch, at the group's home.
    ///
    /// # Errors
    /// What the request is to be answered with.
    pub(crate) async fn open_share_session(
        self: &Rc<Self>,
        fetching: Fetching,
    ) -> Result<Opened, SessionError> {
        let home = self.share_home(&fetching.key.group);
        if fetching.epoch == share::session::INITIAL_EPOCH {
            let mut connections = self.shares.homes.connections.borrow_mut();
            connections
                .entry(fetching.connection)
                .or_default()
                .insert(home);
        }
        self.run_on(home, move |shard| {
            let shard = Rc::clone(shard);
            async move { shard.open_at_home(&fetching).await }
        })
        .await
    }

    async fn open_at_home(self: &Rc<Self>, fetching: &Fetching) -> Result<Opened, SessionError> {
        let homes = &self.shares.homes;
        while homes.leaving.borrow().contains(&fetching.key.group) {
            homes.left.notified().await;
        }
        let settings = self.settings();
        // The limit is the node's; each home takes its part of it, but one group always has room.
        let part = settings.share.max_sessions.div_ceil(self.node.shards);
        let most = part.max(settings.share.max_members.min(settings.share.max_sessions));
        let mut sessions = homes.sessions.borrow_mut();
        sessions.set_max(most);
        if !fetching.add.is_empty() && sessions.partitions() + fetching.add.len() > PARTITIONS_MOST
        {
            return Err(SessionError::LimitReached(sessions.len()));
        }
        let opened = sessions.open(
            &fetching.key,
            &Opening {
                epoch: fetching.epoch,
                add: &fetching.add,
                forget: &fetching.forget,
                acknowledges: fetching.acknowledges,
                connection: fetching.connection,
            },
        )?;
        let (partitions, last) = match opened {
            share::session::Opened::New(partitions) | share::session::Opened::Next(partitions) => {
                (partitions, false)
            }
            share::session::Opened::Final => (Vec::new(), true),
        };
        Ok(Opened { partitions, last })
    }

    /// Which partitions the answer to a ShareFetch has to have, given what came of each.
    ///
    /// # Errors
    /// What the request is to be answered with.
    pub(crate) async fn answer_share_session(
        self: &Rc<Self>,
        key: SessionKey,
        epoch: i32,
        fetched: Vec<(TopicIdPartition, Fetched)>,
    ) -> Result<Vec<bool>, SessionError> {
        let home = self.share_home(&key.group);
        self.run_on(home, move |shard| {
            let mut sessions = shard.shares.homes.sessions.borrow_mut();
            let answers = sessions.answers(&key, epoch, &fetched);
            async move { answers }
        })
        .await
    }

    /// Takes the session's part of a ShareAcknowledge, at the group's home. Says whether the session is to be closed
    /// when all is done.
    ///
    /// # Errors
    /// What the request is to be answered with.
    pub(crate) async fn step_share_session(
        self: &Rc<Self>,
        key: SessionKey,
        epoch: i32,
    ) -> Result<bool, SessionError> {
        let home = self.share_home(&key.group);
        self.run_on(home, move |shard| {
            let mut sessions = shard.shares.homes.sessions.borrow_mut();
            let stepped = sessions.acknowledge(&key, epoch);
            async move { stepped }
        })
        .await
    }

    /// Ends a session, and takes back what its member had.
    pub(crate) async fn close_share_session(self: &Rc<Self>, key: SessionKey) {
        let home = self.share_home(&key.group);
        self.run_on(home, move |shard| {
            let closed = shard.shares.homes.sessions.borrow_mut().close(&key);
            shard.begin_leaving(closed);
            async {}
        })
        .await;
    }

    /// A connection of this shard's has ended, and with it the sessions that began over it.
    pub(crate) fn share_connection_ended(self: &Rc<Self>, connection: u64) {
        let homes = self.shares.homes.connections.borrow_mut();
        let homes = { homes }.remove(&connection).unwrap_or_default();
        for home in homes {
            let shard = Rc::clone(self);
            let tell = async move {
                let told = shard.run_on(home, move |shard| {
                    let closed = shard
                        .shares
                        .homes
                        .sessions
                        .borrow_mut()
                        .disconnected(connection);
                    shard.begin_leaving(closed);
                    async {}
                });
                told.await;
            };
            rt::task::spawn(tell).detach();
        }
    }

    /// Takes back what members had whose sessions have ended.
    fn begin_leaving(self: &Rc<Self>, closed: impl IntoIterator<Item = Closed>) {
        for closed in closed {
            if closed.group_is_gone {
                let mut leaving = self.shares.homes.leaving.borrow_mut();
                leaving.insert(closed.key.group.clone());
            }
            rt::task::spawn(Rc::clone(self).leave(closed)).detach();
        }
    }

    async fn leave(self: Rc<Self>, closed: Closed) {
        let Closed {
            key: SessionKey { group, member },
            partitions,
            group_is_gone,
        } = closed;
        for (owner, partitions) in self.by_owner(&partitions) {
            let group = group.clone();
            let released = self.run_on(owner, move |shard| {
                shard.share_release(&group, member, &partitions);
                async {}
            });
            released.await;
        }
        if group_is_gone {
            let name = group.clone();
            self.run_on_all(move |shard| {
                shard.retire_group(&name);
                async {}
            })
            .await;
            self.shares.homes.leaving.borrow_mut().remove(&group);
            self.shares.homes.left.notify_waiters();
        }
    }

    /// Those that are on this node, by the shard that owns them.
    fn by_owner(&self, partitions: &[TopicIdPartition]) -> BTreeMap<ShardId, Vec<PartitionId>> {
        let mut by_owner: BTreeMap<ShardId, Vec<PartitionId>> = BTreeMap::new();
        for partition in partitions {
            if let Ok((owner, id)) = self.find_by_id(partition.topic_id, partition.partition) {
                by_owner.entry(owner).or_default().push(id);
            }
        }
        by_owner
    }

    /// Where a partition of the topic with this id is served.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_ID`, `UNKNOWN_TOPIC_OR_PARTITION`, or as [`crate::shard::routes::PartitionRoute::place`].
    pub(crate) fn find_by_id(
        &self,
        topic_id: Uuid,
        index: i32,
    ) -> Result<(ShardId, PartitionId), ResponseError> {
        let route = self.routes().by_id(topic_id);
        let route = route.ok_or(ResponseError::UnknownTopicId)?;
        let target = route.partition(index);
        let target = target.ok_or(ResponseError::UnknownTopicOrPartition)?;
        Ok((target.place()?, PartitionId { topic_id, index }))
    }
}
