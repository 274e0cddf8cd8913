//! The workers of a line: threads here, or those of other processes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pin::Cores;
use super::stop::{Stop, Wanted};
use crate::driver::{ConsumerJob, Driver, ProducerJob};
use crate::measure::plan::{Plan, Progress};
use crate::measure::recorder::{ConsumerProbe, ProducerProbe, Setup};
use crate::measure::tick::{Role, Said};
use crate::workload::Workload;

/// What a phase of a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Producers store what consumers read later.
    Fill,
    /// Consumers read what is produced meanwhile.
    Live,
    /// Consumers read what was stored.
    Stored,
    /// Consumers read what was stored, and what is produced meanwhile.
    Backlog,
}

/// When producers are to send.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// When the first record is due.
    pub start_ns: u64,
    /// From when on it counts.
    pub zero_ns: u64,
    /// When no more is due.
    pub end_ns: Option<u64>,
    /// How many records that count, over all producers.
    pub records: Option<u64>,
}

/// Workers, wherever they run.
pub trait Crew {
    /// Makes ready for a phase of this workload, whose topic is there.
    fn phase(&mut self, workload: &Arc<Workload>, phase: Phase);
    /// Starts all workers of a kind.
    fn start(&mut self, role: Role);
    /// How long before producers are to send they have to be told so, in nanoseconds.
    fn lead_ns(&self) -> u64;
    /// Lets producers send.
    fn begin(&mut self, begin: Begin);
    /// Asks all workers of a kind to end.
    fn stop(&mut self, role: Role, wanted: Wanted);
    /// When second zero of the phase began, or will; [`crate::measure::plan::UNKNOWN`] before it is known.
    fn zero_ns(&self) -> u64;
    /// How many records were acknowledged in this phase.
    fn acked(&self) -> u64;
    /// How many different records were read in this phase.
    fn read(&self) -> u64;
    /// What a worker says next, if one does in this time.
    fn hear(&mut self, within: Duration) -> Option<Said>;
    /// CPU seconds all workers' processes used until now.
    fn cpu_seconds(&self) -> f64;
}

/// Which part of a workload's workers are here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Share {
    /// Numbers of producers.
    pub producers: Vec<usize>,
    /// Numbers of consumers.
    pub consumers: Vec<usize>,
}

impl Share {
    /// All of them.
    pub fn whole(workload: &Workload) -> Self {
        Self::of(workload, 0, 1)
    }

    /// The part of process `process` of `processes`: dealt out in turn, so that a producer and the consumer
    /// of its number are in the same process.
    pub fn of(workload: &Workload, process: usize, processes: usize) -> Self {
        let dealt = |count: usize| (process..count).step_by(processes.max(1)).collect();
        Self {
            producers: dealt(workload.producers),
            consumers: dealt(workload.consumers),
        }
    }
}

/// Between telling threads to begin and the first record.
const LEAD_NS: u64 = 50_000_000;

/// Threads of this process.
pub struct Threads {
    driver: Arc<dyn Driver>,
    cores: Cores,
    share: Option<Share>,
    workload: Arc<Workload>,
    phase: Phase,
    plan: Plan,
    stops: [Stop; 2],
    acked: Vec<Progress>,
    read: Vec<Progress>,
    said: Receiver<Said>,
    to: Sender<Said>,
    threads: Vec<JoinHandle<()>>,
}

fn place(role: Role) -> usize {
    match role {
        Role::Producer => 0,
        Role::Consumer => 1,
    }
}

impl Threads {
    /// Workers that use this driver. With a `share`, only these.
    pub fn new(driver: Arc<dyn Driver>, cores: Cores, share: Option<Share>) -> Self {
        let (to, said) = channel();
        Self {
            driver,
            cores,
            share,
            workload: Arc::new(Workload::default()),
            phase: Phase::Live,
            plan: Plan::new(),
            stops: [Stop::default(), Stop::default()],
            acked: Vec::new(),
            read: Vec::new(),
            said,
            to,
            threads: Vec::new(),
        }
    }

    /// From the next phase on these of a workload's workers are here.
    pub fn take_share(&mut self, share: Share) {
        self.share = Some(share);
    }

    /// Second zero of a phase in which it begins with the first consumer that is ready: in another process
    /// one was, at this time.
    pub fn zero_no_later(&self, zero_ns: u64) {
        self.plan.zero_no_later(zero_ns);
    }

