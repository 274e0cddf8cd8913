//! One pipelined connection to one broker, on one executor.
//!
//! Owns the socket, the numbers of requests and who waits for which answer. Requests go out in the
//! order they are given, answers are matched to them by number, and an end of the connection fails
//! everything on its way, once. It must never send a request twice: whether that is safe only its
//! caller knows.

mod error;
mod tasks;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};
use rt::sync::{Notify, oneshot};
use rt::task::{Task, blocking, spawn};
use rt::tcp::Stream;
use rt::time::{now, timeout};

pub use error::LinkError;

/// Bytes of the size in front of every frame.
const PREFIX: usize = 4;

/// How a link treats its broker.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// The name this client gives itself in every request.
    pub client_id: String,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long an answer may take before the connection is given up.
    pub request_timeout: Duration,
    /// The largest answer that is taken.
    pub max_answer_bytes: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            client_id: "ottla".to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            max_answer_bytes: 512 * 1024 * 1024,
        }
    }
}

/// The answer to one request: header and body, without the size.
pub type Answer = oneshot::Receiver<Result<Bytes, LinkError>>;

/// A request whose answer has not come.
struct Waiting {
    correlation_id: i32,
    deadline: Instant,
    answer: oneshot::Sender<Result<Bytes, LinkError>>,
}

/// A request that is not answered; it is done when it is written.
struct Unanswered {
    /// How many bytes have gone out when it has.
    end: u64,
    done: oneshot::Sender<Result<Bytes, LinkError>>,
}

#[derive(Default)]
struct State {
    /// What is to be written.
    queue: VecDeque<Bytes>,
    /// Bytes ever put into `queue`.
    queued: u64,
    waiting: VecDeque<Waiting>,
    unanswered: VecDeque<Unanswered>,
    next_correlation: i32,
    ended: Option<LinkError>,
}

struct Shared {
    address: String,
    config: LinkConfig,
    state: RefCell<State>,
    /// Rung when there is something to write, or the link has ended.
    work: Notify,
    /// Rung on every answer and at the end.
    bell: Notify,
    /// Bytes written and read, frames' sizes included.
    traffic: Cell<(u64, u64)>,
}

/// A connection whose broker has told its versions.
pub struct Link {
    shared: Rc<Shared>,
    versions: BTreeMap<i16, (i16, i16)>,
    _tasks: [Task<()>; 3],
}

impl Link {
    /// Connects to `address` (HOST:PORT) and asks for the broker's versions. `bell` is rung when an
    /// answer has come and when the link ends.
    pub async fn open(address: &str, config: LinkConfig, bell: Notify) -> Result<Self, LinkError> {
        let stream = dial(address, config.connect_timeout).await?;
        let (read, write) = stream.split();
        let shared = Rc::new(Shared {
            address: address.to_owned(),
            config,
            state: RefCell::default(),
            work: Notify::new(),
            bell,
            traffic: Cell::default(),
        });
        let tasks = [
            spawn(tasks::write(Rc::clone(&shared), write)),
            spawn(tasks::read(Rc::clone(&shared), read)),
            spawn(tasks::watch(Rc::clone(&shared))),
        ];
        let mut link = Self {
            shared,
            versions: BTreeMap::new(),
            _tasks: tasks,
        };
        link.versions = link.negotiate().await?;
        Ok(link)
    }

    /// `HOST:PORT`, as it was given.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Why the link has ended, if it has.
    pub fn ended(&self) -> Option<LinkError> {
        self.shared.state.borrow().ended.clone()
    }

    /// Bytes written and read so far.
    pub fn traffic(&self) -> (u64, u64) {
        self.shared.traffic.get()
    }

    /// The highest version of a request that the broker has, this client has, and that is not above
    /// `max`.
    pub fn version<R: Request>(&self, max: i16) -> Result<i16, LinkError> {
        let ours = <R as Message>::VERSIONS;
        self.version_of(R::KEY, ours.min, ours.max.min(max))
    }

    /// The same for a request that is encoded elsewhere, in the versions from `min` to `max`.
    pub fn version_of(&self, api: i16, min: i16, max: i16) -> Result<i16, LinkError> {
        let offered = self.versions.get(&api).copied();
        let version = offered.map_or(-1, |(_, high)| high.min(max));
        match offered {
            Some((low, _)) if version >= low.max(min) => Ok(version),
            _ => Err(LinkError::Unsupported {
                broker: self.shared.address.clone(),
                api,
                offered,
                ours: (min, max),
            }),
        }
    }

