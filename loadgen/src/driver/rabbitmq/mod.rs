//! What the two ways of speaking to RabbitMQ share: where a node is and as whom, names of queues, how many
//! records may be unconfirmed, what RabbitMQ can't do.
//!
//! Nothing here speaks a protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{DriverError, Target};
use crate::workload::{Acks, Workload};

pub(super) mod alarm;
pub(super) mod outflow;
pub(super) mod runtime;

/// How long a connection may take to be made, and an answer to a question asked before or after a run.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// How long records on their way are waited for once producers are to end.
pub(super) const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// Where to go, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// Hosts and ports of the nodes.
    pub(super) nodes: Vec<(String, u16)>,
    /// The user.
    pub(super) user: String,
    /// The user's password.
    pub(super) password: String,
    /// The virtual host.
    pub(super) vhost: String,
}

impl Access {
    /// HOST:PORT of a node.
    pub(super) fn address(&self, node: usize) -> String {
        self.nodes
            .get(node)
            .map_or_else(String::new, |(host, port)| {
                if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            })
    }
}

/// Options of a target, taken out one by one; whatever is left is unknown.
#[derive(Debug)]
pub(super) struct Options {
    driver: &'static str,
    left: BTreeMap<String, String>,
}

impl Options {
    pub(super) fn of(driver: &'static str, target: &Target) -> Self {
        Self {
            driver,
            left: target.options.clone(),
        }
    }

    /// One of a few words.
    pub(super) fn word(
        &mut self,
        name: &str,
        known: &[&'static str],
    ) -> Result<&'static str, DriverError> {
        let Some(given) = self.left.remove(name) else {
            return Ok(known[0]);
        };
        known
            .iter()
            .find(|word| **word == given)
            .copied()
            .ok_or_else(|| {
                DriverError::Option(format!(
                    "{} has no {name}={given}: it is one of {}",
                    self.driver,
                    known.join(", ")
                ))
            })
    }

    /// A number, from one on.
    pub(super) fn number(&mut self, name: &str, most: usize) -> Result<Option<usize>, DriverError> {
        let Some(given) = self.left.remove(name) else {
            return Ok(None);
        };
        match given.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(DriverError::Option(format!(
                "{name}={given} is no number from 1 to {most}"
            ))),
        }
    }

    /// Where to go and as whom: `user`, `password` and `vhost`.
    pub(super) fn access(&mut self, target: &Target, port: u16) -> Result<Access, DriverError> {
        if target.brokers.is_empty() {
            return Err(DriverError::Option(format!(
                "{} has no address: give HOST:PORT of a node",
                self.driver
            )));
        }
        let nodes = target.brokers.iter().map(|text| node(text, port));
        let mut text = |name: &str, without: &str| {
            self.left.remove(name).unwrap_or_else(|| without.to_owned())
        };
        Ok(Access {
            nodes: nodes.collect::<Result<_, _>>()?,
            user: text("user", "guest"),
            password: text("password", "guest"),
            vhost: text("vhost", "/"),
        })
    }

    /// Fails when there are options nobody took.
    pub(super) fn finish(self, known: &str) -> Result<(), DriverError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(DriverError::Option(format!(
                "{} has no option {name}: there are {known}",
                self.driver
            ))),
        }
    }
}

/// Host and port of HOST, HOST:PORT, [HOST]:PORT.
fn node(text: &str, port: u16) -> Result<(String, u16), DriverError> {
    let wrong = || {
        DriverError::Option(format!(
            "{text} is no address: give HOST:PORT, and user, password and vhost as options"
        ))
    };
    if text.is_empty() || text.contains('/') || text.contains('@') {
        return Err(wrong());
    }
    let plain = |host: &str| host.trim_matches(['[', ']']).to_owned();
    let bare_v6 = text.matches(':').count() > 1 && !text.starts_with('[');
    match text.rsplit_once(':') {
        Some((host, number)) if !bare_v6 && !text.ends_with(']') => {
            let number = number.parse().map_err(|_| wrong())?;
            if host.is_empty() {
                return Err(wrong());
            }
            Ok((plain(host), number))
        }
        _ => Ok((plain(text), port)),
    }
}

