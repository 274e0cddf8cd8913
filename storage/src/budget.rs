//! The memory that hot records may take on one shard, over all its logs.
//!
//! One [`TailBudget`] belongs to one shard and never crosses to another. A log charges it when a
//! batch is appended. What has been written may be let go, oldest write first, whichever log it is
//! of, until no more is left than readers are seen to use ([`crate::keep`]); what has not been written
//! is never let go, so that part is bounded by whoever admits
//! appends ([`TailBudget::unwritten`] says how much it is).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::{Rc, Weak};

use crate::keep::Keep;

/// Bookkeeping per batch that is charged with its bytes, so that many tiny batches are bounded too.
pub(crate) const BATCH_OVERHEAD: usize = 128;

/// Fewer entries than this are not worth a sweep.
const SWEEP_MIN: usize = 1024;

/// What can let go of its oldest records.
pub(crate) trait Evict {
    /// Lets go of what lies below `upto`; returns nothing: it releases what it charged.
    fn evict(&self, upto: i64);
    /// Whether it still has anything written that ends at or below `upto`.
    fn holds(&self, upto: i64) -> bool;
}

struct Written {
    log: Weak<dyn Evict>,
    upto: i64,
}

struct Inner {
    keep: RefCell<Keep>,
    used: Cell<usize>,
    unwritten: Cell<usize>,
    /// One entry per write, oldest first. Each stands for a batch that is charged, or is swept out
    /// when there are twice as many as there can be such batches.
    written: RefCell<VecDeque<Written>>,
}

/// The budget of hot records of one shard. Cheap to clone; all clones are one budget.
#[derive(Clone)]
pub struct TailBudget(Rc<Inner>);

impl TailBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Rc::new(Inner {
            keep: RefCell::new(Keep::new(limit)),
            used: Cell::new(0),
            unwritten: Cell::new(0),
            written: RefCell::default(),
        }))
    }

    /// Bytes allowed.
    pub fn limit(&self) -> usize {
        self.0.keep.borrow().limit()
    }

    /// Bytes that are kept at present: as many as readers use, up to the limit.
    pub fn kept(&self) -> usize {
        self.0.keep.borrow().kept()
    }

    /// Bytes charged now.
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    /// Bytes appended and not yet written: these cannot be let go.
    pub fn unwritten(&self) -> usize {
        self.0.unwritten.get()
    }

    /// Changes the limit; what is too much is let go at once.
    pub fn set_limit(&self, limit: usize) {
        self.0.keep.borrow_mut().set_limit(limit);
        self.enforce();
    }

    pub(crate) fn charge(&self, bytes: usize) {
        self.0.used.set(self.used() + bytes);
        self.0.unwritten.set(self.unwritten() + bytes);
        self.0.keep.borrow_mut().appended(bytes);
    }

    /// The place, among all that is appended on the shard, of what is charged next.
    pub(crate) fn place(&self) -> u64 {
        self.0.keep.borrow().place()
    }

    /// Notes that a reader found what was charged at `place`.
    pub(crate) fn hit(&self, place: u64) {
        self.0.keep.borrow_mut().hit(place);
    }

    /// Notes that a reader asked for what had been let go, `behind` bytes before its log's end.
    pub(crate) fn missed(&self, behind: u64) {
        self.0.keep.borrow_mut().missed(behind);
    }

    /// Takes back a charge; `written` tells how much of it had been written.
    pub(crate) fn release(&self, bytes: usize, written: bool) {
        assert!(bytes <= self.used(), "only what was charged is released");
        self.0.used.set(self.used() - bytes);
        if !written {
            self.now_written(bytes);
        }
    }

    /// Notes that `bytes` of the charges were written and may be let go.
    pub(crate) fn now_written(&self, bytes: usize) {
        assert!(
            bytes <= self.unwritten(),
            "only what was appended is written"
        );
        self.0.unwritten.set(self.unwritten() - bytes);
    }

    /// Notes a write of `log` up to the offset `upto`. Follow it with [`Self::enforce`].
    pub(crate) fn push_written(&self, log: Weak<dyn Evict>, upto: i64) {
        let count = {
            let mut written = self.0.written.borrow_mut();
            written.push_back(Written { log, upto });
            written.len()
        };
        if count > 2 * (self.used() / BATCH_OVERHEAD) + SWEEP_MIN {
            self.sweep();
        }
    }

    /// Drops the entries whose records were let go of otherwise: deleted, or their log is gone.
    /// The caller must hold no borrow of a log.
    pub(crate) fn sweep(&self) {
        let mut written = self.0.written.borrow_mut();
        written.retain(|entry| entry.log.upgrade().is_some_and(|log| log.holds(entry.upto)));
    }

    /// Lets go of the oldest writes until no more is left than is kept, as far as it can. The caller must hold
    /// no borrow of a log.
    pub(crate) fn enforce(&self) {
        let kept = self.kept();
        while self.used() > kept {
            let Some(oldest) = self.0.written.borrow_mut().pop_front() else {
                return;
            };
            if let Some(log) = oldest.log.upgrade() {
                log.evict(oldest.upto);
            }
        }
    }
}

