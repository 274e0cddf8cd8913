//! Incremental fetch sessions (KIP-227): what a client fetches is remembered, so that it sends only
//! changes and is sent only partitions that have something new.
//!
//! Pure: the time and the first session id come in as arguments. A session belongs to the shard
//! whose connection opened it; a client that comes back on another shard is told that the session is
//! unknown and opens a new one, as the protocol foresees.

use std::collections::BTreeMap;
use std::rc::Rc;

use indexmap::IndexMap;
use kafka_protocol::ResponseError;
use uuid::Uuid;

/// A session may be evicted for another when it has been idle for this long, as in Kafka.
const EVICTABLE_AFTER_MS: i64 = 120_000;

/// The most partitions that all sessions of a shard together remember. Who asks for more is served
/// without a session: they hold memory for as long as nobody takes their place.
const REMEMBERED_MOST: usize = 128 * 1024;

/// A topic as the client names it: by id since version 13, by name before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicKey {
    /// By name; shared, because one name may stand before any number of partitions.
    Name(Rc<str>),
    /// By id.
    Id(Uuid),
}

/// One partition of a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchKey {
    /// The topic.
    pub topic: TopicKey,
    /// The partition's index.
    pub index: i32,
}

/// What is asked of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The offset to read from.
    pub fetch_offset: i64,
    /// The most bytes to give, but for a first batch.
    pub max_bytes: i32,
    /// The leader epoch the client believes in, -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record the client has, -1 for none.
    pub last_fetched_epoch: i32,
}

/// The offsets a client was last told of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// High watermark.
    pub high_watermark: i64,
    /// Log start offset.
    pub log_start_offset: i64,
}

#[derive(Debug)]
struct Remembered {
    wanted: Wanted,
    told: Option<Told>,
}

#[derive(Debug)]
struct Session {
    /// The epoch the next request has to carry.
    next_epoch: i32,
    by_id: bool,
    partitions: IndexMap<FetchKey, Remembered>,
    /// Where the next round begins, so that a full response doesn't always favour the same ones.
    first: usize,
    last_used_ms: i64,
}

/// The sessions of a shard.
#[derive(Debug)]
pub struct Sessions {
    slots: usize,
    next_id: i32,
    step: i32,
    by_id: BTreeMap<i32, Session>,
}

/// What one fetch is to read, and how to answer it.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// The session to name in the response; 0 for none.
    pub session_id: i32,
    /// Whether partitions without news are left out.
    pub incremental: bool,
    /// What to read, in order.
    pub partitions: Vec<(FetchKey, Wanted)>,
}

/// What a fetch request says of its session.
#[derive(Debug)]
pub struct Asked {
    /// The session's id, 0 for none.
    pub session_id: i32,
    /// The session's epoch: 0 opens one, -1 closes it.
    pub epoch: i32,
    /// Whether topics are named by id (version 13 on).
    pub by_id: bool,
    /// Partitions that are new or changed.
    pub partitions: Vec<(FetchKey, Wanted)>,
    /// Partitions to forget.
    pub forgotten: Vec<FetchKey>,
}

impl Sessions {
    /// At most `slots` sessions, with ids `first_id`, `first_id + step`, and so on.
    pub fn new(slots: usize, first_id: i32, step: i32) -> Self {
        Self {
            slots,
            next_id: first_id.max(1),
            step: step.max(1),
            by_id: BTreeMap::new(),
        }
    }

    /// How many sessions are open, and how many partitions they remember.
    pub fn sizes(&self) -> (usize, usize) {
        let partitions = self.by_id.values().map(|s| s.partitions.len()).sum();
        (self.by_id.len(), partitions)
    }

