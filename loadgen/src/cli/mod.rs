//! The command line.
//!
//! It owns what the user says and hears. Exit codes: 0 all went well; 1 something failed, or nothing could
//! be measured; 2 the command was wrong; 3 records were lost or damaged; 130 broken off by the user.

mod args;
mod date;
mod run;
mod worker;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::report;
use crate::results::Results;
use crate::suite;

use args::{Args, Command};

/// Something failed.
const FAILED: u8 = 1;
/// The command cannot be done as it was given.
const USAGE: u8 = 2;
/// Records were lost or damaged.
const UNTRUE: u8 = 3;
/// The user broke it off.
const INTERRUPTED: u8 = 130;

/// Why a command failed, and the exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    why: String,
}

impl Failure {
    fn usage(why: impl std::fmt::Display) -> Self {
        Self {
            code: USAGE,
            why: why.to_string(),
        }
    }

    fn failed(why: impl std::fmt::Display) -> Self {
        Self {
            code: FAILED,
            why: why.to_string(),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    // What RabbitMQ's client library logs is in the error that it gives, too. Whom a worker works for is
    // nowhere but in what it logs.
    let logged = match args.command {
        Command::Worker(_) => "error,loadgen::workers=info,lapin=off",
        _ => "error,lapin=off",
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(logged)),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = match args.command {
        Command::Run(run) => run::run(&run),
        Command::Worker(worker) => worker::serve(&worker.listen),
        Command::List { suite } => list(suite.as_deref()),
        Command::Report(report) => merged(&report.dirs, report.out, report.json),
        Command::Compare { a, b } => compare(&a, &b),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("loadgen: {}", failure.why);
            ExitCode::from(failure.code)
        }
    }
}

/// Prints to the standard output; that nobody reads any more is no failure.
fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end());
}

fn print_json(results: &Results) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(results).map_err(Failure::failed)?;
    print(&json);
    Ok(())
}

fn list(wanted: Option<&str>) -> Result<u8, Failure> {
    let mut text = String::new();
    for known in suite::KNOWN {
        if wanted.is_some_and(|wanted| wanted != known.name) {
            continue;
        }
        text += &format!("{:16} {}\n", known.name, known.about);
        if known.takes_file {
            continue;
        }
        let suite = suite::open(known.name, None, 1.0).map_err(Failure::usage)?;
        for line in suite.lines {
            text += &format!("    {:26} {}\n", line.workload.name, line.workload.title);
        }
    }
    if let (true, Some(wanted)) = (text.is_empty(), wanted) {
        // Says which there are.
        suite::open(wanted, None, 1.0).map_err(Failure::usage)?;
    }
    print(&text);
    Ok(0)
}

fn merged(dirs: &[PathBuf], out: Option<PathBuf>, json: bool) -> Result<u8, Failure> {
    let all: Result<Vec<Results>, _> = dirs.iter().map(|dir| report::load(dir)).collect();
    let results = report::merge(all.map_err(Failure::failed)?);
    if let Some(out) = &out {
        report::write(out, &results).map_err(Failure::failed)?;
    }
    if json {
        print_json(&results)?;
    } else {
        print(&report::terminal::summary(&results));
    }
    if let Some(out) = out {
        eprintln!("written to {}", out.display());
    }
    Ok(0)
}

fn compare(a: &std::path::Path, b: &std::path::Path) -> Result<u8, Failure> {
    let a = report::load(a).map_err(Failure::failed)?;
    let b = report::load(b).map_err(Failure::failed)?;
    print(&report::compare(&a, &b).to_string());
    Ok(0)
}
