//! `ottla check`: is this host fit for a node, and what to change. Looks, and writes one small
//! file into each data directory, which it removes again.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use rt::host::HostReport;
use serde_json::json;

use super::check_drive;
use super::exit;
use super::failure::Failure;
use super::serve::ServeArgs;
use super::table::{grouped, sized};
use crate::config::NodeConfig;

/// Fewer open files than this and a node of ordinary size will run out.
const OPEN_FILES_LEAST: u64 = 4096;
const OPEN_FILES_GOOD: u64 = 65_536;
/// 1 January 2024: a clock before it was never set.
const CLOCK_LEAST: u64 = 1_704_067_200;
/// glommio registers its buffers on three rings.
const RINGS: u64 = 3;

/// Looks at the host with the settings a node would have.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ottla check
  ottla check --config /etc/ottla.toml
  ottla check --data-dir /mnt/d1 --data-dir /mnt/d2 --json

Give it the settings that the node will have. Exit code 1 says that a node can't run as things are.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    node: ServeArgs,
    /// Print one JSON object a finding
    #[arg(long)]
    json: bool,
}

/// How good one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Nothing to change.
    Good,
    /// A node runs, not as well as it could.
    Poor,
    /// A node can't run.
    Unfit,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) state: State,
    pub(crate) found: String,
    /// What to do, where there is something.
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn good(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state: State::Good,
            found: found.into(),
            advice: None,
        }
    }

    pub(crate) fn bad(
        what: impl Into<String>,
        state: State,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            state,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }
}

impl CheckArgs {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let config = self.node.node()?;
        let mut findings = host(&rt::host::probe(), &config);
        findings.push(clock_source());
        findings.push(clock());
        for dir in &config.data_dirs {
            findings.extend(check_drive::look(dir, config.drive_reserve));
        }
        let mut out = io::stdout().lock();
        for finding in &findings {
            if self.json {
                print_json(finding, &mut out)?;
            } else {
                print(finding, &mut out)?;
            }
        }
        let worst = findings
            .iter()
            .map(|finding| finding.state)
            .max()
            .unwrap_or(State::Good);
        if !self.json {
            writeln!(out, "{}", verdict(worst))?;
        }
        Ok(ExitCode::from(if worst == State::Unfit {
            exit::FAILED
        } else {
            exit::OK
        }))
    }
}

fn verdict(worst: State) -> &'static str {
    match worst {
        State::Good => "This host is fit.",
        State::Poor => "This host is fit; the advice above makes it better.",
        State::Unfit => "This host is not fit: do what is said above, and check again.",
    }
}

fn print(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let state = match finding.state {
        State::Good => "ok   ",
        State::Poor => "poor ",
        State::Unfit => "UNFIT",
    };
    writeln!(out, "{state}  {:<14} {}", finding.what, finding.found)?;
    match &finding.advice {
        Some(advice) => writeln!(out, "         {:<12} {advice}", ""),
        None => Ok(()),
    }
}

fn print_json(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let state = match finding.state {
        State::Good => "ok",
        State::Poor => "poor",
        State::Unfit => "unfit",
    };
    let line = json!({"what": finding.what, "state": state, "found": finding.found, "advice": finding.advice});
    writeln!(out, "{line}")
}

/// Kernel, limits and cores.
fn host(report: &HostReport, config: &NodeConfig) -> Vec<Finding> {
    let mut findings = vec![Finding::good("kernel", report.kernel.clone())];
    findings.push(match &report.io_uring {
        Ok(()) => Finding::good("io_uring", "allowed, with every operation that is needed"),
        Err(error) => Finding::bad("io_uring", State::Unfit, "can't be used", error.to_string()),
    });
    let cores = report.cores.len();
    let shards = config.shards.map_or(cores, |shards| shards.get());
    findings.push(if shards > cores {
        let advice = format!("give --shards {cores} or fewer, or allow the process more cores");
        Finding::bad(
            "cores",
            State::Unfit,
            format!("{cores} for {shards} shards"),
            advice,
        )
    } else {
        Finding::good("cores", format!("{cores} for {shards} shards"))
    });
    findings.push(locked_memory(
        report,
        config.io_memory.saturating_mul(shards as u64),
    ));
    findings.push(open_files(report.open_files.hard));
    findings.push(Finding::good(
        "memory",
        format!("{} for this node", sized(config.memory)),
    ));
    findings
}