    /// Brings the session up to date and says what to read.
    ///
    /// # Errors
    /// `FETCH_SESSION_ID_NOT_FOUND`, `INVALID_FETCH_SESSION_EPOCH` or
    /// `FETCH_SESSION_TOPIC_ID_ERROR`, which a client answers by opening a new session.
    pub fn open(&mut self, asked: Asked, now_ms: i64) -> Result<Opened, ResponseError> {
        if asked.epoch <= 0 {
            self.by_id.remove(&asked.session_id);
            let session_id = if asked.epoch == 0 {
                self.create(&asked, now_ms)
            } else {
                0
            };
            return Ok(Opened {
                session_id,
                incremental: false,
                partitions: asked.partitions,
            });
        }
        let session = self
            .by_id
            .get_mut(&asked.session_id)
            .ok_or(ResponseError::FetchSessionIdNotFound)?;
        if session.next_epoch != asked.epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        if session.by_id != asked.by_id {
            return Err(ResponseError::FetchSessionTopicIdError);
        }
        session.next_epoch = next_epoch(asked.epoch);
        session.last_used_ms = now_ms;
        let before = session.partitions.len();
        for (key, wanted) in asked.partitions {
            match session.partitions.entry(key) {
                indexmap::map::Entry::Occupied(mut entry) => entry.get_mut().wanted = wanted,
                indexmap::map::Entry::Vacant(entry) => {
                    entry.insert(Remembered { wanted, told: None });
                }
            }
        }
        if !asked.forgotten.is_empty() {
            let gone: std::collections::BTreeSet<_> = asked
                .forgotten
                .iter()
                .map(|key| (&key.topic, key.index))
                .collect();
            session
                .partitions
                .retain(|key, _| !gone.contains(&(&key.topic, key.index)));
        }
        let opened = Opened {
            session_id: asked.session_id,
            incremental: true,
            partitions: session.in_turn(),
        };
        let grown = session.partitions.len() > before;
        if grown && self.sizes().1 > REMEMBERED_MOST {
            // The client begins anew, and gets a session if there is room for one.
            self.by_id.remove(&asked.session_id);
            return Err(ResponseError::FetchSessionIdNotFound);
        }
        Ok(opened)
    }

    /// Whether an incremental response has to name the partition, which is told `told` now, with
    /// `has_news` when it carries records or an error. Takes note of what is told.
    pub fn tell(&mut self, session_id: i32, key: &FetchKey, told: Told, has_news: bool) -> bool {
        let Some(session) = self.by_id.get_mut(&session_id) else {
            return true;
        };
        let Some((at, _, remembered)) = session.partitions.get_full_mut(key) else {
            return true;
        };
        let changed = remembered.told != Some(told);
        if has_news {
            session.first = at + 1;
        }
        if changed || has_news {
            remembered.told = Some(told);
        }
        changed || has_news
    }

    fn create(&mut self, asked: &Asked, now_ms: i64) -> i32 {
        if self.by_id.len() >= self.slots && !self.evict(now_ms) {
            return 0;
        }
        while self.sizes().1 + asked.partitions.len() > REMEMBERED_MOST {
            if !self.evict(now_ms) {
                return 0;
            }
        }
        let id = self.next_id;
        self.next_id = id.checked_add(self.step).unwrap_or(self.step);
        let remember = |(key, wanted): &(FetchKey, Wanted)| {
            let remembered = Remembered {
                wanted: *wanted,
                told: None,
            };
            (key.clone(), remembered)
        };
        let session = Session {
            next_epoch: 1,
            by_id: asked.by_id,
            partitions: asked.partitions.iter().map(remember).collect(),
            first: 0,
            last_used_ms: now_ms,
        };
        self.by_id.insert(id, session);
        id
    }

    fn evict(&mut self, now_ms: i64) -> bool {
        let oldest = self
            .by_id
            .iter()
            .min_by_key(|(_, session)| session.last_used_ms)
            .filter(|(_, session)| now_ms - session.last_used_ms > EVICTABLE_AFTER_MS)
            .map(|(id, _)| *id);
        oldest.is_some_and(|id| self.by_id.remove(&id).is_some())
    }
}

impl Session {
    fn in_turn(&self) -> Vec<(FetchKey, Wanted)> {
        let len = self.partitions.len();
        let first = self.first.min(len);
        let one = |at: usize| {
            let entry = self.partitions.get_index(at);
            entry.map(|(key, remembered)| (key.clone(), remembered.wanted))
        };
        (first..len).chain(0..first).filter_map(one).collect()
    }
}

