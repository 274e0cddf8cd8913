//! The shell of the metadata: decides commands against what was decided before, commits the
//! records, applies them to the image in order and hands them on.
//!
//! Lives on shard 0. There are two images: the committed one, which is what the other shards have
//! too, and the one that is ahead of it by the decisions whose records are still being written;
//! commands are decided against the latter, so that many can be in one write. An answer is given
//! only when everything it rests on is committed. Under a quorum `MetaLog::append` becomes a
//! proposal to it; nothing else here changes.

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rt::sync::{Credit, Notify, Permit, oneshot};
use rt::task;
use thiserror::Error;
use tracing::{error, warn};

use super::log::{MetaLog, MetaLogError, MetaLogOptions};
use metadata::ConfigRules;
use metadata::MetaError;
use metadata::Record;
use metadata::{ApplyError, Image};
use metadata::{Controller, Policy};

/// Commands that may be decided and not yet answered; more wait before they are decided.
const PENDING_MAX: usize = 1024;
/// Records that are gathered into one write, if there is more than one command.
const GATHER_MAX: usize = 20_000;

/// Records that are durable, in the order of the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Committed {
    /// The offset after the last of them: an image that applied them is "as of" this offset.
    pub offset: i64,
    /// The records.
    pub records: Vec<Record>,
}

/// Called with each commit, in order, on shard 0, after its image has it and before the proposer is
/// answered. It must not wait; it passes the commit on to the other shards.
pub type Subscriber = Box<dyn Fn(&Arc<Committed>)>;

/// Why what was decided isn't committed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// The log didn't take it.
    #[error(transparent)]
    Log(#[from] Arc<MetaLogError>),
    /// The records don't fit the image: a defect of whoever made them.
    #[error("the records don't fit the metadata: {0}")]
    Apply(#[from] ApplyError),
    /// The shell is closed, or failed before.
    #[error("the metadata takes no more changes: {0}")]
    Closed(Arc<str>),
}

/// An answer, and the offset that an image must be at to show what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided<T> {
    /// The answer.
    pub value: T,
    /// The offset after the last record it rests on.
    pub offset: i64,
}

/// What one command sees and adds to: the image ahead of the log.
#[derive(Debug)]
pub struct Draft<'a> {
    image: &'a mut Image,
    rules: &'a dyn ConfigRules,
    policy: Policy,
    records: Vec<Record>,
    broken: Option<ApplyError>,
}

impl Draft<'_> {
    /// The controller over everything decided so far, for what only validates or only looks.
    pub fn controller(&self) -> Controller<'_> {
        Controller::new(self.image, self.rules, self.policy)
    }

    /// Decides and takes the records: what is decided next sees them, and they are committed with
    /// the rest.
    pub fn decide(
        &mut self,
        command: impl FnOnce(Controller<'_>) -> Result<Vec<Record>, MetaError>,
    ) -> Result<(), MetaError> {
        let records = command(self.controller())?;
        self.take(records)?;
        Ok(())
    }

    /// Takes records that were decided on this draft.
    pub fn take(&mut self, records: Vec<Record>) -> Result<(), ApplyError> {
        for record in records {
            if let Err(error) = self.image.apply(&record) {
                self.broken = Some(error.clone());
                return Err(error);
            }
            self.records.push(record);
        }
        Ok(())
    }
}

/// A command that is decided and waits to be committed.
struct Job {
    records: Vec<Record>,
    answer: Answer,
}

/// Who waits for a job. The unit is given back with the answer.
struct Answer {
    reply: oneshot::Sender<Result<i64, ProposeError>>,
    _permit: Permit,
}

impl Answer {
    fn give(self, result: Result<i64, ProposeError>) {
        // The proposer may be gone; what was decided stands all the same.
        let _gone = self.reply.send(result);
    }
}

struct Inner {
    rules: Box<dyn ConfigRules>,
    policy: Cell<Policy>,
    subscriber: Subscriber,
    credit: Credit,
    committed: RefCell<Image>,
    offset: Cell<i64>,
    /// `committed` and everything decided since.
    ahead: RefCell<Image>,
    queue: RefCell<VecDeque<Job>>,
    /// What is being written: no longer in the queue, not yet in the image.
    flying: RefCell<Vec<Arc<Committed>>>,
    /// Here while nobody writes.
    log: RefCell<Option<MetaLog>>,
    /// Whether `write_all` runs.
    writing: Cell<bool>,
    idle: Notify,
    /// Why nothing more is taken.
    closed: RefCell<Option<Arc<str>>>,
}

