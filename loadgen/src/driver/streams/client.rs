//! A connection that speaks the stream protocol. The codec is the `rabbitmq-stream-protocol` crate's; the client
//! made of it, `rabbitmq-stream-client`, begins with a question that RabbitMQ before 3.11 answers by closing the
//! connection, and leaves Nagle's delay on.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rabbitmq_stream_protocol::codec::{Decoder, Encoder};
use rabbitmq_stream_protocol::commands::close::CloseRequest;
use rabbitmq_stream_protocol::commands::create_stream::CreateStreamCommand;
use rabbitmq_stream_protocol::commands::credit::CreditCommand;
use rabbitmq_stream_protocol::commands::declare_publisher::DeclarePublisherCommand;
use rabbitmq_stream_protocol::commands::delete::Delete;
use rabbitmq_stream_protocol::commands::metadata::{MetadataCommand, MetadataResponse};
use rabbitmq_stream_protocol::commands::open::OpenCommand;
use rabbitmq_stream_protocol::commands::peer_properties::PeerPropertiesCommand;
use rabbitmq_stream_protocol::commands::publish::PublishCommand;
use rabbitmq_stream_protocol::commands::sasl_authenticate::SaslAuthenticateCommand;
use rabbitmq_stream_protocol::commands::sasl_handshake::SaslHandshakeCommand;
use rabbitmq_stream_protocol::commands::subscribe::{OffsetSpecification, SubscribeCommand};
use rabbitmq_stream_protocol::commands::tune::TunesCommand;
use rabbitmq_stream_protocol::types::PublishedMessage;
use rabbitmq_stream_protocol::{Request, Response, ResponseCode, ResponseKind};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

/// Bytes read at once.
const READ: usize = 256 * 1024;
/// A frame longer than this is none: the protocol is another.
const MOST_FRAME: usize = 256 << 20;

