//! `loadgen run`: a suite on its systems, in turn.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::args::RunArgs;
use super::{FAILED, Failure, INTERRUPTED, UNTRUE, date, print, print_json};
use crate::driver::{self, Driver, SystemInfo, Target};
use crate::engine::{Cores, Crew, Interrupt, Ran, Runner, Threads, Watch};
use crate::machine::{self, Brokers};
use crate::report::{self, ReportError, terminal::Live};
use crate::results::{Line, Outcome, Results, SCHEMA, Second, System};
use crate::suite::{self, Planned, Suite};
use crate::workers::{self, Workers};
use crate::workload::Workload;

/// A system and what it said of itself.
struct Peer {
    target: Target,
    driver: Arc<dyn Driver>,
    /// Why it can't be used, if it can't.
    info: Result<SystemInfo, String>,
}

/// Shows a line that runs.
struct Shown<'a> {
    live: &'a mut Live,
    name: String,
}

impl Watch for Shown<'_> {
    fn second(&mut self, second: &Second) {
        self.live.tick(&self.name, second);
    }

    fn says(&mut self, what: &str) {
        tracing::info!(line = self.name, "{what}");
    }
}

struct Session<'a> {
    args: &'a RunArgs,
    peers: Vec<Peer>,
    /// None where all runs in this process.
    workers: Option<Workers>,
    results: Results,
    out: PathBuf,
    run_id: String,
    began: Instant,
    live: Live,
    interrupt: Interrupt,
    write_error: Option<String>,
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Runs what was asked for.
pub(super) fn run(args: &RunArgs) -> Result<u8, Failure> {
    let targets = args.targets().map_err(Failure::usage)?;
    let suite = planned(args)?;
    let now = seconds_since_1970();
    let out = args.out.clone().unwrap_or_else(|| {
        let time = date::rfc3339(now).replace([':', '-'], "");
        PathBuf::from(format!("loadgen-{}-{time}", suite.name))
    });
    if out.exists() && !out.is_dir() {
        return Err(Failure::usage(format!(
            "{} is not a directory: give another with --out",
            out.display()
        )));
    }
    if out.join("results.json").exists() {
        return Err(Failure::usage(format!(
            "{} holds the results of another run: give another directory with --out",
            out.display()
        )));
    }
    let interrupt = Interrupt::default();
    listen_to_the_user(&interrupt)?;
    let workers = (!args.workers.is_empty()).then(|| Workers::connect(&args.workers));
    let workers = workers.transpose().map_err(Failure::failed)?;
    let peers: Vec<Peer> = targets.into_iter().map(peer).collect::<Result<_, _>>()?;
    if let [
        Peer {
            target,
            info: Err(why),
            ..
        },
    ] = &peers[..]
    {
        return Err(Failure::failed(format!("{}: {why}", target.name)));
    }
    let total = suite.lines.len() * peers.len() * args.repeats as usize;
    let mut session = Session {
        args,
        peers,
        workers,
        results: Results {
            schema: SCHEMA,
            suite: suite.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: std::env::args().collect(),
            started: date::rfc3339(now),
            machine: machine::describe(),
            partial: Some("it had not come to its end when this was written".to_owned()),
            lines: Vec::new(),
        },
        out,
        run_id: format!("loadgen-{now:x}-{:x}", std::process::id()),
        began: Instant::now(),
        live: Live::new(total),
        interrupt,
        write_error: None,
    };
    // That nothing can be written there is better known now than after the first line.
    report::write(&session.out, &session.results).map_err(Failure::failed)?;
    session.all(&suite);
    session.end()
}

/// The suite with what the user wants otherwise.
fn planned(args: &RunArgs) -> Result<Suite, Failure> {
    let mut suite =
        suite::open(&args.suite, args.file.as_deref(), args.scale).map_err(Failure::usage)?;
    suite.pick(&args.lines).map_err(Failure::usage)?;
    for line in &mut suite.lines {
        let workload = &mut line.workload;
        if let Some(rate) = args.rate {
            workload.rate = (rate != 0.0).then_some(rate);
            workload.rates.clear();
        }
        if let Some(seconds) = args.seconds {
            (workload.seconds, workload.records) = (seconds, None);
        }
        if args.records.is_some() {
            workload.records = args.records;
        }
        for field in &args.set {
            *workload = suite::set(workload, field).map_err(Failure::usage)?;
        }
        workload.check().map_err(Failure::usage)?;
    }
    Ok(suite)
}

