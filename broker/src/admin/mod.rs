//! What people and monitoring see of a node: metrics, health, and the calls the command line makes
//! beyond Kafka's APIs, over HTTP on the control shard.
//!
//! Everything is gathered when it is asked for: shards count in cells of their own and are asked for
//! copies over their lanes. It changes nothing and must stay so: whoever reaches the address may read.

pub mod cluster;
pub mod exposition;
pub mod families;
pub mod http;
pub mod metrics;
pub mod process_stats;
pub mod report;
mod routes;
pub mod text;
pub mod v1;

#[cfg(test)]
mod checker;

use std::net::SocketAddr;
use std::rc::Rc;

use rt::task::Class;
use rt::tcp::{Bind, Listener};

use crate::shard::{ServeError, Shard};
use http::HttpLimits;
use routes::NodeRoutes;

/// Starts the admin server of a node on its control shard, where one is configured; gives the address
/// it listens on. It ends when the shard's shutdown begins.
///
/// # Errors
/// [`ServeError::Listen`] if the address is taken.
pub async fn start(shard: &Rc<Shard>) -> Result<Option<SocketAddr>, ServeError> {
    let Some(address) = shard.node.config.admin else {
        return Ok(None);
    };
    let listener =
        Listener::bind(address, Bind::default()).map_err(|source| ServeError::Listen {
            address,
            source,
            flag: "--admin",
        })?;
    let bound = listener.local_addr();
    let routes = Rc::new(NodeRoutes::new(Rc::clone(shard)));
    let serving = http::serve(
        listener,
        routes,
        HttpLimits::default(),
        shard.shutdown.clone(),
    );
    rt::task::spawn_in(Class::Background, serving).detach();
    Ok(Some(bound))
}
