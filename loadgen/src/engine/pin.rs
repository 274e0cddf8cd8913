//! Keeping threads on cores.

/// Hands out cores, one after the other and then again.
#[derive(Debug, Clone, Default)]
pub struct Cores {
    cores: Vec<usize>,
    next: usize,
}

impl Cores {
    /// None: threads go where the kernel puts them.
    pub fn free() -> Self {
        Self::default()
    }

    /// All cores this process may use.
    pub fn all() -> Self {
        Self {
            cores: allowed(),
            next: 0,
        }
    }

    /// The next core.
    pub(super) fn next(&mut self) -> Option<usize> {
        let count = self.cores.len();
        let core = *self.cores.get(self.next % count.max(1))?;
        self.next += 1;
        Some(core)
    }

    pub(super) fn restart(&mut self) {
        self.next = 0;
    }
}

fn allowed() -> Vec<usize> {
    // SAFETY: a set of CPUs is a plain array of bits, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the kernel writes `size` bytes at most, and that is how large `set` is.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut set) } != 0 {
        return Vec::new();
    }
    let most = libc::CPU_SETSIZE as usize;
    // SAFETY: `core` is below the number of bits in the set.
    (0..most)
        .filter(|core| unsafe { libc::CPU_ISSET(*core, &set) })
        .collect()
}

/// Keeps the calling thread on a core. Where the kernel refuses, it goes where it likes: that changes
/// nothing in what is counted.
pub(super) fn stay_on(core: usize) {
    // SAFETY: as in `allowed`.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if core >= libc::CPU_SETSIZE as usize {
        return;
    }
    // SAFETY: `core` is below the number of bits in the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the kernel reads as many bytes as the set has.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
}
