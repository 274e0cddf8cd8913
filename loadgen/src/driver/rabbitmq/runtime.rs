//! A worker's thread as a runtime: one thread, which does nothing but what the driver and its library do.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use futures_lite::future::or;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::super::DriverError;
use super::ANSWER_WITHIN;
use crate::engine::stop::{Stop, Wanted};

/// How often a worker looks whether to return at once.
const LOOK: Duration = Duration::from_millis(50);

/// A worker's work, wherever it waits, until it is told to return at once.
pub(in crate::driver) fn work(
    core: Option<usize>,
    stop: Stop,
    work: impl Future<Output = Result<(), DriverError>>,
) -> Result<(), DriverError> {
    let aborted = async {
        while stop.wanted() != Wanted::Abort {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    run(core, or(work, aborted))
}

/// An answer, unless it takes too long.
pub(in crate::driver) async fn within<T, E: Display>(
    what: impl Display,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, DriverError> {
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| DriverError::Failed(format!("{what}: {error}"))),
        Err(_) => Err(DriverError::Failed(format!(
            "{what}: no answer within {} s",
            ANSWER_WITHIN.as_secs()
        ))),
    }
}

/// Runs to its end on this thread, which stays on `core` where one is given. Threads that the library
/// makes stay there, too.
pub(in crate::driver) fn run<T>(
    core: Option<usize>,
    work: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    if let Some(core) = core {
        let mut cores = CpuSet::new();
        if core >= CpuSet::MAX_CPU {
            return Err(DriverError::Option(format!("there is no core {core}")));
        }
        cores.set(core);
        sched_setaffinity(None, &cores)
            .map_err(|error| DriverError::Option(format!("cannot stay on core {core}: {error}")))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DriverError::Failed(format!("cannot start a runtime: {error}")))?;
    runtime.block_on(work)
}
