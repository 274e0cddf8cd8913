//! Taking connections of followers' shards.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use replica::wire::Hello;
use rt::task::Class;
use rt::tcp::{Bind, Listener, Stream};

use super::Replication;
use super::error::ConnectionError;
use super::following::Target;
use super::greeting::{check_caller, hear, say};
use super::inbox::Inbox;
use super::leading::Inbound;
use super::line::Line;

/// How long to leave off when a connection can't be accepted (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Replication {
    /// Listens for followers' shards, and begins all else that replication does by itself. Gives the
    /// address, with its port where 0 was asked for.
    ///
    /// # Errors
    /// As of [`Listener::bind`].
    pub fn listen(self: &Rc<Self>, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let listener = Listener::bind(address, Bind::default())?;
        let address = listener.local_addr();
        self.start();
        let replication = Rc::clone(self);
        let accept = async move {
            or(
                replication.accept_all(listener),
                replication.stopping.notified(),
            )
            .await;
        };
        rt::task::spawn_in(Class::Serve, accept).detach();
        Ok(address)
    }

    async fn accept_all(self: &Rc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok(stream) => {
                    let replication = Rc::clone(self);
                    let serve = async move { replication.serve(stream).await };
                    rt::task::spawn_in(Class::Serve, serve).detach();
                }
                Err(error) => {
                    tracing::warn!(%error, "a node's connection could not be accepted; is the limit of open files reached?");
                    rt::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: &Rc<Self>, stream: Stream) {
        let peer = stream.peer_addr().map(|address| address.to_string());
        let peer = peer.unwrap_or_else(|_| "unknown".to_owned());
        let ended = match self.serve_follower(stream).await {
            Ok(ended) | Err(ended) => ended,
        };
        if ended.is_ordinary() || self.is_stopped() {
            tracing::debug!(peer, error = %ended, "a follower's connection ended");
        } else {
            tracing::warn!(peer, error = %ended, "a follower's connection ended");
        }
    }

    async fn serve_follower(
        self: &Rc<Self>,
        stream: Stream,
    ) -> Result<ConnectionError, ConnectionError> {
        let (read, mut write) = stream.split();
        let mut inbox = Inbox::new(read, Rc::clone(&self.pool));
        let theirs = hear(&mut inbox).await?;
        let caller = Target {
            node: theirs.node,
            shard: theirs.shard,
        };
        let ours = self.hello(caller, theirs.connection)?;
        // Told even to who doesn't mean this one: so it learns whom it has found.
        say(&mut write, &ours).await?;
        check_caller(&ours, &theirs)?;
        if self.is_stopped() {
            return Err(ConnectionError::Stopping);
        }
        self.replace(&theirs);
        let inbound = Inbound::new(Line::new(&ours, theirs), Rc::clone(self));
        self.inbound.borrow_mut().push(Rc::clone(&inbound));
        let writer = {
            let inbound = Rc::clone(&inbound);
            rt::task::spawn_in(Class::Serve, async move {
                let counts = &inbound.replication.counts;
                let ended = inbound.line.write(write, &inbound, counts).await;
                inbound.line.close(ended);
            })
        };
        let ended = or(inbound.line.closed(), inbound.read(&mut inbox)).await;
        writer.cancel().await;
        inbound.end();
        let mut all = self.inbound.borrow_mut();
        all.retain(|other| !Rc::ptr_eq(other, &inbound));
        Ok(ended)
    }

    /// Ends connections that the same shard had before.
    fn replace(&self, by: &Hello) {
        let all = self.inbound.borrow();
        let before = all.iter().filter(|inbound| {
            let peer = &inbound.line.peer;
            (peer.node, peer.shard) == (by.node, by.shard)
                && (peer.broker_epoch, peer.connection) < (by.broker_epoch, by.connection)
        });
        for inbound in before {
            inbound.line.close(ConnectionError::Replaced);
        }
    }
}
