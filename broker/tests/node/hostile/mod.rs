//! Clients that mean harm, or are broken: whatever they send, the process lives, others are served,
//! and memory stays within its bound.
//!
//! Each file is one way to do harm. `Victim` is a broker of the test's own, because what it holds in
//! memory is measured. Figures are printed.

mod amplified;
mod batches;
mod crowd;
mod flood;
mod frames;
mod mutated;

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Broker, Options, cores, temp_dir};
use crate::semantics::records::{Topic, batch, create, records_at, spans, store};
use crate::semantics::wire::Connection;

const MIB: usize = 1 << 20;
/// What the brokers of these tests are given with `--memory`.
const MEMORY: usize = 256 * MIB;
/// What a process holds beyond `--memory`: its text, stacks, idle rings, the metadata, the
/// allocator's own, and what is on its way between two budgets.
const OVERHEAD: usize = 96 * MIB;
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// A client whom nothing hinders is served in milliseconds. One that has to wait for the limits of
/// those that do nothing waits for half a minute.
const SOON: Duration = Duration::from_secs(12);

/// A broker, and a topic on it that others use meanwhile.
struct Victim {
    broker: Broker,
    topic: Topic,
    dir: TempDir,
}

/// Numbers that look random and are the same every time: splitmix64.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

impl Victim {
    /// With 256 MiB, as many shards as there are cores up to two, and a log of every connection.
    fn start() -> Self {
        Self::start_with(|options| options.argument("--log-filter=info,net=debug"))
    }

    fn start_with(settings: impl FnOnce(Options) -> Options) -> Self {
        let dir = temp_dir();
        let broker = Broker::start(&settings(Options::with_shards(dir.path(), cores().min(2))));
        let topic = create(&mut Connection::open(broker.kafka), "bystander", 2, &[]);
        Self { broker, topic, dir }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.broker.kafka)
    }

    /// Stores a batch and reads it again, on a connection of its own for each of some tries, so that
    /// every shard is asked. Gives how long the slowest took.
    fn serve_others(&self) -> Duration {
        let mut slowest = Duration::ZERO;
        for index in [0, 1, 0, 1, 0, 1] {
            let begun = Instant::now();
            let mut connection = self.connect();
            let offset = store(&mut connection, &self.topic, index, &batch(3));
            let records = records_at(&mut connection, &self.topic, index, offset);
            assert_eq!(spans(&records)[0], (offset, offset + 2));
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    }

    /// Others are served as if nothing had happened, by the process that was started.
    fn assert_unharmed(&self) {
        let slowest = self.serve_others();
        assert!(slowest < SOON, "a bystander had to wait for {slowest:?}");
        let status = self.status("State");
        assert!(!status.starts_with('Z'), "the process has ended");
        assert!(
            !self.broker.log().contains("panicked"),
            "something panicked"
        );
        assert!(self.dir.path().exists());
    }

    /// Waits for `count` lines of the log that contain `text`.
    fn assert_logged(&self, text: &str, count: usize) {
        let begun = Instant::now();
        loop {
            let found = self.broker.log().matches(text).count();
            if found >= count {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{text:?} was logged {found} times, not {count}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn status(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.broker.pid()));
        let status = status.expect("the process lives");
        let row = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        row.expect("a row of that name").trim().to_owned()
    }

    fn bytes(&self, name: &str) -> usize {
        let value = self.status(name);
        let kilobytes = value.split(' ').next().expect("a number");
        kilobytes.parse::<usize>().expect("a number") * 1024
    }

    /// Resident memory now.
    fn resident(&self) -> usize {
        self.bytes("VmRSS")
    }

    /// The most it has ever been.
    fn peak(&self) -> usize {
        self.bytes("VmHWM")
    }

    /// Prints the peak and holds it against `--memory`.
    fn assert_bounded(&self, what: &str) {
        let peak = self.peak();
        eprintln!(
            "{what}: peak {} MiB resident, {} MiB now, --memory {} MiB",
            peak / MIB,
            self.resident() / MIB,
            MEMORY / MIB
        );
        assert!(
            peak < MEMORY + OVERHEAD,
            "{what}: {} MiB resident",
            peak / MIB
        );
    }
}
