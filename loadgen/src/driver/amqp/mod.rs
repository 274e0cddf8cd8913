//! RabbitMQ by AMQP 0-9-1: classic queues, quorum queues, and streams as queues.
//!
//! Owns the mapping of a workload to AMQP: a partition is a durable queue, a record a persistent message sent
//! through the default exchange, an acknowledgement a publisher confirm. It must never send a record twice: what
//! isn't confirmed is reported as failed.

use std::fmt::Display;
use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};

use super::rabbitmq::runtime::{self, within};
use super::rabbitmq::{self, ANSWER_WITHIN, Access, Options};
use super::{ConsumerJob, Driver, DriverError, ProducerJob, SystemInfo, Target};
use crate::workload::Workload;

mod consume;
mod hello;
mod produce;

const PORT: u16 = 5672;
/// Most channels of a connection; RabbitMQ's own limit is 2,047. Queues share channels above it.
const MOST_CHANNELS: usize = 512;
/// Unacknowledged messages a consumer may have, unless `prefetch` says otherwise.
const PREFETCH: usize = 1000;
/// The header that a record's key is in.
const KEY: &str = "key";
const KNOWN: &str = "queue, prefetch, window, user, password, vhost";

/// What a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Classic,
    Quorum,
    Stream,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    /// When RabbitMQ confirms a persistent message, by its documentation and its sources.
    fn confirmed_when(self, version: &str) -> &'static str {
        match self {
            Self::Classic if syncs_classic(version) => {
                "written and synced to the drive, many at once, or already acknowledged by a consumer"
            }
            Self::Classic => {
                "handed to the operating system, not synced, or already acknowledged by a consumer"
            }
            Self::Quorum => "synced to the drive (write-ahead log) by a majority of replicas",
            Self::Stream => {
                "handed to the operating system by a majority of replicas, never synced"
            }
        }
    }
}

/// Classic queues synced before they confirmed up to 3.12; the message store and version 2 of the index no longer do.
fn syncs_classic(version: &str) -> bool {
    let mut numbers = version
        .split('.')
        .map(|text| text.parse::<u32>().unwrap_or(0));
    let major = numbers.next().unwrap_or(0);
    major == 3 && numbers.next().unwrap_or(0) < 13
}

/// RabbitMQ, spoken to by AMQP 0-9-1.
#[derive(Debug)]
pub struct Amqp {
    access: Access,
    kind: Kind,
    prefetch: u16,
    window: Option<usize>,
}

impl Amqp {
    /// Takes the options `queue` (classic, quorum, stream), `prefetch`, `window` (unconfirmed records of a
    /// producer), `user`, `password` and `vhost`.
    pub fn new(target: &Target) -> Result<Self, DriverError> {
        let mut options = Options::of("rabbitmq", target);
        let kind = match options.word("queue", &["classic", "quorum", "stream"])? {
            "quorum" => Kind::Quorum,
            "stream" => Kind::Stream,
            _ => Kind::Classic,
        };
        let prefetch = options
            .number("prefetch", usize::from(u16::MAX))?
            .unwrap_or(PREFETCH);
        let window = options.number("window", 1 << 24)?;
        let access = options.access(target, PORT)?;
        options.finish(KNOWN)?;
        Ok(Self {
            access,
            kind,
            prefetch: u16::try_from(prefetch).unwrap_or(u16::MAX),
            window,
        })
    }

    fn check(&self, workload: &Workload) -> Result<(), DriverError> {
        rabbitmq::check(workload, self.access.nodes.len())?;
        match self.kind {
            Kind::Classic if workload.replicas > 1 => Err(DriverError::Unsupported(format!(
                "a classic queue has one replica, and {} were asked for: use queue=quorum",
                workload.replicas
            ))),
            Kind::Stream if workload.fsync => Err(DriverError::Unsupported(
                "RabbitMQ never syncs a stream to the drive before it confirms".to_owned(),
            )),
            Kind::Classic if workload.fsync && !syncs_classic(&self.version()?) => {
                Err(DriverError::Unsupported(
                    "this RabbitMQ doesn't sync a classic queue to the drive before it confirms: use queue=quorum"
                        .to_owned(),
                ))
            }
            _ => Ok(()),
        }
    }

    fn version(&self) -> Result<String, DriverError> {
        Ok(hello::ask(&self.access)?
            .remove("version")
            .unwrap_or_default())
    }

