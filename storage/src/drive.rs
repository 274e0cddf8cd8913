//! One drive: a folder that holds logs, meant to be one physical disk. Belongs to one shard.
//!
//! Owns the folder's lock and identity, the drive's health, and what its logs share: the budget of
//! write buffers in flight, the open files, the counters. It never looks into a log.
//!
//! Health: a failed write or fdatasync makes a drive *failed* for good, because what the kernel
//! then has in its caches is unknown. A drive without room is *full*: it takes no appends and
//! looks by itself, now and then, whether there is room again.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use rt::fs::{self, DirLock, Space};
use rt::sync::Credit;
use rt::task::{self, Class};
use uuid::Uuid;

use crate::config::DriveConfig;
use crate::error::{DriveError, DriveFailed};
use crate::files::OpenFiles;
use crate::identity::{self, CLEAN_FILE, FORMAT, IDENTITY_FILE, Identity, IdentityError};
use crate::log::LogInner;
use crate::metrics::DriveMetrics;
use crate::name::{Folder, METADATA_FILE, TOPIC_NAME_FILE};

/// How long an answer about free space is believed, and only while there is this much more than
/// is needed.
const ROOM_FRESH: Duration = Duration::from_millis(200);
const ROOM_PLENTY: u64 = 1 << 30;

/// How a drive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It reads and writes.
    Online,
    /// It reads, and takes no appends until there is room.
    Full,
    /// It has failed, for this reason. Its logs take and give nothing.
    Failed(String),
}

/// A log that was found on a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The topic's id. A partition that Kafka wrote before release 2.8 has none; set one before
    /// opening it.
    pub topic_id: Option<Uuid>,
    /// Its folder.
    pub path: PathBuf,
    /// Whether Kafka wrote it: opening it makes it one of ours.
    pub kafka: bool,
}

/// A drive. Cheap to clone; stays on the shard that opened it.
#[derive(Clone, Debug)]
pub struct Drive(pub(crate) Rc<DriveInner>);

/// What a drive and its logs share.
#[derive(Debug)]
pub(crate) struct DriveInner {
    pub(crate) path: PathBuf,
    id: Uuid,
    was_clean: bool,
    pub(crate) config: DriveConfig,
    reserve: Cell<u64>,
    /// Room there was when last looked, less what was taken since.
    room: Cell<Option<(Instant, u64)>>,
    health: RefCell<Health>,
    /// Bytes whose lack made the drive full.
    missing: Cell<u64>,
    logs: RefCell<Vec<Weak<LogInner>>>,
    metrics: RefCell<DriveMetrics>,
    /// Write buffers in flight, in bytes.
    pub(crate) writes: Credit,
    pub(crate) files: OpenFiles,
    lock: RefCell<Option<DirLock>>,
}

impl Drive {
    /// Opens a drive, making its folder and identity where there are none. Refused while another
    /// process has it open.
    pub async fn open(path: impl AsRef<Path>, config: DriveConfig) -> Result<Self, DriveError> {
        let path = path.as_ref();
        let create = fs::create_dir_all(path).await;
        create.map_err(DriveError::io("create", path))?;
        let lock = DirLock::acquire(path)?;
        let disarm = rt::file::disarm_iopoll(path).await;
        disarm.map_err(DriveError::io("use direct I/O in", path))?;
        let id = identify(path).await?;
        let was_clean = take_clean_mark(path).await?;
        remove_deleted(path).await?;
        tracing::info!(path = %path.display(), id = %crate::name::id_text(id), was_clean, "drive opened");
        Ok(Self(Rc::new(DriveInner {
            path: path.to_owned(),
            id,
            was_clean,
            writes: Credit::new(config.write_bytes),
            files: OpenFiles::new(config.open_files),
            reserve: Cell::new(config.reserve_bytes),
            room: Cell::new(None),
            config,
            health: RefCell::new(Health::Online),
            missing: Cell::new(0),
            logs: RefCell::default(),
            metrics: RefCell::default(),
            lock: RefCell::new(Some(lock)),
        })))
    }

    /// The drive's id, given when its folder was first used.
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// The drive's folder.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether the program that used it last closed it cleanly.
    pub fn was_clean(&self) -> bool {
        self.0.was_clean
    }

