//! Twenty thousand connections that do nothing.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use socket2::{Domain, Socket, Type};

use super::{MIB, Victim};

/// How many connections, where the limit of open files allows it.
const CROWD: usize = 20_000;
/// Open files that the broker needs for itself and others.
const SPARE: usize = 300;
/// The most that one idle connection may cost in resident memory.
const EACH: usize = 8 * 1024;
/// Connections of one source address: its ports are not used up by that.
const OF_ONE_SOURCE: usize = 5_000;

const TARGET: &str = "OTTLA_TEST_CROWD_TARGET";

/// The most files that a process may open here. Raises this process's own limit to it.
fn open_files() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: plain system call that fills the structure it is given.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(got, 0);
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: plain system call that reads the structure it is given.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0);
    usize::try_from(limit.rlim_max).expect("a number of files")
}

fn connect_from(source: u8, target: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 7, source), 0));
    socket
        .bind(&from.into())
        .expect("a port of a loopback address");
    socket.connect(&target.into()).expect("a connection");
    socket
}

/// Not a test: the process that holds the connections, because files are counted by process and other
/// tests need some too. Holds them until its standard input ends.
#[test]
#[ignore = "run by another test"]
fn holds_connections() {
    let Ok(target) = std::env::var(TARGET) else {
        return;
    };
    let (address, count) = target.split_once(' ').expect("an address and a count");
    let address: SocketAddr = address.parse().expect("an address");
    let count: usize = count.parse().expect("a count");
    open_files();
    let connect = |at: usize| connect_from((1 + at / OF_ONE_SOURCE) as u8, address);
    let held: Vec<Socket> = (0..count).map(connect).collect();
    eprintln!("holding {}", held.len());
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

/// Starts that process and waits until it holds `count` connections.
fn hold(target: SocketAddr, count: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "hostile::crowd::holds_connections",
            "--ignored",
            "--nocapture",
        ])
        .env(TARGET, format!("{target} {count}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test, again");
    let said = BufReader::new(child.stderr.take().expect("a pipe"));
    let holds = said.lines().map_while(Result::ok).find(|line| {
        eprintln!("the crowd: {line}");
        line.starts_with("holding")
    });
    assert!(holds.is_some(), "the crowd did not come together");
    child
}

fn connections(victim: &Victim) -> usize {
    let fds = std::fs::read_dir(format!("/proc/{}/fd", victim.broker.pid()));
    fds.expect("its files").count()
}

#[test]
fn a_crowd_that_does_nothing_costs_little() {
    let allowed = open_files().saturating_sub(SPARE);
    let count = CROWD.min(allowed);
    if count < CROWD {
        eprintln!("the limit of open files leaves room for {count} connections, not {CROWD}");
    }
    let victim = Victim::start_with(|options| options);
    victim.serve_others();
    let before = victim.resident();
    let mut crowd = hold(victim.broker.kafka, count);
    let begun = std::time::Instant::now();
    while connections(&victim) < count {
        assert!(begun.elapsed() < super::PATIENCE, "not all were accepted");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let slowest = victim.serve_others();
    let resident = victim.resident();
    let each = resident.saturating_sub(before) / count;
    eprintln!(
        "{count} idle connections: {} MiB resident ({} before), {each} bytes each; a client beside them took {slowest:?}",
        resident / MIB,
        before / MIB
    );
    assert!(each < EACH, "{each} bytes for each connection");
    victim.assert_unharmed();
    // They all go at once.
    drop(crowd.stdin.take());
    crowd.wait().expect("its end");
    let begun = std::time::Instant::now();
    while connections(&victim) > SPARE {
        assert!(
            begun.elapsed() < super::PATIENCE,
            "connections were not given up"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    victim.assert_unharmed();
}
