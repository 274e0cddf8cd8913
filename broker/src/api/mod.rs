//! The APIs that clients call: one file for each (or for a family), one table that finds them.
//!
//! Owns decoding, versions and error codes. What an API does to partitions it asks of the shards that
//! own them, what it does to metadata of the controller. It must not keep state of its own, but for
//! fetch sessions.

mod cluster;
mod config_resources;
mod configs;
mod coordinator;
mod delete_records;
mod epochs;
pub mod error;
mod fetch;
mod groups;
mod groups_offsets;
mod groups_share;
mod groups_share_offsets;
mod groups_show;
mod list_offsets;
mod log_dirs;
mod metadata;
mod produce;
mod producer_id;
mod producers_show;
mod quorum;
mod reassignments;
mod rules;
mod seen;
pub mod session;
mod share_acknowledge;
mod share_asked;
mod share_fetch;
mod topic_partitions;
mod topics;
pub(crate) mod transactions;
mod transactions_offsets;
mod transactions_show;
mod versions;

use std::rc::Rc;

use bytes::BytesMut;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use net::ParseError;
use net::connection::{ConnectionInfo, Handler, Request, Slot};
use net::registry;
use net::response::Response;
use share::state::{Initialize, WriteState};

use crate::shard::Shard;
use crate::share_state::{Delete, ReadIn, Summarize};

/// `authorized_operations` where they were not asked for, or nobody keeps any.
const NO_OPERATIONS: i32 = i32::MIN;

/// Answers the requests of one listener's connections.
pub struct Api {
    shard: Rc<Shard>,
}

/// Reads the body of a request.
pub(crate) fn decode<T: kafka_protocol::protocol::Request>(
    body: BytesMut,
    version: i16,
) -> Result<T, ParseError> {
    net::request::decode(body.freeze(), version)
}

impl Api {
    /// The APIs as `shard` serves them.
    pub fn new(shard: Rc<Shard>) -> Self {
        Self { shard }
    }

    /// Decodes, answers and encodes: the way of every API but Produce and Fetch.
    async fn respond<Q, R, F>(&self, request: Request, slot: Slot, answer: impl FnOnce(Q, i16) -> F)
    where
        Q: kafka_protocol::protocol::Request,
        R: Encodable + HeaderVersion,
        F: Future<Output = R>,
    {
        let version = request.header.version;
        let key = request.header.api_key;
        let correlation = request.header.correlation_id;
        let body = match decode::<Q>(request.body, version) {
            Ok(body) => body,
            Err(error) => return slot.close(unreadable(key, version, &error)),
        };
        let response = answer(body, version).await;
        drop(request.credit);
        match Response::of(correlation, version, &response) {
            Ok(response) => slot.fill(response),
            Err(error) => slot.close(format!("a response can't be encoded: {error}")),
        }
    }

