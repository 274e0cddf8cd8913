//! `faultfs DIR`: serves a file system that fails on purpose, steered by lines on standard input.
//!
//! Says `ready` when it is mounted, then `ok COUNTS` or `error WHY` to each line. Unmounts and ends with its input.

use faultfs::{COMMANDS, FaultFs};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [dir] = arguments.as_slice() else {
        eprintln!(
            "usage: faultfs DIR\n\nmounts on DIR and reads commands, one a line:\n{COMMANDS}"
        );
        return ExitCode::from(2);
    };
    match serve(PathBuf::from(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On standard output too: it is what a program that started this one reads.
            println!("error {error}");
            eprintln!("faultfs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(dir: PathBuf) -> io::Result<()> {
    let file_system = FaultFs::mount(dir)?;
    let controls = file_system.controls();
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        match controls.run_line(&line?) {
            Ok(counts) => writeln!(out, "ok {counts}")?,
            Err(error) => writeln!(out, "error {}", error.to_string().replace('\n', " "))?,
        }
        out.flush()?;
    }
    Ok(())
}
