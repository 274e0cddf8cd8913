//! An answer as it goes to the socket: the size, the header and body, and record segments between
//! them that are shared with whoever else holds them and never copied here.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use crate::put;
use crate::take::Form;

/// Bytes of the size in front of every answer.
const PREFIX: usize = 4;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pieces: VecDeque<Bytes>,
    len: usize,
}

/// A message that its encoder refuses for this version: a field is set that the version has no
/// place for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a response cannot be encoded in version {version}: {cause}")]
pub struct EncodeError {
    /// The version.
    pub version: i16,
    /// What the encoder said.
    pub cause: String,
}

impl Response {
    /// An answer made of one message, in the header version that belongs to it (for `ApiVersions`
    /// always 0).
    pub fn of<M: Encodable + HeaderVersion>(
        correlation_id: i32,
        version: i16,
        message: &M,
    ) -> Result<Self, EncodeError> {
        Self::of_message(correlation_id, M::header_version(version), version, message)
    }

    /// An answer made of one message, in the header version given: 0, or 1 with tagged fields.
    pub fn of_message(
        correlation_id: i32,
        header_version: i16,
        version: i16,
        message: &impl Encodable,
    ) -> Result<Self, EncodeError> {
        let fail = |error: &dyn std::fmt::Display| EncodeError {
            version,
            cause: error.to_string(),
        };
        let size = message
            .compute_size(version)
            .map_err(|error| fail(&error))?;
        let mut writer = Writer::new(correlation_id, header_version >= 1, size);
        message
            .encode(&mut writer.out, version)
            .map_err(|error| fail(&error))?;
        Ok(writer.finish())
    }

    /// Bytes of the whole answer, the size in front included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to send; never so.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in the order they go to the socket; the first begins with the size.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// The pieces in the order they go to the socket; the first begins with the size.
    pub fn into_pieces(self) -> VecDeque<Bytes> {
        self.pieces
    }
}

/// Puts an answer together: what is written to `out` goes into one buffer, what is spliced stays
/// where it is.
pub(crate) struct Writer {
    pub(crate) out: BytesMut,
    /// Spliced pieces, and where in `out` each one goes.
    spliced: Vec<(usize, Bytes)>,
    spliced_bytes: usize,
}

impl Writer {
    /// Begins an answer; `room` is how much is going to be written, as far as that is known.
    pub(crate) fn new(correlation_id: i32, flexible_header: bool, room: usize) -> Self {
        let mut out = BytesMut::with_capacity(PREFIX + 5 + room);
        out.put_i32(0);
        out.put_i32(correlation_id);
        if flexible_header {
            out.put_u8(0);
        }
        Self {
            out,
            spliced: Vec::new(),
            spliced_bytes: 0,
        }
    }

    /// Begins a request; `room` as in [`Self::new`].
    pub(crate) fn of_request(
        (api, version): (i16, i16),
        correlation_id: i32,
        client_id: &str,
        form: Form,
        room: usize,
    ) -> Self {
        let mut out = BytesMut::with_capacity(PREFIX + 16 + client_id.len() + room);
        out.put_i32(0);
        out.put_i16(api);
        out.put_i16(version);
        out.put_i32(correlation_id);
        // Of the fixed form in all header versions.
        put::string(&mut out, Form::Fixed, client_id);
        put::no_tags(&mut out, form);
        Self {
            out,
            spliced: Vec::new(),
            spliced_bytes: 0,
        }
    }

    /// Puts `piece` behind what was written so far.
    pub(crate) fn splice(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.spliced_bytes += piece.len();
            self.spliced.push((self.out.len(), piece));
        }
    }

    /// The answer.
    ///
    /// # Panics
    /// When it is larger than the protocol's 2 GiB; every limit on what is fetched is far below.
    pub(crate) fn finish(mut self) -> Response {
        let len = self.out.len() + self.spliced_bytes;
        assert!(
            len - PREFIX <= i32::MAX as usize,
            "an answer of {len} bytes"
        );
        self.out[..PREFIX].copy_from_slice(&((len - PREFIX) as i32).to_be_bytes());
        let mut rest = self.out.freeze();
        let mut pieces = VecDeque::with_capacity(2 * self.spliced.len() + 1);
        let mut cut = 0;
        for (at, piece) in self.spliced {
            if at > cut {
                pieces.push_back(rest.split_to(at - cut));
                cut = at;
            }
            pieces.push_back(piece);
        }
        if !rest.is_empty() {
            pieces.push_back(rest);
        }
        Response { pieces, len }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ApiVersionsResponse, MetadataResponse, ResponseHeader};
    use kafka_protocol::protocol::Decodable;

    use super::*;

    fn flat(response: &Response) -> Bytes {
        let flat: Vec<u8> = response.pieces().flatten().copied().collect();
        assert_eq!(flat.len(), response.len());
        let (size, rest) = flat.split_first_chunk::<4>().unwrap();
        assert_eq!(i32::from_be_bytes(*size) as usize, rest.len());
        Bytes::copy_from_slice(rest)
    }

    #[test]
    fn messages_are_framed_with_the_header_they_have() {
        for version in 0..=13 {
            let message = MetadataResponse::default();
            let response = Response::of(77, version, &message).unwrap();
            let mut bytes = flat(&response);
            let header = ResponseHeader::decode(&mut bytes, i16::from(version >= 9)).unwrap();
            assert_eq!(header.correlation_id, 77);
            assert_eq!(
                MetadataResponse::decode(&mut bytes, version).unwrap(),
                message
            );
            assert!(bytes.is_empty());
        }
        for version in 0..=4 {
            let message = ApiVersionsResponse::default();
            let mut bytes = flat(&Response::of(77, version, &message).unwrap());
            assert_eq!(
                ResponseHeader::decode(&mut bytes, 0)
                    .unwrap()
                    .correlation_id,
                77
            );
            assert_eq!(
                ApiVersionsResponse::decode(&mut bytes, version).unwrap(),
                message
            );
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn what_a_version_has_no_place_for_is_refused() {
        let message = MetadataResponse::default().with_error_code(1);
        assert!(Response::of(1, 13, &message).is_ok());
        assert!(Response::of(1, 14, &message).is_err());
    }

    #[test]
    fn spliced_pieces_are_not_copied() {
        let records = Bytes::from(vec![7; 100]);
        let mut writer = Writer::new(1, true, 0);
        writer.out.put_u8(1);
        writer.splice(records.clone());
        writer.splice(Bytes::new());
        writer.splice(records.slice(..10));
        writer.out.put_u8(2);
        writer.splice(records.slice(50..));
        let response = writer.finish();
        assert_eq!(response.len(), 4 + 5 + 1 + 100 + 10 + 1 + 50);
        let pieces: Vec<_> = response.into_pieces().into();
        assert_eq!(
            pieces.iter().map(Bytes::len).collect::<Vec<_>>(),
            [10, 100, 10, 1, 50]
        );
        assert_eq!(pieces[1].as_ptr(), records.as_ptr());
        assert_eq!(&pieces[0][..4], 167_i32.to_be_bytes());
    }
}
