//! Notices, single values and credit, polled by hand: they need no executor.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use rt::sync::{Acquire, Credit, Notify, Permit, oneshot};

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future and how often it was woken.
struct Polled<F> {
    future: Pin<Box<F>>,
    counter: Arc<Counter>,
}

impl<F: Future> Polled<F> {
    fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            counter: Arc::default(),
        }
    }

    fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.counter));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn woken(&self) -> usize {
        self.counter.0.load(Ordering::SeqCst)
    }
}

#[test]
fn notify_one_wakes_the_first_and_only_that_one() {
    let notify = Notify::new();
    let mut first = Polled::new(notify.notified());
    let mut second = Polled::new(notify.notified());
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());
    notify.notify_one();
    assert_eq!((first.woken(), second.woken()), (1, 0));
    assert!(first.poll().is_ready());
    assert!(second.poll().is_pending());
}

#[test]
fn notify_one_is_remembered_once() {
    let notify = Notify::new();
    notify.notify_one();
    notify.notify_one();
    assert!(Polled::new(notify.notified()).poll().is_ready());
    assert!(Polled::new(notify.notified()).poll().is_pending());
}

#[test]
fn notify_waiters_wakes_all_who_came_before_and_is_not_remembered() {
    let notify = Notify::new();
    let mut polled = Polled::new(notify.notified());
    let mut only_made = Polled::new(notify.notified());
    assert!(polled.poll().is_pending());
    notify.notify_waiters();
    assert_eq!(polled.woken(), 1);
    assert!(polled.poll().is_ready());
    assert!(only_made.poll().is_ready());
    assert!(Polled::new(notify.notified()).poll().is_pending());
}

#[test]
fn a_notice_not_used_goes_to_the_next() {
    let notify = Notify::new();
    let mut first = Polled::new(notify.notified());
    let mut second = Polled::new(notify.notified());
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());
    notify.notify_one();
    drop(first);
    assert_eq!(second.woken(), 1);
    assert!(second.poll().is_ready());

    // With nobody left it is remembered.
    let mut third = Polled::new(notify.notified());
    assert!(third.poll().is_pending());
    notify.notify_one();
    drop(third);
    assert!(Polled::new(notify.notified()).poll().is_ready());
}

#[test]
fn one_that_stopped_waiting_takes_no_notice_away() {
    let notify = Notify::new();
    let mut first = Polled::new(notify.notified());
    let mut second = Polled::new(notify.notified());
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());
    drop(first);
    notify.notify_one();
    assert!(second.poll().is_ready());

    // Woken by `notify_waiters` and dropped: that is no permit for anybody.
    let mut third = Polled::new(notify.notified());
    assert!(third.poll().is_pending());
    notify.notify_waiters();
    drop(third);
    assert!(Polled::new(notify.notified()).poll().is_pending());
}

#[test]
fn a_oneshot_hands_over_its_value() {
    let (sender, receiver) = oneshot();
    let mut receiver = Polled::new(receiver);
    assert!(receiver.poll().is_pending());
    sender.send(5).unwrap();
    assert_eq!(receiver.woken(), 1);
    assert_eq!(receiver.poll(), Poll::Ready(Ok(5)));
}

#[test]
fn a_oneshot_says_when_the_other_end_is_gone() {
    let (sender, receiver) = oneshot::<u8>();
    let mut receiver = Polled::new(receiver);
    assert!(receiver.poll().is_pending());
    drop(sender);
    assert_eq!(receiver.woken(), 1);
    assert!(matches!(receiver.poll(), Poll::Ready(Err(_))));

    let (sender, receiver) = oneshot();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(9), Err(9));
}

#[test]
fn credit_is_granted_in_order_and_the_large_are_not_starved() {
    let credit = Credit::new(10);
    let held = credit.try_acquire(4).unwrap();
    let mut large = Polled::new(credit.acquire(8));
    let mut small = Polled::new(credit.acquire(1));
    assert!(large.poll().is_pending());
    // There is room for it, but it came later.
    assert!(small.poll().is_pending());
    assert!(credit.try_acquire(1).is_none());
    drop(held);
    assert_eq!((large.woken(), small.woken()), (1, 1));
    let Poll::Ready(large) = large.poll() else {
        panic!()
    };
    assert_eq!((large.amount(), credit.available()), (8, 1));
    assert!(small.poll().is_ready());
}

