//! How connections end, and what still arrives.

use std::time::Instant;

use super::*;
use crate::frame::FrameError;

#[test]
fn a_peer_that_has_said_all_still_gets_its_answers() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    for id in 0..3 {
        peer.ask(id, ask::HOLD, b"");
    }
    peer.finish_writing();
    server.wait_for_handled(3);
    peer.expect_silence();
    server.release();
    for id in 0..3 {
        assert_eq!(peer.answer().0, id);
    }
    peer.expect_end();
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn an_end_inside_a_frame_is_told_apart() {
    let whole = request(2, ask::ECHO, &[5; 100_000]);
    for cut in [1, 3, 4, 20, 5000, whole.len() - 1] {
        let server = Server::start(Setup::default());
        let mut peer = server.connect();
        peer.ask(1, ask::ECHO, b"");
        peer.send(&whole[..cut]);
        peer.finish_writing();
        assert_eq!(peer.answer().0, 1);
        peer.expect_end();
        let closed = server.end();
        let Closed::Frame(FrameError::Truncated { got, .. }) = closed else {
            panic!("{closed:?}");
        };
        assert_eq!(got, cut);
        assert!(!closed.is_violation(), "clients may die at any time");
    }
}

#[test]
fn a_connection_that_says_nothing_and_ends_is_nothing_special() {
    let server = Server::start(Setup::default());
    drop(server.connect());
    assert!(matches!(server.end(), Closed::Peer));
}

#[test]
fn a_reset_ends_it_although_answers_are_due() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    peer.ask(1, ask::ECHO, b"");
    peer.ask(2, ask::HOLD, b"");
    server.wait_for_handled(2);
    // Closed with an answer unread, a socket sends a reset.
    assert_eq!(peer.stream.peek(&mut [0]).unwrap(), 1);
    drop(peer);
    let closed = server.end();
    assert!(
        matches!(closed, Closed::Frame(FrameError::Io(_))),
        "{closed:?}"
    );
    assert!(!closed.is_violation());
}

#[test]
fn a_dropped_slot_ends_the_connection_behind_earlier_answers() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    peer.ask(1, ask::HOLD, b"one");
    peer.ask(2, ask::DROP, b"");
    peer.ask(3, ask::ECHO, b"never");
    server.wait_for_handled(2);
    server.release();
    assert_eq!(peer.answer(), (1, b"one".to_vec()));
    peer.expect_end();
    drop(peer);
    let closed = server.end();
    assert!(matches!(closed, Closed::Abandoned), "{closed:?}");
    assert!(closed.is_violation());
}

#[test]
fn a_handler_can_end_it_and_no_later_request_is_begun() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    let mut all = request(1, ask::LATER, b"one");
    all.extend(request(2, ask::CLOSE, b""));
    all.extend(request(3, ask::ECHO, b"never"));
    peer.send(&all);
    assert_eq!(peer.answer(), (1, b"one".to_vec()));
    peer.expect_end();
    drop(peer);
    assert_eq!(server.handled(), 2);
    let closed = server.end();
    assert!(
        matches!(&closed, Closed::Handler(reason) if reason == "asked to"),
        "{closed:?}"
    );
}

#[test]
fn a_shutdown_finishes_what_was_begun() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    peer.ask(1, ask::HOLD, b"one");
    peer.ask(2, ask::HOLD, b"two");
    server.wait_for_handled(2);
    server.shut_down();
    peer.expect_silence();
    // Too late: nobody reads it.
    peer.ask(3, ask::ECHO, b"three");
    server.release();
    assert_eq!(peer.answer(), (1, b"one".to_vec()));
    assert_eq!(peer.answer(), (2, b"two".to_vec()));
    peer.expect_end();
    drop(peer);
    assert_eq!(server.handled(), 2);
    let closed = server.end();
    assert!(matches!(closed, Closed::Shutdown), "{closed:?}");
    assert!(!closed.is_violation());
}

#[test]
fn a_shutdown_ends_a_quiet_connection() {
    let server = Server::start(Setup::default());
    let mut peer = server.connect();
    peer.ask(1, ask::ECHO, b"");
    assert_eq!(peer.answer().0, 1);
    server.shut_down();
    peer.expect_end();
    drop(peer);
    assert!(matches!(server.end(), Closed::Shutdown));
}

#[test]
fn a_shutdown_does_not_wait_for_a_peer_that_was_quiet() {
    let mut setup = Setup::default();
    setup.limits.linger = Duration::from_secs(1);
    let linger = setup.limits.linger;
    let server = Server::start(setup);
    let mut peer = server.connect();
    peer.ask(1, ask::ECHO, b"");
    assert_eq!(peer.answer().0, 1);
    thread::sleep(linger);
    let begun = Instant::now();
    server.shut_down();
    assert!(matches!(server.end(), Closed::Shutdown));
    assert!(begun.elapsed() < linger / 2, "{:?}", begun.elapsed());
    peer.expect_end();
}

#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let mut setup = Setup::default();
    setup.limits.drain = A_WHILE;
    let server = Server::start(setup);
    let mut peer = server.connect();
    peer.ask(1, ask::HOLD, b"");
    peer.ask(2, ask::ECHO, b"");
    server.wait_for_handled(2);
    server.shut_down();
    peer.expect_end();
    drop(peer);
    let closed = server.end();
    assert!(
        matches!(closed, Closed::DrainOver { unanswered: 2, .. }),
        "{closed:?}"
    );
}
