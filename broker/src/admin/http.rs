//! HTTP/1.1 for the admin server: connections, limits, methods. hyper over the runtime's streams.
//!
//! Knows nothing of what is served: that is [`Routes`]. A client that is slow, silent or sends
//! garbage costs its own connection, for a bounded time, of a bounded number.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::{AsyncRead, AsyncWrite};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use net::connection::Shutdown;
use rt::sync::{Credit, Permit};
use rt::task::Class;
use rt::tcp::{Listener, Stream};
use rt::time::now;

/// How long to leave off when a connection can't be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What one read takes from a socket. Requests here have no bodies.
const READ_AT_ONCE: usize = 4096;

/// The type of a plain text.
pub const PLAIN: &str = "text/plain; charset=utf-8";
/// The type of a JSON text.
pub const JSON: &str = "application/json";

/// What a client may cost.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Connections at a time; further ones are closed at once.
    pub connections: usize,
    /// Bytes of a request's head (8192 is the least).
    pub head_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Time for a request's head, from its first byte; also for the first byte of all.
    pub head: Duration,
    /// Time between requests.
    pub idle: Duration,
    /// Time for making an answer.
    pub answer: Duration,
    /// Time for a client to take an answer.
    pub write: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 32,
            head_bytes: 16 * 1024,
            headers: 64,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            answer: Duration::from_secs(10),
            write: Duration::from_secs(30),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// A plain text.
    pub fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: PLAIN,
            body: Bytes::from(text.into()),
        }
    }

    /// An error: JSON where the path speaks JSON, one line elsewhere.
    pub fn error(path: &str, status: StatusCode, why: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") {
            let body = serde_json::json!({ "error": why }).to_string();
            Self {
                status,
                content_type: JSON,
                body: Bytes::from(body),
            }
        } else {
            Self::plain(status, format!("{why}\n"))
        }
    }
}

/// An answer being made.
pub type Answering = Pin<Box<dyn Future<Output = Reply>>>;

/// What is served.
pub trait Routes {
    /// Begins the answer to a GET of `path`; `None` if nothing is there. Work must wait for the first
    /// poll: a request with another method drops it unpolled.
    fn answer(&self, path: &str) -> Option<Answering>;
}

/// Serves `routes` until the shutdown begins; then waits for answers that were begun.
pub async fn serve(
    listener: Listener,
    routes: Rc<dyn Routes>,
    limits: HttpLimits,
    shutdown: Shutdown,
) {
    let limits = Rc::new(limits);
    let open = Credit::new(limits.connections);
    let stopped = async || {
        shutdown.begun().await;
        None
    };
    let accepted = async || Some(listener.accept().await);
    while let Some(accepted) = futures_lite::future::or(stopped(), accepted()).await {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                rt::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(permit) = open.try_acquire(1) else {
            tracing::debug!(
                most = limits.connections,
                "an admin connection was refused: there are too many"
            );
            continue;
        };
        let connection = Connection {
            routes: Rc::clone(&routes),
            limits: Rc::clone(&limits),
            shutdown: shutdown.clone(),
            _permit: permit,
        };
        rt::task::spawn_in(Class::Background, connection.run(stream)).detach();
    }
    drop(listener);
    drop(open.acquire(limits.connections).await);
}

/// When a connection is to be over. Set by what happens on it, looked at by its task.
struct Pace {
    phase: Cell<Phase>,
    deadline: Cell<Instant>,
    limits: Rc<HttpLimits>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of a request is here.
    Idle,
    /// A request's head is coming in.
    Head,
    /// An answer is being made.
    Answering,
    /// The answer is on its way.
    Writing,
}

impl Pace {
    fn new(limits: Rc<HttpLimits>) -> Self {
        Self {
            phase: Cell::new(Phase::Idle),
            deadline: Cell::new(now() + limits.head),
            limits,
        }
    }

    fn enter(&self, phase: Phase) {
        let limits = &self.limits;
        let limit = match phase {
            Phase::Idle => limits.idle,
            Phase::Head => limits.head,
            // The answer has its own limit, at which the client is told.
            Phase::Answering => limits.answer + limits.write,
            Phase::Writing => limits.write,
        };
        self.phase.set(phase);
        self.deadline.set(now() + limit);
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.phase.get() == phase
    }
}

