//! A member of a share group: what it said of itself, and where it stands.

use std::collections::BTreeSet;

use kafka_protocol::messages::ShareGroupHeartbeatRequest;

use crate::Asker;
use crate::assign::Partitions;

/// The epoch of a member that leaves.
pub(super) const LEAVING: i32 = -1;

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// What it said of itself.
    pub about: About,
    /// Where it stands.
    pub at: Standing,
}

/// What a member said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// The topics that it wants.
    pub topics: BTreeSet<String>,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The epoch that its next heartbeat must have.
    pub epoch: i32,
    /// The one before, which it repeats if an answer was lost.
    pub previous_epoch: i32,
    /// What it has.
    pub assigned: Partitions,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            epoch: 0,
            previous_epoch: -1,
            assigned: Partitions::new(),
        }
    }
}

impl About {
    /// What a heartbeat makes of it: what the request doesn't name stays.
    pub(super) fn with(&self, asker: &Asker, request: &ShareGroupHeartbeatRequest) -> Self {
        let mut about = self.clone();
        about.client_id.clone_from(&asker.client_id);
        about.client_host.clone_from(&asker.client_host);
        if let Some(rack) = &request.rack_id {
            about.rack_id = Some(rack.as_str().to_owned());
        }
        if let Some(topics) = &request.subscribed_topic_names {
            let names = topics.iter().map(|topic| topic.as_str().to_owned());
            about.topics = names.collect();
        }
        about
    }

    /// Whether a heartbeat can't change it, as nearly all of them.
    pub(super) fn stays_with(&self, asker: &Asker, request: &ShareGroupHeartbeatRequest) -> bool {
        request.rack_id.is_none()
            && request.subscribed_topic_names.is_none()
            && self.client_id == asker.client_id
            && self.client_host == asker.client_host
    }
}
