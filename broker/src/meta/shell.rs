//! The shell of the metadata: decides commands against what was decided before, has the quorum commit
//! the records, applies them to the image in order and hands them on.
//!
//! Lives on shard 0. There are two images: the committed one, which is what the other shards have
//! too, and, on the quorum's leader, the one that is ahead of it by the decisions that are not committed
//! yet; commands are decided against the latter, so that many can be under way. An answer is given
//! only when everything it rests on is committed. How entries get committed is `member`'s.

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use batch::BatchError;
use metadata::{ApplyError, ConfigRules, Controller, Image, MetaError, Policy, Record};
use quorum::{Message, NotLeader, Proposed, Quorum, StepError};
use rt::sync::{Credit, Notified, Notify, Permit, oneshot};
use rt::task;
use thiserror::Error;
use tracing::error;

use super::log::{self, MetaLogError, MetaLogOptions};
use super::member;

/// Commands that may be decided and not yet answered; more wait before they are decided.
const PENDING_MAX: usize = 1024;

/// Records that are durable, in the order of the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Committed {
    /// The offset after the last of them: an image that applied them is "as of" this offset.
    pub offset: i64,
    /// The records.
    pub records: Vec<Record>,
    /// Whether they make the whole image, in place of what there was: a node that was far behind gets it
    /// so.
    pub whole: bool,
}

/// Called with each commit, in order, on shard 0, after its image has it and before the proposer is
/// answered. It must not wait; it passes the commit on to the other shards.
pub type Subscriber = Box<dyn Fn(&Arc<Committed>)>;

/// Takes messages for other members. It must not wait; one that can't be sent is dropped.
pub type Outgoing = Box<dyn Fn(Message)>;

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
    /// Only the leader of the quorum decides.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The quorum didn't take it.
    #[error(transparent)]
    Quorum(#[from] quorum::ProposeError),
    /// The records don't make an entry.
    #[error("the records don't make a commit: {0}")]
    Commit(#[from] BatchError),
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

/// A commit on its way.
struct Flying {
    index: u64,
    term: u64,
    records: Vec<Record>,
}

/// Who waits for an entry to be committed. The unit is given back with the answer.
struct Waiting {
    index: u64,
    term: u64,
    reply: oneshot::Sender<Result<i64, ProposeError>>,
    _permit: Permit,
}

impl Waiting {
    fn give(self, result: Result<i64, ProposeError>) {
        // The proposer may be gone; what was decided stands all the same.
        let _gone = self.reply.send(result);
    }
}

/// How a node begins that has no metadata yet. One that has some goes on with what it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// As a quorum of itself.
    Alone,
    /// With a quorum of these nodes, each of which begins in the same way.
    Voters(Vec<i32>),
    /// By waiting for the leader of a quorum that takes it in.
    Join,
}

/// What a node's part in the quorum is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaOptions {
    /// The node's id.
    pub node: i32,
    /// How it begins without metadata.
    pub begin: Begin,
    /// Its log.
    pub log: MetaLogOptions,
}

/// What the shell and the member of the quorum share.
pub(super) struct Inner {
    rules: Box<dyn ConfigRules>,
    policy: Cell<Policy>,
    subscriber: Subscriber,
    pub(super) outgoing: Outgoing,
    /// The leader as last heard.
    leader: Cell<Option<i32>>,
    credit: Credit,
    committed: RefCell<Image>,
    offset: Cell<i64>,
    /// `committed` and everything decided since; on the leader, once it has all that came before.
    ahead: RefCell<Option<Image>>,
    pub(super) quorum: RefCell<Quorum>,
    flying: RefCell<VecDeque<Flying>>,
    waiting: RefCell<VecDeque<Waiting>>,
    /// Rung when the member has something to do.
    pub(super) work: Notify,
    /// Rung when something was applied.
    applied: Notify,
    /// Rung when another leads, when this node came to decide or ceased to, when there is room again or not, and at the end.
    pub(super) turned: Notify,
    /// Why there is no room for more, while that is so.
    pub(super) full: RefCell<Option<Arc<MetaLogError>>>,
    /// Why nothing more is taken.
    closed: RefCell<Option<Arc<str>>>,
    /// Whether the member has ended.
    pub(super) ended: Cell<bool>,
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
    /// Opens the metadata in `dir`, or begins it. `subscriber` gets what is committed from
    /// now on, and what is found to be committed of what the log has.
    pub async fn open(
        dir: &Path,
        options: MetaOptions,
        rules: Box<dyn ConfigRules>,
        policy: Policy,
        subscriber: Subscriber,
        outgoing: Outgoing,
    ) -> Result<Self, MetaLogError> {
        let member = member::restore(dir, &options).await?;
        let inner = Rc::new(Inner {
            rules,
            policy: Cell::new(policy),
            subscriber,
            outgoing,
            leader: Cell::new(None),
            applied: Notify::new(),
            credit: Credit::new(PENDING_MAX),
            committed: RefCell::new(member.image),
            offset: Cell::new(member.offset),
            ahead: RefCell::default(),
            quorum: RefCell::new(member.quorum),
            flying: RefCell::default(),
            waiting: RefCell::default(),
            work: Notify::new(),
            turned: Notify::new(),
            full: RefCell::default(),
            closed: RefCell::default(),
            ended: Cell::new(false),
        });
        let shell = Self(Rc::clone(&inner));
        task::spawn(member::run(inner, member.log)).detach();
        Ok(shell)
    }

