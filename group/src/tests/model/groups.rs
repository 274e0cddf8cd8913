//! Groups of the classic protocol against the naive one.

use std::collections::BTreeMap;

use coordinator::Token;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest};
use proptest::prelude::*;

use super::naive::{DELAY_MS, Join, MAX_SIZE, Naive, Said};
use crate::classic::Phase;
use crate::tests::requests::{assigned, commit, group_id, join, subscription, text};
use crate::tests::rig::{Rig, asker};
use crate::{Ask, Reply, Settings};

const PROTOCOLS: [&[&str]; 4] = [&["a"], &["a", "b"], &["b", "a"], &["b"]];

#[derive(Clone, Debug)]
enum Op {
    /// A client joins, by one of these lists of protocols.
    Join {
        who: usize,
        protocols: usize,
        version: i16,
    },
    /// It forgets who it was.
    Restart {
        who: usize,
    },
    Sync {
        who: usize,
        stale: bool,
    },
    Heartbeat {
        who: usize,
        stale: bool,
    },
    Commit {
        who: usize,
        stale: bool,
    },
    Leave {
        who: usize,
        by_instance: bool,
    },
    Pass {
        ms: u64,
    },
    Load,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let who = 0usize..6;
    let rarely = prop::bool::weighted(0.1);
    let protocols = prop_oneof![4 => Just(1usize), 1 => 0usize..4];
    let version = prop_oneof![Just(9i16), Just(3i16), Just(5i16)];
    let ms = prop_oneof![0u64..3_000, 3_000u64..20_000, Just(DELAY_MS)];
    let op = prop_oneof![
        10 => (who.clone(), protocols, version).prop_map(|(who, protocols, version)| Op::Join { who, protocols, version }),
        1 => who.clone().prop_map(|who| Op::Restart { who }),
        8 => (who.clone(), rarely).prop_map(|(who, stale)| Op::Sync { who, stale }),
        8 => (who.clone(), rarely).prop_map(|(who, stale)| Op::Heartbeat { who, stale }),
        3 => (who.clone(), rarely).prop_map(|(who, stale)| Op::Commit { who, stale }),
        2 => (who, rarely).prop_map(|(who, by_instance)| Op::Leave { who, by_instance }),
        6 => ms.prop_map(|ms| Op::Pass { ms }),
        1 => Just(Op::Load),
    ];
    prop::collection::vec(op, 1..120)
}

/// What a client remembers.
#[derive(Clone, Debug, Default)]
struct Client {
    id: String,
    generation: i32,
}

struct Pair {
    rig: Rig,
    naive: Naive,
    clients: Vec<Client>,
    /// Which client asked.
    asked: BTreeMap<Token, usize>,
    /// Who got what in which generation.
    owners: BTreeMap<(i32, String), String>,
    last_generation: i32,
}

fn instance(who: usize) -> Option<String> {
    (who < 2).then(|| format!("i{who}"))
}

impl Pair {
    fn new() -> Self {
        let rig = Rig::with(Settings {
            initial_rebalance_delay_ms: DELAY_MS,
            max_size: MAX_SIZE,
            offsets_retention_check_interval_ms: u64::MAX,
            ..Settings::default()
        });
        Self {
            naive: Naive::new(rig.now.mono_ms),
            rig,
            clients: vec![Client::default(); 6],
            asked: BTreeMap::new(),
            owners: BTreeMap::new(),
            last_generation: 0,
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Join {
                who,
                protocols,
                version,
            } => self.join(who, PROTOCOLS[protocols], version),
            Op::Restart { who } => self.clients[who] = Client::default(),
            Op::Sync { who, stale } => self.sync(who, stale),
            Op::Heartbeat { who, stale } => self.heartbeat(who, stale),
            Op::Commit { who, stale } => self.commit(who, stale),
            Op::Leave { who, by_instance } => self.leave(who, by_instance),
            Op::Pass { ms } => {
                self.naive.pass(ms);
                self.rig.pass(ms);
            }
            Op::Load => {
                self.naive.load();
                self.rig.load();
            }
        }
        self.compare();
    }

    fn ask(&mut self, who: usize, ask: Ask) -> Token {
        let token = self.rig.ask(ask);
        self.asked.insert(token, who);
        token
    }

