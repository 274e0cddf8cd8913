//! What becomes of a coordinator when leadership, replicas or records are lost.

use std::time::Duration;

use proptest::test_runner::{Config, TestRunner};

use super::super::CoordinatorError;
use super::tally::*;
use crate::config::TopicConfig;
use crate::partition::tests::pair::{Pair, default_config, on_disk};

#[test]
fn what_another_leader_does_not_have_is_neither_answered_nor_remembered() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(0, &[0, 1]);
        let (old, _) = begin(&pair.nodes[0].partition);
        sum(&old).await;
        let kept = old.ask(Ask::Add(5));
        pair.settle().await;
        assert_eq!(kept.await.unwrap(), Ok(5));
        let lost = old.ask(Ask::Add(100));
        pair.assign(1, &[0, 1]);
        assert_eq!(lost.await.unwrap(), Err(CoordinatorError::NotCoordinator));
        old.end();
        let (new, _) = begin(&pair.nodes[1].partition);
        pair.settle().await;
        assert_eq!(sum(&new).await, 5);
        new.end();
        // Back on the first, which has cut off what was lost.
        pair.assign(0, &[0, 1]);
        pair.settle().await;
        let (again, _) = begin(&pair.nodes[0].partition);
        assert_eq!(sum(&again).await, 5);
        again.end();
        pair.close().await;
    });
}

#[test]
fn a_coordinator_waits_for_replicas_and_goes_on_with_what_the_log_has() {
    on_disk(async |path| {
        let config = TopicConfig {
            min_insync_replicas: 2,
            ..default_config()
        };
        let mut pair = Pair::make(&path, config).await;
        pair.assign(0, &[0, 1]);
        let (running, host) = begin(&pair.nodes[0].partition);
        sum(&running).await;
        let five = running.ask(Ask::Add(5));
        pair.settle().await;
        assert_eq!(five.await.unwrap(), Ok(5));
        let waiting = running.ask(Ask::SumIn(3_600_000));
        pair.assign(0, &[0]);
        let refused = running.ask(Ask::Add(7)).await.unwrap();
        assert_eq!(refused, Err(CoordinatorError::NotAvailable));
        let told = waiting.await.unwrap();
        assert_eq!(told, Err(CoordinatorError::NotAvailable), "all are told");
        let meanwhile = running.ask(Ask::Sum).await.unwrap();
        assert_eq!(meanwhile, Err(CoordinatorError::Loading));
        rt::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(host.loads.get().0, 1, "nothing is read in vain");
        pair.assign(0, &[0, 1]);
        assert_eq!(sum(&running).await, 5, "what was refused isn't there");
        assert_eq!(host.loads.get().0, 2);
        running.end();
        pair.close().await;
    });
}

#[test]
fn a_coordinator_that_begins_before_its_replica_leads_waits_for_that() {
    on_disk(async |path| {
        let mut pair = Pair::make(&path, default_config()).await;
        pair.assign(1, &[0, 1]);
        let (running, host) = begin(&pair.nodes[0].partition);
        rt::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(host.loads.get().0, 0);
        let early = running.ask(Ask::Sum).await.unwrap();
        assert_eq!(early, Err(CoordinatorError::Loading));
        pair.settle().await;
        pair.assign(0, &[0, 1]);
        assert_eq!(sum(&running).await, 0);
        running.end();
        pair.close().await;
    });
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Add(i64),
    Settle,
    Lead(i32),
    Alone,
}

/// Every answered addition is in the sum at the end, whoever leads by then, and no other but those that
/// were never answered.
async fn hold(mut pair: Pair, deeds: Vec<Deed>) {
    pair.assign(0, &[0, 1]);
    let mut leader = 0;
    let mut running = begin(&pair.nodes[0].partition).0;
    let (mut certain, mut open) = (0, Vec::new());
    for deed in deeds {
        match deed {
            Deed::Add(value) => open.push((value, running.ask(Ask::Add(value)))),
            Deed::Settle => pair.settle().await,
            Deed::Alone => pair.assign(leader, &[leader]),
            Deed::Lead(to) => {
                // Who isn't in sync must not lead.
                pair.settle().await;
                running.end();
                leader = to;
                pair.assign(leader, &[0, 1]);
                running = begin(&pair.node(leader).partition).0;
            }
        }
        let mut still = Vec::new();
        for (value, mut answer) in open {
            match there(&mut answer) {
                Some(Ok(_)) => certain |= value,
                Some(Err(CoordinatorError::Loading)) => {}
                Some(Err(_)) => still.push((value, answer)),
                None => still.push((value, answer)),
            }
        }
        open = still;
    }
    pair.settle().await;
    let in_the_end = sum(&running).await;
    assert_eq!(in_the_end & certain, certain, "nothing answered is lost");
    let maybe = open.iter().fold(certain, |all, (value, _)| all | value);
    assert_eq!(in_the_end & !maybe, 0, "nothing is there that was refused");
    running.end();
    pair.close().await;
}

#[test]
fn nothing_answered_is_lost_by_any_change_of_leaders() {
    use proptest::prelude::*;
    let deed = prop_oneof![
        4 => Just(Deed::Add(0)),
        2 => Just(Deed::Settle),
        2 => (0..2).prop_map(Deed::Lead),
        1 => Just(Deed::Alone),
    ];
    let deeds = proptest::collection::vec(deed, 1..40);
    let mut runner = TestRunner::new(Config {
        cases: 24,
        ..Config::default()
    });
    let checked = runner.run(&deeds, |deeds| {
        // Each addition is a bit of its own.
        let mut next = 0;
        let deeds: Vec<Deed> = deeds
            .into_iter()
            .map(|deed| match deed {
                Deed::Add(_) => {
                    next += 1;
                    Deed::Add(1 << next)
                }
                deed => deed,
            })
            .collect();
        on_disk(async move |path| {
            let pair = Pair::make(&path, default_config()).await;
            hold(pair, deeds).await;
        });
        Ok(())
    });
    checked.unwrap();
}
