//! The assignor `range`: of each topic, every subscriber gets a run of neighbouring partitions.

use std::collections::BTreeMap;

use super::{Partitions, Question, Subscriber};

/// How far a topic is given out.
#[derive(Default)]
struct Course {
    subscribers: i32,
    given: i32,
    turns: i32,
}

/// Static members come first, in order of their instances: they keep their place when they come back
/// with another id.
fn rank<'a>(member: &Subscriber<'a>) -> (bool, &'a str) {
    (
        member.instance.is_none(),
        member.instance.unwrap_or(member.id),
    )
}

/// What each member shall have, in the order of the members.
pub(super) fn assign(question: &Question<'_>) -> Vec<Partitions> {
    let mut courses: BTreeMap<_, Course> = BTreeMap::new();
    for topic in question.members.iter().flat_map(|member| &*member.topics) {
        courses.entry(*topic).or_default().subscribers += 1;
    }
    let mut order: Vec<usize> = (0..question.members.len()).collect();
    order.sort_by_key(|&member| rank(&question.members[member]));

    let mut assigned = vec![Partitions::new(); order.len()];
    for member in order {
        for topic in &*question.members[member].topics {
            let Some(course) = courses.get_mut(topic) else {
                continue;
            };
            let partitions = question.partitions(*topic);
            let extra = i32::from(course.turns < partitions % course.subscribers);
            let end = course.given + partitions / course.subscribers + extra;
            if course.given < end {
                assigned[member].insert(*topic, (course.given..end).collect());
            }
            course.given = end;
            course.turns += 1;
        }
    }
    assigned
}
