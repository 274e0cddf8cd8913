//! RabbitMQ's streams, by their own protocol.
//!
//! Owns the mapping of a workload to it: a partition is a stream, a record an AMQP 1.0 message with its value as
//! data, an acknowledgement a publish confirm. It must never send a record twice: what isn't confirmed is reported
//! as failed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::time::Duration;

use rabbitmq_stream_protocol::ResponseCode;

use self::client::{Broken, Client};
use super::rabbitmq::runtime::{self, within};
use super::rabbitmq::{self, Access, Options};
use super::{ConsumerJob, Driver, DriverError, ProducerJob, SystemInfo, Target};
use crate::workload::Workload;

mod client;
mod consume;
mod flight;
mod link;
mod produce;

const PORT: u16 = 5552;
/// Chunks a consumer may be sent ahead of what it has read.
const CREDIT: usize = 10;
/// Publishers or subscriptions of a connection: their ids are a byte.
const PER_LINK: usize = 200;
/// Bytes of a frame; nodes allow 1 MiB unless told otherwise.
const FRAME_BYTES: usize = 1 << 20;
/// What is left of a frame for records.
const MOST_BATCH: usize = FRAME_BYTES - 64 * 1024;
/// The application property that a record's key is in.
const KEY: &str = "key";
const KNOWN: &str = "credit, window, user, password, vhost";

/// RabbitMQ's streams, spoken to by their own protocol.
#[derive(Debug)]
pub struct Streams {
    access: Access,
    credit: u16,
    window: Option<usize>,
}

/// Where a stream's leader is.
type Place = (String, u16);

impl Streams {
    /// Takes the options `credit` (chunks on their way to a consumer), `window` (unconfirmed records of a
    /// producer), `user`, `password` and `vhost`.
    pub fn new(target: &Target) -> Result<Self, DriverError> {
        let mut options = Options::of("rabbitmq-stream", target);
        let credit = options
            .number("credit", usize::from(u16::MAX))?
            .unwrap_or(CREDIT);
        let window = options.number("window", 1 << 24)?;
        let access = options.access(target, PORT)?;
        options.finish(KNOWN)?;
        Ok(Self {
            access,
            credit: u16::try_from(credit).unwrap_or(u16::MAX),
            window,
        })
    }

    fn check(&self, workload: &Workload) -> Result<(), DriverError> {
        rabbitmq::check(workload, self.access.nodes.len())?;
        if workload.fsync {
            return Err(DriverError::Unsupported(
                "RabbitMQ never syncs a stream to the drive before it confirms".to_owned(),
            ));
        }
        let largest = workload.record_bytes.max(workload.record_bytes_max);
        if largest > MOST_BATCH {
            return Err(DriverError::Unsupported(format!(
                "a record of {largest} bytes doesn't fit into a frame of RabbitMQ's streams ({FRAME_BYTES} bytes)"
            )));
        }
        Ok(())
    }

    fn arguments(&self, workload: &Workload) -> Result<HashMap<String, String>, DriverError> {
        let settings = rabbitmq::stream_settings(workload)?.into_iter();
        let mut arguments: HashMap<_, _> = settings
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if workload.replicas > 1 {
            arguments.insert(
                "initial-cluster-size".to_owned(),
                workload.replicas.to_string(),
            );
        }
        Ok(arguments)
    }

    /// A connection to any of the nodes, for questions.
    async fn any(&self) -> Result<Client, DriverError> {
        let (host, port) = &self.access.nodes[0];
        link::connect(&self.access, host, *port, Box::new(|_| ())).await
    }

    /// Where the leader of each of these streams is. With one node that is where we were told it is, whatever the
    /// node thinks its address is.
    async fn leaders(&self, names: &[String]) -> Result<Vec<Place>, DriverError> {
        if let [only] = &self.access.nodes[..] {
            return Ok(vec![only.clone(); names.len()]);
        }
        let client = self.any().await?;
        let asked = client.metadata(names.to_vec());
        let found = within("cannot find the streams' leaders", asked).await?;
        let place = |name: &String| {
            let mut all = found.stream_metadata.iter();
            let stream =
                all.find(|stream| stream.stream_name == *name && stream.code == ResponseCode::Ok);
            let leader = stream.and_then(|stream| {
                let leader = stream.leader_reference;
                found
                    .brokers
                    .iter()
                    .find(|broker| broker.reference == leader)
            });
            let leader = leader
                .ok_or_else(|| DriverError::Failed(format!("stream {name} has no leader")))?;
            Ok((
                leader.host.clone(),
                u16::try_from(leader.port).unwrap_or(PORT),
            ))
        };
        let places = names.iter().map(place).collect();
        close(&client).await;
        places
    }
}

/// Connections to the leaders of streams, and which each stream uses under which id.
struct Links {
    clients: Vec<Client>,
    /// For each stream the number of its client, and its id there.
    of: Vec<(usize, u8)>,
}

impl Links {
    /// As many connections as are needed; their events go to `events`.
    async fn open(
        access: &Access,
        places: &[Place],
        events: &tokio::sync::mpsc::UnboundedSender<link::Event>,
    ) -> Result<Self, DriverError> {
        let plan = plan(places, PER_LINK);
        let mut clients = Vec::new();
        for (host, port) in &plan.places {
            let sink = link::sink(clients.len(), events.clone());
            clients.push(link::connect(access, host, *port, sink).await?);
        }
        Ok(Self {
            clients,
            of: plan.of,
        })
    }

