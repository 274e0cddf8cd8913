//! The threads that make blocking system calls for an executor.
//!
//! Owns at most [`THREADS`] threads per executor. glommio's own pool is not
//! used: a panic there kills it and the next truncate panics the executor, a
//! call still running when the executor ends panics its thread, and a dropped
//! future may leave a system call queued for a file descriptor that has been
//! reused since.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::bell::lock;

/// Two, so that one slow call (a directory of a million files) doesn't hold up
/// the renames of everybody else.
const THREADS: usize = 2;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The cores a thread may run on.
#[derive(Clone, Copy)]
pub(crate) struct Affinity(libc::cpu_set_t);

impl Affinity {
    pub(crate) fn of_this_thread() -> io::Result<Self> {
        // SAFETY: a cpu_set_t is plain bits, for which all zeroes is a value.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the size passed is that of the set the pointer points to.
        let done = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
        if done == 0 {
            Ok(Self(set))
        } else {
            Err(io::Error::last_os_error())
        }
    }

    pub(crate) fn cores(&self) -> Vec<usize> {
        let most = size_of::<libc::cpu_set_t>() * 8;
        // SAFETY: the index stays below the number of bits in the set.
        (0..most)
            .filter(|&core| unsafe { libc::CPU_ISSET(core, &self.0) })
            .collect()
    }

    fn apply(&self) {
        // SAFETY: as above. A refusal only leaves the thread on fewer cores.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &self.0) };
    }
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: RefCell<Vec<JoinHandle<()>>>,
    name: String,
    affinity: Affinity,
}

impl Pool {
    /// Starts with one thread; the other is started when it is first missed.
    pub(crate) fn start(name: &str, affinity: Affinity) -> io::Result<Self> {
        let pool = Self {
            shared: Arc::default(),
            threads: RefCell::default(),
            name: format!("{name}-blk"),
            affinity,
        };
        pool.add_thread()?;
        Ok(pool)
    }

    pub(crate) fn submit(&self, job: Job) {
        let missed = {
            let mut state = lock(&self.shared.state);
            state.jobs.push_back(job);
            state.jobs.len() > state.idle
        };
        self.shared.more.notify_one();
        if missed
            && self.threads.borrow().len() < THREADS
            && let Err(error) = self.add_thread()
        {
            tracing::warn!(%error, "cannot start a second blocking thread; going on with one");
        }
    }

    /// Finishes what was submitted, then ends the threads.
    pub(crate) fn stop(&self) {
        lock(&self.shared.state).closed = true;
        self.shared.more.notify_all();
        for thread in self.threads.take() {
            // A worker catches the panics of its jobs; there is nothing to see.
            let _ = thread.join();
        }
    }

    fn add_thread(&self) -> io::Result<()> {
        let (shared, affinity) = (Arc::clone(&self.shared), self.affinity);
        let thread = thread::Builder::new()
            .name(self.name.clone())
            .spawn(move || {
                // A thread starts on the cores of the one that makes it, here the
                // single core of a pinned executor.
                affinity.apply();
                work(&shared);
            })?;
        self.threads.borrow_mut().push(thread);
        Ok(())
    }
}

fn work(shared: &Shared) {
    loop {
        let job = {
            let mut state = lock(&shared.state);
            loop {
                if let Some(job) = state.jobs.pop_front() {
                    break job;
                }
                if state.closed {
                    return;
                }
                state.idle += 1;
                state = shared
                    .more
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        };
        // A job reports its own panic; this is for what it drops afterwards.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
