//! The program as its users meet it: what it says, what it leaves, and with which exit code it ends when something
//! isn't as it should be.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use loadgen::report;
use loadgen::results::{Outcome, Results};
use tempfile::TempDir;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Run {
    dir: TempDir,
    child: Child,
}

/// What came of a run.
struct Ended {
    dir: TempDir,
    code: i32,
    said: String,
}

/// Two short lines, of which the second is `line`.
fn start(line: &str, args: &[&str]) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w.toml");
    let text = format!(
        "partitions = 2\nconsumers = 1\nseconds = 0.5\nwarm_up_seconds = 0.1\nrate = 1000\n\
         [[lines]]\nname = \"first\"\n[[lines]]\nname = \"second\"\n{line}\n"
    );
    std::fs::write(&file, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .arg("run")
        .arg("file")
        .arg(&file)
        .args(args)
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Run { dir, child }
}

impl Run {
    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: it is the number of a child that nobody has waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits until the first line's results are there, and the second runs.
    fn wait_for_the_second_line(&self) {
        let until = Instant::now() + PATIENCE;
        while report::load(&self.dir.path().join("out")).map_or(0, |found| found.lines.len()) < 1 {
            assert!(Instant::now() < until, "the first line never ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(700));
    }

    fn end(mut self) -> Ended {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > until {
                self.child.kill().unwrap();
                panic!("it doesn't end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let Output {
            status,
            stdout,
            stderr,
        } = self.child.wait_with_output().unwrap();
        let said = [stderr, stdout].concat();
        Ended {
            dir: self.dir,
            code: status.code().unwrap_or(-1),
            said: String::from_utf8(said).unwrap(),
        }
    }
}

impl Ended {
    fn results(&self) -> Results {
        report::load(&self.dir.path().join("out")).unwrap()
    }
}

fn run(args: &[&str]) -> Ended {
    start("", args).end()
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_left() {
    let memory = ["--driver", "memory"];
    for (args, said) in [
        (&["--rate", "1e12"][..], "up to 1e9 records/s"),
        (&["--rate=-1"], "above 0"),
        (&["--rate", "nan"], "above 0"),
        (&["--set", "partition=3"], "perhaps partitions"),
        (&["--lines", "frist"], "perhaps first"),
        (&["--option", "stal=3"], "no option stal"),
        (&["--out", "w.toml"], "is not a directory"),
    ] {
        let ended = run(&[&memory, args].concat());
        assert_eq!(ended.code, 2, "{args:?}: {}", ended.said);
        assert!(ended.said.contains(said), "{args:?}: {}", ended.said);
        let left = std::fs::read_dir(ended.dir.path()).unwrap().count();
        assert_eq!(left, 1, "{args:?}");
    }
    let ended = run(&["--driver", "memory", "--out", "w.toml/below"]);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(
        ended.said.contains("could not be written"),
        "{}",
        ended.said
    );
}

/// A port where whoever connects is told this, and then nothing.
fn says(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Who is gone already needs no answer.
            let _ = stream.write_all(text.as_bytes());
            open.push(stream);
        }
    });
    address
}

#[test]
fn systems_that_are_not_there_or_speak_something_else_are_told_apart() {
    let http = says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let nobody = closed_port();
    for driver in ["kafka", "rabbitmq", "rabbitmq-stream"] {
        for (address, said) in [(&http, "does not speak"), (&nobody, "cannot reach")] {
            let ended = run(&["--driver", driver, "--brokers", address, "--out", "out"]);
            assert_eq!(ended.code, 1, "{}", ended.said);
            assert!(ended.said.contains(said), "{driver}: {}", ended.said);
            assert!(ended.said.contains(address), "{driver}: {}", ended.said);
            assert!(!ended.dir.path().join("out").exists());
        }
    }
}

#[test]
fn one_system_that_is_not_there_does_not_keep_the_others_from_being_measured() {
    let nobody = closed_port();
    let gone = format!("gone=kafka@{nobody}");
    let ended = run(&["--target", "here=memory", "--target", &gone, "--out", "out"]);
    assert_eq!(ended.code, 1, "{}", ended.said);
    let results = ended.results();
    assert!(results.partial.unwrap().contains("first on gone"));
    let measured = |name: &str| {
        let of = results.lines.iter().filter(|line| line.system.name == name);
        of.filter(|line| matches!(line.outcome, Outcome::Measured(_)))
            .count()
    };
    assert_eq!((measured("here"), measured("gone")), (2, 0));
    // Once for both lines.
    assert_eq!(
        ended
            .said
            .matches("gone on all lines: failed: cannot reach")
            .count(),
        1,
        "{}",
        ended.said
    );
}

#[test]
fn a_rate_that_cannot_be_reached_is_marked() {
    let ended = run(&[
        "--driver",
        "memory",
        "--rate",
        "2e8",
        "--lines",
        "first",
        "--set",
        "consumers=0",
        "--option",
        "discard=true",
        "--out",
        "out",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert!(ended.said.contains("RATE NOT HELD"), "{}", ended.said);
    assert!(
        ended.said.contains("asked for 200000000 records/s"),
        "{}",
        ended.said
    );
    let page = std::fs::read_to_string(ended.dir.path().join("out/index.html")).unwrap();
    assert!(page.contains("rate not held"));
}

fn is_partial(ended: &Ended) {
    assert_eq!(ended.code, 130, "{}", ended.said);
    let results = ended.results();
    assert_eq!(results.partial.as_deref(), Some("broken off by the user"));
    assert!(matches!(results.lines[0].outcome, Outcome::Measured(_)));
    let Outcome::Failed { why, until } = &results.lines[1].outcome else {
        panic!("{:?}", results.lines[1].outcome);
    };
    assert_eq!(why, "broken off by the user");
    assert!(
        until.as_ref().unwrap().produced.records > 0,
        "{}",
        ended.said
    );
    assert!(ended.said.contains("PARTIAL"), "{}", ended.said);
    assert!(!ended.said.contains("did not end"), "{}", ended.said);
    let page = std::fs::read_to_string(ended.dir.path().join("out/index.html")).unwrap();
    assert!(page.contains("This run is partial"));
}

#[test]
fn a_run_that_is_broken_off_keeps_what_it_has() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let run = start("seconds = 600", &["--driver", "memory", "--out", "out"]);
        run.wait_for_the_second_line();
        run.signal(signal);
        // As `timeout` does it: once to the program, and once to its group.
        run.signal(signal);
        is_partial(&run.end());
    }
}

#[test]
fn a_user_in_a_hurry_waits_for_no_answer_and_keeps_what_there_is() {
    let stalls = ["stall-at=1200", "stall=600000"];
    let run = start(
        "seconds = 600",
        &[
            "--driver", "memory", "--option", stalls[0], "--option", stalls[1], "--out", "out",
        ],
    );
    run.wait_for_the_second_line();
    run.signal(libc::SIGINT);
    std::thread::sleep(Duration::from_millis(700));
    run.signal(libc::SIGINT);
    is_partial(&run.end());
}

/// A port of this machine where nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_directory_with_results_is_not_written_over() {
    let first = run(&["--driver", "memory", "--lines", "first", "--out", "out"]);
    assert_eq!(first.code, 0, "{}", first.said);
    let again = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args([
            "run", "file", "w.toml", "--driver", "memory", "--out", "out",
        ])
        .current_dir(first.dir.path())
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("results of another run"));
    assert!(Path::new(&first.dir.path().join("out/results.json")).exists());
}
