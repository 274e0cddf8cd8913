//! A quorum in memory: members, their drives, the network between them, and what must hold of all.
//!
//! A drive keeps what was written in order; a crash loses what wasn't. The network carries encoded
//! bytes. What a member hands out is held against what all others ever handed out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// What a member's owner keeps.
pub(crate) struct Node {
    /// None while it is down.
    pub(crate) quorum: Option<Quorum>,
    pub(crate) disk: Restored,
    /// The content of the snapshot on the drive.
    disk_content: Bytes,
    writes: VecDeque<Ready>,
    /// What was applied: index and payload.
    pub(crate) state: Vec<(u64, u64)>,
    pub(crate) applied: u64,
}

pub(crate) struct Cluster {
    pub(crate) random: Random,
    pub(crate) nodes: Vec<Node>,
    /// Sender, receiver, bytes.
    pub(crate) network: Vec<(i32, i32, Vec<u8>)>,
    /// Pairs that can't reach each other.
    pub(crate) cut: BTreeSet<(i32, i32)>,
    /// Percent of messages lost, and percent sent twice.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// All that was handed out, one after the other, made short.
    pub(crate) trace: u64,
    pub(crate) committed: BTreeMap<u64, Committed>,
    leaders: BTreeMap<u64, i32>,
    bodies: BTreeMap<(u64, u64), EntryBody>,
    reads: BTreeMap<u64, u64>,
    /// How many reads were confirmed.
    pub(crate) confirmed: u64,
    seed: u64,
    values: u64,
    keep: u64,
}

impl Cluster {
    /// Voters with the ids 0 to `voters - 1`, and as many nodes that know nothing as `others`.
    pub(crate) fn new(seed: u64, voters: i32, others: i32) -> Self {
        let mut cluster = Self {
            random: Random(seed),
            nodes: Vec::new(),
            network: Vec::new(),
            cut: BTreeSet::new(),
            lost: 0,
            doubled: 0,
            trace: 0,
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            bodies: BTreeMap::new(),
            reads: BTreeMap::new(),
            confirmed: 0,
            seed,
            values: 0,
            keep: seed % 3 * 4,
        };
        for node in 0..voters + others {
            let disk = match node < voters {
                true => Restored::bootstrap(0..voters),
                false => Restored::default(),
            };
            cluster.nodes.push(Node {
                quorum: None,
                disk,
                disk_content: Bytes::new(),
                writes: VecDeque::new(),
                state: Vec::new(),
                applied: 0,
            });
            cluster.start(node);
        }
        cluster
    }

    pub(crate) fn ids(&self) -> Vec<i32> {
        (0..self.nodes.len() as i32).collect()
    }

    pub(crate) fn node(&mut self, node: i32) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    /// The member of a node that is up.
    pub(crate) fn quorum(&mut self, node: i32) -> &mut Quorum {
        self.node(node).quorum.as_mut().unwrap()
    }

    pub(crate) fn is_up(&self, node: i32) -> bool {
        self.nodes[node as usize].quorum.is_some()
    }

    pub(crate) fn start(&mut self, node: i32) {
        let config = Config {
            keep_entries: self.keep,
            max_message_bytes: 100,
            ..Config::new(node, self.seed)
        };
        let one = self.node(node);
        let quorum = Quorum::new(config, one.disk.clone()).unwrap();
        one.state = decode_state(&one.disk_content);
        one.applied = one.disk.snapshot.as_ref().map_or(0, |mark| mark.index);
        one.quorum = Some(quorum);
    }

    /// Ends a node: what it has not written is lost, but for the first writes, which were just done.
    pub(crate) fn crash(&mut self, node: i32) {
        let under_way = self.node(node).writes.len() as u64;
        let written = self.random.below(under_way + 1);
        for _ in 0..written {
            let ready = self.node(node).write_one().unwrap();
            self.look_at_entries(&ready.entries);
        }
        let one = self.node(node);
        one.quorum = None;
        one.writes.clear();
    }

    /// Does what the member wants done, but for the writes.
    pub(crate) fn drain(&mut self, node: i32) {
        while let Some(ready) = self.node(node).quorum.as_mut().and_then(Quorum::ready) {
            self.perform(node, ready);
        }
    }

