//! A worker's thread as a runtime: one thread, which does nothing but what the driver and its library do.

use std::future::Future;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::super::DriverError;

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
