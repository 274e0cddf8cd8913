//! Brokers that join the cluster. Pure, like `core`; codes are Kafka's.
//!
//! Each start of a broker is an incarnation and gets an epoch of its own, by which later requests
//! of an earlier one are known. It starts fenced: it leads nothing and is in no set of in-sync
//! replicas that has other members, whether the one before it stopped cleanly or lost what the
//! drives hadn't kept, and comes back into them by catching up. Only a broker that is the only one
//! goes on at once, and where it was.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::core::Controller;
use super::error::MetaError;
use super::record::{
    BrokerRecord, DriveInfo, Endpoint, FeatureRecord, InternalEndpoint, METADATA_VERSION,
    METADATA_VERSION_LEVEL, Record,
};

/// A broker as it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBroker {
    /// The cluster its drives belong to; `None` while they belong to none.
    pub cluster_id: Option<String>,
    /// Its node id, 0 or more.
    pub node_id: i32,
    /// A fresh id of this start of the broker.
    pub incarnation: Uuid,
    /// The machine's start that it runs in; nil when that is unknown.
    pub boot_id: Uuid,
    /// Whether it was stopped cleanly before.
    pub clean: bool,
    /// The lowest and the highest level of `metadata.version` that it can work with.
    pub metadata_versions: (i16, i16),
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// How many shards it runs.
    pub shards: u32,
    /// Its drives.
    pub drives: Vec<DriveInfo>,
    /// Where it listens for clients.
    pub endpoints: Vec<Endpoint>,
    /// Where its shards listen for other brokers: one a shard, or none.
    pub internal_endpoints: Vec<InternalEndpoint>,
}

/// What is known of the life of a broker's last incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It hasn't been heard of for a whole session.
    Silent,
    /// This controller is too young to tell.
    Presumed,
    /// It was heard of within the time of a session.
    Heard,
}

