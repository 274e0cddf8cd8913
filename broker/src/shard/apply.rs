//! How a committed change of the metadata reaches a shard: its image, its routes, its partitions.
//!
//! The image and the routes change at once; logs that have to be made, opened or deleted follow, and
//! whoever applied the change may wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use storage::{Drive, Log, LogDir, LogError, LogName, ReplayEvent};
use uuid::Uuid;

use super::routes::{PartitionRoute, TopicRoute};
use super::several::several;
use super::{Replica, Shard};
use crate::config::{Overrides, TopicConfig};
use crate::meta::Committed;
use crate::partition::{Partition, PartitionId, log_config};
use crate::producers::Producers;
use metadata::{Image, Record, ResourceType};

/// The log directories found on this shard's drives, by topic and partition.
pub type FoundLogs = BTreeMap<(String, i32), LogDir>;

/// A log to open or make.
struct ToOpen {
    id: PartitionId,
    topic: String,
    drive: Uuid,
    leader_epoch: i32,
    config: Rc<TopicConfig>,
}

impl Shard {
    /// Applies a committed change; when this returns, its partitions here are ready (or offline).
    pub fn apply(self: &Rc<Self>, committed: &Arc<Committed>) -> impl Future<Output = ()> + use<> {
        let changed = self.apply_to_image(committed);
        let (to_open, removed) = self.follow(&changed);
        let shard = Rc::clone(self);
        async move {
            several(removed.into_iter().map(delete)).await;
            shard.open_all(to_open, &FoundLogs::new()).await;
        }
    }

    /// Opens every partition of this shard's at the start, given the directories on its drives.
    pub(super) async fn open_partitions(self: &Rc<Self>, found: FoundLogs) {
        let all = self.with_image(|image| image.topics().map(|topic| topic.id).collect());
        let (to_open, _) = self.follow(&all);
        self.open_all(to_open, &found).await;
    }

    /// Changes the image and says which topics are touched.
    fn apply_to_image(&self, committed: &Committed) -> BTreeSet<Uuid> {
        let mut image = self.image.borrow_mut();
        let mut changed = BTreeSet::new();
        let mut settings_changed = committed.whole;
        if committed.whole {
            changed.extend(image.topics().map(|topic| topic.id));
            *image = Image::new();
        }
        for record in &committed.records {
            match record {
                Record::Topic(topic) => drop(changed.insert(topic.id)),
                Record::Partition(partition) => drop(changed.insert(partition.topic_id)),
                Record::RemoveTopic(removed) => drop(changed.insert(removed.id)),
                Record::PartitionChange(change) => drop(changed.insert(change.topic_id)),
                Record::Config(config) if config.resource.kind == ResourceType::Topic => {
                    changed.extend(image.topic(&config.resource.name).map(|topic| topic.id));
                }
                Record::Config(config) => {
                    settings_changed |= config.resource.kind == ResourceType::Broker;
                }
                Record::ProducerIdBlock(_)
                | Record::Broker(_)
                | Record::BrokerChange(_)
                | Record::UnregisterBroker(_)
                | Record::LastBrokerEpoch(_)
                | Record::Feature(_)
                | Record::ClusterId(_) => {}
            }
            if let Err(error) = image.apply(record) {
                // The controller checked it against the same image: shards would differ from here on.
                panic!("a committed metadata record does not fit this shard's image: {error}");
            }
        }
        if settings_changed {
            changed.extend(image.topics().map(|topic| topic.id));
        }
        drop(image);
        if settings_changed {
            self.refresh_settings();
        }
        changed
    }

    /// Resolves the broker's settings anew.
    pub(super) fn refresh_settings(&self) {
        let resolved = self.with_layers(crate::config::BrokerConfig::resolve);
        match resolved {
            Ok(settings) => *self.settings.borrow_mut() = Rc::new(settings),
            Err(error) => {
                tracing::error!(%error, "the broker's settings do not go together; the old ones stay");
            }
        }
    }

