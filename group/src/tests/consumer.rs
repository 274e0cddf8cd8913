//! Groups of the consumer protocol beside those of the classic one, and on the way between them.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, SyncGroupRequest,
};

use super::requests::{commit, group_id, join, subscription, text, topic_name};
use super::rig::{Rig, asker};
use crate::embedded::Assignment;
use crate::{Ask, Reply, Settings};

fn request(id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(id))
        .with_member_epoch(epoch)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None)
}

fn joining(id: &str) -> ConsumerGroupHeartbeatRequest {
    request(id, 0)
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![topic_name("t")]))
        .with_topic_partitions(Some(Vec::new()))
}

fn load(answer: &ConsumerGroupHeartbeatResponse) -> usize {
    let topics = answer
        .assignment
        .iter()
        .flat_map(|assigned| &assigned.topic_partitions);
    topics.map(|topic| topic.partitions.len()).sum()
}

impl Rig {
    fn beat(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        match self.answer(Ask::ConsumerHeartbeat(asker(), 1, request)) {
            Reply::ConsumerHeartbeat(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn described(&mut self) -> DescribedGroup {
        match self.answer(Ask::ConsumerDescribe(group_id("g"))) {
            Reply::ConsumerDescribe(group) => group,
            other => panic!("{other:?}"),
        }
    }

    fn listed(&mut self) -> ListedGroup {
        match self.answer(Ask::List {
            states: Vec::new(),
            types: Vec::new(),
        }) {
            Reply::List(groups) => groups[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    fn deleted(&mut self) -> i16 {
        match self.answer(Ask::Delete(group_id("g"))) {
            Reply::Delete(answer) => answer.error_code,
            other => panic!("{other:?}"),
        }
    }

    fn commit_at(&mut self, epoch: i32, id: &str) -> i16 {
        match self.answer(Ask::Commit(9, commit(epoch, id, 0, 5))) {
            Reply::Commit(answer) => answer.topics[0].partitions[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    /// A classic group of one consumer that has all eight partitions: its id.
    fn classic_with_all(&mut self) -> String {
        let (id, token) = self.join_new();
        self.pass(6_000);
        assert_eq!(self.joined(token).generation_id, 1);
        let all = [("t".to_owned(), (0..8).collect())];
        let given = SyncGroupRequestAssignment::default()
            .with_member_id(text(&id))
            .with_assignment(Assignment::write(&subscription(&[]), &all).unwrap());
        let request = SyncGroupRequest::default()
            .with_group_id(group_id("g"))
            .with_generation_id(1)
            .with_member_id(text(&id))
            .with_assignments(vec![given]);
        let token = self.ask(Ask::Sync(4, request));
        assert_eq!(self.synced(token).error_code, 0);
        id
    }

    fn synced_partitions(&mut self, generation: i32, id: &str) -> usize {
        let token = self.sync(generation, id, &[]);
        let answer = self.synced(token);
        assert_eq!(answer.error_code, 0);
        let read = Assignment::read(&answer.assignment).unwrap();
        read.partitions
            .iter()
            .map(|(_, partitions)| partitions.len())
            .sum()
    }
}

#[test]
fn a_consumer_group_lives_and_survives_its_coordinator() {
    let mut rig = Rig::new();
    let unknown = rig.beat(request("a", 3));
    assert_eq!(unknown.error_code, ResponseError::GroupIdNotFound.code());
    assert_eq!(
        rig.described().error_code,
        ResponseError::GroupIdNotFound.code()
    );
    assert_eq!(load(&rig.beat(joining("a"))), 8);
    assert_eq!(rig.commit_at(1, "a"), 0);
    assert_eq!(
        rig.commit_at(0, "a"),
        ResponseError::StaleMemberEpoch.code()
    );
    let listed = rig.listed();
    assert_eq!(
        (&*listed.group_type, &*listed.group_state),
        ("consumer", "Stable")
    );
    assert_eq!(&*listed.protocol_type, "consumer");
    let group = rig.described();
    assert_eq!((group.group_epoch, group.assignment_epoch), (1, 1));
    assert_eq!((&*group.assignor_name, group.members.len()), ("uniform", 1));
    assert_eq!(
        group.members[0].assignment.topic_partitions[0]
            .partitions
            .len(),
        8
    );
    assert_eq!(rig.deleted(), ResponseError::NonEmptyGroup.code());

    rig.load();
    assert_eq!(rig.described(), group);
    assert_eq!(rig.fetch(0, false), (5, 0));
    assert_eq!(rig.beat(request("a", 1)).member_epoch, 1);
    // The session begins anew with the coordinator, and ends.
    rig.pass(45_000);
    assert_eq!(rig.state().as_deref(), Some("Empty"));
    assert_eq!(rig.deleted(), 0);
    assert_eq!(rig.state(), None);
    rig.load();
    assert_eq!(rig.state(), None);
    assert_eq!(rig.fetch(0, false), (-1, 0));
}

#[test]
fn what_is_refused_leaves_no_group_behind() {
    let mut rig = Rig::with(Settings {
        batch_max_bytes: 1 << 20,
        ..Settings::default()
    });
    let bad = joining("a").with_subscribed_topic_regex(Some(text("(")));
    assert_eq!(
        rig.beat(bad).error_code,
        ResponseError::InvalidRegularExpression.code()
    );
    let large = joining("a").with_subscribed_topic_names(Some(vec![topic_name("t"); 200_000]));
    assert_eq!(
        rig.beat(large).error_code,
        ResponseError::InvalidRequest.code()
    );
    assert_eq!(rig.state(), None);
    assert!(rig.log.is_empty());
}

#[test]
fn a_classic_group_moves_to_the_consumer_protocol_and_back() {
    let mut rig = Rig::new();
    let old = rig.classic_with_all();
    assert_eq!(rig.commit(commit(1, &old, 0, 7)), 0);
    let joined = rig.beat(joining("new"));
    assert_eq!(
        (joined.error_code, joined.member_epoch, load(&joined)),
        (0, 2, 0)
    );
    assert_eq!(&*rig.listed().group_type, "consumer");
    rig.load();
    assert_eq!(rig.fetch(0, false), (7, 0));

    // The classic member gives up half of what it has, in the generations of its protocol.
    assert_eq!(
        rig.heartbeat(1, &old),
        ResponseError::RebalanceInProgress.code()
    );
    let mut revoking = join(&old, None);
    let metadata = |owned: &[i32]| crate::embedded::tests::subscription(1, &["t"], &[("t", owned)]);
    revoking.protocols[0].metadata = metadata(&[0, 1, 2, 3, 4, 5, 6, 7]);
    let token = rig.join(9, revoking.clone());
    assert_eq!(rig.joined(token).generation_id, 1);
    assert_eq!(rig.synced_partitions(1, &old), 4);
    revoking.protocols[0].metadata = metadata(&[0, 1, 2, 3]);
    let token = rig.join(9, revoking);
    assert_eq!(rig.joined(token).generation_id, 2);
    assert_eq!(rig.synced_partitions(2, &old), 4);
    assert_eq!(load(&rig.beat(request("new", 2))), 4);

    // The other one leaves: the classic member is called to a rebalance of its own.
    rig.beat(request("new", -1));
    assert_eq!(&*rig.listed().group_type, "classic");
    assert_eq!(
        rig.heartbeat(2, &old),
        ResponseError::RebalanceInProgress.code()
    );
    let token = rig.join(9, join(&old, None));
    let joined = rig.joined(token);
    assert_eq!((joined.generation_id, &*joined.leader), (3, old.as_str()));
    rig.load();
    assert_eq!(&*rig.listed().group_type, "classic");
    assert_eq!(rig.fetch(0, false), (7, 0));
    assert_eq!(
        rig.described().error_code,
        ResponseError::GroupIdNotFound.code()
    );
}

#[test]
fn whoever_waits_in_a_classic_group_that_moves_is_told() {
    let mut rig = Rig::new();
    let old = rig.classic_with_all();
    let waiting = rig.join_new().1;
    assert!(rig.is_waiting(waiting));
    assert_eq!(rig.beat(joining("new")).error_code, 0);
    assert_eq!(
        rig.joined(waiting).error_code,
        ResponseError::RebalanceInProgress.code()
    );
    assert_eq!(rig.described().members.len(), 3);
    let left = rig.leave(&[(&old, None), ("who", None)]);
    let codes: Vec<i16> = left
        .members
        .iter()
        .map(|member| member.error_code)
        .collect();
    assert_eq!(codes, [0, ResponseError::UnknownMemberId.code()]);
}

#[test]
fn groups_that_cannot_move_stay() {
    let mut rig = Rig::new();
    // What the leader gave out can't be read as an assignment.
    let ids = rig.stable(1);
    let refused = rig.beat(joining("new"));
    assert_eq!(refused.error_code, ResponseError::GroupIdNotFound.code());
    assert_eq!(rig.heartbeat(1, &ids[0]), 0);
    assert_eq!(&*rig.listed().group_type, "classic");
}

#[test]
fn empty_groups_change_their_protocol_freely() {
    let mut rig = Rig::new();
    let old = rig.classic_with_all();
    rig.leave(&[(&old, None)]);
    assert_eq!(rig.beat(joining("new")).member_epoch, 1);
    rig.beat(request("new", -1));
    assert_eq!(rig.listed().group_state, text("Empty"));
    rig.join_new();
    assert_eq!(&*rig.listed().group_type, "classic");
    rig.load();
    assert_eq!(&*rig.listed().group_type, "classic");
}

#[test]
fn garbage_from_members_is_only_refused() {
    let mut rig = Rig::new();
    rig.beat(joining("a"));
    let mut hostile = join("b", None);
    hostile.protocols[0].metadata = Bytes::from_static(b"\0\x01\x7f\xff\xff\xff");
    let token = rig.join(9, hostile);
    let code = rig.joined(token).error_code;
    assert_eq!(code, ResponseError::InconsistentGroupProtocol.code());
    let token = rig.join(3, join("", None).with_protocols(Vec::new()));
    let code = rig.joined(token).error_code;
    assert_eq!(code, ResponseError::InconsistentGroupProtocol.code());
}
