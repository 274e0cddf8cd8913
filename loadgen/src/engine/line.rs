//! One workload from beginning to end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::crew::{Begin, Crew, Phase};
use super::stop::Wanted;
use crate::driver::{Driver, DriverError, SystemInfo};
use crate::machine::{Brokers, Usage};
use crate::measure::collector::{Collector, Times};
use crate::measure::plan::UNKNOWN;
use crate::measure::recorder::now_ns;
use crate::measure::tick::{Role, Said};
use crate::results::{BrokerUse, Measured, Outcome, Second};
use crate::workload::{ReadFrom, Workload};

/// How often the engine looks around.
const LOOK: Duration = Duration::from_millis(50);
/// Until all workers are connected.
const CONNECT: Duration = Duration::from_secs(60);
/// How long producers may wait for answers after the last record.
const DRAIN: Duration = Duration::from_secs(30);
/// How long nothing may come before consumers are told that nothing will.
const QUIET: Duration = Duration::from_secs(10);
/// The same when all that were acknowledged have come, but more may have been stored.
const DOUBTFUL_QUIET: Duration = Duration::from_secs(2);
/// How long nothing may be acknowledged or read before it is looked whether the system is still there.
const SILENT: Duration = Duration::from_secs(10);
/// How long workers may take to end once told to.
const END: Duration = Duration::from_secs(10);
/// How long workers may take to return at once.
const RETURN: Duration = Duration::from_secs(5);

/// How often the user asked to break off: once to end early, twice to end at once.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(pub Arc<AtomicUsize>);

impl Interrupt {
    /// How often.
    pub fn asked(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sees a line while it runs.
pub trait Watch {
    /// A second is over.
    fn second(&mut self, second: &Second);
    /// What happens now.
    fn says(&mut self, what: &str);
}

/// What came of a line.
#[derive(Debug)]
pub struct Ran {
    /// The system, if it said what it is.
    pub system: Option<SystemInfo>,
    /// What came of it.
    pub outcome: Outcome,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// Whether the user broke it off.
    pub interrupted: bool,
}

/// Why a line did not come to its end.
enum Broken {
    User,
    Failed(String),
}

/// Runs one line.
pub struct Runner<'a> {
    driver: &'a dyn Driver,
    crew: &'a mut dyn Crew,
    brokers: Brokers,
    interrupt: Interrupt,
    watch: &'a mut dyn Watch,
    workload: Arc<Workload>,
    collector: Collector,
    /// Workers not yet ready, and workers not yet ended.
    waiting: BTreeSet<(Role, usize)>,
    running: BTreeSet<(Role, usize)>,
    error: Option<String>,
    /// The system is not there any more.
    gone: bool,
    filling: bool,
    shown: i64,
    base: Option<Base>,
    resident: u64,
    last_cpu: f64,
    /// When producers begin, whose seconds are shown.
    start_ns: u64,
    /// What was used when it was last looked. Of a system that is gone, nothing more is to be learnt.
    used: Usage,
    end_ns: Option<u64>,
    notes: Vec<String>,
}

/// What was used until second zero.
#[derive(Debug, Clone, Copy)]
struct Base {
    usage: Usage,
    own_cpu: f64,
}

impl<'a> Runner<'a> {
    /// Of this workload, whose topic has a name, by these workers.
    pub fn new(
        driver: &'a dyn Driver,
        crew: &'a mut dyn Crew,
        brokers: Brokers,
        interrupt: Interrupt,
        watch: &'a mut dyn Watch,
        workload: Workload,
    ) -> Self {
        Self {
            driver,
            crew,
            brokers,
            interrupt,
            watch,
            workload: Arc::new(workload),
            collector: Collector::new(),
            waiting: BTreeSet::new(),
            running: BTreeSet::new(),
            error: None,
            gone: false,
            filling: false,
            shown: i64::MIN,
            base: None,
            resident: 0,
            last_cpu: 0.0,
            start_ns: 0,
            used: Usage::default(),
            end_ns: None,
            notes: Vec::new(),
        }
    }