impl fmt::Debug for TailBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TailBudget")
            .field("limit", &self.limit())
            .field("kept", &self.kept())
            .field("used", &self.used())
            .field("unwritten", &self.unwritten())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        budget: TailBudget,
        held: RefCell<VecDeque<(i64, usize)>>,
    }

    impl Fake {
        fn new(budget: &TailBudget) -> Rc<Self> {
            Rc::new(Self {
                budget: budget.clone(),
                held: RefCell::default(),
            })
        }

        fn write(self: &Rc<Self>, upto: i64, bytes: usize) {
            self.budget.charge(bytes);
            self.held.borrow_mut().push_back((upto, bytes));
            self.budget.now_written(bytes);
            let weak: Weak<Self> = Rc::downgrade(self);
            self.budget.push_written(weak, upto);
            self.budget.enforce();
        }

        fn upto(&self) -> Vec<i64> {
            self.held.borrow().iter().map(|held| held.0).collect()
        }
    }

    impl Evict for Fake {
        fn evict(&self, upto: i64) {
            let mut held = self.held.borrow_mut();
            while held.front().is_some_and(|front| front.0 <= upto) {
                let (_, bytes) = held.pop_front().unwrap();
                self.budget.release(bytes, true);
            }
        }

        fn holds(&self, upto: i64) -> bool {
            self.held
                .borrow()
                .front()
                .is_some_and(|front| front.0 <= upto)
        }
    }

    #[test]
    fn the_oldest_write_of_any_log_goes_first() {
        let budget = TailBudget::new(100);
        let (a, b) = (Fake::new(&budget), Fake::new(&budget));
        a.write(1, 40);
        b.write(1, 40);
        a.write(2, 40);
        assert_eq!((a.upto(), b.upto()), (vec![2], vec![1]));
        b.write(2, 90);
        assert_eq!((a.upto(), b.upto()), (vec![], vec![2]));
        assert_eq!(budget.used(), 90);
        budget.set_limit(10);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_not_written_stays() {
        let budget = TailBudget::new(10);
        budget.charge(50);
        budget.enforce();
        assert_eq!((budget.used(), budget.unwritten()), (50, 50));
        budget.release(20, false);
        budget.now_written(30);
        budget.release(30, true);
        assert_eq!((budget.used(), budget.unwritten()), (0, 0));
    }

    #[test]
    fn a_log_that_is_gone_is_passed_over() {
        let budget = TailBudget::new(100);
        let a = Fake::new(&budget);
        a.write(1, 40);
        budget.release(40, true);
        drop(a);
        budget.sweep();
        assert!(budget.0.written.borrow().is_empty());
    }

    #[test]
    fn entries_of_records_that_went_another_way_do_not_pile_up() {
        let budget = TailBudget::new(1 << 20);
        let a = Fake::new(&budget);
        for upto in 0..50_000 {
            a.write(upto, BATCH_OVERHEAD);
            // As DeleteRecords does.
            a.evict(upto - 3);
        }
        let entries = budget.0.written.borrow().len();
        assert!(entries <= SWEEP_MIN + 10, "{entries}");
        budget.set_limit(0);
        assert_eq!((budget.used(), a.upto().len()), (0, 0));
    }
}
