//! A server with real sockets and a handler that does what each request's first byte says,
//! driven by blocking sockets from the test's thread.

mod bounds;
mod ends;
mod order;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown as Half, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rt::executor::{Executor, ExecutorConfig, spawn};
use rt::sync::Credit;
use rt::tcp::{Bind, Listener};

use super::{Closed, ConnectionContext, ConnectionLimits, Handler, Request, Shutdown, Slot, serve};
use crate::frame::FrameMemory;
use crate::response::{Response, Writer};

/// Long enough for anything that must not happen to happen, if it would.
const A_WHILE: Duration = Duration::from_millis(100);

/// A socket of a test never waits longer: a hang is a failure.
const AT_MOST: Duration = Duration::from_secs(60);

/// What a request asks the handler for, in the first byte of its body.
mod ask {
    /// Answer at once with the rest of the body.
    pub(super) const ECHO: u8 = b'e';
    /// Answer when the test says so, the last one asked first.
    pub(super) const HOLD: u8 = b'h';
    /// Answer at once, but keep the request and its credit until the test says so.
    pub(super) const KEEP: u8 = b'k';
    /// Answer from another task after a turn of the executor.
    pub(super) const LATER: u8 = b'l';
    /// Answer with as many zeros as the next four bytes say, in pieces of 64 KiB.
    pub(super) const ZEROS: u8 = b'z';
    /// No answer.
    pub(super) const NOTHING: u8 = b'n';
    /// Close.
    pub(super) const CLOSE: u8 = b'c';
    /// Drop the slot.
    pub(super) const DROP: u8 = b'd';
}

/// What the test's thread and the server share.
#[derive(Default)]
struct Switches {
    handled: AtomicUsize,
    release: AtomicBool,
    shut_down: AtomicBool,
    /// What the connection's receive buffer has beyond the small one.
    buffers_in_use: AtomicUsize,
}

struct Setup {
    limits: ConnectionLimits,
    requests: usize,
    buffers: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: ConnectionLimits {
                idle: AT_MOST,
                linger: A_WHILE,
                ..ConnectionLimits::default()
            },
            requests: 64 * 1024 * 1024,
            buffers: 1024 * 1024,
        }
    }
}

#[derive(Default)]
struct Obedient {
    switches: Arc<Switches>,
    held: RefCell<Vec<(Slot, Response)>>,
    kept: RefCell<Vec<Request>>,
}

fn answer(correlation_id: i32, pieces: impl IntoIterator<Item = Bytes>) -> Response {
    let mut writer = Writer::new(correlation_id, false, 0);
    for piece in pieces {
        writer.splice(piece);
    }
    writer.finish()
}

impl Handler for Obedient {
    async fn handle(&self, mut request: Request, slot: Slot) {
        self.switches.handled.fetch_add(1, Ordering::SeqCst);
        let id = request.header.correlation_id;
        let what = request.body.split_to(1)[0];
        let rest = request.body.split().freeze();
        match what {
            ask::ECHO => slot.fill(answer(id, [rest])),
            ask::HOLD => self.held.borrow_mut().push((slot, answer(id, [rest]))),
            ask::KEEP => {
                slot.fill(answer(id, [rest]));
                self.kept.borrow_mut().push(request);
            }
            ask::LATER => rt::task::spawn(async move {
                rt::task::yield_now().await;
                slot.fill(answer(id, [rest]));
            })
            .detach(),
            ask::ZEROS => {
                let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
                let piece = Bytes::from(vec![0; 64 * 1024]);
                let whole = std::iter::repeat_n(piece.clone(), size / piece.len());
                slot.fill(answer(id, whole.chain([piece.slice(..size % piece.len())])));
            }
            ask::NOTHING => slot.nothing(),
            ask::CLOSE => slot.close("asked to"),
            ask::DROP => drop(slot),
            other => panic!("the test asks for {other}"),
        }
    }
}

/// Does what the switches say, as long as the server runs.
async fn follow(handler: Rc<Obedient>, context: Rc<ConnectionContext>) {
    loop {
        rt::time::sleep(Duration::from_millis(2)).await;
        let grown = context.memory.buffers.in_use();
        handler
            .switches
            .buffers_in_use
            .store(grown, Ordering::SeqCst);
        if handler.switches.release.load(Ordering::SeqCst) {
            let held = handler.held.take();
            for (slot, response) in held.into_iter().rev() {
                slot.fill(response);
            }
            handler.kept.take();
        }
        if handler.switches.shut_down.load(Ordering::SeqCst) {
            context.shutdown.begin();
        }
    }
}

/// What is left of the budgets when the server has ended, and why it did.
struct Ended {
    closed: Closed,
    requests_in_use: usize,
    buffers_in_use: usize,
}

