//! The leader's end of a connection: which partitions the follower's shard follows, and what it says.
//!
//! What is to be sent is gathered in [`super::outgoing`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use replica::wire::{Message, messages};
use replica::{Answer, AnswerKind, Follow, Refusal, Sender};

use super::Replication;
use super::error::ConnectionError;
use super::inbox::Inbox;
use super::line::Line;
use super::outgoing::{Outgoing, Place};
use crate::partition::{Partition, PartitionId};

/// A connection that another node's shard follows partitions of this shard's over.
pub(super) struct Inbound {
    pub(super) line: Line,
    pub(super) replication: Rc<Replication>,
    /// By the number that the follower chose.
    followed: RefCell<HashMap<u32, Rc<Followed>>>,
    pub(super) outgoing: RefCell<Outgoing>,
    /// Bytes of records that may still be sent. Below zero by what the last batch had more.
    pub(super) credit: Cell<i64>,
    /// The first grant: what the follower holds at most.
    pub(super) window: Cell<i64>,
}

/// A partition that is followed over a connection.
pub(super) struct Followed {
    pub(super) id: PartitionId,
    pub(super) number: u32,
    pub(super) partition: Rc<Partition>,
    pub(super) inbound: Rc<Inbound>,
    /// Where it waits to be sent to.
    pub(super) place: Cell<Place>,
}

/// Who follows which partition: at most one connection for each follower.
#[derive(Default)]
pub(super) struct Followers(RefCell<HashMap<PartitionId, Vec<Rc<Followed>>>>);

impl Followed {
    fn sender(&self) -> Sender {
        let peer = &self.inbound.line.peer;
        Sender {
            node: peer.node,
            broker_epoch: peer.broker_epoch,
            session: u64::from(peer.connection) << 32 | u64::from(self.number),
        }
    }

    /// How its sender compares with those of its node before.
    fn life(&self) -> (i64, u64) {
        let sender = self.sender();
        (sender.broker_epoch, sender.session)
    }

    /// There may be something for it.
    pub(super) fn mark(self: &Rc<Self>) {
        if matches!(self.place.get(), Place::Nowhere | Place::Deferred) {
            self.place.set(Place::Ready);
            let mut outgoing = self.inbound.outgoing.borrow_mut();
            outgoing.ready.push_back(Rc::clone(self));
            drop(outgoing);
            self.inbound.line.wake();
        }
    }
}

impl Followers {
    /// Notes who follows, unless a later connection of the same node does; false then.
    fn add(&self, followed: &Rc<Followed>) -> bool {
        let mut followers = self.0.borrow_mut();
        let of_partition = followers.entry(followed.id).or_default();
        let node = followed.sender().node;
        let before = of_partition
            .iter_mut()
            .find(|before| before.sender().node == node);
        match before {
            Some(before) if before.life() > followed.life() => return false,
            Some(before) => *before = Rc::clone(followed),
            None => of_partition.push(Rc::clone(followed)),
        }
        true
    }

    fn remove(&self, followed: &Rc<Followed>) {
        let mut followers = self.0.borrow_mut();
        if let Some(of_partition) = followers.get_mut(&followed.id) {
            of_partition.retain(|other| !Rc::ptr_eq(other, followed));
            if of_partition.is_empty() {
                followers.remove(&followed.id);
            }
        }
    }

    /// Who follows from `node`.
    pub(super) fn of(&self, partition: PartitionId, node: i32) -> Option<Rc<Followed>> {
        let followers = self.0.borrow();
        let mut of_partition = followers.get(&partition)?.iter();
        of_partition
            .find(|followed| followed.inbound.line.peer.node == node)
            .map(Rc::clone)
    }

    /// The partition's log or high watermark moved.
    pub(super) fn mark(&self, partition: PartitionId) {
        if let Some(of_partition) = self.0.borrow().get(&partition) {
            for followed in of_partition {
                followed.mark();
            }
        }
    }

    /// When the connection that `node` follows the partition over was last heard.
    pub(super) fn heard_ms(&self, partition: PartitionId, node: i32) -> Option<u64> {
        let followed = self.of(partition, node)?;
        Some(followed.inbound.line.heard_ms())
    }
}

impl Inbound {
    pub(super) fn new(line: Line, replication: Rc<Replication>) -> Rc<Self> {
        Rc::new(Self {
            line,
            replication,
            followed: RefCell::default(),
            outgoing: RefCell::default(),
            credit: Cell::new(0),
            window: Cell::new(0),
        })
    }

    /// Reads what the follower says, until it can't.
    pub(super) async fn read(self: &Rc<Self>, inbox: &mut Inbox) -> ConnectionError {
        loop {
            let content = match inbox.frame().await {
                Ok(content) => content,
                Err(error) => return error,
            };
            self.line.heard();
            self.replication.counts.received(content.len());
            for message in messages(content) {
                let taken = message
                    .map_err(ConnectionError::from)
                    .and_then(|message| self.take(message));
                if let Err(error) = taken {
                    return error;
                }
            }
            rt::task::yield_if_needed().await;
        }
    }

