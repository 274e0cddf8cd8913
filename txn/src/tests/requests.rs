//! What requests lead to, in each state.

use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::{ListTransactionsRequest, ProducerId};
use kafka_protocol::protocol::StrBytes;

use super::*;

const V0: TransactionVersion = TransactionVersion::V0;
const V2: TransactionVersion = TransactionVersion::V2;

#[test]
fn a_transaction_of_a_client_that_keeps_its_epoch() {
    let mut driver = Driver::new();
    let producer = driver.init("t");
    assert_eq!(producer, Producer { id: 1001, epoch: 0 });
    let (a, b) = (partitions([("a", 0)]), partitions([("b", 3)]));
    driver.add("t", producer, &a, V0).unwrap();
    driver.add("t", producer, &b, V0).unwrap();
    let records = driver.log.len();
    driver.add("t", producer, &a, V0).unwrap();
    assert_eq!(driver.log.len(), records, "what is there is not written");
    assert_eq!(driver.verify("t", producer, &a), Ok(Partitions::new()));
    let other = partitions([("a", 0), ("a", 1), ("c", 0)]);
    let lacking = partitions([("a", 1), ("c", 0)]);
    assert_eq!(driver.verify("t", producer, &other), Ok(lacking));
    assert_eq!(driver.end("t", producer, true, V0), Ok(producer));
    assert_eq!(driver.state("t"), "PrepareCommit");
    let again = Err(ConcurrentTransactions);
    assert_eq!(driver.end("t", producer, true, V0), again);
    assert_eq!(driver.end("t", producer, false, V0), again);
    assert_eq!(
        driver.add("t", producer, &a, V0),
        Err(ConcurrentTransactions)
    );
    assert_eq!(driver.try_init("t", None), Err(ConcurrentTransactions));
    let mut markers = driver.effects.pop().unwrap();
    assert!(markers.commit && markers.producer == producer && driver.effects.is_empty());
    assert_eq!(markers.partitions, partitions([("a", 0), ("b", 3)]));
    markers.partitions = a.clone();
    assert!(driver.written(markers.clone()));
    assert_eq!(driver.describe("t").unwrap().partitions, b);
    markers.partitions = b;
    assert!(driver.written(markers.clone()));
    assert_eq!(driver.state("t"), "CompleteCommit");
    assert!(!driver.written(markers), "nobody waits any more");
    assert_eq!(driver.end("t", producer, true, V0), Ok(producer));
    assert_eq!(driver.end("t", producer, false, V0), Err(InvalidTxnState));
    driver.add("t", producer, &a, V0).unwrap();
    assert_eq!(driver.end("t", producer, false, V0), Ok(producer));
    driver.write_all();
    assert_eq!(driver.state("t"), "CompleteAbort");
    assert_eq!(driver.init("t"), Producer { id: 1001, epoch: 1 });
    assert_eq!(driver.end("t", producer, false, V0), Err(ProducerFenced));
}

#[test]
fn strangers_are_turned_away() {
    let mut driver = Driver::new();
    let a = partitions([("a", 0)]);
    let nobody = Producer { id: 1, epoch: 0 };
    assert_eq!(
        driver.add("t", nobody, &a, V2),
        Err(InvalidProducerIdMapping)
    );
    assert_eq!(
        driver.end("t", nobody, true, V2),
        Err(InvalidProducerIdMapping)
    );
    let old = driver.init("t");
    let new = driver.init("t");
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
    for version in [V0, V2] {
        assert_eq!(driver.add("t", old, &a, version), Err(ProducerFenced));
        assert_eq!(driver.end("t", old, false, version), Err(ProducerFenced));
        let other = Producer { id: 1, ..new };
        assert_eq!(
            driver.add("t", other, &a, version),
            Err(InvalidProducerIdMapping)
        );
        assert_eq!(
            driver.end("t", other, false, version),
            Err(InvalidProducerIdMapping)
        );
    }
    assert_eq!(driver.verify("t", old, &a), Err(ProducerFenced));
    assert_eq!(driver.try_init("t", Some(nobody)), Err(ProducerFenced));
    assert_eq!(driver.describe("u"), Err(TransactionalIdNotFound));
    assert_eq!(driver.describe(""), Err(InvalidRequest));
}

