//! Sessions against lists.

use proptest::prelude::*;
use uuid::Uuid;

use crate::TopicIdPartition;
use crate::session::{Fetched, Opened, Opening, SessionError, SessionKey, Sessions};

#[derive(Clone, Debug)]
enum Op {
    Open {
        who: usize,
        /// Epoch 0, -1, one that is wrong by this much, or the right one.
        epoch: Epoch,
        add: Vec<i32>,
        forget: Vec<i32>,
        acknowledges: bool,
        connection: u64,
        /// What comes of each partition: records, or an error.
        came: Vec<(bool, bool)>,
    },
    Acknowledge {
        who: usize,
        epoch: Epoch,
    },
    Close {
        who: usize,
    },
    Disconnect {
        connection: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Epoch {
    New,
    Right,
    Wrong(i32),
    Final,
}

/// A session as it reads: whose, over what, its epoch, and its partitions with whether the answer is owed.
#[derive(Debug)]
struct Listed {
    key: SessionKey,
    connection: u64,
    epoch: i32,
    partitions: Vec<(i32, bool)>,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let who = 0usize..6;
    let epoch = prop_oneof![
        2 => Just(Epoch::New),
        8 => Just(Epoch::Right),
        1 => (-2i32..4).prop_map(Epoch::Wrong),
        1 => Just(Epoch::Final)
    ];
    let some = || prop::collection::vec(0i32..6, 0..5);
    let came = prop::collection::vec((any::<bool>(), prop::bool::weighted(0.2)), 6);
    let op = prop_oneof![
        10 => (who.clone(), epoch.clone(), some(), some(), prop::bool::weighted(0.2), 0u64..3, came)
            .prop_map(|(who, epoch, add, forget, acknowledges, connection, came)| Op::Open {
                who, epoch, add, forget, acknowledges, connection, came
            }),
        3 => (who.clone(), epoch).prop_map(|(who, epoch)| Op::Acknowledge { who, epoch }),
        1 => who.prop_map(|who| Op::Close { who }),
        1 => (0u64..3).prop_map(|connection| Op::Disconnect { connection }),
    ];
    prop::collection::vec(op, 1..80)
}

fn key(who: usize) -> SessionKey {
    SessionKey {
        group: ["a", "b"][who % 2].to_owned(),
        member: Uuid::from_u128(who as u128),
    }
}

fn partition(partition: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: Uuid::nil(),
        partition,
    }
}

const MAX: usize = 4;

struct Subject {
    real: Sessions,
    listed: Vec<Listed>,
}

impl Subject {
    fn at(&self, key: &SessionKey) -> Option<usize> {
        self.listed.iter().position(|listed| listed.key == *key)
    }

    fn epoch(&self, key: &SessionKey, epoch: Epoch) -> i32 {
        let right = self.at(key).map_or(5, |at| self.listed[at].epoch);
        match epoch {
            Epoch::New => 0,
            Epoch::Right => right,
            Epoch::Wrong(by) => right + by,
            Epoch::Final => -1,
        }
    }

    /// Checks the epoch of a request that follows others.
    fn step(&mut self, key: &SessionKey, given: i32) -> Result<usize, SessionError> {
        let at = self.at(key).ok_or(SessionError::NotFound)?;
        let expected = self.listed[at].epoch;
        if expected != given {
            return Err(SessionError::InvalidEpoch { expected, given });
        }
        self.listed[at].epoch += 1;
        Ok(at)
    }

    fn open(&mut self, key: &SessionKey, asked: &Opening<'_>) -> Result<Vec<i32>, SessionError> {
        let add = asked.add.iter().map(|partition| partition.partition);
        let at = match asked.epoch {
            -1 => {
                return self
                    .at(key)
                    .map(|_| Vec::new())
                    .ok_or(SessionError::NotFound);
            }
            0 if asked.acknowledges => return Err(SessionError::EarlyAcknowledgement),
            0 => {
                self.listed.retain(|listed| listed.key != *key);
                if self.listed.len() == MAX {
                    return Err(SessionError::LimitReached(MAX));
                }
                self.listed.push(Listed {
                    key: key.clone(),
                    connection: asked.connection,
                    epoch: 1,
                    partitions: Vec::new(),
                });
                self.listed.len() - 1
            }
            epoch => self.step(key, epoch)?,
        };
        let partitions = &mut self.listed[at].partitions;
        for added in add {
            if !partitions.iter().any(|of| of.0 == added) {
                partitions.push((added, asked.epoch != 0));
            }
        }
        if asked.epoch != 0 {
            partitions.retain(|of| !asked.forget.contains(&partition(of.0)));
        }
        let count = partitions.len();
        let turn = asked.epoch as usize;
        Ok((0..count)
            .map(|at| partitions[(at + turn) % count].0)
            .collect())
    }