    /// Sends a request of the protocol and waits for its answer.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        max_version: i16,
    ) -> Result<R::Response, LinkError> {
        let version = self.version::<R>(max_version)?;
        self.call_version(request, version).await
    }

    /// Encodes a request of the protocol and puts it on its way; [`Self::decode`] reads its answer.
    pub fn start<R: Request>(&self, request: &R, version: i16) -> Result<Answer, LinkError> {
        let correlation_id = self.next_correlation();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation_id)
            .with_client_id(Some(StrBytes::from_string(
                self.shared.config.client_id.clone(),
            )));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| self.codec(R::KEY, version, error))?;
        let size = i32::try_from(frame.len() - PREFIX)
            .map_err(|_| self.codec(R::KEY, version, "the request is larger than 2 GiB"))?;
        frame[..PREFIX].copy_from_slice(&size.to_be_bytes());
        Ok(self.send(correlation_id, [frame.freeze()], true))
    }

    /// Reads an answer to a request of the protocol.
    pub fn decode<R: Request>(
        &self,
        mut answer: Bytes,
        version: i16,
    ) -> Result<R::Response, LinkError> {
        ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .and_then(|_| R::Response::decode(&mut answer, version))
            .map_err(|error| self.codec(R::KEY, version, error))
    }

    /// The number for the next request, for one that is encoded elsewhere.
    pub fn next_correlation(&self) -> i32 {
        let mut state = self.shared.state.borrow_mut();
        let correlation_id = state.next_correlation;
        state.next_correlation = correlation_id.wrapping_add(1);
        correlation_id
    }

    /// The name this client gives itself.
    pub fn client_id(&self) -> &str {
        &self.shared.config.client_id
    }

    /// Puts the pieces of one request on their way. The answer to a request that has none
    /// (`answered` is false) comes when it is written, and is empty.
    pub fn send(
        &self,
        correlation_id: i32,
        pieces: impl IntoIterator<Item = Bytes>,
        answered: bool,
    ) -> Answer {
        let (sender, receiver) = oneshot();
        {
            let mut state = self.shared.state.borrow_mut();
            if let Some(error) = state.ended.clone() {
                // The receiver is right here.
                let _ = sender.send(Err(error));
                return receiver;
            }
            for piece in pieces {
                state.queued += piece.len() as u64;
                state.queue.push_back(piece);
            }
            if answered {
                let deadline = now() + self.shared.config.request_timeout;
                state.waiting.push_back(Waiting {
                    correlation_id,
                    deadline,
                    answer: sender,
                });
            } else {
                let end = state.queued;
                state.unanswered.push_back(Unanswered { end, done: sender });
            }
        }
        self.shared.work.notify_one();
        receiver
    }

    /// Ends the connection; what is on its way fails.
    pub fn close(&self) {
        self.shared.end(LinkError::Closed {
            broker: self.shared.address.clone(),
            reason: "this client closed the connection".to_owned(),
        });
    }

    async fn call_version<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, LinkError> {
        let answer = self.wait(self.start(request, version)?).await?;
        self.decode::<R>(answer, version)
    }

    async fn wait(&self, answer: Answer) -> Result<Bytes, LinkError> {
        answer.await.unwrap_or_else(|_gone| {
            Err(LinkError::Closed {
                broker: self.shared.address.clone(),
                reason: "the connection was dropped".to_owned(),
            })
        })
    }

    /// Learns the broker's versions. A broker that does not know the version we ask in answers in
    /// version 0 and says which ones it knows.
    async fn negotiate(&self) -> Result<BTreeMap<i16, (i16, i16)>, LinkError> {
        const KEY: i16 = 18;
        const UNSUPPORTED: i16 = 35;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("ottla"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut version = 3;
        loop {
            let mut frame = self.wait(self.start(&request, version)?).await?;
            // The one answer whose version depends on its own content.
            let body = frame.split_off(PREFIX.min(frame.len()));
            let refused = body.get(..2) == Some(&UNSUPPORTED.to_be_bytes());
            let answer =
                ApiVersionsResponse::decode(&mut body.clone(), if refused { 0 } else { version })
                    .map_err(|error| self.not_kafka(&error.to_string()))?;
            match answer.error_code {
                0 => {
                    let versions = answer.api_keys.iter();
                    return Ok(versions
                        .map(|api| (api.api_key, (api.min_version, api.max_version)))
                        .collect());
                }
                UNSUPPORTED if version > 0 => version = 0,
                code => return Err(self.codec(KEY, version, format!("error {code}"))),
            }
        }
    }

    fn codec(&self, api: i16, version: i16, reason: impl ToString) -> LinkError {
        LinkError::Codec {
            broker: self.shared.address.clone(),
            api,
            version,
            reason: reason.to_string(),
        }
    }

    fn not_kafka(&self, reason: &str) -> LinkError {
        LinkError::NotKafka {
            broker: self.shared.address.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Ends the link: everything that waits fails, and the tasks see it.
    fn end(&self, error: LinkError) {
        let (waiting, unanswered) = {
            let mut state = self.state.borrow_mut();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(error.clone());
            state.queue.clear();
            (
                std::mem::take(&mut state.waiting),
                std::mem::take(&mut state.unanswered),
            )
        };
        // Who has stopped waiting doesn't want to know.
        for waiting in waiting {
            let _ = waiting.answer.send(Err(error.clone()));
        }
        for unanswered in unanswered {
            let _ = unanswered.done.send(Err(error.clone()));
        }
        self.work.notify_waiters();
        self.work.notify_one();
        self.bell.notify_one();
    }

    fn has_ended(&self) -> bool {
        self.state.borrow().ended.is_some()
    }
}

/// Connects to the first address of the name that answers; `limit` is the time that each may take.
///
/// # Errors
/// [`LinkError::Unreachable`].
pub async fn dial(address: &str, limit: Duration) -> Result<Stream, LinkError> {
    let unreachable = |reason: String| LinkError::Unreachable {
        broker: address.to_owned(),
        reason,
    };
    let mut last = "the name has no address".to_owned();
    for resolved in resolve(address).await.map_err(unreachable)? {
        match timeout(limit, Stream::connect(resolved)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.to_string(),
            Err(_elapsed) => last = format!("no connection within {} s", limit.as_secs_f32()),
        }
    }
    Err(unreachable(last))
}

async fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    if let Ok(literal) = address.parse() {
        return Ok(vec![literal]);
    }
    let name = address.to_owned();
    let found = blocking(move || name.to_socket_addrs().map(Vec::from_iter)).await;
    match found {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panicked) => Err(panicked.to_string()),
    }
}
