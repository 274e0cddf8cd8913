//! Tasks of an executor, the classes they run in, and blocking calls.
//!
//! A task runs on the executor that spawned it and nowhere else. Spawning never
//! polls: the task first runs when the one that spawned it waits. A panic in a
//! task unwinds its executor, so it should end the process.
//!
//! The runtime counts the wakers of a task in an `i16`. Futures of this crate
//! hold a bounded number each; code that stores wakers itself must not keep more
//! than a few for one task.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::bell::{Seat, lock};
use crate::local::Local;

/// The task queues of an executor, most urgent first. Shares decide who gets
/// the core when several have work; a class without work costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Class {
    /// Connections, produce, replication. The classes below step back for it
    /// every preempt interval.
    Serve = 0,
    /// Fetches served from memory.
    Tail = 1,
    /// Reads that go to the disk.
    Cold = 2,
    /// Retention, recovery, compaction.
    Background = 3,
}

/// A spawned task. Dropping it cancels the task: it is never polled again, and
/// its future is dropped when the executor next runs, not at once.
#[must_use = "dropping a task cancels it; detach it to let it run"]
pub struct Task<T>(glommio::Task<T>);

impl<T> Task<T> {
    /// Lets the task run on its own.
    pub fn detach(self) {
        drop(self.0.detach());
    }

    /// Cancels the task and waits until its future is dropped. Gives its output
    /// if it had already finished.
    pub async fn cancel(self) -> Option<T> {
        self.0.cancel().await
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

/// Spawns a task in the class of the one that spawns it.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_queue(future, glommio::executor().current_task_queue())
}

/// Spawns a task in a class.
pub fn spawn_in<T: 'static>(class: Class, future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_queue(future, Local::current().queue(class))
}

fn spawn_queue<T: 'static>(
    future: impl Future<Output = T> + 'static,
    queue: glommio::TaskQueueHandle,
) -> Task<T> {
    if Local::current().steps_back(queue) {
        spawn_now(stepping_back(future), queue)
    } else {
        spawn_now(future, queue)
    }
}

#[expect(
    clippy::expect_used,
    reason = "queues of an executor are never removed"
)]
fn spawn_now<T: 'static>(
    future: impl Future<Output = T> + 'static,
    queue: glommio::TaskQueueHandle,
) -> Task<T> {
    // glommio's plain spawn polls the new task right there, under whatever the
    // caller has borrowed; spawning into a queue never does.
    Task(glommio::spawn_local_into(future, queue).expect("the task queue exists"))
}

/// Runs a future that, before each poll, lets the reactor have its turn if this
/// one has taken too long: a hundred ready tasks of a low class, each short,
/// must not hold up a connection until the last is done.
async fn stepping_back<F: Future>(future: F) -> F::Output {
    let local = Local::current();
    let mut future = pin!(future);
    let mut stepped = None;
    poll_fn(|cx| {
        if stepped.is_none() && local.turn_is_over() {
            stepped = Some(Box::pin(next_turn()));
        }
        if let Some(back) = &mut stepped {
            ready!(back.as_mut().poll(cx));
            stepped = None;
        }
        future.as_mut().poll(cx)
    })
    .await
}

/// Waits until the reactor has been looked at.
async fn next_turn() {
    let local = Local::current();
    let this = local.turn_number();
    while local.turn_number() == this {
        // Long enough that it has not run out when it is first polled (it would
        // not wait at all then), and gone by when the reactor is reached.
        glommio::timer::sleep(Duration::from_micros(2)).await;
    }
}

/// Gives way if the executor has something more urgent: a connection to accept,
/// or this turn has taken long enough. Call it in long loops, every few
/// microseconds of work; it costs some 50 ns when it does nothing.
pub async fn yield_if_needed() {
    if Local::current().turn_is_over() {
        next_turn().await;
    } else {
        glommio::executor().yield_if_needed().await;
    }
}

/// Gives way to every other task that is ready, of any class.
pub async fn yield_now() {
    if Local::current().turn_is_over() {
        next_turn().await;
    } else {
        glommio::executor().yield_task_queue_now().await;
    }
}

/// A closure given to [`blocking`] panicked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a blocking call panicked: {message}; this is a bug, please report it")]
pub struct BlockingPanicked {
    /// What the panic said.
    pub message: String,
}

/// Runs a closure that may block on a thread of its own and waits for it.
///
/// Dropping the future doesn't stop the closure; its result is dropped then. A
/// panic comes back as an error, but the process's panic hook has seen it first.
/// At most two closures of an executor run at once.
pub async fn blocking<T, F>(f: F) -> Result<T, BlockingPanicked>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let local = Local::current();
    let seat = Seat::new(&local);
    let slot = Arc::new(Mutex::new(None));
    let (theirs, ringer) = (Arc::clone(&slot), seat.ringer());
    local.pool.submit(Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(f)).map_err(|payload| panic_message(&*payload));
        *lock(&theirs) = Some(outcome);
        ringer.ring();
    }));
    drop(local);
    let outcome = poll_fn(|cx| match lock(&slot).take() {
        Some(outcome) => Poll::Ready(outcome),
        None => {
            seat.park(cx.waker());
            Poll::Pending
        }
    })
    .await;
    outcome.map_err(|message| BlockingPanicked { message })
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    }
}
