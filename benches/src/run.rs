//! How benchmarks are run.

use std::time::Duration;

use criterion::Criterion;

use crate::clock::Clock;

/// Criterion with our clock.
pub type Bench = Criterion<Clock>;

/// Whether benchmarks are measured, as `cargo bench` asks. Under `cargo test` each is only done
/// once, to see that it works, and its data should be small.
pub fn is_full() -> bool {
    // Criterion decides by the same.
    let mut args = std::env::args();
    let bench = args.any(|arg| arg == "--bench");
    bench && !std::env::args().any(|arg| arg == "--test")
}

/// The main function of a file of benchmarks. `--bench`, `--test`, filters and baselines are taken
/// from the command line.
pub fn run(subjects: &[fn(&mut Bench)]) {
    // Work is done on executors' threads: if one panics, criterion's would wait for ever.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::exit(101);
    }));
    // Before any other thread: it takes tens of milliseconds later.
    rt::host::prepare().expect("this host can run executors");
    let mut criterion = Criterion::default()
        .with_measurement(Clock::from_env())
        .sample_size(30)
        .nresamples(20_000)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for subject in subjects {
        subject(&mut criterion);
    }
    criterion.final_summary();
}