struct Connection {
    routes: Rc<dyn Routes>,
    limits: Rc<HttpLimits>,
    shutdown: Shutdown,
    _permit: Permit,
}

impl Connection {
    async fn run(self, stream: Stream) {
        let peer = stream.peer_addr().ok();
        let pace = Rc::new(Pace::new(Rc::clone(&self.limits)));
        let io = Io {
            stream,
            pace: Rc::clone(&pace),
        };
        let service = service_fn(|request: Request<Incoming>| {
            let (connection, pace) = (&self, &pace);
            async move {
                pace.enter(Phase::Answering);
                let response = connection.respond(&request, peer).await;
                pace.enter(Phase::Writing);
                Ok::<_, Infallible>(response)
            }
        });
        let serving = http1::Builder::new()
            .max_buf_size(self.limits.head_bytes)
            .max_headers(self.limits.headers)
            .half_close(true)
            .serve_connection(io, service);
        let mut serving = pin!(serving);
        let mut stopping = pin!(async {
            self.shutdown.begun().await;
            // Never ready again: a connection is told once.
            std::future::pending::<()>().await;
        });
        let mut told = false;
        let mut timer = Timer::default();
        let ended = poll_fn(|cx| {
            let _ = stopping.as_mut().poll(cx);
            if self.shutdown.has_begun() && !told {
                told = true;
                serving.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
                return Poll::Ready(ended.map_err(|error| error.to_string()));
            }
            ready!(timer.poll_until(cx, &pace.deadline));
            Poll::Ready(Err(format!("{:?} took too long", pace.phase.get())))
        });
        if let Err(why) = ended.await {
            tracing::debug!(?peer, why, "an admin connection was closed");
        }
    }

    async fn respond(
        &self,
        request: &Request<Incoming>,
        peer: Option<SocketAddr>,
    ) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let method = request.method();
        let reply = match self.routes.answer(path) {
            None => Reply::error(
                path,
                StatusCode::NOT_FOUND,
                &format!("nothing is served at {path}"),
            ),
            Some(_) if method != Method::GET && method != Method::HEAD => {
                let why = format!("{path} takes GET and HEAD, not {method}");
                Reply::error(path, StatusCode::METHOD_NOT_ALLOWED, &why)
            }
            Some(answering) => match rt::time::timeout(self.limits.answer, answering).await {
                Ok(reply) => reply,
                Err(elapsed) => {
                    let why = format!(
                        "a shard did not answer within {} s",
                        elapsed.after.as_secs_f32()
                    );
                    Reply::error(path, StatusCode::SERVICE_UNAVAILABLE, &why)
                }
            },
        };
        tracing::debug!(?peer, %method, path, status = reply.status.as_u16(), "admin request");
        into_response(reply)
    }
}

fn into_response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if reply.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

type Sleep = Pin<Box<dyn Future<Output = ()>>>;

/// A timer that follows a deadline as it moves.
#[derive(Default)]
struct Timer {
    armed: Option<(Instant, Sleep)>,
}

impl Timer {
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: &Cell<Instant>) -> Poll<()> {
        let deadline = deadline.get();
        let left = deadline.saturating_duration_since(now());
        let sleep = match &mut self.armed {
            Some((armed, sleep)) if *armed == deadline => sleep,
            other => &mut other.insert((deadline, Box::pin(rt::time::sleep(left)))).1,
        };
        sleep.as_mut().poll(cx)
    }
}

/// A stream as hyper wants it, which tells the pace of what goes over it.
struct Io {
    stream: Stream,
    pace: Rc<Pace>,
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; READ_AT_ONCE];
        let room = into.remaining().min(READ_AT_ONCE);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk[..room]))?;
        if read > 0 && self.pace.is_in(Phase::Idle) {
            self.pace.enter(Phase::Head);
        }
        into.put_slice(&chunk[..read]);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // hyper flushes when it has written all it had.
        if self.pace.is_in(Phase::Writing) {
            self.pace.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
