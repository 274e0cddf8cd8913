//! An executor that lives as long as a benchmark and is given rounds of work by criterion's
//! thread, which knows nothing of executors.
//!
//! It is one executor for all rounds, because starting one costs more than most of what is
//! measured, and what the work needs (open logs, lanes) stays where it is.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use rt::executor::{self, Executor, ExecutorConfig};
use rt::lane::{self, Mailbox, MailboxSender};

use crate::clock::Clock;

/// A running executor.
#[derive(Debug)]
pub struct Shard<W: Send> {
    /// Dropped first: its end is the end of the executor's work.
    jobs: Option<MailboxSender<Job<W>>>,
    executor: Option<Executor<()>>,
}

impl<W: Send + 'static> Shard<W> {
    /// Starts one; `body` sets up what it needs, then does the jobs until there are no more.
    pub fn start<Fut: Future<Output = ()> + 'static>(
        core: Option<usize>,
        body: impl FnOnce(Jobs<W>) -> Fut + Send + 'static,
    ) -> Self {
        let (jobs, mailbox) = lane::mailbox();
        let config = ExecutorConfig {
            name: "bench".to_owned(),
            core,
            io_memory: 32 << 20,
            ..ExecutorConfig::default()
        };
        let executor = executor::spawn(config, move || body(Jobs(mailbox)));
        Self {
            jobs: Some(jobs),
            executor: Some(executor.expect("the executor starts")),
        }
    }

    /// Has a job done so many times over; gives back how long that took by the clock.
    pub fn measure(&self, work: W, iters: u64) -> Duration {
        let (reply, done) = mpsc::channel();
        let job = Job { work, iters, reply };
        let jobs = self.jobs.as_ref().expect("it is there until the drop");
        jobs.send(job).expect("the executor takes jobs");
        done.recv().expect("the job is done")
    }
}

impl<W: Send> Drop for Shard<W> {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(executor) = self.executor.take() {
            executor.join().expect("the executor ends in order");
        }
    }
}

/// The jobs of a shard.
#[derive(Debug)]
pub struct Jobs<W>(Mailbox<Job<W>>);

impl<W: Send> Jobs<W> {
    /// The next one; `None` at the end.
    pub async fn next(&mut self) -> Option<Job<W>> {
        self.0.recv().await
    }
}

/// A job: what to do, and how often.
#[derive(Debug)]
pub struct Job<W> {
    /// What.
    pub work: W,
    /// How often.
    pub iters: u64,
    reply: mpsc::Sender<Duration>,
}

impl<W> Job<W> {
    /// Tells how long it took. For jobs that are timed in parts.
    pub fn done(self, took: Duration) {
        self.reply.send(took).expect("somebody waits for it");
    }

    /// Does it, all of it timed.
    pub async fn time(self, work: impl AsyncFnOnce(u64)) {
        let clock = Clock::from_env();
        let begun = clock.now();
        work(self.iters).await;
        let took = clock.now() - begun;
        self.done(took);
    }
}