    /// How it is now.
    pub fn health(&self) -> Health {
        self.0.health.borrow().clone()
    }

    /// What it did so far.
    pub fn metrics(&self) -> DriveMetrics {
        *self.0.metrics.borrow()
    }

    /// Room on its file system.
    pub async fn space(&self) -> io::Result<Space> {
        fs::space(&self.0.path).await
    }

    /// Changes the space that is left free; see [`DriveConfig::reserve_bytes`].
    pub fn set_reserve(&self, bytes: u64) {
        self.0.reserve.set(bytes);
    }

    /// The logs on it, in order of their folders' names. Folders that are no logs are left out.
    pub async fn logs(&self) -> Result<Vec<LogDir>, DriveError> {
        let listed = fs::list(&self.0.path).await;
        let listed = listed.map_err(DriveError::io("list", &self.0.path))?;
        let mut found = Vec::new();
        for entry in listed.into_iter().filter(|entry| entry.is_dir) {
            let path = self.0.path.join(&entry.name);
            match Folder::parse(&entry.name) {
                Folder::Ours { name, cut } => {
                    let topic = if cut {
                        whole_topic(&path).await?
                    } else {
                        name.topic
                    };
                    found.push(LogDir {
                        topic,
                        partition: name.partition,
                        topic_id: Some(name.topic_id),
                        path,
                        kafka: false,
                    });
                }
                Folder::Kafka { topic, partition } => found.push(LogDir {
                    topic,
                    partition,
                    topic_id: kafka_topic_id(&path).await?,
                    path,
                    kafka: true,
                }),
                Folder::Deleted | Folder::Foreign => {
                    tracing::debug!(path = %path.display(), "not a log, left alone");
                }
            }
        }
        Ok(found)
    }

    /// Closes the drive and lets go of its lock. `clean` says that all its logs were closed
    /// without an error, which the next start may then believe.
    pub async fn close(&self, clean: bool) -> Result<(), DriveError> {
        let open = self.0.open_logs().len();
        if open > 0 {
            let path = self.0.path.clone();
            return Err(DriveError::LogsOpen { path, open });
        }
        if self.0.lock.borrow().is_none() {
            return Ok(());
        }
        if clean && !matches!(self.health(), Health::Failed(_)) {
            let mark = self.0.path.join(CLEAN_FILE);
            let write = fs::write_atomic(&mark, Vec::new()).await;
            write.map_err(DriveError::io("write", &mark))?;
        }
        self.0.lock.borrow_mut().take();
        Ok(())
    }
}

