//! Slow readers and fast writers together, and a broker nobody uses.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kafka_protocol::messages::FetchRequest;

use super::{MIB, PATIENCE, Victim};
use crate::harness::Options;
use crate::semantics::records::{
    PLENTY, create, fetch_request, partitions_of, sized, store, wanted,
};
use crate::semantics::wire::encoded;

const READERS: usize = 50;
const WRITERS: usize = 4;
/// Megabytes that each writer writes before the readers come, and then again.
const WRITES: usize = 40;

/// What a slow reader sends: some fetches of 50 MB each.
fn fetches(topic: &crate::semantics::records::Topic, index: i32) -> Vec<u8> {
    let request = fetch_request(vec![wanted(12, topic, &[(index, 0, PLENTY)])]);
    let frame = encoded(12, 1, "slow", &request);
    let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&frame);
    bytes.repeat(4)
}

#[test]
fn slow_readers_and_fast_writers_stay_within_the_memory() {
    let victim = Victim::start_with(|options| options);
    let mut connection = victim.connect();
    let topic = create(&mut connection, "flood", WRITERS as i32, &[]);
    let write = |index: usize| {
        let mut connection = victim.connect();
        let records = sized(MIB - 1024);
        for _ in 0..WRITES {
            store(&mut connection, &topic, index as i32, &records);
        }
    };
    let write_all = || {
        std::thread::scope(|scope| {
            for index in 0..WRITERS {
                scope.spawn(move || write(index));
            }
        });
    };
    write_all();
    let before = victim.peak();
    let slow: Vec<TcpStream> = (0..READERS)
        .map(|at| {
            let mut stream = TcpStream::connect(victim.broker.kafka).expect("a connection");
            stream
                .write_all(&fetches(&topic, (at % WRITERS) as i32))
                .expect("taken");
            stream
        })
        .collect();
    let begun = Instant::now();
    write_all();
    eprintln!(
        "{} MiB written beside {READERS} readers that don't read, in {:?}; before them the peak was {} MiB",
        WRITERS * WRITES,
        begun.elapsed(),
        before / MIB
    );
    victim.assert_bounded("slow readers and fast writers");
    // One that does read gets its records.
    let begun = Instant::now();
    for _ in 0..4 {
        let request = fetch_request(vec![wanted(12, &topic, &[(0, 0, 2 << 20)])]);
        let partitions = partitions_of(victim.connect().call::<FetchRequest>(12, &request));
        assert!(
            partitions[0]
                .records
                .as_ref()
                .is_some_and(|records| !records.is_empty())
        );
    }
    eprintln!("a reader that reads was served in {:?}", begun.elapsed());
    victim.assert_unharmed();
    // And the slow ones when they begin.
    let mut stream = &slow[0];
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut some = vec![0; MIB];
    stream.read_exact(&mut some).expect("records");
    drop(slow);
    victim.assert_unharmed();
}

#[test]
fn an_idle_broker_is_small() {
    // As a user starts it, but for the addresses and the directories.
    let victim =
        Victim::start_with(|options: Options| options.argument("--memory").argument("25%"));
    std::thread::sleep(Duration::from_millis(500));
    let resident = victim.resident();
    eprintln!(
        "idle with default settings: {:.1} MiB resident",
        resident as f64 / MIB as f64
    );
    assert!(resident < 100_000_000, "{resident} bytes resident at idle");
    victim.assert_unharmed();
}