/// The epoch after `epoch`: it goes from `i32::MAX` to 1, because 0 opens a session.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: i32) -> FetchKey {
        FetchKey {
            topic: TopicKey::Name("t".into()),
            index,
        }
    }

    fn want(index: i32, fetch_offset: i64) -> (FetchKey, Wanted) {
        let wanted = Wanted {
            fetch_offset,
            max_bytes: 100,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        };
        (key(index), wanted)
    }

    fn asked(session_id: i32, epoch: i32, partitions: Vec<(FetchKey, Wanted)>) -> Asked {
        Asked {
            session_id,
            epoch,
            by_id: false,
            partitions,
            forgotten: Vec::new(),
        }
    }

    const TOLD: Told = Told {
        high_watermark: 5,
        log_start_offset: 0,
    };

    #[test]
    fn a_session_remembers_changes_and_forgets() {
        let mut sessions = Sessions::new(10, 7, 2);
        let opened = sessions.open(asked(0, 0, vec![want(0, 1), want(1, 2)]), 0);
        let opened = opened.expect("a session");
        assert_eq!((opened.session_id, opened.incremental), (7, false));
        let opened = sessions.open(asked(7, 1, vec![want(1, 9), want(2, 3)]), 0);
        let opened = opened.expect("the same session");
        assert!(opened.incremental);
        assert_eq!(opened.partitions, vec![want(0, 1), want(1, 9), want(2, 3)]);
        let mut last = asked(7, 2, Vec::new());
        last.forgotten.push(key(0));
        let opened = sessions.open(last, 0).expect("the same session");
        assert_eq!(opened.partitions, vec![want(1, 9), want(2, 3)]);
    }

    #[test]
    fn wrong_ids_epochs_and_topic_keys_are_refused() {
        let mut sessions = Sessions::new(10, 7, 2);
        sessions
            .open(asked(0, 0, vec![want(0, 1)]), 0)
            .expect("a session");
        let mut refused = |asked| sessions.open(asked, 0).expect_err("a refusal");
        assert_eq!(
            refused(asked(8, 1, vec![])),
            ResponseError::FetchSessionIdNotFound
        );
        assert_eq!(
            refused(asked(7, 2, vec![])),
            ResponseError::InvalidFetchSessionEpoch
        );
        let mut by_id = asked(7, 1, vec![]);
        by_id.by_id = true;
        assert_eq!(refused(by_id), ResponseError::FetchSessionTopicIdError);
    }

    #[test]
    fn only_news_is_told() {
        let mut sessions = Sessions::new(10, 7, 2);
        sessions
            .open(asked(0, 0, vec![want(0, 1)]), 0)
            .expect("a session");
        assert!(sessions.tell(7, &key(0), TOLD, false), "first time");
        assert!(!sessions.tell(7, &key(0), TOLD, false), "nothing new");
        assert!(sessions.tell(7, &key(0), TOLD, true), "records or an error");
        let moved = Told {
            high_watermark: 6,
            ..TOLD
        };
        assert!(
            sessions.tell(7, &key(0), moved, false),
            "the high watermark"
        );
    }

    #[test]
    fn all_sessions_together_remember_only_so_much() {
        let mut sessions = Sessions::new(10, 1, 1);
        let many = |n: usize| {
            (0..n as i32)
                .map(|index| want(index, 0))
                .collect::<Vec<_>>()
        };
        let half = REMEMBERED_MOST / 2;
        let first = sessions
            .open(asked(0, 0, many(half)), 0)
            .unwrap()
            .session_id;
        let second = sessions
            .open(asked(0, 0, many(half)), 0)
            .unwrap()
            .session_id;
        assert!(first > 0 && second > 0);
        let none = sessions.open(asked(0, 0, many(1)), 0).unwrap();
        assert_eq!(
            (none.session_id, none.partitions.len()),
            (0, 1),
            "served without a session"
        );
        let grown = sessions.open(asked(first, 1, vec![want(-7, 0)]), 0);
        assert_eq!(grown, Err(ResponseError::FetchSessionIdNotFound));
        assert_eq!(sessions.sizes(), (1, half));
        // One that was idle for long makes room.
        let later = EVICTABLE_AFTER_MS + 1;
        let third = sessions.open(asked(0, 0, many(half + 1)), later).unwrap();
        assert!(third.session_id > 0);
        assert_eq!(sessions.sizes(), (1, half + 1));
    }

    #[test]
    fn a_full_response_does_not_always_favour_the_first() {
        let mut sessions = Sessions::new(10, 7, 2);
        let all = vec![want(0, 1), want(1, 1), want(2, 1)];
        sessions.open(asked(0, 0, all), 0).expect("a session");
        sessions.tell(7, &key(0), TOLD, true);
        let opened = sessions.open(asked(7, 1, vec![]), 0).expect("the session");
        let order: Vec<_> = opened.partitions.iter().map(|(key, _)| key.index).collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[test]
    fn slots_are_bounded_and_only_idle_sessions_make_room() {
        let mut sessions = Sessions::new(1, 7, 2);
        let mut open = |now| {
            sessions
                .open(asked(0, 0, vec![]), now)
                .expect("an answer")
                .session_id
        };
        assert_eq!(open(0), 7);
        assert_eq!(open(1_000), 0, "no room");
        assert_eq!(open(EVICTABLE_AFTER_MS + 1), 9, "the idle one goes");
    }

    #[test]
    fn epoch_minus_one_closes() {
        let mut sessions = Sessions::new(1, 7, 2);
        sessions.open(asked(0, 0, vec![]), 0).expect("a session");
        let opened = sessions
            .open(asked(7, -1, vec![want(3, 3)]), 0)
            .expect("a full fetch");
        assert_eq!((opened.session_id, opened.partitions.len()), (0, 1));
        assert_eq!(sessions.sizes(), (0, 0));
    }

    #[test]
    fn the_epoch_wraps_to_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
    }
}
