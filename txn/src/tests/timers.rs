//! What happens without being asked for.

use super::*;

const V0: TransactionVersion = TransactionVersion::V0;
const V2: TransactionVersion = TransactionVersion::V2;

#[test]
fn transactions_that_take_too_long_are_aborted() {
    for version in [V0, V2] {
        let mut driver = Driver::new();
        let producer = driver.init("t");
        driver.pass(3_600_000);
        let a = partitions([("a", 0)]);
        driver.add("t", producer, &a, version).unwrap();
        driver.pass(50_000);
        // More partitions don't make it younger.
        let b = partitions([("b", 0)]);
        driver.add("t", producer, &b, version).unwrap();
        driver.pass(9_999);
        assert_eq!(driver.state("t"), "Ongoing");
        driver.pass(10_001);
        assert_eq!(driver.state("t"), "PrepareAbort");
        let markers = driver.effects[0].clone();
        assert!(!markers.commit && markers.producer.epoch == producer.epoch + 1);
        driver.write_all();
        let fenced = Err(ResponseError::ProducerFenced);
        assert_eq!(driver.add("t", producer, &a, version), fenced);
        assert!(
            driver.core.deadline().is_some(),
            "the id is forgotten some day"
        );
    }
}

#[test]
fn a_transaction_is_as_old_after_a_failover() {
    let mut driver = Driver::new();
    let producer = driver.init("t");
    driver
        .add("t", producer, &partitions([("a", 0)]), V2)
        .unwrap();
    driver.pass(55_000);
    driver.fail_over();
    driver.pass(10_001);
    assert_eq!(driver.state("t"), "PrepareAbort");
    assert_eq!(driver.effects[0].coordinator_epoch, 1);
}

#[test]
fn markers_are_written_by_the_next_coordinator() {
    let mut driver = Driver::new();
    let producer = driver.init("t");
    let all = partitions([("a", 0), ("b", 0)]);
    driver.add("t", producer, &all, V2).unwrap();
    driver.end("t", producer, true, V2).unwrap();
    let mut old = driver.effects.pop().unwrap();
    let whole = old.clone();
    old.partitions = partitions([("a", 0)]);
    assert!(driver.written(old));
    driver.fail_over();
    assert!(
        !driver.written(whole),
        "those of an earlier coordinator don't count"
    );
    assert_eq!(driver.effects[0].partitions, all);
    driver.write_all();
    assert_eq!(driver.state("t"), "CompleteCommit");
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let week = 7 * 24 * 3600 * 1000;
    let mut driver = Driver::new();
    for at in 0..5_000 {
        driver.init(&format!("{at}-{}", "x".repeat(100)));
    }
    let ongoing = driver.init("ongoing");
    // It never ends by itself.
    driver.core.settings.max_timeout_ms = i32::MAX;
    let reply = driver.ask(Ask::Init(Init {
        transactional_id: "ongoing".into(),
        timeout_ms: i32::MAX,
        expected: Some(ongoing),
        fresh_id: None,
    }));
    let Reply::Init(Ok(ongoing)) = reply else {
        panic!("{reply:?}");
    };
    driver
        .add("ongoing", ongoing, &partitions([("a", 0)]), V2)
        .unwrap();
    driver.pass(week / 2);
    driver.init("young");
    driver.pass(week / 2);
    driver.pass(3_600_000);
    assert_eq!(driver.core.known.len(), 2);
    assert!(driver.core.known.contains_key("young") && driver.core.known.contains_key("ongoing"));
    let tombstones = driver.log.iter().filter(|(_, value)| value.is_none());
    assert_eq!(tombstones.count(), 5_000);
    assert_eq!(driver.replayed(Settings::default()).known.len(), 2);
}

#[test]
fn what_becomes_of_transactions_is_counted() {
    let mut driver = Driver::new();
    let a = partitions([("a", 0)]);
    let begin = |driver: &mut Driver, id: &str| {
        let producer = driver.init(id);
        driver.add(id, producer, &a, V2).unwrap();
        producer
    };
    let producer = begin(&mut driver, "committed");
    driver.end("committed", producer, true, V2).unwrap();
    let producer = begin(&mut driver, "aborted");
    driver.end("aborted", producer, false, V2).unwrap();
    let producer = driver.init("nothing");
    driver.end("nothing", producer, false, V2).unwrap();
    begin(&mut driver, "late");
    driver.pass(60_001);
    let figures = driver.core.figures();
    let counts = (figures.committed, figures.aborted, figures.timed_out);
    assert_eq!(counts, (1, 2, 1));
    assert_eq!(figures.fenced, 0);
    assert_eq!(figures.states.values().sum::<u64>(), 4);
    assert_eq!(figures.states.get("PrepareCommit"), Some(&1));
}