    /// Runs it.
    pub fn run(mut self) -> Ran {
        let mut ran = Ran {
            system: None,
            outcome: Outcome::Skipped { why: String::new() },
            notes: Vec::new(),
            interrupted: false,
        };
        if let Err(why) = self.workload.check() {
            ran.outcome = failed(why);
            return ran;
        }
        match self.driver.describe() {
            Ok(system) => ran.system = Some(system),
            Err(error) => {
                ran.outcome = refused(error);
                return ran;
            }
        }
        let workload = Arc::clone(&self.workload);
        if let Err(error) = self.driver.prepare(&workload) {
            ran.outcome = refused(error);
            return ran;
        }
        let broken = self.phases().err();
        self.end_all();
        self.clean_up(&workload);
        ran.interrupted = matches!(broken, Some(Broken::User));
        let (measured, notes) = self.figures(broken.is_some());
        ran.notes = notes;
        ran.outcome = match broken {
            None => Outcome::Measured(Box::new(measured)),
            Some(broken) => Outcome::Failed {
                why: match broken {
                    Broken::User => "broken off by the user".to_owned(),
                    Broken::Failed(why) => why,
                },
                until: (measured.produced.records + measured.consumed.records > 0)
                    .then(|| Box::new(measured)),
            },
        };
        ran
    }

    fn clean_up(&mut self, workload: &Workload) {
        let left = if self.gone {
            "the system was not there to delete it".to_owned()
        } else if self.interrupt.asked() > 1 {
            "there was no time to delete it".to_owned()
        } else {
            match self.driver.clean_up(workload) {
                Ok(()) => return,
                Err(error) => error.to_string(),
            }
        };
        let topic = &workload.topic;
        self.notes
            .push(format!("topic {topic} was left there: {left}"));
    }

    fn phases(&mut self) -> Result<(), Broken> {
        let phase = match self.workload.read_from {
            ReadFrom::Live => Phase::Live,
            ReadFrom::Stored => Phase::Stored,
            ReadFrom::Backlog => Phase::Backlog,
        };
        let filled = if phase == Phase::Live {
            0
        } else {
            self.fill(phase)?
        };
        let workload = Arc::clone(&self.workload);
        self.crew.phase(&workload, phase);
        self.start(Role::Consumer, workload.consumers)?;
        if phase != Phase::Stored {
            self.produce()?;
        }
        self.let_consumers_finish(filled)?;
        let missing = workload.consumers > 0 && self.crew.read() < filled + self.crew.acked();
        if missing || self.collector.doubtful() > 0 {
            return self.still_there();
        }
        Ok(())
    }

    /// Stores what is to be read, and says how many records that is.
    fn fill(&mut self, phase: Phase) -> Result<u64, Broken> {
        let mut workload = Workload::clone(&self.workload);
        workload.rate = None;
        let records = match phase {
            Phase::Backlog => Some(workload.backlog_records),
            Phase::Fill | Phase::Live | Phase::Stored => workload.records,
        };
        self.watch.says("storing the records that are read later");
        self.filling = true;
        self.crew.phase(&Arc::new(workload), Phase::Fill);
        self.start(Role::Producer, self.workload.producers)?;
        let start = now_ns() + self.crew.lead_ns();
        let seconds = (self.workload.seconds * 1e9) as u64;
        self.crew.begin(Begin {
            start_ns: start,
            zero_ns: start,
            end_ns: records.is_none().then_some(start + seconds),
            records,
        });
        self.wait_for(Role::Producer, None)?;
        self.filling = false;
        let filled = self.crew.acked();
        self.notes.push(format!(
            "{filled} records were stored before, which is not measured"
        ));
        Ok(filled)
    }

    /// Starts workers and waits until all are ready.
    fn start(&mut self, role: Role, count: usize) -> Result<(), Broken> {
        if count == 0 {
            return Ok(());
        }
        self.waiting = (0..count).map(|index| (role, index)).collect();
        self.running.extend(self.waiting.iter().copied());
        self.crew.start(role);
        let until = Instant::now() + CONNECT;
        while !self.waiting.is_empty() {
            self.look()?;
            if Instant::now() > until {
                return Err(Broken::Failed(format!(
                    "{} of {count} {}s were not ready after {} s",
                    self.waiting.len(),
                    role.word(),
                    CONNECT.as_secs()
                )));
            }
        }
        Ok(())
    }

    fn produce(&mut self) -> Result<(), Broken> {
        let workload = Arc::clone(&self.workload);
        self.start(Role::Producer, workload.producers)?;
        let start = now_ns() + self.crew.lead_ns();
        let zero = start + (workload.warm_up_seconds * 1e9) as u64;
        let by_time = zero + (workload.seconds * 1e9) as u64;
        self.start_ns = start;
        self.end_ns = workload.records.is_none().then_some(by_time);
        self.crew.begin(Begin {
            start_ns: start,
            zero_ns: zero,
            end_ns: self.end_ns,
            records: workload.records,
        });
        self.wait_for(Role::Producer, self.end_ns)
    }

