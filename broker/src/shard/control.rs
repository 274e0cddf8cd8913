//! The controller on a node: commands are decided on the control shard, committed, and in force on
//! every shard before they are answered.
//!
//! Owns the feed that carries commits from the metadata to the shards, in order. Other shards reach it
//! by [`Shard::run_on`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use rt::sync::Notify;
use uuid::Uuid;

use super::config_rules::KafkaConfigRules;
use super::{CONTROL_SHARD, Shard};
use crate::api::error::Refusal;
use crate::cluster::{Answer, AskError, Cluster, Command};
use crate::meta::{
    Begin, Committed, MetaLogError, MetaLogOptions, MetaOptions, MetaShell, ProposeError,
};
use metadata::{
    ConfigChange, Controller, CreatePartitions, CreateTopic, Image, MetaError, PlacementDrive,
    Policy, Record, Resource, TopicRef,
};

/// What a decision gives: records to commit, and something for the one who asked.
pub(super) type Decision<R> = Result<(Vec<Record>, R), MetaError>;

/// Why a command was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// The controller refused it; nothing changed.
    #[error(transparent)]
    Refused(#[from] MetaError),
    /// The metadata could not take it.
    #[error(transparent)]
    NotCommitted(#[from] ProposeError),
    /// The controller of another node refused it; nothing changed.
    #[error("{message}")]
    ByController {
        /// Kafka's error code.
        code: i16,
        /// Its words.
        message: String,
    },
    /// The controller didn't answer.
    #[error(transparent)]
    NotAsked(#[from] AskError),
    /// The node is not up yet.
    #[error("the node is starting; try again")]
    Starting,
}

impl ControlError {
    /// Kafka's error code.
    pub fn code(&self) -> i16 {
        match self {
            Self::Refused(error) => error.code(),
            Self::NotCommitted(ProposeError::NotLeader(_)) => ResponseError::NotController.code(),
            Self::NotCommitted(_) => ResponseError::KafkaStorageError.code(),
            Self::ByController { code, .. } => *code,
            Self::NotAsked(_) => ResponseError::RequestTimedOut.code(),
            Self::Starting => ResponseError::NotController.code(),
        }
    }

    /// The error as a client is told of it.
    pub fn refusal(&self) -> Refusal {
        let error = ResponseError::try_from_code(self.code());
        Refusal::with(
            error.unwrap_or(ResponseError::UnknownServerError),
            self.to_string(),
        )
    }
}

/// Commits on their way from the metadata to the shards.
#[derive(Default)]
struct Feed {
    queue: RefCell<VecDeque<Arc<Committed>>>,
    arrived: Notify,
    /// Every shard is at this offset of the metadata, or beyond.
    applied: Cell<i64>,
    moved: Notify,
}

impl Feed {
    async fn applied_to(&self, offset: i64) {
        while self.applied.get() < offset {
            self.moved.notified().await;
        }
    }
}

/// What the control shard has beside a shard's own.
pub(crate) struct Control {
    pub(crate) meta: MetaShell,
    pub(crate) cluster: Rc<Cluster>,
    feed: Rc<Feed>,
    /// Producer ids that were committed as given away and have not been: next, and the end.
    producer_ids: Cell<(i64, i64)>,
    /// No log that was found on the drives knows a producer with this id or a greater one.
    free_producer_id: Cell<i64>,
}

impl Control {
    /// Opens the metadata in `dir`, or begins it in the way of `begin`.
    pub(super) async fn open(
        dir: &Path,
        shard: &Shard,
        cluster: Rc<Cluster>,
        begin: Begin,
    ) -> Result<Self, MetaLogError> {
        let feed = Rc::new(Feed::default());
        let (into, learner) = (Rc::clone(&feed), Rc::clone(&cluster));
        let subscriber = Box::new(move |committed: &Arc<Committed>| {
            learner.learn(&committed.records);
            into.queue.borrow_mut().push_back(Arc::clone(committed));
            into.arrived.notify_one();
        });
        let rules = Box::new(KafkaConfigRules::new(Arc::clone(&shard.node)));
        let options = MetaOptions {
            node: shard.node_id(),
            begin,
            log: MetaLogOptions::default(),
        };
        let outgoing = cluster.outgoing();
        let policy = shard.policy();
        let meta = MetaShell::open(dir, options, rules, policy, subscriber, outgoing).await?;
        cluster.learn(&meta.image().to_records());
        Ok(Self {
            meta,
            cluster,
            feed,
            producer_ids: Cell::new((0, 0)),
            free_producer_id: Cell::new(0),
        })
    }

    /// The metadata as it is now, whole. From here on the feed carries what comes after.
    pub(super) fn whole(&self) -> Vec<Record> {
        self.feed.queue.borrow_mut().clear();
        self.feed.applied.set(self.meta.offset());
        self.meta.image().to_records()
    }

    /// The offset of the metadata that every shard has applied.
    pub(crate) fn applied(&self) -> i64 {
        self.feed.applied.get()
    }

    /// Waits until every shard has applied the metadata up to `offset`.
    pub(crate) async fn in_force(&self, offset: i64) {
        self.feed.applied_to(offset).await;
    }

    /// Looks at the committed metadata.
    pub(super) fn with_image<R>(&self, look: impl FnOnce(&Image) -> R) -> R {
        look(&self.meta.image())
    }

    /// Notes the greatest producer id in the logs of the node. A new producer with the id of an old one
    /// would have its batches taken for that one's: refused, or acknowledged as sent before.
    pub(super) fn note_producer_id(&self, greatest: i64) {
        let free = self.free_producer_id.get();
        self.free_producer_id
            .set(free.max(greatest.saturating_add(1)));
    }

    /// Closes the metadata log.
    pub(super) async fn close(&self) -> Result<(), MetaLogError> {
        self.meta.close().await
    }
}

impl Shard {
    /// Decides and commits; gives the answer and the offset at which it is in force.
    pub(crate) async fn decide<R>(
        &self,
        control: &Control,
        validate_only: bool,
        decide: impl FnOnce(&Controller<'_>, &[PlacementDrive]) -> Decision<R>,
    ) -> Result<(R, i64), ControlError> {
        let decided = control.meta.execute(|draft| {
            let controller = draft.controller();
            let drives = self.placeable(controller.image());
            let (records, answer) = decide(&controller, &drives)?;
            if !validate_only {
                draft.take(records).map_err(MetaError::from)?;
            }
            Ok::<R, MetaError>(answer)
        });
        let decided = decided.await?;
        Ok((decided.value?, decided.offset))
    }

    /// The control shard's own, once it is up.
    pub(crate) fn control_here(&self) -> Option<Rc<Control>> {
        self.control.borrow().clone()
    }

    fn policy(&self) -> Policy {
        let settings = self.settings();
        Policy {
            default_partitions: settings.num_partitions,
            default_replication_factor: settings.default_replication_factor,
            delete_topics: settings.delete_topics,
        }
    }

    /// The drives that may be given new partitions: those that are here.
    pub(crate) fn placeable(&self, image: &Image) -> Vec<PlacementDrive> {
        let owners = self.owners.borrow();
        let mut drives = PlacementDrive::all(image);
        drives.retain(|place| place.node != self.node_id() || owners.contains_key(&place.drive));
        drives
    }

    /// Makes this the control shard: from now on it carries commits to all shards.
    pub(super) fn take_control(self: &Rc<Self>, control: Rc<Control>) {
        *self.control.borrow_mut() = Some(Rc::clone(&control));
        let shard = Rc::clone(self);
        rt::task::spawn(async move { shard.feed_shards(&control).await }).detach();
    }

    async fn feed_shards(self: Rc<Self>, control: &Control) {
        let feed = &control.feed;
        loop {
            let next = feed.queue.borrow_mut().pop_front();
            let Some(committed) = next else {
                feed.arrived.notified().await;
                continue;
            };
            let offset = committed.offset;
            self.run_on_all(move |shard| shard.apply(&committed)).await;
            control.meta.set_policy(self.policy());
            feed.applied.set(offset);
            feed.moved.notify_waiters();
            let leaving =
                |image: &Image| image.brokers().values().any(|b| b.in_controlled_shutdown);
            if self.with_image(leaving) {
                // It waits until the others know who leads in its place.
                control.hurry();
            }
        }
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn create_topic(
        self: &Rc<Self>,
        command: CreateTopic,
        validate_only: bool,
    ) -> Result<(), ControlError> {
        self.change(Command::CreateTopic(command), validate_only)
            .await
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn delete_topic(self: &Rc<Self>, topic: TopicRef) -> Result<(), ControlError> {
        self.change(Command::DeleteTopic(topic), false).await
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn create_partitions(
        self: &Rc<Self>,
        command: CreatePartitions,
        validate_only: bool,
    ) -> Result<(), ControlError> {
        self.change(Command::CreatePartitions(command), validate_only)
            .await
    }

    /// Changes some settings of a resource.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn alter_configs(
        self: &Rc<Self>,
        resource: Resource,
        changes: Vec<ConfigChange>,
        validate_only: bool,
    ) -> Result<(), ControlError> {
        self.change(Command::AlterConfigs(resource, changes), validate_only)
            .await
    }

    /// Gives a resource exactly these settings.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn replace_configs(
        self: &Rc<Self>,
        resource: Resource,
        settings: Vec<(String, Option<String>)>,
        validate_only: bool,
    ) -> Result<(), ControlError> {
        self.change(Command::ReplaceConfigs(resource, settings), validate_only)
            .await
    }

    async fn change(
        self: &Rc<Self>,
        command: Command,
        validate_only: bool,
    ) -> Result<(), ControlError> {
        self.command(command, validate_only).await.map(|_| ())
    }

    /// A producer id that nobody has.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn next_producer_id(self: &Rc<Self>) -> Result<i64, ControlError> {
        self.run_on(CONTROL_SHARD, |shard| {
            let shard = Rc::clone(shard);
            async move { shard.next_producer_id_here().await }
        })
        .await
    }

    async fn next_producer_id_here(self: &Rc<Self>) -> Result<i64, ControlError> {
        let control = self.control_here().ok_or(ControlError::Starting)?;
        loop {
            let (next, end) = control.producer_ids.get();
            if next < end {
                control.producer_ids.set((next + 1, end));
                return Ok(next);
            }
            let command = Command::AllocateProducerIds {
                node: self.node_id(),
                free: control.free_producer_id.get(),
            };
            if let Answer::ProducerIds(block) = self.command(command, false).await? {
                let ids = (block.first, block.first + block.count);
                control.producer_ids.set(ids);
            }
        }
    }

    /// An id for a new cluster, a random one.
    pub(crate) fn fresh_cluster_id() -> String {
        Self::shown_id(Uuid::new_v4())
    }

    /// An id as Kafka shows it: in URL-safe base64.
    pub(crate) fn shown_id(id: Uuid) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = id.as_u128();
        // 128 bits are 21 digits of 6 bits, and 2 bits that begin the last digit.
        let whole = (0..21).map(|at| (bits >> (122 - 6 * at)) & 63);
        let digits = whole.chain([(bits & 3) << 4]);
        digits
            .map(|digit| char::from(DIGITS[digit as usize]))
            .collect()
    }
}
