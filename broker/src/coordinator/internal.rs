//! The topics that coordinators keep their state in, and making them.

use std::rc::Rc;

use batch::Compression;
use kafka_protocol::ResponseError;
use metadata::CreateTopic;
use uuid::Uuid;

use super::host::Limits;
use crate::config::{BrokerConfig, InternalTopic};
use crate::shard::Shard;

/// A topic of the broker's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Internal {
    /// Groups and their offsets.
    ConsumerOffsets,
    /// Transactions.
    TransactionState,
    /// What share groups have of partitions.
    ShareGroupState,
}

impl Internal {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::ConsumerOffsets,
        Self::TransactionState,
        Self::ShareGroupState,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsumerOffsets => "__consumer_offsets",
            Self::TransactionState => "__transaction_state",
            Self::ShareGroupState => "__share_group_state",
        }
    }

    /// The one of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// What its coordinators are bound by.
    pub(super) fn limits(self, config: &BrokerConfig) -> Limits {
        let of = &config.coordinators;
        let groups = Limits {
            commit_timeout_ms: of.commit_timeout_ms,
            compression: of.offsets_compression,
            load_step: of.load_step,
        };
        match self {
            Self::ConsumerOffsets => groups,
            Self::TransactionState => Limits {
                compression: Compression::None,
                ..groups
            },
            Self::ShareGroupState => Limits {
                commit_timeout_ms: of.share_commit_timeout_ms,
                compression: of.share_compression,
                load_step: of.share_load_step,
            },
        }
    }

    fn layout(self, config: &BrokerConfig) -> &InternalTopic {
        match self {
            Self::ConsumerOffsets => &config.coordinators.offsets_topic,
            Self::TransactionState => &config.coordinators.transactions_topic,
            Self::ShareGroupState => &config.coordinators.share_topic,
        }
    }

    /// The command that makes it in a cluster of `nodes`.
    fn command(self, config: &BrokerConfig, nodes: usize) -> CreateTopic {
        let layout = self.layout(config);
        let nodes = i16::try_from(nodes).unwrap_or(i16::MAX).max(1);
        let mut configs = vec![
            ("cleanup.policy", "compact".to_owned()),
            ("segment.bytes", layout.segment_bytes.to_string()),
        ];
        configs.push(match self {
            Self::ConsumerOffsets | Self::ShareGroupState => {
                ("compression.type", "producer".to_owned())
            }
            Self::TransactionState => ("compression.type", "uncompressed".to_owned()),
        });
        if self == Self::TransactionState {
            configs.push(("unclean.leader.election.enable", "false".to_owned()));
        }
        if let Some(min_isr) = layout.min_isr {
            let least = min_isr.min(layout.replication_factor.min(nodes));
            configs.push(("min.insync.replicas", least.to_string()));
        }
        let owned = |(name, value): (&str, String)| (name.to_owned(), Some(value));
        CreateTopic {
            id: Uuid::new_v4(),
            name: self.name().to_owned(),
            partitions: layout.partitions,
            replication_factor: layout.replication_factor.min(nodes),
            assignments: Vec::new(),
            configs: configs.into_iter().map(owned).collect(),
        }
    }
}

impl Shard {
    /// Has an internal topic made that isn't there, unless that is under way.
    pub(crate) fn make_internal(self: &Rc<Self>, topic: Internal) {
        let making = &self.coordinators().making;
        if !making.borrow_mut().insert(topic) {
            return;
        }
        let nodes = self.with_image(|image| image.brokers().len());
        let command = topic.command(&self.settings(), nodes);
        let shard = Rc::clone(self);
        rt::task::spawn(async move {
            let made = shard.create_topic(command, false).await;
            shard.coordinators().making.borrow_mut().remove(&topic);
            let Err(error) = made else {
                return;
            };
            // Another shard or node may have been first, and this one may not know the topic yet.
            let there = shard.routes().by_name(topic.name()).is_some()
                || error.code() == ResponseError::TopicAlreadyExists.code();
            if !there {
                tracing::warn!(topic = topic.name(), %error, "an internal topic could not be made; the next client that needs it has it tried again");
            }
        })
        .detach();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::config::Layers;

    fn setting<'a>(command: &'a CreateTopic, name: &str) -> Option<&'a str> {
        let found = command.configs.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.as_deref())
    }

    #[test]
    fn internal_topics_are_kafkas() {
        let config = BrokerConfig::resolve(&Layers::defaults()).unwrap();
        let offsets = Internal::ConsumerOffsets.command(&config, 5);
        assert_eq!((offsets.partitions, offsets.replication_factor), (50, 3));
        assert_eq!(setting(&offsets, "cleanup.policy"), Some("compact"));
        assert_eq!(setting(&offsets, "segment.bytes"), Some("104857600"));
        assert_eq!(setting(&offsets, "compression.type"), Some("producer"));
        assert_eq!(setting(&offsets, "min.insync.replicas"), None);
        let state = Internal::TransactionState.command(&config, 5);
        assert_eq!((state.partitions, state.replication_factor), (50, 3));
        assert_eq!(setting(&state, "compression.type"), Some("uncompressed"));
        assert_eq!(
            setting(&state, "unclean.leader.election.enable"),
            Some("false")
        );
        assert_eq!(setting(&state, "min.insync.replicas"), Some("2"));
        let share = Internal::ShareGroupState.command(&config, 5);
        assert_eq!((share.partitions, share.replication_factor), (50, 3));
        assert_eq!(setting(&share, "cleanup.policy"), Some("compact"));
        assert_eq!(setting(&share, "segment.bytes"), Some("104857600"));
        assert_eq!(setting(&share, "min.insync.replicas"), Some("2"));
    }

    #[test]
    fn small_clusters_get_what_they_have_room_for() {
        let config = BrokerConfig::resolve(&Layers::defaults()).unwrap();
        let alone = Internal::TransactionState.command(&config, 1);
        assert_eq!(alone.replication_factor, 1);
        assert_eq!(setting(&alone, "min.insync.replicas"), Some("1"));
        let pair = Internal::TransactionState.command(&config, 2);
        assert_eq!(pair.replication_factor, 2);
        assert_eq!(setting(&pair, "min.insync.replicas"), Some("2"));
    }

    #[test]
    fn names_lead_back_to_their_topics() {
        for topic in Internal::ALL {
            assert_eq!(Internal::of_name(topic.name()), Some(topic));
        }
        assert_eq!(Internal::of_name("__other"), None);
    }
}
