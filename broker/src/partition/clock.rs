//! The clock that replication goes by.

use std::sync::OnceLock;
use std::time::Instant;

/// Milliseconds by the monotonic clock since this process first asked; the same on all its shards.
pub fn clock_ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = *BEGAN.get_or_init(rt::time::now);
    u64::try_from(rt::time::now().duration_since(began).as_millis()).unwrap_or(u64::MAX)
}
