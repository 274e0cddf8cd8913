//! The `ottla` binary: what its arguments say is in `broker::cli`, what a node does in
//! `broker::process`.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker::cli::main(broker::process::serve)
}
