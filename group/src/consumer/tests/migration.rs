use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    SyncGroupRequest,
};

use super::room::{Room, asker, assigned, beating, joining, load, text};
use crate::assign::Partitions;
use crate::consumer::convert::CannotConvert;
use crate::consumer::{ConsumerGroup, Convertible, ConvertibleMember, Outcome};
use crate::embedded::Assignment;
use crate::embedded::tests::subscription;
use crate::settings::MigrationPolicy;

type Owned<'a> = &'a [(&'a str, &'a [i32])];

fn classic(id: &str, owned: Owned<'_>) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(subscription(3, &["t"], owned));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text("group")))
        .with_member_id(text(id))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(20_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

impl Room {
    fn classic_join(
        &mut self,
        request: &JoinGroupRequest,
    ) -> Result<(JoinGroupResponse, Outcome), ResponseError> {
        self.step(|group, step| group.join(step, &asker(), 9, request))
    }

    fn classic_sync(&mut self, id: &str, generation: i32) -> Result<Assignment, ResponseError> {
        let request = SyncGroupRequest::default()
            .with_member_id(text(id))
            .with_generation_id(generation)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")));
        let answer = self.step(|group, step| group.sync(step, &request))?;
        Ok(Assignment::read(&answer.assignment).unwrap())
    }

    fn classic_beat(&mut self, id: &str, generation: i32) -> Result<(), ResponseError> {
        let request = HeartbeatRequest::default()
            .with_member_id(text(id))
            .with_generation_id(generation);
        self.step(|group, step| group.classic_heartbeat(step, &request))
    }

    fn classic_leave(&mut self, ids: &[&str]) -> (Vec<i16>, Outcome) {
        let members = ids
            .iter()
            .map(|id| MemberIdentity::default().with_member_id(text(id)));
        let request = LeaveGroupRequest::default().with_members(members.collect());
        let (answer, outcome) = self.step(|group, step| group.classic_leave(step, &request));
        (
            answer
                .members
                .iter()
                .map(|member| member.error_code)
                .collect(),
            outcome,
        )
    }
}

#[test]
fn classic_members_join_a_consumer_group() {
    let mut room = Room::new(4);
    let all = assigned(&room.join("a")).unwrap();
    let first = room.classic_join(&classic("", &[])).unwrap().0;
    assert_eq!(first.error_code, ResponseError::MemberIdRequired.code());
    let id = first.member_id.to_string();
    let joined = room.classic_join(&classic(&id, &[])).unwrap().0;
    assert_eq!((joined.generation_id, joined.error_code), (2, 0));
    assert_eq!(joined.protocol_name, Some(text("range")));
    assert_eq!(room.classic_sync(&id, 2).unwrap().partitions, []);
    assert_eq!(
        room.classic_sync(&id, 1),
        Err(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        room.classic_sync("a", 1),
        Err(ResponseError::UnknownMemberId)
    );
    // It waits for the other.
    assert_eq!(room.classic_beat(&id, 2), Ok(()));
    let kept = assigned(&room.beat("a", 1, &all)).unwrap();
    room.beat("a", 1, &kept);
    assert_eq!(
        room.classic_beat(&id, 2),
        Err(ResponseError::RebalanceInProgress)
    );
    let joined = room.classic_join(&classic(&id, &[])).unwrap().0;
    assert_eq!(joined.generation_id, 2);
    let synced = room.classic_sync(&id, 2).unwrap();
    assert_eq!(
        synced
            .partitions
            .iter()
            .map(|(_, partitions)| partitions.len())
            .sum::<usize>(),
        2
    );
    assert_eq!(room.group.state(), "Stable");
    room.check_log();

    let stranger = classic("", &[]).with_protocol_type(text("connect"));
    let refused = room.classic_join(&stranger).unwrap_err();
    assert_eq!(refused, ResponseError::InconsistentGroupProtocol);
}

#[test]
fn classic_members_that_do_not_do_their_part_are_sent_away() {
    let mut room = Room::new(4);
    room.join("a");
    room.classic_join(&classic("b", &[])).unwrap();
    // It never asks for its assignment, though it sends heartbeats.
    for _ in 0..4 {
        room.pass(5_000);
        let _ = room.classic_beat("b", 2);
        room.heartbeat(&beating("a", room.group.standing("a").epoch, None))
            .unwrap();
    }
    assert_eq!(
        room.classic_beat("b", 2),
        Err(ResponseError::UnknownMemberId)
    );
    room.check_log();
}

#[test]
fn the_last_member_of_the_consumer_protocol_leaves_a_classic_group_behind() {
    let mut room = Room::new(4);
    let all = assigned(&room.join("a")).unwrap();
    room.classic_join(&classic("b", &[])).unwrap();
    let kept = assigned(&room.beat("a", 1, &all)).unwrap();
    room.beat("a", 1, &kept);
    room.classic_join(&classic("b", &[])).unwrap();
    room.classic_sync("b", 2).unwrap();
    let (_, outcome) = room.heartbeat_outcome(&beating("a", -1, None)).unwrap();
    let Outcome::Downgraded(group) = outcome else {
        panic!("it stays");
    };
    assert!(group.rebalances);
    assert_eq!((group.generation, group.members.len()), (2, 1));
    let member = &group.members[0];
    assert_eq!(
        (member.id.as_str(), member.session_timeout_ms),
        ("b", 10_000)
    );
    let assignment = Assignment::read(&member.assignment).unwrap();
    assert_eq!(assignment.partitions[0].1.len(), 2);
    // Nothing of it is left in the log.
    assert_eq!(room.replayed().said(), ConsumerGroup::new("group").said());
}

#[test]
fn a_group_stays_where_it_is_told_to() {
    let mut room = Room::new(4);
    room.settings.migration_policy = MigrationPolicy::Upgrade;
    room.join("a");
    room.classic_join(&classic("b", &[])).unwrap();
    let (codes, outcome) = room.classic_leave(&["a", "x"]);
    assert_eq!(codes, [0, ResponseError::UnknownMemberId.code()]);
    assert_eq!((outcome, room.group.state()), (Outcome::Stays, "Assigning"));
    room.check_log();
}

#[test]
fn a_static_member_that_turns_to_the_classic_protocol_takes_the_group_along() {
    let mut room = Room::new(2);
    room.heartbeat(&joining("a", &["t"]).with_instance_id(Some(text("i"))))
        .unwrap();
    let back = classic("", &[]).with_group_instance_id(Some(text("i")));
    let (answer, outcome) = room.classic_join(&back).unwrap();
    let Outcome::Downgraded(group) = outcome else {
        panic!("it stays");
    };
    assert!(!group.rebalances);
    assert_eq!(answer.generation_id, 1);
    assert_eq!(group.members[0].id, answer.member_id.to_string());
    let assignment = Assignment::read(&group.members[0].assignment).unwrap();
    assert_eq!(assignment.partitions, [("t".to_owned(), vec![0, 1])]);
}

fn group(metadata: &Bytes, assignments: [Bytes; 2]) -> Convertible {
    let member = |id: &str, assignment| ConvertibleMember {
        id: id.into(),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 20_000,
        session_timeout_ms: 10_000,
        protocols: vec![("range".into(), metadata.clone())],
        assignment,
        ..ConvertibleMember::default()
    };
    let [a, b] = assignments;
    Convertible {
        generation: 7,
        protocol: Some("range".into()),
        rebalances: false,
        members: vec![member("a", a), member("b", b)],
    }
}

#[test]
fn a_classic_group_becomes_a_consumer_group_without_losing_its_place() {
    let mut room = Room::new(4);
    let metadata = subscription(1, &["t"], &[]);
    let write = |partitions: &[i32]| {
        Assignment::write(&metadata, &[("t".to_owned(), partitions.to_vec())]).unwrap()
    };
    let classic_group = group(&metadata, [write(&[0, 1]), write(&[2, 3])]);
    room.group = room
        .step(|_, step| ConsumerGroup::upgrade(step, "group", &classic_group))
        .unwrap();
    room.check_log();
    assert_eq!((room.group.state(), room.group.epoch), ("Stable", 7));
    assert_eq!(room.classic_beat("a", 7), Ok(()));

    let joined = room.join("c");
    assert_eq!(
        (joined.member_epoch, assigned(&joined)),
        (8, Some(Partitions::new()))
    );
    assert_eq!(
        room.classic_beat("b", 7),
        Err(ResponseError::RebalanceInProgress)
    );
    let owned: Owned<'_> = &[("t", &[2, 3])];
    assert_eq!(
        room.classic_join(&classic("b", owned))
            .unwrap()
            .0
            .generation_id,
        7
    );
    let kept = room.classic_sync("b", 7).unwrap().partitions;
    assert_eq!(kept[0].1, [2]);
    let owned: Owned<'_> = &[("t", &[2])];
    assert_eq!(
        room.classic_join(&classic("b", owned))
            .unwrap()
            .0
            .generation_id,
        8
    );
    room.classic_sync("b", 8).unwrap();
    assert_eq!(
        load(&assigned(&room.beat("c", 8, &Partitions::new())).unwrap()),
        1
    );
    room.check_log();
}

#[test]
fn what_would_be_lost_is_not_upgraded() {
    let mut room = Room::new(4);
    let metadata = subscription(1, &["t"], &[]);
    let mut notes = coordinator::wire::Writer::of_version(1);
    notes.array(0);
    notes.nullable_bytes(Some(b"notes"));
    let noted = group(&metadata, [notes.finish(), Bytes::new()]);
    let refused = room.step(|_, step| ConsumerGroup::upgrade(step, "group", &noted).map(drop));
    assert_eq!(refused, Err(CannotConvert::CustomAssignor));
    let malformed = group(&Bytes::from_static(b"?"), [Bytes::new(), Bytes::new()]);
    let refused = room.step(|_, step| ConsumerGroup::upgrade(step, "group", &malformed).map(drop));
    assert_eq!(refused, Err(CannotConvert::Malformed));
    assert!(room.log.is_empty());
}
