//! How a node comes up and goes down.
//!
//! Up: every shard opens its drives; the control shard reads the metadata, learns which drives are
//! here, takes in directories it did not know, and gives every shard the whole metadata; each opens
//! its partitions; then all listen. Down: the same backwards.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rt::executor::{ExecutorConfig, ExecutorError};
use rt::lane::{Mailbox, MailboxSender, MeshEnd};
use rt::sync::Credit;
use storage::{Drive, DriveConfig, DriveError, TailBudget};
use uuid::Uuid;

use super::control::Control;
use super::memory::Memory;
use super::router::{LANE_CAPACITY, Message, Router};
use super::several::several;
use super::{Node, Shard, ShardId, addresses};
use crate::admin::metrics::ShardMetrics;
use crate::api::session::Sessions;
use crate::config::{BrokerConfig, NodeConfig};
use crate::coordinator::Coordinators;
use crate::meta::MetaLogError;
use crate::partition::Partition;
use crate::peers::Peers;
use crate::replication::Replication;
use crate::share::Shares;
use crate::transactions::MarkerSender;
use metadata::Image;

/// How long the others may take to lead in the place of a node that stops.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

/// Why a node does not come up, or had to go down.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The host can't run it.
    #[error(transparent)]
    Host(#[from] rt::host::HostError),
    /// A shard's thread can't be started.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address}: {source}; give another one with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// A data directory can't be used.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The metadata can't be read.
    #[error(transparent)]
    Metadata(#[from] MetaLogError),
    /// The cluster doesn't take the node.
    #[error("the cluster doesn't take this node: {0}")]
    Refused(String),
    /// The settings contradict each other.
    #[error("{0}")]
    Settings(String),
}

/// What tells a running node to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Let requests finish, close everything, write it down as clean.
    Orderly,
}

/// What a shard is started with.
struct ShardStart {
    id: ShardId,
    node: Arc<Node>,
    lanes: MeshEnd<Message>,
    data_dirs: Vec<PathBuf>,
    memory: Memory,
    /// Where the main thread waits for the node's end.
    ended: mpsc::Sender<Result<(), ServeError>>,
}

/// Runs a node until it is told to stop. `stop` is given a sender that tells it so from any thread.
///
/// # Errors
/// [`ServeError`] if it does not come up.
pub fn serve(
    mut config: NodeConfig,
    stop: impl FnOnce(MailboxSender<Stop>),
) -> Result<(), ServeError> {
    rt::host::prepare()?;
    let cores = rt::executor::available_cores();
    let shards = config
        .shards
        .map_or(cores.len(), std::num::NonZeroUsize::get);
    if shards > cores.len() {
        return Err(ServeError::Settings(format!(
            "{shards} shards asked for, but this process may run on {} cores only; give --shards {} or fewer",
            cores.len(),
            cores.len()
        )));
    }
    config.listen = addresses::wait_free(&config, shards)?;
    if config.advertise.port == 0 {
        config.advertise.port = config.listen.port();
    }
    let io = usize::try_from(config.io_memory).unwrap_or(usize::MAX);
    let total = usize::try_from(config.memory).unwrap_or(usize::MAX);
    let memory = Memory::divide(total / shards, io);
    let node = Arc::new(Node {
        config,
        shards,
        started: Instant::now(),
        session_base: session_base(),
    });
    let (sender, mailbox) = rt::lane::mailbox();
    stop(sender);
    run(&node, &cores, memory, mailbox)
}

fn run(
    node: &Arc<Node>,
    cores: &[usize],
    memory: Memory,
    mailbox: Mailbox<Stop>,
) -> Result<(), ServeError> {
    let (ended, end) = mpsc::channel();
    let mut mailbox = Some(mailbox);
    let lanes = rt::lane::mesh(node.shards, LANE_CAPACITY);
    for (at, lanes) in lanes.into_iter().enumerate() {
        let start = ShardStart {
            id: ShardId(at),
            node: Arc::clone(node),
            lanes,
            data_dirs: drives_of(&node.config.data_dirs, at, node.shards),
            memory,
            ended: ended.clone(),
        };
        let config = ExecutorConfig {
            name: format!("shard-{at}"),
            core: Some(cores[at]),
            io_memory: memory.io,
            ..ExecutorConfig::default()
        };
        let mailbox = mailbox.take();
        rt::executor::spawn(config, move || run_shard(start, mailbox))?;
    }
    // The first word counts: the control shard's that all is closed, or any shard's that it gave up.
    // The threads that are still there end with the process.
    end.recv().unwrap_or(Ok(()))
}

