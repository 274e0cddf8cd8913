//! The machine: what it is, and what processes on it use.

mod brokers;
mod listeners;

pub use brokers::{Brokers, Usage};

use crate::results::Machine;

/// CPU seconds of this process until now, user and system.
pub fn own_cpu_seconds() -> f64 {
    // SAFETY: `rusage` is plain numbers, for which zeroes are right.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `rusage`, and that is what `usage` is.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0 {
        return 0.0;
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn text(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// The name of this host; empty where the kernel doesn't tell.
pub fn host_name() -> String {
    text("/proc/sys/kernel/hostname")
}

/// A name of this start of this machine, which all its processes see; empty where the kernel doesn't tell.
pub fn boot_id() -> String {
    text("/proc/sys/kernel/random/boot_id")
}

/// The value of the first line `name: value` of such a file.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(known, _)| known.trim() == name)
        .map(|(_, value)| value.trim())
}

/// This machine.
pub fn describe() -> Machine {
    let processors = text("/proc/cpuinfo");
    let memory = text("/proc/meminfo");
    let kib = field(&memory, "MemTotal")
        .and_then(|total| total.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok());
    Machine {
        processor: field(&processors, "model name")
            .unwrap_or(std::env::consts::ARCH)
            .to_owned(),
        processors: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        memory_bytes: kib.unwrap_or(0) * 1024,
        kernel: text("/proc/sys/kernel/osrelease"),
        congestion_control: text("/proc/sys/net/ipv4/tcp_congestion_control"),
    }
}

#[cfg(test)]
mod tests {
    use super::{describe, field, own_cpu_seconds};

    #[test]
    fn finds_fields() {
        let text = "processor\t: 0\nmodel name\t: A: fast one\nmodel name : other\n";
        assert_eq!(field(text, "model name"), Some("A: fast one"));
        assert_eq!(field(text, "stepping"), None);
    }

    #[test]
    fn knows_this_machine() {
        let machine = describe();
        assert!(
            machine.processors > 0 && machine.memory_bytes > 0,
            "{machine:?}"
        );
        assert!(!machine.kernel.is_empty());
        assert!(own_cpu_seconds() > 0.0);
    }
}