/// The name of a queue or stream.
pub(super) fn queue_name(workload: &Workload, topic: usize, partition: usize) -> String {
    if workload.topics > 1 {
        format!("{}-{topic}-{partition}", workload.topic)
    } else {
        format!("{}-{partition}", workload.topic)
    }
}

/// Every topic and partition of a workload.
pub(super) fn partitions(workload: &Workload) -> Vec<(usize, usize)> {
    let of_topic = |topic| (0..workload.partitions).map(move |partition| (topic, partition));
    (0..workload.topics).flat_map(of_topic).collect()
}

/// Those that a consumer reads.
pub(super) fn share(workload: &Workload, consumer: usize) -> Vec<(usize, usize)> {
    let all = partitions(workload).into_iter().enumerate();
    let mine = |(number, _): &(usize, _)| number % workload.consumers.max(1) == consumer;
    all.filter(mine).map(|(_, partition)| partition).collect()
}

/// How many records of a producer may be unconfirmed: as many as would be in its batches on their way.
pub(super) fn window(workload: &Workload) -> usize {
    let largest = workload.record_bytes.max(workload.record_bytes_max);
    let mean = (workload.record_bytes + largest) / 2;
    let per_batch = (workload.batch_bytes / mean.max(1)).max(1);
    workload.in_flight.max(1) * per_batch
}

/// Whether producers wait for confirms.
pub(super) fn confirms(workload: &Workload) -> bool {
    workload.acks != Acks::None
}

/// Says what RabbitMQ can't do in general, whichever protocol is spoken and whatever kind of queue it is.
pub(super) fn check(workload: &Workload, nodes: usize) -> Result<(), DriverError> {
    if !matches!(workload.compression.as_str(), "" | "none") {
        return Err(DriverError::Unsupported(format!(
            "RabbitMQ does not compress: {} was asked for",
            workload.compression
        )));
    }
    if workload.replicas > nodes {
        return Err(DriverError::Unsupported(format!(
            "{} replicas were asked for, and {nodes} RabbitMQ node(s) given: give an address of every node",
            workload.replicas
        )));
    }
    if workload.topic.is_empty() {
        return Err(DriverError::Failed(
            "the workload's topic has no name".to_owned(),
        ));
    }
    Ok(())
}