    /// Waits until `offset` is applied.
    ///
    /// # Errors
    /// [`MetaLogError::NotOpened`] when that can't be any more.
    pub async fn applied_to(&self, offset: i64) -> Result<(), MetaLogError> {
        loop {
            let (applied, turned) = (self.0.applied.notified(), self.0.turned.notified());
            if self.offset() >= offset {
                return Ok(());
            }
            if let Some(why) = self.closed() {
                return Err(MetaLogError::NotOpened(why));
            }
            futures_lite::future::or(applied, turned).await;
        }
    }

    /// Waits for another leader, or for this node to come to decide or to cease to.
    pub fn turned(&self) -> Notified {
        self.0.turned.notified()
    }

    /// Whether this node leads the quorum and decides.
    pub fn leads(&self) -> bool {
        self.0.leads()
    }

    /// A tick of the quorum's time.
    pub fn tick(&self) {
        self.0.quorum.borrow_mut().tick();
        self.0.work.notify_one();
    }

    /// Takes a message of another member.
    ///
    /// # Errors
    /// When no member that keeps the rules sends such a message.
    pub fn step(&self, message: Message) -> Result<(), StepError> {
        let stepped = self.0.quorum.borrow_mut().step(message);
        self.0.work.notify_one();
        stepped
    }

    /// Looks at the quorum.
    pub fn with_quorum<R>(&self, look: impl FnOnce(&Quorum) -> R) -> R {
        look(&self.0.quorum.borrow())
    }

