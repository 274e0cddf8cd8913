//! Who gets which records.

use super::window::{Run, State};
use super::{Acquire, Acquired, SharePartition};

impl SharePartition {
    /// Where to read next: the first record that may be acquired, or where those begin that were never
    /// acquired. `None` as long as nothing may be acquired because too much is in flight.
    pub fn next_fetch(&self) -> Option<i64> {
        let end = self.window.end();
        self.window
            .first_free()
            .or_else(|| (self.room() > 0).then_some(end))
    }

    /// How many more records may be acquired for the first time.
    fn room(&self) -> u64 {
        u64::from(self.settings.max_in_flight).saturating_sub(self.in_flight())
    }

    /// Gives a member those of the records read that it may have, by offset.
    ///
    /// Free records that the read shows are not there any more are archived, and so are those of
    /// transactions that were given up. Records may have been read twice: those that somebody has by now are
    /// left out.
    pub fn acquire(&mut self, wanted: &Acquire<'_>) -> Vec<Acquired> {
        let (Some(&(base, _)), Some(&(_, last))) = (wanted.read.first(), wanted.read.last()) else {
            return Vec::new();
        };
        if wanted.max_records == 0 || wanted.from > self.window.end() {
            return Vec::new();
        }
        self.archive_missing(wanted.from, base);
        self.window.advance();
        let state = State::Acquired {
            member: wanted.member,
            until: wanted.now_ms.saturating_add(self.settings.lock_ms),
        };
        let mut given = Vec::new();
        let left = self.acquire_again(wanted, (base, last), state, &mut given);
        let (first, room) = (self.window.end(), self.room().min(left));
        if room > 0 && last >= first {
            let last = cut(wanted.read, first, last, room);
            self.window.push(last, state, 1);
            given.push((first, last, 1));
        }
        let mut acquired = Vec::with_capacity(given.len());
        for (first, last, delivery_count) in given {
            let mut keep = |first, last| {
                pieces(wanted, first, last, delivery_count, &mut acquired);
            };
            self.without_aborted(wanted.aborted, first, last, &mut keep);
        }
        self.window.note_first_free();
        self.window.advance();
        acquired
    }

    /// Archives free records that a read passed over, and passes over those that nobody had yet.
    fn archive_missing(&mut self, from: i64, base: i64) {
        self.window.update(from, base - 1, |run| {
            if run.is_free() {
                run.state = State::Archived;
            }
        });
        if self.window.end() < base {
            self.window.push(base - 1, State::Archived, 0);
        }
    }

    /// Acquires records that were acquired before, by anybody. How many more are wanted.
    fn acquire_again(
        &mut self,
        wanted: &Acquire<'_>,
        (base, mut last): (i64, i64),
        state: State,
        given: &mut Vec<(i64, i64, i16)>,
    ) -> u64 {
        let mut left = u64::from(wanted.max_records);
        for (first, run) in self.window.within(base.max(self.window.start()), last) {
            if first > last {
                break;
            }
            if run.is_free() {
                if left > 0 && run.last.abs_diff(first) + 1 >= left {
                    last =
                        batch_end(wanted.read, first.saturating_add_unsigned(left - 1)).min(last);
                }
                let end = run.last.min(last);
                left = left.saturating_sub(end.abs_diff(first) + 1);
                given.push((first, end, run.delivery_count.saturating_add(1)));
            }
        }
        for &(first, last, delivery_count) in given.iter() {
            self.window.update(first, last, |run: &mut Run| {
                run.state = state;
                run.delivery_count = delivery_count;
            });
        }
        left
    }

    /// Archives what nobody may get of what was just acquired, and gives out the rest.
    fn without_aborted(
        &mut self,
        aborted: &[(i64, i64)],
        mut first: i64,
        last: i64,
        keep: &mut impl FnMut(i64, i64),
    ) {
        let from = aborted.partition_point(|&(_, end)| end < first);
        for &(begin, end) in aborted[from..].iter().take_while(|&&(at, _)| at <= last) {
            if first < begin {
                keep(first, begin - 1);
            }
            let (from, to) = (first.max(begin), last.min(end));
            self.window
                .update(from, to, |run| run.state = State::Archived);
            first = to + 1;
        }
        if first <= last {
            keep(first, last);
        }
    }
}

/// Where the `count`th offset from `first` on is, or the end of the record batch that has it.
fn cut(read: &[(i64, i64)], first: i64, last: i64, count: u64) -> i64 {
    if last.abs_diff(first) < count {
        return last;
    }
    batch_end(read, first.saturating_add_unsigned(count - 1)).min(last)
}

/// The end of the record batch that has an offset, or the offset if none has.
fn batch_end(read: &[(i64, i64)], at: i64) -> i64 {
    let before = read.partition_point(|&(base, _)| base <= at);
    read[..before].last().map_or(at, |&(_, end)| end.max(at))
}

/// Adds records in pieces that are cut where a record batch begins.
fn pieces(
    wanted: &Acquire<'_>,
    first: i64,
    last: i64,
    delivery_count: i16,
    out: &mut Vec<Acquired>,
) {
    let mut piece = |first_offset, last_offset| {
        out.push(Acquired {
            first_offset,
            last_offset,
            delivery_count,
        });
    };
    let size = u64::from(wanted.batch_size);
    let mut begin = first;
    if last.abs_diff(first) >= size {
        let from = wanted.read.partition_point(|&(base, _)| base <= first);
        for &(base, _) in wanted.read[from..].iter().take_while(|r| r.0 <= last) {
            if base.abs_diff(begin) >= size {
                piece(begin, base - 1);
                begin = base;
            }
        }
    }
    piece(begin, last);
}
