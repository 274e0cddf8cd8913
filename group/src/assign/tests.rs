#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

/// Topics by their number: how many partitions each has.
fn topics(counts: &[i32]) -> BTreeMap<Uuid, i32> {
    (0..)
        .map(Uuid::from_u128)
        .zip(counts.iter().copied())
        .collect()
}

fn wants(topics: &[u128]) -> Rc<BTreeSet<Uuid>> {
    Rc::new(topics.iter().copied().map(Uuid::from_u128).collect())
}

fn has(partitions: &[(u128, &[i32])]) -> Partitions {
    partitions
        .iter()
        .map(|(topic, partitions)| {
            (
                Uuid::from_u128(*topic),
                partitions.iter().copied().collect(),
            )
        })
        .collect()
}

fn load(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}

/// A group: which topics each member wants, and what it had.
#[derive(Debug)]
struct Group {
    ids: Vec<String>,
    wants: Vec<Rc<BTreeSet<Uuid>>>,
    had: Vec<Partitions>,
    topics: BTreeMap<Uuid, i32>,
}

impl Group {
    fn new(topics: BTreeMap<Uuid, i32>, wants: Vec<Rc<BTreeSet<Uuid>>>) -> Self {
        Self {
            ids: (0..wants.len())
                .map(|id| format!("member-{id:03}"))
                .collect(),
            had: vec![Partitions::new(); wants.len()],
            wants,
            topics,
        }
    }

    fn assign(&self, assignor: Assignor) -> Vec<Partitions> {
        let members = self.ids.iter().zip(&self.wants).zip(&self.had);
        let members = members.map(|((id, topics), had)| Subscriber {
            id,
            instance: None,
            topics: topics.clone(),
            had,
        });
        let question = Question {
            members: members.collect(),
            topics: self.topics.clone(),
        };
        assignor.assign(&question)
    }
}

#[test]
fn ranges_of_topics_of_the_same_size_are_alike() {
    let group = Group::new(topics(&[5, 5, 2]), vec![wants(&[0, 1, 2]); 3]);
    let assigned = group.assign(Assignor::Range);
    assert_eq!(assigned[0], has(&[(0, &[0, 1]), (1, &[0, 1]), (2, &[0])]));
    assert_eq!(assigned[1], has(&[(0, &[2, 3]), (1, &[2, 3]), (2, &[1])]));
    assert_eq!(assigned[2], has(&[(0, &[4]), (1, &[4])]));
}

#[test]
fn static_members_keep_their_range_under_another_id() {
    let none = Partitions::new();
    let member = |id, instance| Subscriber {
        id,
        instance,
        topics: wants(&[0]),
        had: &none,
    };
    let assigned = |members| {
        let question = Question {
            members,
            topics: topics(&[3]),
        };
        Assignor::Range.assign(&question)
    };
    let before = assigned(vec![
        member("a", None),
        member("b", Some("x")),
        member("c", Some("y")),
    ]);
    assert_eq!(before[1], has(&[(0, &[0])]));
    let after = assigned(vec![
        member("a", None),
        member("c", Some("y")),
        member("z", Some("x")),
    ]);
    assert_eq!((&after[2], &after[1]), (&before[1], &before[2]));
}

#[test]
fn a_new_member_takes_no_more_than_it_must() {
    let mut group = Group::new(topics(&[6]), vec![wants(&[0]); 3]);
    group.had[0] = has(&[(0, &[0, 1, 2])]);
    group.had[1] = has(&[(0, &[3, 4, 5])]);
    let assigned = group.assign(Assignor::Uniform);
    assert_eq!(assigned[0], has(&[(0, &[0, 1])]));
    assert_eq!(assigned[1], has(&[(0, &[3, 4])]));
    assert_eq!(assigned[2], has(&[(0, &[2, 5])]));
}

