//! How a committed change of the metadata reaches a shard: its image, its routes, its partitions.
//!
//! The image and the routes change at once, and so do the roles of partitions that are open; logs that
//! have to be made, opened or deleted follow, and whoever applied the change may wait for them. What is
//! done to the log of one partition is done one after the other, and in the end is as the newest
//! metadata says.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use storage::{Drive, Log, LogDir, LogError, LogName, ReplayEvent, Watermarks};
use uuid::Uuid;

use super::routes::{PartitionRoute, TopicRoute};
use super::several::several;
use super::{Replica, Shard};
use crate::config::{Overrides, TopicConfig, group};
use crate::coordinator::Coordinators;
use crate::meta::Committed;
use crate::partition::{Given, Opened, Partition, PartitionId, Peers, Place, Rebuilt, log_config};
use ::group::OwnSettings;
use metadata::{Image, Record, ResourceType};
use replica::Peer;

/// The log directories found on this shard's drives, by topic and partition.
pub type FoundLogs = BTreeMap<(String, i32), LogDir>;

/// A log to open or make.
struct ToOpen {
    id: PartitionId,
    topic: String,
    drive: Uuid,
    config: Rc<TopicConfig>,
}

/// What a change touches.
#[derive(Default)]
struct Changed {
    topics: BTreeSet<Uuid>,
    nodes: BTreeSet<i32>,
    /// Whether a topic was made, deleted or given partitions.
    set_of_topics: bool,
}

/// What is left to do on drives.
#[derive(Default)]
struct Work {
    to_open: Vec<ToOpen>,
    removed: Vec<Rc<Partition>>,
}

impl Shard {
    /// Applies a committed change; when this returns, its partitions here are ready (or offline).
    pub fn apply(self: &Rc<Self>, committed: &Arc<Committed>) -> impl Future<Output = ()> + use<> {
        let changed = self.apply_to_image(committed);
        let work = self.follow(&changed.topics);
        self.tell_of_nodes(&changed.nodes);
        if changed.set_of_topics {
            self.coordinators.topics_changed();
        }
        let shard = Rc::clone(self);
        async move {
            let removed = work.removed.into_iter().map(|partition| {
                let shard = Rc::clone(&shard);
                async move { shard.remove(partition).await }
            });
            several(removed).await;
            shard.open_all(work.to_open, &FoundLogs::new()).await;
        }
    }

    /// Opens every partition of this shard's at the start, given the directories on its drives.
    pub(super) async fn open_partitions(self: &Rc<Self>, found: FoundLogs) {
        let all = self.with_image(|image| image.topics().map(|topic| topic.id).collect());
        let work = self.follow(&all);
        self.open_all(work.to_open, &found).await;
    }

    /// Changes the image and says what is touched.
    fn apply_to_image(&self, committed: &Committed) -> Changed {
        let mut image = self.image.borrow_mut();
        let mut changed = Changed::default();
        let mut settings_changed = committed.whole;
        let mut groups_changed = false;
        if committed.whole {
            changed.set_of_topics = true;
            changed.topics.extend(image.topics().map(|topic| topic.id));
            changed.nodes.extend(image.brokers().keys());
            *image = Image::new();
        }
        for record in &committed.records {
            settings_changed |= touches(record, &image, &mut changed);
            groups_changed |= is_of_a_group(record);
            if let Err(error) = image.apply(record) {
                // The controller checked it against the same image: shards would differ from here on.
                panic!("a committed metadata record does not fit this shard's image: {error}");
            }
        }
        if settings_changed {
            changed.topics.extend(image.topics().map(|topic| topic.id));
        }
        drop(image);
        if settings_changed || groups_changed {
            self.refresh_settings();
            self.coordinators.settings_changed();
        }
        changed
    }

    /// Resolves the broker's settings anew.
    pub(super) fn refresh_settings(&self) {
        let resolved = self.with_layers(crate::config::BrokerConfig::resolve);
        match resolved {
            Ok(mut settings) => {
                settings.groups.of_groups = Arc::new(self.with_image(own_of_groups));
                *self.settings.borrow_mut() = Rc::new(settings);
            }
            Err(error) => {
                tracing::error!(%error, "the broker's settings do not go together; the old ones stay");
            }
        }
    }

