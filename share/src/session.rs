//! Share sessions: which partitions a member of a share group fetches from, so that it needn't say it each time.
//!
//! A member has one session with each node that leads partitions it consumes, held here under its group and id.
//! Each request gives the epoch that follows the one before: 0 begins a session, -1 ends it. What a session
//! that is over had acquired is for the shell to take back, on the partitions that come out of here.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use thiserror::Error;
use uuid::Uuid;

use crate::TopicIdPartition;

/// The epoch of a request that begins a session.
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that ends a session.
pub const FINAL_EPOCH: i32 = -1;

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The share group.
    pub group: String,
    /// The member's id.
    pub member: Uuid,
}

/// What a ShareFetch says of its session.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Its epoch.
    pub epoch: i32,
    /// Partitions to fetch from that the session may not have yet.
    pub add: &'a [TopicIdPartition],
    /// Partitions that the session is to lose.
    pub forget: &'a [TopicIdPartition],
    /// Whether the request acknowledges records.
    pub acknowledges: bool,
    /// The connection it came over, by a number that isn't used again.
    pub connection: u64,
}

/// Why a request doesn't fit its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The member has none.
    #[error(
        "the member has no share session here, or not any more: it has to begin one with epoch 0"
    )]
    NotFound,
    /// The epoch isn't the one that has to come.
    #[error("the share session's epoch is {expected}, the request's {given}")]
    InvalidEpoch {
        /// The one that had to come.
        expected: i32,
        /// The one that came.
        given: i32,
    },
    /// There are as many as there may be.
    #[error("there are {0} share sessions already, which is the limit")]
    LimitReached(usize),
    /// The first request of a session can't acknowledge what none has been given in.
    #[error("a request that begins a share session can't acknowledge records")]
    EarlyAcknowledgement,
}

impl SessionError {
    /// How a client is told.
    pub fn error(&self) -> ResponseError {
        match self {
            Self::NotFound => ResponseError::ShareSessionNotFound,
            Self::InvalidEpoch { .. } => ResponseError::InvalidShareSessionEpoch,
            Self::LimitReached(_) => ResponseError::ShareSessionLimitReached,
            Self::EarlyAcknowledgement => ResponseError::InvalidRequest,
        }
    }
}

/// What a ShareFetch is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Fetch from these partitions, in this order. All of them are to be in the answer.
    New(Vec<TopicIdPartition>),
    /// Fetch from these partitions, in this order. Which of them are in the answer is for
    /// [`Sessions::answers`] to say.
    Next(Vec<TopicIdPartition>),
    /// Nothing to fetch: [`Sessions::close`] the session once the acknowledgements are done.
    Final,
}

/// What came of the fetch from one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Whether the answer has records of it.
    pub records: bool,
    /// Whether the answer has an error for it.
    pub error: bool,
}

/// A session that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Whose it was.
    pub key: SessionKey,
    /// Where records that the member had acquired are to be taken back.
    pub partitions: Vec<TopicIdPartition>,
    /// Whether it was the last one of its group here.
    pub group_is_gone: bool,
}

/// A share session.
#[derive(Debug)]
struct Session {
    /// The epoch that has to come next.
    epoch: i32,
    connection: u64,
    /// Where each partition is in `order`, and whether the next answer has to have it.
    partitions: BTreeMap<TopicIdPartition, Place>,
    /// In the order in which they are to be fetched, by a number that grows.
    order: BTreeMap<u64, TopicIdPartition>,
    next_place: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    /// It was added and not answered yet, or was last answered with an error.
    owed: bool,
}

impl Session {
    fn new(connection: u64) -> Self {
        Self {
            epoch: next_epoch(INITIAL_EPOCH),
            connection,
            partitions: BTreeMap::new(),
            order: BTreeMap::new(),
            next_place: 0,
        }
    }

    fn add(&mut self, partition: TopicIdPartition, owed: bool) {
        if !self.partitions.contains_key(&partition) {
            let at = self.next_place;
            self.next_place += 1;
            self.partitions.insert(partition, Place { at, owed });
            self.order.insert(at, partition);
        }
    }

    fn forget(&mut self, partition: TopicIdPartition) {
        if let Some(place) = self.partitions.remove(&partition) {
            self.order.remove(&place.at);
        }
    }

    /// All partitions, each request beginning with another one.
    fn rotated(&self, epoch: i32) -> Vec<TopicIdPartition> {
        let mut all: Vec<_> = self.order.values().copied().collect();
        if let Ok(epoch) = usize::try_from(epoch)
            && !all.is_empty()
        {
            let by = epoch % all.len();
            all.rotate_left(by);
        }
        all
    }
}

/// The epoch that follows.
pub(crate) fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        ..0 => FINAL_EPOCH,
        i32::MAX => 1,
        _ => epoch + 1,
    }
}

/// All share sessions of some part of a node.
#[derive(Debug)]
pub struct Sessions {
    max: usize,
    sessions: BTreeMap<SessionKey, Session>,
    /// Whose sessions came over a connection.
    connections: BTreeMap<u64, BTreeSet<SessionKey>>,
    partitions: usize,
}

