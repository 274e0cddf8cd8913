//! What the processes of a system use: CPU, memory, drives.

use std::collections::BTreeSet;

use super::{field, listeners, text};

/// What processes used since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU seconds, user and system.
    pub cpu_seconds: f64,
    /// Bytes resident now.
    pub resident: u64,
    /// Bytes they had written to drives.
    pub written: u64,
    /// Bytes they had read from drives.
    pub read: u64,
    /// Bytes in and out over all interfaces of the machine.
    pub network: u64,
}

/// The processes of a system that run here.
#[derive(Debug, Clone, Default)]
pub struct Brokers {
    pids: BTreeSet<u32>,
}

impl Brokers {
    /// These processes; with none given those that listen at the addresses.
    pub fn find(pids: &[u32], addresses: &[String]) -> Self {
        let pids = if pids.is_empty() {
            listeners::of(addresses)
        } else {
            pids.iter().copied().collect()
        };
        // A broker inside this process is not told from the generator.
        Self {
            pids: pids
                .into_iter()
                .filter(|pid| *pid != std::process::id())
                .collect(),
        }
    }

    /// How many processes.
    pub fn count(&self) -> usize {
        self.pids.len()
    }

    /// What they used until now. A process that is gone counts nothing.
    pub fn usage(&self) -> Usage {
        let mut all = Usage {
            network: network(&text("/proc/net/dev")),
            ..Usage::default()
        };
        for pid in &self.pids {
            let stat = text(&format!("/proc/{pid}/stat"));
            if let Some((ticks, pages)) = stat_fields(&stat) {
                all.cpu_seconds += ticks as f64 / per_second();
                all.resident += pages * page_bytes();
            }
            let io = text(&format!("/proc/{pid}/io"));
            let bytes = |name| field(&io, name).and_then(|value| value.parse::<u64>().ok());
            all.written += bytes("write_bytes").unwrap_or(0);
            all.read += bytes("read_bytes").unwrap_or(0);
        }
        all
    }
}

/// Ticks of CPU and resident pages in a process's `stat`.
fn stat_fields(stat: &str) -> Option<(u64, u64)> {
    // The name may have anything in it, but the last bracket ends it.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((number(11)? + number(12)?, number(21)?))
}

/// Bytes in and out over all interfaces.
fn network(table: &str) -> u64 {
    let interfaces = table.lines().filter_map(|line| line.split_once(':'));
    interfaces
        .map(|(_, counts)| {
            let counts: Vec<u64> = counts
                .split_whitespace()
                .filter_map(|count| count.parse().ok())
                .collect();
            counts.first().unwrap_or(&0) + counts.get(8).unwrap_or(&0)
        })
        .sum()
}

fn setting(name: libc::c_int) -> u64 {
    // SAFETY: `sysconf` takes any number and only reads.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).unwrap_or(0)
}

fn per_second() -> f64 {
    setting(libc::_SC_CLK_TCK).max(1) as f64
}

fn page_bytes() -> u64 {
    setting(libc::_SC_PAGESIZE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::{Brokers, network, stat_fields};

    #[test]
    fn reads_the_kernels_tables() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 25 7 8 20 0 1 0 99 1000 321 18446";
        assert_eq!(stat_fields(stat), Some((75, 321)));
        let table = "Inter-| Receive\n face |bytes\n lo: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n\
                     eth0: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(network(table), 33);
    }

    #[test]
    fn counts_a_process() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let brokers = Brokers::find(&[child.id()], &[]);
        let before = brokers.usage().cpu_seconds;
        std::thread::sleep(std::time::Duration::from_millis(400));
        let usage = brokers.usage();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(usage.cpu_seconds > before, "{usage:?}");
        assert!(usage.resident > 0, "{usage:?}");
        assert_eq!(brokers.usage().cpu_seconds, 0.0);
    }
}