    /// Brings routes and partitions in line with the image for these topics.
    fn follow(self: &Rc<Self>, topics: &BTreeSet<Uuid>) -> Work {
        let mut work = Work::default();
        for id in topics {
            match self.route_of(*id) {
                None => {
                    self.routes.remove(*id);
                    work.removed.extend(self.drop_replicas(*id));
                }
                Some(route) => {
                    let route = Rc::new(route);
                    self.routes.put(Rc::clone(&route));
                    self.follow_topic(&route, &mut work);
                }
            }
        }
        work
    }

    /// Tells partitions that lead, and the way to other nodes, what is new of these nodes.
    fn tell_of_nodes(&self, nodes: &BTreeSet<i32>) {
        for &node in nodes {
            for partition in self.partitions() {
                let PartitionId { topic_id, index } = partition.id();
                let peer = self.with_image(|image| {
                    let state = image.topic_by_id(topic_id)?.partition(index)?;
                    Some(peer(image, node, state.directory_on(node)?))
                });
                if let Some(peer) = peer {
                    partition.peer_changed(peer);
                }
            }
            self.replication.peer_changed(node);
        }
    }

    fn route_of(&self, id: Uuid) -> Option<TopicRoute> {
        let image = self.image.borrow();
        let topic = image.topic_by_id(id)?;
        static NONE: Overrides = Overrides::new();
        let overrides = image
            .configs(ResourceType::Topic, &topic.name)
            .unwrap_or(&NONE);
        let layers = super::layers(&self.node, &image);
        let config = TopicConfig::resolve(overrides, &layers)
            .or_else(|error| {
                tracing::error!(topic = %topic.name, %error, "a topic's settings do not go together; it runs with the defaults");
                TopicConfig::resolve(&NONE, &layers)
            })
            .ok()?;
        let owners = self.owners.borrow();
        let partition = |state: &metadata::PartitionState| {
            let drive = state.directory_on(self.node_id()).unwrap_or_default();
            PartitionRoute {
                owner: owners.get(&drive).copied(),
                drive,
                leader: state.leader,
                leader_epoch: state.leader_epoch,
            }
        };
        Some(TopicRoute {
            id,
            name: topic.name.to_string(),
            config: Rc::new(config),
            partitions: topic.partitions.iter().map(partition).collect(),
        })
    }

    fn drop_replicas(&self, topic: Uuid) -> Vec<Rc<Partition>> {
        let replicas = self.replicas.borrow();
        let of_topic = replicas.keys().filter(|id| id.topic_id == topic);
        let gone: Vec<_> = of_topic.copied().collect();
        drop(replicas);
        gone.into_iter()
            .filter_map(|id| self.drop_replica(id))
            .collect()
    }

    /// Takes a replica out that the metadata has here no longer; gives the one whose log is to go. One
    /// that is being opened sees to it by itself.
    fn drop_replica(&self, id: PartitionId) -> Option<Rc<Partition>> {
        let mut replicas = self.replicas.borrow_mut();
        let slot = replicas.get_mut(&id)?;
        match slot {
            Replica::Online(partition) => {
                let partition = Rc::clone(partition);
                *slot = Replica::Removing;
                self.coordinators.removed(&partition);
                self.shares.removed(id);
                Some(partition)
            }
            Replica::Offline(_) => {
                replicas.remove(&id);
                None
            }
            Replica::Opening | Replica::Removing => None,
        }
    }

    /// Gives the topic's settings and roles to the replicas that are here, and says which are not yet,
    /// and which are not to be.
    fn follow_topic(self: &Rc<Self>, route: &Rc<TopicRoute>, work: &mut Work) {
        for (index, target) in (0..).zip(&route.partitions) {
            let id = PartitionId {
                topic_id: route.id,
                index,
            };
            if target.owner != Some(self.id) {
                work.removed.extend(self.drop_replica(id));
            } else if let Ok(partition) = self.partition(id) {
                partition.set_config(Rc::clone(&route.config));
                self.assign(&partition);
                Coordinators::follow(self, &partition);
                self.shares.follow(&partition);
            } else {
                work.to_open.extend(self.begin_opening(id, route));
            }
        }
    }

    /// Notes that a replica is being opened, unless something is being done with it already.
    fn begin_opening(&self, id: PartitionId, route: &TopicRoute) -> Option<ToOpen> {
        let drive = route.partition(id.index)?.drive;
        let mut replicas = self.replicas.borrow_mut();
        if replicas.contains_key(&id) {
            return None;
        }
        replicas.insert(id, Replica::Opening);
        Some(ToOpen {
            id,
            topic: route.name.clone(),
            drive,
            config: Rc::clone(&route.config),
        })
    }

