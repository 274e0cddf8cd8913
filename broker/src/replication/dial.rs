//! Keeping up a link to a leader's shard.

use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_lite::future::or;
use rt::task::Class;

use super::error::ConnectionError;
use super::following::Link;
use super::greeting::{check_answer, hear, say};
use super::inbox::Inbox;
use super::line::Line;

/// The wait after the first failure; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A connection that lasted as long counts as a success.
const LASTED: Duration = Duration::from_secs(1);

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Numbers the connections that this process dials, over all its shards: a partition may come to another
/// shard, and what it says there must count as later.
static CONNECTIONS: AtomicU32 = AtomicU32::new(1);

/// Keeps up `link` until it is retired.
pub(super) fn keep(link: Rc<Link>) {
    rt::task::spawn_in(Class::Serve, async move { keep_up(&link).await }).detach();
}

async fn keep_up(link: &Rc<Link>) {
    let mut wait = FIRST_WAIT;
    let mut failures = 0_u32;
    while !link.retired.get() {
        let begun = rt::time::now();
        let error = connect(link).await;
        link.disconnected();
        if begun.elapsed() >= LASTED {
            (wait, failures) = (FIRST_WAIT, 0);
        }
        failures += 1;
        report(link, &error, failures);
        if link.retired.get() {
            return;
        }
        // Told that the other side is there again, there is no need to wait.
        let _: Result<(), _> = rt::time::timeout(wait, link.again.notified()).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Says why there is no connection: less and less often, the longer it stays so.
fn report(link: &Link, error: &ConnectionError, failures: u32) {
    let (node, shard) = (link.target.node, link.target.shard);
    if error.is_ordinary() || !failures.is_power_of_two() {
        tracing::debug!(node, shard, %error, failures, "not connected to a leader");
    } else {
        tracing::warn!(node, shard, %error, failures, "not connected to a leader");
    }
}

/// Connects and replicates until the connection ends.
async fn connect(link: &Rc<Link>) -> ConnectionError {
    match establish(link).await {
        Ok(ended) | Err(ended) => ended,
    }
}

async fn establish(link: &Rc<Link>) -> Result<ConnectionError, ConnectionError> {
    let (target, replication) = (link.target, link.replication());
    let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let ours = replication.hello(target, connection)?;
    let address = replication.host.address(target.node, target.shard);
    let (host, port) = address.ok_or(ConnectionError::NoAddress {
        node: target.node,
        shard: target.shard,
    })?;
    // An IPv6 address stands in brackets before its port.
    let address = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let stream = net::link::dial(&address, CONNECT_LIMIT).await?;
    let (read, mut write) = stream.split();
    let mut inbox = Inbox::new(read, Rc::clone(&replication.pool));
    say(&mut write, &ours).await?;
    let theirs = hear(&mut inbox).await?;
    check_answer(&ours, &theirs)?;
    if link.retired.get() {
        return Err(ConnectionError::Unused);
    }
    tracing::info!(
        node = target.node,
        shard = target.shard,
        address,
        "following over a connection"
    );
    let line = Rc::new(Line::new(&ours, theirs));
    link.connected(Rc::clone(&line));
    let writer = {
        let (link, line) = (Rc::clone(link), Rc::clone(&line));
        rt::task::spawn_in(Class::Serve, async move {
            let ended = line.write(write, &*link, &link.replication().counts).await;
            line.close(ended);
        })
    };
    let ended = or(line.closed(), link.read(&line, &mut inbox)).await;
    writer.cancel().await;
    Ok(ended)
}