impl Controller<'_> {
    /// Takes a broker into the cluster, fenced; gives its epoch. `before` tells of the incarnation
    /// that is registered now. The same incarnation may register again, to say what has changed:
    /// its epoch and its state stay.
    ///
    /// # Errors
    /// [`MetaError::InconsistentClusterId`], [`MetaError::UnsupportedVersion`],
    /// [`MetaError::InvalidRegistration`], [`MetaError::DuplicateBroker`].
    pub fn register_broker(
        &self,
        command: &RegisterBroker,
        before: Liveness,
    ) -> Result<(i64, Vec<Record>), MetaError> {
        self.check_cluster(command)?;
        let raised = check_version(command, self.image.feature(METADATA_VERSION))?;
        check_shape(command)?;
        self.check_drives(command)?;
        let existing = self.image.broker(command.node_id);
        let same = existing.filter(|broker| broker.incarnation == command.incarnation);
        if let (Some(other), None) = (existing, same) {
            check_alone(command, other, before)?;
        }
        let epoch = same.map_or_else(|| self.image.last_broker_epoch() + 1, |b| b.epoch);
        let mut after = record_of(command, epoch, same);
        if self.is_only(command.node_id) {
            // Nobody could lead or keep up in its place: it goes on where it was.
            after.fenced = false;
        }
        let mut records: Vec<Record> = raised.into_iter().collect();
        if existing != Some(&after) {
            let record = Record::Broker(after.clone());
            records.extend(self.with_partitions(&after, record));
        }
        Ok((epoch, records))
    }

    /// Whether there is no other broker in the cluster.
    fn is_only(&self, node: i32) -> bool {
        self.image.brokers().keys().all(|&other| other == node)
    }

    fn check_cluster(&self, command: &RegisterBroker) -> Result<(), MetaError> {
        match (self.image.cluster_id(), &command.cluster_id) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(MetaError::InconsistentClusterId {
                ours: ours.to_owned(),
                theirs: theirs.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn check_drives(&self, command: &RegisterBroker) -> Result<(), MetaError> {
        let node = command.node_id;
        for drive in &command.drives {
            let mut others = self.image.brokers().values();
            let other = others.find(|other| {
                other.node_id != node && other.drives.iter().any(|theirs| theirs.id == drive.id)
            });
            if let Some(other) = other {
                return invalid(format!(
                    "drive {} ({}) of broker {node} is registered as a drive of broker {}: take \
                     that broker out of the cluster before its drives move to another",
                    drive.id, drive.path, other.node_id
                ));
            }
        }
        Ok(())
    }
}

fn invalid<T>(text: String) -> Result<T, MetaError> {
    Err(MetaError::InvalidRegistration(text))
}

/// Checks the broker's version against the cluster's `level`; gives the record that raises that,
/// where it must be.
fn check_version(command: &RegisterBroker, level: i16) -> Result<Option<Record>, MetaError> {
    // A cluster of level 1 is a single node, which is started with this version now; there is no
    // other that a higher level would lock out.
    let needed = level.max(METADATA_VERSION_LEVEL);
    let (least, most) = command.metadata_versions;
    if !(least..=most).contains(&needed) {
        let node = command.node_id;
        return Err(MetaError::UnsupportedVersion(format!(
            "broker {node} works with {METADATA_VERSION} {least} to {most}, the cluster is at \
             {needed}: {}",
            if most < needed {
                "start a later version of the broker"
            } else {
                "the brokers that are running must be brought to a later version first"
            }
        )));
    }
    Ok((level < needed).then(|| {
        Record::Feature(FeatureRecord {
            name: METADATA_VERSION.to_owned(),
            level: needed,
        })
    }))
}

fn check_shape(command: &RegisterBroker) -> Result<(), MetaError> {
    let node = command.node_id;
    if node < 0 {
        return invalid(format!("{node} can't be a node id; the least is 0"));
    }
    if command.incarnation.is_nil() {
        return invalid(format!("broker {node} names no incarnation"));
    }
    if command.drives.is_empty() {
        return invalid(format!("broker {node} has no drive"));
    }
    let internal = command.internal_endpoints.len();
    if internal != 0 && internal as u64 != u64::from(command.shards) {
        return invalid(format!(
            "broker {node} names {internal} internal addresses for {} shards",
            command.shards
        ));
    }
    for (at, drive) in command.drives.iter().enumerate() {
        let (id, path) = (drive.id, &drive.path);
        if id.is_nil() {
            return invalid(format!("the drive {path} of broker {node} has no id"));
        }
        if drive.shard >= command.shards {
            return invalid(format!(
                "the drive {path} of broker {node} belongs to shard {}, of {} shards from 0 on",
                drive.shard, command.shards
            ));
        }
        if let Some(twin) = command.drives[..at].iter().find(|other| other.id == id) {
            return invalid(format!(
                "the drives {} and {path} of broker {node} have the same id {id}: one is a copy \
                 of the other",
                twin.path
            ));
        }
    }
    Ok(())
}

/// Checks that the process that registered as this node before isn't alive.
fn check_alone(
    command: &RegisterBroker,
    other: &BrokerRecord,
    liveness: Liveness,
) -> Result<(), MetaError> {
    let theirs = |drive: &DriveInfo| other.drives.iter().any(|known| known.id == drive.id);
    let alive = match liveness {
        Liveness::Silent => false,
        // A drive is used by one process at a time: who has one of them follows the other.
        Liveness::Presumed => !command.drives.iter().any(theirs),
        Liveness::Heard => true,
    };
    if other.fenced || !alive {
        return Ok(());
    }
    let at: Vec<String> = other
        .endpoints
        .iter()
        .map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port))
        .collect();
    Err(MetaError::DuplicateBroker(format!(
        "node id {} is in use by another broker, at {}: give this one an id of its own, or if that \
         one has just died, try again when its session is over",
        command.node_id,
        at.join(", ")
    )))
}

/// What is registered; what has happened to the same incarnation since its start stays so.
fn record_of(command: &RegisterBroker, epoch: i64, same: Option<&BrokerRecord>) -> BrokerRecord {
    let failed = same.map_or(&[][..], |broker| &broker.offline_drives);
    let ours = |id: &Uuid| command.drives.iter().any(|drive| drive.id == *id);
    BrokerRecord {
        node_id: command.node_id,
        rack: command.rack.clone(),
        shards: command.shards,
        drives: command.drives.clone(),
        endpoints: command.endpoints.clone(),
        epoch,
        incarnation: command.incarnation,
        boot_id: command.boot_id,
        clean: command.clean,
        internal_endpoints: command.internal_endpoints.clone(),
        fenced: same.is_none_or(|broker| broker.fenced),
        in_controlled_shutdown: same.is_some_and(|broker| broker.in_controlled_shutdown),
        offline_drives: failed.iter().copied().filter(ours).collect(),
    }
}
