#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use rt::executor::{self, ExecutorConfig};

use super::*;

const HEARTBEAT: i16 = 12;
const HEARTBEAT_VERSION: i16 = 4;
/// A heartbeat of this generation ends the connection that it comes on.
const DEADLY: i32 = 666;

/// What a node was asked: how many connections it took, and the generations of all heartbeats.
#[derive(Default)]
struct Seen {
    connections: usize,
    generations: Vec<i32>,
}

/// Another node, which answers heartbeats.
struct Node {
    address: String,
    seen: Arc<Mutex<Seen>>,
}

impl Node {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                shared.lock().unwrap().connections += 1;
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { address, seen }
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Seen>) -> Option<()> {
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size).ok()?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut frame).ok()?;
        let mut frame = bytes::Bytes::from(frame);
        let key = frame.clone().get_i16();
        let flexible = 2;
        let header = RequestHeader::decode(&mut frame, flexible).unwrap();
        let mut answer = BytesMut::new();
        if key == HEARTBEAT {
            let request = HeartbeatRequest::decode(&mut frame, HEARTBEAT_VERSION).unwrap();
            seen.lock().unwrap().generations.push(request.generation_id);
            if request.generation_id == DEADLY {
                return None;
            }
            let response =
                HeartbeatResponse::default().with_throttle_time_ms(request.generation_id);
            answer_with(&mut answer, &header, &response, HEARTBEAT_VERSION);
        } else {
            let heartbeat = ApiVersion::default()
                .with_api_key(HEARTBEAT)
                .with_max_version(HEARTBEAT_VERSION);
            let response = ApiVersionsResponse::default().with_api_keys(vec![heartbeat]);
            answer_with(&mut answer, &header, &response, 3);
        }
        let size = i32::try_from(answer.len()).unwrap();
        stream.write_all(&size.to_be_bytes()).ok()?;
        stream.write_all(&answer).ok()?;
    }
}

fn answer_with<M: Encodable + HeaderVersion>(
    answer: &mut BytesMut,
    to: &RequestHeader,
    response: &M,
    version: i16,
) {
    let header = ResponseHeader::default().with_correlation_id(to.correlation_id);
    header.encode(answer, M::header_version(version)).unwrap();
    response.encode(answer, version).unwrap();
}

fn on_executor<T: Send + 'static, F: Future<Output = T> + 'static>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    let config = ExecutorConfig {
        io_memory: 64 * 1024,
        ..ExecutorConfig::default()
    };
    executor::run(config, make).unwrap()
}

/// Asks node 1 at this address; what it says back is what it was told.
async fn ask(peers: &Peers, address: &str, generation: i32) -> Result<i32, PeerError> {
    let request = HeartbeatRequest::default().with_generation_id(generation);
    let answer = peers.ask(1, address.to_owned(), &request, HEARTBEAT_VERSION);
    Ok(answer.await?.throttle_time_ms)
}

#[test]
fn all_who_ask_share_a_connection_and_go_in_their_order() {
    let node = Node::start();
    let address = node.address.clone();
    on_executor(async move || {
        let peers = Rc::new(Peers::default());
        let one = |generation| {
            let (peers, address) = (Rc::clone(&peers), address.clone());
            rt::task::spawn(async move { ask(&peers, &address, generation).await })
        };
        let asked: Vec<_> = (0..50).map(one).collect();
        for (generation, answer) in asked.into_iter().enumerate() {
            assert_eq!(answer.await, Ok(i32::try_from(generation).unwrap()));
        }
        peers.stop();
    });
    let seen = node.seen.lock().unwrap();
    assert_eq!(seen.connections, 1);
    assert!(seen.generations.iter().copied().eq(0..50));
}

#[test]
fn what_was_on_its_way_fails_and_is_not_repeated() {
    let node = Node::start();
    let address = node.address.clone();
    on_executor(async move || {
        let peers = Peers::default();
        assert_eq!(ask(&peers, &address, 1).await, Ok(1));
        let cut = ask(&peers, &address, DEADLY).await;
        assert!(matches!(cut, Err(PeerError::Link(_))), "{cut:?}");
        assert_eq!(ask(&peers, &address, 2).await, Ok(2));
        peers.stop();
    });
    let seen = node.seen.lock().unwrap();
    assert_eq!(seen.connections, 2);
    assert_eq!(seen.generations, [1, DEADLY, 2]);
}

#[test]
fn a_node_at_another_address_is_another_process() {
    let (before, after) = (Node::start(), Node::start());
    let addresses = [before.address.clone(), after.address.clone()];
    on_executor(async move || {
        let peers = Peers::default();
        for (address, generation) in addresses.iter().zip([1, 2]) {
            assert_eq!(ask(&peers, address, generation).await, Ok(generation));
        }
        peers.stop();
    });
    assert_eq!(before.seen.lock().unwrap().generations, [1]);
    assert_eq!(after.seen.lock().unwrap().generations, [2]);
}

#[test]
fn a_node_that_is_not_there_is_asked_again_when_it_is() {
    // A port that is free, and taken again below.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let seen = on_executor(async move || {
        let peers = Peers::default();
        for _ in 0..3 {
            let gone = ask(&peers, &address, 1).await;
            assert!(matches!(gone, Err(PeerError::Link(_))), "{gone:?}");
        }
        let listener = TcpListener::bind(&address).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || serve(listener.accept().unwrap().0, &shared));
        while ask(&peers, &address, 2).await != Ok(2) {
            rt::time::sleep(Duration::from_millis(5)).await;
        }
        peers.stop();
        seen
    });
    assert_eq!(seen.lock().unwrap().generations, [2]);
}

#[test]
fn a_node_is_left_alone_for_longer_and_longer() {
    let peer = Peer::new("127.0.0.1:9".to_owned());
    let why = LinkError::Unreachable {
        broker: peer.address.clone(),
        reason: "refused".to_owned(),
    };
    let mut pauses = Vec::new();
    for _ in 0..7 {
        pauses.push(peer.backoff_ms.get());
        let state = peer.leave_alone(why.clone());
        let State::None { not_before, .. } = state else {
            panic!("it is not left alone");
        };
        assert!(not_before > 0);
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000]);
}

#[test]
fn after_the_stop_nobody_is_asked() {
    let node = Node::start();
    let address = node.address.clone();
    on_executor(async move || {
        let peers = Peers::default();
        assert_eq!(ask(&peers, &address, 1).await, Ok(1));
        peers.stop();
        assert_eq!(ask(&peers, &address, 2).await, Err(PeerError::Stopping));
    });
    assert_eq!(node.seen.lock().unwrap().generations, [1]);
}
