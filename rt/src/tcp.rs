//! TCP: listeners, streams, and the two halves of a stream.
//!
//! Every socket is close-on-exec and without Nagle's delay. Writes are vectored,
//! which glommio's are not: `sendmsg` is called here and glommio only waits for
//! room. It knows nothing of frames.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::{AcceptedTcpStream, TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::executor::raw_error;
use crate::local::Local;
use crate::relay::{Relay, relayed};

/// The most slices Linux takes in one call.
const IOV_MAX: usize = 1024;

/// What a read makes room for when the buffer has none.
const READ_ROOM: usize = 8 * 1024;

/// How a listener is bound.
#[derive(Debug, Clone, Copy)]
pub struct Bind {
    /// Whether other sockets of the same user may listen at the same address:
    /// one per shard, and the kernel spreads the connections. It also lets a
    /// second broker in, so hold a [`crate::fs::DirLock`] first.
    pub reuse_port: bool,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
}

impl Default for Bind {
    fn default() -> Self {
        Self {
            reuse_port: false,
            backlog: 1024,
        }
    }
}

type Accepting = Pin<Box<dyn Future<Output = glommio::Result<AcceptedTcpStream, ()>>>>;

/// Accepts connections, for one executor.
pub struct Listener {
    listener: Rc<TcpListener>,
    fd: RawFd,
    addr: SocketAddr,
    /// The accept under way. It belongs to the listener, not to the future of
    /// [`Listener::accept`]: cancelled in the kernel, it could leak a
    /// connection that had just been accepted.
    pending: RefCell<Option<Accepting>>,
    relay: Arc<Relay>,
}

