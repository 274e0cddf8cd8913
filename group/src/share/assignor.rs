//! How partitions are given to the members of a share group: Kafka's assignor `simple`.
//!
//! A partition may be several members'. Each member gets one by a hash of its id, keeps of what it had as
//! much as is its part, and what is nobody's then is dealt out in turn. The same question always has the
//! same answer.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use coordinator::java_hash;
use uuid::Uuid;

use crate::assign::Partitions;

/// Its name.
pub(super) const NAME: &str = "simple";

/// A member of the group, as the assignor sees it.
#[derive(Clone, Debug)]
pub(super) struct Subscriber<'a> {
    /// Its id.
    pub id: &'a str,
    /// The topics that it wants.
    pub topics: Rc<BTreeSet<Uuid>>,
    /// What it was to have so far.
    pub had: &'a Partitions,
}

/// A partition of a topic.
type One = (Uuid, i32);
/// What each member gets, by the partitions' places among all.
type Given = Vec<BTreeSet<usize>>;

/// What each member shall have of the partitions that may be assigned, in the order of the members.
pub(super) fn assign(members: &[Subscriber<'_>], assignable: &Partitions) -> Vec<Partitions> {
    let wanted = |topic: &Uuid| members.iter().any(|member| member.topics.contains(topic));
    let all: Vec<One> = assignable
        .iter()
        .filter(|(topic, _)| wanted(topic))
        .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
        .collect();
    let alike = members.windows(2).all(|pair| {
        Rc::ptr_eq(&pair[0].topics, &pair[1].topics) || pair[0].topics == pair[1].topics
    });
    let given = match alike {
        _ if all.is_empty() => vec![BTreeSet::new(); members.len()],
        true => homogeneous(members, &all),
        false => heterogeneous(members, &all),
    };
    given
        .into_iter()
        .map(|given| {
            let mut partitions = Partitions::new();
            for (topic, partition) in given.into_iter().map(|at| all[at]) {
                partitions.entry(topic).or_default().insert(partition);
            }
            partitions
        })
        .collect()
}

/// Which of `count` partitions, at least one, is that of a member's hash.
fn hashed(id: &str, count: usize) -> usize {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    (java_hash(id) % count).unsigned_abs() as usize
}

/// What a member had of what there is.
fn kept(member: &Subscriber<'_>, all: &[One]) -> Vec<usize> {
    let had = member.had.iter();
    let had = had.filter(|(topic, _)| member.topics.contains(topic));
    had.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
        .filter_map(|one| all.binary_search(&one).ok())
        .collect()
}

/// All members want the same.
fn homogeneous(members: &[Subscriber<'_>], all: &[One]) -> Given {
    let part = all.len().div_ceil(members.len());
    let mut given: Given = vec![BTreeSet::new(); members.len()];
    let mut by_hash = vec![false; all.len()];
    for (member, given) in members.iter().zip(&mut given) {
        let at = hashed(member.id, all.len());
        given.insert(at);
        by_hash[at] = true;
    }
    let mut taken = by_hash.clone();
    for (member, given) in members.iter().zip(&mut given) {
        for at in kept(member, all) {
            if given.len() < part && !by_hash[at] {
                given.insert(at);
                taken[at] = true;
            }
        }
    }
    deal(&mut given, part, &taken);
    given
}

/// Deals what isn't taken to the members in turn, to none more than one over its part while others have
/// room.
fn deal(given: &mut Given, part: usize, taken: &[bool]) {
    let mut most = part;
    let mut turn: Vec<usize> = (0..given.len()).collect();
    let mut next = 0;
    let free = taken.iter().enumerate().filter(|(_, taken)| !**taken);
    for (at, _) in free {
        loop {
            if turn.is_empty() {
                // Members whose hashes are the same have much in common, and so less room than there
                // are partitions.
                most += 1;
                turn = (0..given.len()).collect();
            }
            next %= turn.len();
            if given[turn[next]].len() <= most {
                given[turn[next]].insert(at);
                next += 1;
                break;
            }
            turn.remove(next);
        }
    }
}

/// Members want different topics.
fn heterogeneous(members: &[Subscriber<'_>], all: &[One]) -> Given {
    let mut given: Given = vec![BTreeSet::new(); members.len()];
    let mut by_hash = vec![false; all.len()];
    let mut wanting: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (number, member) in members.iter().enumerate() {
        for topic in member.topics.iter() {
            wanting.entry(*topic).or_default().push(number);
        }
        let own = (0..all.len()).filter(|at| member.topics.contains(&all[*at].0));
        let own: Vec<usize> = own.collect();
        if !own.is_empty() {
            let at = own[hashed(member.id, own.len())];
            given[number].insert(at);
            by_hash[at] = true;
        }
    }
    let mut taken = by_hash.clone();
    for (member, given) in members.iter().zip(&mut given) {
        for at in kept(member, all) {
            if !by_hash[at] {
                given.insert(at);
                taken[at] = true;
            }
        }
    }
    let mut turns: BTreeMap<Uuid, usize> = BTreeMap::new();
    for (at, _) in taken.iter().enumerate().filter(|(_, taken)| !**taken) {
        let topic = all[at].0;
        if let Some(wanting) = wanting.get(&topic) {
            let turn = turns.entry(topic).or_default();
            given[wanting[*turn % wanting.len()]].insert(at);
            *turn += 1;
        }
    }
    given
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// The members with their wishes, and how many partitions each topic has.
    type Round = (Vec<(u8, u8)>, Vec<u8>);

    /// Members with what each wants (bits for topics), assigned again and again while topics grow and
    /// members come, go and change their minds.
    fn check(steps: &[Round]) -> Result<(), TestCaseError> {
        let mut had: BTreeMap<String, Partitions> = BTreeMap::new();
        for (members, sizes) in steps {
            let assignable: Partitions = (1u128..)
                .zip(sizes)
                .filter(|(_, size)| **size > 0)
                .map(|(topic, size)| (Uuid::from_u128(topic), (0..i32::from(*size)).collect()))
                .collect();
            let wishes: BTreeMap<String, Rc<BTreeSet<Uuid>>> = members
                .iter()
                .map(|(id, wish)| {
                    let topics = (0..4u8).filter(|bit| wish & (1 << bit) != 0);
                    let topics = topics.map(|bit| Uuid::from_u128(u128::from(bit) + 1));
                    // Ids of an even number all have the same hash.
                    let id = match id % 2 {
                        0 => format!("{:b}", id / 2)
                            .replace('0', "Aa")
                            .replace('1', "BB"),
                        _ => format!("member-{id}"),
                    };
                    (id, Rc::new(topics.collect()))
                })
                .collect();
            let none = Partitions::new();
            let members: Vec<Subscriber<'_>> = wishes
                .iter()
                .map(|(id, topics)| Subscriber {
                    id,
                    topics: topics.clone(),
                    had: had.get(id).unwrap_or(&none),
                })
                .collect();
            let given = assign(&members, &assignable);
            prop_assert_eq!(&assign(&members, &assignable), &given);
            holds(&members, &assignable, &given)?;
            let ids: Vec<String> = wishes.keys().cloned().collect();
            had = ids.into_iter().zip(given).collect();
        }
        Ok(())
    }

    fn holds(
        members: &[Subscriber<'_>],
        assignable: &Partitions,
        given: &[Partitions],
    ) -> Result<(), TestCaseError> {
        let mut owned = Partitions::new();
        for (member, given) in members.iter().zip(given) {
            for (topic, partitions) in given {
                prop_assert!(
                    member.topics.contains(topic),
                    "nobody gets what it doesn't want"
                );
                prop_assert!(partitions.is_subset(&assignable[topic]));
                owned.entry(*topic).or_default().extend(partitions);
            }
            let wants_any = member
                .topics
                .iter()
                .any(|topic| assignable.contains_key(topic));
            prop_assert_eq!(given.is_empty(), !wants_any, "nobody is idle");
        }
        let wanted: Partitions = assignable
            .iter()
            .filter(|(topic, _)| members.iter().any(|member| member.topics.contains(topic)))
            .map(|(topic, partitions)| (*topic, partitions.clone()))
            .collect();
        if members
            .windows(2)
            .all(|pair| pair[0].topics == pair[1].topics)
        {
            let count = |given: &Partitions| given.values().map(BTreeSet::len).sum::<usize>();
            let sizes: Vec<usize> = given.iter().map(count).collect();
            let (least, most) = (*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap());
            let part = count(&wanted).div_ceil(members.len());
            prop_assert!(most <= part + 1 || most <= least + 1, "{sizes:?}");
        }
        prop_assert_eq!(owned, wanted, "every partition is somebody's");
        Ok(())
    }

    fn step(wish: impl Strategy<Value = u8> + Clone) -> impl Strategy<Value = Round> {
        let members = prop::collection::vec((0u8..32, wish), 1..20);
        (members, prop::collection::vec(0u8..9, 4))
    }

    proptest! {
        #[test]
        fn every_partition_is_somebodys(steps in prop::collection::vec(step(any::<u8>()), 1..5)) {
            check(&steps)?;
        }

        #[test]
        fn members_that_want_the_same_have_about_the_same(steps in prop::collection::vec(step(Just(15)), 1..5)) {
            check(&steps)?;
        }
    }

    #[test]
    fn parts_are_even_and_stay() {
        let topic = Uuid::from_u128(7);
        let topics = Rc::new(BTreeSet::from([topic]));
        let assignable = Partitions::from([(topic, (0..12).collect())]);
        let none = Partitions::new();
        let ids = ["a", "b", "c"];
        let fresh = ids.map(|id| Subscriber {
            id,
            topics: topics.clone(),
            had: &none,
        });
        let first = assign(&fresh, &assignable);
        let sizes: Vec<usize> = first.iter().map(|given| given[&topic].len()).collect();
        assert_eq!(sizes, [4, 4, 4]);
        let again: Vec<Subscriber<'_>> = ids
            .iter()
            .zip(&first)
            .map(|(id, had)| Subscriber {
                id,
                topics: topics.clone(),
                had,
            })
            .collect();
        assert_eq!(assign(&again, &assignable), first);
    }

    #[test]
    fn a_partition_that_its_member_wants_no_more_goes_to_another() {
        let (t, u) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let assignable = Partitions::from([(t, (0..8).collect()), (u, BTreeSet::from([0]))]);
        let had = Partitions::from([(t, (0..8).collect())]);
        let none = Partitions::new();
        let members = [
            Subscriber {
                id: "a",
                topics: Rc::new(BTreeSet::from([u])),
                had: &had,
            },
            Subscriber {
                id: "b",
                topics: Rc::new(BTreeSet::from([t])),
                had: &none,
            },
        ];
        let given = assign(&members, &assignable);
        assert_eq!(given[1], had);
    }
}
