//! Showing results: on the terminal, as files and a page, and against other results.
//!
//! Owns every word and picture a reader of results sees. Must never change a figure: rates of several repeats
//! are totals over their whole time, latencies are of merged histograms, and what was not measured is said.

mod compare;
mod figures;
mod files;
mod groups;
mod hdr;
mod html;
mod merge;
mod remarks;
pub mod terminal;
mod welch;

pub use compare::{Comparison, FigureComparison, LEAST_REPEATS, LineComparison, Verdict, compare};
pub use files::{ReportError, load, write, write_figures};
pub use merge::merge;