#[test]
fn timeouts_have_bounds() {
    let mut driver = Driver::new();
    for (timeout_ms, fits) in [
        (0, false),
        (-1, false),
        (1, true),
        (900_000, true),
        (900_001, false),
    ] {
        let reply = driver.ask(Ask::Init(Init {
            transactional_id: "t".into(),
            timeout_ms,
            expected: None,
            fresh_id: Some(5),
        }));
        let refused = matches!(reply, Reply::Init(Err(InvalidTransactionTimeout)));
        assert_eq!(!refused, fits, "{timeout_ms}");
    }
    let long = driver.ask(Ask::Init(Init {
        transactional_id: "x".repeat(40_000),
        timeout_ms: 1,
        expected: None,
        fresh_id: Some(5),
    }));
    assert!(matches!(long, Reply::Init(Err(InvalidRequest))));
}

/// The table of the module `end`.
#[test]
fn ends_of_clients_whose_epoch_rises() {
    let invalid = Err(InvalidTxnState);
    let fenced = Err(ProducerFenced);
    let later = Err(ConcurrentTransactions);
    let cases = [
        // state, commit, repeated, what comes
        ("Empty", false, true, fenced),
        ("Empty", false, false, Ok(true)),
        ("Empty", true, true, fenced),
        ("Empty", true, false, invalid),
        ("CompleteAbort", false, true, Ok(false)),
        ("CompleteAbort", false, false, Ok(true)),
        ("CompleteAbort", true, true, invalid),
        ("CompleteAbort", true, false, invalid),
        ("CompleteCommit", false, true, invalid),
        ("CompleteCommit", false, false, Ok(true)),
        ("CompleteCommit", true, true, Ok(false)),
        ("CompleteCommit", true, false, invalid),
        ("PrepareCommit", true, true, later),
        ("PrepareCommit", true, false, later),
        ("PrepareCommit", false, true, later),
        ("PrepareCommit", false, false, later),
        ("PrepareAbort", false, true, later),
        ("PrepareAbort", false, false, later),
        ("PrepareAbort", true, true, later),
        ("PrepareAbort", true, false, later),
    ];
    for (state, commit, repeated, wanted) in cases {
        let mut driver = Driver::new();
        driver.init("t");
        let mut producer = driver.init("t");
        if state != "Empty" {
            driver
                .add("t", producer, &partitions([("a", 0)]), V2)
                .unwrap();
            let next = driver
                .end("t", producer, state.ends_with("Commit"), V2)
                .unwrap();
            assert_eq!(next.epoch, producer.epoch + 1);
            producer = next;
            assert_eq!(
                driver.effects[0].producer, producer,
                "markers have the new epoch"
            );
        }
        if state.starts_with("Complete") {
            driver.write_all();
        }
        assert_eq!(driver.state("t"), state);
        let mut says = producer;
        says.epoch -= i16::from(repeated);
        let mut bumped = producer;
        bumped.epoch += i16::from(wanted == Ok(true));
        let got = driver.end("t", says, commit, V2);
        let case = format!("{state}, commit {commit}, repeated {repeated}");
        assert_eq!(got, wanted.map(|_| bumped), "{case}");
        if wanted == Ok(true) {
            assert_eq!(
                driver.state("t"),
                "CompleteAbort",
                "{case}: nothing to write"
            );
        }
    }
}

#[test]
fn a_new_producer_aborts_what_the_old_one_left() {
    for version in [V0, V2] {
        let mut driver = Driver::new();
        let old = driver.init("t");
        driver
            .add("t", old, &partitions([("a", 0)]), version)
            .unwrap();
        assert_eq!(driver.try_init("t", None), Err(ConcurrentTransactions));
        assert_eq!(
            driver.end("t", old, true, version),
            Err(match version {
                V0 => ProducerFenced,
                _ => ConcurrentTransactions,
            })
        );
        let markers = driver.effects[0].clone();
        assert!(!markers.commit);
        assert_eq!(
            markers.producer.epoch,
            old.epoch + 1,
            "which shuts the old one out"
        );
        assert_eq!(driver.try_init("t", None), Err(ConcurrentTransactions));
        driver.write_all();
        assert_eq!(
            driver.end("t", old, true, version),
            Err(match version {
                V0 => ProducerFenced,
                // It looks as if it had aborted before.
                _ => InvalidTxnState,
            })
        );
        assert_eq!(driver.init("t").epoch, old.epoch + 2);
        assert_eq!(driver.try_init("t", Some(old)), Err(ProducerFenced));
    }
}

#[test]
fn a_producer_that_begins_again_keeps_its_id() {
    let mut driver = Driver::new();
    let first = driver.init("t");
    let second = driver.try_init("t", Some(first)).unwrap();
    assert_eq!((second.id, second.epoch), (first.id, first.epoch + 1));
    // The answer was lost.
    assert_eq!(driver.try_init("t", Some(first)), Ok(second));
    let third = driver.try_init("t", Some(second)).unwrap();
    assert_eq!(driver.try_init("t", Some(first)), Err(ProducerFenced));
    // Another one came in between.
    driver.init("t");
    assert_eq!(driver.try_init("t", Some(third)), Err(ProducerFenced));
    // An id that the coordinator has forgotten.
    let unknown = Producer { id: 77, epoch: 9 };
    assert_eq!(driver.try_init("new", Some(unknown)).unwrap().epoch, 0);
}

