//! From drives to partitions, at the start: which drives are here, what is on them, and what the
//! metadata says of it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use storage::{Drive, DriveError, Health, LogDir};
use uuid::Uuid;

use super::control::Control;
use super::{ServeError, Shard, ShardId};
use crate::cluster::{CLIENT_LISTENER, CONTROLLER_LISTENER, Cluster, Door};
use metadata::{
    AdoptTopic, DriveInfo, Endpoint, FoundPartition, Image, InternalEndpoint, METADATA_VERSIONS,
    PlacementDrive, Record, RegisterBroker,
};

/// How many ticks of the quorum's time the longest wait for a leader has.
const ELECTION_TICKS: u32 = 20;

/// Where the metadata log is: beside the partitions on the node's first drive.
const METADATA_FOLDER: &str = "__meta";

/// A drive as its shard tells the control shard of it.
struct DriveReport {
    id: Uuid,
    shard: ShardId,
    path: String,
    /// Whether the program that used it last closed it.
    clean: bool,
    logs: Vec<LogDir>,
    /// The latest leader epochs of the logs that Kafka wrote, by their place in `logs`.
    kafka_epochs: BTreeMap<usize, i32>,
}

/// Kafka's file of leader epochs in a log directory: a version, a count, then a line each with an
/// epoch and its first offset.
const EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// The latest epoch in a log directory of Kafka's; -1 if it says none.
async fn latest_epoch(dir: &LogDir) -> i32 {
    let bytes = rt::fs::read(dir.path.join(EPOCH_FILE))
        .await
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let entries = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next());
    entries
        .filter_map(|epoch| epoch.parse().ok())
        .max()
        .unwrap_or(-1)
}

/// Where Linux tells one start of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The start of the machine that this process runs in; nil when that can't be known.
async fn boot_id() -> Uuid {
    let bytes = rt::fs::read(BOOT_ID).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Uuid::parse_str(text.trim()).unwrap_or_default()
}

impl Shard {
    /// Opens the metadata, on the first drive, and lets other nodes in; gives the internal address, too.
    pub(super) async fn open_metadata(
        self: &Rc<Self>,
    ) -> Result<(Rc<Control>, Option<SocketAddr>), ServeError> {
        let Some(drive) = self.drives().into_iter().next() else {
            return Err(ServeError::Settings(
                "the first shard has no data directory".to_owned(),
            ));
        };
        let dir = drive.path().join(METADATA_FOLDER);
        let cluster = Rc::new(Cluster::new(&self.node.config));
        let door = Door::default();
        let internal = self.node.config.internal.as_ref();
        let internal = internal.map(|internal| self.listen_for_nodes(internal.listen, &door));
        let internal = internal.transpose()?;
        let begin = cluster.beginning(self, &dir).await?;
        let control = Rc::new(Control::open(&dir, self, cluster, begin).await?);
        door.open(Rc::clone(&control));
        if internal.is_some() {
            control.start_quorum(self.settings().election_timeout / ELECTION_TICKS);
        }
        let (deciding, shard) = (Rc::clone(&control), Rc::clone(self));
        rt::task::spawn(deciding.control_for_ever(shard)).detach();
        let (telling, shard) = (Rc::clone(&control), Rc::clone(self));
        rt::task::spawn(telling.tell_for_ever(shard)).detach();
        Ok((control, internal))
    }

    /// Learns of all drives, registers this node, takes in directories that are not in the metadata,
    /// and gives every shard the whole metadata.
    pub(super) async fn take_in_drives(
        self: &Rc<Self>,
        control: &Control,
        internal: Option<SocketAddr>,
    ) -> Result<(), ServeError> {
        let reports = self
            .run_on_all(|shard| {
                let shard = Rc::clone(shard);
                async move { shard.report_drives().await }
            })
            .await;
        let mut owners = HashMap::new();
        let mut drives = Vec::new();
        for (at, report) in reports.into_iter().enumerate() {
            for drive in report? {
                owners.insert(drive.id, ShardId(at));
                drives.push(drive);
            }
        }
        let owners = Arc::new(owners);
        *self.owners.borrow_mut() = (*owners).clone();
        let endpoints = self.listen_for_replicas(internal).await?;
        let cluster_id = control.with_image(|image| image.cluster_id().map(str::to_owned));
        let registration = RegisterBroker {
            cluster_id,
            incarnation: control.cluster.incarnation(),
            internal_endpoints: endpoints,
            ..self.registration(&drives, internal).await
        };
        control.join(self, registration).await?;
        for command in self.adoptions(control, &drives) {
            control.adopt(self, command).await?;
        }
        let records: Arc<Vec<Record>> = Arc::new(control.whole());
        self.run_on_all(move |shard| {
            shard.take_metadata(&records, &owners);
            async {}
        })
        .await;
        Ok(())
    }

    /// Opens every shard's listener for replicas; gives where each is.
    async fn listen_for_replicas(
        self: &Rc<Self>,
        internal: Option<SocketAddr>,
    ) -> Result<Vec<InternalEndpoint>, ServeError> {
        let (Some(own), Some(asked)) = (internal, &self.node.config.internal) else {
            return Ok(Vec::new());
        };
        let (host, free) = (asked.host.clone(), asked.listen.port() == 0);
        let mut endpoints = Vec::with_capacity(self.node.shards);
        for at in 0..self.node.shards {
            let next = u16::try_from(at + 1)
                .ok()
                .and_then(|at| own.port().checked_add(at));
            let port = match free {
                true => 0,
                false => next.ok_or_else(|| {
                    ServeError::Settings(
                        "--internal leaves no ports for the shards; give a lower one".to_owned(),
                    )
                })?,
            };
            let address = SocketAddr::new(own.ip(), port);
            let listening = self.run_on(ShardId(at), move |shard| {
                let listening = shard.listen_replication(address);
                async move { listening }
            });
            endpoints.push(InternalEndpoint {
                host: host.clone(),
                port: listening.await?.port(),
            });
        }
        Ok(endpoints)
    }