fn peer(target: Target) -> Result<Peer, Failure> {
    let driver = driver::open(&target).map_err(Failure::usage)?;
    let info = driver.describe().map_err(|error| error.to_string());
    Ok(Peer {
        target,
        driver,
        info,
    })
}

/// Signals that come so soon after one another are one wish: `timeout` and some shells send them to a program and
/// once more to all of its group.
const SAME_WISH: Duration = Duration::from_millis(300);

/// The first Ctrl-C ends what runs, the second ends at once, and the third ends the program.
fn listen_to_the_user(interrupt: &Interrupt) -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(Failure::failed)?;
    let interrupt = interrupt.clone();
    std::thread::spawn(move || {
        let mut last: Option<Instant> = None;
        for _ in signals.forever() {
            if last
                .replace(Instant::now())
                .is_some_and(|last| last.elapsed() < SAME_WISH)
            {
                continue;
            }
            match interrupt.0.fetch_add(1, Ordering::Relaxed) {
                0 => eprintln!("\nloadgen: breaking off, and keeping what was measured"),
                1 => eprintln!(
                    "\nloadgen: not waiting for answers; once more ends the program at once"
                ),
                _ => std::process::exit(i32::from(INTERRUPTED)),
            }
        }
    });
    Ok(())
}

impl Session<'_> {
    /// Every line on every system before the next line; each time another system begins.
    fn all(&mut self, suite: &Suite) {
        let peers = self.peers.len();
        for repeat in 0..self.args.repeats as usize {
            for (number, line) in suite.lines.iter().enumerate() {
                for turn in 0..peers {
                    let peer = (turn + repeat + number) % peers;
                    let done = self.line(line, repeat, peer);
                    self.live.done(&done);
                    self.results.lines.push(done);
                    if let Err(error) = report::write(&self.out, &self.results) {
                        self.write_error = Some(error.to_string());
                        return;
                    }
                    if self.interrupt.asked() > 0 {
                        return;
                    }
                }
            }
        }
    }

    fn line(&mut self, planned: &Planned, repeat: usize, peer: usize) -> Line {
        let Peer { target, info, .. } = &self.peers[peer];
        let brokers = info.as_ref().map_or(0, |info| info.brokers);
        let (mut workload, fitted) = suite::fit(planned.workload.at_rate_of(&target.name), brokers);
        if workload.topic.is_empty() {
            workload.topic = topic(&self.run_id, &workload, target, repeat);
        }
        let mut line = Line {
            id: workload.name.clone(),
            title: workload.title.clone(),
            system: system(target, info.as_ref().ok()),
            repeat,
            began: self.began.elapsed().as_secs_f64(),
            original: planned.original(&target.driver),
            outcome: Outcome::Skipped { why: String::new() },
            notes: planned.notes.iter().cloned().chain(fitted).collect(),
            workers: Vec::new(),
            workload,
        };
        if let Err(why) = info {
            let why = why.clone();
            line.outcome = Outcome::Failed { why, until: None };
            return line;
        }
        if let Some(why) = left_out(planned, target) {
            line.outcome = Outcome::Skipped { why };
            return line;
        }
        self.measure(&mut line, peer);
        line
    }

    /// Runs a line, here or in the workers.
    fn measure(&mut self, line: &mut Line, peer: usize) {
        let Peer { target, driver, .. } = &self.peers[peer];
        let brokers = Brokers::find(&self.args.broker_pids, &target.brokers);
        let mut shown = Shown {
            live: &mut self.live,
            name: format!("{} on {}", line.title, target.name),
        };
        let (workload, interrupt) = (line.workload.clone(), self.interrupt.clone());
        let run = |crew: &mut dyn Crew| -> Ran {
            Runner::new(&**driver, crew, brokers, interrupt, &mut shown, workload).run()
        };
        let ran = match &mut self.workers {
            None => {
                let cores = if self.args.pin {
                    Cores::all()
                } else {
                    Cores::free()
                };
                run(&mut Threads::new(Arc::clone(driver), cores, None))
            }
            Some(workers) => match workers.line(target, self.args.pin) {
                Ok(mut crew) => {
                    let ran = run(&mut crew);
                    line.workers = crew.end();
                    ran
                }
                Err(why) => {
                    line.outcome = Outcome::Failed { why, until: None };
                    return;
                }
            },
        };
        if ran.system.is_some() {
            line.system = system(target, ran.system.as_ref());
        }
        line.notes.extend(ran.notes);
        let clocks = workers::notes(&line.workers, ran.outcome.measured());
        line.notes.extend(clocks);
        line.outcome = ran.outcome;
    }

    fn end(mut self) -> Result<u8, Failure> {
        self.results.partial = if self.interrupt.asked() > 0 {
            Some("broken off by the user".to_owned())
        } else if let Some(error) = &self.write_error {
            Some(format!(
                "broken off because results could not be written: {error}"
            ))
        } else {
            lost_systems(&self.results)
        };
        let mut written = report::write(&self.out, &self.results);
        if let Err(ReportError::Full { .. }) = written
            && report::write_figures(&self.out, &self.results).is_ok()
        {
            self.write_error = Some(format!(
                "the disk is full: {0} has all figures, and neither page nor histograms; `loadgen report {0} --out \
                 ELSEWHERE` makes them again",
                self.out.display()
            ));
            written = Ok(());
        }
        if self.args.json {
            print_json(&self.results)?;
        } else {
            print(&report::terminal::summary(&self.results));
        }
        // What could not be written is at least on the terminal now.
        if let Some(why) = self.write_error.take() {
            return Err(Failure::failed(why));
        }
        written.map_err(Failure::failed)?;
        eprintln!("written to {}", Path::new(&self.out).display());
        Ok(if self.interrupt.asked() > 0 {
            INTERRUPTED
        } else {
            code(&self.results)
        })
    }
}

