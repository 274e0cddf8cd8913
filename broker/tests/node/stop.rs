//! A node that is told to stop is gone as soon as it says that it has stopped.

use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Broker, Options, cores, temp_dir};
use crate::roundtrip::{create_topic, produce, rows};

#[test]
fn the_process_ends_when_it_has_said_so() {
    let dir = temp_dir();
    let broker = Broker::start(&Options::with_shards(dir.path(), cores().min(2)));
    create_topic(&broker, "stopped", 40, &[]);
    produce(&broker, "stopped", &rows(500), &[]);
    // Clients that say nothing and don't go.
    let clients: Vec<TcpStream> = [broker.kafka, broker.admin, broker.kafka]
        .into_iter()
        .map(|address| TcpStream::connect(address).expect("a connection"))
        .collect();
    let (status, lived_on) = broker.stop_and_time();
    drop(clients);
    assert!(status.success(), "{status}");
    assert!(lived_on < Duration::from_millis(500), "{lived_on:?}");
}
