//! A seeded simulation of a whole cluster on virtual time, without any I/O.
//!
//! The three cores that the cluster's promises rest on run together here, each in a shell as thin as the
//! broker's: `quorum` (its log with torn tails), `metadata` (the controller and its sessions on the quorum's
//! leader, the image on every node), and `replica` (a model log for each). Around them are a network, drives
//! and clocks that fail as a seed says, and producers and consumers that go on through all of it by their own
//! knowledge of who leads.
//!
//! A run: the cluster comes up, clients begin, things go wrong for some seconds of virtual time, everything
//! is mended, and everything must come to rest: one controller, every node active, all replicas in sync and
//! equal, all that producers made acknowledged, all consumers at the end. After each event the ledger compares
//! what it sees with all that was promised before:
//!
//! - the quorum has one leader in a term; no two nodes apply different entries at an index, or come to
//!   different metadata by the same entries;
//! - no broker epoch is given to two processes;
//! - one process appends to a partition in a leader epoch, and no offset of an epoch holds two records;
//! - what a leader's high watermark passed never changes, on any replica, and every member of the ISR has it
//!   stored; high watermarks don't go back;
//! - what is acknowledged to `acks=all`, and what a consumer is shown, is committed;
//! - an idempotent producer's records are committed in order and once.
//!
//! [`Mutation`] names rules of the shells that a run can break, to show that it would notice.
//!
//! A run is a function of its seed and options: nothing here may read a clock, draw other random numbers,
//! or walk a hash map. A defect that is found names its seed.

mod client;
mod env;
mod ledger;
mod log;
mod message;
mod mutation;
mod nemesis;
mod node;
mod payload;
mod rng;
mod run;
mod shape;
mod world;

pub use mutation::Mutation;
pub use run::{Failure, Options, Summary, run};
