//! When answers and effects are given: not before what they rest on is committed, and in time.

use std::time::Duration;

use super::super::CoordinatorError;
use super::tally::*;
use crate::partition::clock_ms;
use crate::partition::tests::pair::{Pair, default_config, on_disk};

#[test]
fn answers_and_effects_wait_for_the_other_replicas() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let (running, host) = begin(&pair.nodes[0].partition);
        assert_eq!(sum(&running).await, 0);
        let mut five = running.ask(Ask::Add(5));
        let mut done = running.ask(Ask::Perform(2));
        let mut looked = running.ask(Ask::Sum);
        rt::time::sleep(Duration::from_millis(50)).await;
        assert!(there(&mut five).is_none(), "the follower has nothing yet");
        assert!(
            there(&mut looked).is_none(),
            "it would tell what may be lost"
        );
        assert!(host.performed.borrow().is_empty());
        pair.settle().await;
        assert_eq!(five.await.unwrap(), Ok(5));
        assert_eq!(looked.await.unwrap(), Ok(7));
        assert_eq!(*host.performed.borrow(), [2]);
        assert!(there(&mut done).is_none(), "it has no answer");
        running.end();
        assert_eq!(done.await.unwrap(), Err(CoordinatorError::NotCoordinator));
        pair.close().await;
    });
}

#[test]
fn a_question_about_what_is_committed_is_answered_at_once() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let (running, _) = begin(&pair.nodes[0].partition);
        sum(&running).await;
        let added = running.ask(Ask::Add(3));
        pair.settle().await;
        assert_eq!(added.await.unwrap(), Ok(3));
        let mut looked = running.ask(Ask::Sum);
        assert_eq!(there(&mut looked), Some(Ok(3)));
        running.end();
        pair.close().await;
    });
}

#[test]
fn who_waits_too_long_is_told_and_what_was_decided_stays() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let (running, host) = begin(&pair.nodes[0].partition);
        sum(&running).await;
        host.commit_timeout_ms.set(20);
        let late = running.ask(Ask::Add(5));
        let _done = running.ask(Ask::Perform(1));
        assert_eq!(late.await.unwrap(), Err(CoordinatorError::NotAvailable));
        let later = running.ask(Ask::Sum);
        assert_eq!(later.await.unwrap(), Err(CoordinatorError::NotAvailable));
        assert!(host.performed.borrow().is_empty());
        host.commit_timeout_ms.set(60_000);
        let looked = running.ask(Ask::Sum);
        pair.settle().await;
        assert_eq!(looked.await.unwrap(), Ok(6));
        assert_eq!(*host.performed.borrow(), [1], "once, and late");
        assert_eq!(host.loads.get().0, 1, "it is the same coordinator");
        running.end();
        pair.close().await;
    });
}

#[test]
fn a_timer_goes_off_when_it_is_due_also_one_that_comes_before_others() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0]);
        let (running, _) = begin(&pair.nodes[0].partition);
        sum(&running).await;
        let begun = clock_ms();
        let mut never = running.ask(Ask::SumIn(3_600_000));
        rt::time::sleep(Duration::from_millis(5)).await;
        let soon = running.ask(Ask::SumIn(30));
        assert_eq!(soon.await.unwrap(), Ok(0));
        assert!(clock_ms() - begun >= 30, "not before its time");
        assert!(there(&mut never).is_none());
        running.end();
        assert_eq!(never.await.unwrap(), Err(CoordinatorError::NotCoordinator));
        pair.close().await;
    });
}

#[test]
fn the_log_is_read_before_anything_is_answered() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let (first, _) = begin(&pair.nodes[0].partition);
        sum(&first).await;
        for value in 1..=300 {
            drop(first.ask(Ask::Add(value)));
        }
        let end = pair.nodes[0]
            .partition
            .end_transaction(1_000_000, 0, 0, true, 5_000);
        drop(end.unwrap());
        let dropped = pair.nodes[0]
            .partition
            .end_transaction(7, 0, 0, false, 5_000);
        drop(dropped.unwrap());
        first.end();
        let late = first.ask(Ask::Sum).await.unwrap();
        assert_eq!(late, Err(CoordinatorError::NotCoordinator));
        let (second, host) = begin(&pair.nodes[0].partition);
        let early = second.ask(Ask::Add(1)).await.unwrap();
        assert_eq!(early, Err(CoordinatorError::Loading));
        // Not all of it is committed; a question must wait for that.
        while host.loads.get().0 == 0 {
            rt::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(host.loads.get(), (1, 302));
        let mut looked = second.ask(Ask::Sum);
        assert!(there(&mut looked).is_none());
        pair.settle().await;
        assert_eq!(looked.await.unwrap(), Ok(300 * 301 / 2 + 1_000_000));
        second.end();
        pair.close().await;
    });
}

#[test]
fn news_of_topics_and_of_markers_reach_the_core() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0]);
        let (running, host) = begin(&pair.nodes[0].partition);
        sum(&running).await;
        running.transaction_ended(12, 0, true);
        assert_eq!(sum(&running).await, 12);
        host.version.set(9);
        running.look();
        rt::time::sleep(Duration::from_millis(5)).await;
        let seen = running.look_at(|core| core.version);
        assert_eq!(seen, Some(9));
        running.end();
        pair.close().await;
    });
}

#[test]
fn what_is_part_of_a_transaction_is_not_written_after_its_end() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0]);
        let (running, _) = begin(&pair.nodes[0].partition);
        sum(&running).await;
        let (one, other) = (running.begin_joining(7), running.begin_joining(8));
        let given_up = running.begin_joining(8);
        running.give_up_joining(given_up);
        // Markers count, whatever they say of whatever epoch.
        running.transaction_ended(7, 3, false);
        let late = running.ask_joined(one, Ask::Add(100)).await.unwrap();
        assert_eq!(late, Err(CoordinatorError::TransactionEnded));
        assert_eq!(running.ask_joined(other, Ask::Add(5)).await.unwrap(), Ok(5));
        for number in [other, given_up] {
            let again = running.ask_joined(number, Ask::Add(5)).await.unwrap();
            assert_eq!(again, Err(CoordinatorError::TransactionEnded), "once");
        }
        running.end();
        pair.close().await;
    });
}
