//! What can be said on the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::driver::Target;

/// Reproduces known benchmarks of event streaming brokers, checks every record, and sets systems side by side.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, propagate_version = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a suite on one or several systems.
    Run(Box<RunArgs>),
    /// Show the suites and their lines.
    List {
        /// Only this suite.
        suite: Option<String>,
    },
    /// Run producers and consumers for `loadgen run --workers`, which tells it what to do.
    Worker(WorkerArgs),
    /// Put the results of runs together.
    Report(ReportArgs),
    /// Say what differs between two runs, and whether it is more than the noise.
    Compare {
        /// Directory of the first run.
        a: PathBuf,
        /// Directory of the second.
        b: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "There is no authentication: a worker does what whoever connects to it says. Let it \
    listen on a network that is trusted, and only there.\n\
    It prints the address it listens at, works for one coordinator at a time and waits for the next, \
    until Ctrl-C or SIGTERM. It must be of the coordinator's version, and reach the brokers by the \
    addresses that the coordinator was given."
)]
pub(super) struct WorkerArgs {
    /// Where to wait for the coordinator; port 0 is any that is free.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9655")]
    pub(super) listen: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Directories of runs.
    #[arg(required = true)]
    pub(super) dirs: Vec<PathBuf>,
    /// Write the merged report to this directory.
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
    /// Print the results as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all went well; 1 something failed; 2 the command was wrong; \
    3 records were lost or damaged; 130 broken off.\n\
    Ctrl-C ends the line that runs and keeps what was measured; a second one ends at once."
)]
pub(super) struct RunArgs {
    /// Which suite; `loadgen list` shows all.
    pub(super) suite: String,
    /// The workload file, for the suites omb and file.
    pub(super) file: Option<PathBuf>,
    /// Where the system is.
    #[arg(long, value_name = "HOST:PORT", num_args = 1.., value_delimiter = ',')]
    pub(super) brokers: Vec<String>,
    /// The protocol: kafka (Ottla, Kafka, Redpanda), rabbitmq, rabbitmq-stream, or memory, which needs no system.
    #[arg(long, default_value = "kafka")]
    pub(super) driver: String,
    /// A setting of the driver, such as queue=quorum.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub(super) options: Vec<String>,
    /// A system by itself; several are run in turn, each line on all of them before the next.
    #[arg(
        long = "target",
        value_name = "NAME=DRIVER@HOST:PORT[,...][,OPTION=VALUE...]"
    )]
    pub(super) targets: Vec<String>,
    /// Only these lines of the suite.
    #[arg(long, value_delimiter = ',')]
    pub(super) lines: Vec<String>,
    /// How often to run everything; the order of the systems moves on each time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) repeats: u32,
    /// How long, compared with the original: 0.1 is a tenth of its records and times.
    #[arg(long, default_value_t = 1.0)]
    pub(super) scale: f64,
    /// Records per second over all producers, for every line; 0 is as fast as they can.
    #[arg(long)]
    pub(super) rate: Option<f64>,
    /// How long to measure, for every line.
    #[arg(long, conflicts_with = "records")]
    pub(super) seconds: Option<f64>,
    /// How many records to send, for every line.
    #[arg(long)]
    pub(super) records: Option<u64>,
    /// Set a field of every line's workload, such as producers=8 or topic_settings.retention.ms=60000.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub(super) set: Vec<String>,
    /// Directory for the results, made if it isn't there [default: loadgen-SUITE-TIME].
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
    /// Print the results as JSON instead of a summary.
    #[arg(long)]
    pub(super) json: bool,
    /// Processes of the (only) system, where they can't be found by the ports they listen at.
    #[arg(long = "broker-pid", value_name = "PID", value_delimiter = ',')]
    pub(super) broker_pids: Vec<u32>,
    /// Run producers and consumers in these processes (`loadgen worker`), which get them in turn.
    #[arg(
        long,
        value_name = "HOST:PORT",
        num_args = 1..,
        value_delimiter = ','
    )]
    pub(super) workers: Vec<String>,
    /// Keep each producer and consumer on a core of its own, as far as there are cores.
    #[arg(long)]
    pub(super) pin: bool,
}