    /// Waits until all workers of a kind have ended; past the end only as long as answers may take.
    fn wait_for(&mut self, role: Role, end_ns: Option<u64>) -> Result<(), Broken> {
        let patience = DRAIN.as_nanos() as u64;
        let (mut done, mut since) = (0, Instant::now());
        while self.running.iter().any(|(running, _)| *running == role) {
            self.look()?;
            if end_ns.is_some_and(|end| now_ns() > end + patience) {
                return Err(Broken::Failed(format!(
                    "{}s still waited for answers {} s after the last record",
                    role.word(),
                    DRAIN.as_secs()
                )));
            }
            let now_done = self.crew.acked() + self.crew.read();
            if now_done != done {
                (done, since) = (now_done, Instant::now());
            } else if since.elapsed() > SILENT {
                self.still_there()?;
                since = Instant::now();
            }
        }
        Ok(())
    }

    /// Fails if the system does not say any more what it is.
    fn still_there(&mut self) -> Result<(), Broken> {
        self.watch.says("looking whether the system is still there");
        let Err(error) = self.driver.describe() else {
            return Ok(());
        };
        self.gone = true;
        Err(Broken::Failed(format!("the system was lost: {error}")))
    }

    /// Lets consumers read on until they have all, or nothing comes any more.
    fn let_consumers_finish(&mut self, filled: u64) -> Result<(), Broken> {
        if self.workload.consumers == 0 {
            return Ok(());
        }
        let wanted = filled + self.crew.acked();
        let (mut read, mut since) = (self.crew.read(), Instant::now());
        loop {
            let now_read = self.crew.read();
            if now_read != read {
                (read, since) = (now_read, Instant::now());
            }
            let doubtful = self.collector.doubtful() > 0;
            let quiet = since.elapsed();
            if read >= wanted && (!doubtful || quiet > DOUBTFUL_QUIET) {
                return Ok(());
            }
            if quiet > QUIET {
                self.notes.push(format!(
                    "consumers had read {read} of {wanted} acknowledged records when nothing came for {} s",
                    QUIET.as_secs()
                ));
                return Ok(());
            }
            self.look()?;
        }
    }

    /// Ends whoever still runs: first kindly, unless the user is in a hurry. Time to return they have in any case.
    fn end_all(&mut self) {
        self.ask_to(Wanted::End);
        // Answers of a system that is gone are not waited for.
        let until = Instant::now() + if self.gone { LOOK } else { END };
        while !self.running.is_empty() && Instant::now() < until && self.interrupt.asked() < 2 {
            self.hear();
        }
        self.ask_to(Wanted::Abort);
        let until = Instant::now() + RETURN;
        while !self.running.is_empty() && Instant::now() < until {
            self.hear();
        }
        while let Some(said) = self.crew.hear(Duration::ZERO) {
            self.take(said);
        }
        if !self.running.is_empty() {
            let who = self.running.iter();
            let who: Vec<_> = who
                .map(|(role, index)| format!("{} {index}", role.word()))
                .collect();
            self.notes.push(format!(
                "did not end when told to, and were left, so that what they counted last is missing: {}",
                who.join(", ")
            ));
        }
    }

    fn ask_to(&mut self, wanted: Wanted) {
        for role in [Role::Producer, Role::Consumer] {
            self.crew.stop(role, wanted);
        }
    }

    /// Hears what workers say for a moment, and looks at the time, the user and the workers.
    fn look(&mut self) -> Result<(), Broken> {
        self.hear();
        self.seconds();
        if self.interrupt.asked() > 0 {
            return Err(Broken::User);
        }
        match self.error.take() {
            Some(why) => Err(Broken::Failed(why)),
            None => Ok(()),
        }
    }

    fn hear(&mut self) {
        let until = Instant::now() + LOOK;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(said) = self.crew.hear(left) else {
                return;
            };
            let turn = matches!(said, Said::Ready(..) | Said::Ended(..));
            self.take(said);
            if turn || left.is_zero() {
                return;
            }
        }
    }

