//! The assignor `uniform` where members want different topics: the load of the members is evened out
//! topic by topic, keeping what they had as far as that allows.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::uniform::{keep, unowned};
use super::{Partitions, Question, remove};

/// How often all topics are gone through. Where subscriptions overlap, each round about halves what is
/// uneven; where they don't, one round makes it even.
const ROUNDS: usize = 16;

struct Balance<'a> {
    question: &'a Question<'a>,
    assigned: Vec<Partitions>,
    /// How many partitions each member has.
    load: Vec<usize>,
    /// The members that want each topic, in order.
    subscribers: BTreeMap<Uuid, Vec<usize>>,
}

/// What each member shall have, in the order of the members.
pub(super) fn assign(question: &Question<'_>) -> Vec<Partitions> {
    let assigned: Vec<Partitions> = question
        .members
        .iter()
        .map(|member| keep(question, member))
        .collect();
    let load = assigned
        .iter()
        .map(|owned| owned.values().map(BTreeSet::len).sum())
        .collect();
    let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (index, member) in question.members.iter().enumerate() {
        for topic in &*member.topics {
            subscribers.entry(*topic).or_default().push(index);
        }
    }
    let mut balance = Balance {
        question,
        assigned,
        load,
        subscribers,
    };
    let topics = balance.hardest_first();
    balance.give_out(&topics);
    balance.even_out(&topics);
    balance.assigned
}

impl Balance<'_> {
    /// The topics, those with the most partitions for each subscriber first, then those with the fewest
    /// subscribers: what is left can even out what they made uneven.
    fn hardest_first(&self) -> Vec<Uuid> {
        let mut topics: Vec<Uuid> = self.subscribers.keys().copied().collect();
        let weight = |topic: &Uuid| {
            let subscribers = self.subscribers[topic].len() as u64;
            (self.question.partitions(*topic) as u64, subscribers)
        };
        topics.sort_by(|a, b| {
            let ((a_partitions, a_subscribers), (b_partitions, b_subscribers)) =
                (weight(a), weight(b));
            (b_partitions * a_subscribers)
                .cmp(&(a_partitions * b_subscribers))
                .then(a_subscribers.cmp(&b_subscribers))
                .then(a.cmp(b))
        });
        topics
    }

    /// The subscribers of a topic by load.
    fn by_load(&self, topic: Uuid) -> BTreeSet<(usize, usize)> {
        self.subscribers[&topic]
            .iter()
            .map(|&member| (self.load[member], member))
            .collect()
    }

    fn add(&mut self, topic: Uuid, partition: i32, member: usize) {
        self.assigned[member]
            .entry(topic)
            .or_default()
            .insert(partition);
        self.load[member] += 1;
    }

    /// Gives what nobody has to whoever has least.
    fn give_out(&mut self, topics: &[Uuid]) {
        let mut free: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        let unowned = unowned(self.question, &self.assigned, topics.iter().copied());
        for (topic, partition) in unowned {
            free.entry(topic).or_default().push(partition);
        }
        for &topic in topics {
            let mut takers = match free.contains_key(&topic) {
                true => self.by_load(topic),
                false => continue,
            };
            for partition in free.remove(&topic).unwrap_or_default() {
                if let Some((load, member)) = takers.pop_first() {
                    self.add(topic, partition, member);
                    takers.insert((load + 1, member));
                }
            }
        }
    }

    /// Moves partitions until nothing gets better, or enough was tried.
    fn even_out(&mut self, topics: &[Uuid]) {
        let mut calm = 0;
        for &topic in std::iter::repeat_n(topics, ROUNDS).flatten() {
            calm = if self.even_out_topic(topic) {
                1
            } else {
                calm + 1
            };
            if calm >= topics.len() {
                return;
            }
        }
    }

    /// Moves partitions of a topic from its busiest subscribers to the idlest, and tells whether any was.
    fn even_out_topic(&mut self, topic: Uuid) -> bool {
        let mut takers = self.by_load(topic);
        let mut givers = takers.clone();
        let mut moved = false;
        while let (Some(&(most, giver)), Some(&(least, taker))) = (givers.last(), takers.first()) {
            if most <= least + 1 {
                break;
            }
            let last = self.assigned[giver]
                .get(&topic)
                .and_then(|partitions| partitions.last().copied());
            givers.remove(&(most, giver));
            let Some(partition) = last else {
                // It has much, but not of this topic.
                continue;
            };
            remove(&mut self.assigned[giver], topic, partition);
            self.load[giver] -= 1;
            self.add(topic, partition, taker);
            takers.remove(&(most, giver));
            takers.remove(&(least, taker));
            givers.remove(&(least, taker));
            for (load, member) in [(most - 1, giver), (least + 1, taker)] {
                givers.insert((load, member));
                takers.insert((load, member));
            }
            moved = true;
        }
        moved
    }
}