/// The data directories of a shard: they are dealt out round robin.
fn drives_of(data_dirs: &[PathBuf], shard: usize, shards: usize) -> Vec<PathBuf> {
    data_dirs
        .iter()
        .skip(shard)
        .step_by(shards)
        .cloned()
        .collect()
}

async fn run_shard(start: ShardStart, mailbox: Option<Mailbox<Stop>>) {
    let ended = start.ended.clone();
    let ran = match (Shard::open(start).await, mailbox) {
        (Err(error), _) => Err(error),
        (Ok(shard), Some(mailbox)) => shard.run_node(mailbox).await,
        // Serves its lanes and connections until the control shard has brought the node down.
        (Ok(_shard), None) => std::future::pending().await,
    };
    // The main thread ends the process with it, and with it every other shard.
    let _ = ended.send(ran);
    std::future::pending::<()>().await;
}

impl Shard {
    /// A shard with its drives open and its lanes served, without metadata yet.
    async fn open(start: ShardStart) -> Result<Rc<Self>, ServeError> {
        let ShardStart {
            id,
            node,
            lanes,
            data_dirs,
            memory,
            ..
        } = start;
        let (router, receivers) = Router::new(lanes.connect().await);
        let tail = TailBudget::new(memory.tail);
        let mut drives = Vec::with_capacity(data_dirs.len());
        for path in data_dirs {
            let mut config = DriveConfig::new(tail.clone());
            if let Ok(space) = reserve_base(&path).await {
                config.reserve_bytes = node.config.drive_reserve.of(space);
            }
            drives.push(Drive::open(&path, config).await?);
        }
        let settings = BrokerConfig::resolve(&node.config.layers())
            .map_err(|error| ServeError::Settings(error.to_string()))?;
        let step = i32::try_from(node.shards).unwrap_or(1);
        let first_session = node.session_base * step + i32::try_from(id.0).unwrap_or(0);
        let number = u16::try_from(id.0).unwrap_or(u16::MAX);
        let shard = Rc::new_cyclic(|this| Self {
            id,
            replication: Replication::of_shard(node.config.node_id, number, this.clone()),
            coordinators: Coordinators::default(),
            shares: Shares::default(),
            peers: Peers::default(),
            markers: MarkerSender::default(),
            share_states: crate::share_state::Gathered::default(),
            router,
            drives: RefCell::new(drives),
            owners: RefCell::default(),
            replicas: RefCell::default(),
            watermarks: RefCell::default(),
            routes: super::routes::Routes::default(),
            image: RefCell::new(Image::new()),
            request_memory: Credit::new(memory.requests),
            buffer_memory: Credit::new(memory.buffers),
            read_memory: Credit::new(memory.reads),
            tail,
            sessions: RefCell::new(Sessions::new(
                settings.fetch_session_slots,
                first_session,
                step,
            )),
            settings: RefCell::new(Rc::new(settings)),
            waits: super::reads::RemoteWaits::default(),
            metrics: ShardMetrics::default(),
            compaction: super::compaction::Compaction::default(),
            connections: Cell::new(0),
            lost: RefCell::default(),
            shutdown: net::connection::Shutdown::new(),
            controller: Cell::new(None),
            ready: Cell::new(false),
            found: RefCell::default(),
            control: RefCell::new(None),
            node,
        });
        for (_, receiver) in receivers {
            let shard = Rc::clone(&shard);
            rt::task::spawn(shard.serve_lane(receiver)).detach();
        }
        Ok(shard)
    }

