//! What is answered to whom.

use super::*;

const FENCED_STATE: Result<(), ResponseError> = Err(ResponseError::FencedStateEpoch);
const FENCED_LEADER: Result<(), ResponseError> = Err(ResponseError::FencedLeaderEpoch);
const INVALID: Result<(), ResponseError> = Err(ResponseError::InvalidRequest);
const UNKNOWN: Result<(), ResponseError> = Err(ResponseError::UnknownTopicOrPartition);

#[test]
fn nothing_is_read_or_written_before_the_beginning() {
    let mut driver = Driver::new();
    let a = key("g", 1, 0);
    assert_eq!(driver.read(&a, 0), Err(ResponseError::InvalidRequest));
    assert_eq!(driver.write(&a, (0, 0), 0, &[]), INVALID);
    let never = Summary {
        state_epoch: 0,
        leader_epoch: 0,
        start_offset: -1,
    };
    assert_eq!(driver.summary(&a), Ok(never));
    assert_eq!(driver.done(Ask::Delete(a.clone())), Ok(()));
    assert!(driver.log.is_empty());
    assert_eq!(driver.initialize(&a, 1, -1), Ok(()));
    let begun = StoredState {
        state_epoch: 1,
        start_offset: -1,
        batches: Vec::new(),
    };
    assert_eq!(driver.read(&a, 0), Ok(begun));
}

#[test]
fn what_is_written_is_read() {
    let mut driver = Driver::new();
    let a = key("g", 1, 0);
    assert_eq!(driver.initialize(&a, 1, 10), Ok(()));
    driver.read(&a, 4).unwrap();
    let first = [batch(10, 19, 2, 1), batch(20, 29, 0, 1)];
    assert_eq!(driver.write(&a, (1, 4), 10, &first), Ok(()));
    assert_eq!(driver.write(&a, (1, 4), 20, &[batch(25, 25, 4, 2)]), Ok(()));
    let wanted = StoredState {
        state_epoch: 1,
        start_offset: 20,
        batches: vec![
            batch(20, 24, 0, 1),
            batch(25, 25, 4, 2),
            batch(26, 29, 0, 1),
        ],
    };
    assert_eq!(driver.read(&a, 4).as_ref(), Ok(&wanted));
    driver.fail_over(true);
    assert_eq!(driver.read(&a, 4), Ok(wanted.clone()));
    assert_eq!(driver.write(&a, (1, 4), -1, &[]), Ok(()));
    assert_eq!(driver.read(&a, 4), Ok(wanted));
    let summary = driver.summary(&a).unwrap();
    assert_eq!((summary.start_offset, summary.leader_epoch), (20, 4));
}

#[test]
fn a_leader_that_has_read_fences_those_before() {
    let mut driver = Driver::new();
    let a = key("g", 1, 0);
    driver.initialize(&a, 1, 0).unwrap();
    driver.read(&a, 5).unwrap();
    let written = driver.log.len();
    assert_eq!(driver.write(&a, (1, 4), 1, &[]), FENCED_LEADER);
    assert_eq!(driver.read(&a, 4), Err(ResponseError::FencedLeaderEpoch));
    assert_eq!(driver.log.len(), written);
    assert_eq!(driver.write(&a, (1, 5), 1, &[]), Ok(()));
    driver.fail_over(true);
    assert_eq!(driver.write(&a, (1, 4), 1, &[]), FENCED_LEADER);
    // Begun anew, and they stay fenced.
    driver.initialize(&a, 2, 0).unwrap();
    driver.fail_over(true);
    assert_eq!(driver.read(&a, 4), Err(ResponseError::FencedLeaderEpoch));
    assert_eq!(driver.write(&a, (2, 6), 3, &[]), Ok(()));
    assert_eq!(driver.write(&a, (2, 5), 3, &[]), FENCED_LEADER);
}

