//! Starts brokers as a user would, and sees to it that none is left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest a broker may take to come up or go down before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a broker is to be started.
pub struct Options {
    pub data_dirs: Vec<PathBuf>,
    pub shards: usize,
    pub arguments: Vec<String>,
    /// Where clients connect; a free port where it isn't given.
    pub listen: Option<SocketAddr>,
}

/// A directory on a real file system: direct I/O does not work on every tmpfs.
pub fn temp_dir() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory")
}

/// Ports side by side that are the caller's as long as the tests run: no other test gets one, nor any
/// connection, for they are below those that Linux gives to connections. So a node may be away without losing
/// its own.
pub fn keep_ports(count: usize) -> u16 {
    const RANGE: std::ops::Range<u32> = 10_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let width = u32::try_from(count).expect("a few");
    // Where another run of the tests begins is elsewhere.
    let begin = std::process::id().wrapping_mul(0x9e37_79b9) >> 16;
    loop {
        let at = begin + NEXT.fetch_add(width, Ordering::Relaxed);
        let first = RANGE.start + at % (RANGE.end - RANGE.start);
        if first + width > RANGE.end {
            continue;
        }
        let port = |at: u32| u16::try_from(first + at).expect("in the range");
        let free = |at| TcpListener::bind(("127.0.0.1", port(at))).is_ok();
        if (0..width).all(free) {
            return port(0);
        }
    }
}

impl Options {
    /// One shard, with one data directory below `dir`.
    pub fn at(dir: &Path) -> Self {
        Self {
            data_dirs: vec![dir.join("data")],
            shards: 1,
            arguments: Vec::new(),
            listen: None,
        }
    }

    /// With so many shards, and a data directory for each.
    pub fn with_shards(dir: &Path, shards: usize) -> Self {
        Self {
            data_dirs: (0..shards)
                .map(|at| dir.join(format!("data-{at}")))
                .collect(),
            shards,
            arguments: Vec::new(),
            listen: None,
        }
    }

    /// With a setting of Kafka's.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.arguments
            .extend(["--set".to_owned(), format!("{name}={value}")]);
        self
    }

    /// With any other argument.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }
}

/// A running broker; killed when dropped.
pub struct Broker {
    child: Child,
    pub kafka: SocketAddr,
    pub admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// A drive that can be told to fail; none, with a line that says why, where nothing can be mounted.
pub fn faulty_drive(dir: &Path) -> Option<faultfs::FaultFs> {
    let mount = dir.join("faulty");
    std::fs::create_dir(&mount).expect("a new directory");
    match faultfs::FaultFs::mount(&mount) {
        Ok(drive) => Some(drive),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// Numbers that look random and can be repeated: splitmix64.
pub struct Random(u64);

impl Random {
    /// From `OTTLA_SEED`, or another seed each time; prints it.
    pub fn from_env() -> Self {
        let given = std::env::var("OTTLA_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = given.unwrap_or_else(|| clock.expect("after 1970").as_nanos() as u64);
        eprintln!("OTTLA_SEED={seed}");
        Self(seed)
    }

    /// Another one, for a thread of its own.
    pub fn fork(&mut self) -> Self {
        Self(self.below(usize::MAX) as u64)
    }

    /// The next number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// How many cores tests may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Broker {
    /// Starts a broker and waits until it is ready.
    pub fn start(options: &Options) -> Self {
        for _ in 0..5 {
            match Self::try_start(options) {
                Ok(broker) => return broker,
                Err(log) if log.contains("can't listen on") => {}
                Err(log) => panic!("the broker did not come up:\n{log}"),
            }
        }
        panic!("no free port in five tries");
    }

    /// Starts a broker; what it logged if it does not come up.
    pub fn try_start(options: &Options) -> Result<Self, String> {
        let mut broker = Self::begin(options);
        broker.wait_ready()?;
        Ok(broker)
    }

    /// Starts a broker and doesn't wait for it.
    pub fn begin(options: &Options) -> Self {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let kafka = options.listen.unwrap_or_else(|| address(keep_ports(1)));
        let admin = address(keep_ports(1));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        command.arg("serve");
        command.args([
            "--listen",
            &kafka.to_string(),
            "--admin",
            &admin.to_string(),
        ]);
        command.args(["--shards", &options.shards.to_string()]);
        for dir in &options.data_dirs {
            command.arg("--data-dir").arg(dir);
        }
        if !options
            .arguments
            .iter()
            .any(|argument| argument == "--memory")
        {
            command.args(["--memory", "256M", "--io-memory", "2M"]);
        }
        command.args(&options.arguments);
        // The broker refuses variables it doesn't know; the tests' own begin alike.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OTTLA_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        let mut child = spawn(command);
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().expect("a pipe"), Arc::clone(&log));
        Self {
            child,
            kafka,
            admin,
            log,
        }
    }

    /// Waits until it is ready; what it logged if it ends instead.
    pub fn wait_ready(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait().expect("its state").is_some() {
                // The reader of its log may be a moment behind.
                std::thread::sleep(Duration::from_millis(50));
                return Err(self.log());
            }
            if self
                .http("/readyz")
                .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(format!("not ready in {PATIENCE:?}:\n{}", self.log()))
    }

    /// What a GET on the admin server answers, headers and all.
    pub fn http(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: ottla\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panicked with it").clone()
    }

    /// The address, for clients.
    pub fn bootstrap(&self) -> String {
        self.kafka.to_string()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, which comes by itself; what it logged.
    pub fn wait_end(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("its state") {
                std::thread::sleep(Duration::from_millis(50));
                return (status, self.log());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("not ended in {PATIENCE:?}:\n{}", self.log());
    }

    /// Stops its process, as a machine that hangs would, until it is told to go on.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: plain system call on a child that has not been waited for, so the id is its own.
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "a signal can be sent to a child");
    }

    /// Ends it as the power button of a process does.
    pub fn kill(mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("its end");
    }

    /// Asks it to end and waits until it has.
    pub fn stop(self) -> ExitStatus {
        self.stop_and_time().0
    }

    /// The same, with how long the process lived on after it said that all was done.
    pub fn stop_and_time(mut self) -> (ExitStatus, Duration) {
        self.signal(libc::SIGTERM);
        let begun = Instant::now();
        let mut said = None;
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return (
                    status,
                    said.map_or(Duration::ZERO, |at: Instant| at.elapsed()),
                );
            }
            if said.is_none() && self.log().contains(": stopped ") {
                said = Some(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("not stopped in {PATIENCE:?}:\n{}", self.log());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the broker at {}\n{}", self.kafka, self.log());
        }
    }
}

/// Starts a process that the kernel kills when this one ends, however it ends.
///
/// What it is told of is the end of the *thread* that started it, and a test's thread may end before
/// those that use its broker; so one thread starts them all, and lives as long as the tests.
fn spawn(mut command: Command) -> Child {
    type Request = (Command, Sender<std::io::Result<Child>>);
    static STARTER: LazyLock<Sender<Request>> = LazyLock::new(|| {
        let (sender, requests) = channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, reply) in requests {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    // SAFETY: runs in the child between fork and exec; prctl is a plain system call there.
    unsafe {
        command.pre_exec(
            || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            },
        );
    }
    let (reply, child) = channel();
    STARTER
        .send((command, reply))
        .expect("the thread that starts brokers");
    child.recv().expect("an answer").expect("the ottla binary")
}

fn collect(pipe: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("nobody panicked with it");
            log.push_str(&line);
            log.push('\n');
        }
    });
}