async fn identify(path: &Path) -> Result<Uuid, DriveError> {
    let file = path.join(IDENTITY_FILE);
    match fs::read(&file).await {
        Ok(bytes) => match Identity::decode(&bytes) {
            Ok(identity) => Ok(identity.directory_id),
            Err(IdentityError::Newer(found)) => Err(DriveError::NewerFormat {
                path: file,
                found,
                known: FORMAT,
            }),
            Err(error) => Err(DriveError::Identity {
                path: file,
                reason: error.to_string(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory_id = Uuid::new_v4();
            let bytes = Identity { directory_id }.encode();
            let write = fs::write_atomic(&file, bytes).await;
            write.map_err(DriveError::io("write", &file))?;
            Ok(directory_id)
        }
        Err(error) => Err(DriveError::io("read", &file)(error)),
    }
}

/// Takes the mark of a clean shutdown away: from now on the drive is in use.
async fn take_clean_mark(path: &Path) -> Result<bool, DriveError> {
    let mark = path.join(CLEAN_FILE);
    match fs::remove_file(&mark).await {
        Ok(()) => {
            let sync = fs::sync_dir(path).await;
            sync.map_err(DriveError::io("sync", path))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DriveError::io("remove", &mark)(error)),
    }
}

/// Removes what a stop left of logs that were being deleted.
async fn remove_deleted(path: &Path) -> Result<(), DriveError> {
    let listed = fs::list(path).await.map_err(DriveError::io("list", path))?;
    for entry in listed.into_iter().filter(|entry| entry.is_dir) {
        if Folder::parse(&entry.name) == Folder::Deleted {
            let folder = path.join(&entry.name);
            let remove = fs::remove_dir_all(&folder).await;
            remove.map_err(DriveError::io("remove", &folder))?;
        }
    }
    Ok(())
}

async fn whole_topic(folder: &Path) -> Result<String, DriveError> {
    let file = folder.join(TOPIC_NAME_FILE);
    let bytes = fs::read(&file).await;
    let bytes = bytes.map_err(DriveError::io("read", &file))?;
    String::from_utf8(bytes).map_err(|_| DriveError::Identity {
        path: file,
        reason: "it is not a topic's name".to_owned(),
    })
}

async fn kafka_topic_id(folder: &Path) -> Result<Option<Uuid>, DriveError> {
    let file = folder.join(METADATA_FILE);
    match fs::read(&file).await {
        Ok(bytes) => Ok(identity::decode_metadata(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DriveError::io("read", &file)(error)),
    }
}

impl DriveInner {
    pub(crate) fn register(&self, log: Weak<LogInner>) {
        let mut logs = self.logs.borrow_mut();
        logs.retain(|log| log.strong_count() > 0);
        logs.push(log);
    }

    fn all_logs(&self) -> Vec<Rc<LogInner>> {
        self.logs
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    fn open_logs(&self) -> Vec<Rc<LogInner>> {
        let mut logs = self.all_logs();
        logs.retain(|log| !log.is_closed());
        logs
    }

    pub(crate) fn meter(&self, change: impl FnOnce(&mut DriveMetrics)) {
        change(&mut self.metrics.borrow_mut());
    }

    /// Why the drive has failed, if it has.
    pub(crate) fn failure(&self) -> Option<DriveFailed> {
        match &*self.health.borrow() {
            Health::Failed(reason) => Some(DriveFailed {
                path: self.path.clone(),
                reason: reason.clone(),
            }),
            Health::Online | Health::Full => None,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        *self.health.borrow() == Health::Full
    }

    /// Marks the drive failed and takes all its logs offline. The caller holds no borrow.
    pub(crate) fn fail(&self, reason: String) {
        if self.failure().is_some() {
            return;
        }
        tracing::error!(path = %self.path.display(), reason, "drive failed: its logs go offline");
        *self.health.borrow_mut() = Health::Failed(reason.clone());
        let failed = DriveFailed {
            path: self.path.clone(),
            reason,
        };
        for log in self.all_logs() {
            log.drive_failed(&failed);
        }
    }

    /// Whether so many bytes more leave the reserve alone.
    pub(crate) async fn has_room(&self, bytes: u64) -> io::Result<bool> {
        let needed = bytes.saturating_add(self.reserve.get());
        // Asked for on the way of every growing file: far from full, an old answer will do.
        if let Some((when, room)) = self.room.get()
            && when.elapsed() < ROOM_FRESH
            && room > needed.saturating_add(ROOM_PLENTY)
        {
            self.room.set(Some((when, room - bytes)));
            return Ok(true);
        }
        let space = fs::space(&self.path).await?;
        let left = space.available.saturating_sub(bytes);
        self.room.set(Some((rt::time::now(), left)));
        Ok(space.available >= needed)
    }

    /// Marks the drive full for lack of so many bytes, and begins to watch for room.
    pub(crate) fn fill(self: &Rc<Self>, missing: u64) {
        if *self.health.borrow() != Health::Online {
            return;
        }
        tracing::warn!(path = %self.path.display(), missing, "drive full: appends are refused");
        *self.health.borrow_mut() = Health::Full;
        self.missing.set(missing);
        self.meter(|metrics| metrics.full += 1);
        let watched = Rc::downgrade(self);
        task::spawn_in(Class::Background, watch_for_room(watched)).detach();
    }

    fn room_again(&self) {
        if self.is_full() {
            tracing::info!(path = %self.path.display(), "drive has room again");
            *self.health.borrow_mut() = Health::Online;
        }
    }
}

async fn watch_for_room(drive: Weak<DriveInner>) {
    loop {
        let Some(every) = drive.upgrade().map(|drive| drive.config.full_check) else {
            return;
        };
        rt::time::sleep(every).await;
        let Some(drive) = drive.upgrade().filter(|drive| drive.is_full()) else {
            return;
        };
        match drive.has_room(drive.missing.get()).await {
            Ok(true) => return drive.room_again(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(path = %drive.path.display(), %error, "cannot see the drive's room");
            }
        }
    }
}