/// `name=value` pairs.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A target as `--target` has it.
pub(super) fn target(text: &str) -> Result<Target, String> {
    let wrong = || format!("{text:?} is not NAME=DRIVER@HOST:PORT[,...][,OPTION=VALUE...]");
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (driver, rest) = rest.split_once('@').unwrap_or((rest, ""));
    if name.is_empty() || driver.is_empty() {
        return Err(wrong());
    }
    let mut target = Target {
        driver: driver.to_owned(),
        brokers: Vec::new(),
        name: name.to_owned(),
        options: BTreeMap::new(),
    };
    for part in rest.split(',').filter(|part| !part.is_empty()) {
        if part.contains('=') && !part.contains("://") {
            let (name, value) = pair(part)?;
            target.options.insert(name, value);
        } else {
            target.brokers.push(part.to_owned());
        }
    }
    Ok(target)
}

impl RunArgs {
    /// The systems.
    pub(super) fn targets(&self) -> Result<Vec<Target>, String> {
        let mut targets: Vec<Target> = self
            .targets
            .iter()
            .map(|text| target(text))
            .collect::<Result<_, _>>()?;
        if !self.brokers.is_empty() || self.driver == "memory" {
            let options = self.options.iter().map(|text| pair(text));
            targets.insert(
                0,
                Target {
                    driver: self.driver.clone(),
                    brokers: self.brokers.clone(),
                    name: self.driver.clone(),
                    options: options.collect::<Result<_, _>>()?,
                },
            );
        } else if !self.options.is_empty() {
            return Err(
                "--option goes with --brokers; in --target options stand behind the address"
                    .to_owned(),
            );
        }
        if targets.is_empty() {
            return Err("say where the system is: --brokers HOST:PORT, or --target".to_owned());
        }
        for (at, target) in targets.iter().enumerate() {
            if target.brokers.is_empty() && target.driver != "memory" {
                return Err(format!("target {} has no address", target.name));
            }
            if targets[..at].iter().any(|other| other.name == target.name) {
                return Err(format!("two targets have the name {}", target.name));
            }
        }
        if !self.broker_pids.is_empty() && targets.len() > 1 {
            return Err("--broker-pid goes with one system only".to_owned());
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(format!("--scale is above 0, not {}", self.scale));
        }
        self.check_workers(&targets)?;
        Ok(targets)
    }

    fn check_workers(&self, targets: &[Target]) -> Result<(), String> {
        for (at, worker) in self.workers.iter().enumerate() {
            let port = worker.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            if !matches!(port, Some(Ok(1..))) {
                return Err(format!("{worker:?} is not the HOST:PORT of a worker"));
            }
            if self.workers[..at].contains(worker) {
                return Err(format!(
                    "worker {worker} is given twice, and works for one at a time"
                ));
            }
        }
        let keeps = |target: &Target| {
            let discards = target.options.get("discard").is_some_and(|it| it == "true");
            target.driver == "memory" && !discards
        };
        if !self.workers.is_empty() && targets.iter().any(keeps) {
            return Err(
                "the driver memory is in one process only: with --workers it takes --option discard=true"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use clap::{CommandFactory, Parser};

    use super::{Args, Command, target};

    #[test]
    fn the_command_line_is_whole() {
        Args::command().debug_assert();
    }

    #[test]
    fn targets_are_read() {
        let one = target("q=rabbitmq@amqp://u:p@h:5672/%2f,queue=quorum").unwrap();
        assert_eq!((&*one.name, &*one.driver), ("q", "rabbitmq"));
        assert_eq!(one.brokers, ["amqp://u:p@h:5672/%2f"]);
        assert_eq!(one.options["queue"], "quorum");
        let two = target("k=kafka@a:1,b:2").unwrap();
        assert_eq!(two.brokers, ["a:1", "b:2"]);
        assert!(target("kafka@a:1").is_err());
    }

    #[test]
    fn what_is_missing_is_said() {
        let said = |args: &[&str]| {
            let args = Args::parse_from(["loadgen", "run", "kreps-2014"].iter().chain(args));
            match args.command {
                Command::Run(run) => run.targets().unwrap_err(),
                _ => panic!(),
            }
        };
        assert!(said(&[]).contains("--brokers"));
        assert!(said(&["--target", "a=kafka"]).contains("no address"));
        assert!(
            said(&["--target", "a=kafka@h:1", "--target", "a=kafka@h:2"]).contains("two targets")
        );
        assert!(said(&["--brokers", "h:1", "--scale", "0"]).contains("--scale"));
        let workers = |list: &str| said(&["--brokers", "h:1", "--workers", list]);
        assert!(workers("a:1,b").contains("\"b\" is not the HOST:PORT"));
        assert!(workers("a:1,b:2,a:1").contains("worker a:1 is given twice"));
        assert!(said(&["--driver", "memory", "--workers", "a:1"]).contains("discard=true"));
    }
}
