//! The assignor `uniform` where all members want the same topics: everybody gets the same number of
//! partitions, one more or less, and keeps what it had as far as that allows.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Partitions, Question, remove};

/// How many partitions each member gets.
struct Quota {
    /// At least.
    minimum: usize,
    /// How many members still to be looked at get one more.
    extra: usize,
}

/// What each member shall have, in the order of the members.
pub(super) fn assign(question: &Question<'_>) -> Vec<Partitions> {
    let mut assigned: Vec<Partitions> = question
        .members
        .iter()
        .map(|member| keep(question, member))
        .collect();
    let Some(first) = question.members.first() else {
        return assigned;
    };
    let mut free = unowned(question, &assigned, first.topics.iter().copied());
    let total: usize = first
        .topics
        .iter()
        .map(|topic| question.partitions(*topic) as usize)
        .sum();
    let members = assigned.len();
    let mut quota = Quota {
        minimum: total / members,
        extra: total % members,
    };
    let mut wanting = Vec::new();
    for (member, owned) in assigned.iter_mut().enumerate() {
        let missing = settle(owned, &mut quota, members - member, &mut free);
        if missing > 0 {
            wanting.push((member, missing));
        }
    }
    let mut free = free.into_iter();
    for (member, missing) in wanting {
        for (topic, partition) in free.by_ref().take(missing) {
            assigned[member].entry(topic).or_default().insert(partition);
        }
    }
    assigned
}

/// What a member had and still wants and is there.
pub(super) fn keep(question: &Question<'_>, member: &super::Subscriber<'_>) -> Partitions {
    let mut kept = member.had.clone();
    kept.retain(|topic, partitions| {
        let count = question.partitions(*topic);
        partitions.retain(|&partition| partition < count);
        member.topics.contains(topic) && !partitions.is_empty()
    });
    kept
}

/// The partitions of these topics that nobody has, in order.
pub(super) fn unowned(
    question: &Question<'_>,
    assigned: &[Partitions],
    topics: impl Iterator<Item = Uuid>,
) -> Vec<(Uuid, i32)> {
    let mut owned: BTreeMap<Uuid, Vec<bool>> = topics
        .map(|topic| (topic, vec![false; question.partitions(topic) as usize]))
        .collect();
    for (topic, partitions) in assigned.iter().flatten() {
        if let Some(owned) = owned.get_mut(topic) {
            for &partition in partitions {
                owned[partition as usize] = true;
            }
        }
    }
    let free_of = |(topic, owned): (Uuid, Vec<bool>)| {
        (0..)
            .zip(owned)
            .filter(|(_, owned)| !owned)
            .map(move |(partition, _)| (topic, partition))
    };
    owned.into_iter().flat_map(free_of).collect()
}

/// Takes from a member what is above its quota, and tells how many it lacks. `left` counts the members
/// still to be looked at, this one included.
fn settle(
    owned: &mut Partitions,
    quota: &mut Quota,
    left: usize,
    free: &mut Vec<(Uuid, i32)>,
) -> usize {
    let had: usize = owned.values().map(|partitions| partitions.len()).sum();
    // Whoever has more than the minimum already takes one of the extra partitions; the others leave
    // them to those behind, unless there are only as many left as there are extra partitions.
    let takes_extra = quota.extra > 0 && (had > quota.minimum || left <= quota.extra);
    let target = quota.minimum + usize::from(takes_extra);
    quota.extra -= usize::from(takes_extra);
    let excess: Vec<(Uuid, i32)> = owned
        .iter()
        .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
        .skip(target)
        .collect();
    for &(topic, partition) in &excess {
        remove(owned, topic, partition);
    }
    free.extend(excess);
    target.saturating_sub(had)
}
