//! A load generator for event streaming brokers: it reproduces known benchmarks, checks every record it
//! reads, and sets systems side by side.
//!
//! From below: [`record`] makes records and checks them, [`pace`] says when each is due, [`measure`] counts;
//! [`driver`] speaks to a system; [`engine`] runs the producers and consumers of one [`workload`], as threads
//! or in other processes ([`workers`]); [`suite`] strings workloads together; [`report`] shows [`results`].

pub mod cli;
pub mod driver;
pub mod engine;
pub mod machine;
pub mod measure;
pub mod pace;
pub mod record;
pub mod report;
pub mod results;
pub mod suite;
pub mod workers;
pub mod workload;
