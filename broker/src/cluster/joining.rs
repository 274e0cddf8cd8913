//! How this node becomes a part of the cluster and stays one: it finds out whether there is one, registers,
//! says now and then that it is alive, and takes its leave.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use metadata::{AdoptTopic, Heartbeat, RegisterBroker};

use super::asking::AskError;
use super::links::CallError;
use super::wire::{Call, Inquiry, Reply};
use super::{Cluster, Command, Standing, links};
use crate::meta::{Begin, MetaLogError};
use crate::shard::control::Control;
use crate::shard::{ServeError, Shard};

/// How long another node may take to say what it knows.
const INQUIRY_LIMIT: Duration = Duration::from_secs(1);
/// How long to wait before registering again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often to say why it isn't there yet.
const COMPLAIN: Duration = Duration::from_secs(5);
/// The pause between heartbeats of a node that waits for what they bring.
const IMPATIENT: Duration = Duration::from_millis(20);
/// How long the controller may take to take in a topic.
const ADOPTION_LIMIT: Duration = Duration::from_secs(60);
/// How long the controller may take for a heartbeat.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(2);

impl Cluster {
    /// How this node begins, whose metadata is to be in `dir`.
    ///
    /// # Errors
    /// [`ServeError::Settings`] where it must not begin: it was part of the cluster, and its metadata is
    /// gone.
    pub(crate) async fn beginning(&self, shard: &Shard, dir: &Path) -> Result<Begin, ServeError> {
        let config = &shard.node.config;
        if config.internal.is_none() {
            return Ok(Begin::Alone);
        }
        let me = config.node_id;
        let mut voters: Vec<i32> = config.quorum.iter().map(|one| one.node).collect();
        voters.sort_unstable();
        if voters.is_empty() || voters == [me] {
            return Ok(Begin::Alone);
        }
        let first = match voters.contains(&me) {
            true => Begin::Voters(voters.clone()),
            false => Begin::Join,
        };
        if crate::meta::is_begun(dir).await? {
            return Ok(first);
        }
        for other in config.quorum.iter().filter(|one| one.node != me) {
            let Some(known) = self.inquire(other.node).await? else {
                continue;
            };
            if known.cluster_id.is_none() {
                continue;
            }
            if known.registered {
                return Err(ServeError::Settings(format!(
                    "node {me} was part of this cluster, and its metadata is not in {}: a voter that forgot its votes could do harm. If another process runs with this id, give this one another; else give it its data back, or take it out of the cluster (ottla cluster unregister {me}, ottla cluster remove-voter {me})",
                    dir.display()
                )));
            }
            let mut theirs = known.voters;
            theirs.sort_unstable();
            // It was meant to be there from the beginning, and comes late; else it has to be taken in.
            return Ok(if theirs == voters { first } else { Begin::Join });
        }
        Ok(first)
    }

    /// What node `other` knows of the cluster, if it says it.
    async fn inquire(&self, other: i32) -> Result<Option<Inquiry>, ServeError> {
        match self.links.call(other, Call::Inquire, INQUIRY_LIMIT).await {
            Ok(Reply::Inquiry(known)) => Ok(Some(known)),
            Ok(_) => Ok(None),
            Err(error @ CallError::Refused { .. }) => Err(ServeError::Refused(error.to_string())),
            Err(error) => {
                tracing::info!(node = other, %error, "another node doesn't say whether there is a cluster yet");
                Ok(None)
            }
        }
    }
}

impl Control {
    /// Has the quorum's time pass, and its reports come in, until the metadata is closed.
    pub(crate) fn start_quorum(self: &Rc<Self>, tick: Duration) {
        let control = Rc::clone(self);
        self.cluster.links.report_to(Box::new(move |node, report| {
            control.meta.change_quorum(|quorum| match report {
                links::Report::Unreachable => quorum.unreachable(node),
                links::Report::Snapshot(arrived) => quorum.report_snapshot(node, arrived),
            });
        }));
        let control = Rc::clone(self);
        rt::task::spawn(async move {
            while control.meta.closed().is_none() {
                rt::time::sleep(tick).await;
                control.meta.tick();
            }
        })
        .detach();
    }

    /// Registers this node, and waits until its own metadata says so.
    pub(crate) async fn join(
        &self,
        shard: &Rc<Shard>,
        registration: RegisterBroker,
    ) -> Result<(), ServeError> {
        let begun = rt::time::now();
        let mut complained = begun;
        let patience = Duration::from_millis(shard.settings().session_timeout_ms) * 2;
        let (epoch, offset) = loop {
            if let Some(why) = self.meta.closed() {
                return Err(MetaLogError::NotOpened(why).into());
            }
            let call = Call::Register(registration.clone());
            let why = match self.ask(shard, call, COMPLAIN).await {
                Ok(Reply::Registered { epoch, offset }) => break (epoch, offset),
                Ok(Reply::Refused { code, message }) => {
                    let duplicate = code == ResponseError::DuplicateBrokerRegistration.code();
                    // Its own process before may be thought alive for a session.
                    if !duplicate || begun.elapsed() > patience {
                        return Err(ServeError::Refused(message));
                    }
                    message
                }
                Ok(other) => format!("{other:?}"),
                Err(AskError::NoController(why) | AskError::Unknown(why)) => why,
            };
            if complained.elapsed() >= COMPLAIN {
                complained = rt::time::now();
                tracing::warn!(why, "not taken into the cluster yet");
            }
            rt::time::sleep(AGAIN).await;
        };
        self.cluster.standing.set(Standing {
            epoch,
            ..Standing::default()
        });
        Ok(self.meta.applied_to(offset).await?)
    }

