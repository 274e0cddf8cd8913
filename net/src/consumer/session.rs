//! A fetch session (KIP-227): what of all that is wanted the broker does not know yet.

use std::collections::BTreeMap;

/// Not a session.
const NONE: i32 = 0;

/// The epoch of a request that asks for a new session.
const INITIAL: i32 = 0;

/// What one request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) session: i32,
    pub(super) epoch: i32,
    /// Slots and offsets that are new to the broker.
    pub(super) partitions: Vec<(usize, i64)>,
    /// Slots that are not wanted any more.
    pub(super) forgotten: Vec<usize>,
}

/// One client's session with one broker.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    /// What the broker knows, once the request on its way is answered.
    known: BTreeMap<usize, i64>,
}

impl Session {
    /// The next request for `wanted`. It counts as sent.
    pub(super) fn ask(&mut self, wanted: &BTreeMap<usize, i64>) -> Ask {
        if self.id == NONE {
            self.epoch = INITIAL;
            self.known.clear();
        }
        let known = std::mem::replace(&mut self.known, wanted.clone());
        let partitions = wanted
            .iter()
            .filter(|(slot, offset)| known.get(slot) != Some(offset))
            .map(|(slot, offset)| (*slot, *offset))
            .collect();
        let forgotten = known.keys().filter(|slot| !wanted.contains_key(slot));
        Ask {
            session: self.id,
            epoch: self.epoch,
            partitions,
            forgotten: forgotten.copied().collect(),
        }
    }

    /// The request was answered without an error of its own; the broker named this session, or
    /// none.
    pub(super) fn answered(&mut self, session: i32) {
        self.id = session;
        self.epoch = match self.epoch {
            i32::MAX => 1,
            epoch => epoch + 1,
        };
    }

    /// The request failed: the next begins a new session.
    pub(super) fn lost(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A broker's side: what it would fetch.
    #[derive(Default)]
    struct Broker {
        session: Option<(i32, i32, BTreeMap<usize, i64>)>,
        made: i32,
    }

    impl Broker {
        /// What is fetched, and the session named; none is an error.
        fn take(&mut self, ask: &Ask, keeps: bool) -> Option<(BTreeMap<usize, i64>, i32)> {
            let asked: BTreeMap<_, _> = ask.partitions.iter().copied().collect();
            if ask.session == NONE {
                assert!(ask.forgotten.is_empty());
                assert_eq!(ask.epoch, INITIAL);
                self.made += 1;
                self.session = keeps.then(|| (self.made, 1, asked.clone()));
                return Some((asked, if keeps { self.made } else { NONE }));
            }
            let (id, epoch, partitions) = self.session.as_mut()?;
            if (*id, *epoch) != (ask.session, ask.epoch) {
                return None;
            }
            *epoch += 1;
            for slot in &ask.forgotten {
                partitions.remove(slot).expect("it is known");
            }
            partitions.extend(asked);
            Some((partitions.clone(), *id))
        }
    }

    proptest! {
        #[test]
        fn the_broker_always_fetches_what_is_wanted(
            rounds in proptest::collection::vec(
                (proptest::collection::btree_map(0..6_usize, 0..4_i64, 0..6), 0..5_u8),
                1..40,
            ),
        ) {
            let mut broker = Broker::default();
            let mut session = Session::default();
            for (wanted, luck) in rounds {
                let ask = session.ask(&wanted);
                if luck == 0 {
                    // The request or its answer is lost.
                    session.lost();
                    continue;
                }
                if luck == 1 {
                    broker.session = None;
                }
                match broker.take(&ask, luck != 2) {
                    Some((fetched, id)) => {
                        prop_assert_eq!(fetched, wanted);
                        session.answered(id);
                    }
                    None => session.lost(),
                }
            }
        }
    }
}
