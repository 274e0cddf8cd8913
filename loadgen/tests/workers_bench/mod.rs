//! Workers to try things with: processes, and threads of the test's own process that share its memory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use loadgen::driver::{self, ConsumerJob, Driver, DriverError, ProducerJob, SystemInfo, Target};
use loadgen::engine::stop::Wanted;
use loadgen::engine::{Crew, Interrupt, Ran, Runner, Watch};
use loadgen::machine::Brokers;
use loadgen::results::Second;
use loadgen::workers::Server;
use loadgen::workload::Workload;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn loadgen() -> Command {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn frame<T: serde::Serialize>(what: &T) -> Vec<u8> {
    let bytes = serde_json::to_vec(what).unwrap();
    [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()
}

pub(crate) fn target() -> Target {
    Target {
        driver: "memory".to_owned(),
        brokers: Vec::new(),
        name: "memory".to_owned(),
        options: BTreeMap::new(),
    }
}

pub(crate) fn memory(options: &[(&str, &str)]) -> Arc<dyn Driver> {
    let mut target = target();
    for (name, value) in options {
        target
            .options
            .insert((*name).to_owned(), (*value).to_owned());
    }
    driver::open(&target).unwrap()
}

/// A worker that is a process of its own.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

impl Process {
    pub(crate) fn start() -> Self {
        let mut child = loadgen()
            .args(["worker", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening at ").unwrap();
        Self {
            address: address.to_owned(),
            child,
        }
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end, and says with which code it did.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A worker that is a thread of this process, so that it can have a driver which others have too.
pub(crate) struct Here {
    pub(crate) ending: Arc<AtomicBool>,
    address: String,
    thread: Option<JoinHandle<()>>,
}

impl Here {
    pub(crate) fn start(driver: &Arc<dyn Driver>) -> Self {
        let (driver, ending) = (Arc::clone(driver), Arc::new(AtomicBool::new(false)));
        let open = Box::new(move |_: &Target| Ok(Arc::clone(&driver)));
        let server = Server::bind("127.0.0.1:0", open, Arc::clone(&ending)).unwrap();
        Self {
            ending,
            address: server.address().unwrap().to_string(),
            thread: Some(std::thread::spawn(move || server.run())),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// Does something once when a second has passed.
#[derive(Default)]
pub(crate) struct Seconds<'a> {
    then: Option<(i64, Box<dyn FnOnce() + 'a>)>,
}

impl<'a> Seconds<'a> {
    pub(crate) fn then(second: i64, what: impl FnOnce() + 'a) -> Self {
        Self {
            then: Some((second, Box::new(what))),
        }
    }
}

impl Watch for Seconds<'_> {
    fn second(&mut self, second: &Second) {
        if let Some((_, what)) = self.then.take_if(|(wanted, _)| second.second >= *wanted) {
            what();
        }
    }

    fn says(&mut self, _what: &str) {}
}

pub(crate) fn run(
    driver: &Arc<dyn Driver>,
    crew: &mut dyn Crew,
    workload: Workload,
    watch: &mut dyn Watch,
) -> Ran {
    run_until(driver, crew, workload, watch, &Interrupt::default())
}

pub(crate) fn run_until(
    driver: &Arc<dyn Driver>,
    crew: &mut dyn Crew,
    workload: Workload,
    watch: &mut dyn Watch,
    interrupt: &Interrupt,
) -> Ran {
    let brokers = Brokers::default();
    Runner::new(&**driver, crew, brokers, interrupt.clone(), watch, workload).run()
}

/// A system whose producers do nothing until they are to end at once.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) running: AtomicUsize,
    pub(crate) aborted: AtomicUsize,
}

impl Held {
    pub(crate) fn wait_for(&self, what: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !what(self) {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Driver for Held {
    fn describe(&self) -> Result<SystemInfo, DriverError> {
        Ok(SystemInfo::default())
    }

    fn prepare(&self, _workload: &Workload) -> Result<(), DriverError> {
        Ok(())
    }

    fn clean_up(&self, _workload: &Workload) -> Result<(), DriverError> {
        Ok(())
    }

    fn produce(&self, job: ProducerJob) -> Result<(), DriverError> {
        self.running.fetch_add(1, Ordering::Relaxed);
        while job.stop.wanted() != Wanted::Abort {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.aborted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn consume(&self, _job: ConsumerJob) -> Result<(), DriverError> {
        Ok(())
    }
}