    /// Takes in a topic that was found on this node's drives.
    pub(crate) async fn adopt(
        &self,
        shard: &Rc<Shard>,
        command: AdoptTopic,
    ) -> Result<(), ServeError> {
        let (topic, partitions) = (command.name.clone(), command.partitions.len());
        let call = Call::Command {
            command: Command::AdoptTopic(command),
            validate_only: false,
        };
        match self.ask(shard, call, ADOPTION_LIMIT).await {
            Ok(Reply::Changed { offset, .. }) => {
                tracing::info!(topic, partitions, "took in a topic found on the drives");
                Ok(self.meta.applied_to(offset).await?)
            }
            Ok(Reply::Refused { message, .. }) => {
                tracing::warn!(
                    topic,
                    why = message,
                    "a topic found on the drives stays as it is, not served"
                );
                Ok(())
            }
            Ok(other) => Err(ServeError::Refused(format!("{other:?}"))),
            Err(error) => Err(ServeError::Refused(error.to_string())),
        }
    }

    /// Says that this node is alive until the metadata is closed.
    pub(crate) async fn beat_for_ever(self: Rc<Self>, shard: Rc<Shard>) {
        while self.meta.closed().is_none() {
            let (turned, hurry) = (self.meta.turned(), self.cluster.hurry.notified());
            let before = self.cluster.standing.get();
            let after = self.beat(&shard, before).await;
            if after != before {
                self.cluster.standing.set(after);
                self.cluster.standing_changed.notify_waiters();
            }
            let stopping = self.cluster.stopping.get();
            let waits = !after.unfenced || (stopping && !after.may_stop);
            let pause = match waits {
                true => IMPATIENT,
                false => shard.settings().heartbeat_interval,
            };
            let woken = futures_lite::future::or(turned, hurry);
            let _ = rt::time::timeout(pause, woken).await;
        }
    }

    async fn beat(&self, shard: &Rc<Shard>, before: Standing) -> Standing {
        let heartbeat = Heartbeat {
            node: shard.node_id(),
            broker_epoch: before.epoch,
            metadata_offset: self.applied(),
            want_fence: false,
            want_shutdown: self.cluster.stopping.get(),
            offline_drives: shard.failed_drives().await,
        };
        match self
            .ask(shard, Call::Heartbeat(heartbeat), HEARTBEAT_LIMIT)
            .await
        {
            Ok(Reply::Heartbeat {
                fenced, may_stop, ..
            }) => Standing {
                epoch: before.epoch,
                unfenced: !fenced,
                may_stop,
            },
            Ok(Reply::Refused { message, .. }) => {
                tracing::warn!(
                    why = message,
                    "the controller takes no heartbeat of this node"
                );
                rt::time::sleep(AGAIN).await;
                before
            }
            Ok(other) => {
                tracing::warn!(?other, "an answer that doesn't belong to a heartbeat");
                before
            }
            Err(error) => {
                tracing::debug!(%error, "a heartbeat did not arrive");
                before
            }
        }
    }

    /// Has the next heartbeat be said at once.
    pub(crate) fn hurry(&self) {
        self.cluster.hurry.notify_one();
    }

    /// Waits until this node may lead.
    pub(crate) async fn unfenced(&self) {
        while !self.cluster.standing.get().unfenced {
            self.cluster.standing_changed.notified().await;
        }
    }

    /// Gives away what this node leads, partitions and the quorum, if others can take it.
    pub(crate) async fn take_leave(&self, shard: &Shard, limit: Duration) {
        let me = shard.node_id();
        let others = {
            let image = self.meta.image();
            image
                .brokers()
                .values()
                .any(|broker| broker.node_id != me && broker.is_active())
        };
        if !others {
            return;
        }
        self.cluster.stopping.set(true);
        self.hurry();
        let left = async {
            while !self.cluster.standing.get().may_stop {
                self.cluster.standing_changed.notified().await;
            }
        };
        if rt::time::timeout(limit, left).await.is_err() {
            tracing::warn!(
                "others could not take over in time all that this node leads; it stops all the same"
            );
        }
        self.hand_quorum_over(me).await;
    }

    async fn hand_quorum_over(&self, me: i32) {
        let next = self.meta.with_quorum(|quorum| {
            let progress = quorum.progress();
            let voters = quorum.membership().voters.clone();
            let fit = progress
                .into_iter()
                .filter(|one| one.node != me && one.active && voters.contains(&one.node));
            fit.max_by_key(|one| one.matched).map(|one| one.node)
        });
        let Some(next) = next else {
            return;
        };
        let begun = self
            .meta
            .change_quorum(|quorum| quorum.transfer_leader(next));
        if begun.is_err() {
            return;
        }
        let gone = async {
            while self.meta.leads() {
                self.meta.turned().await;
            }
        };
        let _ = rt::time::timeout(HEARTBEAT_LIMIT, gone).await;
    }

    /// Ends the connections to other nodes.
    pub(crate) fn part(&self) {
        self.cluster.links.close();
    }
}
