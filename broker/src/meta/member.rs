//! This node as a member of the metadata quorum: carries out what the quorum's core asks for.
//!
//! One task owns the log. It writes what is to be written before it says so, applies what is committed
//! in order, takes snapshots, and ends when the shell is closed. It must never send what rests on a
//! write that isn't done, nor apply what isn't committed.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::Image;
use quorum::{
    Committed as Entered, CommittedKind, Config, EntryBody, HardState, Membership, Quorum, Ready,
    Restored, Role, SnapshotMark,
};
use thiserror::Error;
use tracing::{error, warn};

use super::log::{Body, Entry, Mark, MetaLog, MetaLogError, Opened, Promise, records};
use super::shell::{Begin, Committed, Inner, MetaOptions, ProposeError};

/// How long to wait before a full drive is looked at again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// A member as its log left it.
pub(super) struct Member {
    pub(super) log: MetaLog,
    pub(super) quorum: Quorum,
    pub(super) image: Image,
    pub(super) offset: i64,
}

/// Why a member can't go on.
#[derive(Debug, Error)]
enum Fault {
    #[error(transparent)]
    Log(#[from] MetaLogError),
    #[error("an entry that was committed can't be applied: {0}")]
    Apply(String),
}

/// Opens the log in `dir` and makes the member of it.
pub(super) async fn restore(dir: &Path, options: &MetaOptions) -> Result<Member, MetaLogError> {
    let (mut log, opened) = MetaLog::open(dir, options.log).await?;
    let Opened {
        promise,
        mut mark,
        image,
        entries,
    } = opened;
    let unfit = |error: &dyn std::fmt::Display| MetaLogError::Unfit {
        dir: dir.to_owned(),
        reason: error.to_string(),
    };
    // A log of before there was a quorum has something, and its node is the only voter.
    let voters = match &options.begin {
        Begin::Alone => Some(vec![options.node]),
        _ if image.cluster_id().is_some() => Some(vec![options.node]),
        Begin::Voters(voters) => Some(voters.clone()),
        Begin::Join => None,
    };
    if let (true, Some(voters)) = (mark.members.is_empty(), voters) {
        mark.members = members_of(&mark, Membership::of(voters, []));
        log.name_members(mark.clone(), image.to_records()).await?;
    }
    let known = match mark.members.is_empty() {
        true => None,
        false => Some(quorum::decode_mark(&mark.members).map_err(|error| unfit(&error))?),
    };
    let entries: Result<Vec<_>, _> = entries.into_iter().map(entered).collect();
    let restored = Restored {
        hard_state: HardState {
            term: promise.term,
            vote: promise.vote,
            // Who waits for a first snapshot knows nothing, whatever its promises begin with.
            commit: known.as_ref().map_or(0, |_| promise.commit),
        },
        snapshot: known,
        entries: entries.map_err(|error| unfit(&error))?,
    };
    let seed = uuid::Uuid::new_v4().as_u128() as u64;
    let config = Config::new(options.node, seed);
    let quorum = Quorum::new(config, restored).map_err(|error| unfit(&error))?;
    Ok(Member {
        log,
        quorum,
        image,
        offset: mark.next,
    })
}

fn members_of(mark: &Mark, membership: Membership) -> Bytes {
    let mark = SnapshotMark {
        index: mark.index,
        term: mark.term,
        membership,
    };
    quorum::encode_mark(&mark).into()
}

/// An entry of the log as the quorum has it.
fn entered(entry: Entry) -> Result<quorum::Entry, quorum::DecodeError> {
    let body = match entry.body {
        Body::Commit(batch) => EntryBody::Payload(batch),
        Body::Quorum(bytes) => quorum::decode_entry(&bytes)?.body,
    };
    Ok(quorum::Entry {
        index: entry.index,
        term: entry.term,
        body,
    })
}

/// An entry of the quorum as the log has it.
fn stored(entry: quorum::Entry) -> Entry {
    let (index, term) = (entry.index, entry.term);
    let body = match entry.body {
        EntryBody::Payload(batch) => Body::Commit(batch),
        EntryBody::Empty | EntryBody::Changes { .. } | EntryBody::Leave => {
            Body::Quorum(quorum::encode_entry(&entry).into())
        }
    };
    Entry { index, term, body }
}

/// Runs the member until the shell is closed, or the log can't go on.
pub(super) async fn run(inner: Rc<Inner>, log: MetaLog) {
    let mut task = Task {
        inner,
        log,
        applied: 0,
        promised: (0, None),
    };
    let ended = task.work().await;
    let Task { inner, log, .. } = task;
    if let Err(fault) = ended {
        error!(error = %fault, "changes of the metadata are lost; it takes no more");
        inner.close_because(&fault.to_string());
        let error = match fault {
            Fault::Log(error) => ProposeError::Log(Arc::new(error)),
            Fault::Apply(why) => ProposeError::Closed(why.into()),
        };
        inner.fail_waiting(&error);
    }
    if let Err(error) = log.close().await {
        warn!(%error, "the metadata log did not close cleanly");
    }
    inner.ended.set(true);
    inner.turned.notify_waiters();
}

struct Task {
    inner: Rc<Inner>,
    log: MetaLog,
    /// The last entry that is applied.
    applied: u64,
    /// The term and the vote that were stored last.
    promised: (u64, Option<i32>),
}

impl Task {
    async fn work(&mut self) -> Result<(), Fault> {
        loop {
            let work = self.inner.work.notified();
            let ready = self.inner.quorum.borrow_mut().ready();
            match ready {
                Some(ready) => self.carry_out(ready).await?,
                None if self.inner.is_done() => return Ok(()),
                // A voter that is alone needs no time to pass.
                None if self.stand() => {}
                None => {
                    self.look_for_room().await?;
                    work.await;
                }
            }
        }
    }

