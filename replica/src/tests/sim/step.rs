//! What may happen next.

use super::network::{Body, Packet};
use super::node::{Node, Waiter};
use super::{Ask, Told, World};
use crate::tests::log::{Record, TestLog};
use crate::{Ack, IsrAnswer, LogView};

fn at(node: i32) -> usize {
    usize::try_from(node).unwrap()
}

impl World {
    /// One random thing happens.
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.now_ms += [0, 0, 1, 3][self.rng.below(4)];
        let one = self.rng.below(self.nodes.len());
        if self.rng.below(1000) < self.rough {
            let leads = self.controller.now().leader == self.nodes[one].id;
            if !(leads && self.calm) {
                self.blow(one);
            }
        } else {
            match self.rng.below(100) {
                0..35 => self.deliver_one(),
                35..47 => self.append(one)?,
                47..60 => self.store(one),
                60..75 => self.push(one),
                75..80 => {
                    self.now_ms += u64::try_from(self.rng.below(40)).unwrap();
                    self.tick(one);
                }
                80..86 => self.learn(one),
                86..91 => self.controller_works(),
                91..93 => self.alive(one),
                93..94 => self.delete_records(one),
                94..96 => self.reconnect(one),
                _ => self.nodes[one].cut(self.now_ms),
            }
        }
        self.collect()?;
        self.acknowledge()
    }

    /// Something big happens to a node.
    fn blow(&mut self, one: usize) {
        let id = self.nodes[one].id;
        let roll = self.rng.below(13);
        if self.trace {
            println!("{} ms: blow {roll} to node {id}", self.now_ms);
        }
        match roll {
            0..3 => self.crash_or_start(one),
            3 => self.controller.fence(id),
            4..6 => self.unfence_one(),
            6..8 if !self.calm => self.controller.elect(id),
            8 => self.take_back(one),
            9 => self.wipe(one),
            10 => self.controller.reassign(id),
            11 => {
                let other = self.rng.below(self.nodes.len());
                self.blocked[one][other] = true;
                if self.rng.chance(50) {
                    self.blocked[other][one] = true;
                }
            }
            _ => self.blocked = Default::default(),
        }
        self.nodes[one].slow = self.rng.chance(30);
    }

    /// Takes what nodes want to send.
    pub(super) fn collect(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            let from = node.id;
            for packet in &node.outbox.packets {
                if let Body::Records(header, records) = &packet.body {
                    self.ledger.sent(header.base_offset, records)?;
                }
            }
            self.packets.append(&mut node.outbox.packets);
            let changes = node.outbox.changes.drain(..);
            self.asks.extend(changes.map(|change| Ask { from, change }));
        }
        self.packets
            .retain(|packet| !self.blocked[at(packet.from.node)][at(packet.to)]);
        Ok(())
    }

    fn deliver_one(&mut self) {
        if self.packets.is_empty() {
            return;
        }
        // Mostly in order.
        let which = if self.rng.chance(60) {
            0
        } else {
            self.rng.below(self.packets.len())
        };
        let packet = if self.rng.chance(self.bad) {
            self.packets[which].clone()
        } else {
            self.packets.remove(which)
        };
        if !self.rng.chance(self.bad) {
            self.deliver(packet);
        }
    }

    pub(super) fn deliver(&mut self, packet: Packet) {
        let Packet { from, to, body } = packet;
        if self.trace {
            println!("{} ms: {} to {to}: {body:?}", self.now_ms, from.node);
        }
        let node = &mut self.nodes[at(to)];
        if node.replica.is_some() {
            self.heard[at(to)][at(from.node)] = self.now_ms;
        }
        node.receive(from, body, self.now_ms);
    }

    pub(super) fn append(&mut self, one: usize) -> Result<(), String> {
        if self.quiet && self.rng.chance(90) {
            return Ok(());
        }
        let all = self.rng.chance(50);
        let count = 1 + self.rng.below(3);
        let node = &mut self.nodes[one];
        let Some(replica) = node.replica.as_ref() else {
            return Ok(());
        };
        if replica.check_append(all).is_err() {
            return Ok(());
        }
        let epoch = replica.leader_epoch();
        self.ledger.appended(node, epoch)?;
        for _ in 0..count {
            let record = Record {
                epoch,
                value: self.next_value,
            };
            self.next_value += 1;
            let offset = node.log.end();
            node.log.append(record);
            if all {
                node.waiters.push(Waiter {
                    end: offset + 1,
                    record,
                });
            }
        }
        if self.trace {
            println!("{} ms: {one} appends to {}", self.now_ms, node.log.end());
        }
        node.call(|replica, log, out| replica.log_moved(log, out), self.now_ms);
        Ok(())
    }

    pub(super) fn store(&mut self, one: usize) {
        let node = &mut self.nodes[one];
        if node.replica.is_none() || node.is_cutting() {
            return;
        }
        let end = self.rng.between(node.log.stable_end(), node.log.end());
        node.log.store(end);
        node.call(|replica, log, out| replica.log_moved(log, out), self.now_ms);
    }

    pub(super) fn push(&mut self, one: usize) {
        for to in 0..self.nodes.len() {
            let most = self.rng.between(1, 8);
            self.nodes[one].push(i32::try_from(to).unwrap(), most);
        }
    }

    pub(super) fn tick(&mut self, one: usize) {
        let (now_ms, heard) = (self.now_ms, self.heard[one]);
        self.nodes[one].call(
            |replica, log, out| replica.tick(log, now_ms, |node| Some(heard[at(node)]), out),
            now_ms,
        );
    }

    pub(super) fn learn(&mut self, one: usize) {
        let node = &mut self.nodes[one];
        if node.is_cutting() || node.replica.is_none() {
            return;
        }
        if let Some(state) = self.controller.states.get(node.metadata) {
            if self.trace {
                println!("{} ms: {one} learns {state:?}", self.now_ms);
            }
            node.learn(state, self.now_ms);
        }
    }

    /// A request reaches the controller, or an answer its leader.
    pub(super) fn controller_works(&mut self) {
        self.resignations();
        if !self.asks.is_empty() && self.rng.chance(50) {
            let Ask { from, change } = self.asks.remove(0);
            let lost = self.rng.chance(self.bad);
            if lost || self.blocked[at(from)][at(from)] {
                return;
            }
            let answer = self.controller.alter(from, &change);
            if self.trace {
                println!("{} ms: {from} asks {change:?}: {answer:?}", self.now_ms);
            }
            let told = Told {
                to: from,
                broker_epoch: self.nodes[at(from)].broker_epoch,
                request: change.request,
                answer,
            };
            if self.rng.chance(self.bad) {
                let answer = IsrAnswer::Unknown;
                self.told.push(Told { answer, ..told });
            }
            self.told.push(told);
        } else if !self.told.is_empty() {
            let which = self.rng.below(self.told.len());
            let told = if self.rng.chance(self.bad) {
                self.told[which].clone()
            } else {
                self.told.remove(which)
            };
            if !self.rng.chance(self.bad) {
                self.tell(&told);
            }
        }
    }

    pub(super) fn tell(&mut self, told: &Told) {
        let node = &mut self.nodes[at(told.to)];
        if node.broker_epoch == told.broker_epoch {
            let now_ms = self.now_ms;
            node.call(
                |replica, log, out| replica.isr_answer(told.request, told.answer, log, now_ms, out),
                now_ms,
            );
        }
    }

    /// Ends the epochs that leaders can't go on in.
    fn resignations(&mut self) {
        for node in &mut self.nodes {
            for epoch in node.outbox.resigned.drain(..) {
                if self.controller.now().leader_epoch == epoch {
                    self.controller.fence(node.id);
                    self.controller.unfence(node.id);
                }
            }
        }
    }

    pub(super) fn alive(&mut self, one: usize) {
        let from = self.nodes[one].sender();
        if self.nodes[one].replica.is_some() {
            for to in 0..self.nodes.len() {
                self.packets.push(Packet {
                    from,
                    to: i32::try_from(to).unwrap(),
                    body: Body::Alive,
                });
            }
        }
    }

    fn delete_records(&mut self, one: usize) {
        let node = &mut self.nodes[one];
        if let Some(replica) = node.replica.as_ref().filter(|r| r.is_leader()) {
            let start = self.rng.between(node.log.start(), replica.high_watermark());
            node.log.raise_start(start);
            node.call(|replica, log, out| replica.log_moved(log, out), self.now_ms);
        }
    }

    /// A node's connections break; it makes new ones.
    pub(super) fn reconnect(&mut self, one: usize) {
        let now_ms = self.now_ms;
        let from = self.nodes[one].sender();
        if self.rng.chance(50) {
            self.packets.retain(|packet| packet.from != from);
        }
        for node in &mut self.nodes {
            node.call(
                |replica, log, out| replica.disconnected(from, log, out),
                now_ms,
            );
        }
        self.nodes[one].call(
            |replica, log, out| replica.connected(log, now_ms, out),
            now_ms,
        );
    }

    fn crash_or_start(&mut self, one: usize) {
        let node = &mut self.nodes[one];
        if node.replica.is_none() {
            if self.rng.chance(30) {
                self.wipe(one);
            }
            self.start(one);
            return;
        }
        if let Some(replica) = &node.replica
            && !node.is_cutting()
            && self.rng.chance(50)
        {
            // A truncation is certain before what it led to.
            node.checkpoint = replica.high_watermark();
            node.log.store(node.log.stable_end());
        }
        node.log.crash(&mut self.rng);
        node.stop();
        node.outbox = Default::default();
    }

    pub(super) fn start(&mut self, one: usize) {
        let node = &mut self.nodes[one];
        let (broker_epoch, metadata) = self.controller.register(node.id);
        node.start(broker_epoch, metadata);
        if self.rng.chance(70) {
            self.controller.unfence(node.id);
        }
    }

    fn unfence_one(&mut self) {
        let up = self.nodes.iter().filter(|node| node.replica.is_some());
        let ids: Vec<i32> = up.map(|node| node.id).collect();
        if !ids.is_empty() {
            self.controller.unfence(ids[self.rng.below(ids.len())]);
        }
    }

    /// A drive is full: what was appended and not stored is taken back.
    fn take_back(&mut self, one: usize) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[one];
        let unstored = node.log.stable_end() < node.log.end();
        if node.replica.is_some() && !node.is_cutting() && unstored {
            node.log.take_back();
            let end = node.log.end();
            node.waiters.retain(|waiter| waiter.end <= end);
            node.call(
                |replica, log, out| replica.log_cut(log, now_ms, out),
                now_ms,
            );
        }
    }

    /// A node that is down, in no ISR and can't be put into one, loses its drive.
    fn wipe(&mut self, one: usize) {
        let node = &mut self.nodes[one];
        let state = self.controller.now();
        let may_join = state.isr.contains(&node.id) || state.broker(node.id).eligible;
        if node.replica.is_none() && !may_join {
            node.log = TestLog::default();
            node.checkpoint = 0;
        }
    }

    /// Answers those who wait.
    fn acknowledge(&mut self) -> Result<(), String> {
        self.look()?;
        for one in 0..self.nodes.len() {
            let node: &mut Node = &mut self.nodes[one];
            let Some(replica) = &node.replica else {
                continue;
            };
            let mut done = Vec::new();
            node.waiters.retain(|waiter| match replica.ack(waiter.end) {
                Ack::Wait => true,
                Ack::Done => {
                    done.push(*waiter);
                    false
                }
                Ack::NotEnoughReplicasAfterAppend | Ack::NotLeaderOrFollower => false,
            });
            for waiter in done {
                self.ledger.acknowledged(&waiter)?;
            }
        }
        Ok(())
    }
}
