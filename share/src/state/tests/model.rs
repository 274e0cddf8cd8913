//! Random leaders, resets, deletions and failovers against a model that knows each offset.

use proptest::prelude::*;

use super::*;

const GROUPS: [&str; 2] = ["g", "h"];
const OFFSETS: i64 = 24;

#[derive(Clone, Debug)]
enum Op {
    Initialize(ShareKey, i32, i64),
    Read(ShareKey, i32),
    Write(ShareKey, WriteState),
    Delete(ShareKey),
    Summary(ShareKey),
    /// Topic 2 comes or goes.
    Topics(bool),
    FailOver(bool),
}

fn some_key() -> impl Strategy<Value = ShareKey> {
    (0..GROUPS.len(), 1..3_u128, 0..2_i32)
        .prop_map(|(group, topic, partition)| key(GROUPS[group], topic, partition))
}

fn some_write() -> impl Strategy<Value = WriteState> {
    let one = (0..OFFSETS, 0..6_i64, 0..3_i8, 1..5_i16);
    let one =
        one.prop_map(|(first, more, state, count)| batch(first, first + more, 2 * state, count));
    let batches = prop::collection::vec(one, 0..4);
    let start = prop_oneof![1 => Just(-1), 3 => 0..OFFSETS];
    (-1..4_i32, -1..4_i32, start, batches).prop_map(|(state, leader, start_offset, batches)| {
        WriteState {
            state_epoch: state,
            leader_epoch: leader,
            start_offset,
            batches,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (some_key(), -1..4_i32, -1..OFFSETS).prop_map(|(k, e, s)| Op::Initialize(k, e, s)),
        4 => (some_key(), 0..4_i32).prop_map(|(k, e)| Op::Read(k, e)),
        12 => (some_key(), some_write()).prop_map(|(k, w)| Op::Write(k, w)),
        1 => some_key().prop_map(Op::Delete),
        2 => some_key().prop_map(Op::Summary),
        1 => any::<bool>().prop_map(Op::Topics),
        2 => any::<bool>().prop_map(Op::FailOver),
    ]
}

/// What the model knows of a share-partition.
#[derive(Clone, Debug)]
struct Of {
    state_epoch: i32,
    leader_epoch: i32,
    start_offset: i64,
    offsets: BTreeMap<i64, (i16, i8)>,
}

struct Model {
    driver: Driver,
    known: BTreeMap<ShareKey, Of>,
}

impl Model {
    fn exists(&self, key: &ShareKey) -> Result<(), ResponseError> {
        let there = self.driver.cluster.topics.contains_key(&key.topic_id);
        there
            .then_some(())
            .ok_or(ResponseError::UnknownTopicOrPartition)
    }

    fn initialize(&mut self, key: &ShareKey, epoch: i32, start: i64) -> Result<(), ResponseError> {
        let before = self.known.get(key);
        if before.is_some_and(|of| epoch != -1 && of.state_epoch > epoch) {
            return Err(ResponseError::FencedStateEpoch);
        }
        self.exists(key)?;
        let fresh = Of {
            state_epoch: before.map_or(epoch, |of| of.state_epoch.max(epoch)),
            leader_epoch: before.map_or(0, |of| of.leader_epoch),
            start_offset: start,
            offsets: BTreeMap::new(),
        };
        self.known.insert(key.clone(), fresh);
        Ok(())
    }

    fn read(&mut self, key: &ShareKey, epoch: i32) -> Result<Of, ResponseError> {
        let exists = self.exists(key);
        let of = self.known.get_mut(key);
        let of = of.ok_or(ResponseError::InvalidRequest)?;
        if of.leader_epoch > epoch {
            return Err(ResponseError::FencedLeaderEpoch);
        }
        exists?;
        of.leader_epoch = epoch;
        Ok(of.clone())
    }

    fn write(&mut self, key: &ShareKey, write: &WriteState) -> Result<(), ResponseError> {
        let exists = self.exists(key);
        let of = self.known.get_mut(key);
        let of = of.ok_or(ResponseError::InvalidRequest)?;
        if write.leader_epoch != -1 && of.leader_epoch > write.leader_epoch {
            return Err(ResponseError::FencedLeaderEpoch);
        }
        if write.state_epoch != -1 && of.state_epoch > write.state_epoch {
            return Err(ResponseError::FencedStateEpoch);
        }
        exists?;
        of.leader_epoch = of.leader_epoch.max(write.leader_epoch);
        of.state_epoch = of.state_epoch.max(write.state_epoch);
        if write.start_offset != -1 {
            of.start_offset = write.start_offset;
        }
        for batch in &write.batches {
            for offset in batch.first_offset..=batch.last_offset {
                let there = of.offsets.entry(offset).or_default();
                *there = (*there).max((batch.delivery_count, batch.delivery_state));
            }
        }
        let start = of.start_offset;
        of.offsets.retain(|offset, _| *offset >= start);
        Ok(())
    }

    fn check_read(&mut self, key: &ShareKey, epoch: i32) {
        let wanted = self.read(key, epoch);
        let read = self.driver.read(key, epoch);
        assert_eq!(read.as_ref().err(), wanted.as_ref().err());
        let (Ok(read), Ok(wanted)) = (read, wanted) else {
            return;
        };
        assert_eq!(read.state_epoch, wanted.state_epoch);
        assert_eq!(read.start_offset, wanted.start_offset);
        let mut offsets = BTreeMap::new();
        for batch in read.batches {
            for offset in batch.first_offset..=batch.last_offset {
                let state = (batch.delivery_count, batch.delivery_state);
                assert_eq!(offsets.insert(offset, state), None, "batches overlap");
            }
        }
        assert_eq!(offsets, wanted.offsets);
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Initialize(key, epoch, start) => {
                let wanted = self.initialize(key, *epoch, *start);
                assert_eq!(self.driver.initialize(key, *epoch, *start), wanted);
            }
            Op::Read(key, epoch) => self.check_read(key, *epoch),
            Op::Write(key, write) => {
                let wanted = self.write(key, write);
                let ask = Ask::Write(key.clone(), write.clone());
                assert_eq!(self.driver.done(ask), wanted);
            }
            Op::Delete(key) => {
                let wanted = self.exists(key);
                if wanted.is_ok() {
                    self.known.remove(key);
                }
                assert_eq!(self.driver.done(Ask::Delete(key.clone())), wanted);
            }
            Op::Summary(key) => {
                let wanted = self.exists(key).map(|()| self.known.get(key));
                let wanted = wanted.map(|of| {
                    let of = of.map(|of| (of.state_epoch, of.leader_epoch, of.start_offset));
                    of.unwrap_or((0, 0, -1))
                });
                let told = self.driver.summary(key);
                let told =
                    told.map(|told| (told.state_epoch, told.leader_epoch, told.start_offset));
                assert_eq!(told, wanted);
            }
            Op::Topics(there) => {
                self.driver.change_topics(|topics| {
                    topics.remove(&topic(2));
                    if *there {
                        topics.insert(topic(2), 3);
                    }
                });
                if !there {
                    self.known.retain(|key, _| key.topic_id != topic(2));
                }
            }
            Op::FailOver(compacted) => self.driver.fail_over(*compacted),
        }
        assert_eq!(self.driver.core.count(), self.known.len());
    }
}

proptest! {
    #[test]
    fn it_is_what_was_said_and_stays_so(ops in prop::collection::vec(op(), 1..120)) {
        let mut model = Model {
            driver: Driver::new(),
            known: BTreeMap::new(),
        };
        for op in &ops {
            model.run(op);
        }
        // Of all that is left, what another coordinator makes of the log.
        model.driver.fail_over(true);
        let keys: Vec<_> = model.known.keys().cloned().collect();
        for key in keys {
            model.check_read(&key, 9);
        }
    }
}
