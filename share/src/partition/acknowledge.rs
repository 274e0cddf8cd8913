//! What becomes of records that members had.

use uuid::Uuid;

use super::window::{Pending, Run, State};
use super::{AckBatch, AckError, SharePartition, Ticket};

/// What becomes of some offsets.
struct Change {
    first: i64,
    last: i64,
    to: State,
}

impl SharePartition {
    /// Takes what a member says of records that it holds, all of it or nothing. The answer may be given once the
    /// write with this ticket is stored, or at once if there is none to wait for. Records that are before
    /// the first that isn't done are passed over.
    ///
    /// # Errors
    /// Why nothing was taken.
    pub fn acknowledge(
        &mut self,
        member: Uuid,
        batches: &[AckBatch<'_>],
    ) -> Result<Option<Ticket>, AckError> {
        let changes = self.changes(member, batches)?;
        let max_deliveries = self.settings.max_deliveries;
        for change in &changes {
            self.change(change.first, change.last, |run| {
                let again = change.to == State::Available && run.delivery_count < max_deliveries;
                match (again, change.to) {
                    (false, State::Available) => (State::Archived, run.delivery_count),
                    (_, to) => (to, run.delivery_count),
                }
            });
        }
        Ok((!changes.is_empty()).then_some(Ticket(self.next_ticket)))
    }

    /// Takes back all that a member holds, as if it had never been delivered: its session is closed. The write
    /// to wait for, if there was anything.
    pub fn release(&mut self, member: Uuid) -> Option<Ticket> {
        let all = self.window.all();
        let its = all.filter(|(_, run)| run.holder() == Some(member));
        let its: Vec<(i64, i64)> = its.map(|(first, run)| (first, run.last)).collect();
        for &(first, last) in &its {
            self.change(first, last, |run| {
                (State::Available, run.delivery_count - 1)
            });
        }
        (!its.is_empty()).then_some(Ticket(self.next_ticket))
    }

    /// Takes back records whose time is over. Says whether there were any.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        let max_deliveries = self.settings.max_deliveries;
        let mut any = false;
        while let Some((until, first, last)) = self.window.first_lock()
            && until <= now_ms
        {
            self.window.update(first, last, |run| {
                run.state = match run.delivery_count < max_deliveries {
                    true => State::Available,
                    false => State::Archived,
                };
            });
            self.touch(first, last);
            any = true;
        }
        self.window.advance();
        any
    }

    /// When the next [`tick`](Self::tick) is due.
    pub fn deadline(&self) -> Option<u64> {
        self.window.first_lock().map(|(until, ..)| until)
    }

    /// What batches ask for, after the checks that Kafka makes.
    fn changes(&self, member: Uuid, batches: &[AckBatch<'_>]) -> Result<Vec<Change>, AckError> {
        let mut changes = Vec::with_capacity(batches.len());
        let mut previous = None;
        for batch in batches {
            check(batch, previous)?;
            let overlaps = previous == Some(batch.first_offset);
            previous = Some(batch.last_offset);
            if batch.last_offset < self.window.start() {
                continue;
            }
            if overlaps || self.window.start() == self.window.end() {
                return Err(AckError::NotAcquired(batch.first_offset));
            }
            if batch.last_offset >= self.window.end() {
                return Err(AckError::Beyond {
                    last: batch.last_offset,
                    acquired: self.window.end() - 1,
                });
            }
            let first = batch.first_offset.max(self.window.start());
            for (at, run) in self.window.within(first, batch.last_offset) {
                if run.holder() != Some(member) {
                    return Err(AckError::NotAcquired(at));
                }
            }
            segments(batch, first, &mut changes);
        }
        Ok(changes)
    }

    /// Lets records that are with a member become something else once the next write is stored.
    fn change(&mut self, first: i64, last: i64, to: impl Fn(&Run) -> (State, i16)) {
        let ticket = self.next_ticket;
        self.window.update(first, last, |run| {
            let (to, delivery_count) = to(run);
            run.pending = Some(Pending {
                ticket,
                to,
                delivery_count,
            });
        });
        self.touch(first, last);
    }
}

/// Checks a batch by itself, and that it follows the one that ended at `previous`.
fn check(batch: &AckBatch<'_>, previous: Option<i64>) -> Result<(), AckError> {
    let (first, last) = (batch.first_offset, batch.last_offset);
    let one_each = last.checked_sub(first).and_then(|more| more.checked_add(1));
    let fits = match batch.types.len() {
        0 => false,
        1 => true,
        types => i64::try_from(types).ok() == one_each,
    };
    if first > last || previous.is_some_and(|previous| first < previous) || !fits {
        return Err(AckError::Malformed { first, last });
    }
    let wrong = batch.types.iter().find(|kind| !(0..=3).contains(*kind));
    wrong.map_or(Ok(()), |&kind| Err(AckError::Type(kind)))
}

/// Adds what becomes of a batch's offsets from `first` on, those together that follow each other and become the same.
fn segments(batch: &AckBatch<'_>, first: i64, out: &mut Vec<Change>) {
    let last = batch.last_offset;
    if let &[kind] = batch.types {
        let to = becomes(kind);
        out.push(Change { first, last, to });
        return;
    }
    let begin = out.len();
    for (offset, &kind) in (batch.first_offset..=last).zip(batch.types) {
        let to = becomes(kind);
        match out[begin..].last_mut() {
            _ if offset < first => {}
            Some(change) if change.to == to => change.last = offset,
            _ => out.push(Change {
                first: offset,
                last: offset,
                to,
            }),
        }
    }
}

/// What becomes of a record: type 1 accepts it, 2 releases it, 3 rejects it, and 0 says that it isn't there.
fn becomes(kind: i8) -> State {
    match kind {
        1 => State::Acknowledged,
        2 => State::Available,
        _ => State::Archived,
    }
}