impl Listener {
    /// Binds and listens. Connections come in from here on.
    pub fn bind(addr: SocketAddr, bind: Bind) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted broker finds the connections of the last one in
        // TIME_WAIT. This doesn't let two listen at once.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(bind.reuse_port)?;
        socket.bind(&addr.into())?;
        socket.listen(bind.backlog)?;
        let addr = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a TCP socket without an internet address"))?;
        let fd = socket.into_raw_fd();
        // SAFETY: the descriptor was just released to us and is listening.
        let listener = unsafe { TcpListener::from_raw_fd(fd) };
        Ok(Self {
            listener: Rc::new(listener),
            fd,
            addr,
            pending: RefCell::new(None),
            relay: Relay::new(),
        })
    }

    /// The address, with the port the kernel chose if none was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection. For one task. Dropping the future loses none.
    ///
    /// An error need not be the listener's end: the peer may be gone already, or
    /// no descriptor may be free (wait a little then, or this spins).
    pub async fn accept(&self) -> io::Result<Stream> {
        let accepted = poll_fn(|cx| self.poll_accept(cx))
            .await
            .map_err(raw_error)?;
        Stream::adopt(accepted.bind_to_executor())
    }

    fn poll_accept(&self, cx: &Context<'_>) -> Poll<glommio::Result<AcceptedTcpStream, ()>> {
        let mut pending = self.pending.borrow_mut();
        let wanted = self.relay.wants_poll(cx);
        let accepting = match &mut *pending {
            Some(accepting) if wanted => accepting,
            Some(_) => return Poll::Pending,
            empty => empty.insert(self.start_accept()),
        };
        let waker = Waker::from(Arc::clone(&self.relay));
        let accepted = accepting.as_mut().poll(&mut Context::from_waker(&waker));
        if accepted.is_ready() {
            *pending = None;
        }
        accepted
    }

    fn start_accept(&self) -> Accepting {
        let listener = Rc::clone(&self.listener);
        Box::pin(async move { listener.shared_accept().await })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(accepting) = self.pending.take() else {
            return;
        };
        if Local::try_current().is_none() {
            return;
        }
        // Ends the accept in the kernel, if it has not just got a connection:
        // that one has nobody to close it but us.
        // SAFETY: the descriptor is open: `self.listener` still has it.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        let _ = SockRef::from(&fd).shutdown(Shutdown::Both);
        crate::task::spawn(async move {
            if let Ok(accepted) = accepting.await {
                drop(accepted.bind_to_executor());
            }
        })
        .detach();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// The socket of a stream, shared by its halves. Each poll borrows it for the
/// time of the poll only; glommio keeps what waits to read apart from what waits
/// to write, so the halves don't disturb each other.
struct Shared {
    stream: RefCell<TcpStream>,
}

impl Shared {
    fn with_socket<T>(&self, f: impl FnOnce(SockRef<'_>) -> T) -> T {
        let stream = self.stream.borrow();
        // SAFETY: the descriptor is open as long as the stream is borrowed.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        f(SockRef::from(&fd))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self.with_socket(|socket| socket.shutdown(how)) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.borrow().peer_addr().map_err(raw_error)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.borrow().local_addr().map_err(raw_error)
    }

    fn queued(&self) -> io::Result<usize> {
        self.with_socket(|socket| {
            let mut queued: libc::c_int = 0;
            // SAFETY: the descriptor is open, and the number outlives the call.
            match unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut queued) } {
                0 => Ok(usize::try_from(queued).unwrap_or(0)),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    fn set_low_water(&self, bytes: usize) -> io::Result<()> {
        let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        self.with_socket(|socket| {
            // SAFETY: the descriptor is open, and the value outlives the call.
            let set = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_RCVLOWAT,
                    (&raw const value).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                )
            };
            match set {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, into)
    }

    fn poll_write(&self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, from)
    }

    /// One `sendmsg`, of as much as the socket takes without waiting.
    fn try_send(&self, queue: &VecDeque<Bytes>) -> io::Result<usize> {
        let slices: Vec<IoSlice<'_>> = queue
            .iter()
            .take(IOV_MAX)
            .map(|chunk| IoSlice::new(chunk))
            .collect();
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        self.with_socket(|socket| socket.send_vectored_with_flags(&slices, flags))
    }

    fn poll_send(&self, cx: &mut Context<'_>, queue: &mut VecDeque<Bytes>) -> Poll<io::Result<()>> {
        loop {
            while queue.front().is_some_and(Bytes::is_empty) {
                queue.pop_front();
            }
            let Some(front) = queue.front() else {
                return Poll::Ready(Ok(()));
            };
            let sent = match self.try_send(queue) {
                // No room: glommio tries once more and then waits for it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::task::ready!(self.poll_write(cx, front))
                }
                other => other,
            };
            match sent {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(sent) => advance(queue, sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A poll still under way would hold the socket open, and the FIN back,
        // until the next turn of the reactor.
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// Drops the first `sent` bytes of a queue.
fn advance(queue: &mut VecDeque<Bytes>, mut sent: usize) {
    while sent > 0 {
        let Some(front) = queue.front_mut() else {
            return;
        };
        if sent < front.len() {
            front.advance(sent);
            return;
        }
        sent -= front.len();
        queue.pop_front();
    }
}

/// A connection. Dropping it closes it; bytes already written still arrive.
pub struct Stream {
    shared: Rc<Shared>,
}

impl Stream {
    /// Connects. Waits as long as the kernel does (about two minutes), so put a
    /// [`crate::time::timeout`] around it.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::adopt(relayed(TcpStream::connect(addr)).await.map_err(raw_error)?)
    }

    fn adopt(stream: TcpStream) -> io::Result<Self> {
        let shared = Rc::new(Shared {
            stream: RefCell::new(stream),
        });
        shared.with_socket(|socket| {
            // glommio's quick way to accept leaves the flag out.
            socket.set_cloexec(true)?;
            socket.set_tcp_nodelay(true)
        })?;
        Ok(Self { shared })
    }

    /// Parts the stream in two, for a task that reads and one that writes. It is
    /// closed when both are dropped.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        let read = ReadHalf {
            shared: Rc::clone(&self.shared),
            low_water: 1,
        };
        (
            read,
            WriteHalf {
                shared: self.shared,
            },
        )
    }

    /// The address of the other side.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.peer_addr()
    }

    /// The address of this side.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.local_addr()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.poll_read(cx, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.poll_write(cx, from)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.shutdown(Shutdown::Write))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer_addr().ok())
            .finish()
    }
}

/// The reading half of a stream.
pub struct ReadHalf {
    shared: Rc<Shared>,
    /// How many bytes have to come for a wait to end.
    low_water: usize,
}

impl ReadHalf {
    /// Reads once, into the spare capacity of `into` (room for a few KiB is made
    /// if it has none), and says how much came; zero is the end. Dropping the
    /// future loses nothing.
    pub async fn read(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        self.read_many(into, 1).await
    }

    /// The same; but if it has to wait, it waits until `low_water` bytes have come, or the peer has
    /// ended or can send no more. Being woken costs more than the bytes do, so a reader who knows how
    /// much is to come says so.
    pub async fn read_many(&mut self, into: &mut BytesMut, low_water: usize) -> io::Result<usize> {
        if into.capacity() == into.len() {
            into.reserve(READ_ROOM);
        }
        let read = poll_fn(|cx| {
            let spare = into.spare_capacity_mut();
            // SAFETY: the slice is only lent to glommio's poll, which passes its
            // address to recv(2) and never reads from it.
            let spare = unsafe {
                std::slice::from_raw_parts_mut(spare.as_mut_ptr().cast::<u8>(), spare.len())
            };
            let read = self.shared.poll_read(cx, spare);
            if read.is_pending() && self.low_water != low_water {
                // What has come by now ends the wait all the same.
                self.shared.set_low_water(low_water)?;
                self.low_water = low_water;
            }
            read
        })
        .await?;
        // SAFETY: recv filled that many bytes of the spare capacity.
        unsafe { into.advance_mut(read) };
        Ok(read)
    }

    /// Bytes that have come and were not read.
    pub fn queued(&self) -> io::Result<usize> {
        self.shared.queued()
    }

    /// The address of the other side.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.peer_addr()
    }

    /// Ends the connection both ways at once; the other half sees it too.
    pub fn shutdown(&self) -> io::Result<()> {
        self.shared.shutdown(Shutdown::Both)
    }
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadHalf")
            .field("peer", &self.peer_addr().ok())
            .finish()
    }
}

