//! The follower's end: for each shard of another node that leads partitions of this shard's, a link, kept
//! up as long as there are such.
//!
//! Owns what the leader may still send: bytes are granted anew when the drive has those that came.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use replica::wire::{FrameWriter, Message, messages};
use replica::{Follow, Progress, Records};

use super::Replication;
use super::error::ConnectionError;
use super::inbox::Inbox;
use super::line::{Line, Source};
use crate::partition::{Partition, PartitionId};

/// The most bytes of records that a connection's partitions hold and the drive doesn't have yet, but for
/// what the last batch has more.
const WINDOW_BYTES: usize = 16 << 20;

/// As much is granted at a time.
const GRANT_BYTES: usize = WINDOW_BYTES / 4;

/// A shard of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) node: i32,
    pub(super) shard: u16,
}

/// A partition that this shard follows.
pub(super) struct Following {
    id: PartitionId,
    partition: Rc<Partition>,
    link: Rc<Link>,
    /// What it is called on the connection there is.
    number: Cell<Option<u32>>,
    /// What is to be reported.
    progress: Cell<Option<Progress>>,
    /// Ends of what was appended and is not stored yet, each with its bytes.
    unstored: RefCell<VecDeque<(i64, usize)>>,
}

/// What is to be said to a leader.
#[derive(Default)]
struct ToSay {
    follow: Vec<(Rc<Following>, Follow)>,
    progress: Vec<Rc<Following>>,
    unfollow: Vec<u32>,
}

/// The connection to a leader's shard, or the attempts to have one.
pub(super) struct Link {
    pub(super) target: Target,
    replication: Rc<Replication>,
    /// The connection, once it is established.
    line: RefCell<Option<Rc<Line>>>,
    members: RefCell<HashMap<PartitionId, Rc<Following>>>,
    /// The members by their numbers on this connection.
    numbers: RefCell<HashMap<u32, Rc<Following>>>,
    next_number: Cell<u32>,
    to_say: RefCell<ToSay>,
    /// Bytes that may be granted anew.
    owed: Cell<usize>,
    /// It was taken out of use.
    pub(super) retired: Cell<bool>,
    /// The next attempt is to be made at once.
    pub(super) again: rt::sync::Notify,
}

/// Whom this shard follows.
#[derive(Default)]
pub(super) struct Links {
    links: RefCell<HashMap<Target, Rc<Link>>>,
    following: RefCell<HashMap<PartitionId, Rc<Following>>>,
}

impl Links {
    fn find(&self, partition: PartitionId) -> Option<Rc<Following>> {
        self.following.borrow().get(&partition).map(Rc::clone)
    }

    pub(super) fn all(&self) -> Vec<Rc<Link>> {
        self.links.borrow().values().map(Rc::clone).collect()
    }

    /// Forgets a partition.
    pub(super) fn remove(&self, partition: PartitionId) {
        let following = self.following.borrow_mut().remove(&partition);
        if let Some(following) = following {
            following.link.remove(&following);
        }
    }

    /// Takes note that `partition` wants to follow where `target` leads it.
    pub(super) fn follow(
        &self,
        replication: &Rc<Replication>,
        partition: &Rc<Partition>,
        target: Target,
        follow: Follow,
    ) {
        let id = partition.id();
        let known = self.find(id).filter(|known| {
            Rc::ptr_eq(&known.partition, partition)
                && known.link.target == target
                && !known.link.retired.get()
        });
        let following = known.unwrap_or_else(|| {
            self.remove(id);
            let following = Rc::new(Following {
                id,
                partition: Rc::clone(partition),
                link: self.link(replication, target),
                number: Cell::new(None),
                progress: Cell::new(None),
                unstored: RefCell::default(),
            });
            let mut all = self.following.borrow_mut();
            all.insert(id, Rc::clone(&following));
            drop(all);
            let mut members = following.link.members.borrow_mut();
            members.insert(id, Rc::clone(&following));
            drop(members);
            following
        });
        following.link.ask(&following, follow);
    }

    fn link(&self, replication: &Rc<Replication>, target: Target) -> Rc<Link> {
        let mut links = self.links.borrow_mut();
        let link = links.entry(target).or_insert_with(|| {
            let link = Rc::new(Link {
                target,
                replication: Rc::clone(replication),
                line: RefCell::default(),
                members: RefCell::default(),
                numbers: RefCell::default(),
                next_number: Cell::new(0),
                to_say: RefCell::default(),
                owed: Cell::new(0),
                retired: Cell::new(false),
                again: rt::sync::Notify::new(),
            });
            super::dial::keep(Rc::clone(&link));
            link
        });
        Rc::clone(link)
    }

