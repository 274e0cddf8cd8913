//! What the kernel says of this process, read from `/proc`.
//!
//! Whatever can't be read is left out rather than guessed: `/proc` may be closed to the process.

use std::fs;
use std::time::Duration;

/// Ticks a second in `/proc/self/stat`: `USER_HZ`, which is 100 on every architecture that io_uring
/// and this program run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// Bytes in RAM.
    pub resident: Option<u64>,
    /// Bytes of address space.
    pub virtual_size: Option<u64>,
    /// CPU time in seconds.
    pub cpu_seconds: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
    /// The limit of open descriptors.
    pub max_fds: Option<u64>,
}

impl ProcessStats {
    /// Reads them. Takes a millisecond or so for each ten thousand open descriptors: not for a shard's
    /// own thread.
    pub fn read() -> Self {
        let file =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let status = file("status");
        Self {
            resident: kilobytes(&status, "VmRSS:"),
            virtual_size: kilobytes(&status, "VmSize:"),
            cpu_seconds: cpu_seconds(&file("stat")),
            threads: number(&status, "Threads:"),
            // One of them reads the directory.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|fds| fds.count().saturating_sub(1) as u64),
            max_fds: number(&file("limits"), "Max open files"),
        }
    }
}

/// The first number after `name` at the beginning of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    Some(number(text, name)? * 1024)
}

/// User and system time of `/proc/self/stat`. The second field is the name of the program in
/// parentheses, in which anything may stand.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

/// CPU time of the calling thread, if the kernel counts it. Doesn't wait for anything.
pub fn thread_cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    schedstat(&text)
}

fn schedstat(text: &str) -> Option<Duration> {
    let on_cpu_ns = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(on_cpu_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_figures() {
        let stats = ProcessStats::read();
        assert!(
            stats.resident.is_some_and(|bytes| bytes > 1 << 20),
            "{stats:?}"
        );
        assert!(stats.virtual_size >= stats.resident, "{stats:?}");
        assert!(stats.cpu_seconds.is_some(), "{stats:?}");
        assert!(
            stats.threads.is_some_and(|threads| threads >= 1),
            "{stats:?}"
        );
        assert!(stats.open_fds.is_some_and(|fds| fds >= 3), "{stats:?}");
        assert!(stats.max_fds >= stats.open_fds, "{stats:?}");
    }

    #[test]
    fn the_name_of_the_program_does_not_shift_the_fields() {
        let stat = "7 (a) b) 1 2) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 3 4 20 0 9 0 100 1 2";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
    }

    #[test]
    fn numbers_are_found_by_the_beginning_of_their_line() {
        let limits = "Limit   Soft   Hard  Units\nMax open files   1024   4096   files\n";
        assert_eq!(number(limits, "Max open files"), Some(1024));
        let unlimited = "Max open files   unlimited   unlimited   files\n";
        assert_eq!(number(unlimited, "Max open files"), None);
        assert_eq!(kilobytes("VmRSS:\t    2048 kB\n", "VmRSS:"), Some(2 << 20));
    }

    #[test]
    fn the_time_of_a_thread_is_the_first_figure() {
        assert_eq!(
            schedstat("1500000000 12 3\n"),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(schedstat(""), None);
    }
}