/// Why a connection is of no more use.
#[derive(Debug, Clone, Error)]
pub(super) enum Broken {
    /// The node closed it, or what it says ends.
    #[error("the connection was closed")]
    Closed,
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
    /// What came can't be understood.
    #[error("what it says cannot be read: {0}")]
    Unreadable(String),
    /// It answered something else than what was asked.
    #[error("it answered something else than what was asked")]
    OtherAnswer,
    /// It refused.
    #[error("it answered {0:?}")]
    Refused(ResponseCode),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Takes what comes without being asked for; the last is why nothing more comes.
pub(super) type Sink = Box<dyn Fn(Result<Response, Broken>) + Send + Sync>;

#[derive(Default)]
struct Asked {
    waiting: HashMap<u32, oneshot::Sender<Response>>,
    /// Nothing more will come.
    ended: bool,
}

/// A connection, logged in and open.
pub(super) struct Client {
    write: AsyncMutex<OwnedWriteHalf>,
    asked: Arc<Mutex<Asked>>,
    next: AtomicU32,
    properties: HashMap<String, String>,
    reader: tokio::task::JoinHandle<()>,
}

fn locked(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Speaks over a connection that was just made.
    pub(super) async fn over(
        stream: TcpStream,
        user: &str,
        password: &str,
        vhost: &str,
        sink: Sink,
    ) -> Result<Self, Broken> {
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let asked = Arc::new(Mutex::new(Asked::default()));
        let (tuned, mut tune) = mpsc::unbounded_channel();
        let reader = tokio::spawn(listen(read, Arc::clone(&asked), tuned, sink));
        let mut client = Self {
            write: AsyncMutex::new(write),
            asked,
            next: AtomicU32::new(1),
            properties: HashMap::new(),
            reader,
        };
        let mine = [
            ("product", "loadgen"),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        let mine = mine.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let theirs = client.ask(|id| PeerPropertiesCommand::new(id, mine.into()).into());
        client.properties = match theirs.await? {
            ResponseKind::PeerProperties(theirs) => theirs.server_properties,
            _ => return Err(Broken::OtherAnswer),
        };
        client
            .ask(|id| SaslHandshakeCommand::new(id).into())
            .await?;
        let secret = format!("\0{user}\0{password}").into_bytes();
        let login = |id| SaslAuthenticateCommand::new(id, "PLAIN".to_owned(), secret).into();
        client.accepted(login).await?;
        let offered: TunesCommand = tune.recv().await.ok_or(Broken::Closed)?;
        // No heartbeats: a run ends when it ends, and a dead node's connection breaks.
        client
            .send(TunesCommand::new(offered.max_frame_size, 0).into())
            .await?;
        match client
            .ask(|id| OpenCommand::new(id, vhost.to_owned()).into())
            .await?
        {
            ResponseKind::Open(open) if open.is_ok() => Ok(client),
            ResponseKind::Open(open) => Err(Broken::Refused(open.code().clone())),
            _ => Err(Broken::OtherAnswer),
        }
    }

    /// What the node says of itself.
    pub(super) fn properties(&self) -> &HashMap<String, String> {
        &self.properties
    }

    pub(super) async fn create(
        &self,
        name: &str,
        arguments: HashMap<String, String>,
    ) -> Result<(), Broken> {
        let name = name.to_owned();
        self.accepted(|id| CreateStreamCommand::new(id, name, arguments).into())
            .await
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Broken> {
        self.accepted(|id| Delete::new(id, name.to_owned()).into())
            .await
    }

    pub(super) async fn metadata(&self, names: Vec<String>) -> Result<MetadataResponse, Broken> {
        match self
            .ask(|id| MetadataCommand::new(id, names).into())
            .await?
        {
            ResponseKind::Metadata(found) => Ok(found),
            _ => Err(Broken::OtherAnswer),
        }
    }

    pub(super) async fn declare_publisher(&self, publisher: u8, name: &str) -> Result<(), Broken> {
        let name = name.to_owned();
        self.accepted(|id| DeclarePublisherCommand::new(id, publisher, None, name).into())
            .await
    }

    pub(super) async fn subscribe(
        &self,
        subscription: u8,
        name: &str,
        from: OffsetSpecification,
        credit: u16,
    ) -> Result<(), Broken> {
        let name = name.to_owned();
        let none = HashMap::new();
        self.accepted(|id| SubscribeCommand::new(id, subscription, name, from, credit, none).into())
            .await
    }

    /// Sends messages, all in one frame.
    pub(super) async fn publish(
        &self,
        publisher: u8,
        messages: Vec<PublishedMessage>,
    ) -> Result<(), Broken> {
        self.send(PublishCommand::new(publisher, messages, 1).into())
            .await
    }

    /// Allows another chunk.
    pub(super) async fn credit(&self, subscription: u8) -> Result<(), Broken> {
        self.send(CreditCommand::new(subscription, 1).into()).await
    }

    pub(super) async fn close(&self) -> Result<(), Broken> {
        let why = "done".to_owned();
        self.ask(|id| CloseRequest::new(id, ResponseCode::Ok, why).into())
            .await
            .map(|_| ())
    }

    /// Asks, and fails unless the answer is yes.
    async fn accepted(&self, ask: impl FnOnce(u32) -> Request) -> Result<(), Broken> {
        match self.ask(ask).await? {
            ResponseKind::Generic(answer) if answer.is_ok() => Ok(()),
            ResponseKind::Generic(answer) => Err(Broken::Refused(answer.code().clone())),
            _ => Err(Broken::OtherAnswer),
        }
    }

    async fn ask(&self, ask: impl FnOnce(u32) -> Request) -> Result<ResponseKind, Broken> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (to, answer) = oneshot::channel();
        {
            let mut asked = locked(&self.asked);
            if asked.ended {
                return Err(Broken::Closed);
            }
            asked.waiting.insert(id, to);
        }
        self.send(ask(id)).await?;
        answer.await.map(Response::kind).map_err(|_| Broken::Closed)
    }

    async fn send(&self, request: Request) -> Result<(), Broken> {
        let mut frame = Vec::with_capacity(request.encoded_size() as usize + 4);
        request
            .encode(&mut frame)
            .map_err(|error| Broken::Io(format!("cannot encode: {error:?}")))?;
        self.write.lock().await.write_all(&frame).await?;
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads until nothing more comes.
async fn listen(
    mut read: OwnedReadHalf,
    asked: Arc<Mutex<Asked>>,
    tuned: mpsc::UnboundedSender<TunesCommand>,
    sink: Sink,
) {
    let why = follow(&mut read, &asked, &tuned, &sink).await;
    {
        let mut asked = locked(&asked);
        asked.ended = true;
        asked.waiting.clear();
    }
    sink(Err(why));
}

async fn follow(
    read: &mut OwnedReadHalf,
    asked: &Mutex<Asked>,
    tuned: &mpsc::UnboundedSender<TunesCommand>,
    sink: &Sink,
) -> Broken {
    let mut buffer = Vec::with_capacity(READ);
    loop {
        let mut done = 0;
        loop {
            let frame = match frame(&buffer[done..]) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(broken) => return broken,
            };
            done += frame.len();
            let response = match Response::decode(frame) {
                Ok((_, response)) => response,
                Err(error) => return Broken::Unreadable(format!("{error:?}")),
            };
            match (response.correlation_id(), response.kind_ref()) {
                (_, ResponseKind::Heartbeat(_)) => {}
                (_, ResponseKind::Tunes(offered)) => {
                    // Nobody waits for a second one.
                    let _ =
                        tuned.send(TunesCommand::new(offered.max_frame_size, offered.heartbeat));
                }
                (Some(id), _) => {
                    let waiting = locked(asked).waiting.remove(&id);
                    // Whoever asked may have given up waiting.
                    let _ = waiting.map(|to| to.send(response));
                }
                (None, _) => sink(Ok(response)),
            }
        }
        buffer.drain(..done);
        buffer.reserve(READ);
        match read.read_buf(&mut buffer).await {
            Ok(0) => return Broken::Closed,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

/// The first frame of what was read, its length included, once it is whole.
fn frame(read: &[u8]) -> Result<Option<&[u8]>, Broken> {
    let Some((length, rest)) = read.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MOST_FRAME {
        return Err(Broken::Unreadable(format!("a frame of {length} bytes")));
    }
    Ok((rest.len() >= length).then(|| &read[..4 + length]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn frames_are_taken_once_they_are_whole() {
        let read = [0, 0, 0, 2, 7, 8, 0, 0, 0, 1];
        for length in 0..6 {
            assert!(frame(&read[..length]).unwrap().is_none());
        }
        assert_eq!(frame(&read).unwrap().unwrap(), &read[..6]);
        assert!(frame(&read[6..]).unwrap().is_none());
        assert!(frame(b"HTTP/1.1").is_err());
    }
}