    /// Gives a partition the role that the metadata has for it, unless it has been given that.
    fn assign(&self, partition: &Partition) {
        let id = partition.id();
        let given = self.with_image(|image| {
            let state = image.topic_by_id(id.topic_id)?.partition(id.index)?;
            if partition.was_given(state.leader_epoch, state.partition_epoch) {
                return None;
            }
            let places = state.replicas.iter().zip(&state.directories);
            let replicas = places.map(|(&node, &drive)| peer(image, node, drive));
            Some(Given {
                leader: state.leader,
                leader_epoch: state.leader_epoch,
                partition_epoch: state.partition_epoch,
                replicas: replicas.collect(),
                isr: state.isr.clone(),
            })
        });
        if let Some(given) = given {
            partition.assign(&given.assignment());
        }
    }

    /// The route of a partition's topic, if the metadata has the partition on this shard.
    fn route_here(&self, id: PartitionId) -> Option<Rc<TopicRoute>> {
        let route = self.routes.by_id(id.topic_id)?;
        let here = route.partition(id.index)?.owner == Some(self.id);
        here.then_some(route)
    }

    async fn open_all(self: &Rc<Self>, to_open: Vec<ToOpen>, found: &FoundLogs) {
        let work = to_open.into_iter().map(|one| {
            let dir = found.get(&(one.topic.clone(), one.id.index));
            let same = |dir: &&LogDir| dir.topic_id.is_none_or(|id| id == one.id.topic_id);
            let dir = dir.filter(same).cloned();
            let shard = Rc::clone(self);
            async move { shard.open_one(one, dir).await }
        });
        several(work).await;
    }

    async fn open_one(self: &Rc<Self>, one: ToOpen, dir: Option<LogDir>) {
        let id = one.id;
        let index = id.index;
        let topic = one.topic.clone();
        let drive = self
            .drives()
            .into_iter()
            .find(|drive| drive.id() == one.drive);
        let opened = match drive {
            None => Err(format!("drive {} is not open on this shard", one.drive)),
            Some(drive) => self
                .open_on(&drive, one, dir)
                .await
                .map_err(|error| error.to_string()),
        };
        match opened {
            Ok(partition) => self.opened(partition).await,
            Err(why) => {
                tracing::error!(topic, partition = index, why, "a partition is offline");
                let mut replicas = self.replicas.borrow_mut();
                if self.route_here(id).is_some() {
                    replicas.insert(id, Replica::Offline(why));
                } else {
                    replicas.remove(&id);
                }
            }
        }
    }

    async fn open_on(
        &self,
        drive: &Drive,
        one: ToOpen,
        dir: Option<LogDir>,
    ) -> Result<Rc<Partition>, LogError> {
        let watermarks = self.watermarks_of(drive).await;
        let (log, producers) = open_log(drive, &one, dir, &watermarks).await?;
        let opened = Opened {
            id: one.id,
            topic: one.topic,
            log,
            producers,
            config: one.config,
        };
        let place = Place {
            node: self.node_id(),
            peers: Rc::clone(&self.replication) as Rc<dyn Peers>,
            watermarks,
            lag_max_ms: self.settings().replica_lag_time_max_ms,
        };
        Ok(Partition::new(opened, place))
    }

    /// Puts a partition online that was being opened, as the metadata has it by now.
    async fn opened(self: &Rc<Self>, partition: Rc<Partition>) {
        let id = partition.id();
        let Some(route) = self.route_here(id) else {
            self.replicas.borrow_mut().insert(id, Replica::Removing);
            return self.remove(partition).await;
        };
        let online = Replica::Online(Rc::clone(&partition));
        self.replicas.borrow_mut().insert(id, online);
        partition.set_config(Rc::clone(&route.config));
        self.assign(&partition);
        Coordinators::follow(self, &partition);
    }

    /// Deletes a replica whose place is marked so, and makes it anew if the metadata has it here again
    /// by then.
    async fn remove(self: &Rc<Self>, partition: Rc<Partition>) {
        let id = partition.id();
        // Where the partition lives on, whoever waits here is told who leads it.
        self.assign(&partition);
        self.replication.removed(id);
        delete(&partition).await;
        drop(partition);
        self.replicas.borrow_mut().remove(&id);
        let again = self
            .route_here(id)
            .and_then(|route| self.begin_opening(id, &route));
        if let Some(one) = again {
            Box::pin(self.open_one(one, None)).await;
        }
    }
}

