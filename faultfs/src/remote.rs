//! The file system in another process: starting it, and talking with it by lines.
//!
//! Owns the process and its pipe. Must never outlive them: closing the pipe ends the process, which unmounts.

use crate::command::Command;
use crate::faults::Stats;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::{env, fs};

/// What `faultfs` says when it is mounted.
pub(crate) const READY: &str = "ready";

#[derive(Debug)]
pub(crate) struct Pipe {
    process: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

fn other(text: String) -> io::Error {
    io::Error::other(text)
}

impl Pipe {
    pub(crate) fn start(program: &Path, dir: &Path) -> io::Result<Self> {
        let mut process = std::process::Command::new(program)
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("{} can't be run: {error}", program.display()),
                )
            })?;
        let (Some(to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(other("the process has no pipes".into()));
        };
        let mut pipe = Self {
            process,
            to: Some(to),
            from: BufReader::new(from),
        };
        match pipe.line()?.as_str() {
            READY => Ok(pipe),
            said => Err(other(said.to_owned())),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            let status = self.process.wait()?;
            return Err(other(format!("faultfs has ended ({status})")));
        }
        Ok(line.trim_end().to_owned())
    }

    pub(crate) fn send(&mut self, command: &Command) -> io::Result<Stats> {
        let to = self
            .to
            .as_mut()
            .ok_or_else(|| other("faultfs has been closed".into()))?;
        writeln!(to, "{command}")?;
        to.flush()?;
        let said = self.line()?;
        let counts = said
            .strip_prefix("ok ")
            .ok_or_else(|| other(format!("faultfs: {said}")))?;
        counts.parse().map_err(other)
    }

    /// Ends the process, waiting for it: after this the directory is no longer mounted.
    pub(crate) fn close(&mut self) {
        drop(self.to.take());
        // It ends by itself when its input does; an error here means that it already has.
        let _status = self.process.wait();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.close();
    }
}

/// The program `faultfs`.
pub(crate) fn program() -> io::Result<PathBuf> {
    if let Some(given) = env::var_os("FAULTFS_BIN") {
        return Ok(given.into());
    }
    // A test is <target>/<profile>/deps/NAME-HASH, a program <target>/<profile>/NAME.
    let me = env::current_exe()?;
    let mut profile = me.parent().unwrap_or(Path::new("."));
    if profile.ends_with("deps") {
        profile = profile.parent().unwrap_or(profile);
    }
    let program = profile.join("faultfs");
    if let Some(cargo) = env::var_os("CARGO").filter(|_| is_stale(&program)) {
        build(Path::new(&cargo), profile)?;
    }
    if program.exists() {
        return Ok(program);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "{} isn't there: build it (cargo build -p faultfs), or set FAULTFS_BIN",
            program.display()
        ),
    ))
}

/// Whether the program is missing or older than a source of it.
fn is_stale(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let newest = fs::read_dir(sources)
        .ok()
        .and_then(|files| files.flatten().filter_map(|f| changed(&f.path())).max());
    // Without the sources there is nothing to build from.
    newest > changed(program)
}

/// Has cargo build the program beside the test: cargo builds the programs of the packages under test only.
fn build(cargo: &Path, profile: &Path) -> io::Result<()> {
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut command = std::process::Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--package",
        "faultfs",
        "--bin",
        "faultfs",
        "--profile",
        name,
    ]);
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    let built = command.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if built.success() {
        Ok(())
    } else {
        Err(other(format!("cargo could not build faultfs ({built})")))
    }
}
