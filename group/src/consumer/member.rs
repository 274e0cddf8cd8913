//! A member of a consumer group: what it said of itself, and where it stands.

use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use kafka_protocol::protocol::StrBytes;

use crate::Asker;
use crate::assign::Partitions;

/// The epoch of a member that leaves.
pub(crate) const LEAVING: i32 = -1;
/// The epoch of a static member that leaves and will be back.
pub(crate) const LEAVING_FOR_NOW: i32 = -2;

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// What it said of itself.
    pub about: About,
    /// Where it stands.
    pub at: Standing,
}

/// What a member said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// The topics that it wants by name.
    pub topics: BTreeSet<String>,
    /// The topics that it wants by a regular expression, never an empty one.
    pub regex: Option<String>,
    /// How long it may take to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it would like.
    pub assignor: Option<String>,
    /// What a member has that speaks the classic protocol; `None` for one of the consumer protocol.
    pub classic: Option<Rc<Classic>>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            topics: BTreeSet::new(),
            regex: None,
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
        }
    }
}

/// What is known of a member that speaks the classic protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classic {
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// Its protocols by preference, with the metadata of each.
    pub protocols: Vec<(String, Bytes)>,
}

/// What a member has to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    #[default]
    Stable,
    /// To give partitions up.
    UnrevokedPartitions,
    /// To wait for others that give partitions up.
    UnreleasedPartitions,
    /// To begin anew: a later version of the broker wrote a state that this one doesn't know.
    Unknown,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The epoch that its next heartbeat must have.
    pub epoch: i32,
    /// The one before, which it repeats if an answer was lost.
    pub previous_epoch: i32,
    /// What it has to do next.
    pub state: State,
    /// What it has.
    pub assigned: Partitions,
    /// What it has to give up.
    pub revoking: Partitions,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            epoch: 0,
            previous_epoch: -1,
            state: State::default(),
            assigned: Partitions::new(),
            revoking: Partitions::new(),
        }
    }
}

impl Standing {
    /// Whether there is nothing to do in this epoch of the assignment.
    pub(crate) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == State::Stable && self.epoch == epoch
    }

    /// The standing of a static member that left for now.
    pub(crate) fn away(&self) -> Self {
        Self {
            epoch: LEAVING_FOR_NOW,
            revoking: Partitions::new(),
            ..self.clone()
        }
    }

    /// The standing of the static member that takes this one's place.
    pub(crate) fn back(&self) -> Self {
        Self {
            epoch: 0,
            previous_epoch: 0,
            ..self.clone()
        }
    }
}

fn set(to: &mut Option<String>, from: Option<&StrBytes>) {
    if let Some(from) = from
        && to.as_deref() != Some(from.as_str())
    {
        *to = Some(from.as_str().to_owned());
    }
}

impl About {
    /// What a heartbeat makes of it: what the request doesn't name stays.
    pub(crate) fn with(&self, asker: &Asker, request: &ConsumerGroupHeartbeatRequest) -> Self {
        let mut about = self.clone();
        about.client_id.clone_from(&asker.client_id);
        about.client_host.clone_from(&asker.client_host);
        about.classic = None;
        set(&mut about.instance_id, request.instance_id.as_ref());
        set(&mut about.rack_id, request.rack_id.as_ref());
        set(&mut about.assignor, request.server_assignor.as_ref());
        if request.rebalance_timeout_ms != -1 {
            about.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        if let Some(topics) = &request.subscribed_topic_names {
            about.topics = topics
                .iter()
                .map(|topic| topic.as_str().to_owned())
                .collect();
        }
        set(&mut about.regex, request.subscribed_topic_regex.as_ref());
        about.regex = about.regex.filter(|regex| !regex.is_empty());
        about
    }

    /// Whether a heartbeat can't change it, as nearly all of them.
    pub(crate) fn stays_with(
        &self,
        asker: &Asker,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> bool {
        request.rack_id.is_none()
            && request.server_assignor.is_none()
            && request.rebalance_timeout_ms == -1
            && request.subscribed_topic_names.is_none()
            && request.subscribed_topic_regex.is_none()
            && self.classic.is_none()
            && self.client_id == asker.client_id
            && self.client_host == asker.client_host
    }
}
