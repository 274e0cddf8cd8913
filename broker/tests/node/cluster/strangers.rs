//! Who must not be part of a cluster: said clearly, and without harm to those who are.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Nodes;
use super::nodes::eventually;
use crate::harness::{Broker, temp_dir};

/// Three nodes that still agree.
fn all_well(nodes: &mut Nodes) {
    for node in 1..=3 {
        nodes.wait_ready(node);
    }
}

#[test]
fn a_second_process_with_a_nodes_id_is_refused() {
    let mut nodes = Nodes::start(3, 1, &[]);
    let other = temp_dir();
    let mut options = nodes.options_in(2, other.path());
    options.listen = None;
    // Its own internal port is the other's; on another one it is still the same id.
    let at = options
        .arguments
        .iter()
        .position(|one| one == "--internal")
        .unwrap();
    options.arguments[at + 1] = "127.0.0.1:0".to_owned();
    let (status, log) = Broker::begin(&options).wait_end();
    // Whom it asks first may have heard of the other one lately, or only know that there is one.
    let said = match status.code() {
        Some(6) => log.contains("there is a node 2 already"),
        Some(2) => log.contains("node 2 was part of this cluster"),
        _ => false,
    };
    assert!(said, "{status}: {log}");
    all_well(&mut nodes);
}

#[test]
fn a_voter_that_forgot_its_votes_is_refused() {
    let mut nodes = Nodes::start(3, 1, &[]);
    nodes.take(3).kill();
    std::fs::remove_dir_all(nodes.dir_of(3)).unwrap();
    let (status, log) = Broker::begin(&nodes.options(3)).wait_end();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("node 3 was part of this cluster"), "{log}");
}

#[test]
fn a_node_of_another_cluster_is_refused() {
    let mut ours = Nodes::start(3, 1, &[]);
    let mut theirs = Nodes::start(3, 1, &[]);
    // A disk of theirs under a node of ours.
    ours.take(3).kill();
    theirs.take(3).kill();
    let stranger = Broker::begin(&ours.options_in(3, &theirs.dir_of(3)));
    eventually("the stranger is refused", || {
        ours.node(1).log().contains("belongs to cluster")
            || ours.node(2).log().contains("belongs to cluster")
    });
    stranger.kill();
    ours.begin(3);
    all_well(&mut ours);
}

#[test]
fn wrong_addresses_are_named() {
    let mut nodes = Nodes::new(3, 1, &[]);
    nodes.begin(1);
    nodes.begin(2);
    nodes.wait_ready(1);
    nodes.wait_ready(2);
    let mut options = nodes.options(3);
    let (one, two) = (nodes.internal(1), nodes.internal(2));
    for argument in &mut options.arguments {
        if argument.contains('@') {
            *argument = argument
                .replace(&one, "elsewhere")
                .replace(&two, &one)
                .replace("elsewhere", &two);
        }
    }
    let confused = Broker::begin(&options);
    let (status, log) = confused.wait_end();
    assert_eq!(status.code(), Some(6), "{log}");
    assert!(log.contains("this is node 2, not 1"), "{log}");
    nodes.begin(3);
    all_well(&mut nodes);
}

#[test]
fn who_speaks_something_else_on_the_internal_address_is_sent_away() {
    let mut nodes = Nodes::start(3, 1, &[]);
    for words in [
        "GET / HTTP/1.1\r\nHost: ottla\r\n\r\n",
        "OTTLACTL\u{7}\u{0}hello hello hello",
    ] {
        let mut stream = TcpStream::connect(nodes.internal(1)).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    eventually("it is said in the log", || {
        let log = nodes.node(1).log();
        log.contains("doesn't speak the protocol between nodes") && log.contains("version 7")
    });
    all_well(&mut nodes);
}
