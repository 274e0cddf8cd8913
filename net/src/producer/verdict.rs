//! What a broker's error code means for the batch it is about.

use std::rc::Rc;

use super::core::PartAnswer;
use crate::client::KafkaError;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const LEADER_NOT_AVAILABLE: i16 = 5;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;
const KAFKA_STORAGE_ERROR: i16 = 56;
const FENCED_LEADER_EPOCH: i16 = 74;
const UNKNOWN_LEADER_EPOCH: i16 = 75;

/// What is to become of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stored.
    Stored,
    /// It is to be sent again, and the leader looked up before where `leader` says so.
    Again { why: Rc<str>, leader: bool },
    /// It is not stored, and sending it again would not help.
    GiveUp { why: Rc<str> },
}

/// `first`: no earlier batch of the partition is without an outcome.
pub(super) fn judge(answer: &PartAnswer, idempotent: bool, first: bool) -> Verdict {
    let Some(error) = KafkaError::from_code(answer.code) else {
        return Verdict::Stored;
    };
    let leader = matches!(
        answer.code,
        UNKNOWN_TOPIC_OR_PARTITION
            | LEADER_NOT_AVAILABLE
            | NOT_LEADER_OR_FOLLOWER
            | KAFKA_STORAGE_ERROR
            | FENCED_LEADER_EPOCH
            | UNKNOWN_LEADER_EPOCH
    );
    let again = match answer.code {
        DUPLICATE_SEQUENCE_NUMBER if idempotent => return Verdict::Stored,
        // The one before it was refused and comes again.
        OUT_OF_ORDER_SEQUENCE_NUMBER => idempotent && !first,
        _ => error.is_retriable(),
    };
    let why = match &answer.message {
        Some(message) if !message.is_empty() => Rc::from(format!("{message} [{error}]")),
        _ => Rc::from(error.to_string()),
    };
    if again {
        Verdict::Again { why, leader }
    } else {
        Verdict::GiveUp { why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i16) -> PartAnswer {
        PartAnswer {
            slot: 0,
            code,
            message: None,
        }
    }

    fn again(code: i16, idempotent: bool, first: bool) -> Option<bool> {
        match judge(&answer(code), idempotent, first) {
            Verdict::Stored => None,
            Verdict::Again { .. } => Some(true),
            Verdict::GiveUp { .. } => Some(false),
        }
    }

    #[test]
    fn codes_mean_what_kafkas_clients_take_them_for() {
        assert_eq!(again(0, false, true), None);
        assert_eq!(again(6, false, true), Some(true));
        assert_eq!(again(7, false, true), Some(true));
        assert_eq!(again(10, false, true), Some(false), "too large stays so");
        assert_eq!(again(46, true, true), None, "it is there already");
        assert_eq!(again(46, false, true), Some(false));
        assert_eq!(again(45, true, false), Some(true));
        assert_eq!(again(45, true, true), Some(false), "one before it is lost");
    }

    #[test]
    fn a_moved_leader_is_looked_up() {
        let verdict = judge(&answer(6), false, true);
        assert!(matches!(verdict, Verdict::Again { leader: true, .. }));
        let verdict = judge(&answer(19), false, true);
        assert!(matches!(verdict, Verdict::Again { leader: false, .. }));
    }
}