    /// Does one thing that the member wants done, but for the write.
    fn perform(&mut self, node: i32, ready: Ready) {
        self.look_at(node, &ready);
        for message in &ready.messages {
            self.send(node, message);
        }
        let one = self.node(node);
        if let Some(install) = &ready.snapshot {
            one.state = decode_state(&install.content);
            one.applied = install.mark.index;
        }
        for entry in &ready.committed {
            assert_eq!(entry.index, one.applied + 1, "a gap at node {node}");
            one.applied = entry.index;
            if let CommittedKind::Payload(bytes) = &entry.kind {
                let value = u64::from_le_bytes(bytes[..].try_into().unwrap());
                one.state.push((entry.index, value));
            }
        }
        let applied = one.applied;
        one.quorum.as_mut().unwrap().applied(applied);
        let wanted = ready.wanted_snapshot;
        one.writes.push_back(ready);
        if let Some(wanted) = wanted {
            let content = one.disk_content.clone();
            match one.disk.snapshot.as_ref().map(|mark| mark.index) {
                Some(index) if index >= wanted => {
                    self.quorum(node).snapshot_content(index, content);
                }
                _ => self.snapshot(node),
            }
        }
    }

    /// Does one thing that the member wants done, and the write.
    pub(crate) fn do_all(&mut self, node: i32, ready: Ready) {
        self.perform(node, ready);
        while !self.node(node).writes.is_empty() {
            self.write(node);
        }
    }

    /// Writes the oldest write under way, if there is one.
    pub(crate) fn write(&mut self, node: i32) {
        if let Some(ready) = self.node(node).write_one() {
            self.look_at_entries(&ready.entries);
            for message in &ready.messages_after {
                self.send(node, message);
            }
            if let Some(quorum) = self.node(node).quorum.as_mut() {
                quorum.persisted(ready.number);
            }
        }
    }

    /// Holds what was handed out against what must be.
    fn look_at(&mut self, node: i32, ready: &Ready) {
        self.trace = hash(self.trace, &format!("{node}{ready:?}"));
        if ready.role == Role::Leader {
            assert_eq!(ready.leader, Some(node));
            let first = *self.leaders.entry(ready.term).or_insert(node);
            assert_eq!(first, node, "two leaders of term {}", ready.term);
        }
        for entry in &ready.committed {
            let first = self.committed.entry(entry.index).or_insert(entry.clone());
            assert_eq!(first, entry, "two entries committed at {}", entry.index);
        }
        for read in &ready.reads {
            let before = self.reads.remove(&read.read).unwrap();
            assert!(
                read.index >= before,
                "a read saw {} of {before}",
                read.index
            );
            self.confirmed += 1;
        }
    }

    /// Entries that others may have seen, or may see after a crash.
    fn look_at_entries(&mut self, entries: &[Entry]) {
        for entry in entries {
            let place = (entry.index, entry.term);
            let first = self.bodies.entry(place).or_insert(entry.body.clone());
            assert_eq!(*first, entry.body, "two entries at {place:?}");
        }
    }

    fn send(&mut self, from: i32, message: &Message) {
        assert_eq!(message.from, from);
        if let Body::Append { entries, .. } = &message.body {
            self.look_at_entries(entries);
        }
        let copies = match () {
            () if self.random.chance(self.lost) => 0,
            () if self.random.chance(self.doubled) => 2,
            () => 1,
        };
        if copies == 0 {
            self.tell_of_snapshot(message, false);
        }
        for _ in 0..copies {
            self.network.push((from, message.to, encode(message)));
        }
    }

    /// Delivers the message at a place in the network, or loses it where there is no way.
    pub(crate) fn deliver(&mut self, place: usize) {
        let (from, to, bytes) = self.network.remove(place);
        let message = decode(&bytes).unwrap();
        let arrives = self.is_up(to) && !self.cut.contains(&(from.min(to), from.max(to)));
        if arrives {
            self.quorum(to).step(message.clone()).unwrap();
        } else if self.is_up(from) {
            self.quorum(from).unreachable(to);
        }
        self.tell_of_snapshot(&message, arrives);
    }

    fn tell_of_snapshot(&mut self, message: &Message, arrived: bool) {
        if matches!(message.body, Body::Snapshot { .. }) && self.is_up(message.from) {
            self.quorum(message.from)
                .report_snapshot(message.to, arrived);
        }
    }

