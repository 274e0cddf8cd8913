//! A connection on which a test says every byte itself: client libraries hide what is tested here.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// Longest that anything may take which has to come: far more than it needs, so that a slow machine
/// fails no test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A `max_wait_ms` that a test would not live to see the end of.
pub const FOR_EVER: i32 = 600_000;

/// Text as the protocol's types hold it.
pub fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

/// A connection to a broker.
pub struct Connection {
    stream: TcpStream,
    client_id: StrBytes,
    next_id: i32,
}

/// A request's header and body, without the size in front.
pub fn encoded<R: Request>(version: i16, id: i32, client_id: &str, message: &R) -> BytesMut {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(id)
        .with_client_id(Some(text(client_id)));
    let mut frame = BytesMut::new();
    header
        .encode(&mut frame, R::header_version(version))
        .expect("a header");
    message
        .encode(&mut frame, version)
        .expect("a request this version can carry");
    frame
}

/// The body of a response after its header, all of it.
pub fn decoded<R: Request>(version: i16, id: i32, mut frame: Bytes) -> R::Response {
    let header_version = R::Response::header_version(version);
    let header = ResponseHeader::decode(&mut frame, header_version).expect("a response header");
    assert_eq!(header.correlation_id, id, "the answer to another request");
    let response = R::Response::decode(&mut frame, version).expect("a response of this version");
    assert_eq!(
        frame.remaining(),
        0,
        "bytes behind the response of API {} v{version}",
        R::KEY
    );
    response
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            client_id: text("semantics"),
            next_id: 1,
        }
    }

    /// With another client id.
    pub fn named(mut self, client_id: &str) -> Self {
        self.client_id = text(client_id);
        self
    }

    /// Sends a request and waits for its answer.
    pub fn call<R: Request>(&mut self, version: i16, message: &R) -> R::Response {
        let id = self.send(version, message);
        self.receive::<R>(version, id)
    }

    /// Sends a request; gives the id its answer will carry.
    pub fn send<R: Request>(&mut self, version: i16, message: &R) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_frame(&encoded(version, id, &self.client_id, message));
        id
    }

    /// Sends a frame of any content.
    pub fn send_frame(&mut self, frame: &[u8]) {
        let mut bytes = BytesMut::with_capacity(frame.len() + 4);
        bytes.put_i32(i32::try_from(frame.len()).expect("a small frame"));
        bytes.put_slice(frame);
        self.send_bytes(&bytes);
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker takes it");
    }

    /// The answer to the request sent as `id`, which has to be the next one.
    pub fn receive<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let frame = self.frame();
        decoded::<R>(
            version,
            id,
            frame.expect("an answer, not the end of the connection"),
        )
    }

    /// The next response frame; `None` if the broker ends the connection instead.
    pub fn frame(&mut self) -> Option<Bytes> {
        let mut size = [0; 4];
        if !self.fill(&mut size) {
            return None;
        }
        let size = usize::try_from(i32::from_be_bytes(size)).expect("a size");
        let mut frame = vec![0; size];
        assert!(
            self.fill(&mut frame),
            "the connection ended inside a response"
        );
        Some(frame.into())
    }

    /// Fills `bytes`, or false where the connection ends before the first one. A reset counts as an
    /// end: a peer that closes with bytes unread sends one.
    fn fill(&mut self, bytes: &mut [u8]) -> bool {
        let mut have = 0;
        while have < bytes.len() {
            match self.stream.read(&mut bytes[have..]) {
                Ok(0) if have == 0 => return false,
                Ok(0) => panic!("the connection ended after {have} of {} bytes", bytes.len()),
                Ok(n) => have += n,
                Err(error) if error.kind() == ErrorKind::ConnectionReset && have == 0 => {
                    return false;
                }
                Err(error) => panic!("nothing came: {error}"),
            }
        }
        true
    }

    /// Asserts that the broker ends the connection without another word.
    pub fn assert_closes(&mut self, why: &str) {
        assert!(
            self.frame().is_none(),
            "an answer where the connection should have been closed: {why}"
        );
    }

    /// Asserts that the broker ends the connection in good order: a FIN, not a reset.
    pub fn assert_ends_cleanly(&mut self) {
        let mut byte = [0];
        let read = self.stream.read(&mut byte).expect("an end, not an error");
        assert_eq!(read, 0, "bytes where the connection should have ended");
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        self.stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a half-closed connection");
    }
}