    /// What queues are declared with.
    fn arguments(&self, workload: &Workload) -> Result<FieldTable, DriverError> {
        let mut arguments = FieldTable::default();
        let mut put = |name: &str, value: AMQPValue| {
            arguments.insert(name.into(), value);
        };
        put("x-queue-type", text(self.kind.name()));
        let replicas = i32::try_from(workload.replicas).unwrap_or(i32::MAX);
        match self.kind {
            Kind::Classic => queues_keep_nothing(workload)?,
            Kind::Quorum => {
                queues_keep_nothing(workload)?;
                put("x-quorum-initial-group-size", AMQPValue::LongInt(replicas));
            }
            Kind::Stream => {
                put("x-initial-cluster-size", AMQPValue::LongInt(replicas));
                for (name, value) in rabbitmq::stream_settings(workload)? {
                    let value = match value.parse() {
                        Ok(number) => AMQPValue::LongLongInt(number),
                        Err(_) => text(&value),
                    };
                    put(&format!("x-{name}"), value);
                }
            }
        }
        Ok(arguments)
    }

    fn uri(&self, node: usize) -> AMQPUri {
        let (host, port) = self.access.nodes[node % self.access.nodes.len()].clone();
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.access.user.clone(),
                    password: self.access.password.clone(),
                },
                host,
                port,
            },
            vhost: self.access.vhost.clone(),
            ..AMQPUri::default()
        }
    }

    /// A connection; workers are dealt out among the nodes.
    async fn connect(&self, worker: usize) -> Result<Connection, DriverError> {
        let node = worker % self.access.nodes.len();
        let address = self.access.address(node);
        let connecting = Connection::connect_uri(self.uri(node), ConnectionProperties::default());
        match tokio::time::timeout(ANSWER_WITHIN, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(match error.kind() {
                ErrorKind::IOError(reason) => DriverError::Unreachable {
                    address,
                    reason: reason.to_string(),
                },
                ErrorKind::ProtocolError(_) => DriverError::Failed(format!(
                    "{address} refused {} on vhost {}: {error}",
                    self.access.user, self.access.vhost
                )),
                _ => DriverError::WrongProtocol {
                    address,
                    protocol: "AMQP 0-9-1",
                    reason: error.to_string(),
                },
            }),
            Err(_) => Err(DriverError::Unreachable {
                address,
                reason: format!("no answer within {ANSWER_WITHIN:?}"),
            }),
        }
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// Queues let go of a record once it is read, so there is no retention to set.
fn queues_keep_nothing(workload: &Workload) -> Result<(), DriverError> {
    let harmless = |name: &&String| name.as_str() == "min.insync.replicas";
    match workload.topic_settings.keys().find(|name| !harmless(name)) {
        None => Ok(()),
        Some(name) => Err(DriverError::Unsupported(format!(
            "a RabbitMQ queue has no setting like {name}: it keeps a record until it is acknowledged"
        ))),
    }
}

fn failed(what: impl Display) -> impl FnOnce(lapin::Error) -> DriverError {
    move |error| DriverError::Failed(format!("{what}: {error}"))
}

/// Closes what is still open. A connection that is lost already has nothing to be said about here.
async fn close(connection: &Connection) {
    let _ =
        tokio::time::timeout(Duration::from_secs(5), connection.close(200, "done".into())).await;
}

async fn channel(connection: &Connection) -> Result<Channel, DriverError> {
    within("cannot open a channel", connection.create_channel()).await
}

/// Deletes a queue, whatever it holds; one that isn't there counts as deleted.
async fn delete(channel: &Channel, queue: &str) -> Result<(), DriverError> {
    let deleted = channel.queue_delete(queue.into(), QueueDeleteOptions::default());
    let what = format!("cannot delete queue {queue}");
    within(what, deleted).await.map(|_messages| ())
}

async fn channels(connection: &Connection, wanted: usize) -> Result<Vec<Channel>, DriverError> {
    let mut opened = Vec::new();
    for _ in 0..wanted.clamp(1, MOST_CHANNELS) {
        opened.push(channel(connection).await?);
    }
    Ok(opened)
}

impl Driver for Amqp {
    fn describe(&self) -> Result<SystemInfo, DriverError> {
        let mut properties = hello::ask(&self.access)?;
        runtime::run(None, async {
            close(&self.connect(0).await?).await;
            Ok(())
        })?;
        let version = properties.remove("version").unwrap_or_default();
        let mut settings = std::collections::BTreeMap::new();
        let mut put = |name: &str, value: &str| settings.insert(name.to_owned(), value.to_owned());
        put("queue", self.kind.name());
        put(
            "messages",
            "durable queues, delivery mode 2 (persistent), default exchange, mandatory",
        );
        put("confirmed when", self.kind.confirmed_when(&version));
        put("prefetch", &self.prefetch.to_string());
        put("consumers acknowledge", "in batches, after reading");
        if let Some(window) = self.window {
            put("unconfirmed records of a producer", &window.to_string());
        }
        if let Some(platform) = properties.get("platform") {
            put("platform", platform);
        }
        Ok(SystemInfo {
            product: properties.remove("product").unwrap_or_default(),
            version,
            brokers: self.access.nodes.len(),
            settings,
        })
    }

    fn prepare(&self, workload: &Workload) -> Result<(), DriverError> {
        self.check(workload)?;
        let arguments = self.arguments(workload)?;
        runtime::run(None, async {
            let connection = self.connect(0).await?;
            let channel = channel(&connection).await?;
            for (topic, partition) in rabbitmq::partitions(workload) {
                let name = rabbitmq::queue_name(workload, topic, partition);
                delete(&channel, &name).await?;
                let durable = QueueDeclareOptions {
                    durable: true,
                    ..QueueDeclareOptions::default()
                };
                let declare =
                    channel.queue_declare(name.as_str().into(), durable, arguments.clone());
                within(format!("cannot make queue {name}"), declare).await?;
            }
            close(&connection).await;
            Ok(())
        })
    }

    fn clean_up(&self, workload: &Workload) -> Result<(), DriverError> {
        runtime::run(None, async {
            let connection = self.connect(0).await?;
            let channel = channel(&connection).await?;
            for (topic, partition) in rabbitmq::partitions(workload) {
                let name = rabbitmq::queue_name(workload, topic, partition);
                delete(&channel, &name).await?;
            }
            close(&connection).await;
            Ok(())
        })
    }

    fn produce(&self, job: ProducerJob) -> Result<(), DriverError> {
        runtime::work(job.core, job.stop.clone(), produce::run(self, job))
    }

    fn consume(&self, job: ConsumerJob) -> Result<(), DriverError> {
        runtime::work(job.core, job.stop.clone(), consume::run(self, job))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn amqp(options: &[(&str, &str)]) -> Result<Amqp, DriverError> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Amqp::new(&Target {
            driver: "rabbitmq".to_owned(),
            brokers: vec!["127.0.0.1:1".to_owned()],
            name: "rabbitmq".to_owned(),
            options: options.iter().map(own).collect(),
        })
    }

    fn workload() -> Workload {
        Workload {
            topic: "run".to_owned(),
            ..Workload::default()
        }
    }

    #[test]
    fn options_have_defaults_and_are_checked() {
        let found = amqp(&[]).unwrap();
        assert_eq!(
            (found.kind, found.prefetch, found.window),
            (Kind::Classic, 1000, None)
        );
        let found = amqp(&[("queue", "stream"), ("prefetch", "5"), ("window", "10")]).unwrap();
        assert_eq!(
            (found.kind, found.prefetch, found.window),
            (Kind::Stream, 5, Some(10))
        );
        assert!(amqp(&[("queue", "mirrored")]).is_err());
        assert!(amqp(&[("prefetch", "70000")]).is_err());
        assert!(amqp(&[("qeue", "quorum")]).is_err());
    }

    #[test]
    fn what_a_kind_of_queue_cannot_do_is_unsupported() {
        let many = Workload {
            replicas: 3,
            ..workload()
        };
        let is_unsupported =
            |found: Result<(), DriverError>| matches!(found, Err(DriverError::Unsupported(_)));
        assert!(is_unsupported(
            amqp(&[("queue", "quorum")]).unwrap().check(&many)
        ));
        let synced = Workload {
            fsync: true,
            ..workload()
        };
        assert!(is_unsupported(
            amqp(&[("queue", "stream")]).unwrap().check(&synced)
        ));
        amqp(&[("queue", "quorum")])
            .unwrap()
            .check(&synced)
            .unwrap();
        let kept = Workload {
            topic_settings: [("retention.ms".to_owned(), "1000".to_owned())].into(),
            ..workload()
        };
        assert!(amqp(&[]).unwrap().arguments(&kept).is_err());
        let made = amqp(&[("queue", "stream")])
            .unwrap()
            .arguments(&kept)
            .unwrap();
        assert_eq!(made.inner().get("x-max-age"), Some(&text("1s")));
    }

    #[test]
    fn classic_queues_synced_until_3_12() {
        assert!(syncs_classic("3.10.8"));
        assert!(syncs_classic("3.9"));
        assert!(!syncs_classic("3.13.0"));
        assert!(!syncs_classic("4.1.2"));
        assert!(!syncs_classic("?"));
    }
}