#[test]
fn more_than_all_is_all() {
    let credit = Credit::new(10);
    let held = credit.try_acquire(1).unwrap();
    let mut all = Polled::new(credit.acquire(1 << 40));
    assert!(all.poll().is_pending());
    drop(held);
    let Poll::Ready(all) = all.poll() else {
        panic!()
    };
    assert_eq!(
        (all.amount(), credit.available(), credit.in_use()),
        (10, 0, 10)
    );
    assert!(credit.try_acquire(0).is_some());
}

#[test]
fn credit_granted_but_not_taken_comes_back() {
    let credit = Credit::new(10);
    let held = credit.try_acquire(10).unwrap();
    let mut first = Polled::new(credit.acquire(10));
    let mut second = Polled::new(credit.acquire(10));
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());
    drop(held);
    assert_eq!((first.woken(), second.woken()), (1, 0));
    drop(first);
    assert_eq!(second.woken(), 1);
    assert!(second.poll().is_ready());
    assert_eq!(credit.available(), 10);
}

#[test]
fn one_that_stops_waiting_lets_the_next_by() {
    let credit = Credit::new(10);
    let _held = credit.try_acquire(5).unwrap();
    let mut large = Polled::new(credit.acquire(9));
    let mut small = Polled::new(credit.acquire(5));
    assert!(large.poll().is_pending());
    assert!(small.poll().is_pending());
    drop(large);
    assert_eq!(small.woken(), 1);
    assert!(small.poll().is_ready());
}

#[test]
fn a_permit_is_cut_and_joined() {
    let credit = Credit::new(10);
    let mut permit = credit.try_acquire(8).unwrap();
    let part = permit.split(3);
    assert_eq!(
        (permit.amount(), part.amount(), credit.available()),
        (5, 3, 2)
    );
    permit.shrink(1);
    assert_eq!(credit.available(), 6);
    permit.shrink(4);
    assert_eq!(permit.amount(), 1);
    assert!(permit.merge(part).is_none());
    assert_eq!((permit.amount(), credit.available()), (4, 6));
    let rest = permit.split(100);
    assert_eq!((permit.amount(), rest.amount()), (0, 4));
    let other = Credit::new(3).try_acquire(3).unwrap();
    assert!(permit.merge(other).is_some());
    drop((permit, rest));
    assert_eq!(credit.available(), 10);
}

#[derive(Debug, Clone)]
enum Op {
    Ask(usize),
    Poll(usize),
    Leave(usize),
    Free(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0usize..14).prop_map(Op::Ask),
        any::<usize>().prop_map(Op::Poll),
        any::<usize>().prop_map(Op::Leave),
        any::<usize>().prop_map(Op::Free),
    ]
}

proptest! {
    /// Whatever is asked, dropped and given back: nothing is lost, nothing is
    /// made, nobody overtakes.
    #[test]
    fn credit_is_neither_lost_nor_made(ops in proptest::collection::vec(op(), 1..200)) {
        let credit = Credit::new(10);
        let asked = Cell::new(0u64);
        let mut waiting: Vec<(u64, Polled<Acquire>)> = Vec::new();
        let mut held: Vec<Permit> = Vec::new();
        for op in ops {
            match op {
                Op::Ask(n) => {
                    let mut acquire = Polled::new(credit.acquire(n));
                    asked.set(asked.get() + 1);
                    match acquire.poll() {
                        Poll::Ready(permit) => held.push(permit),
                        Poll::Pending => waiting.push((asked.get(), acquire)),
                    }
                }
                Op::Poll(at) if !waiting.is_empty() => {
                    let at = at % waiting.len();
                    let woken = waiting[at].1.woken() > 0;
                    match waiting[at].1.poll() {
                        Poll::Ready(permit) => {
                            prop_assert!(woken, "granted without a wake");
                            held.push(permit);
                            waiting.remove(at);
                        }
                        Poll::Pending => prop_assert!(!woken, "woken for nothing"),
                    }
                }
                Op::Leave(at) if !waiting.is_empty() => {
                    waiting.remove(at % waiting.len());
                }
                Op::Free(at) if !held.is_empty() => {
                    drop(held.remove(at % held.len()));
                }
                _ => {}
            }
            // Those granted are the ones who came first.
            let granted = waiting.iter().filter(|(_, acquire)| acquire.woken() > 0).count();
            prop_assert!(waiting[..granted].iter().all(|(_, acquire)| acquire.woken() == 1));
            prop_assert_eq!(credit.waiting(), waiting.len() - granted);
        }
        drop((waiting, held));
        prop_assert_eq!(credit.available(), 10);
    }
}