    /// Brings routes and partitions in line with the image for these topics; gives what is left to
    /// do on drives.
    fn follow(&self, topics: &BTreeSet<Uuid>) -> (Vec<ToOpen>, Vec<Rc<Partition>>) {
        let mut to_open = Vec::new();
        let mut removed = Vec::new();
        for id in topics {
            match self.route_of(*id) {
                None => {
                    self.routes.remove(*id);
                    removed.extend(self.drop_replicas(*id));
                }
                Some(route) => {
                    let route = Rc::new(route);
                    self.routes.put(Rc::clone(&route));
                    to_open.extend(self.missing_replicas(&route));
                }
            }
        }
        (to_open, removed)
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
        let mut replicas = self.replicas.borrow_mut();
        let gone: Vec<_> = replicas
            .keys()
            .filter(|id| id.topic_id == topic)
            .copied()
            .collect();
        let taken = gone.iter().filter_map(|id| replicas.remove(id));
        let online = taken.filter_map(|replica| match replica {
            Replica::Online(partition) => Some(partition),
            Replica::Opening | Replica::Offline(_) => None,
        });
        online.collect()
    }

    /// Gives the topic's settings to the replicas that are here, and says which are not yet.
    fn missing_replicas(&self, route: &Rc<TopicRoute>) -> Vec<ToOpen> {
        let mut to_open = Vec::new();
        let mut replicas = self.replicas.borrow_mut();
        for (index, target) in (0..).zip(&route.partitions) {
            if target.owner != Some(self.id) {
                continue;
            }
            let id = PartitionId {
                topic_id: route.id,
                index,
            };
            match replicas.get(&id) {
                Some(Replica::Online(partition)) => partition.set_config(Rc::clone(&route.config)),
                Some(Replica::Opening | Replica::Offline(_)) => {}
                None => {
                    replicas.insert(id, Replica::Opening);
                    to_open.push(ToOpen {
                        id,
                        topic: route.name.clone(),
                        drive: target.drive,
                        leader_epoch: target.leader_epoch,
                        config: Rc::clone(&route.config),
                    });
                }
            }
        }
        to_open
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
        let drive = self
            .drives()
            .into_iter()
            .find(|drive| drive.id() == one.drive);
        let opened = match drive {
            None => Err(format!("drive {} is not open on this shard", one.drive)),
            Some(drive) => open_log(&drive, &one, dir)
                .await
                .map_err(|error| error.to_string()),
        };
        let replica = match opened {
            Ok((log, producers)) => {
                let epoch = one.leader_epoch;
                let partition =
                    Partition::new(one.id, &one.topic, log, producers, one.config, epoch);
                Replica::Online(partition)
            }
            Err(why) => {
                tracing::error!(
                    topic = one.topic,
                    partition = one.id.index,
                    why,
                    "a partition is offline"
                );
                Replica::Offline(why)
            }
        };
        let mut replicas = self.replicas.borrow_mut();
        // Deleted while it was being opened: then it is not wanted any more.
        if let Some(slot) = replicas.get_mut(&one.id) {
            *slot = replica;
        }
    }
}

async fn open_log(
    drive: &Drive,
    one: &ToOpen,
    dir: Option<LogDir>,
) -> Result<(Log, Producers), LogError> {
    let config = log_config(&one.config);
    let Some(mut dir) = dir else {
        let name = LogName {
            topic: one.topic.clone(),
            partition: one.id.index,
            topic_id: one.id.topic_id,
        };
        let log = Log::create(drive, &name, config).await?;
        log.assign_epoch(one.leader_epoch, log.end().appended());
        return Ok((log, Producers::default()));
    };
    dir.topic_id = Some(one.id.topic_id);
    let mut producers = Producers::default();
    let now_ms = rt::time::wall_ms();
    let mut replay = |event: ReplayEvent| match event {
        ReplayEvent::Snapshot(_, bytes) => match Producers::from_snapshot(&bytes) {
            Ok(snapshot) => producers = snapshot,
            Err(error) => {
                tracing::warn!(topic = one.topic, partition = one.id.index, %error, "producers are forgotten");
            }
        },
        ReplayEvent::Batch(info) => producers.record(&info, now_ms),
    };
    let log = Log::open(drive, &dir, config, &mut replay).await?;
    log.assign_epoch(one.leader_epoch, log.end().appended());
    Ok((log, producers))
}

async fn delete(partition: Rc<Partition>) {
    partition.abandon("the topic was deleted");
    if let Err(error) = partition.log().delete().await {
        let index = partition.id().index;
        tracing::warn!(topic = partition.topic(), partition = index, %error, "a deleted log is still on its drive");
    }
}
