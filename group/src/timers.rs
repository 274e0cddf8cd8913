//! Timers by key. Putting one off, which is what nearly every heartbeat does, moves nothing in the queue:
//! its old entry comes up, is seen to be early, and is queued again.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
struct Timer {
    due_ms: u64,
    /// Where its one entry of the queue is: never after it is due.
    queued_ms: u64,
}

/// Timers, each with a key of its own. Times are of the clock of [`coordinator::Now::mono_ms`].
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    timers: BTreeMap<K, Timer>,
    queue: BTreeSet<(u64, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            timers: BTreeMap::new(),
            queue: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets a timer, in place of the one of this key.
    pub(crate) fn set(&mut self, key: K, due_ms: u64) {
        if let Some(timer) = self.timers.get_mut(&key) {
            timer.due_ms = due_ms;
            if timer.queued_ms > due_ms {
                let queued_ms = std::mem::replace(&mut timer.queued_ms, due_ms);
                self.queue.remove(&(queued_ms, key.clone()));
                self.queue.insert((due_ms, key));
            }
            return;
        }
        self.queue.insert((due_ms, key.clone()));
        let timer = Timer {
            due_ms,
            queued_ms: due_ms,
        };
        self.timers.insert(key, timer);
    }

    /// Sets a timer unless there is one of this key.
    pub(crate) fn set_if_absent(&mut self, key: K, due_ms: u64) {
        if !self.timers.contains_key(&key) {
            self.set(key, due_ms);
        }
    }

    /// Drops a timer, if there is one of this key.
    pub(crate) fn cancel(&mut self, key: &K) {
        if let Some((key, timer)) = self.timers.remove_entry(key) {
            self.queue.remove(&(timer.queued_ms, key));
        }
    }

    /// Takes out one that is due by now, the earliest first.
    pub(crate) fn pop(&mut self, now_ms: u64) -> Option<K> {
        while self
            .queue
            .first()
            .is_some_and(|(queued_ms, _)| *queued_ms <= now_ms)
        {
            let (_, key) = self.queue.pop_first()?;
            let timer = self.timers.get_mut(&key)?;
            if timer.due_ms <= now_ms {
                self.timers.remove(&key);
                return Some(key);
            }
            timer.queued_ms = timer.due_ms;
            self.queue.insert((timer.due_ms, key));
        }
        None
    }

    /// When to look again: not after the next one is due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.queue.first().map(|(queued_ms, _)| *queued_ms)
    }

    /// When the timer of this key is due.
    #[cfg(test)]
    pub(crate) fn due_ms(&self, key: &K) -> Option<u64> {
        self.timers.get(key).map(|timer| timer.due_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// They fire when a plain map of times says so, whatever was set, put off and dropped before.
        #[test]
        fn they_fire_when_they_are_due(steps in prop::collection::vec((0u8..4, 0u8..6, 0u64..50), 0..200)) {
            let mut timers = Timers::default();
            let mut model = BTreeMap::new();
            let mut now = 0;
            for (what, key, time) in steps {
                match what {
                    0 => {
                        timers.cancel(&key);
                        model.remove(&key);
                    }
                    1 => {
                        now += time / 4;
                        while let Some(fired) = timers.pop(now) {
                            let due: Option<u64> = model.remove(&fired);
                            prop_assert!(due.is_some_and(|due| due <= now));
                        }
                        prop_assert!(model.values().all(|due| *due > now));
                    }
                    _ => {
                        timers.set(key, now + time);
                        model.insert(key, now + time);
                    }
                }
                let next = model.values().min().copied();
                prop_assert_eq!(timers.next_ms().is_some(), next.is_some());
                prop_assert!(timers.next_ms() <= next);
                for (key, due) in &model {
                    prop_assert_eq!(timers.due_ms(key), Some(*due));
                }
            }
        }
    }
}