#[test]
fn unlike_subscriptions_are_evened_out() {
    let mut group = Group::new(
        topics(&[4, 4]),
        vec![wants(&[0]), wants(&[0, 1]), wants(&[1])],
    );
    group.had[1] = has(&[(0, &[0, 1, 2, 3]), (1, &[0, 1, 2, 3])]);
    let loads: Vec<usize> = group.assign(Assignor::Uniform).iter().map(load).collect();
    assert_eq!(loads.iter().sum::<usize>(), 8);
    assert!(loads.iter().all(|load| (2..=3).contains(load)), "{loads:?}");
}

fn any_group() -> impl Strategy<Value = Group> {
    let wants = |count: usize| {
        let one = prop::collection::vec(any::<bool>(), count);
        let same = one
            .clone()
            .prop_flat_map(|wants| (1usize..12).prop_map(move |n| vec![wants.clone(); n]));
        prop_oneof![same, prop::collection::vec(one, 0..12)]
    };
    prop::collection::vec(0i32..12, 1..6).prop_flat_map(move |counts| {
        let owners = prop::collection::vec(prop::option::of(0usize..12), 80);
        (Just(counts.clone()), wants(counts.len()), owners).prop_map(|(counts, wants, owners)| {
            let chosen = |wants: &Vec<bool>| -> BTreeSet<Uuid> {
                (0..)
                    .map(Uuid::from_u128)
                    .zip(wants)
                    .filter(|(_, it)| **it)
                    .map(|(id, _)| id)
                    .collect()
            };
            let wants = wants.iter().map(|wants| Rc::new(chosen(wants))).collect();
            let mut group = Group::new(topics(&counts), wants);
            let all = group
                .topics
                .iter()
                .flat_map(|(topic, count)| (0..*count).map(|p| (*topic, p)));
            for ((topic, partition), owner) in all.zip(owners) {
                if let Some(had) = owner.and_then(|owner| group.had.get_mut(owner)) {
                    had.entry(topic).or_default().insert(partition);
                }
            }
            group
        })
    })
}

proptest! {
    /// Every partition that somebody wants is somebody's, and nobody else's.
    #[test]
    fn all_is_assigned_once(group in any_group(), assignor in prop_oneof![Just(Assignor::Uniform), Just(Assignor::Range)]) {
        let assigned = group.assign(assignor);
        let mut owned = BTreeSet::new();
        for (partitions, wants) in assigned.iter().zip(&group.wants) {
            for (topic, partitions) in partitions {
                prop_assert!(wants.contains(topic) && !partitions.is_empty());
                for partition in partitions {
                    prop_assert!(*partition < group.topics[topic]);
                    prop_assert!(owned.insert((*topic, *partition)));
                }
            }
        }
        let wanted = group.topics.iter().filter(|(topic, _)| group.wants.iter().any(|wants| wants.contains(topic)));
        prop_assert_eq!(owned.len() as i32, wanted.map(|(_, count)| count).sum::<i32>());
    }

    /// Uniform assignments are even, move no more than they must, and stay as they are once they are.
    #[test]
    fn uniform_is_even_and_sticky(mut group in any_group()) {
        let assigned = group.assign(Assignor::Uniform);
        let loads: Vec<usize> = assigned.iter().map(load).collect();
        if group.wants.windows(2).all(|pair| pair[0] == pair[1]) && !loads.is_empty() {
            let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{:?}", loads);
            // Whoever had less than its share keeps all of it.
            for ((had, now), wants) in group.had.iter().zip(&assigned).zip(&group.wants) {
                let wanted: usize = had.iter().filter(|(topic, _)| wants.contains(topic)).map(|(_, p)| p.len()).sum();
                let kept: usize = had.iter().map(|(topic, p)| now.get(topic).map_or(0, |now| now.intersection(p).count())).sum();
                prop_assert!(kept == wanted || kept == load(now));
            }
        }
        group.had = assigned.clone();
        prop_assert_eq!(group.assign(Assignor::Uniform), assigned);
    }
}