/// The writing half of a stream.
pub struct WriteHalf {
    shared: Rc<Shared>,
}

impl WriteHalf {
    /// Writes all chunks, waiting for room as needed. Takes a `Vec<Bytes>` or a
    /// `VecDeque<Bytes>`. After an error, or dropped before it is ready, the
    /// stream may stand in the middle of a chunk and is good for nothing more.
    pub async fn write_all(&mut self, chunks: impl Into<VecDeque<Bytes>>) -> io::Result<()> {
        self.write_queue(&mut chunks.into()).await
    }

    /// Writes until the queue is empty, and takes out what is sent: dropped
    /// before it is ready, it has left exactly the rest.
    pub async fn write_queue(&mut self, queue: &mut VecDeque<Bytes>) -> io::Result<()> {
        poll_fn(|cx| self.shared.poll_send(cx, queue)).await
    }

    /// Tells the other side that nothing more comes.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.shared.shutdown(Shutdown::Write)
    }

    /// Ends the connection both ways at once; a read of the other half ends.
    pub fn shutdown(&self) -> io::Result<()> {
        self.shared.shutdown(Shutdown::Both)
    }

    /// The address of the other side.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.peer_addr()
    }
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteHalf")
            .field("peer", &self.peer_addr().ok())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{self, ExecutorConfig};

    #[test]
    fn every_socket_is_closed_on_exec_and_sends_without_delay() {
        executor::run(ExecutorConfig::default(), || async {
            let listener = Listener::bind(([127, 0, 0, 1], 0).into(), Bind::default()).unwrap();
            // The first is connected before the accept starts, which takes the
            // quick way that leaves the flag out; the second comes through the
            // ring.
            for early in [true, false] {
                let connecting = crate::task::spawn(Stream::connect(listener.local_addr()));
                if early {
                    crate::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                let accepted = listener.accept().await.unwrap();
                for stream in [accepted, connecting.await.unwrap()] {
                    stream.shared.with_socket(|socket| {
                        assert!(socket.tcp_nodelay().unwrap());
                        // SAFETY: asks for the flags of an open descriptor.
                        let flags = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFD) };
                        assert_eq!(flags, libc::FD_CLOEXEC);
                    });
                }
            }
            // SAFETY: as above.
            let flags = unsafe { libc::fcntl(listener.fd, libc::F_GETFD) };
            assert_eq!(flags, libc::FD_CLOEXEC);
        })
        .unwrap();
    }

    #[test]
    fn a_queue_is_advanced_over_whole_and_broken_chunks() {
        let mut queue: VecDeque<Bytes> = ["abc", "", "de", "fgh"].map(Bytes::from).into();
        advance(&mut queue, 4);
        assert_eq!(queue, ["e", "fgh"].map(Bytes::from));
        advance(&mut queue, 4);
        assert!(queue.is_empty());
    }
}