    /// Takes note of what is to be reported to `node`.
    pub(super) fn progress(&self, partition: PartitionId, node: i32, progress: Progress) {
        let following = self.following.borrow();
        let Some(following) = following.get(&partition) else {
            return;
        };
        following.stored(progress.stable_end);
        if following.link.target.node != node || following.number.get().is_none() {
            return;
        }
        let link = &following.link;
        if following.progress.replace(Some(progress)).is_none() {
            let mut to_say = link.to_say.borrow_mut();
            to_say.progress.push(Rc::clone(following));
        }
        link.wake();
    }

    /// Forgets partitions that are not this shard's any longer or follow somebody else, and takes links
    /// out of use that nobody needs.
    pub(super) fn tick(&self, replication: &Replication) {
        let all: Vec<_> = self.following.borrow().values().map(Rc::clone).collect();
        for following in all {
            let here = replication.host.partition(following.id);
            let same = here.is_some_and(|here| Rc::ptr_eq(&here, &following.partition));
            let leader = following.partition.leader_hint().leader;
            if !same || leader != following.link.target.node {
                self.remove(following.id);
            }
        }
        let unused = self.all();
        let unused = unused
            .iter()
            .filter(|link| link.members.borrow().is_empty());
        for link in unused {
            self.links.borrow_mut().remove(&link.target);
            link.retired.set(true);
            link.close(ConnectionError::Unused);
        }
    }

    /// The partitions that follow `node`, with where.
    pub(super) fn members_of(&self, node: i32) -> Vec<(Rc<Partition>, Target)> {
        let following = self.following.borrow();
        let of_node = following
            .values()
            .filter(|following| following.link.target.node == node);
        of_node
            .map(|following| (Rc::clone(&following.partition), following.link.target))
            .collect()
    }

    /// Whether a partition is followed somewhere.
    pub(super) fn has(&self, partition: PartitionId) -> bool {
        self.following.borrow().contains_key(&partition)
    }
}

impl Following {
    /// All below `stable_end` is stored.
    fn stored(&self, stable_end: i64) {
        let mut unstored = self.unstored.borrow_mut();
        let mut bytes = 0;
        while unstored.front().is_some_and(|(end, _)| *end <= stable_end) {
            bytes += unstored.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        if bytes > 0 {
            self.link.release(bytes);
        }
    }

    /// Takes records that arrived.
    fn records(&self, header: &Records, bytes: &Bytes) -> Result<(), ConnectionError> {
        let len = bytes.len();
        let node = self.link.target.node;
        let taken = self.partition.on_records(node, header, bytes);
        taken.map_err(|error| ConnectionError::Records {
            partition: self.id,
            why: error.to_string(),
        })?;
        let log = self.partition.log();
        let end = header.next_offset;
        if log.stable_end() < end && end <= log.end().appended() {
            self.unstored.borrow_mut().push_back((end, len));
        } else {
            // Stored already, or not taken.
            self.link.release(len);
        }
        Ok(())
    }
}

impl Link {
    fn wake(&self) {
        if let Some(line) = &*self.line.borrow() {
            line.wake();
        }
    }

    /// Ends the connection, or makes the next attempt come at once.
    pub(super) fn close(&self, why: ConnectionError) {
        match &*self.line.borrow() {
            Some(line) => line.close(why),
            None => self.again.notify_one(),
        }
    }

    pub(super) fn replication(&self) -> &Rc<Replication> {
        &self.replication
    }

    /// The connection, if there is one.
    pub(super) fn line(&self) -> Option<Rc<Line>> {
        self.line.borrow().as_ref().map(Rc::clone)
    }

    /// Bytes are not held any longer.
    fn release(&self, bytes: usize) {
        self.owed.set(self.owed.get() + bytes);
        if self.owed.get() >= GRANT_BYTES {
            self.wake();
        }
    }

