//! Which operations fail or wait: rules by kind of operation and path.
//!
//! Owns the rules and their counts. Must never carry an operation out, nor sleep.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A kind of operation that a rule can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Reading a file.
    Read,
    /// Writing a file.
    Write,
    /// fsync and fdatasync, of files and directories.
    Sync,
    /// fallocate.
    Allocate,
    /// Changing a file's size.
    Truncate,
    /// Opening a file that is there.
    Open,
    /// Creating, making a directory, renaming, removing.
    Names,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::Allocate,
        Self::Truncate,
        Self::Open,
        Self::Names,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Allocate => "allocate",
            Self::Truncate => "truncate",
            Self::Open => "open",
            Self::Names => "names",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|op| op.name() == text)
            .ok_or_else(|| format!("unknown operation {text:?}: it is one of {}", known()))
    }
}

/// A rule: such an operation fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(crate) ops: Vec<Op>,
    pub(crate) paths: Option<String>,
    pub(crate) errno: i32,
    pub(crate) after: u64,
    pub(crate) times: Option<u64>,
}

impl Fault {
    /// These operations fail with EIO, on every path, from now on.
    pub fn eio(ops: &[Op]) -> Self {
        Self {
            ops: ops.to_vec(),
            paths: None,
            errno: libc::EIO,
            after: 0,
            times: None,
        }
    }

    /// Everything fails: the drive is gone.
    pub fn dead_drive() -> Self {
        Self::eio(&Op::ALL)
    }

    /// Only on paths that match: `*` stands for any text (slashes too), `?` for one character. Paths have no leading
    /// slash.
    #[must_use]
    pub fn on(mut self, pattern: &str) -> Self {
        self.paths = Some(pattern.to_owned());
        self
    }

    /// Another error than EIO.
    #[must_use]
    pub fn errno(mut self, errno: i32) -> Self {
        self.errno = errno;
        self
    }

    /// Lets this many matching operations pass first.
    #[must_use]
    pub fn after(mut self, count: u64) -> Self {
        self.after = count;
        self
    }

    /// Fails this many times, then no more.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Whether this operation fails by this rule; counts it.
    fn strikes(&mut self, op: Op, path: &str) -> bool {
        let concerned =
            self.ops.contains(&op) && self.paths.as_deref().is_none_or(|p| matches(p, path));
        if !concerned {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        match &mut self.times {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// Whether `text` is what `pattern` describes.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go back to: after the last star, one character further on in the text.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, from)) = back else {
                    return false;
                };
                back = Some((star, from + 1));
                p = star;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What happened so far, for a test to ask about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// How often each kind of operation was asked for.
    pub asked: BTreeMap<Op, u64>,
    /// How often each kind was failed by a rule.
    pub failed: BTreeMap<Op, u64>,
    /// Bytes given by reads.
    pub bytes_read: u64,
    /// Bytes taken by writes.
    pub bytes_written: u64,
    /// Bytes in blocks that a power cut now would take back.
    pub unsynced_bytes: u64,
    /// Bytes in use, as `statfs` counts them.
    pub used_bytes: u64,
    /// Power cuts so far.
    pub power_cuts: u64,
}

impl Stats {
    /// How often this kind of operation was asked for.
    pub fn asked(&self, op: Op) -> u64 {
        self.asked.get(&op).copied().unwrap_or(0)
    }

    /// How often this kind of operation was failed by a rule.
    pub fn failed(&self, op: Op) -> u64 {
        self.failed.get(&op).copied().unwrap_or(0)
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    faults: Vec<Fault>,
    latencies: BTreeMap<Op, Duration>,
}

impl Rules {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    pub(crate) fn set_latency(&mut self, op: Op, latency: Duration) {
        if latency.is_zero() {
            self.latencies.remove(&op);
        } else {
            self.latencies.insert(op, latency);
        }
    }

    pub(crate) fn latency(&self, op: Op) -> Duration {
        self.latencies.get(&op).copied().unwrap_or_default()
    }

    /// True when no rule needs a path, so that none has to be made.
    pub(crate) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// The error this operation must fail with. Every rule counts it, the first that strikes decides.
    pub(crate) fn verdict(&mut self, op: Op, path: &str) -> Option<i32> {
        let mut verdict = None;
        for fault in &mut self.faults {
            if fault.strikes(op, path) {
                verdict = verdict.or(Some(fault.errno));
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, wanted) in [
            ("*.log", "orders-0/00000000000000000000.log", true),
            ("*.log", "orders-0/00000000000000000000.index", false),
            ("orders-?*/*", "orders-11.abc/x", true),
            ("orders-?", "orders-11", false),
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_rule_lets_some_pass_then_fails_some() {
        let mut rules = Rules::default();
        rules.add(
            Fault::eio(&[Op::Write])
                .on("*.log")
                .after(2)
                .times(1)
                .errno(libc::ENOSPC),
        );
        let verdicts: Vec<_> = (0..4).map(|_| rules.verdict(Op::Write, "x.log")).collect();
        assert_eq!(verdicts, [None, None, Some(libc::ENOSPC), None]);
        assert_eq!(rules.verdict(Op::Sync, "x.log"), None);
        rules.add(Fault::dead_drive());
        assert_eq!(rules.verdict(Op::Sync, "y"), Some(libc::EIO));
        rules.clear();
        assert_eq!(rules.verdict(Op::Sync, "y"), None);
    }
}
