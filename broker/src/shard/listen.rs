//! Taking connections: one listener a shard on the same port, the kernel deals them out.

use std::rc::Rc;
use std::time::Duration;

use net::connection::{ConnectionContext, ConnectionLimits};
use net::frame::{FrameLimits, FrameMemory};
use rt::task::Class;
use rt::tcp::{Bind, Listener, Stream};

use super::{ServeError, Shard};
use crate::api::Api;

/// How long to leave off when a connection can't be accepted (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Shard {
    /// Listens for clients and serves them until the node stops.
    pub(super) fn listen(self: &Rc<Self>) -> Result<(), ServeError> {
        let address = self.node.config.listen;
        let bind = Bind {
            reuse_port: true,
            ..Bind::default()
        };
        let listener = Listener::bind(address, bind).map_err(|source| ServeError::Listen {
            address,
            source,
            flag: "--listen",
        })?;
        let shard = Rc::clone(self);
        rt::task::spawn_in(
            Class::Serve,
            async move { shard.accept_all(listener).await },
        )
        .detach();
        Ok(())
    }

    async fn accept_all(self: Rc<Self>, listener: Listener) {
        let api = Rc::new(Api::new(Rc::clone(&self)));
        let context = Rc::new(self.connection_context());
        self.start_trimming(context.memory.clone());
        while !self.is_stopping() {
            match listener.accept().await {
                Ok(stream) => self.take(stream, &api, &context),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted; is the limit of open files reached?");
                    rt::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn connection_context(&self) -> ConnectionContext {
        let settings = self.settings();
        let idle = settings.connections_max_idle_ms.unwrap_or(u64::MAX / 2000);
        ConnectionContext {
            limits: ConnectionLimits {
                frame: FrameLimits {
                    max_request_bytes: settings.socket_request_max_bytes,
                    ..FrameLimits::default()
                },
                idle: Duration::from_millis(idle),
                ..ConnectionLimits::default()
            },
            memory: FrameMemory::new(self.request_memory.clone(), self.buffer_memory.clone()),
            shutdown: self.shutdown.clone(),
        }
    }

    fn take(self: &Rc<Self>, stream: Stream, api: &Rc<Api>, context: &Rc<ConnectionContext>) {
        // The limit is the node's; each shard takes its part of it.
        let most = self.settings().max_connections.div_ceil(self.node.shards);
        if self.connections.get() >= most {
            tracing::warn!(
                most,
                "a connection was refused: this shard has as many as max.connections allows it"
            );
            return;
        }
        self.connections.set(self.connections.get() + 1);
        let shard = Rc::clone(self);
        let (api, context) = (Rc::clone(api), Rc::clone(context));
        rt::task::spawn_in(Class::Serve, async move {
            net::connection::serve(stream, api, context).await;
            shard.connections.set(shard.connections.get() - 1);
        })
        .detach();
    }
}
