//! The end of all connections of a shard.

use std::cell::Cell;
use std::rc::Rc;

use rt::sync::Notify;

/// Tells connections to finish what they have begun and close. Clones are the same signal.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: Rc<Cell<bool>>,
    notify: Notify,
}

impl Shutdown {
    /// A shutdown that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins it. Connections that come later end at once.
    pub fn begin(&self) {
        self.begun.set(true);
        self.notify.notify_waiters();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Waits for it to begin.
    pub async fn begun(&self) {
        let notified = self.notify.notified();
        if !self.has_begun() {
            notified.await;
        }
    }
}
