//! Share sessions, as a request sees them.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use crate::session::{
    Closed, Fetched, Opened, Opening, SessionError, SessionKey, Sessions, next_epoch,
};
use crate::{TopicIdPartition, member_key};

fn key(member: u128) -> SessionKey {
    SessionKey {
        group: "g".to_owned(),
        member: Uuid::from_u128(member),
    }
}

fn partition(partition: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: Uuid::from_u128(7),
        partition,
    }
}

fn open(
    sessions: &mut Sessions,
    member: u128,
    epoch: i32,
    add: &[i32],
) -> Result<Opened, SessionError> {
    let add: Vec<_> = add.iter().map(|&number| partition(number)).collect();
    let asked = Opening {
        epoch,
        add: &add,
        forget: &[],
        acknowledges: false,
        connection: 1,
    };
    sessions.open(&key(member), &asked)
}

#[test]
fn each_request_gives_the_next_epoch() {
    let mut sessions = Sessions::new(2);
    let new = open(&mut sessions, 1, 0, &[0, 1]);
    assert_eq!(new, Ok(Opened::New(vec![partition(0), partition(1)])));
    let next = open(&mut sessions, 1, 1, &[]);
    assert_eq!(next, Ok(Opened::Next(vec![partition(1), partition(0)])));
    assert_eq!(sessions.acknowledge(&key(1), 2), Ok(false));
    let again = SessionError::InvalidEpoch {
        expected: 3,
        given: 2,
    };
    assert_eq!(open(&mut sessions, 1, 2, &[]), Err(again));
    assert_eq!(open(&mut sessions, 2, 1, &[]), Err(SessionError::NotFound));
    assert_eq!(open(&mut sessions, 1, -1, &[]), Ok(Opened::Final));
    let closed = sessions.close(&key(1));
    assert_eq!(
        closed,
        Some(Closed {
            key: key(1),
            partitions: vec![partition(0), partition(1)],
            group_is_gone: true,
        })
    );
    assert_eq!(open(&mut sessions, 1, 3, &[]), Err(SessionError::NotFound));
}

#[test]
fn what_goes_wrong_is_told_with_kafkas_errors() {
    let mut sessions = Sessions::new(1);
    open(&mut sessions, 1, 0, &[0, 0]).unwrap();
    assert_eq!((sessions.len(), sessions.partitions()), (1, 1));
    let full = open(&mut sessions, 2, 0, &[0]).unwrap_err();
    assert_eq!(full.error(), ResponseError::ShareSessionLimitReached);
    // One's own session makes room for the next.
    assert!(open(&mut sessions, 1, 0, &[1]).is_ok());
    sessions.set_max(2);
    assert!(open(&mut sessions, 2, 0, &[0]).is_ok());
    let early = Opening {
        epoch: 0,
        add: &[],
        forget: &[],
        acknowledges: true,
        connection: 1,
    };
    let early = sessions.open(&key(1), &early).unwrap_err();
    assert_eq!(early.error(), ResponseError::InvalidRequest);
    let none = sessions.acknowledge(&key(3), -1).unwrap_err();
    assert_eq!(none.error(), ResponseError::ShareSessionNotFound);
    let begins = sessions.acknowledge(&key(1), 0).unwrap_err();
    assert_eq!(begins.error(), ResponseError::InvalidShareSessionEpoch);
    assert_eq!(sessions.acknowledge(&key(1), -1), Ok(true));
}

#[test]
fn later_answers_have_what_is_new_and_records_go_to_the_end_of_the_line() {
    let mut sessions = Sessions::new(1);
    open(&mut sessions, 1, 0, &[0, 1, 2]).unwrap();
    let nothing = Fetched {
        records: false,
        error: false,
    };
    let records = Fetched {
        records: true,
        ..nothing
    };
    let error = Fetched {
        error: true,
        ..nothing
    };
    let came = [
        (partition(0), records),
        (partition(1), error),
        (partition(2), nothing),
    ];
    assert_eq!(
        sessions.answers(&key(1), 0, &came),
        Ok(vec![true, true, false])
    );
    let next = open(&mut sessions, 1, 1, &[3]).unwrap();
    let order = [2, 0, 3, 1].map(partition).to_vec();
    assert_eq!(next, Opened::Next(order));
    // The error is over and the added one has nothing: both have to be told. A forgotten one may be.
    let came = [1, 2, 3, 9].map(|number| (partition(number), nothing));
    let answers = sessions.answers(&key(1), 1, &came);
    assert_eq!(answers, Ok(vec![true, false, true, true]));
    let answers = sessions.answers(&key(1), 1, &came[..3]);
    assert_eq!(answers, Ok(vec![false, false, false]));
    let gone = sessions.disconnected(1);
    assert_eq!(gone.len(), 1);
    assert!(sessions.answers(&key(1), 1, &came).is_err());
    assert!(sessions.disconnected(1).is_empty());
}

#[test]
fn any_member_id_has_a_key_of_its_own() {
    let ids = [
        "",
        "a",
        "b",
        "sARUyFaIQcGqB+Da6fXU+Q",
        "sARUyFaIQcGqB-Da6fXU-Q",
    ];
    let keys: BTreeSet<Uuid> = ids.map(member_key).into_iter().collect();
    assert_eq!(keys.len(), ids.len());
    // The hash of "foobar" in the vectors of FNV's draft.
    let known = Uuid::from_u128(0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    assert_eq!(member_key("foobar"), known);
}

#[test]
fn epochs_go_round_without_those_that_begin_and_end_a_session() {
    assert_eq!([0, 1, i32::MAX - 1].map(next_epoch), [1, 2, i32::MAX]);
    assert_eq!([i32::MAX, -1].map(next_epoch), [1, -1]);
}
