//! What a connection may take: sizes, places, memory, time.

use super::*;
use crate::frame::FrameError;

fn with(change: impl FnOnce(&mut Setup)) -> Setup {
    let mut setup = Setup::default();
    change(&mut setup);
    setup
}

/// Sends a good request and `bad` behind it: the good one is answered, then it ends.
fn refused(setup: Setup, bad: &[u8]) -> Closed {
    let server = Server::start(setup);
    let mut peer = server.connect();
    peer.ask(1, ask::HOLD, b"good");
    peer.send(bad);
    server.wait_for_handled(1);
    peer.expect_silence();
    server.release();
    assert_eq!(peer.answer(), (1, b"good".to_vec()));
    peer.expect_end();
    drop(peer);
    server.end()
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for size in [0, -1, i32::MIN] {
        let closed = refused(Setup::default(), &size.to_be_bytes());
        assert!(
            matches!(closed, Closed::Frame(FrameError::NotPositive { size: s }) if s == size),
            "{closed:?}"
        );
        assert!(closed.is_violation());
    }
}

#[test]
fn a_request_may_be_as_large_as_the_limit_and_no_larger() {
    let setup = || with(|setup| setup.limits.frame.max_request_bytes = 5000);
    let closed = refused(setup(), &5001_i32.to_be_bytes());
    assert!(
        matches!(
            closed,
            Closed::Frame(FrameError::TooLarge {
                size: 5001,
                max: 5000
            })
        ),
        "{closed:?}"
    );
    let server = Server::start(setup());
    let mut peer = server.connect();
    let body = vec![1; 5000 - 11];
    peer.ask(1, ask::ECHO, &body);
    assert_eq!(peer.answer(), (1, body));
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn other_protocols_are_named() {
    let http = refused(Setup::default(), b"GET / HTTP/1.1\r\nHost: here\r\n\r\n");
    assert!(http.to_string().contains("HTTP"), "{http}");
    let tls = refused(Setup::default(), &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    assert!(tls.to_string().contains("TLS"), "{tls}");
}

#[test]
fn garbage_behind_a_sane_size_is_refused() {
    let mut garbage = 300_i32.to_be_bytes().to_vec();
    garbage.extend((0..300).map(|i| (i * 31 + 77) as u8));
    let closed = refused(Setup::default(), &garbage);
    assert!(matches!(closed, Closed::Header(_)), "{closed:?}");
    let short = refused(Setup::default(), &[0, 0, 0, 1, 0]);
    assert!(matches!(short, Closed::Header(_)), "{short:?}");
}

#[test]
fn a_full_ring_stops_reading_until_answers_leave() {
    let server = Server::start(with(|setup| setup.limits.in_flight = 4));
    let mut peer = server.connect();
    for id in 0..10 {
        peer.ask(id, ask::HOLD, b"");
    }
    server.wait_for_handled(4);
    thread::sleep(A_WHILE);
    assert_eq!(server.handled(), 4, "no more than there are places");
    server.release();
    for id in 0..10 {
        assert_eq!(peer.answer().0, id);
    }
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn without_memory_a_request_waits_and_is_not_refused() {
    for size in [60, 5_000, 100_000] {
        let server = Server::start(with(|setup| setup.requests = size * 3 / 2));
        let mut peer = server.connect();
        let body = vec![9; size];
        peer.ask(1, ask::KEEP, b"");
        assert_eq!(peer.answer().0, 1);
        peer.ask(2, ask::KEEP, &body);
        assert_eq!(peer.answer(), (2, body.clone()));
        peer.ask(3, ask::ECHO, &body);
        peer.expect_silence();
        assert_eq!(server.handled(), 2);
        server.release();
        assert_eq!(peer.answer(), (3, body));
        drop(peer);
        assert!(matches!(server.end(), Closed::Peer));
    }
}

#[test]
fn a_request_larger_than_all_memory_is_served_alone() {
    let server = Server::start(with(|setup| setup.requests = 1000));
    let mut peer = server.connect();
    let body = vec![3; 50_000];
    peer.ask(1, ask::ECHO, &body);
    assert_eq!(peer.answer(), (1, body));
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn a_frame_that_stops_coming_ends_the_connection() {
    let started: [&[u8]; 4] = [
        // Half a size; a small frame; one beyond the buffer; a claim of 100 MiB.
        &[0, 0],
        &[0, 0, 0, 100, 1, 2, 3],
        &[0, 1, 0, 0, 1, 2, 3],
        &[6, 0x40, 0, 0],
    ];
    for bytes in started {
        let closed = refused(
            with(|setup| setup.limits.frame.progress = A_WHILE * 3),
            bytes,
        );
        let Closed::Frame(FrameError::TooSlow { got, .. }) = closed else {
            panic!("{closed:?}");
        };
        assert_eq!(got, bytes.len());
    }
}

#[test]
fn a_frame_that_drips_ends_the_connection_but_a_steady_one_does_not() {
    let server = Server::start(with(|setup| {
        setup.limits.frame.progress = Duration::from_secs(1);
        setup.limits.frame.progress_bytes = 5;
    }));
    let mut peer = server.connect();
    // Never silent for as long as the limit, but it takes several spans in all.
    let steady = request(1, ask::ECHO, &[7; 60]);
    for piece in steady.chunks(1) {
        peer.send(piece);
        thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(peer.answer().0, 1);
    // A few bytes a span, fewer than asked for, while the writing lasts.
    let drip = request(2, ask::ECHO, &[7; 5000]);
    for piece in drip.chunks(1) {
        if peer.stream.write_all(piece).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(450));
    }
    drop(peer);
    let closed = server.end();
    assert!(
        matches!(closed, Closed::Frame(FrameError::TooSlow { .. })),
        "{closed:?}"
    );
}

#[test]
fn a_silent_connection_ends_cleanly_after_its_time() {
    let idle = A_WHILE * 2;
    let server = Server::start(with(|setup| setup.limits.idle = idle));
    let mut peer = server.connect();
    peer.ask(1, ask::ECHO, b"");
    assert_eq!(peer.answer().0, 1);
    peer.expect_end();
    let closed = server.end();
    assert!(
        matches!(closed, Closed::Idle { after } if after == idle),
        "{closed:?}"
    );
    assert!(!closed.is_violation());
}

#[test]
fn waiting_for_an_answer_is_not_being_idle() {
    let server = Server::start(with(|setup| setup.limits.idle = A_WHILE));
    let mut peer = server.connect();
    peer.ask(1, ask::HOLD, b"long poll");
    thread::sleep(A_WHILE * 3);
    server.release();
    assert_eq!(peer.answer(), (1, b"long poll".to_vec()));
    peer.expect_end();
    assert!(matches!(server.end(), Closed::Idle { .. }));
}

#[test]
fn a_peer_that_reads_nothing_is_cut_off() {
    let server = Server::start(with(|setup| setup.limits.idle = A_WHILE));
    let mut peer = server.connect();
    peer.ask(1, ask::ZEROS, &64_000_000_u32.to_be_bytes());
    let closed = server.end();
    assert!(matches!(closed, Closed::NotRead { .. }), "{closed:?}");
    drop(peer);
}

#[test]
fn a_buffer_grows_with_the_traffic_and_is_given_back_in_silence() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    let busy: Vec<u8> = (0..2000)
        .flat_map(|id| request(id, ask::NOTHING, &[8; 100]))
        .collect();
    peer.send(&busy);
    server.wait_for_buffer(|grown| grown > 0);
    server.wait_for_buffer(|grown| grown == 0);
    peer.ask(1, ask::ECHO, b"still here");
    assert_eq!(peer.answer(), (1, b"still here".to_vec()));
    drop(peer);
    assert!(matches!(server.end(), Closed::Peer));
}