#[test]
fn epochs_run_out() {
    let mut driver = Driver::new();
    let mut producer = driver.init("t");
    while producer.epoch < i16::MAX - 1 {
        producer = driver.init("t");
    }
    let next = driver.init("t");
    assert_eq!((next.epoch, next.id != producer.id), (0, true));
    let mut producer = next;
    while producer.epoch < i16::MAX - 1 {
        producer = driver.try_init("t", Some(producer)).unwrap();
    }
    let next = driver.try_init("t", Some(producer)).unwrap();
    assert_eq!((next.epoch, next.id != producer.id), (0, true));
}

#[test]
fn epochs_run_out_within_transactions() {
    for fails in [false, true] {
        let mut driver = Driver::new();
        let mut producer = driver.init("t");
        while producer.epoch < i16::MAX - 1 {
            producer = driver.init("t");
        }
        let a = partitions([("a", 0)]);
        driver.add("t", producer, &a, V2).unwrap();
        let next = driver.end("t", producer, true, V2).unwrap();
        assert_eq!((next.epoch, next.id != producer.id), (0, true));
        let of = driver.effects[0].producer;
        assert_eq!((of.id, of.epoch), (producer.id, i16::MAX));
        assert_eq!(driver.add("t", next, &a, V2), Err(InvalidProducerIdMapping));
        assert_eq!(
            driver.end("t", producer, true, V2),
            Err(ConcurrentTransactions)
        );
        if fails {
            driver.effects.clear();
            driver.fail_over();
        }
        driver.write_all();
        assert_eq!(driver.state("t"), "CompleteCommit");
        assert_eq!(driver.end("t", producer, true, V2), Ok(next), "repeated");
        assert_eq!(driver.end("t", producer, false, V2), Err(InvalidTxnState));
        driver.add("t", next, &a, V2).unwrap();
        assert_eq!(driver.end("t", next, false, V2).unwrap().epoch, 1);
    }
}

fn list(driver: &mut Driver, request: ListTransactionsRequest) -> (i16, Vec<String>, usize) {
    match driver.ask(Ask::List(request)) {
        Reply::List(listed) => (
            listed.error_code,
            listed
                .transaction_states
                .iter()
                .map(|of| of.transactional_id.0.to_string())
                .collect(),
            listed.unknown_state_filters.len(),
        ),
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn lists_are_filtered() {
    let mut driver = Driver::new();
    for id in ["orders-1", "orders-2", "payments"] {
        driver.init(id);
    }
    let producer = driver.init("orders-2");
    driver
        .add("orders-2", producer, &partitions([("a", 0)]), V2)
        .unwrap();
    driver.pass(5_000);
    let all = || ListTransactionsRequest::default().with_duration_filter(-1);
    let text = StrBytes::from_static_str;
    let every = vec!["orders-1".to_owned(), "orders-2".into(), "payments".into()];
    assert_eq!(list(&mut driver, all()), (0, every, 0));
    let ongoing = all().with_state_filters(vec![text("Ongoing"), text("Dead"), text("ongoing")]);
    assert_eq!(list(&mut driver, ongoing), (0, vec!["orders-2".into()], 1));
    let none = all().with_state_filters(vec![text("what")]);
    assert_eq!(list(&mut driver, none), (0, vec![], 1));
    let of = all().with_producer_id_filters(vec![ProducerId(producer.id)]);
    assert_eq!(list(&mut driver, of), (0, vec!["orders-2".into()], 0));
    let old = all()
        .with_state_filters(vec![text("Ongoing")])
        .with_duration_filter(5_000);
    assert_eq!(list(&mut driver, old.clone()), (0, vec![], 0));
    let older = old.with_duration_filter(4_999);
    assert_eq!(list(&mut driver, older), (0, vec!["orders-2".into()], 0));
    let matching = all().with_transactional_id_pattern(Some(text("orders-[0-9]|x")));
    assert_eq!(list(&mut driver, matching).1.len(), 2);
    let part = all().with_transactional_id_pattern(Some(text("orders")));
    assert_eq!(
        list(&mut driver, part).1.len(),
        0,
        "the whole id has to match"
    );
    let broken = all().with_transactional_id_pattern(Some(text("orders-[")));
    assert_eq!(list(&mut driver, broken).0, InvalidRegularExpression.code());
}
