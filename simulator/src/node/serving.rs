//! What a replica does for clients: appends, waits, reads, deletes.

use replica::{Ack, LogView, NotServed};

use super::Me;
use super::partition::{Asker, Partition};
use super::sequences::Place;
use crate::env::{Env, tell};
use crate::ledger::is_idempotent;
use crate::log::Record;
use crate::message::ClientReply;
use crate::mutation::Mutation;

/// Somebody who appended and waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    asker: Asker,
    end: i64,
    all: bool,
    /// Producer and sequence.
    record: (u32, u64),
}

impl Partition {
    /// Every replica in sync has what is below an offset.
    pub(super) fn all_have(&mut self, env: &mut Env, high_watermark: i64, enough: bool) {
        let waiters = std::mem::take(&mut self.waiters);
        let (done, waiting) = waiters
            .into_iter()
            .partition(|waiter: &Waiter| waiter.all && waiter.end <= high_watermark);
        self.waiters = waiting;
        let done: Vec<Waiter> = done;
        for waiter in done {
            let reply = match enough {
                true => self.done(env, waiter),
                false => ClientReply::Failed("NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
            };
            self.out.replies.push((waiter.asker, reply));
        }
    }

    fn done(&self, env: &mut Env, waiter: Waiter) -> ClientReply {
        env.ledger.all_have(self.id, waiter.end, waiter.record);
        ClientReply::Produced
    }

    pub(super) fn fail_waiters(&mut self, above: i64, why: &'static str) {
        let out = &mut self.out.replies;
        self.waiters.retain(|waiter| {
            let stays = waiter.end <= above;
            if !stays {
                out.push((waiter.asker, ClientReply::Failed(why)));
            }
            stays
        });
    }

    /// Answers those who wait for the own log only.
    pub(super) fn own_has(&mut self, env: &mut Env) {
        let stable = self.log.stable_end();
        let out = &mut self.out.replies;
        self.waiters.retain(|waiter| {
            let done = !waiter.all && waiter.end <= stable;
            if done {
                env.ledger.count("acknowledged by the leader");
                out.push((waiter.asker, ClientReply::Produced));
            }
            !done
        });
    }

    /// A producer's record.
    pub(crate) fn produce(
        &mut self,
        env: &mut Env,
        me: &Me,
        (asker, all): (Asker, bool),
        (producer, sequence): (u32, u64),
    ) {
        let refused = match self.replica.check_append(all) {
            _ if me.full => Some("KAFKA_STORAGE_ERROR"),
            Ok(()) => None,
            Err(NotServed::NotEnoughReplicas) => Some("NOT_ENOUGH_REPLICAS"),
            Err(_) => Some("NOT_LEADER_OR_FOLLOWER"),
        };
        if let Some(why) = refused {
            self.out.replies.push((asker, ClientReply::Failed(why)));
            return;
        }
        let place = match is_idempotent(producer) {
            true => self.sequences.place(producer, sequence),
            false => Place::Next,
        };
        let end = match place {
            Place::Gap => {
                let reply = ClientReply::Failed("OUT_OF_ORDER_SEQUENCE_NUMBER");
                self.out.replies.push((asker, reply));
                return;
            }
            Place::Known { end } => end,
            Place::Next => self.log.end() + 1,
        };
        let waiter = Waiter {
            asker,
            end,
            all,
            record: (producer, sequence),
        };
        if let Place::Known { .. } = place {
            env.ledger.count("repeated");
            self.wait(env, waiter);
            return;
        }
        let epoch = self.replica.leader_epoch();
        // A broker that is the only one goes on in the epoch it had: nobody else has records of it.
        let life = if env.shape.nodes == 1 { 1 } else { me.life };
        env.ledger.appended(self.id, epoch, me.node, life);
        let record = Record {
            epoch,
            producer,
            sequence,
        };
        self.sequences.note(record, self.log.end());
        self.log.append(record);
        self.waiters.push(waiter);
        self.moved(env, me);
    }

    /// Somebody waits for what is in the log already.
    fn wait(&mut self, env: &mut Env, waiter: Waiter) {
        self.look(env);
        let stored = waiter.end <= self.log.stable_end();
        let reply = match self.replica.ack(waiter.end) {
            Ack::Done if waiter.all => self.done(env, waiter),
            Ack::NotEnoughReplicasAfterAppend if waiter.all => {
                ClientReply::Failed("NOT_ENOUGH_REPLICAS_AFTER_APPEND")
            }
            Ack::NotLeaderOrFollower => ClientReply::Failed("NOT_LEADER_OR_FOLLOWER"),
            _ if !waiter.all && stored => ClientReply::Produced,
            _ => {
                self.waiters.push(waiter);
                return;
            }
        };
        self.out.replies.push((waiter.asker, reply));
    }

    /// What a consumer may read from an offset on.
    pub(crate) fn fetch(&mut self, env: &mut Env, offset: i64, believed: i32) -> ClientReply {
        if let Err(error) = self.replica.check_epoch(believed) {
            return ClientReply::Failed(match error {
                NotServed::FencedLeaderEpoch => "FENCED_LEADER_EPOCH",
                _ => "UNKNOWN_LEADER_EPOCH",
            });
        }
        if self.is_cutting() || !(self.replica.is_leader() || self.replica.is_in_step()) {
            return ClientReply::Failed("NOT_LEADER_OR_FOLLOWER");
        }
        let (start, mut end) = self.replica.visible(&self.log);
        if env.breaks(Mutation::ReadAboveWatermark) {
            end = self.log.stable_end();
        }
        if offset < start {
            return ClientReply::OutOfRange { start };
        }
        let end = end.min(offset + 20);
        let records = match end > offset {
            true => self.log.read(offset, end).to_vec(),
            false => Vec::new(),
        };
        ClientReply::Fetched {
            base: offset,
            records,
        }
    }

    /// Deletes records below an offset that is at most the high watermark.
    pub(crate) fn delete_before(&mut self, env: &mut Env, me: &Me, most: i64) {
        let most = most.min(self.replica.high_watermark());
        let start = self.log.start();
        if self.replica.is_leader() && most > start {
            let start = match env.rng.chance(50) {
                true => most,
                false => env.rng.offset(start + 1, most),
            };
            tell!(env, "node {} deletes below {start}", me.node);
            env.ledger.count("deleted");
            self.log.raise_start(start);
            self.moved(env, me);
        }
    }
}