impl Sessions {
    /// None yet, and at most so many: `group.share.max.share.sessions`.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            partitions: 0,
        }
    }

    /// Changes how many there may be. Those there are stay.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many partitions all of them have together.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Takes the session's part of a ShareFetch. A member that begins a session has lost the one it had, but
    /// keeps what it had acquired.
    ///
    /// # Errors
    /// The request is to be answered with this and nothing of it done.
    pub fn open(&mut self, key: &SessionKey, asked: &Opening<'_>) -> Result<Opened, SessionError> {
        match asked.epoch {
            FINAL_EPOCH if self.sessions.contains_key(key) => Ok(Opened::Final),
            FINAL_EPOCH => Err(SessionError::NotFound),
            INITIAL_EPOCH => self.begin(key, asked),
            given => {
                let session = self.sessions.get_mut(key).ok_or(SessionError::NotFound)?;
                session.step(given)?;
                let before = session.partitions.len();
                for &partition in asked.add {
                    session.add(partition, true);
                }
                for &partition in asked.forget {
                    session.forget(partition);
                }
                let (now, all) = (session.partitions.len(), session.rotated(given));
                self.partitions = self.partitions - before + now;
                Ok(Opened::Next(all))
            }
        }
    }

    fn begin(&mut self, key: &SessionKey, asked: &Opening<'_>) -> Result<Opened, SessionError> {
        if asked.acknowledges {
            return Err(SessionError::EarlyAcknowledgement);
        }
        self.close(key);
        if self.sessions.len() >= self.max {
            return Err(SessionError::LimitReached(self.max));
        }
        let mut session = Session::new(asked.connection);
        for &partition in asked.add {
            session.add(partition, false);
        }
        let all = session.rotated(INITIAL_EPOCH);
        self.partitions += all.len();
        let of_connection = self.connections.entry(asked.connection).or_default();
        of_connection.insert(key.clone());
        self.sessions.insert(key.clone(), session);
        Ok(Opened::New(all))
    }

    /// Takes the session's part of a ShareAcknowledge. Says whether the session is to be [closed](Self::close) once
    /// the acknowledgements are done.
    ///
    /// # Errors
    /// The request is to be answered with this and nothing of it done.
    pub fn acknowledge(&mut self, key: &SessionKey, epoch: i32) -> Result<bool, SessionError> {
        if epoch == INITIAL_EPOCH {
            return Err(SessionError::InvalidEpoch {
                expected: self.sessions.get(key).map_or(1, |session| session.epoch),
                given: epoch,
            });
        }
        let session = self.sessions.get_mut(key).ok_or(SessionError::NotFound)?;
        if epoch == FINAL_EPOCH {
            return Ok(true);
        }
        session.step(epoch)?;
        Ok(false)
    }

    /// Which partitions the answer to a request of this epoch has to have, given what came of each: a session's
    /// later answers leave out those that have neither records nor anything new to say. Those with
    /// records are fetched last next time.
    ///
    /// # Errors
    /// The session is gone, or another request has come since: the answer is to be this.
    pub fn answers(
        &mut self,
        key: &SessionKey,
        epoch: i32,
        fetched: &[(TopicIdPartition, Fetched)],
    ) -> Result<Vec<bool>, SessionError> {
        let session = self.sessions.get_mut(key).ok_or(SessionError::NotFound)?;
        let expected = session.epoch;
        if expected != next_epoch(epoch) {
            return Err(SessionError::InvalidEpoch {
                expected,
                given: next_epoch(epoch),
            });
        }
        Ok(fetched
            .iter()
            .map(|&(partition, came)| session.answer(partition, came))
            .collect())
    }

    /// Ends a session. `None` if there is none.
    pub fn close(&mut self, key: &SessionKey) -> Option<Closed> {
        let session = self.sessions.remove(key)?;
        self.partitions -= session.partitions.len();
        if let Some(keys) = self.connections.get_mut(&session.connection) {
            keys.remove(key);
            if keys.is_empty() {
                self.connections.remove(&session.connection);
            }
        }
        let from = SessionKey {
            group: key.group.clone(),
            member: Uuid::nil(),
        };
        let next = self.sessions.range(from..).next();
        Some(Closed {
            key: key.clone(),
            partitions: session.order.into_values().collect(),
            group_is_gone: next.is_none_or(|(other, _)| other.group != key.group),
        })
    }

    /// A connection is gone, and with it the sessions that began over it.
    pub fn disconnected(&mut self, connection: u64) -> Vec<Closed> {
        let keys = self.connections.remove(&connection).unwrap_or_default();
        keys.iter().filter_map(|key| self.close(key)).collect()
    }
}

impl Session {
    /// Goes to the next epoch, if this one is right.
    fn step(&mut self, given: i32) -> Result<(), SessionError> {
        if self.epoch != given {
            let expected = self.epoch;
            return Err(SessionError::InvalidEpoch { expected, given });
        }
        self.epoch = next_epoch(given);
        Ok(())
    }

    /// Whether an answer has to have a partition.
    fn answer(&mut self, partition: TopicIdPartition, came: Fetched) -> bool {
        let next = self.next_place;
        let Some(place) = self.partitions.get_mut(&partition) else {
            return true;
        };
        let answer = came.records || came.error || place.owed;
        place.owed = came.error;
        if came.records {
            self.order.remove(&place.at);
            place.at = next;
            self.order.insert(next, partition);
            self.next_place += 1;
        }
        answer
    }
}
