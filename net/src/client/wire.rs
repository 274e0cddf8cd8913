//! One blocking connection to one broker: framing, versions, requests in, answers out.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::error::{ClientError, KafkaError, Refusal};

/// No answer of a broker is larger than this; a size beyond it is not Kafka's protocol.
const MAX_RESPONSE_BYTES: usize = 512 * 1024 * 1024;

/// A request that was sent and whose answer has not been read.
#[must_use]
pub(super) struct Pending {
    version: i16,
    correlation_id: i32,
}

/// A connection whose broker has told its versions.
pub(super) struct Wire {
    stream: TcpStream,
    address: String,
    client_id: StrBytes,
    next_correlation: i32,
    versions: HashMap<i16, (i16, i16)>,
    timeout: Duration,
}

impl Wire {
    /// Connects to `address` (HOST:PORT) and asks for the broker's versions.
    pub(super) fn open(
        address: &str,
        client_id: &str,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let stream = dial(address, connect_timeout).map_err(|source| ClientError::Io {
            broker: address.to_owned(),
            api: "connect",
            source,
        })?;
        let mut wire = Self {
            stream,
            address: address.to_owned(),
            client_id: StrBytes::from_string(client_id.to_owned()),
            next_correlation: 0,
            versions: HashMap::new(),
            timeout,
        };
        wire.negotiate()?;
        Ok(wire)
    }

    /// Sends `request` and waits for its answer, in the highest version both sides have
    /// and no higher than `max_version`.
    pub(super) fn call<R: Request>(
        &mut self,
        request: &R,
        max_version: i16,
    ) -> Result<R::Response, ClientError> {
        let pending = self.send(request, max_version)?;
        self.receive::<R>(pending, Duration::ZERO)
    }

    /// Sends `request` without waiting. Answers come in the order of the requests.
    pub(super) fn send<R: Request>(
        &mut self,
        request: &R,
        max_version: i16,
    ) -> Result<Pending, ClientError> {
        let version = self.version_for::<R>(max_version)?;
        self.send_version(request, version)
    }

    /// Waits for the answer to `pending`, the oldest request without one. `extra` is added
    /// to the connection's time limit: what the request itself lets the broker wait.
    pub(super) fn receive<R: Request>(
        &mut self,
        pending: Pending,
        extra: Duration,
    ) -> Result<R::Response, ClientError> {
        let mut frame = self.read_frame(api_name(R::KEY), extra)?;
        let header_version = R::Response::header_version(pending.version);
        let header = ResponseHeader::decode(&mut frame, header_version)
            .map_err(|error| self.codec::<R>(pending.version, error))?;
        if header.correlation_id != pending.correlation_id {
            let reason = format!(
                "the answer belongs to request {}, expected {}",
                header.correlation_id, pending.correlation_id
            );
            return Err(self.codec::<R>(pending.version, reason));
        }
        R::Response::decode(&mut frame, pending.version)
            .map_err(|error| self.codec::<R>(pending.version, error))
    }

    fn version_for<R: Request>(&self, max_version: i16) -> Result<i16, ClientError> {
        let unsupported = |reason| ClientError::Unsupported {
            broker: self.address.clone(),
            api: api_name(R::KEY),
            reason,
        };
        let (low, high) = self
            .versions
            .get(&R::KEY)
            .copied()
            .ok_or_else(|| unsupported("the broker does not offer this request".to_owned()))?;
        let ours = <R as kafka_protocol::protocol::Message>::VERSIONS;
        let version = high.min(ours.max).min(max_version);
        if version < low || version < ours.min {
            return Err(unsupported(format!(
                "the broker offers versions {low} to {high}, this client speaks {} to {}",
                ours.min,
                ours.max.min(max_version)
            )));
        }
        Ok(version)
    }