    fn take(&mut self, said: Said) {
        match said {
            Said::Ready(role, number) => {
                // Producers that fill have higher numbers.
                let index = match role {
                    Role::Producer => number % self.workload.producers.max(1),
                    Role::Consumer => number,
                };
                self.waiting.remove(&(role, index));
            }
            Said::Tick(tick) if self.filling => drop(tick),
            Said::Tick(tick) => self.collector.tick(&tick),
            Said::Produced(summary) => self.collector.produced(*summary),
            Said::Consumed(summary) => self.collector.consumed(*summary),
            Said::Ended(role, index, error) => {
                let was_ready = !self.waiting.remove(&(role, index));
                self.running.remove(&(role, index));
                if let Some(error) = error {
                    let who = format!("{} {index}: {error}", role.word());
                    self.error.get_or_insert(who);
                } else if !was_ready {
                    let who = format!("{} {index} ended before it was ready", role.word());
                    self.error.get_or_insert(who);
                }
            }
        }
    }

    /// Shows seconds that are over, and samples what the system uses.
    fn seconds(&mut self) {
        let zero = self.crew.zero_ns();
        let now = now_ns();
        if self.filling || zero == UNKNOWN || now < self.start_ns {
            return;
        }
        let since = i128::from(now) - i128::from(zero);
        let second = since.div_euclid(1_000_000_000) as i64;
        if self.shown == i64::MIN {
            self.last_cpu = self.usage().cpu_seconds;
            self.shown = second - 1;
        }
        if self.base.is_none() && since >= 0 {
            self.base = Some(Base {
                usage: self.usage(),
                own_cpu: self.crew.cpu_seconds(),
            });
        }
        // Workers tell of a second when the next has begun: a fifth of it is enough for that.
        let told = (since - 200_000_000).div_euclid(1_000_000_000) as i64;
        while self.shown + 1 < told {
            self.shown += 1;
            let usage = self.usage();
            self.resident = self.resident.max(usage.resident);
            let cpu = (usage.cpu_seconds - self.last_cpu).max(0.0);
            self.last_cpu = usage.cpu_seconds;
            if self.brokers.count() > 0 {
                self.collector.broker_cpu(self.shown, cpu);
            }
            let second = self.collector.second(self.shown);
            self.watch.second(&second);
        }
    }

    /// What the system has used until now, as far as it is known.
    fn usage(&mut self) -> Usage {
        let usage = self.brokers.usage();
        // Times and bytes of processes only grow, unless one is gone.
        if usage.cpu_seconds >= self.used.cpu_seconds {
            self.used = usage;
        }
        self.used
    }

    fn figures(mut self, broken_off: bool) -> (Measured, Vec<String>) {
        let zero = self.crew.zero_ns();
        let times = Times {
            zero_ns: zero,
            end_ns: self.end_ns.filter(|_| !broken_off),
            rate: self
                .workload
                .rate
                .filter(|_| !broken_off && self.workload.read_from != ReadFrom::Stored),
            broken_off,
        };
        let usage = self.usage();
        let own_cpu = self.crew.cpu_seconds();
        let (mut measured, notes) = std::mem::take(&mut self.collector).finish(times);
        self.notes.extend(notes);
        let live = self.workload.read_from == ReadFrom::Live && self.workload.consumers > 0;
        measured.rate_held = times.rate.map(|rate| measured.held(rate, live));
        if let Some(base) = self.base {
            measured.generator_cpu_seconds = own_cpu - base.own_cpu;
            if self.brokers.count() > 0 {
                let records = measured.produced.records + measured.consumed.records;
                let cpu = (usage.cpu_seconds - base.usage.cpu_seconds).max(0.0);
                measured.broker = Some(BrokerUse {
                    processes: self.brokers.count(),
                    cpu_seconds: cpu,
                    cpu_seconds_per_million: cpu * 1e6 / records.max(1) as f64,
                    resident_bytes: self.resident.max(usage.resident),
                    disk_written: usage.written.saturating_sub(base.usage.written),
                    disk_read: usage.read.saturating_sub(base.usage.read),
                    network_bytes: usage.network.saturating_sub(base.usage.network),
                });
            }
        }
        if self.workload.consumers > 0
            && self.workload.record_bytes < crate::record::TIMED_BYTES
            && self.workload.read_from == ReadFrom::Live
        {
            self.notes.push(format!(
                "records of less than {} bytes do not say when they were due: no end-to-end latency",
                crate::record::TIMED_BYTES
            ));
        }
        (measured, self.notes)
    }
}

fn failed(why: String) -> Outcome {
    Outcome::Failed { why, until: None }
}

fn refused(error: DriverError) -> Outcome {
    match error {
        DriverError::Unsupported(why) => Outcome::Skipped { why },
        other => failed(other.to_string()),
    }
}
