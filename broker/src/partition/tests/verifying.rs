//! Batches that wait for the word of their transaction's coordinator: in order, beside others, and never
//! behind the end of their transaction.

use kafka_protocol::ResponseError;

use super::super::*;
use super::pair::*;
use super::transactions::transactional;
use crate::producers::ProducerError;

type Told = oneshot::Receiver<Result<Appended, ProduceError>>;

fn claim(add: bool) -> Claim {
    Claim {
        transactional_id: "t".into(),
        add,
    }
}

fn begin(partition: &Partition, (id, epoch, sequence): (i64, i16, i32), add: bool) -> Begun {
    let (bytes, info) = transactional(id, epoch, sequence, 1);
    partition.begin_append(bytes, info, 5_000, true, Some(claim(add)))
}

/// A batch that has to wait, and what is to be asked.
fn held(partition: &Partition, batch: (i64, i16, i32), add: bool) -> (Told, Option<Question>) {
    match begin(partition, batch, add) {
        Begun::Waits(told, question) => (told, question),
        Begun::Done(result) => panic!("not held: {:?}", result.map(|done| done.base_offset)),
    }
}

/// The offset it got at once.
fn done(partition: &Partition, batch: (i64, i16, i32)) -> Result<i64, ProduceError> {
    match begin(partition, batch, false) {
        Begun::Done(result) => result.map(|done| done.base_offset),
        Begun::Waits(..) => panic!("it is held"),
    }
}

async fn offset(told: Told) -> Result<i64, ProduceError> {
    told.await.unwrap().map(|done| done.base_offset)
}

async fn leading(path: &std::path::Path) -> (Pair, Rc<Partition>) {
    let mut pair = Pair::make(path, default_config()).await;
    pair.assign(0, &[0, 1]);
    let leader = Rc::clone(&pair.nodes[0].partition);
    (pair, leader)
}

#[test]
fn a_producers_batches_wait_together_and_hold_nobody_else_up() {
    on_disk(async |path| {
        let (pair, leader) = leading(&path).await;
        let (first, question) = held(&leader, (1, 0, 0), false);
        let question = question.unwrap();
        assert_eq!((question.producer_id, question.epoch), (1, 0));
        let (second, again) = held(&leader, (1, 0, 1), false);
        assert_eq!(again, None, "it is asked already");
        let (other, others) = held(&leader, (2, 0, 0), false);
        append(&leader, 1, None, true).unwrap();
        assert_eq!(leader.verified(&others.unwrap(), Ok(()), 5_000), None);
        assert_eq!(offset(other).await.unwrap(), 1);
        assert_eq!(leader.verified(&question, Ok(()), 5_000), None);
        assert_eq!(offset(first).await.unwrap(), 2);
        assert_eq!(offset(second).await.unwrap(), 3);
        // From now on the transaction is open.
        assert_eq!(done(&leader, (1, 0, 2)).unwrap(), 4);
        // An answer that comes twice says nothing.
        assert_eq!(leader.verified(&question, Ok(()), 5_000), None);
        pair.close().await;
    });
}

#[test]
fn what_the_coordinator_refuses_is_refused() {
    on_disk(async |path| {
        let (pair, leader) = leading(&path).await;
        let (first, question) = held(&leader, (1, 0, 0), false);
        let (second, _) = held(&leader, (1, 0, 1), false);
        let no = Err(ResponseError::TransactionAbortable);
        assert_eq!(leader.verified(&question.unwrap(), no, 5_000), None);
        for told in [first, second] {
            let told = offset(told).await;
            assert!(matches!(
                told,
                Err(ProduceError::Transaction(
                    ResponseError::TransactionAbortable
                ))
            ));
        }
        assert_eq!(leader.log().end().appended(), 0);
        let (_, question) = held(&leader, (1, 0, 0), false);
        assert!(question.is_some(), "it is asked anew");
        pair.close().await;
    });
}

#[test]
fn an_answer_from_before_the_end_counts_no_more() {
    on_disk(async |path| {
        let (pair, leader) = leading(&path).await;
        let (late, before) = held(&leader, (1, 0, 0), false);
        leader.end_transaction(1, 0, 3, false, 5_000).unwrap();
        assert!(matches!(
            offset(late).await,
            Err(ProduceError::Producer(
                ProducerError::NotInTransaction { .. }
            ))
        ));
        // The next transaction of the same epoch asks for itself.
        let (next, question) = held(&leader, (1, 0, 0), false);
        assert_eq!(leader.verified(&before.unwrap(), Ok(()), 5_000), None);
        assert_eq!(leader.log().end().appended(), 1, "nothing but the marker");
        leader.verified(&question.unwrap(), Ok(()), 5_000);
        assert_eq!(offset(next).await.unwrap(), 1);
        pair.close().await;
    });
}

