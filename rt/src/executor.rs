//! Executors: a thread, an io_uring reactor, and the tasks that live there.
//!
//! Keep executors for the life of the process: glommio leaks a little memory
//! and an eventfd or two with each that ends, and everything (sockets too) that
//! a task still holds which waits for ever when its executor ends. Cancel tasks
//! before that.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::host::{self, HostError};
use crate::local;
use crate::pool::Affinity;
use crate::task::panic_message;

/// For glommio's preempt timer: never. `local::Turn` says why, and stands in
/// for it.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// How an executor is made.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    /// The name of its thread; Linux shows the first 15 bytes.
    pub name: String,
    /// The core it is pinned to; none leaves it to the scheduler.
    pub core: Option<usize>,
    /// Bytes of memory registered for direct reads and writes. Buffers past it
    /// come from the heap and cost two to three times the CPU per write.
    pub io_memory: usize,
    /// How long tasks below [`Class::Serve`](crate::task::Class) run before
    /// newly arrived work is looked at, and how long a task runs that calls
    /// [`yield_if_needed`](crate::task::yield_if_needed).
    pub preempt: Duration,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            name: "executor".to_owned(),
            core: None,
            io_memory: 10 << 20,
            // The runtime's own 100 ms made a task woken from outside wait
            // 115 ms in the middle, 196 ms at worst, behind one busy task.
            preempt: Duration::from_millis(1),
        }
    }
}

/// An executor could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// The host cannot run any.
    #[error("cannot start executor {name}: {source}")]
    Host {
        /// The executor.
        name: String,
        /// What is in the way.
        source: HostError,
    },
    /// The core doesn't exist, or this process may not use it.
    #[error(
        "cannot pin executor {name} to core {core}: this process may run on cores {available:?}"
    )]
    Core {
        /// The executor.
        name: String,
        /// The core asked for.
        core: usize,
        /// The cores there are.
        available: Vec<usize>,
    },
    /// A system call failed.
    #[error("cannot start executor {name}: {source}")]
    Start {
        /// The executor.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It died, at the start or (with [`run`]) later.
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// A task of an executor panicked, which ended the executor.
#[derive(Debug, Clone, thiserror::Error)]
#[error("executor {name} panicked: {message}")]
pub struct Panicked {
    /// The executor.
    pub name: String,
    /// What the panic said.
    pub message: String,
}

/// A running executor. Dropping it leaves the executor running.
#[derive(Debug)]
pub struct Executor<T> {
    name: String,
    thread: JoinHandle<Option<T>>,
}

impl<T> Executor<T> {
    /// Waits for its main task to end. Blocks the thread.
    pub fn join(self) -> Result<T, Panicked> {
        match self.thread.join() {
            Ok(Some(out)) => Ok(out),
            // `spawn` has reported this already and given out no executor.
            Ok(None) => Err(Panicked {
                name: self.name,
                message: "it never started".to_owned(),
            }),
            Err(payload) => Err(Panicked {
                name: self.name,
                message: panic_message(&*payload),
            }),
        }
    }
}

/// The cores this process may run on.
pub fn available_cores() -> Vec<usize> {
    Affinity::of_this_thread()
        .map(|set| set.cores())
        .unwrap_or_default()
}

/// Starts an executor on a thread of its own; the future it runs is made there
/// and need not be `Send`. Returns once the executor is up, or why it isn't.
pub fn spawn<T, Fut>(
    cfg: ExecutorConfig,
    make: impl FnOnce() -> Fut + Send + 'static,
) -> Result<Executor<T>, ExecutorError>
where
    T: Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let name = cfg.name.clone();
    host::prepare().map_err(|source| ExecutorError::Host {
        name: name.clone(),
        source,
    })?;
    let start = |source| ExecutorError::Start {
        name: name.clone(),
        source,
    };
    let affinity = Affinity::of_this_thread().map_err(start)?;
    if let Some(core) = cfg.core.filter(|core| !affinity.cores().contains(core)) {
        return Err(ExecutorError::Core {
            name,
            core,
            available: affinity.cores(),
        });
    }
    let (tell, told) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(move || body(&cfg, affinity, make, &tell))
        .map_err(start)?;
    match told.recv() {
        Ok(Ok(())) => Ok(Executor { name, thread }),
        Ok(Err(source)) => {
            // It has nothing left to do but end.
            let _ = thread.join();
            Err(ExecutorError::Start { name, source })
        }
        Err(mpsc::RecvError) => {
            let message = match thread.join() {
                Ok(_) => "it never started".to_owned(),
                Err(payload) => panic_message(&*payload),
            };
            Err(Panicked { name, message }.into())
        }
    }
}

/// Starts an executor and waits for its main task to end.
pub fn run<T, Fut>(
    cfg: ExecutorConfig,
    make: impl FnOnce() -> Fut + Send + 'static,
) -> Result<T, ExecutorError>
where
    T: Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    Ok(spawn(cfg, make)?.join()?)
}

type Tell = mpsc::SyncSender<io::Result<()>>;

fn body<T: 'static, Fut: Future<Output = T> + 'static>(
    cfg: &ExecutorConfig,
    affinity: Affinity,
    make: impl FnOnce() -> Fut + 'static,
    tell: &Tell,
) -> Option<T> {
    let executor = match build(cfg) {
        Ok(executor) => executor,
        Err(error) => {
            // The spawner waits for this; if it is gone nobody wants to know.
            let _ = tell.send(Err(error));
            return None;
        }
    };
    executor.run(async {
        let entered = match local::enter(&cfg.name, cfg.preempt, affinity) {
            Ok(entered) => entered,
            Err(error) => {
                let _ = tell.send(Err(error));
                return None;
            }
        };
        warn_if_unregistered(cfg);
        let _ = tell.send(Ok(()));
        let out = make().await;
        entered.leave().await;
        Some(out)
    })
}

fn build(cfg: &ExecutorConfig) -> io::Result<LocalExecutor> {
    let placement = cfg.core.map_or(Placement::Unbound, Placement::Fixed);
    LocalExecutorBuilder::new(placement)
        .name(&cfg.name)
        .io_memory(cfg.io_memory)
        .preempt_timer(NEVER)
        // Never used by us (see `pool`), and by default on the executor's core.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()
        .map_err(raw_error)
}

fn warn_if_unregistered(cfg: &ExecutorConfig) {
    if crate::file::registered() {
        return;
    }
    let memlock = host::probe().memlock;
    tracing::warn!(
        executor = %cfg.name,
        io_memory = cfg.io_memory,
        %memlock,
        "the buffers of this executor could not be registered with the kernel: every direct \
         write costs two to three times the CPU; about three times io_memory must be lockable \
         per executor: raise RLIMIT_MEMLOCK (LimitMEMLOCK=infinity) or lower io_memory"
    );
}

/// The operating system's own error, with its number, out of glommio's.
pub(crate) fn raw_error<T>(error: GlommioError<T>) -> io::Error {
    match error {
        GlommioError::IoError(source) | GlommioError::EnhancedIoError { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}