    fn join(&mut self, who: usize, protocols: &'static [&'static str], version: i16) {
        // Static members only are from version 5 on.
        let instance = instance(who).filter(|_| version >= 5);
        let (session_ms, rebalance_ms) = (6_000 + who as u64 * 1_000, 10_000 + who as u64 * 3_000);
        let said = |name: &&str| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(subscription(&["t"]))
        };
        let id = self.clients[who].id.clone();
        let request = join(&id, instance.as_deref())
            .with_session_timeout_ms(session_ms as i32)
            .with_rebalance_timeout_ms(rebalance_ms as i32)
            .with_protocols(protocols.iter().map(said).collect());
        let token = self.ask(who, Ask::Join(asker(), version, request));
        let join = Join {
            id,
            instance,
            protocols: protocols.to_vec(),
            session_ms,
            rebalance_ms,
            version,
        };
        self.naive.join(token, join);
    }

    fn generation(&self, who: usize, stale: bool) -> i32 {
        self.clients[who].generation - i32::from(stale)
    }

    fn sync(&mut self, who: usize, stale: bool) {
        let (id, generation) = (self.clients[who].id.clone(), self.generation(who, stale));
        // A share for everybody, in one order; the last member is forgotten.
        let given: Vec<(String, String)> = self
            .naive
            .members
            .keys()
            .rev()
            .skip(1)
            .enumerate()
            .map(|(share, id)| (id.clone(), share.to_string()))
            .collect();
        let said: Vec<(&str, &str)> = given
            .iter()
            .map(|(id, share)| (id.as_str(), share.as_str()))
            .collect();
        let request = SyncGroupRequest::default()
            .with_group_id(group_id("g"))
            .with_generation_id(generation)
            .with_member_id(text(&id))
            .with_assignments(assigned(&said));
        let token = self.ask(who, Ask::Sync(4, request));
        self.naive.sync(token, generation, &id, &given);
    }

    fn heartbeat(&mut self, who: usize, stale: bool) {
        let (id, generation) = (self.clients[who].id.clone(), self.generation(who, stale));
        let instance = instance(who);
        let request = HeartbeatRequest::default()
            .with_group_id(group_id("g"))
            .with_generation_id(generation)
            .with_member_id(text(&id))
            .with_group_instance_id(instance.as_deref().map(text));
        let token = self.ask(who, Ask::Heartbeat(request));
        self.naive
            .heartbeat(token, generation, &id, instance.as_deref());
    }

    fn commit(&mut self, who: usize, stale: bool) {
        let (id, generation) = (self.clients[who].id.clone(), self.generation(who, stale));
        let token = self.ask(who, Ask::Commit(8, commit(generation, &id, 0, 1)));
        self.naive.commit(token, generation, &id);
    }

    fn leave(&mut self, who: usize, by_instance: bool) {
        let id = if by_instance {
            String::new()
        } else {
            self.clients[who].id.clone()
        };
        let instance = instance(who);
        let member = MemberIdentity::default()
            .with_member_id(text(&id))
            .with_group_instance_id(instance.as_deref().map(text));
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id("g"))
            .with_members(vec![member]);
        let token = self.ask(who, Ask::Leave(5, request));
        self.naive.leave(token, &id, instance.as_deref());
    }

    /// Both have said the same, to the same, and are in the same state.
    fn compare(&mut self) {
        let expected: BTreeMap<Token, Said> =
            std::mem::take(&mut self.naive.said).into_iter().collect();
        let replies = std::mem::take(&mut self.rig.replies);
        let said: BTreeMap<Token, Said> = replies
            .into_iter()
            .map(|(token, reply)| (token, said(reply)))
            .collect();
        assert_eq!(said, expected);
        for (token, said) in said {
            let who = self.asked.remove(&token).unwrap();
            self.learn(who, &said);
        }
        let state = self
            .naive
            .exists()
            .then(|| self.naive.phase.name().to_owned());
        let listed = self.rig.state().filter(|_| state.is_some());
        assert_eq!(listed, state);
        assert!(self.naive.generation >= self.last_generation || self.naive.phase != Phase::Stable);
    }

    /// What a client makes of an answer; and no share has two owners in a generation.
    fn learn(&mut self, who: usize, said: &Said) {
        let client = &mut self.clients[who];
        if !said.id.is_empty() {
            client.id.clone_from(&said.id);
            client.generation = client.generation.max(said.generation);
        }
        if said.code == 25 || said.code == 82 {
            *client = Client::default();
        }
        if !said.assignment.is_empty() {
            let (generation, id) = (self.naive.generation, self.clients[who].id.clone());
            // A static member takes over what its instance had, under a new id.
            let id = instance(who).unwrap_or(id);
            let owner = self
                .owners
                .entry((generation, said.assignment.clone()))
                .or_insert_with(|| id.clone());
            assert_eq!(
                *owner, id,
                "share {} of generation {generation} has two owners",
                said.assignment
            );
        }
    }
}

fn said(reply: Reply) -> Said {
    match reply {
        Reply::Join(answer) => Said {
            code: answer.error_code,
            generation: answer.generation_id,
            id: answer.member_id.to_string(),
            leader: answer.leader.to_string(),
            protocol: answer.protocol_name.unwrap_or_default().to_string(),
            members: answer
                .members
                .iter()
                .map(|member| member.member_id.to_string())
                .collect(),
            skip: answer.skip_assignment,
            ..Said::default()
        },
        Reply::Sync(answer) => Said {
            code: answer.error_code,
            protocol: answer.protocol_name.unwrap_or_default().to_string(),
            assignment: String::from_utf8(answer.assignment.to_vec()).unwrap(),
            ..Said::default()
        },
        Reply::Heartbeat(answer) => Said::code(answer.error_code),
        Reply::Leave(answer) => Said::code(answer.members[0].error_code),
        Reply::Commit(answer) => Said::code(answer.topics[0].partitions[0].error_code),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_group_does_what_the_naive_one_does(ops in ops()) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.run(op);
        }
        // Left alone, everybody gets an answer and the group comes to rest.
        pair.run(&Op::Pass { ms: 1_000_000 });
        prop_assert!(pair.asked.is_empty() || ops.iter().any(|op| matches!(op, Op::Load)));
        prop_assert!(pair.naive.members.is_empty());
        prop_assert_eq!(pair.rig.core.deadline_of_groups(), None);
    }
}
