//! Tests of the metadata log and its shell, and what they share.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod log;
mod promises;
mod shell;
mod versions;

use metadata::testing::*;
use metadata::*;

use super::*;

/// Runs a test on an executor of its own.
pub(super) fn on_executor<T: Send + 'static, F: Future<Output = T> + 'static>(
    test: impl FnOnce() -> F + Send + 'static,
) -> T {
    let config = rt::executor::ExecutorConfig {
        io_memory: 1 << 20,
        ..rt::executor::ExecutorConfig::default()
    };
    rt::executor::run(config, test).unwrap()
}
