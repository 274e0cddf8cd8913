//! The broker that most of these tests share, and topics and names on it.
//!
//! Tests that need no settings of their own share one broker while any of them runs; the last one
//! ends it. `OTTLA_SEMANTICS_AGAINST=HOST:PORT` has them run against a broker that is already
//! there, such as Kafka itself, to see that they ask for what it does.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tempfile::TempDir;

use super::wire::Connection;
use crate::harness::{Broker, Options, cores, temp_dir};

/// A broker with its directory.
pub struct Node {
    broker: Option<Broker>,
    dir: TempDir,
    address: SocketAddr,
}

/// The shared broker. Says what it logged if the test that holds it fails.
pub struct Shared(Arc<Node>);

impl Deref for Shared {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(broker) = &self.0.broker
        {
            eprintln!("--- log of the shared broker\n{}", broker.log());
        }
    }
}

/// The broker to run against instead of Ottla, if any.
fn other_broker() -> Option<SocketAddr> {
    let address = std::env::var("OTTLA_SEMANTICS_AGAINST").ok()?;
    Some(
        address
            .parse()
            .expect("OTTLA_SEMANTICS_AGAINST is HOST:PORT"),
    )
}

/// Whether the tests run against another broker than Ottla: then those that start one of their own,
/// or are about a difference, have nothing to do.
pub fn against_another() -> bool {
    other_broker().is_some()
}

/// The broker that tests share: two shards where there are two cores, default settings, but that a new
/// group waits for nobody.
pub fn shared() -> Shared {
    static SHARED: Mutex<Weak<Node>> = Mutex::new(Weak::new());
    let mut shared = SHARED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(node) = shared.upgrade() {
        return Shared(node);
    }
    let node = Arc::new(match other_broker() {
        Some(address) => Node {
            broker: None,
            dir: temp_dir(),
            address,
        },
        None => Node::start(|dir| {
            let options = Options::with_shards(dir, cores().min(2));
            options.set("group.initial.rebalance.delay.ms", "0")
        }),
    });
    *shared = Arc::downgrade(&node);
    Shared(node)
}

impl Node {
    /// Starts a broker of one's own.
    pub fn start(options: impl FnOnce(&std::path::Path) -> Options) -> Self {
        let dir = temp_dir();
        let broker = Broker::start(&options(dir.path()));
        Self {
            address: broker.kafka,
            broker: Some(broker),
            dir,
        }
    }

    /// A connection to it.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its files are.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Ends it, by a signal that it can't catch or in order, and starts it anew.
    pub fn restart(&mut self, kill: bool, options: impl FnOnce(&std::path::Path) -> Options) {
        let broker = self.broker.take().expect("a broker of one's own");
        if kill {
            broker.kill();
        } else {
            assert!(broker.stop().success(), "an orderly end");
        }
        let broker = Broker::start(&options(self.dir.path()));
        self.address = broker.kafka;
        self.broker = Some(broker);
    }
}

/// A name that no other test has, nor an earlier run against the same broker.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let at = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{at}", std::process::id())
}
