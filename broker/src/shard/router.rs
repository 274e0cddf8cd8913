//! How shards ask each other for something: a closure sent over a lane, run by its target, answered
//! over the lane that leads back.
//!
//! Owns the lanes' sending ends and the calls that are under way. Closures from one shard to another
//! run in the order they were sent, and the part of a closure that runs before its first await is
//! over before the next one begins; the order of a connection's appends rests on that.
//!
//! Nothing is dropped and a reply never waits: a call needs one of [`CALLS_IN_FLIGHT`] credits of its
//! lane until it is answered, and a lane has room for the calls of one side and the replies to the
//! other side's.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use rt::lane::{Mesh, Receiver, Sender};
use rt::sync::{Credit, Permit, oneshot};

use super::{Shard, ShardId};

/// Calls from one shard to another that may wait for their answer at the same time.
pub const CALLS_IN_FLIGHT: usize = 1024;
/// Messages a lane holds: one side's calls and its replies to the other side's calls.
pub const LANE_CAPACITY: usize = 2 * CALLS_IN_FLIGHT;

type Answer = Box<dyn Any + Send>;
type Job = Box<dyn FnOnce(&Rc<Shard>, ReplyTo) + Send>;

/// What goes over a lane between two shards.
pub enum Message {
    /// Run this; the answer, if one is wanted, goes to the call it names.
    Run(ReplyTo, Job),
    /// The answer to an earlier call of the receiver's.
    Done(u64, Answer),
}

/// Which call of which shard an answer belongs to.
#[derive(Clone, Copy)]
pub struct ReplyTo {
    shard: ShardId,
    call: u64,
}

struct Waiting {
    answer: oneshot::Sender<Answer>,
    /// Held until the answer is here, even if nobody waits for it any more: see the module's text.
    _credit: Permit,
}

struct Lane {
    sender: Sender<Message>,
    credit: Credit,
}

/// The sending side of a shard's lanes.
pub struct Router {
    lanes: Vec<Option<Lane>>,
    calls: RefCell<HashMap<u64, Waiting>>,
    next_call: Cell<u64>,
}

/// A call under way. Ready with the answer; dropping it gives up the answer, not the work.
pub enum Call<R> {
    /// It runs on this very shard.
    Local(Pin<Box<dyn Future<Output = R>>>),
    /// It runs elsewhere.
    Remote(oneshot::Receiver<Answer>, PhantomData<R>),
}

impl<R> Unpin for Call<R> {}

impl<R: 'static> Future for Call<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        match self.get_mut() {
            Self::Local(future) => future.as_mut().poll(cx),
            Self::Remote(receiver, _) => match Pin::new(receiver).poll(cx) {
                Poll::Ready(Ok(answer)) => match answer.downcast::<R>() {
                    Ok(answer) => Poll::Ready(*answer),
                    Err(_) => unreachable!("a call's answer has the type its closure returns"),
                },
                // The other shard has ended, and with it this process: nobody is left to be told.
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl Router {
    /// Splits a connected mesh into the sending side and the receivers, one per other shard.
    pub fn new(mesh: Mesh<Message>) -> (Self, Vec<(ShardId, Receiver<Message>)>) {
        let lanes = mesh
            .senders
            .into_iter()
            .map(|sender| {
                sender.map(|sender| Lane {
                    sender,
                    credit: Credit::new(CALLS_IN_FLIGHT),
                })
            })
            .collect();
        let receivers = mesh
            .receivers
            .into_iter()
            .enumerate()
            .filter_map(|(from, receiver)| Some((ShardId(from), receiver?)))
            .collect();
        let router = Self {
            lanes,
            calls: RefCell::default(),
            next_call: Cell::new(0),
        };
        (router, receivers)
    }

    /// Messages that wait in each lane out of this shard, and calls without an answer yet.
    pub fn depths(&self) -> (Vec<usize>, usize) {
        let lanes = self.lanes.iter().flatten();
        (
            lanes.map(|lane| lane.sender.len()).collect(),
            self.calls.borrow().len(),
        )
    }

    fn answered(&self, call: u64, answer: Answer) {
        let waiting = self.calls.borrow_mut().remove(&call);
        if let Some(waiting) = waiting {
            // The one who asked may have given up; then the answer has no reader.
            let _ = waiting.answer.send(answer);
        }
    }

    fn reply(&self, to: ReplyTo, answer: Answer) {
        let lane = self.lanes[to.shard.0].as_ref();
        let sent = lane.map(|lane| lane.sender.try_send(Message::Done(to.call, answer)));
        assert!(
            !matches!(sent, Some(Err(rt::lane::TrySend::Full(_)))),
            "the lane to shard {} has no room for a reply although its calls are counted",
            to.shard.0
        );
    }
}

impl Shard {
    /// Begins `job` on the shard `target`: when this returns, the job has been run up to its first
    /// await (here) or stands in the lane in its order (elsewhere). Waits only while the target has
    /// [`CALLS_IN_FLIGHT`] calls of this shard to answer.
    pub async fn start_on<R, Fut, F>(self: &Rc<Self>, target: ShardId, job: F) -> Call<R>
    where
        F: FnOnce(&Rc<Self>) -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        let Some(lane) = &self.router.lanes[target.0] else {
            return Call::Local(Box::pin(job(self)));
        };
        let credit = lane.credit.acquire(1).await;
        let (sender, receiver) = oneshot();
        let call = self.router.next_call.get();
        self.router.next_call.set(call + 1);
        self.router.calls.borrow_mut().insert(
            call,
            Waiting {
                answer: sender,
                _credit: credit,
            },
        );
        let job: Job = Box::new(move |shard, to| {
            let work = job(shard);
            let shard = Rc::clone(shard);
            rt::task::spawn(async move {
                let answer: Answer = Box::new(work.await);
                shard.router.reply(to, answer);
            })
            .detach();
        });
        let to = ReplyTo {
            shard: self.id,
            call,
        };
        // Closed means the target has ended; the call then never completes, as `Call` says.
        let _ = lane.sender.send(Message::Run(to, job)).await;
        Call::Remote(receiver, PhantomData)
    }

    /// Runs `job` on the shard `target` and waits for its answer.
    pub async fn run_on<R, Fut, F>(self: &Rc<Self>, target: ShardId, job: F) -> R
    where
        F: FnOnce(&Rc<Self>) -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        self.start_on(target, job).await.await
    }

    /// Runs `job` on every shard, this one included, and gives the answers in shard order.
    pub async fn run_on_all<R, Fut, F>(self: &Rc<Self>, job: F) -> Vec<R>
    where
        F: FnOnce(&Rc<Self>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        let mut calls = Vec::with_capacity(self.node.shards);
        for target in 0..self.node.shards {
            calls.push(self.start_on(ShardId(target), job.clone()).await);
        }
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(call.await);
        }
        answers
    }

    /// Serves one incoming lane until its sender has ended.
    pub(super) async fn serve_lane(self: Rc<Self>, receiver: Receiver<Message>) {
        while let Some(message) = receiver.recv().await {
            match message {
                Message::Run(to, job) => job(&self, to),
                Message::Done(call, answer) => self.router.answered(call, answer),
            }
        }
    }
}