    fn setup(&mut self, role: Role) -> Setup {
        let progress = Progress::default();
        match role {
            Role::Producer => self.acked.push(progress.clone()),
            Role::Consumer => self.read.push(progress.clone()),
        }
        Setup {
            plan: self.plan.clone(),
            stop: self.stops[place(role)].clone(),
            progress,
            to: self.to.clone(),
        }
    }

    fn producer(&mut self, index: usize) {
        // Those that fill have numbers of their own: their sequences begin at zero too.
        let number = match self.phase {
            Phase::Fill => index + self.workload.producers,
            Phase::Live | Phase::Stored | Phase::Backlog => index,
        };
        let setup = self.setup(Role::Producer);
        let stop = setup.stop.clone();
        let job = ProducerJob {
            workload: Arc::clone(&self.workload),
            index,
            core: self.cores.next(),
            stop,
            probe: ProducerProbe::new(&self.workload, index, number as u16, setup),
        };
        let driver = Arc::clone(&self.driver);
        let core = job.core;
        self.spawn(Role::Producer, index, core, move || driver.produce(job));
    }

    fn consumer(&mut self, index: usize) {
        let setup = self.setup(Role::Consumer);
        let stop = setup.stop.clone();
        let job = ConsumerJob {
            workload: Arc::clone(&self.workload),
            index,
            core: self.cores.next(),
            stop,
            probe: ConsumerProbe::new(&self.workload, index, setup),
        };
        let driver = Arc::clone(&self.driver);
        let core = job.core;
        self.spawn(Role::Consumer, index, core, move || driver.consume(job));
    }

    fn spawn<F, E>(&mut self, role: Role, index: usize, core: Option<usize>, work: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
        E: std::fmt::Display,
    {
        let to = self.to.clone();
        let name = match role {
            Role::Producer => format!("produce-{index}"),
            Role::Consumer => format!("consume-{index}"),
        };
        let body = move || {
            if let Some(core) = core {
                super::pin::stay_on(core);
            }
            let work = std::panic::AssertUnwindSafe(work);
            let error = match std::panic::catch_unwind(work) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("{} {index} panicked", role.word())),
            };
            let _ = to.send(Said::Ended(role, index, error));
        };
        match std::thread::Builder::new().name(name).spawn(body) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                let why = format!("cannot start a thread: {error}");
                let _ = self.to.send(Said::Ended(role, index, Some(why)));
            }
        }
    }
}

impl Crew for Threads {
    fn phase(&mut self, workload: &Arc<Workload>, phase: Phase) {
        self.workload = Arc::clone(workload);
        self.phase = phase;
        self.plan = match phase {
            Phase::Fill | Phase::Live => Plan::new(),
            Phase::Stored => Plan::of_stored(true),
            Phase::Backlog => Plan::of_stored(false),
        };
        self.stops = [Stop::default(), Stop::default()];
        self.acked.clear();
        self.read.clear();
        self.cores.restart();
    }

    fn start(&mut self, role: Role) {
        let share = self
            .share
            .clone()
            .unwrap_or_else(|| Share::whole(&self.workload));
        match role {
            Role::Producer => share
                .producers
                .iter()
                .for_each(|index| self.producer(*index)),
            Role::Consumer => share
                .consumers
                .iter()
                .for_each(|index| self.consumer(*index)),
        }
    }

    fn lead_ns(&self) -> u64 {
        LEAD_NS
    }

    fn begin(&mut self, begin: Begin) {
        self.plan
            .begin(begin.start_ns, begin.zero_ns, begin.end_ns, begin.records);
    }

    fn stop(&mut self, role: Role, wanted: Wanted) {
        self.stops[place(role)].ask(wanted);
    }

    fn zero_ns(&self) -> u64 {
        self.plan.zero()
    }

    fn acked(&self) -> u64 {
        self.acked.iter().map(Progress::get).sum()
    }

    fn read(&self) -> u64 {
        self.read.iter().map(Progress::get).sum()
    }

    fn hear(&mut self, within: Duration) -> Option<Said> {
        self.said.recv_timeout(within).ok()
    }

    fn cpu_seconds(&self) -> f64 {
        crate::machine::own_cpu_seconds()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for stop in &self.stops {
            stop.ask(Wanted::Abort);
        }
        // Those that do not end are left: waiting for them would lose the results.
        for thread in self.threads.drain(..) {
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}
