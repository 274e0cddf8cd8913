//! Lanes and mailboxes between real executors and plain threads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;

use rt::executor::{self, ExecutorConfig};
use rt::lane::{self, Closed, MeshEnd, TrySend};
use rt::task;

fn config() -> ExecutorConfig {
    ExecutorConfig {
        name: "test".to_owned(),
        io_memory: 256 << 10,
        ..Default::default()
    }
}

fn on_executor<T: Send + 'static, Fut: Future<Output = T> + 'static>(
    make: impl FnOnce() -> Fut + Send + 'static,
) -> T {
    executor::run(config(), make).unwrap()
}

fn pair<T: Send + 'static>(capacity: usize) -> (MeshEnd<T>, MeshEnd<T>) {
    let mut ends = lane::mesh(2, capacity).into_iter();
    (ends.next().unwrap(), ends.next().unwrap())
}

async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(out) => Poll::Ready(Some(out)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// More polls than a glommio task may have wakers.
const POLLS: usize = 40_000;

#[test]
fn every_pair_of_shards_has_a_lane_that_keeps_order() {
    const ITEMS: usize = 5_000;
    let shards: Vec<_> = lane::mesh::<(usize, usize)>(3, 4)
        .into_iter()
        .map(|end| executor::spawn(config(), move || shard(end, ITEMS)).unwrap())
        .collect();
    for shard in shards {
        assert_eq!(shard.join().unwrap(), 2 * ITEMS);
    }
}

async fn shard(end: MeshEnd<(usize, usize)>, items: usize) -> usize {
    let own = end.index();
    let mut mesh = end.connect().await;
    assert_eq!(mesh.index, own);
    assert!(mesh.senders[own].is_none() && mesh.receivers[own].is_none());
    let senders = mesh.take_senders().into_iter().flatten().map(|sender| {
        task::spawn(async move {
            for item in 0..items {
                sender.send((own, item)).await.unwrap();
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let readers = mesh
        .take_receivers()
        .into_iter()
        .enumerate()
        .filter_map(|(from, receiver)| {
            let receiver = receiver?;
            Some(task::spawn(async move {
                let mut next = 0;
                // Ends with `None`, when the other shard has dropped its sender.
                while let Some(item) = receiver.recv().await {
                    assert_eq!(item, (from, next));
                    next += 1;
                }
                next
            }))
        });
    let mut seen = 0;
    for reader in readers.collect::<Vec<_>>() {
        seen += reader.await;
    }
    for sender in senders {
        sender.await;
    }
    seen
}

#[test]
fn a_full_lane_makes_its_senders_wait_in_turn() {
    on_executor(|| async {
        let (a, b) = pair(2);
        let (mut a, mut b) = (a.connect().await, b.connect().await);
        let sender = Rc::new(a.senders[1].take().unwrap());
        let receiver = b.receivers[0].take().unwrap();
        assert_eq!((sender.len(), sender.free(), receiver.len()), (0, 2, 0));
        sender.try_send(0).unwrap();
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(9), Err(TrySend::Full(9)));
        assert_eq!((sender.len(), sender.free(), receiver.len()), (2, 0, 2));
        let sent = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (2..6)
            .map(|item| {
                let (sender, sent) = (Rc::clone(&sender), Rc::clone(&sent));
                task::spawn(async move {
                    sender.send(item).await.unwrap();
                    sent.borrow_mut().push(item);
                })
            })
            .collect();
        task::yield_now().await;
        assert!(sent.borrow().is_empty());
        assert_eq!(receiver.try_recv(), Some(0));
        // There is room, but not for one who comes after those who wait.
        assert_eq!(sender.try_send(9), Err(TrySend::Full(9)));
        for item in 1..6 {
            assert_eq!(receiver.recv().await, Some(item));
        }
        for task in tasks {
            task.await;
        }
        assert_eq!(*sent.borrow(), [2, 3, 4, 5]);
        assert_eq!(receiver.try_recv(), None);
    });
}

#[test]
fn a_send_given_up_sends_nothing_and_lets_the_next_by() {
    on_executor(|| async {
        let (a, b) = pair(1);
        let (mut a, mut b) = (a.connect().await, b.connect().await);
        let sender = a.senders[1].take().unwrap();
        let receiver = b.receivers[0].take().unwrap();
        sender.send(1).await.unwrap();
        let mut waits = Box::pin(sender.send(3));
        assert!(poll_once(sender.send(2)).await.is_none());
        assert!(poll_once(waits.as_mut()).await.is_none());
        assert_eq!(receiver.recv().await, Some(1));
        waits.await.unwrap();
        assert_eq!(receiver.try_recv(), Some(3));
    });
}

#[test]
fn each_end_sees_the_other_go() {
    on_executor(|| async {
        let (a, b) = pair::<u8>(1);
        let (mut a, b) = (a.connect().await, b.connect().await);
        let sender = a.senders[1].take().unwrap();
        sender.send(1).await.unwrap();
        let waiting = task::spawn(async move { sender.send(2).await });
        task::yield_now().await;
        drop(b);
        assert_eq!(waiting.await, Err(Closed));

        // Also an end that was never connected.
        let (a, b) = pair::<u8>(1);
        let a = a.connect().await;
        let receiver = task::spawn(async move {
            let received = a.receivers[1].as_ref().unwrap().recv().await;
            (received, a.senders[1].as_ref().unwrap().try_send(4))
        });
        task::yield_now().await;
        drop(b);
        assert_eq!(receiver.await, (None, Err(TrySend::Closed(4))));
    });
}

#[test]
fn a_lane_may_be_polled_often_without_an_answer() {
    on_executor(|| async {
        let (a, b) = pair(1);
        let (a, b) = (a.connect().await, b.connect().await);
        let sender = a.senders[1].as_ref().unwrap();
        let receiver = b.receivers[0].as_ref().unwrap();
        for _ in 0..POLLS {
            assert!(poll_once(receiver.recv()).await.is_none());
        }
        sender.send(1).await.unwrap();
        let mut full = pin!(sender.send(2));
        for _ in 0..POLLS {
            assert!(poll_once(full.as_mut()).await.is_none());
        }
        assert_eq!(receiver.recv().await, Some(1));
        full.await.unwrap();
    });
}

#[test]
fn a_mailbox_takes_a_flood_from_threads_while_its_executor_is_busy() {
    const THREADS: usize = 3;
    let (sender, mailbox) = lane::mailbox::<(usize, usize)>();
    let (waits, is_waiting) = mpsc::channel();
    let (sent, all_sent) = mpsc::channel();
    let running = executor::spawn(config(), move || async move {
        let reader = task::spawn(async move {
            let mut next = [0; THREADS];
            while let Some((from, item)) = mailbox.recv().await {
                assert_eq!(item, next[from]);
                next[from] += 1;
            }
            next
        });
        task::yield_now().await;
        waits.send(()).unwrap();
        // Nothing runs here until everything is sent: each send finds the
        // reader waiting.
        for () in all_sent.iter().take(THREADS) {}
        reader.await
    })
    .unwrap();
    is_waiting.recv().unwrap();
    for from in 0..THREADS {
        let (sender, sent) = (sender.clone(), sent.clone());
        std::thread::spawn(move || {
            for item in 0..POLLS {
                sender.send((from, item)).unwrap();
            }
            sent.send(()).unwrap();
        });
    }
    drop(sender);
    assert_eq!(running.join().unwrap(), [POLLS; THREADS]);
}

#[test]
fn more_tasks_may_be_rung_for_in_one_turn_than_a_task_has_wakers() {
    on_executor(|| async {
        let (senders, mailboxes): (Vec<_>, Vec<_>) = (0..POLLS).map(|_| lane::mailbox()).unzip();
        let readers: Vec<_> = mailboxes
            .into_iter()
            .map(|mailbox| task::spawn(async move { mailbox.recv().await }))
            .collect();
        task::yield_now().await;
        // Keeps the executor from its reactor until all are sent.
        std::thread::spawn(move || {
            for (item, sender) in senders.into_iter().enumerate() {
                sender.send(item).unwrap();
            }
        })
        .join()
        .unwrap();
        for (item, reader) in readers.into_iter().enumerate() {
            assert_eq!(reader.await, Some(item));
        }
    });
}

#[test]
fn a_sleeping_executor_is_woken_through_its_mailbox() {
    let (sender, mailbox) = lane::mailbox::<mpsc::Sender<u32>>();
    let running = executor::spawn(config(), move || async move {
        let mut answered = 0;
        while let Some(reply) = mailbox.recv().await {
            answered += 1;
            reply.send(answered).unwrap();
        }
        answered
    })
    .unwrap();
    for round in 1..=200 {
        let (reply, answer) = mpsc::channel();
        sender.send(reply).unwrap();
        assert_eq!(answer.recv().unwrap(), round);
    }
    drop(sender);
    assert_eq!(running.join().unwrap(), 200);
}

#[test]
fn a_mailbox_says_when_it_is_gone() {
    let (sender, mailbox) = lane::mailbox::<u8>();
    sender.send(1).unwrap();
    drop(mailbox);
    assert_eq!(sender.send(2), Err(Closed));
}
