//! What a test can say to the file system, and the same as a line of text for one in another process.
//!
//! Owns the text form. Must never carry a command out.

use crate::faults::{Fault, Op, Stats};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

/// The unit that a torn power cut keeps or loses as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sector {
    /// 512 bytes.
    Small,
    /// 4096 bytes.
    Large,
}

impl Sector {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Small => 512,
            Self::Large => 4096,
        }
    }
}

/// A loss of power: what nobody synced goes, and every handle open until now only gives EIO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerCut {
    pub(crate) torn: Option<(u64, Sector)>,
    pub(crate) lose_names: bool,
}

impl PowerCut {
    /// Everything not synced is lost. Names (creations, renames, removals) stay.
    pub fn clean() -> Self {
        Self {
            torn: None,
            lose_names: false,
        }
    }

    /// Of what is not synced a random part stays, chosen by `seed`: sectors of data, sizes, and, with
    /// [`losing_names`](Self::losing_names), a beginning of the changes of names.
    #[must_use]
    pub fn torn(mut self, seed: u64, sector: Sector) -> Self {
        self.torn = Some((seed, sector));
        self
    }

    /// Names whose directory wasn't synced after the change are lost too (and removed ones come back).
    #[must_use]
    pub fn losing_names(mut self) -> Self {
        self.lose_names = true;
        self
    }
}

/// One thing a test asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Capacity(Option<u64>),
    Inject(Fault),
    Heal,
    Latency(Op, Duration),
    PowerCut(PowerCut),
    Stats,
}

/// How commands are written; what `faultfs` prints as help.
pub const COMMANDS: &str = "\
capacity BYTES|none                    how much fits; ENOSPC beyond it
fail OP[,OP]… [on=GLOB] [errno=N] [after=N] [times=N]
                                       such operations fail (EIO); OP: read write sync allocate truncate open names
heal                                   no operation fails any more
latency OP MICROSECONDS                such operations take this much longer; 0 ends it
cut [seed=N] [sector=512|4096] [names] power cut: what isn't synced is lost; with seed= a random part of it stays;
                                       with names, changes of directories too
stats                                  what happened so far";

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity(None) => f.write_str("capacity none"),
            Self::Capacity(Some(bytes)) => write!(f, "capacity {bytes}"),
            Self::Inject(fault) => {
                let ops: Vec<String> = fault.ops.iter().map(Op::to_string).collect();
                write!(
                    f,
                    "fail {} errno={} after={}",
                    ops.join(","),
                    fault.errno,
                    fault.after
                )?;
                if let Some(times) = fault.times {
                    write!(f, " times={times}")?;
                }
                fault
                    .paths
                    .as_ref()
                    .map_or(Ok(()), |paths| write!(f, " on={paths}"))
            }
            Self::Heal => f.write_str("heal"),
            Self::Latency(op, latency) => write!(f, "latency {op} {}", latency.as_micros()),
            Self::PowerCut(cut) => {
                f.write_str("cut")?;
                if let Some((seed, sector)) = cut.torn {
                    write!(f, " seed={seed} sector={}", sector.bytes())?;
                }
                f.write_str(if cut.lose_names { " names" } else { "" })
            }
            Self::Stats => f.write_str("stats"),
        }
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.collect();
        match (verb, rest.as_slice()) {
            ("capacity", ["none"]) => Ok(Self::Capacity(None)),
            ("capacity", [bytes]) => Ok(Self::Capacity(Some(number(bytes)?))),
            ("fail", [ops, options @ ..]) => Ok(Self::Inject(parse_fault(ops, options)?)),
            ("heal", []) => Ok(Self::Heal),
            ("latency", [op, micros]) => Ok(Self::Latency(
                op.parse()?,
                Duration::from_micros(number(micros)?),
            )),
            ("cut", options) => Ok(Self::PowerCut(parse_cut(options)?)),
            ("stats", []) => Ok(Self::Stats),
            _ => Err(format!("not a command: {line:?}; commands are\n{COMMANDS}")),
        }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("not a number in range: {text:?}"))
}

