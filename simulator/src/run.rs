//! One run, from a seed to what came of it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::mutation::Mutation;
use crate::world::World;

/// How a run is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The rule to break, if one.
    pub broken: Option<Mutation>,
    /// Whether to keep a trace of what happens, for a failure to show.
    pub trace: bool,
}

/// What happened in a run in which all held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Virtual time that passed, in microseconds.
    pub micros: u64,
    /// Events there were.
    pub events: u64,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Something didn't hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The run's seed.
    pub seed: u64,
    /// Virtual time, in microseconds.
    pub micros: u64,
    /// What didn't hold.
    pub what: String,
    /// The last things that happened before, if they were kept.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, micros) = (self.micros / 1000, self.micros % 1000);
        write!(
            f,
            "seed {} at {ms}.{micros:03} ms: {}",
            self.seed, self.what
        )
    }
}

/// Runs a seed. A panic of a core counts as a failure.
///
/// # Errors
/// What didn't hold first.
pub fn run(seed: u64, options: Options) -> Result<Summary, Failure> {
    let mut world = World::new(seed, options.broken, options.trace);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    let env = &mut world.env;
    let failure = match ended {
        Ok(()) => env.ledger.failure.take(),
        Err(panic) => Some(format!("a panic: {}", words_of(&*panic))),
    };
    match failure {
        Some(what) => Err(Failure {
            seed,
            micros: env.now,
            what,
            trace: env.trace.take().unwrap_or_default(),
        }),
        None => Ok(Summary {
            micros: env.now,
            events: env.events(),
            counts: std::mem::take(&mut env.ledger.counts),
        }),
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    text.or(owned).unwrap_or("without words")
}
