//! The task of a connection: reading, handing out, writing, ending.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Buf;
use rt::tcp::{Stream, WriteHalf};
use rt::time::{now, sleep, timeout};

use super::closed::Closed;
use super::gather::Gather;
use super::ring::{End, Ready, Ring, Stop};
use super::{ConnectionContext, ConnectionInfo, ConnectionLimits, Handler, Request};
use crate::frame::{Frame, FrameError, FrameReader};
use crate::header::RequestHeader;

/// The most a peer may still send while it is given time to take its last answers.
const LINGER_BYTES: usize = 1024 * 1024;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Serves a connection until it ends, and says why it did. Whatever happens on it stays
/// with it; it leaves one line in the log.
///
/// Dropping the future closes the connection at once, and drops a handler that runs.
pub async fn serve<H: Handler>(
    stream: Stream,
    handler: Rc<H>,
    context: Rc<ConnectionContext>,
) -> Closed {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
        // Gone before it was looked at.
        return Closed::Peer;
    };
    let info = Rc::new(ConnectionInfo {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        peer,
        local,
    });
    let limits = &context.limits;
    let (read, mut write) = stream.split();
    let ring = Ring::new(limits.in_flight, now());
    let ending = Ending {
        ring: Rc::clone(&ring),
        handler: Rc::clone(&handler),
        info: Rc::clone(&info),
    };
    let mut reader = Reader {
        frames: FrameReader::new(read, limits.frame.clone(), context.memory.clone()),
        ring: Rc::clone(&ring),
        info: Rc::clone(&info),
        idle: limits.idle,
        requests: 0,
    };
    let closed = drive(
        &ring,
        &context,
        pin!(reader.run(&*handler)),
        pin!(write_answers(&ring, &mut write, limits)),
    )
    .await;
    drop(ending);
    closed.log(&info, reader.requests);
    let told = write.shutdown_write();
    if told.is_ok() && closed.is_ours() {
        let span = match closed {
            // A peer that was quiet has had its time since its last answer: it must not hold up the
            // end of all.
            Closed::Shutdown => {
                let silent = now().saturating_duration_since(ring.last_write());
                limits.linger.saturating_sub(silent)
            }
            _ => limits.linger,
        };
        reader.frames.discard(span, LINGER_BYTES).await;
    }
    closed
}

/// Closes the ring also when the connection's task is dropped, and tells the handler.
struct Ending<H: Handler> {
    ring: Rc<Ring>,
    handler: Rc<H>,
    info: Rc<ConnectionInfo>,
}

impl<H: Handler> Drop for Ending<H> {
    fn drop(&mut self) {
        self.ring.close();
        self.handler.ended(&self.info);
    }
}