    /// Stands for election where nobody else could; whether there is something to do now.
    fn stand(&self) -> bool {
        let mut quorum = self.inner.quorum.borrow_mut();
        let alone = quorum.membership().voters.len() == 1;
        alone && quorum.role() == Role::Follower && quorum.campaign().is_ok()
    }

    async fn carry_out(&mut self, ready: Ready) -> Result<(), Fault> {
        let Ready {
            number,
            hard_state,
            snapshot,
            entries,
            messages,
            messages_after,
            committed,
            wanted_snapshot,
            leader,
            role,
            ..
        } = ready;
        for message in messages {
            (self.inner.outgoing)(message);
        }
        if role != Role::Leader {
            self.inner.follow(leader);
        }
        self.inner.note_leader(leader);
        if let Some(install) = snapshot {
            self.install(&install.content).await?;
        }
        let commit = self.inner.quorum.borrow().commit_index();
        let entries: Vec<Entry> = entries.into_iter().map(stored).collect();
        self.append(&entries, commit).await?;
        if let Some(HardState { term, vote, commit }) = hard_state {
            // The commit index alone may be lost: it stands with every entry that is written.
            if (term, vote) != self.promised {
                self.log.promise(Promise { term, vote, commit }).await?;
                self.promised = (term, vote);
            }
        }
        self.inner.quorum.borrow_mut().persisted(number);
        for message in messages_after {
            (self.inner.outgoing)(message);
        }
        for entered in committed {
            self.apply(entered)?;
        }
        if wanted_snapshot.is_some() || self.log.snapshot_is_due() {
            self.take_snapshot().await;
        }
        Ok(())
    }

    /// Takes a snapshot of the leader's in place of all there is.
    async fn install(&mut self, content: &[u8]) -> Result<(), Fault> {
        let (mark, image) = self.log.install(content).await?;
        let commit = Committed {
            offset: mark.next,
            records: image.to_records(),
            whole: true,
        };
        let applied = self.inner.apply(commit);
        applied.map_err(|error| Fault::Apply(error.to_string()))?;
        self.applied = mark.index;
        self.inner.quorum.borrow_mut().applied(mark.index);
        Ok(())
    }

    /// Stores entries; waits for room where there is none, unless the shell is to close.
    async fn append(&mut self, entries: &[Entry], commit: u64) -> Result<(), MetaLogError> {
        loop {
            match self.log.append(entries, commit).await {
                Err(error) if error.is_transient() && !self.inner.is_closed() => {
                    warn!(%error, "changes of the metadata wait for room");
                    self.note_room(Some(error));
                    rt::time::sleep(FULL_PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// Keeps room for what comes, so that what was decided need not wait for it.
    async fn look_for_room(&mut self) -> Result<(), MetaLogError> {
        match self.log.make_room_ahead().await {
            Ok(()) => self.note_room(None),
            Err(error) if error.is_transient() => self.note_room(Some(error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn note_room(&self, full: Option<MetaLogError>) {
        let full = full.map(Arc::new);
        if let Some(why) = &full {
            warn!(error = %why, "the metadata takes no changes until there is room");
        }
        let is_full = full.is_some();
        let was_full = self.inner.full.replace(full).is_some();
        // Those who are woken may well have the member look again: without news they would go on for ever.
        if is_full || was_full {
            self.inner.turned.notify_waiters();
        }
    }

    fn apply(&mut self, entered: Entered) -> Result<(), Fault> {
        let Entered { index, term, kind } = entered;
        let offset = self.log.offset_after(index);
        let offset = offset.ok_or_else(|| Fault::Apply(format!("entry {index} isn't stored")))?;
        let own = self.inner.take_flying(index, term);
        let records = match (own, &kind) {
            (Some(records), _) => records,
            (None, CommittedKind::Payload(batch)) => {
                records(batch).map_err(|error| Fault::Apply(error.to_string()))?
            }
            (None, CommittedKind::Membership(_) | CommittedKind::Empty) => Vec::new(),
        };
        let commit = Committed {
            offset,
            records,
            whole: false,
        };
        let applied = self.inner.apply(commit);
        applied.map_err(|error| Fault::Apply(error.to_string()))?;
        self.applied = index;
        self.inner.quorum.borrow_mut().applied(index);
        self.inner.answer(index, term);
        let leads = {
            let quorum = self.inner.quorum.borrow();
            quorum.role() == Role::Leader && quorum.term() == term
        };
        if leads && !self.inner.leads() {
            // The first entry of its own term: all before it is here.
            self.inner.lead();
        }
        Ok(())
    }

    /// Stores a snapshot of what is applied. Without one the log only grows on.
    async fn take_snapshot(&mut self) {
        let inner = Rc::clone(&self.inner);
        let marked = inner.quorum.borrow().mark_at(self.applied);
        let known = match marked {
            Ok(known) => known,
            Err(error) => return warn!(%error, "no snapshot of the metadata"),
        };
        let mark = Mark {
            next: inner.applied_offset(),
            index: known.index,
            term: known.term,
            members: quorum::encode_mark(&known).into(),
        };
        let taken = self.log.take_snapshot(mark, inner.image_records()).await;
        match taken {
            Ok(bytes) => {
                let noted = inner.quorum.borrow_mut().snapshot_taken(known.index, bytes);
                if let Err(error) = noted {
                    warn!(%error, "a snapshot of the metadata is too large to be sent");
                }
            }
            Err(error) => {
                warn!(%error, "can't store a snapshot of the metadata; its log grows on");
            }
        }
    }
}
