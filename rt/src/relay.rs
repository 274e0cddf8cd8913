//! Polls a glommio future only when it asked for it.
//!
//! Most glommio futures store one more waker each time they are polled and
//! still pending, and the wakers of a task are counted in an `i16`: an accept
//! that waits in a select beside something busy ends in a panic after 32,767
//! polls. A relay stands between: the future sees one waker of ours, counted by
//! an `Arc`, and is left alone until that one is woken.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::bell::lock;

/// The waker handed to a glommio future, and the task it stands for.
pub(crate) struct Relay {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Relay {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            woken: AtomicBool::new(true),
            task: Mutex::new(None),
        })
    }

    /// Stores who waits, and says whether the future wants to be polled.
    pub(crate) fn wants_poll(&self, cx: &Context<'_>) -> bool {
        let mut task = lock(&self.task);
        match &mut *task {
            Some(held) => held.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        let task = lock(&self.task).take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// Runs a glommio future behind a relay of its own.
pub(crate) async fn relayed<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let relay = Relay::new();
    let waker = Waker::from(Arc::clone(&relay));
    poll_fn(|cx| {
        if relay.wants_poll(cx) {
            future.as_mut().poll(&mut Context::from_waker(&waker))
        } else {
            Poll::Pending
        }
    })
    .await
}
