//! `loadgen worker`: runs producers and consumers for coordinators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Failure, INTERRUPTED, print};
use crate::driver;
use crate::workers::Server;

/// Serves until Ctrl-C or SIGTERM.
pub(super) fn serve(listen: &str) -> Result<u8, Failure> {
    let ending = Arc::new(AtomicBool::new(false));
    let server = Server::bind(listen, Box::new(driver::open), Arc::clone(&ending))
        .map_err(Failure::failed)?;
    end_when_told(ending)?;
    let address = server.address().map_err(Failure::failed)?;
    print(&format!("listening at {address}"));
    server.run();
    Ok(0)
}

/// The first Ctrl-C or SIGTERM ends it when its threads have ended, the second at once.
fn end_when_told(ending: Arc<AtomicBool>) -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(Failure::failed)?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if ending.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(INTERRUPTED));
            }
        }
    });
    Ok(())
}
