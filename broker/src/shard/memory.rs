//! How a shard's share of `--memory` is divided: the budget is the sum of the parts.

/// The least that reads and requests need to make progress at all, in bytes.
const LEAST_PART: usize = 8 << 20;

/// A shard's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// Requests, from the first byte of a frame until what it brought is written: a quarter.
    pub(super) requests: usize,
    /// Receive buffers beyond each connection's small first one: a sixteenth.
    pub(super) buffers: usize,
    /// Records that were written and are kept because they will be read next: what is left.
    pub(super) tail: usize,
    /// Records on their way out, from the read until the socket has taken them: a quarter.
    pub(super) reads: usize,
    /// Registered write buffers: as configured.
    pub(super) io: usize,
}

impl Memory {
    /// Divides `total` bytes, of which `io` are registered for direct I/O.
    pub(super) fn divide(total: usize, io: usize) -> Self {
        let requests = (total / 4).max(LEAST_PART);
        let reads = (total / 4).max(LEAST_PART);
        let buffers = total / 16;
        let tail = total.saturating_sub(requests + reads + buffers + io);
        Self {
            requests,
            buffers,
            tail,
            reads,
            io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        let memory = Memory::divide(1 << 30, 16 << 20);
        let sum = memory.requests + memory.buffers + memory.tail + memory.reads + memory.io;
        assert_eq!(sum, 1 << 30);
    }

    #[test]
    fn a_small_share_still_serves() {
        let memory = Memory::divide(16 << 20, 16 << 20);
        assert_eq!(
            (memory.requests, memory.reads, memory.tail),
            (LEAST_PART, LEAST_PART, 0)
        );
    }
}
