//! What the naive group does by itself as time goes by.

use super::{DELAY_MS, Naive};
use crate::classic::Phase;

impl Naive {
    /// Lets time go by.
    pub(in super::super) fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some((due_ms, _, id)) = self.next().filter(|(due_ms, ..)| *due_ms <= end_ms) {
            self.now_ms = due_ms;
            match id {
                Some(id) => self.session_over(&id),
                None if self.join_ms == Some(due_ms) => self.join_over(),
                None => self.sync_over(),
            }
        }
        self.now_ms = end_ms;
    }

    /// The next timer: sessions before the end of joining before that of syncing.
    fn next(&self) -> Option<(u64, u8, Option<String>)> {
        let sessions = self
            .members
            .iter()
            .filter_map(|(id, member)| Some((id, member.deadline_ms?)));
        let sessions = sessions.chain(self.pending.iter().map(|(id, due_ms)| (id, *due_ms)));
        let sessions = sessions.map(|(id, due_ms)| (due_ms, 0, Some(id.clone())));
        let join = self.join_ms.map(|due_ms| (due_ms, 1, None));
        let sync = self.sync_ms.map(|due_ms| (due_ms, 2, None));
        sessions.chain(join).chain(sync).min()
    }

    fn session_over(&mut self, id: &str) {
        if self.pending.contains_key(id) {
            self.remove(id);
        } else {
            let member = self.members.get_mut(id).unwrap();
            member.deadline_ms = None;
            if !member.is_new && (member.joining.is_some() || member.syncing.is_some()) {
                return;
            }
            self.remove(id);
            if self.phase != Phase::Preparing {
                return self.rebalance();
            }
        }
        if self.phase == Phase::Preparing && self.all_joined() {
            self.complete();
        }
    }

    fn join_over(&mut self) {
        self.join_ms = None;
        match self.gathering {
            Some((delay_ms, remaining_ms, true)) if remaining_ms > 0 => {
                let next_ms = DELAY_MS.min(remaining_ms);
                self.gathering = Some((next_ms, remaining_ms.saturating_sub(delay_ms), false));
                self.join_ms = Some(self.now_ms + next_ms);
            }
            _ => self.complete(),
        }
    }

    fn sync_over(&mut self) {
        self.sync_ms = None;
        if !self.unsynced.is_empty() {
            let missing = std::mem::take(&mut self.unsynced);
            missing.iter().for_each(|id| self.remove(id));
            self.rebalance();
        }
    }
}
