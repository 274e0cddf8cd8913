//! Answers leave in the order of the requests, whatever the order they are given in.

use super::*;

#[test]
fn slots_filled_last_first_leave_first_first() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    for id in 0..5 {
        peer.ask(id, ask::HOLD, &[id as u8]);
    }
    peer.ask(5, ask::ECHO, b"at once");
    server.wait_for_handled(6);
    peer.expect_silence();
    server.release();
    for id in 0..5 {
        assert_eq!(peer.answer(), (id, vec![id as u8]));
    }
    assert_eq!(peer.answer(), (5, b"at once".to_vec()));
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn a_thousand_requests_at_once_are_answered_in_order() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    let mut all = Vec::new();
    for id in 0..1000 {
        let what = [ask::ECHO, ask::LATER, ask::ECHO][id as usize % 3];
        all.extend_from_slice(&request(id, what, &id.to_le_bytes()));
    }
    peer.send(&all);
    for id in 0..1000_i32 {
        assert_eq!(peer.answer(), (id, id.to_le_bytes().to_vec()));
    }
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn frames_of_all_sizes_in_pieces_of_all_sizes_arrive_whole() {
    for buffers in [1024 * 1024, 0] {
        let server = Server::start(Setup {
            buffers,
            ..Setup::default()
        });
        let mut peer = server.connect();
        let mut reader = Peer {
            stream: peer.stream.try_clone().unwrap(),
        };
        let sizes: &[usize] = &[
            0, 1, 900, 1009, 1010, 1011, 3000, 16_384, 65_000, 65_525, 70_000, 300_000, 5,
            1_100_000, 3_000_000, 17, 1020, 40_000, 2, 2,
        ];
        let body =
            move |at: usize| -> Vec<u8> { (0..sizes[at]).map(|i| (i * 7 + at) as u8).collect() };
        let writing = thread::spawn(move || {
            let all: Vec<u8> = (0..sizes.len())
                .flat_map(|at| request(at as i32, ask::ECHO, &body(at)))
                .collect();
            let mut rest = all.as_slice();
            let mut step = 1;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(step.min(rest.len()));
                peer.send(now);
                rest = later;
                step = step * 13 % 99_991;
            }
        });
        for (at, size) in sizes.iter().enumerate() {
            let (id, got) = reader.answer();
            assert_eq!(id, at as i32);
            assert!(got == body(at), "body {at} of {size} bytes");
        }
        writing.join().unwrap();
        drop(reader);
        assert!(matches!(server.end(), Closed::Peer));
    }
}

#[test]
fn bytes_that_come_one_by_one_make_a_request() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    for byte in request(7, ask::ECHO, b"slow but sure") {
        peer.send(&[byte]);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(peer.answer(), (7, b"slow but sure".to_vec()));
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn a_request_without_answer_takes_no_place_in_the_order() {
    let mut setup = Setup::default();
    setup.limits.in_flight = 2;
    let server = Server::start(setup);
    let mut peer = server.connect();
    peer.ask(1, ask::HOLD, b"one");
    peer.ask(2, ask::NOTHING, b"");
    server.wait_for_handled(2);
    server.release();
    assert_eq!(peer.answer(), (1, b"one".to_vec()));
    for id in 3..10 {
        peer.ask(id, ask::NOTHING, b"");
    }
    peer.ask(10, ask::ECHO, b"ten");
    assert_eq!(peer.answer(), (10, b"ten".to_vec()));
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn an_answer_larger_than_every_buffer_arrives_between_its_neighbours() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    let size = 20_000_001_u32;
    peer.ask(1, ask::ECHO, b"before");
    peer.ask(2, ask::ZEROS, &size.to_be_bytes());
    peer.ask(3, ask::ECHO, b"after");
    server.wait_for_handled(2);
    thread::sleep(A_WHILE);
    assert_eq!(
        server.handled(),
        2,
        "nothing more while so much waits to be taken"
    );
    assert_eq!(peer.answer(), (1, b"before".to_vec()));
    let (id, zeros) = peer.answer();
    assert_eq!((id, zeros.len()), (2, size as usize));
    assert!(zeros.iter().all(|byte| *byte == 0));
    assert_eq!(peer.answer(), (3, b"after".to_vec()));
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}