    /// Writes and delivers everything, in order, until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        self.settle_but(-1);
    }

    /// The same, but for what one node wants done.
    pub(crate) fn settle_but(&mut self, but: i32) {
        for _ in 0..10_000 {
            for node in self.ids().into_iter().filter(|node| *node != but) {
                self.drain(node);
                while !self.node(node).writes.is_empty() {
                    self.write(node);
                    self.drain(node);
                }
            }
            if self.network.is_empty() {
                return;
            }
            self.deliver(0);
        }
        panic!("the members never stop talking");
    }

    /// Ticks of all that are up, with everything done between.
    pub(crate) fn run(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for node in self.ids() {
                if self.is_up(node) {
                    self.quorum(node).tick();
                }
            }
            self.settle();
        }
    }

    /// A node that leads the latest term of those who say they do.
    pub(crate) fn leader(&self) -> Option<i32> {
        let up = self.nodes.iter().filter_map(|node| node.quorum.as_ref());
        let leaders = up.filter(|quorum| quorum.role() == Role::Leader);
        leaders.max_by_key(|quorum| quorum.term())?.leader()
    }

    /// Runs until there is a leader.
    pub(crate) fn elect(&mut self) -> i32 {
        for _ in 0..200 {
            self.run(1);
            if let Some(leader) = self.leader() {
                return leader;
            }
        }
        panic!("no leader");
    }

    /// Proposes the next value at `node`; where it is, if it was taken.
    pub(crate) fn propose(&mut self, node: i32) -> Option<Proposed> {
        self.values += 1;
        let value = payload(self.values);
        self.quorum(node).propose(value).ok()
    }

    /// Asks `node` for a read, which must see all that anyone saw committed before.
    pub(crate) fn read(&mut self, node: i32) -> Result<(), ReadError> {
        self.values += 1;
        let read = self.values;
        self.quorum(node).read_index(read)?;
        let seen = self.committed.keys().next_back().copied().unwrap_or(0);
        self.reads.insert(read, seen);
        Ok(())
    }

    /// Takes a snapshot of all that a node has applied.
    pub(crate) fn snapshot(&mut self, node: i32) {
        // A snapshot of what isn't written would be ahead of the log it replaces.
        while !self.node(node).writes.is_empty() {
            self.write(node);
        }
        let one = &mut self.nodes[node as usize];
        let content = encode_state(&one.state);
        let quorum = one.quorum.as_mut().unwrap();
        let Ok(mark) = quorum.mark_at(one.applied) else {
            return;
        };
        one.disk.entries.retain(|entry| entry.index > mark.index);
        one.disk.snapshot = Some(mark.clone());
        one.disk_content = content.clone();
        quorum.snapshot_taken(mark.index, content).unwrap();
    }

    /// Ends all faults, and sees that all members come to the same.
    pub(crate) fn heal(&mut self) {
        (self.lost, self.doubled) = (0, 0);
        self.cut.clear();
        for node in self.ids() {
            if !self.is_up(node) {
                self.start(node);
            }
        }
        self.settle();
        let mut proposed = None;
        for _ in 0..400 {
            self.run(1);
            let leader = self.leader();
            proposed = proposed.or_else(|| self.propose(leader?));
            let Some(Proposed { index, term }) = proposed else {
                continue;
            };
            match self.committed.get(&index) {
                Some(entry) if entry.term != term => proposed = None,
                Some(_) if self.all_agree() => return,
                _ => {}
            }
        }
        panic!("no progress after healing");
    }

    /// Whether all members have applied all that is committed; that must be the same then.
    fn all_agree(&self) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let leader = &self.nodes[leader as usize];
        let quorum = leader.quorum.as_ref().unwrap();
        let membership = quorum.membership();
        let last = self.committed.keys().next_back().copied().unwrap_or(0);
        let members = (0..).zip(&self.nodes);
        let mut members = members.filter(|(id, _)| membership.contains(*id));
        let caught_up =
            !membership.is_changing() && members.clone().all(|(_, n)| n.applied == last);
        if caught_up {
            let same = members.all(|(_, node)| node.state == leader.state);
            assert!(same, "members applied the same entries to different ends");
            let values = |entry: &Committed| matches!(entry.kind, CommittedKind::Payload(_));
            let count = self.committed.values().filter(|e| values(e)).count();
            assert_eq!(leader.state.len(), count, "committed entries are lost");
        }
        caught_up
    }
}

impl Node {
    fn write_one(&mut self) -> Option<Ready> {
        let ready = self.writes.pop_front()?;
        if let Some(install) = &ready.snapshot {
            self.disk.snapshot = Some(install.mark.clone());
            self.disk.entries.clear();
            self.disk_content = install.content.clone();
        }
        let entries = &mut self.disk.entries;
        if let Some(first) = ready.entries.first() {
            // Through the encoding, as a real drive would get them.
            let new = ready.entries.iter().map(encode_entry);
            entries.retain(|entry| entry.index < first.index);
            entries.extend(new.map(|bytes| decode_entry(&bytes).unwrap()));
        }
        if let Some(hard_state) = ready.hard_state {
            self.disk.hard_state = hard_state;
        }
        let written = (ready.hard_state, &ready.snapshot, ready.entries.len());
        assert!(ready.must_sync || matches!(written, (_, None, 0)));
        Some(ready)
    }
}

fn encode_state(state: &[(u64, u64)]) -> Bytes {
    let numbers = state.iter().flat_map(|(index, value)| [*index, *value]);
    numbers.flat_map(u64::to_le_bytes).collect()
}

fn decode_state(bytes: &[u8]) -> Vec<(u64, u64)> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let pairs = bytes.chunks_exact(16);
    pairs.map(|b| (number(&b[..8]), number(&b[8..]))).collect()
}

/// FNV-1a.
fn hash(seed: u64, text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, step)
}
