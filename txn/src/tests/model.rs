//! Random clients, failovers and clocks against what transactions promise.
//!
//! The model knows only what clients were told and which markers were asked for:
//! - whoever is not the latest producer of its id can't add partitions or commit;
//! - a transaction is decided once, with markers for all it has and nothing else, in an epoch that no
//!   later transaction has;
//! - it is over when all markers are written, not before;
//! - what a coordinator makes of the log is what the one before had.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::state::State;

const IDS: [&str; 3] = ["a", "b", "c"];
const TOPICS: [&str; 2] = ["x", "y"];

#[derive(Clone, Debug)]
enum Op {
    /// A new client of this id.
    Begin(usize),
    /// Any client that was ever told its producer begins again.
    Again(usize),
    Add(usize, usize, i32),
    Verify(usize, usize, i32),
    End(usize, bool),
    /// One of the wanted markers, of one partition or all, is written; or for a second time.
    Write {
        which: usize,
        whole: bool,
        keep: bool,
    },
    FailOver,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..12_usize;
    prop_oneof![
        2 => (0..IDS.len()).prop_map(Op::Begin),
        1 => client.clone().prop_map(Op::Again),
        6 => (client.clone(), 0..TOPICS.len(), 0..3).prop_map(|(c, t, p)| Op::Add(c, t, p)),
        1 => (client.clone(), 0..TOPICS.len(), 0..3).prop_map(|(c, t, p)| Op::Verify(c, t, p)),
        4 => (client, any::<bool>()).prop_map(|(c, commit)| Op::End(c, commit)),
        6 => (0..8_usize, any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(which, whole, keep)| Op::Write { which, whole, keep }),
        1 => Just(Op::FailOver),
        1 => (0..40_000_u64).prop_map(Op::Pass),
    ]
}

struct Client {
    id: usize,
    producer: Producer,
    version: TransactionVersion,
}

/// A transaction whose markers are being written.
struct Ending {
    commit: bool,
    /// What it has.
    whole: Partitions,
    /// What the present coordinator waits for.
    left: Partitions,
}

/// What the model knows of a transactional id.
#[derive(Default)]
struct Known {
    /// The latest producer that a client was told.
    latest: Option<Producer>,
    /// Partitions that were added to the transaction that is open.
    open: Partitions,
    ending: Option<Ending>,
}

struct Model {
    driver: Driver,
    clients: Vec<Client>,
    known: BTreeMap<usize, Known>,
    /// Markers that were wanted, also those that are written.
    wanted: Vec<Markers>,
    /// Of the request that is being carried out: an end that was asked for by a client of V0.
    same_epoch: bool,
    /// Who added partitions last, by transactional id.
    wrote: BTreeMap<usize, Producer>,
}

impl Model {
    fn new() -> Self {
        Self {
            driver: Driver::new(),
            clients: Vec::new(),
            known: BTreeMap::new(),
            wanted: Vec::new(),
            same_epoch: false,
            wrote: BTreeMap::new(),
        }
    }

    fn client(&self, at: usize) -> Option<(usize, Producer, TransactionVersion)> {
        // The later ones more often.
        let at = self
            .clients
            .len()
            .checked_sub(at % self.clients.len().max(1) + 1)?;
        let client = &self.clients[at];
        Some((client.id, client.producer, client.version))
    }

    fn begun(&mut self, id: usize, done: Result<Producer, ResponseError>) {
        let Ok(producer) = done else {
            return;
        };
        let known = self.known.entry(id).or_default();
        assert!(known.ending.is_none(), "begun before the end of the last");
        assert!(known.open.is_empty(), "begun within a transaction");
        known.latest = Some(producer);
        let version = if self.clients.len().is_multiple_of(3) {
            TransactionVersion::V0
        } else {
            TransactionVersion::V2
        };
        let twin = self
            .clients
            .iter()
            .find(|client| client.producer == producer);
        assert!(
            twin.is_none_or(|twin| twin.id == id),
            "{producer:?} for two transactional ids"
        );
        self.clients.push(Client {
            id,
            producer,
            version,
        });
    }

    fn run(&mut self, op: &Op) {
        self.same_epoch = false;
        match *op {
            Op::Begin(id) => {
                let done = self.driver.try_init(IDS[id], None);
                self.begun(id, done);
            }
            Op::Again(at) => {
                if let Some((id, producer, _)) = self.client(at) {
                    let done = self.driver.try_init(IDS[id], Some(producer));
                    self.begun(id, done);
                }
            }
            Op::Add(at, topic, index) => self.add(at, topic, index),
            Op::Verify(at, topic, index) => {
                let Some((id, producer, _)) = self.client(at) else {
                    return;
                };
                let asked = partitions([(TOPICS[topic], index)]);
                if self.driver.verify(IDS[id], producer, &asked) == Ok(Partitions::new()) {
                    let open = &self.known[&id].open;
                    assert!(open[TOPICS[topic]].contains(&index), "nobody added it");
                }
            }
            Op::End(at, commit) => self.end(at, commit),
            Op::Write { which, whole, keep } => self.write(which, whole, keep),
            Op::FailOver => {
                self.check_replay();
                // What the last coordinator wanted may still come in.
                self.driver.fail_over();
                let ending = self
                    .known
                    .values_mut()
                    .filter_map(|known| known.ending.as_mut());
                ending.for_each(|ending| ending.left = ending.whole.clone());
            }
            Op::Pass(ms) => self.driver.pass(ms),
        }
        self.take_effects();
    }