    fn ask(&self, following: &Rc<Following>, follow: Follow) {
        // What had come before doesn't count any longer: there may never be a report of it.
        following.stored(i64::MAX);
        // Before there is a connection nothing is kept: everybody asks anew when there is.
        if self.line.borrow().is_none() {
            return;
        }
        if following.number.get().is_none() {
            let number = self.next_number.get();
            self.next_number.set(number + 1);
            following.number.set(Some(number));
            let mut numbers = self.numbers.borrow_mut();
            numbers.insert(number, Rc::clone(following));
        }
        let mut to_say = self.to_say.borrow_mut();
        let asked = to_say.follow.iter_mut();
        let mut asked = asked.filter(|(other, _)| Rc::ptr_eq(other, following));
        match asked.next() {
            Some((_, before)) => *before = follow,
            None => to_say.follow.push((Rc::clone(following), follow)),
        }
        drop(to_say);
        self.wake();
    }

    fn remove(&self, following: &Rc<Following>) {
        following.stored(i64::MAX);
        self.members.borrow_mut().remove(&following.id);
        let Some(number) = following.number.take() else {
            return;
        };
        self.numbers.borrow_mut().remove(&number);
        let mut to_say = self.to_say.borrow_mut();
        to_say
            .follow
            .retain(|(other, _)| !Rc::ptr_eq(other, following));
        to_say.unfollow.push(number);
        drop(to_say);
        self.wake();
    }

    /// There is a connection: all members ask anew.
    pub(super) fn connected(&self, line: Rc<Line>) {
        self.forget_connection();
        self.owed.set(WINDOW_BYTES);
        *self.line.borrow_mut() = Some(line);
        self.wake();
        let members: Vec<_> = self.members.borrow().values().map(Rc::clone).collect();
        for following in members {
            following.partition.connected();
        }
    }

    /// The connection is gone.
    pub(super) fn disconnected(&self) {
        *self.line.borrow_mut() = None;
        self.forget_connection();
    }

    fn forget_connection(&self) {
        self.next_number.set(0);
        self.numbers.borrow_mut().clear();
        drop(std::mem::take(&mut *self.to_say.borrow_mut()));
        for following in self.members.borrow().values() {
            following.number.set(None);
            following.progress.set(None);
            following.unstored.borrow_mut().clear();
        }
    }

    /// Reads what the leader says, until it can't.
    pub(super) async fn read(&self, line: &Line, inbox: &mut Inbox) -> ConnectionError {
        loop {
            let content = match inbox.frame().await {
                Ok(content) => content,
                Err(error) => return error,
            };
            line.heard();
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

    fn take(&self, message: Message) -> Result<(), ConnectionError> {
        let node = self.target.node;
        match message {
            Message::Records {
                number,
                header,
                bytes,
            } => match self.by_number(number) {
                Some(following) => following.records(&header, &bytes),
                None => {
                    self.release(bytes.len());
                    Ok(())
                }
            },
            Message::Moved { number, moved } => {
                if let Some(following) = self.by_number(number) {
                    following.partition.on_moved(node, &moved);
                }
                Ok(())
            }
            Message::Answer { number, answer } => {
                if let Some(following) = self.by_number(number) {
                    following.partition.on_answer(node, &answer);
                }
                Ok(())
            }
            Message::Alive => Ok(()),
            Message::Follow { .. }
            | Message::Progress { .. }
            | Message::Unfollow { .. }
            | Message::Credit { .. } => Err(ConnectionError::Unexpected(
                "what only a follower says to its leader",
            )),
        }
    }

    fn by_number(&self, number: u32) -> Option<Rc<Following>> {
        self.numbers.borrow().get(&number).map(Rc::clone)
    }
}

impl Source for Link {
    fn gather(&self, frame: &mut FrameWriter, _flush: bool) -> Result<bool, ConnectionError> {
        let owed = self.owed.get();
        if owed >= GRANT_BYTES {
            self.owed.set(0);
            frame.push(&Message::Credit { bytes: owed as u64 })?;
        }
        let to_say = std::mem::take(&mut *self.to_say.borrow_mut());
        for number in to_say.unfollow {
            frame.push(&Message::Unfollow { number })?;
        }
        for (following, follow) in to_say.follow {
            if let Some(number) = following.number.get() {
                frame.push(&Message::Follow {
                    number,
                    topic: following.id.topic_id,
                    index: following.id.index,
                    follow,
                })?;
            }
        }
        for following in to_say.progress {
            if let (Some(number), Some(progress)) =
                (following.number.get(), following.progress.take())
            {
                frame.push(&Message::Progress { number, progress })?;
            }
        }
        Ok(false)
    }
}
