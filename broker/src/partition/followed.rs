//! What a partition does for its followers, while this replica leads, and with the controller's answers.

use replica::{Follow, IsrAnswer, Moved, Next, Progress, Records, Sender};
use storage::Read;

use super::{Partition, UNTOLD, clock_ms};

impl Partition {
    /// Takes the controller's answer to the ISR change `request`.
    pub fn isr_answer(&self, request: u64, answer: IsrAnswer) {
        let now_ms = clock_ms();
        self.act(|replica, log, out| replica.isr_answer(request, answer, log, now_ms, out));
    }

    /// A node wants to follow.
    pub fn on_follow(&self, from: Sender, follow: &Follow) {
        // Whatever there is, it is new to this follower.
        self.state.borrow_mut().told = UNTOLD;
        self.act(|replica, log, out| replica.on_follow(from, follow, log, out));
    }

    /// A follower reports.
    pub fn on_progress(&self, from: Sender, progress: &Progress) {
        let now_ms = clock_ms();
        self.act(|replica, log, out| replica.on_progress(from, progress, log, now_ms, out));
    }

    /// A follower's connection is gone, or it said that it follows no longer.
    pub fn disconnected(&self, from: Sender) {
        self.act(|replica, log, out| replica.disconnected(from, log, out));
    }

    /// Time has passed; `heard` gives for a node when, by [`clock_ms`], the connection that it follows
    /// over was last heard from. To be called at least twice in `replica.lag.time.max.ms`, and at least
    /// once a second.
    pub fn tick(&self, heard: impl Fn(i32) -> Option<u64>) {
        let now_ms = clock_ms();
        self.try_again(now_ms);
        self.act(|replica, log, out| replica.tick(log, now_ms, heard, out));
    }

    /// What to send to follower `node` next. What was sent is told by
    /// [`sent_records`](Self::sent_records) or [`sent_moved`](Self::sent_moved) before this is asked
    /// again.
    pub fn next_for(&self, node: i32) -> Next {
        self.act(|replica, log, _| replica.next_for(node, log))
    }

    /// The header for records between two offsets that are about to be sent to `node`, and notes them as
    /// sent. `None` if they must not be sent: this replica doesn't lead in `leader_epoch`, in which they
    /// were read.
    pub fn sent_records(
        &self,
        node: i32,
        leader_epoch: i32,
        between: (i64, i64),
    ) -> Option<Records> {
        self.act(|replica, log, _| replica.sent_records(node, leader_epoch, between, log))
    }

    /// Notes that `moved` was sent to `node`.
    pub fn sent_moved(&self, node: i32, moved: &Moved) {
        self.act(|replica, _, _| replica.sent_moved(node, moved));
    }

    /// Reads whole batches for a follower: from `from` up to `end` at most, as [`Next::Records`] gave
    /// them, stored here or not; at least one batch, and at most `max_bytes` of more. What lies in
    /// memory isn't copied.
    pub fn read_to_send(&self, from: i64, end: i64, max_bytes: usize) -> Read {
        self.log.read(from, end, max_bytes, true)
    }
}