/// Retention, as a stream has it. Kafka's names are understood; what cannot be had is said.
pub(super) fn stream_settings(
    workload: &Workload,
) -> Result<Vec<(&'static str, String)>, DriverError> {
    let mut found = Vec::new();
    for (name, value) in &workload.topic_settings {
        let number = || {
            value.parse::<i64>().map_err(|_| {
                DriverError::Unsupported(format!("{name}={value}: a stream needs a number here"))
            })
        };
        match name.as_str() {
            "retention.bytes" if number()? > 0 => found.push(("max-length-bytes", value.clone())),
            "retention.ms" if number()? > 0 => {
                found.push(("max-age", format!("{}s", (number()? / 1000).max(1))));
            }
            "segment.bytes" => found.push(("stream-max-segment-size-bytes", value.clone())),
            // One replica and no limit are what a stream has anyway.
            "min.insync.replicas" | "retention.bytes" | "retention.ms" => {}
            _ => {
                return Err(DriverError::Unsupported(format!(
                    "a RabbitMQ stream has no setting like {name}={value}"
                )));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn target(brokers: &[&str], options: &[(&str, &str)]) -> Target {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Target {
            driver: "rabbitmq".to_owned(),
            brokers: brokers.iter().map(|text| (*text).to_owned()).collect(),
            name: "rabbitmq".to_owned(),
            options: options.iter().map(own).collect(),
        }
    }

    #[test]
    fn addresses_have_a_port_or_get_the_usual_one() {
        assert_eq!(node("there:1", 5672).unwrap(), ("there".to_owned(), 1));
        assert_eq!(node("there", 5672).unwrap(), ("there".to_owned(), 5672));
        assert_eq!(node("[::1]:7", 5672).unwrap(), ("::1".to_owned(), 7));
        assert_eq!(node("[::1]", 5672).unwrap(), ("::1".to_owned(), 5672));
        assert_eq!(node("::1", 5672).unwrap(), ("::1".to_owned(), 5672));
        for wrong in ["", ":1", "there:port", "amqp://there:1", "me@there:1"] {
            assert!(node(wrong, 5672).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_are_taken_and_unknown_ones_are_said() {
        let given = target(
            &["h:1", "h:2"],
            &[("user", "u"), ("queue", "quorum"), ("prefetch", "7")],
        );
        let mut options = Options::of("rabbitmq", &given);
        assert_eq!(
            options.word("queue", &["classic", "quorum"]).unwrap(),
            "quorum"
        );
        assert_eq!(options.number("prefetch", 100).unwrap(), Some(7));
        let access = options.access(&given, 5672).unwrap();
        assert_eq!(access.address(1), "h:2");
        assert_eq!((access.user.as_str(), access.vhost.as_str()), ("u", "/"));
        options.finish("queue").unwrap();

        let given = target(
            &["h:1"],
            &[("queue", "mirrored"), ("prefetch", "0"), ("colour", "red")],
        );
        let mut options = Options::of("rabbitmq", &given);
        let said = options.word("queue", &["classic", "quorum"]).unwrap_err();
        assert!(said.to_string().contains("classic, quorum"), "{said}");
        assert!(options.number("prefetch", 100).is_err());
        let said = options.finish("queue, prefetch").unwrap_err().to_string();
        assert!(
            said.contains("colour") && said.contains("queue, prefetch"),
            "{said}"
        );
    }

    #[test]
    fn a_v6_address_is_shown_in_brackets() {
        let given = target(&["[::1]:7"], &[]);
        let access = Options::of("rabbitmq", &given)
            .access(&given, 5672)
            .unwrap();
        assert_eq!(access.address(0), "[::1]:7");
    }

    #[test]
    fn queues_are_named_after_topic_and_partition() {
        let mut workload = Workload {
            topic: "run".to_owned(),
            ..Workload::default()
        };
        assert_eq!(queue_name(&workload, 0, 3), "run-3");
        workload.topics = 2;
        assert_eq!(queue_name(&workload, 1, 3), "run-1-3");
    }

    #[test]
    fn consumers_share_all_partitions_and_none_twice() {
        let workload = Workload {
            topics: 2,
            partitions: 5,
            consumers: 3,
            ..Workload::default()
        };
        let mut all: Vec<_> = (0..3).flat_map(|one| share(&workload, one)).collect();
        all.sort_unstable();
        assert_eq!(all, partitions(&workload));
        assert_eq!(share(&workload, 0).len(), 4);
    }

    #[test]
    fn the_window_is_what_would_be_in_batches() {
        let mut workload = Workload {
            record_bytes: 100,
            batch_bytes: 16 * 1024,
            in_flight: 5,
            ..Workload::default()
        };
        assert_eq!(window(&workload), 5 * 163);
        workload.record_bytes_max = 300;
        assert_eq!(window(&workload), 5 * 81);
        workload.record_bytes = 100_000;
        assert_eq!(window(&workload), 5);
        workload.in_flight = 0;
        assert_eq!(window(&workload), 1);
    }

    #[test]
    fn what_rabbitmq_cannot_do_is_unsupported() {
        let mut workload = Workload {
            topic: "run".to_owned(),
            ..Workload::default()
        };
        check(&workload, 1).unwrap();
        workload.replicas = 3;
        assert!(matches!(
            check(&workload, 1),
            Err(DriverError::Unsupported(_))
        ));
        check(&workload, 3).unwrap();
        workload.compression = "lz4".to_owned();
        assert!(matches!(
            check(&workload, 3),
            Err(DriverError::Unsupported(_))
        ));
    }

    #[test]
    fn retention_is_translated_for_streams() {
        let mut workload = Workload::default();
        let mut set = |name: &str, value: &str| {
            workload.topic_settings = [(name.to_owned(), value.to_owned())].into();
            stream_settings(&workload)
        };
        assert_eq!(
            set("retention.bytes", "99").unwrap(),
            [("max-length-bytes", "99".to_owned())]
        );
        assert_eq!(
            set("retention.ms", "60000").unwrap(),
            [("max-age", "60s".to_owned())]
        );
        assert!(set("retention.ms", "-1").unwrap().is_empty());
        assert!(set("cleanup.policy", "compact").is_err());
        assert!(set("retention.bytes", "much").is_err());
    }
}
