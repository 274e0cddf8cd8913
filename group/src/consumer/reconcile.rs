//! How a member gets from what it has to what it shall have: it gives up first, and gets what nobody
//! has any more.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::member::{Standing, State};
use crate::assign::Partitions;

/// What a member said that it has: partitions by topic, `None` if it didn't say.
pub(crate) type Owned = Option<Vec<(Uuid, Vec<i32>)>>;

/// What a member shall have, and what is known of the partitions.
pub(super) struct Target<'a> {
    /// The epoch of the assignment.
    pub epoch: i32,
    /// What it shall have.
    pub partitions: &'a Partitions,
    /// What it says that it has.
    pub owned: &'a Owned,
    /// Whether a partition is somebody's.
    pub taken: &'a dyn Fn(Uuid, i32) -> bool,
}

impl Target<'_> {
    /// Whether the member may still have one of these.
    fn may_have_any(&self, partitions: &Partitions) -> bool {
        let Some(owned) = self.owned else {
            return true;
        };
        owned.iter().any(|(topic, owned)| {
            partitions.get(topic).is_some_and(|partitions| {
                owned.iter().any(|partition| partitions.contains(partition))
            })
        })
    }

    /// Where the member stands next; where it stood if it can't move.
    ///
    /// `None`: it must begin anew, because its state isn't known.
    pub(super) fn next(&self, at: &Standing) -> Option<Standing> {
        match at.state {
            State::Stable if at.epoch == self.epoch => Some(at.clone()),
            State::Stable | State::UnreleasedPartitions => Some(self.towards(at, at.epoch)),
            State::UnrevokedPartitions if self.may_have_any(&at.revoking) => Some(at.clone()),
            State::UnrevokedPartitions => Some(self.towards(at, at.epoch + 1)),
            State::Unknown if self.owned.as_ref().is_some_and(|owned| owned.is_empty()) => {
                Some(self.towards(at, self.epoch))
            }
            State::Unknown => None,
        }
    }

    fn towards(&self, at: &Standing, epoch: i32) -> Standing {
        let none = BTreeSet::new();
        let (mut assigned, mut revoking) = (Partitions::new(), Partitions::new());
        for (topic, had) in &at.assigned {
            let target = self.partitions.get(topic).unwrap_or(&none);
            let (kept, lost): (BTreeSet<i32>, _) = had
                .iter()
                .partition(|partition| target.contains(*partition));
            for (to, part) in [(&mut assigned, kept), (&mut revoking, lost)] {
                if !part.is_empty() {
                    to.insert(*topic, part);
                }
            }
        }
        if !revoking.is_empty() && self.may_have_any(&revoking) {
            return Standing {
                epoch,
                previous_epoch: at.epoch,
                state: State::UnrevokedPartitions,
                assigned,
                revoking,
            };
        }
        let mut waits = false;
        for (topic, target) in self.partitions {
            let had = at.assigned.get(topic).unwrap_or(&none);
            for &partition in target.difference(had) {
                if (self.taken)(*topic, partition) {
                    waits = true;
                } else {
                    assigned.entry(*topic).or_default().insert(partition);
                }
            }
        }
        Standing {
            epoch: self.epoch,
            previous_epoch: at.epoch,
            state: match waits {
                true => State::UnreleasedPartitions,
                false => State::Stable,
            },
            assigned,
            revoking: Partitions::new(),
        }
    }
}