fn parse_fault(ops: &str, options: &[&str]) -> Result<Fault, String> {
    let ops: Vec<Op> = ops.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let mut fault = Fault::eio(&ops);
    for option in options {
        fault = match option.split_once('=') {
            Some(("on", pattern)) => fault.on(pattern),
            Some(("errno", value)) => fault.errno(number(value)?),
            Some(("after", value)) => fault.after(number(value)?),
            Some(("times", value)) => fault.times(number(value)?),
            _ => return Err(format!("not an option of fail: {option:?}")),
        };
    }
    Ok(fault)
}

fn parse_cut(options: &[&str]) -> Result<PowerCut, String> {
    let (mut cut, mut sector) = (PowerCut::clean(), Sector::Small);
    for option in options {
        match option.split_once('=') {
            Some(("sector", "512")) => sector = Sector::Small,
            Some(("sector", "4096")) => sector = Sector::Large,
            Some(("seed", value)) => cut.torn = Some((number(value)?, sector)),
            None if *option == "names" => cut.lose_names = true,
            _ => return Err(format!("not an option of cut: {option:?}")),
        }
    }
    cut.torn = cut.torn.map(|(seed, _)| (seed, sector));
    Ok(cut)
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (what, counts) in [("asked", &self.asked), ("failed", &self.failed)] {
            for (op, count) in counts {
                write!(text, "{what}.{op}={count} ")?;
            }
        }
        write!(
            f,
            "{text}read={} written={} unsynced={} used={} cuts={}",
            self.bytes_read,
            self.bytes_written,
            self.unsynced_bytes,
            self.used_bytes,
            self.power_cuts
        )
    }
}

impl FromStr for Stats {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut stats = Self::default();
        let put = |counts: &mut BTreeMap<Op, u64>, op: &str, count| -> Result<(), String> {
            counts.insert(op.parse()?, count);
            Ok(())
        };
        for word in line.split_whitespace() {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("not a count: {word:?}"))?;
            let count = number(value)?;
            match (name, name.split_once('.')) {
                (_, Some(("asked", op))) => put(&mut stats.asked, op, count)?,
                (_, Some(("failed", op))) => put(&mut stats.failed, op, count)?,
                ("read", _) => stats.bytes_read = count,
                ("written", _) => stats.bytes_written = count,
                ("unsynced", _) => stats.unsynced_bytes = count,
                ("used", _) => stats.used_bytes = count,
                ("cuts", _) => stats.power_cuts = count,
                _ => return Err(format!("not a count: {word:?}")),
            }
        }
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_survives_its_text_form() {
        let commands = [
            Command::Capacity(None),
            Command::Capacity(Some(123)),
            Command::Inject(Fault::dead_drive()),
            Command::Inject(
                Fault::eio(&[Op::Write, Op::Sync])
                    .on("a-0/*.log")
                    .after(3)
                    .times(2)
                    .errno(28),
            ),
            Command::Heal,
            Command::Latency(Op::Sync, Duration::from_millis(5)),
            Command::PowerCut(PowerCut::clean()),
            Command::PowerCut(PowerCut::clean().losing_names()),
            Command::PowerCut(PowerCut::clean().torn(7, Sector::Large).losing_names()),
            Command::PowerCut(PowerCut::clean().torn(u64::MAX, Sector::Small)),
            Command::Stats,
        ];
        for command in commands {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for line in [
            "",
            "cut of=some",
            "fail everything",
            "fail write on",
            "capacity lots",
            "latency write",
            "heal all",
        ] {
            assert!(!line.parse::<Command>().unwrap_err().is_empty(), "{line:?}");
        }
    }

    #[test]
    fn counts_survive_their_text_form() {
        let mut stats = Stats {
            bytes_read: 1,
            bytes_written: 2,
            unsynced_bytes: 3,
            ..Stats::default()
        };
        (stats.used_bytes, stats.power_cuts) = (4, 5);
        stats.asked.insert(Op::Write, 6);
        stats.failed.insert(Op::Names, 7);
        assert_eq!(stats.to_string().parse(), Ok(stats));
    }
}
