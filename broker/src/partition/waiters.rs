//! Fetches that wait for data: a list per partition, and the waiter they share when one fetch waits
//! at several partitions.
//!
//! Owns no time: whoever waits brings a deadline of its own and drops the waiter when it passes.

use std::cell::Cell;
use std::rc::{Rc, Weak};

use rt::sync::Notify;

/// One fetch that waits until `wanted` bytes have become visible at the partitions it watches.
pub struct Waiter {
    wanted: Cell<usize>,
    fired: Notify,
}

impl Waiter {
    /// A waiter for at least `wanted` bytes (0 counts as 1).
    pub fn new(wanted: usize) -> Rc<Self> {
        Rc::new(Self {
            wanted: Cell::new(wanted.max(1)),
            fired: Notify::new(),
        })
    }

    /// Ready when enough has arrived, or a watched partition changed so that it can't.
    pub async fn fired(&self) {
        self.fired.notified().await;
    }

    /// Fires at once, whatever has arrived.
    pub fn call_off(&self) {
        self.arrived(usize::MAX);
    }

    fn arrived(&self, bytes: usize) {
        let left = self.wanted.get().saturating_sub(bytes);
        self.wanted.set(left);
        if left == 0 {
            self.fired.notify_one();
        }
    }
}

/// The waiters at one partition, or share-partition.
#[derive(Default)]
pub(crate) struct Waiters {
    list: Vec<Weak<Waiter>>,
}

impl Waiters {
    /// Adds a waiter; it leaves when its last owner drops it.
    pub(crate) fn add(&mut self, waiter: &Rc<Waiter>) {
        // Without arrivals nothing else would ever sweep a quiet partition's list.
        if self.list.len() >= 16 && self.list.len().is_power_of_two() {
            self.list.retain(|waiter| waiter.strong_count() > 0);
        }
        self.list.push(Rc::downgrade(waiter));
    }

    /// `bytes` have become visible.
    pub(super) fn arrived(&mut self, bytes: usize) {
        self.list.retain(|waiter| match waiter.upgrade() {
            Some(waiter) => {
                waiter.arrived(bytes);
                waiter.wanted.get() > 0
            }
            None => false,
        });
    }

    /// The partition changed (gone, offline): wakes all.
    pub(crate) fn wake_all(&mut self) {
        self.arrived(usize::MAX);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.list.iter().filter(|w| w.strong_count() > 0).count()
    }
}