/// Why a system is not asked to do a line.
fn left_out(planned: &Planned, target: &Target) -> Option<String> {
    if let Some((kind, why)) = &planned.not_for
        && kind_of(&target.driver) == *kind
    {
        return Some(why.clone());
    }
    (!planned.workload.has_rate_for(&target.name)).then(|| {
        format!(
            "each system has a rate of its own on this line, and {} has none",
            target.name
        )
    })
}

fn kind_of(driver: &str) -> &str {
    match driver {
        "rabbitmq" | "amqp" => "amqp",
        other => other,
    }
}

fn lost_systems(results: &Results) -> Option<String> {
    let lines = results.lines.iter();
    let failed = lines.filter(|line| matches!(line.outcome, Outcome::Failed { .. }));
    let mut names: Vec<String> = Vec::new();
    for line in failed {
        let name = format!("{} on {}", line.id, line.system.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| format!("not everything came to its end: {}", names.join(", ")))
}

/// The exit code these results call for.
fn code(results: &Results) -> u8 {
    let mut code = 0;
    let mut measured = false;
    for line in &results.lines {
        match &line.outcome {
            Outcome::Failed { .. } => return FAILED,
            Outcome::Skipped { .. } => {}
            Outcome::Measured(figures) => {
                measured = true;
                if figures.verified.lost + figures.verified.corrupted > 0 {
                    code = UNTRUE;
                }
            }
        }
    }
    if measured { code } else { FAILED }
}

fn system(target: &Target, info: Option<&SystemInfo>) -> System {
    let mut system = System {
        name: target.name.clone(),
        driver: target.driver.clone(),
        ..System::default()
    };
    if let Some(info) = info {
        system.product.clone_from(&info.product);
        system.version.clone_from(&info.version);
        system.brokers = info.brokers;
        system.settings.clone_from(&info.settings);
    }
    // What was chosen on the command line matters as much as what the system says.
    for (name, value) in &target.options {
        system
            .settings
            .entry(format!("option {name}"))
            .or_insert_with(|| value.clone());
    }
    system
}

/// A topic's name: of this run, line, system and repeat only, so that no other's records are met.
fn topic(run_id: &str, workload: &Workload, target: &Target, repeat: usize) -> String {
    let name = format!("{run_id}-{}-{}-{repeat}", workload.name, target.name);
    name.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || letter == '-' {
                letter
            } else {
                '_'
            }
        })
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::{super::args::target, topic};
    use crate::workload::Workload;

    #[test]
    fn topics_have_names_that_all_systems_take() {
        let workload = Workload {
            name: "a b/ü".to_owned(),
            ..Workload::default()
        };
        let target = target("my system=kafka@h:1").unwrap();
        let name = topic("loadgen-1-2", &workload, &target, 3);
        assert_eq!(name, "loadgen-1-2-a_b__-my_system-3");
    }
}