#[test]
fn what_is_begun_anew_forgets_and_fences() {
    let mut driver = Driver::new();
    let a = key("g", 1, 0);
    driver.initialize(&a, 3, 0).unwrap();
    driver.write(&a, (3, 0), 5, &[batch(5, 9, 2, 1)]).unwrap();
    assert_eq!(driver.initialize(&a, 2, 0), FENCED_STATE);
    assert_eq!(driver.initialize(&a, 4, 2), Ok(()));
    assert_eq!(
        driver.write(&a, (3, 0), 6, &[batch(6, 9, 2, 1)]),
        FENCED_STATE
    );
    let fresh = StoredState {
        state_epoch: 4,
        start_offset: 2,
        batches: Vec::new(),
    };
    assert_eq!(driver.read(&a, 0), Ok(fresh));
    // Whoever doesn't say is not fenced, and changes nothing of it.
    assert_eq!(driver.initialize(&a, -1, 3), Ok(()));
    assert_eq!(driver.summary(&a).unwrap().state_epoch, 4);
    assert_eq!(driver.write(&a, (-1, -1), 4, &[]), Ok(()));
    assert_eq!(driver.write(&a, (5, 0), 4, &[]), Ok(()));
    assert_eq!(driver.write(&a, (4, 0), 4, &[]), FENCED_STATE);
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let mut driver = Driver::new();
    let a = key("g", 1, 0);
    driver.initialize(&a, 1, 0).unwrap();
    let written = driver.log.len();
    for wrong in [
        batch(5, 4, 0, 1),
        batch(-1, 4, 0, 1),
        batch(0, i64::MAX, 0, 1),
        batch(0, 1, 1, 1),
        batch(0, 1, 3, 1),
        batch(0, 1, 0, -1),
    ] {
        assert_eq!(driver.write(&a, (1, 0), 0, &[wrong]), INVALID);
    }
    assert_eq!(driver.write(&a, (1, 0), -2, &[]), INVALID);
    assert_eq!(driver.initialize(&a, 1, -2), INVALID);
    let many: Vec<_> = (0..100_001).map(|at| batch(2 * at, 2 * at, 0, 1)).collect();
    assert_eq!(driver.write(&a, (1, 0), 0, &many), INVALID);
    for wrong in [
        key("", 1, 0),
        key("g", 1, -1),
        key(&"g".repeat(40_000), 1, 0),
    ] {
        assert_eq!(driver.initialize(&wrong, 1, 0), INVALID);
        assert_eq!(driver.done(Ask::Delete(wrong.clone())), INVALID);
        assert_eq!(driver.summary(&wrong), Err(ResponseError::InvalidRequest));
    }
    for gone in [key("g", 3, 0), key("g", 1, 3)] {
        assert_eq!(driver.initialize(&gone, 1, 0), UNKNOWN);
        assert_eq!(driver.done(Ask::Delete(gone.clone())), UNKNOWN);
        let unknown = Err(ResponseError::UnknownTopicOrPartition);
        assert_eq!(driver.summary(&gone), unknown);
    }
    assert_eq!(driver.log.len(), written);
}

#[test]
fn what_is_deleted_is_gone() {
    let mut driver = Driver::new();
    let (a, b) = (key("g", 1, 0), key("h", 1, 0));
    driver.initialize(&a, 1, 0).unwrap();
    driver.initialize(&b, 1, 0).unwrap();
    assert_eq!(driver.done(Ask::Delete(a.clone())), Ok(()));
    assert_eq!(driver.write(&a, (1, 0), 0, &[]), INVALID);
    driver.fail_over(false);
    assert_eq!(driver.read(&a, 0), Err(ResponseError::InvalidRequest));
    assert!(driver.read(&b, 0).is_ok());
}

#[test]
fn what_is_of_a_deleted_topic_goes_with_it() {
    let mut driver = Driver::new();
    for group in 0..2_000 {
        let group = format!("{group:0100}");
        driver.initialize(&key(&group, 1, 0), 1, 0).unwrap();
        driver.initialize(&key(&group, 2, 1), 1, 0).unwrap();
    }
    let written = driver.log.len();
    driver.change_topics(|topics| {
        topics.remove(&topic(1));
    });
    assert_eq!(driver.core.count(), 2_000);
    assert_eq!(driver.log.len(), written + 2_000);
    // Where nobody was there to see it go.
    driver.cluster.version += 1;
    driver.cluster.topics.remove(&topic(2));
    driver.fail_over(true);
    assert_eq!(driver.core.count(), 0);
    driver.fail_over(true);
    assert!(driver.log.is_empty());
}
