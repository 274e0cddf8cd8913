//! How far a log's end has come. Pure.

/// How far a log has come, as next offsets: appended (in memory), written (handed to the drive and
/// completed; survives the process), flushed (made durable by fdatasync; survives power loss).
///
/// Invariant, asserted on each change: `appended >= written >= flushed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    appended: i64,
    written: i64,
    flushed: i64,
}

impl LogEnd {
    /// A log whose every record is durable up to `offset`.
    pub fn at(offset: i64) -> Self {
        Self {
            appended: offset,
            written: offset,
            flushed: offset,
        }
    }

    /// The next offset to be given.
    pub fn appended(&self) -> i64 {
        self.appended
    }

    /// All below this survive the process.
    pub fn written(&self) -> i64 {
        self.written
    }

    /// All below this survive power loss.
    pub fn flushed(&self) -> i64 {
        self.flushed
    }

    pub(crate) fn append_to(&mut self, offset: i64) {
        assert!(offset >= self.appended, "an append moves the end forward");
        self.appended = offset;
    }

    pub(crate) fn write_to(&mut self, offset: i64) {
        assert!(offset >= self.written, "a write moves the end forward");
        assert!(offset <= self.appended, "what is written was appended");
        self.written = offset;
    }

    pub(crate) fn flush_to(&mut self, offset: i64) {
        assert!(offset >= self.flushed, "a flush moves the end forward");
        assert!(offset <= self.written, "what is flushed was written");
        self.flushed = offset;
    }

    /// Makes the log end at `offset`, all of it on the drive.
    pub(crate) fn cut_to(&mut self, offset: i64) {
        *self = Self {
            appended: offset,
            written: offset,
            flushed: self.flushed.min(offset),
        };
    }

    /// Takes back what was appended and could not be written.
    pub(crate) fn take_back(&mut self) {
        self.appended = self.written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ends_keep_their_order() {
        let mut end = LogEnd::at(5);
        end.append_to(9);
        end.write_to(7);
        end.flush_to(6);
        assert_eq!((end.appended(), end.written(), end.flushed()), (9, 7, 6));
        end.take_back();
        assert_eq!((end.appended(), end.written(), end.flushed()), (7, 7, 6));
    }

    #[test]
    #[should_panic(expected = "what is written was appended")]
    fn a_write_cannot_pass_the_append() {
        LogEnd::at(5).write_to(6);
    }

    #[test]
    #[should_panic(expected = "what is flushed was written")]
    fn a_flush_cannot_pass_the_write() {
        let mut end = LogEnd::at(5);
        end.append_to(8);
        end.flush_to(6);
    }
}
