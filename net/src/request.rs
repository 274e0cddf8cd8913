//! Decoding the requests that have no parser of their own.

use bytes::Bytes;
use kafka_protocol::protocol::Request;

use crate::take::ParseError;
use crate::{registry, shape, shapes};

/// Decodes a request; `body` is what follows the request header. What it claims is compared with
/// the bytes that are there before anything is allocated for it; every request of a client has to
/// come through here.
pub fn decode<R: Request>(body: impl Into<Bytes>, version: i16) -> Result<R, ParseError> {
    let mut body = body.into();
    let unserved = |api| ParseError::Version { api, version };
    let api = registry::lookup(R::KEY).ok_or(unserved("an unknown API"))?;
    let shape = shapes::of(R::KEY).ok_or(unserved(api.name))?;
    if !api.serves(version) {
        return Err(unserved(api.name));
    }
    shape::check(shape, &body, version, api.is_flexible(version))?;
    R::decode(&mut body, version).map_err(|error| ParseError::Decode(error.to_string()))
}

#[cfg(test)]
mod tests;
