//! The header in front of every request.

use crate::registry;
use crate::take::{self, Form, ParseError};

/// What a request says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API asked for; one this broker has.
    pub api_key: i16,
    /// The version asked for; not checked, because ApiVersions is answered in any.
    pub version: i16,
    /// What the client knows the answer by.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<String>,
}

/// Why a request cannot be answered, and its connection has to end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// An API this broker does not have: how its header ends is not known then.
    #[error("request of API {api_key}, version {version}: there is no such API here")]
    UnknownApi {
        /// The key.
        api_key: i16,
        /// The version.
        version: i16,
    },
    /// Not a header.
    #[error("request header is malformed: {0}")]
    Malformed(#[from] ParseError),
}

impl RequestHeader {
    /// Reads the header at the front of `frame`; gives back also where the body begins.
    pub fn parse(frame: &[u8]) -> Result<(Self, usize), HeaderError> {
        const WHAT: &str = "the request header";
        let mut input = frame;
        let api_key = take::i16(&mut input, WHAT)?;
        let version = take::i16(&mut input, WHAT)?;
        let Some(api) = registry::lookup(api_key) else {
            return Err(HeaderError::UnknownApi { api_key, version });
        };
        let correlation_id = take::i32(&mut input, WHAT)?;
        // Of the fixed form in every version, so that any broker can read that far.
        let client_id = take::nullable_string(&mut input, Form::Fixed, "the client id")?;
        take::skip_tags(&mut input, Form::of(api.is_flexible(version)))?;
        let header = Self {
            api_key,
            version,
            correlation_id,
            client_id,
        };
        Ok((header, frame.len() - input.len()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::{ApiKey, RequestHeader as TheirHeader};
    use kafka_protocol::protocol::{Encodable, StrBytes};
    use proptest::prelude::*;

    use super::*;
    use crate::registry::ADVERTISED;

    fn encode(api_key: i16, version: i16, client_id: Option<&str>) -> BytesMut {
        let mut header = TheirHeader::default()
            .with_request_api_key(api_key)
            .with_request_api_version(version)
            .with_correlation_id(-5)
            .with_client_id(client_id.map(|id| StrBytes::from_string(id.to_owned())));
        let header_version = ApiKey::try_from(api_key)
            .unwrap()
            .request_header_version(version);
        if header_version == 2 {
            header = header.with_unknown_tagged_field(3, Bytes::from_static(b"tagged"));
        }
        let mut frame = BytesMut::new();
        header.encode(&mut frame, header_version).unwrap();
        frame
    }

    #[test]
    fn headers_of_every_version_are_read() {
        for api in ADVERTISED {
            for version in api.min..=api.max {
                for client_id in [None, Some(""), Some("kafka-ünicode")] {
                    let mut frame = encode(api.key, version, client_id);
                    let end = frame.len();
                    frame.extend_from_slice(b"body");
                    let (header, body) = RequestHeader::parse(&frame).unwrap();
                    assert_eq!(body, end);
                    assert_eq!((header.api_key, header.version), (api.key, version));
                    assert_eq!(header.correlation_id, -5);
                    assert_eq!(header.client_id.as_deref(), client_id);
                    for cut in 0..end {
                        assert!(RequestHeader::parse(&frame[..cut]).is_err());
                    }
                }
            }
        }
    }

    #[test]
    fn unknown_apis_are_named() {
        let error = RequestHeader::parse(&[0, 17, 0, 1, 0, 0, 0, 1]).unwrap_err();
        assert_eq!(
            error,
            HeaderError::UnknownApi {
                api_key: 17,
                version: 1
            }
        );
    }

    #[test]
    fn a_version_of_the_future_is_read_like_the_newest() {
        let (header, _) = RequestHeader::parse(&encode(18, 4, Some("x"))).unwrap();
        let mut frame = encode(18, 4, Some("x"));
        frame[2..4].copy_from_slice(&99_i16.to_be_bytes());
        let (future, _) = RequestHeader::parse(&frame).unwrap();
        assert_eq!(
            future,
            RequestHeader {
                version: 99,
                ..header
            }
        );
    }

    proptest! {
        #[test]
        fn random_bytes_are_survived(mut frame in prop::collection::vec(any::<u8>(), 0..60), key in 0..80_i16) {
            let _ = RequestHeader::parse(&frame);
            if frame.len() >= 2 {
                frame[..2].copy_from_slice(&key.to_be_bytes());
                if let Ok((_, body)) = RequestHeader::parse(&frame) {
                    prop_assert!(body <= frame.len());
                }
            }
        }
    }
}