/// Runs the parts of a connection in one task: whichever has something to do when the task
/// wakes does it, reader before writer, so that an answer given at once is written in the
/// same turn.
///
/// The reader ends with `None` when it was told to stop. A handler that runs when the
/// writer ends is let run to its end.
async fn drive(
    ring: &Ring,
    context: &ConnectionContext,
    mut reader: Pin<&mut impl Future<Output = Option<Closed>>>,
    mut writer: Pin<&mut impl Future<Output = Result<(), Closed>>>,
) -> Closed {
    let mut shutdown = pin!(shut_down(ring, context));
    let (mut read_end, mut write_end) = (None, None);
    poll_fn(|cx| {
        // It registers once: finding itself in a list of all connections at every turn
        // would be work for nothing.
        let look_for_shutdown = ring.enter(cx.waker()) || context.shutdown.has_begun();
        if look_for_shutdown && let Poll::Ready(over) = shutdown.as_mut().poll(cx) {
            return Poll::Ready(over);
        }
        loop {
            if read_end.is_none()
                && let Poll::Ready(end) = reader.as_mut().poll(cx)
            {
                read_end = Some(end);
                ring.reader_done();
            }
            if write_end.is_none()
                && let Poll::Ready(end) = writer.as_mut().poll(cx)
            {
                write_end = Some(end);
                ring.stop(Stop::Everything);
            }
            if read_end.is_some()
                && let Some(written) = write_end.take()
            {
                return Poll::Ready(reason(read_end.take().flatten(), written));
            }
            if ring.leave() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// What to tell of how reading and writing ended.
fn reason(read: Option<Closed>, written: Result<(), Closed>) -> Closed {
    match (read, written) {
        (Some(read), _) if read.is_violation() => read,
        (_, Err(written)) => written,
        (Some(read), Ok(())) => read,
        // Told to stop, and everything was written.
        (None, Ok(())) => Closed::Shutdown,
    }
}

/// Stops the reader when a shutdown begins; ready when what was begun then has taken too
/// long.
async fn shut_down(ring: &Ring, context: &ConnectionContext) -> Closed {
    context.shutdown.begun().await;
    ring.stop(Stop::Reading);
    let after = context.limits.drain;
    sleep(after).await;
    Closed::DrainOver {
        unanswered: ring.unwritten(),
        after,
    }
}

struct Reader {
    frames: FrameReader,
    ring: Rc<Ring>,
    info: Rc<ConnectionInfo>,
    idle: Duration,
    requests: u64,
}

impl Reader {
    /// Hands requests out until there are no more; `None` when told to stop.
    async fn run<H: Handler>(&mut self, handler: &H) -> Option<Closed> {
        loop {
            let frame = match self.next().await? {
                Ok(frame) => frame,
                Err(end) => return Some(end),
            };
            let mut body = frame.bytes;
            let header = match RequestHeader::parse(&body) {
                Ok((header, length)) => {
                    body.advance(length);
                    header
                }
                Err(error) => return Some(Closed::Header(error)),
            };
            let request = Request {
                header,
                body,
                credit: frame.credit,
                connection: Rc::clone(&self.info),
            };
            self.requests += 1;
            handler.handle(request, self.ring.open()).await;
            rt::task::yield_if_needed().await;
        }
    }

    /// The next frame, when there is room for its answer; `None` when told to stop.
    async fn next(&mut self) -> Option<Result<Frame, Closed>> {
        let ring = &self.ring;
        until_stopped(ring, pin!(poll_fn(|_| ring.poll_room()))).await?;
        let mut wait = self.idle;
        loop {
            let error = match until_stopped(ring, pin!(self.frames.next(wait))).await? {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => return Some(Err(Closed::Peer)),
                Err(error) => error,
            };
            match error {
                FrameError::Idle { .. } => match self.left_idle() {
                    Some(left) => wait = left,
                    None => return Some(Err(Closed::Idle { after: self.idle })),
                },
                FrameError::Io(_) => {
                    // There is nobody left to write to either.
                    ring.stop(Stop::Everything);
                    return Some(Err(Closed::Frame(error)));
                }
                _ => return Some(Err(Closed::Frame(error))),
            }
        }
    }

    /// How much longer the connection may be silent; `None` when it has been long enough.
    /// Waiting for an answer is not being idle.
    fn left_idle(&self) -> Option<Duration> {
        if self.ring.unwritten() > 0 {
            return Some(self.idle);
        }
        let silent = now().saturating_duration_since(self.ring.last_write());
        self.idle.checked_sub(silent).filter(|left| !left.is_zero())
    }
}

/// The output of `future`, or `None` when the reader is told to stop before it is ready.
/// Whoever tells it wakes the task. Futures are handed on pinned here, because moving one
/// into another would have every idle connection hold room for it twice.
async fn until_stopped<T>(ring: &Ring, mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| {
        if ring.stopped() > Stop::Never {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Writes answers as they become due, all that are ready at once.
async fn write_answers(
    ring: &Ring,
    half: &mut WriteHalf,
    limits: &ConnectionLimits,
) -> Result<(), Closed> {
    let mut gather = Gather::default();
    loop {
        match poll_fn(|_| ring.poll_ready(&mut gather)).await {
            Ready::Answers => {}
            Ready::Done => return Ok(()),
            Ready::End(End::Asked(reason)) => return Err(Closed::Handler(reason)),
            Ready::End(End::Abandoned) => return Err(Closed::Abandoned),
        }
        loop {
            let mut pieces = gather.next_write();
            if pieces.is_empty() {
                break;
            }
            let after = match gather.holds_memory() {
                true => limits.unread.min(limits.idle),
                false => limits.idle,
            };
            match timeout(after, half.write_queue(&mut pieces)).await {
                Ok(written) => written.map_err(Closed::Write)?,
                Err(_elapsed) => return Err(Closed::NotRead { after }),
            }
        }
        gather.clear();
        ring.written(now());
    }
}
