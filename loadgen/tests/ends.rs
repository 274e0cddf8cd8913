//! Workers return when they are told to, whatever they wait for, and leave no connection behind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use loadgen::driver::{self, Target};
use loadgen::engine::stop::Wanted;
use loadgen::engine::{Cores, Crew, Phase, Threads};
use loadgen::measure::tick::{Role, Said};
use loadgen::workload::Workload;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes connections and never says anything; hands out each.
fn silent() -> (u16, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, accepted) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if to.send(stream).is_err() {
                return;
            }
        }
    });
    (port, accepted)
}

/// Hears until a worker has ended.
fn ended(crew: &mut Threads) -> Option<(Role, usize)> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(Said::Ended(role, index, _)) = crew.hear(Duration::from_millis(100)) {
            return Some((role, index));
        }
    }
    None
}

/// What a client says to a listener that never answers; the connection's end is the end of it.
fn is_closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn workers_that_wait_for_an_answer_return_when_told_to() {
    for name in ["kafka", "rabbitmq", "rabbitmq-stream"] {
        let (port, accepted) = silent();
        let target = Target {
            driver: name.to_owned(),
            brokers: vec![format!("127.0.0.1:{port}")],
            name: name.to_owned(),
            options: [].into(),
        };
        let workload = Workload {
            topic: "t".to_owned(),
            producers: 1,
            consumers: 1,
            ..Workload::default()
        };
        let mut crew = Threads::new(driver::open(&target).unwrap(), Cores::free(), None);
        crew.phase(&Arc::new(workload), Phase::Live);
        for role in [Role::Consumer, Role::Producer] {
            crew.start(role);
            // It has connected, and waits to be answered.
            let stream = accepted.recv_timeout(PATIENCE).unwrap();
            crew.stop(role, Wanted::Abort);
            assert_eq!(ended(&mut crew), Some((role, 0)), "{name}");
            assert!(is_closed(stream), "{name}: {role:?}");
        }
    }
}

#[test]
fn workers_of_a_broker_that_stalls_return_when_told_to() {
    let options = [("stall-at", "0"), ("stall", "3600000")];
    let target = Target {
        driver: "memory".to_owned(),
        brokers: Vec::new(),
        name: "memory".to_owned(),
        options: options
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let workload = Arc::new(Workload {
        topic: "t".to_owned(),
        ..Workload::default()
    });
    let driver = driver::open(&target).unwrap();
    driver.prepare(&workload).unwrap();
    let mut crew = Threads::new(driver, Cores::free(), None);
    crew.phase(&workload, Phase::Live);
    crew.start(Role::Producer);
    crew.begin(loadgen::engine::Begin {
        start_ns: 0,
        zero_ns: 0,
        end_ns: None,
        records: None,
    });
    // Long enough for it to stall; if it hasn't by then, it returns all the same.
    std::thread::sleep(Duration::from_millis(200));
    crew.stop(Role::Producer, Wanted::Abort);
    assert_eq!(ended(&mut crew), Some((Role::Producer, 0)));
}