/// A node with a replica on `drive` as replication has to know it.
fn peer(image: &Image, node: i32, drive: Uuid) -> Peer {
    let broker = image.broker(node);
    Peer {
        node,
        broker_epoch: broker.map_or(-1, |broker| broker.epoch),
        // What is on a drive that failed won't keep up, though its node is heard of.
        eligible: broker.is_some_and(|broker| broker.is_active() && broker.has_online(drive)),
    }
}

/// Whether a record is of a group's settings.
fn is_of_a_group(record: &Record) -> bool {
    matches!(record, Record::Config(config) if config.resource.kind == ResourceType::Group)
}

/// What groups have set for themselves.
fn own_of_groups(image: &Image) -> BTreeMap<String, OwnSettings> {
    let groups = image.configured(ResourceType::Group);
    let own = groups.filter_map(|id| {
        let configs = image.configs(ResourceType::Group, id)?;
        Some((id.to_owned(), group::own_settings(configs)))
    });
    own.collect()
}

/// Notes what a record touches that is about to be applied; true if it may be the broker's settings.
fn touches(record: &Record, image: &Image, changed: &mut Changed) -> bool {
    changed.set_of_topics |= matches!(
        record,
        Record::Topic(_) | Record::Partition(_) | Record::RemoveTopic(_)
    );
    let Changed { topics, nodes, .. } = changed;
    match record {
        Record::Topic(topic) => drop(topics.insert(topic.id)),
        Record::Partition(partition) => drop(topics.insert(partition.topic_id)),
        Record::RemoveTopic(removed) => drop(topics.insert(removed.id)),
        Record::PartitionChange(change) => drop(topics.insert(change.topic_id)),
        Record::Config(config) if config.resource.kind == ResourceType::Topic => {
            topics.extend(image.topic(&config.resource.name).map(|topic| topic.id));
        }
        Record::Config(config) => return config.resource.kind == ResourceType::Broker,
        Record::Broker(broker) => drop(nodes.insert(broker.node_id)),
        Record::BrokerChange(change) => drop(nodes.insert(change.node_id)),
        Record::UnregisterBroker(broker) => drop(nodes.insert(broker.node_id)),
        Record::ProducerIdBlock(_)
        | Record::LastBrokerEpoch(_)
        | Record::Feature(_)
        | Record::ClusterId(_) => {}
    }
    false
}

async fn open_log(
    drive: &Drive,
    one: &ToOpen,
    dir: Option<LogDir>,
    watermarks: &Watermarks,
) -> Result<(Log, Rebuilt), LogError> {
    let config = log_config(&one.config);
    let dir = match dir {
        Some(dir) => dir,
        None => match make_log(drive, one, watermarks).await {
            // This replica was here before, and its log was left when it was taken away.
            Err(error @ LogError::Exists { .. }) => left_log(drive, one).await?.ok_or(error)?,
            made => return Ok((made?, Rebuilt::default())),
        },
    };
    let dir = LogDir {
        topic_id: Some(one.id.topic_id),
        ..dir
    };
    let mut producers = Rebuilt::default();
    let now_ms = rt::time::wall_ms();
    let place = (one.topic.as_str(), one.id.index);
    let mut told = |event: ReplayEvent| producers.take(event, now_ms, place);
    let log = Log::open(drive, &dir, config, &mut told).await?;
    Ok((log, producers))
}

async fn make_log(drive: &Drive, one: &ToOpen, watermarks: &Watermarks) -> Result<Log, LogError> {
    let name = LogName {
        topic: one.topic.clone(),
        partition: one.id.index,
        topic_id: one.id.topic_id,
    };
    if watermarks.remove(&one.topic, one.id.index) {
        // Of a topic of the same name that was there before.
        watermarks.write().await?;
    }
    Log::create(drive, &name, log_config(&one.config)).await
}

async fn left_log(drive: &Drive, one: &ToOpen) -> Result<Option<LogDir>, LogError> {
    let there = drive.logs().await.map_err(|error| LogError::Io {
        action: "look through",
        path: drive.path().to_owned(),
        source: std::io::Error::other(error),
    })?;
    let same = |dir: &LogDir| {
        (dir.topic.as_str(), dir.partition, dir.topic_id)
            == (one.topic.as_str(), one.id.index, Some(one.id.topic_id))
    };
    Ok(there.into_iter().find(same))
}

async fn delete(partition: &Partition) {
    partition.abandon("the replica was removed from this node");
    if let Err(error) = partition.log().delete().await {
        let index = partition.id().index;
        tracing::warn!(topic = partition.topic(), partition = index, %error, "a deleted log is still on its drive");
    }
    partition.forget_watermark();
}
