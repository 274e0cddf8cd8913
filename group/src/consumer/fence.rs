//! How members go: by themselves, because nothing was heard of them, or because they kept what others
//! wait for.

use super::member::Member;
use super::{Change, ConsumerGroup, Outcome, Step, Timer};
use crate::settings::MigrationPolicy;

const TIMERS: [Timer; 4] = [Timer::Session, Timer::Rebalance, Timer::Join, Timer::Sync];

impl ConsumerGroup {
    /// Takes members out, which are there. The group gets a new epoch, or another protocol if those that
    /// are left all speak the classic one.
    pub(super) fn fence(&mut self, step: &mut Step<'_, '_>, ids: &[String]) -> Outcome {
        if ids.is_empty() {
            return Outcome::Stays;
        }
        if self.can_downgrade_without(step, ids) {
            return Outcome::Downgraded(self.downgrade(step, ids));
        }
        for id in ids {
            let regex = self
                .members
                .get(id)
                .and_then(|member| member.about.regex.clone());
            self.remove(step, id);
            if let Some(regex) = regex {
                self.drop_regex_if_unused(step, &regex);
            }
        }
        self.refresh(step, true);
        Outcome::Stays
    }

    /// Takes a member out, with its timers.
    pub(super) fn remove(&mut self, step: &mut Step<'_, '_>, id: &str) {
        self.change(step, Change::Standing(id.to_owned(), None));
        self.change(step, Change::Target(id.to_owned(), None));
        self.change(step, Change::Member(id.to_owned(), None));
        for timer in TIMERS {
            self.timers.cancel(&(id.to_owned(), timer));
        }
    }

    fn can_downgrade_without(&self, step: &Step<'_, '_>, ids: &[String]) -> bool {
        let is_classic = |member: &Member| member.about.classic.is_some();
        let leaving = ids.iter().filter_map(|id| self.members.get(id));
        let classic_leaving = leaving.filter(|member| is_classic(member)).count();
        let left = self.members.len() - ids.len();
        left > 0
            && self.counts.classic - classic_leaving == left
            && may_downgrade(step)
            && left <= step.classic_max_size
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, step: &mut Step<'_, '_>) -> Outcome {
        let now = step.world.now.mono_ms;
        while let Some((id, _)) = self.timers.pop(now) {
            if !self.members.contains_key(&id) {
                continue;
            }
            // Whatever the timer was for, the member did not do it in time.
            if let Outcome::Downgraded(group) = self.fence(step, &[id]) {
                return Outcome::Downgraded(group);
            }
        }
        Outcome::Stays
    }
}

/// Whether groups may become classic ones.
pub(super) fn may_downgrade(step: &Step<'_, '_>) -> bool {
    matches!(
        step.settings.migration_policy,
        MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade
    )
}
