//! Sizes that lie, bytes that are no requests, bytes that hardly come.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};

use super::{MIB, Noise, PATIENCE, Victim};
use crate::semantics::records::{batch, produce_request};
use crate::semantics::wire::encoded;

/// The default of `socket.request.max.bytes`.
const LIMIT: i32 = 100 << 20;

fn raw(victim: &Victim) -> TcpStream {
    let stream = TcpStream::connect(victim.broker.kafka).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Sends what the broker takes of `bytes`; it may well have closed before all of them.
fn throw(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// Everything that still comes, up to the end.
fn rest(stream: &mut TcpStream) -> usize {
    let mut seen = 0;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return seen,
            Ok(got) => seen += got,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return seen,
            Err(error) => panic!("no end of the connection: {error}"),
        }
    }
}

#[test]
fn sizes_that_cannot_be_cost_the_connection_and_no_memory() {
    let victim = Victim::start();
    victim.serve_others();
    let before = victim.peak();
    let sizes = [
        -1,
        0,
        i32::MIN,
        LIMIT + 1,
        i32::MAX,
        i32::from_be_bytes(*b"GET "),
    ];
    for size in sizes {
        let mut connection = victim.connect();
        connection.send_bytes(&size.to_be_bytes());
        connection.assert_closes("a size that cannot be");
    }
    victim.assert_logged("a size must be above zero", 3);
    victim.assert_logged("allowed by socket.request.max.bytes", 3);
    victim.assert_logged("looks like HTTP", 1);
    assert!(
        victim.peak() < before + 8 * MIB,
        "memory was touched for sizes alone"
    );
    victim.assert_unharmed();
}

#[test]
fn frames_that_are_cut_short_harm_nobody() {
    let victim = Victim::start();
    let request = encoded(9, 1, "cut", &MetadataRequest::default());
    let mut whole = (request.len() as i32).to_be_bytes().to_vec();
    whole.extend_from_slice(&request);
    for cut in 1..whole.len() {
        let mut stream = raw(&victim);
        throw(&mut stream, &whole[..cut]);
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a half-closed connection");
        assert_eq!(
            rest(&mut stream),
            0,
            "an answer to {cut} of {} bytes",
            whole.len()
        );
    }
    victim.assert_logged("bytes of a frame", whole.len() - 1);
    victim.assert_unharmed();
}

#[test]
fn garbage_harms_nobody() {
    let victim = Victim::start();
    let mut noise = Noise(2);
    let keys = [0_i16, 1, 2, 3, 18, 19, 22, 32, 75];
    for round in 0..300 {
        let length = 1 + noise.below(2_000);
        let mut frame = noise.bytes(length);
        if round % 3 > 0 && length >= 14 {
            // A header that passes, so that the garbage gets further.
            let key = keys[noise.below(keys.len())];
            let version = noise.below(14) as i16;
            frame[..2].copy_from_slice(&key.to_be_bytes());
            frame[2..4].copy_from_slice(&version.to_be_bytes());
            frame[8..14].copy_from_slice(&[0xff, 0xff, 0, 0, 0, 0]);
        }
        let mut stream = raw(&victim);
        if round % 5 > 0 {
            throw(&mut stream, &(length as i32).to_be_bytes());
        }
        throw(&mut stream, &frame);
        // Not waited for: garbage may be a fetch that waits for weeks.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    victim.assert_logged("connection closed", 300);
    victim.assert_unharmed();
    victim.assert_bounded("garbage");
}

#[test]
fn many_that_claim_much_and_send_little_do_not_hold_up_others() {
    let victim = Victim::start();
    let before = victim.peak();
    let mut slow: Vec<TcpStream> = (0..200).map(|_| raw(&victim)).collect();
    for (at, stream) in slow.iter_mut().enumerate() {
        let claim = [LIMIT, 1 << 20, 64 << 10, 600][at % 4];
        throw(stream, &claim.to_be_bytes());
        throw(stream, &[0, 3, 0, 9]);
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for stream in &mut slow {
                    throw(stream, &[0]);
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        let slowest =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| victim.serve_others()));
        over.store(true, Ordering::Relaxed);
        let slowest = slowest.expect("bystanders are served");
        eprintln!("200 connections that drip: a bystander waited for {slowest:?}");
        assert!(
            slowest < super::SOON,
            "a bystander had to wait for {slowest:?}"
        );
    });
    assert!(
        victim.peak() < before + 16 * MIB,
        "memory was touched for claims alone"
    );
    drop(slow);
    victim.assert_unharmed();
}

#[test]
fn a_half_closed_connection_gets_hundreds_of_answers() {
    let victim = Victim::start();
    let mut connection = victim.connect();
    let metadata = MetadataRequest::default().with_topics(Some(Vec::new()));
    let set = produce_request(12, &victim.topic, -1, vec![(0, Some(batch(1)))]);
    let sent: Vec<(i32, i32)> = (0..300)
        .map(|_| (connection.send(9, &metadata), connection.send(12, &set)))
        .collect();
    connection.finish_sending();
    for (asked, stored) in sent {
        connection.receive::<MetadataRequest>(9, asked);
        let answer = connection.receive::<kafka_protocol::messages::ProduceRequest>(12, stored);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    connection.assert_ends_cleanly();
    victim.assert_logged("the peer closed it", 1);
    victim.assert_unharmed();
}

#[test]
fn a_client_that_sends_thousands_and_reads_nothing_is_held_back() {
    let victim = Victim::start();
    let request = encoded(3, 7, "greedy", &ApiVersionsRequest::default());
    let mut frame = (request.len() as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(&request);
    let many = frame.repeat(5_000);
    let mut streams: Vec<TcpStream> = (0..8).map(|_| raw(&victim)).collect();
    for stream in &mut streams {
        stream.set_nonblocking(true).expect("not blocking");
        let mut taken = 0;
        // What the system keeps for both sides, and what was answered into that: some megabytes.
        while let Ok(got) = stream.write(&many) {
            taken += got;
            assert!(taken < 48 * MIB, "the broker takes requests without end");
        }
    }
    victim.assert_unharmed();
    victim.assert_bounded("8 clients that only send");
    // They find answers, also to what was still on its way, when they do read.
    let stream = &mut streams[0];
    stream.set_nonblocking(false).expect("blocking");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("a half-closed connection");
    assert!(rest(stream) > 64 * 300, "answers were lost");
}