    fn take(self: &Rc<Self>, message: Message) -> Result<(), ConnectionError> {
        match message {
            Message::Follow {
                number,
                topic,
                index,
                follow,
            } => {
                let id = PartitionId {
                    topic_id: topic,
                    index,
                };
                self.follow(number, id, &follow)
            }
            Message::Progress { number, progress } => {
                // One that is refused or forgotten has nothing to report.
                if let Some(followed) = self.by_number(number) {
                    let sender = followed.sender();
                    followed.partition.on_progress(sender, &progress);
                }
                Ok(())
            }
            Message::Unfollow { number } => {
                let followed = self.followed.borrow_mut().remove(&number);
                if let Some(followed) = followed {
                    self.forget(&followed);
                }
                Ok(())
            }
            Message::Credit { bytes } => {
                self.grant(i64::try_from(bytes).unwrap_or(i64::MAX));
                Ok(())
            }
            Message::Alive => Ok(()),
            Message::Answer { .. } | Message::Records { .. } | Message::Moved { .. } => Err(
                ConnectionError::Unexpected("what only a leader says to its follower"),
            ),
        }
    }

    fn by_number(&self, number: u32) -> Option<Rc<Followed>> {
        self.followed.borrow().get(&number).map(Rc::clone)
    }

    fn follow(
        self: &Rc<Self>,
        number: u32,
        id: PartitionId,
        follow: &Follow,
    ) -> Result<(), ConnectionError> {
        let known = self.by_number(number);
        if known.as_ref().is_some_and(|known| known.id != id) {
            return Err(ConnectionError::Unexpected(
                "the number of another partition",
            ));
        }
        let Some(partition) = self.replication.host.partition(id) else {
            // It is being opened, or the metadata that has it is on its way.
            self.refuse(number, follow, Refusal::UnknownEpoch);
            return Ok(());
        };
        let followed = match known {
            Some(known) if Rc::ptr_eq(&known.partition, &partition) => known,
            _ => Rc::new(Followed {
                id,
                number,
                partition,
                inbound: Rc::clone(self),
                place: Cell::new(Place::Nowhere),
            }),
        };
        if !self.replication.followers.add(&followed) {
            self.refuse(number, follow, Refusal::StaleBroker);
            return Ok(());
        }
        let mut all = self.followed.borrow_mut();
        all.insert(number, Rc::clone(&followed));
        drop(all);
        followed.partition.on_follow(followed.sender(), follow);
        followed.mark();
        Ok(())
    }

    fn refuse(&self, number: u32, follow: &Follow, refusal: Refusal) {
        let answer = Answer {
            leader_epoch: follow.leader_epoch,
            position: follow.position,
            kind: AnswerKind::Refused(refusal),
        };
        self.answer(number, answer);
    }

    /// Has an answer sent.
    pub(super) fn answer(&self, number: u32, answer: Answer) {
        self.outgoing.borrow_mut().answers.push((number, answer));
        self.line.wake();
    }

    fn grant(&self, bytes: i64) {
        if self.window.get() == 0 {
            self.window.set(bytes);
        }
        self.credit.set(self.credit.get().saturating_add(bytes));
        let waiting = std::mem::take(&mut self.outgoing.borrow_mut().without_credit);
        for followed in waiting {
            followed.place.set(Place::Nowhere);
            followed.mark();
        }
        // A read of the drive may have waited for it.
        self.line.wake();
    }

    fn forget(&self, followed: &Rc<Followed>) {
        self.replication.followers.remove(followed);
        followed.partition.disconnected(followed.sender());
    }

    /// Forgets partitions that are not this shard's any longer, and looks again at those that could not
    /// be read.
    pub(super) fn tick(&self) {
        let host = &self.replication.host;
        let is_gone = |followed: &Rc<Followed>| {
            let here = host.partition(followed.id);
            here.is_none_or(|here| !Rc::ptr_eq(&here, &followed.partition))
        };
        let all: Vec<_> = self.followed.borrow().values().map(Rc::clone).collect();
        for followed in all.into_iter().filter(is_gone) {
            self.followed.borrow_mut().remove(&followed.number);
            self.replication.followers.remove(&followed);
        }
        let unreadable = std::mem::take(&mut self.outgoing.borrow_mut().unreadable);
        for followed in unreadable {
            followed.place.set(Place::Nowhere);
            followed.mark();
        }
    }

    /// The connection is gone.
    pub(super) fn end(&self) {
        let all = std::mem::take(&mut *self.followed.borrow_mut());
        for followed in all.into_values() {
            self.forget(&followed);
        }
        // They refer to this connection.
        drop(std::mem::take(&mut *self.outgoing.borrow_mut()));
    }
}