/// Registered buffers count three times against the limit, unless the process may pass it.
fn locked_memory(report: &HostReport, io_memory: u64) -> Finding {
    let limit = report.memlock.hard;
    let needed = io_memory
        .saturating_mul(RINGS)
        .saturating_add(rt::host::MEMLOCK_MIN);
    if report.ipc_lock || limit == u64::MAX {
        return Finding::good("locked memory", "as much as is needed");
    }
    if limit < rt::host::MEMLOCK_MIN {
        let advice =
            "set LimitMEMLOCK=infinity in the service, or --ulimit memlock=-1 in a container";
        return Finding::bad("locked memory", State::Unfit, sized(limit), advice);
    }
    if limit < needed {
        let advice = format!(
            "{} would let direct I/O use registered buffers, at half the CPU: set LimitMEMLOCK=infinity in the service, \
             --ulimit memlock=-1 in a container",
            sized(needed)
        );
        return Finding::bad("locked memory", State::Poor, sized(limit), advice);
    }
    Finding::good("locked memory", sized(limit))
}

fn open_files(limit: u64) -> Finding {
    let found = if limit == u64::MAX {
        "unlimited".to_owned()
    } else {
        grouped(limit)
    };
    let advice = "each connection and each segment in use takes one: set LimitNOFILE=1048576 in the service, --ulimit \
                  nofile=1048576 in a container";
    match limit {
        few if few < OPEN_FILES_LEAST => Finding::bad("open files", State::Unfit, found, advice),
        some if some < OPEN_FILES_GOOD => Finding::bad("open files", State::Poor, found, advice),
        _ => Finding::good("open files", found),
    }
}

fn clock_source() -> Finding {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = std::fs::read_to_string(path).unwrap_or_default();
    match source.trim() {
        // These are read without a system call.
        fast @ ("tsc"
        | "kvm-clock"
        | "arch_sys_counter"
        | "hyperv_clocksource_tsc_page"
        | "riscv_clocksource") => Finding::good("clock source", fast),
        "" => Finding::good("clock source", "not told by this kernel"),
        slow => Finding::bad(
            "clock source",
            State::Poor,
            slow,
            "every look at the clock costs a system call; boot with clocksource=tsc where the machine has a stable one",
        ),
    }
}

/// Records carry the broker's time, and retention goes by it.
fn clock() -> Finding {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if now < CLOCK_LEAST {
        let advice =
            "set it, and keep it with chrony or systemd-timesyncd: retention by time goes by it";
        return Finding::bad("clock", State::Unfit, "it stands in the past", advice);
    }
    Finding::good("clock", "set")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rt::host::{HostError, Limit};

    fn report() -> HostReport {
        HostReport {
            kernel: "6.1.0".to_owned(),
            io_uring: Ok(()),
            memlock: Limit {
                soft: u64::MAX,
                hard: u64::MAX,
            },
            ipc_lock: false,
            open_files: Limit {
                soft: 1 << 20,
                hard: 1 << 20,
            },
            cores: vec![0, 1],
        }
    }

    fn config(shards: &str) -> NodeConfig {
        let flags = vec![("shards", vec![shards.to_owned()])];
        NodeConfig::load(None, flags, Vec::new()).unwrap()
    }

    fn worst(report: &HostReport, shards: &str) -> State {
        host(report, &config(shards))
            .iter()
            .map(|finding| finding.state)
            .max()
            .unwrap()
    }

    #[test]
    fn a_good_host_is_good_and_each_lack_is_told() {
        assert_eq!(worst(&report(), "2"), State::Good);
        assert_eq!(worst(&report(), "3"), State::Unfit);
        assert_eq!(
            worst(
                &HostReport {
                    io_uring: Err(HostError::Refused),
                    ..report()
                },
                "1"
            ),
            State::Unfit
        );
        let limit = |hard| Limit { soft: hard, hard };
        assert_eq!(
            worst(
                &HostReport {
                    memlock: limit(64 << 10),
                    ..report()
                },
                "1"
            ),
            State::Unfit
        );
        assert_eq!(
            worst(
                &HostReport {
                    memlock: limit(8 << 20),
                    ..report()
                },
                "1"
            ),
            State::Poor
        );
        let may_pass = HostReport {
            memlock: limit(64 << 10),
            ipc_lock: true,
            ..report()
        };
        assert_eq!(worst(&may_pass, "1"), State::Good);
        assert_eq!(
            worst(
                &HostReport {
                    open_files: limit(1024),
                    ..report()
                },
                "1"
            ),
            State::Unfit
        );
        assert_eq!(
            worst(
                &HostReport {
                    open_files: limit(20_000),
                    ..report()
                },
                "1"
            ),
            State::Poor
        );
    }

    #[test]
    fn findings_carry_their_advice() {
        let mut out = Vec::new();
        print(
            &Finding::bad("open files", State::Poor, "20,000", "raise it"),
            &mut out,
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("poor   open files     20,000\n") && text.ends_with(" raise it\n"),
            "{text}"
        );
    }
}
