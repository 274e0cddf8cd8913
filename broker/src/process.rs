//! The process around a node: its log lines, its signals, its panics, its exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use rt::lane::MailboxSender;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;

use crate::cli::exit;
use crate::config::NodeConfig;
use crate::config::node::LogFormat;
use crate::shard::{ServeError, Stop};

/// Runs a node in the foreground until SIGTERM or SIGINT; a second signal ends it at once.
pub fn serve(config: NodeConfig) -> ExitCode {
    if let Err(why) = start_log(&config) {
        eprintln!("ottla: {why}");
        return ExitCode::from(exit::USAGE);
    }
    end_on_panic();
    for (name, value, origin) in config.summary() {
        tracing::debug!(name, value, %origin, "setting");
    }
    let signals = match Signals::new([SIGTERM, SIGINT]) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("ottla: signals can't be handled: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    match crate::shard::serve(config, |stop| watch(signals, stop)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the node is down");
            ExitCode::from(code(&error))
        }
    }
}

fn code(error: &ServeError) -> u8 {
    match error {
        ServeError::Host(_) | ServeError::Executor(_) => exit::UNFIT_HOST,
        ServeError::Listen { .. } => exit::ADDRESS,
        ServeError::Drive(_) => exit::DATA_DIR,
        ServeError::Metadata(_) | ServeError::Refused(_) => exit::METADATA,
        ServeError::Settings(_) => exit::USAGE,
    }
}

fn start_log(config: &NodeConfig) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log_filter)
        .map_err(|error| format!("log_filter is {}: {error}", config.log_filter))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let begun = match config.log_format {
        LogFormat::Human => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| format!("the log can't be started: {error}"))
}

/// A shard that panicked leaves its partitions in a state nobody knows; the others must not go on
/// without it. What was acknowledged is on the drives, and the next start recovers it.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        let thread = std::thread::current();
        // A panic that `rt::task::blocking` catches costs only its own call.
        if thread.name().is_some_and(|name| name.starts_with("shard-")) {
            tracing::error!(thread = thread.name(), "a shard panicked: the node ends");
            std::process::exit(i32::from(exit::PANIC));
        }
    }));
}

fn watch(mut signals: Signals, stop: MailboxSender<Stop>) {
    std::thread::spawn(move || {
        let mut told = false;
        for _ in signals.forever() {
            if told || stop.send(Stop::Orderly).is_err() {
                tracing::warn!("a second signal: ending at once");
                std::process::exit(i32::from(exit::INTERRUPTED));
            }
            told = true;
        }
    });
}
