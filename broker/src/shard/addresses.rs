//! The addresses a node is to listen on: free before any shard starts.
//!
//! A process that was killed may be gone from the process table while the kernel still takes its
//! io_uring down, and with it the listeners it accepted on. So who restarts a node at once finds its
//! addresses taken for some milliseconds more; that is waited for here.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use super::start::ServeError;
use crate::config::NodeConfig;

/// How long another process may hold an address before it counts as one that stays.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often to look again.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until nobody listens on what `config` asks for, `shards` shards wide, and gives the address
/// for clients, with a port of its own where 0 was asked for. Blocks.
///
/// # Errors
/// [`ServeError::Listen`].
pub(super) fn wait_free(config: &NodeConfig, shards: usize) -> Result<SocketAddr, ServeError> {
    let deadline = Instant::now() + PATIENCE;
    if let Some(admin) = config.admin {
        free(admin, "--admin", deadline)?;
    }
    if let Some(internal) = config.internal.as_ref().map(|internal| internal.listen) {
        let last = match internal.port() {
            0 => 0,
            first => first.saturating_add(u16::try_from(shards).unwrap_or(u16::MAX)),
        };
        for port in internal.port()..=last {
            free(SocketAddr::new(internal.ip(), port), "--internal", deadline)?;
        }
    }
    free(config.listen, "--listen", deadline)
}

/// Tries `address` out until `deadline`. The shards share the clients' port (`SO_REUSEPORT`), which
/// would let a second broker of the same user in unseen; so it is tried without sharing.
fn free(
    address: SocketAddr,
    flag: &'static str,
    deadline: Instant,
) -> Result<SocketAddr, ServeError> {
    loop {
        match TcpListener::bind(address).and_then(|tried| tried.local_addr()) {
            Ok(address) => return Ok(address),
            Err(source) if source.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(LOOK);
            }
            Err(source) => {
                return Err(ServeError::Listen {
                    address,
                    source,
                    flag,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_let_go_of_is_waited_for() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let letting_go = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(holder);
        });
        let found = free(address, "--listen", Instant::now() + PATIENCE).unwrap();
        letting_go.join().unwrap();
        assert_eq!(found, address);
    }

    #[test]
    fn an_address_that_stays_taken_is_named() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let error = free(address, "--admin", Instant::now()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&address.to_string()), "{said}");
        assert!(said.contains("--admin"), "{said}");
    }
}