struct Server {
    address: SocketAddr,
    switches: Arc<Switches>,
    executor: Executor<Ended>,
}

impl Server {
    /// Serves one connection.
    fn start(setup: Setup) -> Self {
        let switches = Arc::<Switches>::default();
        let theirs = Arc::clone(&switches);
        let (tell, told) = mpsc::channel();
        let config = ExecutorConfig {
            name: "connection-test".to_owned(),
            io_memory: 64 * 1024,
            ..ExecutorConfig::default()
        };
        let executor = spawn(config, move || serve_one(setup, theirs, tell)).unwrap();
        Self {
            address: told.recv_timeout(AT_MOST).unwrap(),
            switches,
            executor,
        }
    }

    fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(AT_MOST)).unwrap();
        stream.set_write_timeout(Some(AT_MOST)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream }
    }

    fn handled(&self) -> usize {
        self.switches.handled.load(Ordering::SeqCst)
    }

    /// Waits until that many requests have been handed to the handler.
    fn wait_for_handled(&self, count: usize) {
        while self.handled() < count {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the receive buffer is as wanted.
    fn wait_for_buffer(&self, wanted: impl Fn(usize) -> bool) {
        while !wanted(self.switches.buffers_in_use.load(Ordering::SeqCst)) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn release(&self) {
        self.switches.release.store(true, Ordering::SeqCst);
    }

    fn shut_down(&self) {
        self.switches.shut_down.store(true, Ordering::SeqCst);
    }

    /// Why the connection ended. All memory promised for it has to be back by then.
    fn end(self) -> Closed {
        let ended = self.executor.join().unwrap();
        assert_eq!((ended.requests_in_use, ended.buffers_in_use), (0, 0));
        ended.closed
    }
}

async fn serve_one(setup: Setup, switches: Arc<Switches>, tell: mpsc::Sender<SocketAddr>) -> Ended {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(any, Bind::default()).unwrap();
    tell.send(listener.local_addr()).unwrap();
    let handler = Rc::new(Obedient {
        switches,
        ..Obedient::default()
    });
    let context = Rc::new(ConnectionContext {
        limits: setup.limits,
        memory: FrameMemory::new(Credit::new(setup.requests), Credit::new(setup.buffers)),
        shutdown: Shutdown::new(),
    });
    let following = rt::task::spawn(follow(Rc::clone(&handler), Rc::clone(&context)));
    let stream = listener.accept().await.unwrap();
    let closed = serve(stream, Rc::clone(&handler), Rc::clone(&context)).await;
    following.cancel().await;
    handler.kept.take();
    handler.held.take();
    Ended {
        closed,
        requests_in_use: context.memory.requests.in_use(),
        buffers_in_use: context.memory.buffers.in_use(),
    }
}

/// A request as a client sends it, size in front: Metadata version 0 by name.
fn request(id: i32, what: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&3_i16.to_be_bytes());
    frame.extend_from_slice(&0_i16.to_be_bytes());
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&(-1_i16).to_be_bytes());
    frame.push(what);
    frame.extend_from_slice(body);
    let mut framed = (frame.len() as i32).to_be_bytes().to_vec();
    framed.extend_from_slice(&frame);
    framed
}

struct Peer {
    stream: TcpStream,
}

impl Peer {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn ask(&mut self, id: i32, what: u8, body: &[u8]) {
        self.send(&request(id, what, body));
    }

    /// The next answer: its correlation id and body.
    fn answer(&mut self) -> (i32, Vec<u8>) {
        let mut head = [0; 8];
        self.stream.read_exact(&mut head).unwrap();
        let size = i32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let mut body = vec![0; size - 4];
        self.stream.read_exact(&mut body).unwrap();
        (i32::from_be_bytes(head[4..].try_into().unwrap()), body)
    }

    /// Nothing may be left to read, and the end has to be a clean one.
    fn expect_end(&mut self) {
        match self.read_byte() {
            Ok(0) => {}
            other => panic!("expected the end of the connection, got {other:?}"),
        }
    }

    fn expect_silence(&mut self) {
        self.stream.set_read_timeout(Some(A_WHILE)).unwrap();
        match self.read_byte() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("expected nothing, got {other:?}"),
        }
        self.stream.set_read_timeout(Some(AT_MOST)).unwrap();
    }

    /// One read, of a byte at most. Executors signal their process, so it may be cut short.
    fn read_byte(&mut self) -> std::io::Result<usize> {
        loop {
            match self.stream.read(&mut [0]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn finish_writing(&mut self) {
        self.stream.shutdown(Half::Write).unwrap();
    }
}
