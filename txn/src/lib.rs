//! The coordinator of transactions: the state of one partition of `__transaction_state`.
//!
//! It knows each transactional id's producer and how far its transaction is, decides who may go on
//! and who is fenced, and has the ends of transactions written into their partitions. The
//! rules are those of Apache Kafka 4.1's coordinator, transactions V2 (KIP-890) included.
//!
//! Nothing here may read a clock, draw a random number, or do any I/O.

mod api;
mod end;
mod figures;
mod list;
mod machine;
mod schema;
mod state;
#[cfg(test)]
mod tests;
mod transaction;

pub use api::{
    Ask, Decision, Description, Effect, End, InTransaction, Init, Markers, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, Partitions, Producer, Reply, Settings, TransactionVersion,
};
pub use figures::Figures;
pub use machine::Transactions;

/// Whether the protocol has a state of transactions of this name.
pub fn is_state(name: &str) -> bool {
    state::State::is_name(name)
}