    /// Has the quorum begin something: a change of members, a transfer of its leadership.
    pub fn change_quorum<R>(&self, change: impl FnOnce(&mut Quorum) -> R) -> R {
        let changed = change(&mut self.0.quorum.borrow_mut());
        self.0.work.notify_one();
        changed
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
    /// it took are committed and applied. `decide` may take none; then the wait is for what it has
    /// seen. Once decided, the records are committed even if this future is dropped.
    pub async fn execute<T>(
        &self,
        decide: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> Result<Decided<T>, ProposeError> {
        let permit = self.0.credit.acquire(1).await;
        self.see_room().await?;
        let (value, records) = self.draft(decide)?;
        let proposed = if records.is_empty() {
            let flying = self.0.flying.borrow();
            flying.back().map(|last| (last.index, last.term))
        } else {
            Some(self.0.propose(records)?)
        };
        let Some((index, term)) = proposed else {
            return Ok(Decided {
                value,
                offset: self.offset(),
            });
        };
        let (reply, answer) = oneshot();
        self.0.waiting.borrow_mut().push_back(Waiting {
            index,
            term,
            reply,
            _permit: permit,
        });
        self.0.work.notify_one();
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

    /// Where there was no room for more, has the member look again.
    async fn see_room(&self) -> Result<(), ProposeError> {
        if self.0.full.borrow().is_none() || self.closed().is_some() {
            return Ok(());
        }
        let turned = self.0.turned.notified();
        self.0.work.notify_one();
        turned.await;
        match &*self.0.full.borrow() {
            Some(why) => Err(ProposeError::Log(Arc::clone(why))),
            None => Ok(()),
        }
    }

    fn draft<T>(
        &self,
        decide: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> Result<(T, Vec<Record>), ProposeError> {
        if let Some(why) = self.closed() {
            return Err(ProposeError::Closed(why));
        }
        let mut ahead = self.0.ahead.borrow_mut();
        let Some(image) = &mut *ahead else {
            let leader = self.0.quorum.borrow().leader();
            return Err(NotLeader { leader }.into());
        };
        let mut draft = Draft {
            image,
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
        // Some of its records are in the image ahead; make that again from what is committed and what
        // is on its way there.
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
        self.0.work.notify_one();
        while !self.0.ended.get() {
            self.0.turned.notified().await;
        }
        Ok(())
    }
}

impl Inner {
    pub(super) fn close_because(&self, why: &str) {
        self.closed
            .borrow_mut()
            .get_or_insert_with(|| Arc::from(why));
    }

    /// Whether no more commands are taken.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// Whether no more commands come and none waits.
    pub(super) fn is_done(&self) -> bool {
        self.is_closed() && self.waiting.borrow().is_empty()
    }

    /// Gives records to the quorum.
    fn propose(&self, records: Vec<Record>) -> Result<(u64, u64), ProposeError> {
        let proposed = log::commit(rt::time::wall_ms(), &records)
            .map_err(ProposeError::from)
            .and_then(|batch| Ok(self.quorum.borrow_mut().propose(batch)?));
        match proposed {
            Ok(Proposed { index, term }) => {
                self.flying.borrow_mut().push_back(Flying {
                    index,
                    term,
                    records,
                });
                Ok((index, term))
            }
            Err(error) => {
                // The image ahead has what will not come.
                self.reset_ahead();
                Err(error)
            }
        }
    }

    /// Makes the image ahead again from the committed one and what is on its way.
    fn reset_ahead(&self) {
        let mut ahead = self.committed.borrow().clone();
        let flying = self.flying.borrow();
        let mut decided = flying.iter().flat_map(|flying| &flying.records);
        if let Some(error) = decided.find_map(|record| ahead.apply(record).err()) {
            error!(%error, "what is decided doesn't fit the metadata; it takes no more changes");
            self.close_because("its state in memory is damaged; start the broker again");
        }
        *self.ahead.borrow_mut() = Some(ahead);
    }

    /// This node leads, and has all that was committed before: it decides from now on.
    pub(super) fn lead(&self) {
        self.reset_ahead();
        self.turned.notify_waiters();
    }

    /// This node doesn't lead any more: what it decided may be committed by another, or not.
    pub(super) fn follow(&self, leader: Option<i32>) {
        if self.ahead.take().is_none() {
            return;
        }
        self.flying.borrow_mut().clear();
        self.fail_waiting(&NotLeader { leader }.into());
        self.turned.notify_waiters();
    }

    /// Who leads now, as far as this node knows.
    pub(super) fn note_leader(&self, leader: Option<i32>) {
        if self.leader.replace(leader) != leader {
            self.turned.notify_waiters();
        }
    }

    /// Whether this node decides.
    pub(super) fn leads(&self) -> bool {
        self.ahead.borrow().is_some()
    }

    /// Tells all who wait that what they wait for will not come.
    pub(super) fn fail_waiting(&self, error: &ProposeError) {
        for waiting in self.waiting.take() {
            waiting.give(Err(error.clone()));
        }
    }

    /// The records of a committed entry, if this node proposed it.
    pub(super) fn take_flying(&self, index: u64, term: u64) -> Option<Vec<Record>> {
        let mut flying = self.flying.borrow_mut();
        let first = flying.front()?;
        if (first.index, first.term) != (index, term) {
            return None;
        }
        flying.pop_front().map(|first| first.records)
    }

    /// Applies a commit and hands it on.
    pub(super) fn apply(&self, commit: Committed) -> Result<(), ApplyError> {
        {
            let mut image = self.committed.borrow_mut();
            if commit.whole {
                *image = Image::new();
            }
            for record in &commit.records {
                image.apply(record)?;
            }
        }
        self.offset.set(commit.offset);
        self.applied.notify_waiters();
        (self.subscriber)(&Arc::new(commit));
        Ok(())
    }

    /// Tells those who waited for this index.
    pub(super) fn answer(&self, index: u64, term: u64) {
        let offset = self.offset.get();
        loop {
            let Some(first) = self.next_answered(index) else {
                return;
            };
            let kept = first.index < index || first.term == term;
            first.give(if kept {
                Ok(offset)
            } else {
                let leader = self.quorum.borrow().leader();
                Err(NotLeader { leader }.into())
            });
        }
    }

    fn next_answered(&self, index: u64) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.front()?;
        (first.index <= index)
            .then(|| waiting.pop_front())
            .flatten()
    }

    /// The records that make the committed image.
    pub(super) fn image_records(&self) -> Vec<Record> {
        self.committed.borrow().to_records()
    }

    /// The offset after the last committed record.
    pub(super) fn applied_offset(&self) -> i64 {
        self.offset.get()
    }
}