/// With transactions V2 a marker has the epoch that its producer goes on with, at once.
#[test]
fn the_next_transaction_waits_on_when_the_marker_of_the_last_one_comes() {
    on_disk(async |path| {
        let (pair, leader) = leading(&path).await;
        let (late, _) = held(&leader, (1, 0, 7), true);
        let (next, _) = held(&leader, (1, 1, 0), true);
        leader.end_transaction(1, 1, 3, true, 5_000).unwrap();
        assert!(matches!(
            offset(late).await,
            Err(ProduceError::Producer(
                ProducerError::NotInTransaction { .. }
            ))
        ));
        assert!(leader.state.borrow().verifying.holds(1));
        drop(next);
        pair.close().await;
    });
}

#[test]
fn no_batch_overtakes_one_that_comes_again() {
    on_disk(async |path| {
        let (pair, leader) = leading(&path).await;
        let (first, question) = held(&leader, (1, 0, 0), false);
        let passing = Err(ResponseError::NotEnoughReplicas);
        leader.verified(&question.unwrap(), passing, 5_000);
        assert!(offset(first).await.is_err());
        // The one behind it comes first this time.
        let (second, question) = held(&leader, (1, 0, 1), false);
        leader.verified(&question.unwrap(), Ok(()), 5_000);
        assert!(matches!(
            offset(second).await,
            Err(ProduceError::Producer(ProducerError::OutOfOrder {
                expected: 0,
                found: 1,
                ..
            }))
        ));
        let (first, question) = held(&leader, (1, 0, 0), false);
        leader.verified(&question.unwrap(), Ok(()), 5_000);
        assert_eq!(offset(first).await.unwrap(), 0);
        assert_eq!(done(&leader, (1, 0, 1)).unwrap(), 1);
        pair.close().await;
    });
}

#[test]
fn a_producer_of_transactions_v2_begins_at_zero() {
    on_disk(async |path| {
        let (pair, leader) = leading(&path).await;
        let (told, question) = held(&leader, (1, 5, 7), true);
        leader.verified(&question.unwrap(), Ok(()), 5_000);
        assert!(matches!(
            offset(told).await,
            Err(ProduceError::Producer(ProducerError::OutOfOrder {
                expected: 0,
                found: 7,
                ..
            }))
        ));
        // One that isn't may begin anywhere: what was known of it may have expired.
        let (told, question) = held(&leader, (2, 5, 7), false);
        leader.verified(&question.unwrap(), Ok(()), 5_000);
        assert_eq!(offset(told).await.unwrap(), 0);
        pair.close().await;
    });
}

#[test]
fn another_epoch_asks_for_itself() {
    on_disk(async |path| {
        let (pair, leader) = leading(&path).await;
        let (old, question) = held(&leader, (1, 0, 3), false);
        let (new, none) = held(&leader, (1, 1, 0), false);
        assert_eq!(none, None, "one after the other");
        let question = question.unwrap();
        let fenced = Err(ResponseError::InvalidProducerEpoch);
        let next = leader.verified(&question, fenced, 5_000).unwrap();
        assert!(offset(old).await.is_err());
        assert_eq!(next.epoch, 1);
        assert_eq!(leader.verified(&next, Ok(()), 5_000), None);
        assert_eq!(offset(new).await.unwrap(), 0);
        pair.close().await;
    });
}

#[test]
fn nobody_waits_where_nobody_leads() {
    on_disk(async |path| {
        let (mut pair, leader) = leading(&path).await;
        pair.settle().await;
        let (told, question) = held(&leader, (1, 0, 0), false);
        pair.assign(1, &[0, 1]);
        assert!(matches!(
            offset(told).await,
            Err(ProduceError::NotServed(_))
        ));
        assert!(matches!(
            begin(&leader, (1, 0, 0), false),
            Begun::Done(Err(_))
        ));
        pair.settle().await;
        pair.assign(0, &[0, 1]);
        assert_eq!(leader.verified(&question.unwrap(), Ok(()), 5_000), None);
        assert_eq!(leader.log().end().appended(), 0);
        pair.close().await;
    });
}
