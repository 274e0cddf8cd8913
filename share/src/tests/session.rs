//! Share sessions, as a request sees them.

use uuid::Uuid;

use crate::TopicIdPartition;
use crate::session::{Closed, Opened, Opening, SessionError, SessionKey, Sessions};

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
