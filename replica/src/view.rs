//! What the core sees of the log it replicates.

/// A look at the log, taken anew for each call. All ends are next offsets.
///
/// Invariant the log keeps: `start <= stable_end <= end`. Nothing below `stable_end` is lost by what
/// the topic's settings are meant to survive, and it goes back only by a truncation the core asked for.
pub trait LogView {
    /// The first offset it still has.
    fn start(&self) -> i64;

    /// The next offset to be given: the end of what was appended.
    fn end(&self) -> i64;

    /// The end of what is stored: written, or flushed where the topic asks for it.
    fn stable_end(&self) -> i64;

    /// The latest leader epoch it knows, if it has any.
    fn latest_epoch(&self) -> Option<i32>;

    /// The greatest leader epoch not above `epoch`, and where it ends; -1 and -1 where that isn't
    /// known. Kafka's `OffsetForLeaderEpoch`.
    fn epoch_end(&self, epoch: i32) -> (i32, i64);
}

/// Names the content of a whole log: one leader writes an epoch, and only at its end, so two logs with
/// the same position are the same log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The log's latest leader epoch, -1 if it has none.
    pub last_epoch: i32,
    /// The log's end: the offset after its last record.
    pub end: i64,
}

impl Position {
    /// The position of `log`.
    pub fn of(log: &impl LogView) -> Self {
        Self {
            last_epoch: log.latest_epoch().unwrap_or(-1),
            end: log.end(),
        }
    }
}