    /// Those of this node's drives that have failed.
    pub(crate) async fn failed_drives(self: &Rc<Self>) -> Vec<Uuid> {
        let failed = self.run_on_all(|shard| {
            let drives = shard.drives();
            let failed = drives
                .iter()
                .filter(|one| matches!(one.health(), Health::Failed(_)));
            let failed: Vec<Uuid> = failed.map(Drive::id).collect();
            async move { failed }
        });
        failed.await.concat()
    }

    async fn report_drives(&self) -> Result<Vec<DriveReport>, DriveError> {
        let mut reports = Vec::new();
        let mut found = BTreeMap::new();
        for drive in self.drives() {
            let logs = drive.logs().await?;
            let mut kafka_epochs = BTreeMap::new();
            for (at, dir) in logs.iter().enumerate() {
                if dir.kafka {
                    kafka_epochs.insert(at, latest_epoch(dir).await);
                }
                found.insert((dir.topic.clone(), dir.partition), dir.clone());
            }
            reports.push(DriveReport {
                id: drive.id(),
                shard: self.id,
                path: drive.path().display().to_string(),
                clean: drive.was_clean(),
                logs,
                kafka_epochs,
            });
        }
        *self.found.borrow_mut() = found;
        Ok(reports)
    }

    async fn registration(
        &self,
        drives: &[DriveReport],
        internal: Option<SocketAddr>,
    ) -> RegisterBroker {
        let drive = |report: &DriveReport| DriveInfo {
            id: report.id,
            shard: u32::try_from(report.shard.0).unwrap_or(u32::MAX),
            path: report.path.clone(),
        };
        let advertise = &self.node.config.advertise;
        let mut endpoints = vec![Endpoint {
            name: CLIENT_LISTENER.to_owned(),
            host: advertise.host.clone(),
            port: advertise.port,
            security_protocol: 0,
        }];
        if let (Some(own), Some(asked)) = (internal, &self.node.config.internal) {
            endpoints.push(Endpoint {
                name: CONTROLLER_LISTENER.to_owned(),
                host: asked.host.clone(),
                port: own.port(),
                security_protocol: 0,
            });
        }
        RegisterBroker {
            cluster_id: None,
            node_id: self.node_id(),
            incarnation: Uuid::nil(),
            boot_id: boot_id().await,
            clean: drives.iter().all(|report| report.clean),
            metadata_versions: METADATA_VERSIONS,
            rack: self.settings().rack.clone(),
            shards: u32::try_from(self.node.shards).unwrap_or(u32::MAX),
            drives: drives.iter().map(drive).collect(),
            endpoints,
            internal_endpoints: Vec::new(),
        }
    }

    /// Directories in Kafka's own naming that the metadata knows nothing of. Directories in ours that
    /// it doesn't know are left alone: they are what a deletion left, or another cluster's.
    fn adoptions(&self, control: &Control, drives: &[DriveReport]) -> Vec<AdoptTopic> {
        let mut by_topic: BTreeMap<String, AdoptTopic> = BTreeMap::new();
        for drive in drives {
            for (at, dir) in drive.logs.iter().enumerate() {
                let known = control.with_image(|image| {
                    let topic = image.topic(&dir.topic);
                    topic.is_some_and(|topic| topic.partition(dir.partition).is_some())
                });
                if known {
                    continue;
                }
                if !dir.kafka {
                    tracing::warn!(path = %dir.path.display(), "a log directory belongs to no topic; it stays as it is");
                    continue;
                }
                let command = by_topic
                    .entry(dir.topic.clone())
                    .or_insert_with(|| AdoptTopic {
                        name: dir.topic.clone(),
                        id: dir.topic_id,
                        fresh_id: Uuid::new_v4(),
                        partitions: Vec::new(),
                    });
                command.partitions.push(FoundPartition {
                    index: dir.partition,
                    place: PlacementDrive {
                        node: self.node_id(),
                        drive: drive.id,
                    },
                    latest_epoch: drive.kafka_epochs.get(&at).copied().unwrap_or(-1),
                });
            }
        }
        by_topic.into_values().collect()
    }

    fn take_metadata(&self, records: &[Record], owners: &Arc<HashMap<Uuid, ShardId>>) {
        let mut image = Image::new();
        for record in records {
            if let Err(error) = image.apply(record) {
                panic!("the metadata does not fit an empty image: {error}");
            }
        }
        *self.image.borrow_mut() = image;
        *self.owners.borrow_mut() = (**owners).clone();
        self.refresh_settings();
    }

    /// Opens the partitions that the metadata puts on this shard's drives; gives the greatest producer
    /// id in their logs.
    pub(super) async fn open_found(self: &Rc<Self>) -> Option<i64> {
        let found = std::mem::take(&mut *self.found.borrow_mut());
        self.open_partitions(found).await;
        self.start_background();
        let opened = self.partitions();
        opened
            .iter()
            .filter_map(|partition| partition.greatest_producer_id())
            .max()
    }
}
