//! What goes without being asked: offsets that nobody used for long, those of topics that were deleted, and
//! groups that have nothing left, but for share groups. Done in pieces, so that a partition with very many
//! offsets never holds up its shard.

use std::ops::Bound;

use coordinator::Topics;

use super::Committed;
use crate::group::Expiry;
use crate::state::State;
use crate::step::{Name, Step};

/// How many offsets are looked at in one go, and then some until the end of the group.
const PIECE: usize = 10_000;

/// How long to wait after topics changed: they often do so in numbers.
const TOPICS_DELAY_MS: u64 = 1_000;

/// Where the sweeps are. Times are in milliseconds of [`coordinator::Now::mono_ms`].
#[derive(Debug, Default)]
pub(crate) struct Sweeps {
    /// When to look for what has expired; `None` until the log is loaded.
    expiry_ms: Option<u64>,
    /// The last group that was looked at, within a sweep.
    after_group: Option<Name>,
    /// When to look for topics that are gone.
    topics_ms: Option<u64>,
    /// The last topic and group of it that were looked at, within a sweep.
    after_use: Option<(Name, Name)>,
    /// The version of the topics that was seen last.
    version: Option<i64>,
}

impl Sweeps {
    /// Begins, when the log is loaded.
    pub(crate) fn begin(&mut self, step: &Step<'_, '_>) {
        let interval_ms = step.settings.offsets_retention_check_interval_ms;
        self.expiry_ms = Some(step.now_ms().saturating_add(interval_ms));
        self.version = Some(step.world.topics.version());
        self.topics_ms = Some(step.now_ms());
    }

    /// When the next piece is due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.expiry_ms.into_iter().chain(self.topics_ms).min()
    }

    fn look_at_topics(&mut self, step: &Step<'_, '_>) {
        let version = step.world.topics.version();
        if self.version.is_some_and(|seen| seen != version) {
            self.version = Some(version);
            let due_ms = step.now_ms().saturating_add(TOPICS_DELAY_MS);
            // A sweep that is under way has passed topics by that may be gone now.
            self.after_use = None;
            self.topics_ms = Some(self.topics_ms.map_or(due_ms, |earlier| earlier.min(due_ms)));
        }
    }
}

impl State {
    /// Does the pieces that are due.
    pub(crate) fn sweep(&mut self, step: &mut Step<'_, '_>) {
        self.sweeps.look_at_topics(step);
        let now_ms = step.now_ms();
        if self.sweeps.topics_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            if self.sweeps.after_use.is_none() {
                self.sweep_share(step);
            }
            self.sweeps.after_use = self.sweep_topics(step, self.sweeps.after_use.clone());
            self.sweeps.topics_ms = self.sweeps.after_use.is_some().then_some(now_ms);
        }
        if self.sweeps.expiry_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.sweeps.after_group = self.sweep_groups(step, self.sweeps.after_group.clone());
            self.offsets.epochs.expire(now_ms);
            let pause_ms = match self.sweeps.after_group {
                Some(_) => 0,
                None => step.settings.offsets_retention_check_interval_ms,
            };
            self.sweeps.expiry_ms = Some(now_ms.saturating_add(pause_ms));
        }
    }

    /// Deletes the offsets of topics that aren't there, or are others than those that were committed to.
    /// Returns where to go on.
    fn sweep_topics(
        &mut self,
        step: &mut Step<'_, '_>,
        after: Option<(Name, Name)>,
    ) -> Option<(Name, Name)> {
        let mut budget = PIECE;
        let mut at = after;
        while budget > 0 {
            let (topic, group) = self.offsets.next_use(at)?;
            let stale = self.stale(step.world.topics, &group, &topic);
            budget = budget.saturating_sub(1 + stale.len());
            for partition in stale {
                self.forget(step, &group, &topic, partition);
                self.figures.deletions += 1;
            }
            at = Some((topic, group));
        }
        at
    }

    /// The partitions whose offsets are of a topic that is no more.
    fn stale(&self, topics: &dyn Topics, group: &str, topic: &str) -> Vec<i32> {
        let Some(of) = self.offsets.of(group, topic) else {
            return Vec::new();
        };
        let open = of.open.keys();
        match topics.by_name(topic) {
            None => {
                let only_open = open.filter(|partition| !of.committed.contains_key(partition));
                of.committed.keys().chain(only_open).copied().collect()
            }
            Some(now) => {
                let other = |committed: &Committed| {
                    !committed.topic_id.is_nil() && committed.topic_id != now.id
                };
                let others = of
                    .committed
                    .iter()
                    .filter(|(_, committed)| other(committed));
                others
                    .map(|(partition, _)| *partition)
                    .filter(|partition| !of.open.contains_key(partition))
                    .collect()
            }
        }
    }

    /// Deletes what has expired, and groups that have neither members nor offsets. Returns where to go on.
    fn sweep_groups(&mut self, step: &mut Step<'_, '_>, after: Option<Name>) -> Option<Name> {
        let mut budget = PIECE;
        let mut start = after.map_or(Bound::Unbounded, Bound::Excluded);
        while budget > 0 {
            let bounds = (start.as_ref().map(|name| &**name), Bound::Unbounded);
            let (id, _) = self.groups.range::<str, _>(bounds).next()?;
            let id = id.clone();
            let (seen, left) = self.expire(step, &id);
            if !left && !self.is_share(&id) {
                self.delete_if_empty(step, &id);
            }
            budget = budget.saturating_sub(1 + seen);
            start = Bound::Excluded(id);
        }
        match start {
            Bound::Excluded(id) => Some(id),
            _ => None,
        }
    }

    /// Deletes what has expired of the group. Returns how many offsets it had, and whether any is left.
    fn expire(&mut self, step: &mut Step<'_, '_>, id: &str) -> (usize, bool) {
        let (Some(group), Some(topics)) = (self.groups.get(id), self.offsets.groups.get(id)) else {
            return (0, false);
        };
        let expiry = group.expiry();
        let (mut seen, mut left, mut expired) = (0, false, Vec::new());
        for (topic, of) in topics {
            seen += of.committed.len();
            left |= !of.open.is_empty();
            let kept = matches!(expiry, Expiry::Never) || group.subscribes(topic);
            for (partition, committed) in &of.committed {
                if !kept && !of.open.contains_key(partition) && is_over(step, expiry, committed) {
                    expired.push((topic.clone(), *partition));
                } else {
                    left = true;
                }
            }
        }
        for (topic, partition) in expired {
            self.forget(step, id, &topic, partition);
            self.figures.expirations += 1;
        }
        (seen, left)
    }
}

fn is_over(step: &Step<'_, '_>, expiry: Expiry, committed: &Committed) -> bool {
    let now_ms = step.wall_ms();
    let since_ms = match expiry {
        Expiry::Never => return false,
        Expiry::SinceCommit => committed.commit_ms,
        Expiry::Since(since_ms) => since_ms,
    };
    match committed.expire_ms {
        Some(expire_ms) => now_ms >= expire_ms,
        None => now_ms.saturating_sub(since_ms) >= step.settings.offsets_retention_ms,
    }
}