    /// One row for each API.
    #[rustfmt::skip]
    async fn serve(&self, request: Request, slot: Slot) {
        let shard = &self.shard;
        match request.header.api_key {
            0 => produce::handle(shard, request, slot).await,
            1 => fetch::handle(shard, request, slot).await,
            2 => self.respond(request, slot, |q, v| list_offsets::answer(shard, q, v)).await,
            3 => self.respond(request, slot, |q, v| metadata::answer(shard, q, v)).await,
            8 => self.respond(request, slot, |q, v| groups_offsets::commit(shard, q, v)).await,
            9 => self.respond(request, slot, |q, v| groups_offsets::fetch(shard, q, v)).await,
            10 => self.respond(request, slot, async |q, v| coordinator::answer(shard, q, v)).await,
            11 => {
                let asker = groups::asker(&request);
                self.respond(request, slot, |q, v| groups::join(shard, asker, q, v)).await;
            }
            12 => self.respond(request, slot, |q, _| groups::heartbeat(shard, q)).await,
            13 => self.respond(request, slot, |q, v| groups::leave(shard, q, v)).await,
            14 => self.respond(request, slot, |q, v| groups::sync(shard, q, v)).await,
            15 => self.respond(request, slot, |q, v| groups_show::describe(shard, q, v)).await,
            16 => self.respond(request, slot, |q, _| groups_show::list(shard, q)).await,
            18 => self.respond(request, slot, async |q, v| versions::answer(&q, v)).await,
            19 => self.respond(request, slot, |q, v| topics::create(shard, q, v)).await,
            20 => self.respond(request, slot, |q, v| topics::delete(shard, q, v)).await,
            21 => self.respond(request, slot, |q, _| delete_records::answer(shard, q)).await,
            22 => self.respond(request, slot, |q, v| producer_id::answer(shard, q, v)).await,
            23 => self.respond(request, slot, |q, _| epochs::answer(shard, q)).await,
            24 => self.respond(request, slot, |q, v| transactions::add_partitions(shard, q, v)).await,
            25 => self.respond(request, slot, |q, v| transactions::add_offsets(shard, q, v)).await,
            26 => self.respond(request, slot, |q, v| transactions::end(shard, q, v)).await,
            27 => self.respond(request, slot, |q, _| transactions_show::write_markers(shard, q)).await,
            28 => self.respond(request, slot, |q, v| transactions_offsets::commit(shard, q, v)).await,
            32 => self.respond(request, slot, async |q, _| configs::describe_all(shard, q)).await,
            33 => self.respond(request, slot, |q, _| configs::replace(shard, q)).await,
            35 => self.respond(request, slot, |q, _| log_dirs::answer(shard, q)).await,
            37 => self.respond(request, slot, |q, _| topics::create_partitions(shard, q)).await,
            42 => self.respond(request, slot, |q, _| groups_show::delete(shard, q)).await,
            43 => self.respond(request, slot, |q, v| reassignments::elect(shard, q, v)).await,
            44 => self.respond(request, slot, |q, _| configs::alter(shard, q)).await,
            45 => self.respond(request, slot, |q, v| reassignments::alter(shard, q, v)).await,
            46 => self.respond(request, slot, async |q, _| reassignments::list(shard, q)).await,
            47 => self.respond(request, slot, |q, _| groups_offsets::delete(shard, q)).await,
            55 => self.respond(request, slot, |q, v| quorum::describe(shard, q, v)).await,
            60 => self.respond(request, slot, async |q, v| cluster::describe(shard, &q, v)).await,
            61 => self.respond(request, slot, |q, _| producers_show::answer(shard, q)).await,
            64 => self.respond(request, slot, |q, _| cluster::unregister(shard, q)).await,
            65 => self.respond(request, slot, |q, _| transactions_show::describe(shard, q)).await,
            66 => self.respond(request, slot, |q, _| transactions_show::list(shard, q)).await,
            68 => {
                let asker = groups::asker(&request);
                self.respond(request, slot, |q, v| groups::beat(shard, asker, q, v)).await;
            }
            69 => self.respond(request, slot, |q, _| groups_show::describe_consumer(shard, q)).await,
            74 => self.respond(request, slot, async |q, v| config_resources::answer(shard, q, v)).await,
            75 => self.respond(request, slot, async |q, _| topic_partitions::answer(shard, q)).await,
            80 => self.respond(request, slot, |q, _| quorum::add(shard, q)).await,
            81 => self.respond(request, slot, |q, _| quorum::remove(shard, q)).await,
            _ => self.serve_shares(request, slot).await,
        }
    }

    /// The same for those of share groups.
    #[rustfmt::skip]
    async fn serve_shares(&self, request: Request, slot: Slot) {
        let shard = &self.shard;
        match request.header.api_key {
            76 => {
                let asker = groups::asker(&request);
                self.respond(request, slot, |q, _| groups_share::beat(shard, asker, q)).await;
            }
            77 => self.respond(request, slot, |q, _| groups_share::describe(shard, q)).await,
            78 => share_fetch::handle(shard, request, slot).await,
            79 => self.respond(request, slot, |q, _| share_acknowledge::answer(shard, q)).await,
            83 => self.respond(request, slot, |q, _| shard.share_states_here::<Initialize>(q)).await,
            84 => self.respond(request, slot, |q, _| shard.share_states_here::<ReadIn>(q)).await,
            85 => self.respond(request, slot, |q, _| shard.share_states_here::<WriteState>(q)).await,
            86 => self.respond(request, slot, |q, _| shard.share_states_here::<Delete>(q)).await,
            87 => self.respond(request, slot, |q, _| shard.share_states_here::<Summarize>(q)).await,
            90 => self.respond(request, slot, |q, _| groups_share_offsets::describe(shard, q)).await,
            91 => self.respond(request, slot, |q, _| groups_share_offsets::alter(shard, q)).await,
            92 => self.respond(request, slot, |q, _| groups_share_offsets::delete(shard, q)).await,
            key => slot.close(format!("API {key} is advertised but not served")),
        }
    }
}

/// Why a connection is closed whose request makes no sense.
pub(crate) fn unreadable(key: i16, version: i16, error: &ParseError) -> String {
    let name = registry::lookup(key).map_or("unknown", |api| api.name);
    format!("a {name} request (API {key}, version {version}) can't be read: {error}")
}

impl Handler for Api {
    async fn handle(&self, request: Request, slot: Slot) {
        let (key, version) = (request.header.api_key, request.header.version);
        let served = registry::lookup(key).filter(|api| api.serves(version));
        if served.is_some() {
            let begun = rt::time::now();
            self.shard.metrics.begun(key);
            self.serve(request, slot).await;
            // Produce is only handed over by now; it tells by itself when it has been answered.
            if key != registry::PRODUCE {
                self.shard.metrics.answered(key, begun.elapsed());
            }
        } else if key == ApiKey::ApiVersions as i16 {
            match Response::of(request.header.correlation_id, 0, &versions::unsupported()) {
                Ok(response) => slot.fill(response),
                Err(error) => slot.close(format!("a response can't be encoded: {error}")),
            }
        } else {
            slot.close(format!("API {key} version {version} is not served"));
        }
    }

    fn ended(&self, connection: &ConnectionInfo) {
        self.shard.share_connection_ended(connection.id);
    }
}