    fn send_version<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<Pending, ClientError> {
        let correlation_id = self.next_correlation;
        self.next_correlation = self.next_correlation.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation_id)
            .with_client_id(Some(self.client_id.clone()));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| self.codec::<R>(version, error))?;
        let size = i32::try_from(frame.len() - 4)
            .map_err(|_| self.codec::<R>(version, "the request is larger than 2 GiB"))?;
        frame[..4].copy_from_slice(&size.to_be_bytes());
        self.stream
            .set_write_timeout(Some(self.timeout))
            .and_then(|()| self.stream.write_all(&frame))
            .map_err(|source| self.failed(api_name(R::KEY), self.timeout, source))?;
        Ok(Pending {
            version,
            correlation_id,
        })
    }

    /// Learns the broker's versions. A broker that does not know the version we ask in
    /// answers in version 0 and says which ones it knows.
    fn negotiate(&mut self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("ottla"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut version = 3;
        loop {
            let pending = self.send_version(&request, version)?;
            let mut frame = self.read_frame("ApiVersions", Duration::ZERO)?;
            let answer = decode_versions(&mut frame, &pending)
                .map_err(|reason| self.codec::<ApiVersionsRequest>(version, reason))?;
            match KafkaError::from_code(answer.error_code) {
                None => {
                    self.versions = answer
                        .api_keys
                        .iter()
                        .map(|api| (api.api_key, (api.min_version, api.max_version)))
                        .collect();
                    return Ok(());
                }
                Some(KafkaError::UNSUPPORTED_VERSION) if version > 0 => version = 0,
                Some(error) => {
                    return Err(ClientError::refused(
                        format!("{}: ApiVersions", self.address),
                        Refusal::from(error),
                    ));
                }
            }
        }
    }

    fn read_frame(&mut self, api: &'static str, extra: Duration) -> Result<Bytes, ClientError> {
        let limit = self.timeout + extra;
        let mut size = [0; 4];
        self.stream
            .set_read_timeout(Some(limit))
            .and_then(|()| self.stream.read_exact(&mut size))
            .map_err(|source| self.failed(api, limit, source))?;
        let size = i32::from_be_bytes(size);
        let size = usize::try_from(size)
            .ok()
            .filter(|size| (4..=MAX_RESPONSE_BYTES).contains(size))
            .ok_or_else(|| ClientError::NotKafka {
                broker: self.address.clone(),
                reason: format!(
                    "it sent {:?} where the size of an answer belongs",
                    String::from_utf8_lossy(&size.to_be_bytes())
                ),
            })?;
        // Grows as bytes arrive: the size is only a claim.
        let mut body = Vec::with_capacity(size.min(1024 * 1024));
        let got = (&mut self.stream)
            .take(size as u64)
            .read_to_end(&mut body)
            .map_err(|source| self.failed(api, limit, source))?;
        if got < size {
            return Err(self.failed(api, limit, io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Bytes::from(body))
    }

    fn failed(&self, api: &'static str, after: Duration, source: io::Error) -> ClientError {
        let broker = self.address.clone();
        match source.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => ClientError::Closed { broker, api },
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::TimedOut { broker, api, after }
            }
            _ => ClientError::Io {
                broker,
                api,
                source,
            },
        }
    }

    fn codec<R: Request>(&self, version: i16, reason: impl ToString) -> ClientError {
        ClientError::Codec {
            broker: self.address.clone(),
            api: api_name(R::KEY),
            version,
            reason: reason.to_string(),
        }
    }
}

fn decode_versions(frame: &mut Bytes, sent: &Pending) -> Result<ApiVersionsResponse, String> {
    let header = ResponseHeader::decode(frame, 0).map_err(|error| error.to_string())?;
    if header.correlation_id != sent.correlation_id {
        return Err("the answer belongs to another request".to_owned());
    }
    // The one answer whose version depends on its own content.
    let refused = frame.get(..2) == Some(&KafkaError::UNSUPPORTED_VERSION.code().to_be_bytes());
    let version = if refused { 0 } else { sent.version };
    ApiVersionsResponse::decode(frame, version).map_err(|error| error.to_string())
}

fn dial(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The name of a request for messages.
fn api_name(key: i16) -> &'static str {
    match ApiKey::try_from(key) {
        Ok(ApiKey::ApiVersions) => "ApiVersions",
        Ok(ApiKey::Metadata) => "Metadata",
        Ok(ApiKey::Produce) => "Produce",
        Ok(ApiKey::Fetch) => "Fetch",
        Ok(ApiKey::ListOffsets) => "ListOffsets",
        Ok(ApiKey::CreateTopics) => "CreateTopics",
        Ok(ApiKey::DeleteTopics) => "DeleteTopics",
        Ok(ApiKey::CreatePartitions) => "CreatePartitions",
        Ok(ApiKey::DeleteRecords) => "DeleteRecords",
        Ok(ApiKey::DescribeConfigs) => "DescribeConfigs",
        Ok(ApiKey::IncrementalAlterConfigs) => "IncrementalAlterConfigs",
        Ok(ApiKey::InitProducerId) => "InitProducerId",
        Ok(ApiKey::DescribeCluster) => "DescribeCluster",
        Ok(ApiKey::DescribeLogDirs) => "DescribeLogDirs",
        Ok(ApiKey::DescribeQuorum) => "DescribeQuorum",
        Ok(ApiKey::AddRaftVoter) => "AddRaftVoter",
        Ok(ApiKey::RemoveRaftVoter) => "RemoveRaftVoter",
        Ok(ApiKey::UnregisterBroker) => "UnregisterBroker",
        Ok(ApiKey::FindCoordinator) => "FindCoordinator",
        Ok(ApiKey::DescribeProducers) => "DescribeProducers",
        Ok(ApiKey::DescribeTransactions) => "DescribeTransactions",
        Ok(ApiKey::ListTransactions) => "ListTransactions",
        Ok(ApiKey::WriteTxnMarkers) => "WriteTxnMarkers",
        _ => "request",
    }
}