    /// The control shard's life: brings the node up, waits to be told, brings it down.
    async fn run_node(self: &Rc<Self>, mailbox: Mailbox<Stop>) -> Result<(), ServeError> {
        let begun = rt::time::now();
        let (control, internal) = self.open_metadata().await?;
        self.take_in_drives(&control, internal).await?;
        self.take_control(Rc::clone(&control));
        let admin = crate::admin::start(self).await?;
        let opened = self.run_on_all(|shard| {
            let shard = Rc::clone(shard);
            async move { shard.open_found().await }
        });
        for greatest in opened.await.into_iter().flatten() {
            control.note_producer_id(greatest);
        }
        let listening = self.run_on_all(|shard| {
            let listening = shard.listen();
            async move { listening }
        });
        for listening in listening.await {
            listening?;
        }
        let (beating, shard) = (Rc::clone(&control), Rc::clone(self));
        rt::task::spawn(beating.beat_for_ever(shard)).detach();
        control.unfenced().await;
        self.ready.set(true);
        tracing::info!(
            listen = %self.node.config.listen,
            advertise = %self.node.config.advertise,
            admin = admin.map_or_else(|| "off".to_owned(), |address| address.to_string()),
            shards = self.node.shards,
            took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "ready"
        );
        let _ = mailbox.recv().await;
        self.bring_down(&control).await;
        Ok(())
    }

    async fn bring_down(self: &Rc<Self>, control: &Control) {
        let begun = rt::time::now();
        self.ready.set(false);
        if self.settings().controlled_shutdown {
            control.take_leave(self, LEAVE_LIMIT).await;
        }
        tracing::info!("stopping: connections finish what they have begun");
        self.run_on_all(|shard| {
            let shard = Rc::clone(shard);
            async move { shard.close_connections().await }
        })
        .await;
        control.part();
        // Before the drives: the metadata lies on the first one.
        if let Err(error) = control.close().await {
            tracing::warn!(%error, "the metadata did not close cleanly");
        }
        let clean = self.run_on_all(|shard| {
            let shard = Rc::clone(shard);
            async move { shard.close_partitions().await }
        });
        let clean = clean.await.into_iter().all(|clean| clean);
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(clean, took_ms, "stopped");
    }

    async fn close_connections(self: &Rc<Self>) {
        // Members wait for minutes; they are to find the next coordinator now.
        self.coordinators.stop();
        self.peers.stop();
        self.shutdown.begin();
        let limit = Duration::from_secs(10);
        let begun = rt::time::now();
        while self.connections.get() > 0 && begun.elapsed() < limit {
            rt::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Closes logs and drives; true if all of it is on the drives.
    async fn close_partitions(self: &Rc<Self>) -> bool {
        self.replication().stop();
        // One by one, thousands of logs would take longer than what is told to stop is commonly given.
        let closed = several(self.partitions().into_iter().map(close_log)).await;
        let mut clean = closed.into_iter().all(|closed| closed);
        self.write_watermarks().await;
        for drive in self.drives() {
            if let Err(error) = drive.close(clean).await {
                tracing::warn!(drive = %drive.path().display(), %error, "a drive did not close cleanly");
                clean = false;
            }
        }
        clean
    }
}

/// True if all of the log is on its drive.
async fn close_log(partition: Rc<Partition>) -> bool {
    let closed = partition.log().close().await;
    if let Err(error) = &closed {
        let index = partition.id().index;
        tracing::warn!(topic = partition.topic(), partition = index, %error, "a log did not close cleanly");
    }
    closed.is_ok()
}

/// The size of the file system that a data directory is, or will be, on.
async fn reserve_base(path: &PathBuf) -> std::io::Result<u64> {
    rt::fs::create_dir_all(path).await?;
    Ok(rt::fs::space(path).await?.total)
}

/// Where session ids begin: another place at each start, so that a client of the last run does not
/// come upon a session that is not its own.
fn session_base() -> i32 {
    let random = Uuid::new_v4().as_u128();
    1 + (random & 0xf_ffff) as i32
}
