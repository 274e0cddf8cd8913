//! Progress on stderr while a stream runs, where a person watches; nothing anywhere else.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::table::{grouped, sized};

/// Counts records and bytes, shows them while they grow, and sums up at the end.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    begun: Instant,
    records: u64,
    bytes: u64,
}

impl Progress {
    /// Shown only on a terminal; `total` bytes where that is known.
    pub(crate) fn new(shown: bool, total: Option<u64>) -> Self {
        let bar = (shown && io::stderr().is_terminal()).then(|| match total {
            Some(total) => ProgressBar::new(total).with_style(style(
                "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg} {eta}",
            )),
            None => ProgressBar::new_spinner()
                .with_style(style("{spinner} {elapsed} {bytes} {bytes_per_sec} {msg}")),
        });
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self {
            bar,
            begun: Instant::now(),
            records: 0,
            bytes: 0,
        }
    }

    /// So many more records and bytes are done.
    pub(crate) fn add(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(self.bytes);
            bar.set_message(format!("{} records", grouped(self.records)));
        }
    }

    /// Records that are done.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Takes the bar away; what comes on stderr after it stands on a line of its own.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The sum of it all on stderr, in one line that begins with `done`.
    pub(crate) fn sum_up(&self, done: &str) {
        self.end();
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = (self.records as f64 / seconds.max(0.001)) as u64;
        // A closed stderr is no reason to fail after the work is done.
        let _unprinted = writeln!(
            io::stderr(),
            "{done} {} records, {}, in {seconds:.1} s ({} records/s)",
            grouped(self.records),
            sized(self.bytes),
            grouped(rate)
        );
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template that doesn't parse would be a mistake in this file; the plain style shows
    // progress too.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
