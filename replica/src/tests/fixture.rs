//! One replica with its log, for tests of single rules.

use super::log::{Record, TestLog};
use crate::{
    Answer, AnswerKind, Assigned, Assignment, Effect, Follow, IsrAnswer, LogView, Moved, Peer,
    Position, Progress, Records, Replica, Sender, Settings, Verdict,
};

/// The node of the replica.
pub(super) const ME: i32 = 1;

pub(super) struct Fixture {
    pub(super) replica: Replica,
    pub(super) log: TestLog,
    pub(super) now_ms: u64,
}

/// Node `node`, registered with broker epoch 10 times its number, and not fenced.
pub(super) fn peer(node: i32) -> Peer {
    Peer {
        node,
        broker_epoch: i64::from(node) * 10,
        eligible: true,
    }
}

pub(super) fn sender(node: i32) -> Sender {
    Sender {
        node,
        broker_epoch: i64::from(node) * 10,
        session: 1,
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        lag_max_ms: 100,
        retry_ms: 20,
        min_insync_replicas: 1,
    }
}

impl Fixture {
    pub(super) fn new(log: TestLog, high_watermark: i64) -> Self {
        Self {
            replica: Replica::new(ME, settings(), high_watermark, &log),
            log,
            now_ms: 1_000,
        }
    }

    /// Leader in epoch 5 and partition epoch 8 over nodes 1, 2 and 3, of which `isr` are in sync.
    pub(super) fn leader(log: TestLog, high_watermark: i64, isr: &[i32]) -> Self {
        let mut fixture = Self::new(log, high_watermark);
        fixture.assign(ME, 5, 8, &[1, 2, 3], isr);
        fixture
    }

    /// Follower of node 2 in epoch 5 and partition epoch 8, in step with it.
    pub(super) fn follower(log: TestLog, high_watermark: i64) -> Self {
        let mut fixture = Self::new(log, high_watermark);
        fixture.assign(2, 5, 8, &[1, 2, 3], &[1, 2]);
        fixture.answer(AnswerKind::Following {
            high_watermark,
            log_start: 0,
        });
        fixture
    }

    fn call<T>(
        &mut self,
        what: impl FnOnce(&mut Replica, &TestLog, u64, &mut Vec<Effect>) -> T,
    ) -> (T, Vec<Effect>) {
        let mut out = Vec::new();
        let result = what(&mut self.replica, &self.log, self.now_ms, &mut out);
        for effect in &out {
            if let Effect::AssignEpoch { epoch, start } = *effect {
                self.log.assign_epoch(epoch, start);
            }
        }
        (result, out)
    }

    pub(super) fn assign(
        &mut self,
        leader: i32,
        leader_epoch: i32,
        partition_epoch: i32,
        replicas: &[i32],
        isr: &[i32],
    ) -> (Assigned, Vec<Effect>) {
        let peers: Vec<Peer> = replicas.iter().map(|&node| peer(node)).collect();
        let given = Assignment {
            leader,
            leader_epoch,
            partition_epoch,
            replicas: &peers,
            isr,
        };
        self.call(|r, log, now_ms, out| r.assign(&given, log, now_ms, out))
    }

    pub(super) fn peer_changed(&mut self, peer: Peer) -> Vec<Effect> {
        self.call(|r, log, _, out| r.peer_changed(peer, log, out)).1
    }

    /// Appends `count` records of the present epoch, stored or not.
    pub(super) fn append(&mut self, count: i64, stored: bool) -> Vec<Effect> {
        for _ in 0..count {
            self.log.append(Record {
                epoch: self.replica.leader_epoch(),
                value: 0,
            });
        }
        if stored {
            self.log.store(self.log.end());
        }
        self.call(|r, log, _, out| r.log_moved(log, out)).1
    }

    pub(super) fn log_moved(&mut self) -> Vec<Effect> {
        self.call(|r, log, _, out| r.log_moved(log, out)).1
    }

    pub(super) fn log_cut(&mut self) -> Vec<Effect> {
        self.call(|r, log, now_ms, out| r.log_cut(log, now_ms, out))
            .1
    }

    pub(super) fn truncated(&mut self) -> Vec<Effect> {
        self.call(|r, log, now_ms, out| r.truncated(log, now_ms, out))
            .1
    }

    /// What the leader answers to a follower in epoch 5 whose log ends like this.
    pub(super) fn follow(&mut self, from: Sender, last_epoch: i32, end: i64) -> AnswerKind {
        self.follow_in(from, 5, 8, last_epoch, end)
    }