/// The metadata of the cluster on this node; clones are handles to the same.
#[derive(Clone)]
pub struct MetaShell(Rc<Inner>);

impl fmt::Debug for MetaShell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetaShell")
            .field("offset", &self.0.offset.get())
            .finish_non_exhaustive()
    }
}

impl MetaShell {
    /// Opens the metadata in `dir`, or begins it. `subscriber` gets what is committed from now on;
    /// what was before is in [`MetaShell::image`].
    pub async fn open(
        dir: &Path,
        options: MetaLogOptions,
        rules: Box<dyn ConfigRules>,
        policy: Policy,
        subscriber: Subscriber,
    ) -> Result<Self, MetaLogError> {
        let (log, image) = MetaLog::open(dir, options).await?;
        Ok(Self(Rc::new(Inner {
            rules,
            policy: Cell::new(policy),
            subscriber,
            credit: Credit::new(PENDING_MAX),
            committed: RefCell::new(image.clone()),
            offset: Cell::new(log.next_offset()),
            ahead: RefCell::new(image),
            queue: RefCell::default(),
            flying: RefCell::default(),
            log: RefCell::new(Some(log)),
            writing: Cell::new(false),
            idle: Notify::new(),
            closed: RefCell::default(),
        })))
    }

    /// The committed image. Never hold it across an await.
    pub fn image(&self) -> Ref<'_, Image> {
        self.0.committed.borrow()
    }

    /// The offset after the last committed record.
    pub fn offset(&self) -> i64 {
        self.0.offset.get()
    }

    /// Why no more changes are taken, once that is so.
    pub fn closed(&self) -> Option<Arc<str>> {
        self.0.closed.borrow().clone()
    }

    /// Sets what commands take from the configuration, from the next one on.
    pub fn set_policy(&self, policy: Policy) {
        self.0.policy.set(policy);
    }

    /// Runs `decide` on the image as it is with all decisions so far, and waits until the records
    /// it took are durable and applied. `decide` may take none; then the wait is for what it has
    /// seen. Once decided, the records are committed even if this future is dropped.
    pub async fn execute<T>(
        &self,
        decide: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> Result<Decided<T>, ProposeError> {
        let permit = self.0.credit.acquire(1).await;
        let (value, records) = self.draft(decide)?;
        if records.is_empty() && !self.0.writing.get() {
            return Ok(Decided {
                value,
                offset: self.offset(),
            });
        }
        let (reply, answer) = oneshot();
        self.0.queue.borrow_mut().push_back(Job {
            records,
            answer: Answer {
                reply,
                _permit: permit,
            },
        });
        if !self.0.writing.replace(true) {
            task::spawn(write_all(Rc::clone(&self.0))).detach();
        }
        let lost = |_| ProposeError::Closed("the shard is ending".into());
        let offset = answer.await.map_err(lost)??;
        Ok(Decided { value, offset })
    }

    /// Commits records that were made elsewhere; gives the offset after them.
    pub async fn propose(&self, records: Vec<Record>) -> Result<i64, ProposeError> {
        let taken = self.execute(|draft| draft.take(records)).await?;
        taken.value?;
        Ok(taken.offset)
    }

    fn draft<T>(
        &self,
        decide: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> Result<(T, Vec<Record>), ProposeError> {
        if let Some(why) = self.closed() {
            return Err(ProposeError::Closed(why));
        }
        let mut ahead = self.0.ahead.borrow_mut();
        let mut draft = Draft {
            image: &mut ahead,
            rules: &*self.0.rules,
            policy: self.0.policy.get(),
            records: Vec::new(),
            broken: None,
        };
        let value = decide(&mut draft);
        let Draft {
            records, broken, ..
        } = draft;
        let Some(broken) = broken else {
            return Ok((value, records));
        };
        // Some of its records are in the image ahead; make that again from what is in the log and
        // on its way there.
        error!(error = %broken, "a decision doesn't fit the metadata and was dropped");
        drop(ahead);
        self.0.reset_ahead();
        Err(broken.into())
    }

    /// Takes no more commands, waits for those decided, and closes the log.
    pub async fn close(&self) -> Result<(), MetaLogError> {
        self.0.close_because("the broker is stopping");
        // Every command that is decided holds a unit until it is answered.
        let _all = self.0.credit.acquire(PENDING_MAX).await;
        while self.0.writing.get() {
            self.0.idle.notified().await;
        }
        let log = self.0.log.borrow_mut().take();
        match log {
            Some(log) => log.close().await,
            None => Ok(()),
        }
    }
}

impl Inner {
    fn close_because(&self, why: &str) {
        self.closed
            .borrow_mut()
            .get_or_insert_with(|| Arc::from(why));
    }

    /// Takes what is next to write off the queue.
    fn gather(&self) -> Vec<Job> {
        let mut queue = self.queue.borrow_mut();
        let (mut jobs, mut records) = (Vec::new(), 0);
        while let Some(job) = queue.front() {
            records += job.records.len();
            if records > GATHER_MAX && !jobs.is_empty() {
                break;
            }
            jobs.extend(queue.pop_front());
        }
        jobs
    }

    /// Makes the image ahead again from the committed one and what is decided since.
    fn reset_ahead(&self) {
        let mut ahead = self.committed.borrow().clone();
        let (flying, queue) = (self.flying.borrow(), self.queue.borrow());
        let decided = flying
            .iter()
            .map(|commit| &commit.records)
            .chain(queue.iter().map(|job| &job.records));
        if let Some(error) = decided
            .flatten()
            .find_map(|record| ahead.apply(record).err())
        {
            error!(%error, "what is decided doesn't fit the metadata; it takes no more changes");
            self.close_because("its state in memory is damaged; start the broker again");
        }
        *self.ahead.borrow_mut() = ahead;
    }

    /// Stores the records of `jobs` and gives each its answer.
    async fn commit(&self, log: &mut MetaLog, jobs: Vec<Job>) {
        let mut next = log.next_offset();
        let (mut commits, mut answers) = (Vec::new(), Vec::new());
        for Job { records, answer } in jobs {
            next += records.len() as i64;
            answers.push((next, answer));
            if !records.is_empty() {
                commits.push(Arc::new(Committed {
                    offset: next,
                    records,
                }));
            }
        }
        self.flying.borrow_mut().clone_from(&commits);
        let batches: Vec<&[Record]> = commits
            .iter()
            .map(|commit| commit.records.as_slice())
            .collect();
        let stored = if batches.is_empty() {
            Ok(())
        } else {
            log.append(&batches).await
        };
        self.flying.borrow_mut().clear();
        let result = stored
            .map_err(|error| self.give_up(error))
            .and_then(|()| self.apply(&commits));
        for (offset, answer) in answers {
            answer.give(result.clone().map(|()| offset));
        }
    }

    /// Applies commits to the image and hands them on.
    fn apply(&self, commits: &[Arc<Committed>]) -> Result<(), ProposeError> {
        for commit in commits {
            let mut image = self.committed.borrow_mut();
            if let Some(error) = commit
                .records
                .iter()
                .find_map(|record| image.apply(record).err())
            {
                error!(%error, "what was committed doesn't fit; no more changes are taken");
                self.close_because("its state in memory is damaged; start the broker again");
                return Err(error.into());
            }
            drop(image);
            self.offset.set(commit.offset);
            (self.subscriber)(commit);
        }
        Ok(())
    }

    /// After a failed append: everything decided on what it was to store is void.
    fn give_up(&self, error: MetaLogError) -> ProposeError {
        error!(%error, "changes of the metadata are lost");
        if !error.is_transient() {
            self.close_because(&error.to_string());
        }
        let error = ProposeError::Log(Arc::new(error));
        let void: Vec<Job> = self.queue.borrow_mut().drain(..).collect();
        for job in void {
            job.answer.give(Err(error.clone()));
        }
        self.reset_ahead();
        error
    }
}

/// Writes until the queue is empty. A task of its own, so that a proposer that goes away leaves
/// nothing half done.
async fn write_all(inner: Rc<Inner>) {
    let log = inner.log.borrow_mut().take();
    if let Some(mut log) = log {
        loop {
            let jobs = inner.gather();
            if jobs.is_empty() {
                break;
            }
            inner.commit(&mut log, jobs).await;
            if log.snapshot_is_due() {
                let records = inner.committed.borrow().to_records();
                if let Err(error) = log.take_snapshot(records).await {
                    warn!(%error, "can't store a snapshot of the metadata; its log grows on");
                }
            }
        }
        *inner.log.borrow_mut() = Some(log);
    }
    inner.writing.set(false);
    inner.idle.notify_waiters();
}
