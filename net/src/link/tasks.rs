//! The three tasks of a link: one writes, one reads, one looks at the clock.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rt::tcp::{ReadHalf, WriteHalf};
use rt::time::{now, sleep};

use super::{LinkError, PREFIX, Shared};

/// What is read at a time where no more is known to come.
const READ_ROOM: usize = 64 * 1024;

/// How far memory is reserved ahead of what has come.
const MOST_AHEAD: usize = 16 * 1024 * 1024;

/// How often deadlines are looked at.
const WATCH: Duration = Duration::from_millis(250);

/// The first answers of a broker are small; what claims more at first is no broker.
const FIRST_ANSWER: usize = 1024 * 1024;

/// Writes what is queued, until the link ends.
pub(super) async fn write(shared: Rc<Shared>, mut half: WriteHalf) {
    let mut written = 0;
    loop {
        let mut queue = std::mem::take(&mut shared.state.borrow_mut().queue);
        if queue.is_empty() {
            if shared.has_ended() {
                // Ends the reader's wait.
                let _ = half.shutdown();
                return;
            }
            shared.work.notified().await;
            continue;
        }
        let bytes: u64 = queue.iter().map(|piece| piece.len() as u64).sum();
        if let Err(error) = half.write_queue(&mut queue).await {
            shared.end(closed(&shared, &error));
            continue;
        }
        written += bytes;
        let (_, read) = shared.traffic.get();
        shared.traffic.set((written, read));
        give_back(&shared, queue);
        tell_written(&shared, written);
    }
}

/// The emptied queue keeps its memory, if no request has come meanwhile.
fn give_back(shared: &Shared, emptied: VecDeque<Bytes>) {
    let mut state = shared.state.borrow_mut();
    if state.queue.is_empty() {
        state.queue = emptied;
    }
}

/// Requests that have no answer are done when they are written.
fn tell_written(shared: &Shared, written: u64) {
    let mut told = false;
    loop {
        let done = {
            let mut state = shared.state.borrow_mut();
            match state.unanswered.front() {
                Some(first) if first.end <= written => state.unanswered.pop_front(),
                _ => None,
            }
        };
        let Some(done) = done else { break };
        let _ = done.done.send(Ok(Bytes::new()));
        told = true;
    }
    if told {
        shared.bell.notify_one();
    }
}

/// Reads answers and gives them to those who wait, until the link ends.
pub(super) async fn read(shared: Rc<Shared>, mut half: ReadHalf) {
    let mut buffer = BytesMut::new();
    let mut first = true;
    loop {
        match read_frame(&shared, &mut half, &mut buffer, first).await {
            Ok(frame) => {
                first = false;
                if let Err(error) = deliver(&shared, frame) {
                    shared.end(error);
                    return;
                }
            }
            Err(error) => {
                shared.end(error);
                return;
            }
        }
    }
}

async fn read_frame(
    shared: &Shared,
    half: &mut ReadHalf,
    buffer: &mut BytesMut,
    first: bool,
) -> Result<Bytes, LinkError> {
    let max = if first {
        FIRST_ANSWER
    } else {
        shared.config.max_answer_bytes
    };
    while buffer.len() < PREFIX {
        // Takes the old memory again where nobody holds any of it.
        buffer.reserve(READ_ROOM);
        read_some(shared, half, buffer, 1).await?;
    }
    let claim = buffer
        .first_chunk::<PREFIX>()
        .map_or(0, |size| i32::from_be_bytes(*size));
    let size = usize::try_from(claim)
        .ok()
        .filter(|size| (PREFIX..=max).contains(size))
        .ok_or_else(|| LinkError::NotKafka {
            broker: shared.address.clone(),
            reason: format!(
                "it sent {:?} where the size of an answer belongs",
                String::from_utf8_lossy(&buffer[..buffer.len().min(16)])
            ),
        })?;
    let total = PREFIX + size;
    while buffer.len() < total {
        let missing = total - buffer.len();
        buffer.reserve(missing.min(MOST_AHEAD.max(buffer.len())));
        let room = buffer.capacity() - buffer.len();
        read_some(shared, half, buffer, missing.min(room).min(READ_ROOM)).await?;
    }
    buffer.advance(PREFIX);
    Ok(buffer.split_to(size).freeze())
}

async fn read_some(
    shared: &Shared,
    half: &mut ReadHalf,
    buffer: &mut BytesMut,
    low_water: usize,
) -> Result<(), LinkError> {
    match half.read_many(buffer, low_water).await {
        Ok(0) => Err(LinkError::Closed {
            broker: shared.address.clone(),
            reason: "the broker closed it".to_owned(),
        }),
        Ok(got) => {
            let (written, read) = shared.traffic.get();
            shared.traffic.set((written, read + got as u64));
            Ok(())
        }
        Err(error) => Err(closed(shared, &error)),
    }
}

/// Answers come in the order of the requests.
fn deliver(shared: &Shared, frame: Bytes) -> Result<(), LinkError> {
    let correlation_id = frame
        .first_chunk::<PREFIX>()
        .map_or(-1, |id| i32::from_be_bytes(*id));
    let waiting = shared.state.borrow_mut().waiting.pop_front();
    match waiting {
        Some(waiting) if waiting.correlation_id == correlation_id => {
            // Who has stopped waiting doesn't want it.
            let _ = waiting.answer.send(Ok(frame));
            shared.bell.notify_one();
            Ok(())
        }
        other => {
            let error = LinkError::NotKafka {
                broker: shared.address.clone(),
                reason: format!("it answered request {correlation_id}, which was not next"),
            };
            if let Some(waiting) = other {
                let _ = waiting.answer.send(Err(error.clone()));
            }
            Err(error)
        }
    }
}

/// Ends the link when an answer is overdue.
pub(super) async fn watch(shared: Rc<Shared>) {
    while !shared.has_ended() {
        sleep(WATCH).await;
        let overdue = {
            let state = shared.state.borrow();
            let deadline = state.waiting.front().map(|first| first.deadline);
            deadline.is_some_and(|deadline| deadline <= now())
        };
        if overdue {
            shared.end(LinkError::TimedOut {
                broker: shared.address.clone(),
                after: shared.config.request_timeout,
            });
        }
    }
}

fn closed(shared: &Shared, error: &io::Error) -> LinkError {
    LinkError::Closed {
        broker: shared.address.clone(),
        reason: error.to_string(),
    }
}