    pub(super) fn follow_in(
        &mut self,
        from: Sender,
        leader_epoch: i32,
        partition_epoch: i32,
        last_epoch: i32,
        end: i64,
    ) -> AnswerKind {
        let follow = Follow {
            leader_epoch,
            partition_epoch,
            position: Position { last_epoch, end },
        };
        let out = self
            .call(|r, log, _, out| r.on_follow(from, &follow, log, out))
            .1;
        match out.as_slice() {
            [Effect::Answer { to, answer }] => {
                assert_eq!((*to, answer.position), (from.node, follow.position));
                answer.kind
            }
            other => panic!("one answer, not {other:?}"),
        }
    }

    pub(super) fn progress(&mut self, from: Sender, stable_end: i64) -> Vec<Effect> {
        let progress = Progress {
            leader_epoch: 5,
            stable_end,
            log_start: 0,
        };
        self.call(|r, log, now_ms, out| r.on_progress(from, &progress, log, now_ms, out))
            .1
    }

    /// Lets a follower follow from where it is in step, and report it.
    pub(super) fn in_step(&mut self, node: i32, end: i64) -> Vec<Effect> {
        let last_epoch = if end == 0 { -1 } else { 4 };
        let kind = self.follow(sender(node), last_epoch, end);
        assert!(matches!(kind, AnswerKind::Following { .. }), "{kind:?}");
        self.progress(sender(node), end)
    }

    /// An answer of node 2 in epoch 5 to the present position.
    pub(super) fn answer(&mut self, kind: AnswerKind) -> Vec<Effect> {
        let position = Position::of(&self.log);
        self.answer_to(position, kind)
    }

    pub(super) fn answer_to(&mut self, position: Position, kind: AnswerKind) -> Vec<Effect> {
        let answer = Answer {
            leader_epoch: 5,
            position,
            kind,
        };
        self.call(|r, log, _, out| r.on_answer(2, &answer, log, out))
            .1
    }

    /// Records of node 2 in `leader_epoch`, when its high watermark is 50.
    pub(super) fn records(
        &mut self,
        leader_epoch: i32,
        between: (i64, i64),
    ) -> (Verdict, Vec<Effect>) {
        let records = Records {
            leader_epoch,
            base_offset: between.0,
            next_offset: between.1,
            high_watermark: 50,
            log_start: 0,
        };
        self.call(|r, log, now_ms, out| r.on_records(2, &records, log, now_ms, out))
    }

    pub(super) fn moved(&mut self, high_watermark: i64, log_start: i64) -> Vec<Effect> {
        let moved = Moved {
            leader_epoch: 5,
            high_watermark,
            log_start,
        };
        self.call(|r, log, _, out| r.on_moved(2, &moved, log, out))
            .1
    }

    pub(super) fn isr_answer(&mut self, request: u64, answer: IsrAnswer) -> Vec<Effect> {
        self.call(|r, log, now_ms, out| r.isr_answer(request, answer, log, now_ms, out))
            .1
    }

    /// A tick after `later_ms`, at which connections were heard `quiet_ms` ago.
    pub(super) fn tick(&mut self, later_ms: u64, quiet_ms: u64) -> Vec<Effect> {
        self.now_ms += later_ms;
        let heard = self.now_ms - quiet_ms;
        self.call(|r, log, now_ms, out| r.tick(log, now_ms, |_| Some(heard), out))
            .1
    }

    pub(super) fn disconnected(&mut self, from: Sender) -> Vec<Effect> {
        self.call(|r, log, _, out| r.disconnected(from, log, out)).1
    }

    pub(super) fn connected(&mut self) -> Vec<Effect> {
        self.call(|r, log, now_ms, out| r.connected(log, now_ms, out))
            .1
    }
}

/// The ISR change among the effects: its request and its nodes.
pub(super) fn asked(effects: &[Effect]) -> Option<(u64, Vec<i32>)> {
    effects.iter().find_map(|effect| match effect {
        Effect::AlterPartition(change) => {
            let nodes = change.isr.iter().map(|member| member.node);
            Some((change.request, nodes.collect()))
        }
        _ => None,
    })
}

/// The report among the effects.
pub(super) fn reported(effects: &[Effect]) -> Option<(i64, i64)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Progress { progress, .. } => Some((progress.stable_end, progress.log_start)),
        _ => None,
    })
}

/// The position asked with among the effects.
pub(super) fn follows(effects: &[Effect]) -> Option<(i32, i64)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Follow { follow, .. } => Some((follow.position.last_epoch, follow.position.end)),
        _ => None,
    })
}
