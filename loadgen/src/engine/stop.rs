//! Telling workers to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

/// What workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wanted {
    /// Go on.
    Run = 0,
    /// Producers: send nothing new, wait for what is on its way. Consumers: end, all has come or nothing more will.
    End = 1,
    /// Return at once.
    Abort = 2,
}

/// Shared by the workers of a run and whoever ends it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// What is wanted now. Cheap enough to ask for every record.
    pub fn wanted(&self) -> Wanted {
        match self.0.load(Ordering::Relaxed) {
            0 => Wanted::Run,
            1 => Wanted::End,
            _ => Wanted::Abort,
        }
    }

    /// Asks for an end; never takes back a stronger wish.
    pub fn ask(&self, wanted: Wanted) {
        self.0.fetch_max(wanted as u8, Ordering::Relaxed);
    }
}