    fn answers(&mut self, key: &SessionKey, fetched: &[(TopicIdPartition, Fetched)]) -> Vec<bool> {
        let at = self.at(key).unwrap();
        let partitions = &mut self.listed[at].partitions;
        let mut answers = Vec::new();
        for &(of, came) in fetched {
            let at = partitions.iter().position(|p| p.0 == of.partition).unwrap();
            answers.push(came.records || came.error || partitions[at].1);
            partitions[at].1 = came.error;
            if came.records {
                let moved = partitions.remove(at);
                partitions.push(moved);
            }
        }
        answers
    }

    fn run_open(&mut self, key: &SessionKey, asked: &Opening<'_>, came: &[(bool, bool)]) {
        let real = self.real.open(key, asked);
        let expected = self.open(key, asked);
        let all = expected.map(|all| all.into_iter().map(partition).collect::<Vec<_>>());
        let opened = match asked.epoch {
            -1 => all.map(|_| Opened::Final),
            0 => all.map(Opened::New),
            _ => all.map(Opened::Next),
        };
        assert_eq!(real, opened);
        let (Ok(Opened::New(all)) | Ok(Opened::Next(all))) = opened else {
            return;
        };
        let fetched = all.iter().zip(came);
        let fetched: Vec<_> = fetched
            .map(|(&of, &(records, error))| (of, Fetched { records, error }))
            .collect();
        let wrong = self.real.answers(key, asked.epoch + 1, &fetched);
        assert!(matches!(wrong, Err(SessionError::InvalidEpoch { .. })));
        let real = self.real.answers(key, asked.epoch, &fetched).unwrap();
        assert_eq!(real, self.answers(key, &fetched));
    }

    /// Ends what doesn't stay, and gives what the real ones should.
    fn end(&mut self, ends: impl Fn(&Listed) -> bool) -> Vec<(SessionKey, Vec<TopicIdPartition>)> {
        let (mut ended, stay) = self.listed.drain(..).partition::<Vec<_>, _>(|of| ends(of));
        self.listed = stay;
        ended.sort_by(|a, b| a.key.cmp(&b.key));
        let partitions = |of: Listed| of.partitions.iter().map(|p| partition(p.0)).collect();
        let ended = ended.into_iter();
        ended.map(|of| (of.key.clone(), partitions(of))).collect()
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Open {
                who,
                epoch,
                add,
                forget,
                acknowledges,
                connection,
                came,
            } => {
                let key = key(*who);
                let add: Vec<_> = add.iter().map(|&number| partition(number)).collect();
                let forget: Vec<_> = forget.iter().map(|&number| partition(number)).collect();
                let asked = Opening {
                    epoch: self.epoch(&key, *epoch),
                    add: &add,
                    forget: &forget,
                    acknowledges: *acknowledges,
                    connection: *connection,
                };
                self.run_open(&key, &asked, came);
            }
            Op::Acknowledge { who, epoch } => {
                let key = key(*who);
                let given = self.epoch(&key, *epoch);
                let real = self.real.acknowledge(&key, given);
                let at = self.at(&key);
                let expected = match given {
                    0 => Err(SessionError::InvalidEpoch {
                        expected: at.map_or(1, |at| self.listed[at].epoch),
                        given,
                    }),
                    -1 => at.map(|_| true).ok_or(SessionError::NotFound),
                    given => self.step(&key, given).map(|_| false),
                };
                assert_eq!(real, expected);
            }
            Op::Close { who } => {
                let key = key(*who);
                let real = self.real.close(&key);
                let ended = self.end(|listed| listed.key == key);
                let gone = !self.listed.iter().any(|of| of.key.group == key.group);
                assert!(real.iter().all(|closed| closed.group_is_gone == gone));
                let real = real.into_iter();
                let real: Vec<_> = real.map(|of| (of.key, of.partitions)).collect();
                assert_eq!(real, ended);
            }
            Op::Disconnect { connection } => {
                let real = self.real.disconnected(*connection).into_iter();
                let real: Vec<_> = real.map(|of| (of.key, of.partitions)).collect();
                assert_eq!(real, self.end(|listed| listed.connection == *connection));
            }
        }
        let all = self.listed.iter();
        let partitions: usize = all.map(|of| of.partitions.len()).sum();
        assert_eq!(self.real.len(), self.listed.len());
        assert_eq!(self.real.is_empty(), self.listed.is_empty());
        assert_eq!(self.real.partitions(), partitions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn sessions_are_what_lists_of_them_are(ops in ops()) {
        let mut subject = Subject {
            real: Sessions::new(MAX),
            listed: Vec::new(),
        };
        for op in &ops {
            subject.run(op);
        }
    }
}