    async fn close(&self) {
        for client in &self.clients {
            close(client).await;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct LinkPlan {
    /// Where each connection goes.
    places: Vec<Place>,
    /// For each stream its connection, and its id there.
    of: Vec<(usize, u8)>,
}

/// Shares connections among the streams of a node, as far as ids reach.
fn plan(places: &[Place], per_link: usize) -> LinkPlan {
    let mut open: BTreeMap<&Place, (usize, usize)> = BTreeMap::new();
    let mut found = LinkPlan {
        places: Vec::new(),
        of: Vec::new(),
    };
    for place in places {
        let (link, used) = open.entry(place).or_insert((0, per_link));
        if *used == per_link {
            *link = found.places.len();
            *used = 0;
            found.places.push(place.clone());
        }
        found
            .of
            .push((*link, u8::try_from(*used).unwrap_or(u8::MAX)));
        *used += 1;
    }
    found
}

fn failed(what: impl Display) -> impl FnOnce(Broken) -> DriverError {
    move |error| DriverError::Failed(format!("{what}: {error}"))
}

/// Closes what is still open. A connection that is lost already has nothing to be said about here.
async fn close(client: &Client) {
    let _ = tokio::time::timeout(Duration::from_secs(5), client.close()).await;
}

async fn delete(client: &Client, name: &str) -> Result<(), DriverError> {
    let gone = async {
        match client.delete(name).await {
            Err(Broken::Refused(ResponseCode::StreamDoesNotExist)) => Ok(()),
            other => other,
        }
    };
    within(&format!("cannot delete stream {name}"), gone).await
}

fn names(workload: &Workload) -> Vec<String> {
    let each = rabbitmq::partitions(workload).into_iter();
    each.map(|(topic, partition)| rabbitmq::queue_name(workload, topic, partition))
        .collect()
}

impl Driver for Streams {
    fn describe(&self) -> Result<SystemInfo, DriverError> {
        let mut properties = runtime::run(None, async {
            let client = self.any().await?;
            let properties = client.properties().clone();
            close(&client).await;
            Ok(properties)
        })?;
        let mut settings = BTreeMap::new();
        let mut put = |name: &str, value: &str| settings.insert(name.to_owned(), value.to_owned());
        put("queue", "stream");
        put(
            "messages",
            "AMQP 1.0 with one data section, many in a frame, no sub-entries",
        );
        put(
            "confirmed when",
            "handed to the operating system by a majority of replicas, never synced",
        );
        put("credit", &self.credit.to_string());
        if let Some(window) = self.window {
            put("unconfirmed records of a producer", &window.to_string());
        }
        if let Some(platform) = properties.get("platform") {
            put("platform", platform);
        }
        Ok(SystemInfo {
            product: properties.remove("product").unwrap_or_default(),
            version: properties.remove("version").unwrap_or_default(),
            brokers: self.access.nodes.len(),
            settings,
        })
    }

    fn prepare(&self, workload: &Workload) -> Result<(), DriverError> {
        self.check(workload)?;
        let arguments = self.arguments(workload)?;
        runtime::run(None, async {
            let client = self.any().await?;
            for name in names(workload) {
                delete(&client, &name).await?;
                let what = format!("cannot make stream {name}");
                within(&what, client.create(&name, arguments.clone())).await?;
            }
            close(&client).await;
            Ok(())
        })
    }

    fn clean_up(&self, workload: &Workload) -> Result<(), DriverError> {
        runtime::run(None, async {
            let client = self.any().await?;
            for name in names(workload) {
                delete(&client, &name).await?;
            }
            close(&client).await;
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

    fn streams(options: &[(&str, &str)]) -> Result<Streams, DriverError> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Streams::new(&Target {
            driver: "rabbitmq-stream".to_owned(),
            brokers: vec!["127.0.0.1".to_owned()],
            name: "rabbitmq-stream".to_owned(),
            options: options.iter().map(own).collect(),
        })
    }

    #[test]
    fn options_have_defaults_and_are_checked() {
        let found = streams(&[]).unwrap();
        assert_eq!((found.credit, found.window), (10, None));
        assert_eq!(found.access.address(0), "127.0.0.1:5552");
        assert_eq!(streams(&[("credit", "3")]).unwrap().credit, 3);
        assert!(streams(&[("credit", "0")]).is_err());
        assert!(streams(&[("queue", "stream")]).is_err());
    }

    #[test]
    fn what_streams_cannot_do_is_unsupported() {
        let workload = Workload {
            topic: "run".to_owned(),
            ..Workload::default()
        };
        let found = streams(&[]).unwrap();
        found.check(&workload).unwrap();
        let refuses =
            |workload: Workload| matches!(found.check(&workload), Err(DriverError::Unsupported(_)));
        assert!(refuses(Workload {
            fsync: true,
            ..workload.clone()
        }));
        assert!(refuses(Workload {
            record_bytes_max: 1 << 20,
            ..workload.clone()
        }));
        assert!(refuses(Workload {
            replicas: 2,
            ..workload
        }));
    }

    #[test]
    fn streams_of_a_node_share_connections_as_far_as_ids_reach() {
        let place = |port| ("h".to_owned(), port);
        let found = plan(&[place(1), place(2), place(1), place(1), place(2)], 2);
        assert_eq!(found.places, [place(1), place(2), place(1)]);
        assert_eq!(found.of, [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1)]);
    }
}
