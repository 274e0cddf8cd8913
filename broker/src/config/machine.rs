//! What the machine has that a node's defaults depend on.

/// What the machine has that defaults depend on.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Memory this process may use.
    pub memory: u64,
    /// The machine's name on its network.
    pub host: String,
}

impl Machine {
    /// This machine, as this process may use it: within its control group's limit.
    pub fn this() -> Self {
        let limits = [
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        let limits = limits.iter().filter_map(|path| {
            std::fs::read_to_string(path)
                .ok()?
                .trim()
                .parse::<u64>()
                .ok()
        });
        let memory = limits.chain(memory_total()).min();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() {
            "localhost"
        } else {
            host.trim()
        };
        Self {
            // Where nothing says how much there is, a quarter of this is enough to start with.
            memory: memory.unwrap_or(2 << 30),
            host: host.to_owned(),
        }
    }
}

fn memory_total() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