    fn add(&mut self, at: usize, topic: usize, index: i32) {
        let Some((id, producer, version)) = self.client(at) else {
            return;
        };
        let more = partitions([(TOPICS[topic], index)]);
        if self.driver.add(IDS[id], producer, &more, version).is_ok() {
            let known = self.known.get_mut(&id).unwrap();
            assert_eq!(
                known.latest,
                Some(producer),
                "an old producer added a partition"
            );
            assert!(known.ending.is_none(), "added while the last one is ending");
            self.wrote.insert(id, producer);
            known
                .open
                .entry(TOPICS[topic].into())
                .or_default()
                .insert(index);
        }
    }

    fn end(&mut self, at: usize, commit: bool) {
        let Some((id, producer, version)) = self.client(at) else {
            return;
        };
        let before = self.driver.effects.len();
        let Ok(next) = self.driver.end(IDS[id], producer, commit, version) else {
            assert_eq!(self.driver.effects.len(), before, "refused, and yet done");
            return;
        };
        self.same_epoch = !version.bumps_epochs();
        let known = self.known.get_mut(&id).unwrap();
        if self.driver.effects.len() > before {
            assert_eq!(known.latest, Some(producer), "an old producer ended it");
            assert_eq!(self.driver.effects[before].commit, commit);
        } else {
            assert!(known.open.is_empty(), "ended without a marker");
        }
        if version.bumps_epochs() {
            assert_ne!(next, producer, "an end without a new epoch");
            known.latest = Some(next);
            let client = |client: &&mut Client| client.producer == producer && client.id == id;
            self.clients
                .iter_mut()
                .filter(client)
                .for_each(|it| it.producer = next);
        }
    }

    fn take_effects(&mut self) {
        for markers in std::mem::take(&mut self.driver.effects) {
            let id = IDS.iter().position(|id| *id == markers.transactional_id);
            let known = self.known.get_mut(&id.unwrap()).unwrap();
            if let Some(ending) = &known.ending {
                // Another coordinator has taken over.
                assert_eq!(markers.commit, ending.commit, "decided twice");
                assert_eq!(markers.partitions, ending.whole);
            } else {
                let whole = std::mem::take(&mut known.open);
                assert_eq!(markers.partitions, whole, "markers for what it has");
                known.ending = Some(Ending {
                    commit: markers.commit,
                    left: whole.clone(),
                    whole,
                });
                // What was written in the transaction has an earlier epoch than its end.
                let of = self.wrote[&id.unwrap()];
                assert_eq!(markers.producer.id, of.id);
                let later = i16::from(!self.same_epoch);
                assert_eq!(markers.producer.epoch, of.epoch + later);
            }
            self.wanted.push(markers);
        }
    }

    fn write(&mut self, which: usize, whole: bool, keep: bool) {
        let Some(at) = self
            .wanted
            .len()
            .checked_sub(which % self.wanted.len().max(1) + 1)
        else {
            return;
        };
        let mut markers = self.wanted[at].clone();
        if whole && !keep {
            self.wanted.remove(at);
        }
        if !whole && let Some((topic, some)) = markers.partitions.pop_last() {
            markers.partitions = Partitions::from([(topic, some)]);
        }
        let id = IDS
            .iter()
            .position(|id| *id == markers.transactional_id)
            .unwrap();
        let awaited = self.driver.written(markers.clone());
        let known = self.known.get_mut(&id).unwrap();
        if !awaited {
            let present = known.ending.is_some();
            let of = self.driver.core.known[IDS[id]].decision == markers.decision;
            assert!(!(present && of), "nobody waits for what was wanted");
            return;
        }
        let epoch = self.driver.core.settings.coordinator_epoch;
        assert_eq!(markers.coordinator_epoch, epoch);
        let ending = known.ending.as_mut().expect("nothing is ending");
        assert_eq!(ending.commit, markers.commit);
        for (topic, done) in &markers.partitions {
            ending
                .left
                .get_mut(topic)
                .unwrap()
                .retain(|at| !done.contains(at));
        }
        let over = ending.left.values().all(|left| left.is_empty());
        if over {
            known.ending = None;
        }
        let state = self.driver.core.known[IDS[id]].state;
        assert_eq!(state.is_prepared(), !over, "{state:?}");
    }

    /// The log says all that the coordinator knows and has to.
    fn check_replay(&self) {
        let replayed = self.driver.replayed(self.driver.core.settings);
        let live = &self.driver.core.known;
        assert!(live.keys().eq(replayed.known.keys()));
        for (id, live) in live {
            let mut replayed = replayed.known[id].clone();
            if live.state.is_prepared() {
                replayed.partitions = live.partitions.clone();
            }
            replayed.last_epoch = live.last_epoch;
            replayed.decision = live.decision;
            assert_eq!(*live, replayed);
            assert!(live.state != State::Empty || live.partitions.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn transactions_keep_their_promises(ops in prop::collection::vec(op(), 1..120)) {
        let mut model = Model::new();
        for op in &ops {
            model.run(op);
        }
        model.check_replay();
        // All is mended: every transaction comes to its end, and every id can begin.
        model.run(&Op::Pass(100_000));
        while let Some(at) = model.wanted.len().checked_sub(1) {
            model.write(0, true, false);
            assert!(model.wanted.len() <= at);
        }
        for id in IDS {
            prop_assert!(model.driver.try_init(id, None).is_ok());
        }
    }
}
