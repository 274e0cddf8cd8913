//! A partition's log as the replication's core sees it.

use replica::LogView;
use storage::Log;

/// A look at a log.
pub(super) struct View<'a>(pub(super) &'a Log);

impl LogView for View<'_> {
    fn start(&self) -> i64 {
        self.0.log_start()
    }

    fn end(&self) -> i64 {
        self.0.end().appended()
    }

    fn stable_end(&self) -> i64 {
        self.0.stable_end()
    }

    fn latest_epoch(&self) -> Option<i32> {
        self.0.latest_epoch()
    }

    fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        self.0.epoch_end(epoch)
    }
}
