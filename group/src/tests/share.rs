//! Share groups: members, the states of their partitions, what operators do to both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::share_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, ConsumerGroupHeartbeatRequest, DeleteShareGroupOffsetsRequest,
    GroupId, JoinGroupRequest, OffsetCommitRequest, ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::rig::{Rig, asker};
use crate::{
    Ask, Effect, OwnSettings, Partitions, Reply, Settings, ShareAsk, ShareReply, ShareSettings,
};

const GROUP: &str = "group";

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn beating(
    member: &str,
    epoch: i32,
    topics: Option<&[&str]>,
) -> ShareGroupHeartbeatRequest {
    let names = |topics: &[&str]| topics.iter().map(|name| TopicName(text(name))).collect();
    ShareGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_subscribed_topic_names(topics.map(names))
}

pub(super) fn assigned(answer: &ShareGroupHeartbeatResponse) -> Option<Partitions> {
    let topics = &answer.assignment.as_ref()?.topic_partitions;
    let topics = topics
        .iter()
        .map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect()));
    Some(topics.collect())
}

pub(super) fn count(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}

impl Rig {
    pub(super) fn beats(
        &mut self,
        request: ShareGroupHeartbeatRequest,
    ) -> ShareGroupHeartbeatResponse {
        match self.answer(Ask::ShareHeartbeat(asker(), request)) {
            Reply::ShareHeartbeat(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn share_beat(
        &mut self,
        member: &str,
        epoch: i32,
        topics: Option<&[&str]>,
    ) -> ShareGroupHeartbeatResponse {
        self.beats(beating(member, epoch, topics))
    }

    pub(super) fn share(&mut self, ask: ShareAsk) -> ShareReply {
        match self.answer(Ask::Share(GROUP.into(), ask)) {
            Reply::Share(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// Has the share coordinator do what it was asked for.
    pub(super) fn states_are_made(&mut self, well: bool) -> usize {
        let effects = std::mem::take(&mut self.effects);
        let asked = effects.len();
        for Effect::InitializeShare {
            group, partitions, ..
        } in effects
        {
            assert_eq!(group, GROUP);
            let mut made = Partitions::new();
            for start in partitions {
                assert_eq!(start.start_offset, crate::NO_START_OFFSET);
                made.entry(start.topic).or_default().insert(start.partition);
            }
            self.share(match well {
                true => ShareAsk::Initialized(made),
                false => ShareAsk::NotInitialized(made),
            });
        }
        asked
    }

    pub(super) fn with_state(&mut self) -> Partitions {
        match self.share(ShareAsk::WithState) {
            ShareReply::Partitions(Ok(partitions)) => partitions,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn shared(&mut self) -> DescribedGroup {
        match self.answer(Ask::ShareDescribe(GroupId(text(GROUP)))) {
            Reply::ShareDescribe(group) => group,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn delete_shared(&mut self) -> i16 {
        match self.answer(Ask::Delete(GroupId(text(GROUP)))) {
            Reply::Delete(result) => result.error_code,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn partitions_are_given_out_once_they_have_a_state() {
    let mut rig = Rig::new();
    let first = rig.share_beat("a", 0, Some(&["t"]));
    assert_eq!((first.error_code, first.member_epoch), (0, 1));
    assert_eq!(first.heartbeat_interval_ms, 500, "there may be news soon");
    assert_eq!(assigned(&first), Some(Partitions::new()));
    assert!(matches!(
        &rig.effects[..],
        [Effect::InitializeShare { state_epoch: 1, partitions, .. }] if partitions.len() == 8
    ));
    // Nothing is asked for twice while it is under way.
    assert_eq!(assigned(&rig.share_beat("a", 1, None)), None);
    assert_eq!(rig.states_are_made(true), 1);
    let second = rig.share_beat("a", 1, None);
    assert_eq!(
        (second.member_epoch, second.heartbeat_interval_ms),
        (2, 5_000)
    );
    assert_eq!(count(&assigned(&second).unwrap()), 8);
    // Heartbeats that change nothing write nothing.
    let written = rig.log.len();
    assert_eq!(rig.share_beat("a", 2, None).member_epoch, 2);
    assert_eq!((rig.log.len(), rig.effects.len()), (written, 0));

    let other = rig.share_beat("b", 0, Some(&["t"]));
    let (other_has, has) = (
        assigned(&other).unwrap(),
        assigned(&rig.share_beat("a", 2, None)).unwrap(),
    );
    assert!(count(&other_has) >= 3 && count(&has) >= 3 && count(&other_has) + count(&has) >= 8);
    let group = rig.shared();
    assert_eq!((group.group_epoch, group.assignment_epoch), (3, 3));
    assert_eq!(
        (group.group_state.as_str(), group.assignor_name.as_str()),
        ("Stable", "simple")
    );
    assert_eq!(group.members.len(), 2);
    assert_eq!(
        group.members[0].assignment.topic_partitions[0]
            .topic_name
            .as_str(),
        "t"
    );

    rig.topics.grow("t", 2);
    rig.share_beat("a", 3, None);
    assert_eq!(rig.states_are_made(true), 1);
    let grown = rig.share_beat("a", 4, None);
    assert_eq!(grown.member_epoch, 5);
    assert_eq!(count(&rig.with_state()), 10);
}

#[test]
fn states_that_were_not_made_are_asked_for_again() {
    let mut rig = Rig::new();
    rig.share_beat("a", 0, Some(&["t"]));
    rig.states_are_made(false);
    rig.share_beat("a", 1, None);
    assert_eq!(rig.effects.len(), 1);
    // Nothing is heard of it.
    rig.effects.clear();
    rig.pass(9_000);
    rig.share_beat("a", 1, None);
    assert_eq!(rig.effects.len(), 0);
    rig.pass(1_000);
    rig.share_beat("a", 1, None);
    assert_eq!(rig.effects.len(), 1);
    // Another coordinator doesn't know what is under way.
    rig.load();
    rig.share_beat("a", 1, None);
    assert_eq!(rig.states_are_made(true), 1);
    assert_eq!(count(&assigned(&rig.share_beat("a", 1, None)).unwrap()), 8);
}

#[test]
fn members_are_fenced_as_kafka_fences_them() {
    let settings = Settings {
        share: ShareSettings {
            max_size: 2,
            ..ShareSettings::default()
        },
        ..Settings::default()
    };
    let mut rig = Rig::with(settings);
    let code =
        |rig: &mut Rig, member: &str, epoch: i32| rig.share_beat(member, epoch, None).error_code;
    assert_eq!(code(&mut rig, "a", 0), ResponseError::InvalidRequest.code());
    assert_eq!(
        code(&mut rig, "a", -2),
        ResponseError::InvalidRequest.code()
    );
    assert_eq!(code(&mut rig, "", 1), ResponseError::InvalidRequest.code());
    assert_eq!(
        code(&mut rig, "a", 1),
        ResponseError::GroupIdNotFound.code()
    );
    assert_eq!(
        code(&mut rig, "a", -1),
        ResponseError::GroupIdNotFound.code()
    );
    assert!(rig.log.is_empty());
    rig.share_beat("a", 0, Some(&["t"]));
    assert_eq!(
        code(&mut rig, "b", 1),
        ResponseError::UnknownMemberId.code()
    );
    assert_eq!(
        code(&mut rig, "b", -1),
        ResponseError::UnknownMemberId.code()
    );
    assert_eq!(
        code(&mut rig, "a", 2),
        ResponseError::FencedMemberEpoch.code()
    );
    // An answer that was lost is asked for again.
    rig.states_are_made(true);
    assert_eq!(rig.share_beat("a", 1, None).member_epoch, 2);
    assert_eq!(rig.share_beat("a", 1, None).member_epoch, 2);
    assert_eq!(code(&mut rig, "a", 0), ResponseError::InvalidRequest.code());
    let again = rig.share_beat("a", 0, Some(&["t"]));
    assert_eq!(again.error_code, ResponseError::FencedMemberEpoch.code());
    rig.share_beat("b", 0, Some(&["t"]));
    let third = rig.share_beat("c", 0, Some(&["t"]));
    assert_eq!(third.error_code, ResponseError::GroupMaxSizeReached.code());
    assert_eq!(rig.delete_shared(), ResponseError::NonEmptyGroup.code());

    let left = rig.share_beat("b", -1, None);
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    // What it was to give to the other it never did.
    let stays = rig.share_beat("a", 2, None);
    assert_eq!((stays.member_epoch, assigned(&stays)), (4, None));
    rig.pass(45_000);
    assert_eq!(
        code(&mut rig, "a", 4),
        ResponseError::UnknownMemberId.code()
    );
    assert_eq!(rig.shared().group_state.as_str(), "Empty");
}

#[test]
fn what_a_group_sets_for_itself_is_in_force() {
    let own = OwnSettings {
        share_session_timeout_ms: Some(50_000),
        share_heartbeat_interval_ms: Some(6_000),
        ..OwnSettings::default()
    };
    let settings = Settings {
        of_groups: Arc::new(BTreeMap::from([(GROUP.to_owned(), own)])),
        ..Settings::default()
    };
    let mut rig = Rig::with(settings);
    rig.share_beat("a", 0, Some(&["t"]));
    rig.states_are_made(true);
    assert_eq!(rig.share_beat("a", 1, None).heartbeat_interval_ms, 6_000);
    rig.pass(49_999);
    assert_eq!(rig.shared().members.len(), 1);
    rig.pass(1);
    assert_eq!(rig.shared().members.len(), 0);
}

#[test]
fn groups_of_other_types_are_others() {
    let mut rig = Rig::new();
    rig.share_beat("a", 0, Some(&["t"]));
    let join = JoinGroupRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_session_timeout_ms(10_000)
        .with_protocol_type(text("consumer"));
    match rig.answer(Ask::Join(asker(), 9, join)) {
        Reply::Join(answer) => {
            assert_eq!(
                answer.error_code,
                ResponseError::InconsistentGroupProtocol.code()
            );
        }
        other => panic!("{other:?}"),
    }
    let beat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(5_000)
        .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
        .with_topic_partitions(Some(Vec::new()));
    match rig.answer(Ask::ConsumerHeartbeat(asker(), 1, beat.clone())) {
        Reply::ConsumerHeartbeat(answer) => {
            assert_eq!(answer.error_code, ResponseError::GroupIdNotFound.code());
        }
        other => panic!("{other:?}"),
    }
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_generation_id_or_member_epoch(-1);
    match rig.answer(Ask::Commit(9, commit)) {
        Reply::Commit(answer) => assert!(answer.topics.is_empty()),
        other => panic!("{other:?}"),
    }
    match rig.answer(Ask::List {
        states: Vec::new(),
        types: vec!["Share".into()],
    }) {
        Reply::List(groups) => {
            assert_eq!(groups.len(), 1);
            assert_eq!(groups[0].protocol_type.as_str(), "share");
            assert_eq!(groups[0].group_type.as_str(), "share");
        }
        other => panic!("{other:?}"),
    }
    let mut other = Rig::new();
    other.answer(Ask::ConsumerHeartbeat(asker(), 1, beat));
    let refused = other.share_beat("a", 0, Some(&["t"]));
    assert_eq!(refused.error_code, ResponseError::GroupIdNotFound.code());
    assert_eq!(
        other.shared().error_code,
        ResponseError::GroupIdNotFound.code()
    );
}

#[test]
fn empty_groups_stay_until_they_are_deleted_with_their_states() {
    let mut rig = Rig::new();
    rig.share_beat("a", 0, Some(&["t"]));
    rig.states_are_made(true);
    assert!(matches!(
        rig.share(ShareAsk::Delete),
        ShareReply::Partitions(Err((ResponseError::NonEmptyGroup, _)))
    ));
    rig.share_beat("a", -1, None);
    rig.pass(30 * 24 * 60 * 60 * 1000);
    assert_eq!(rig.shared().group_state.as_str(), "Empty");
    for _ in 0..2 {
        // Once more, as it may have failed.
        match rig.share(ShareAsk::Delete) {
            ShareReply::Partitions(Ok(partitions)) => assert_eq!(count(&partitions), 8),
            other => panic!("{other:?}"),
        }
        assert_eq!(rig.with_state(), Partitions::new());
        rig.load();
    }
    assert_eq!(rig.delete_shared(), 0);
    assert_eq!(rig.delete_shared(), ResponseError::GroupIdNotFound.code());
    rig.compact();
    rig.load();
    assert_eq!(rig.delete_shared(), ResponseError::GroupIdNotFound.code());
}

#[test]
fn offsets_are_altered_and_deleted_while_the_group_is_empty() {
    let mut rig = Rig::new();
    let alter = |partitions: &[i32]| {
        let one = |index: &i32| {
            AlterShareGroupOffsetsRequestPartition::default()
                .with_partition_index(*index)
                .with_start_offset(100)
        };
        let topic = AlterShareGroupOffsetsRequestTopic::default()
            .with_topic_name(TopicName(text("t")))
            .with_partitions(partitions.iter().map(one).collect());
        let none = AlterShareGroupOffsetsRequestTopic::default()
            .with_topic_name(TopicName(text("none")))
            .with_partitions(vec![one(&0)]);
        ShareAsk::Alter(AlterShareGroupOffsetsRequest::default().with_topics(vec![topic, none]))
    };
    let delete = |topics: &[&str]| {
        let one = |name: &&str| {
            DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(TopicName(text(name)))
        };
        let topics = topics.iter().map(one).collect();
        ShareAsk::DeleteOffsets(DeleteShareGroupOffsetsRequest::default().with_topics(topics))
    };
    assert!(matches!(
        rig.share(alter(&[0])),
        ShareReply::Altered(Err((ResponseError::GroupIdNotFound, _)))
    ));
    rig.share_beat("a", 0, Some(&["t"]));
    rig.states_are_made(true);
    assert!(matches!(
        rig.share(delete(&["t"])),
        ShareReply::OffsetsDeleted(Err((ResponseError::NonEmptyGroup, _)))
    ));
    rig.share_beat("a", -1, None);
    let ShareReply::Altered(Ok(altered)) = rig.share(alter(&[1, 9])) else {
        panic!("it is empty");
    };
    let codes = |row: usize| {
        altered.rows[row]
            .partitions
            .iter()
            .map(|row| row.error_code)
    };
    assert_eq!(
        (codes(0).collect::<Vec<_>>(), codes(1).collect::<Vec<_>>()),
        (vec![0, 3], vec![3])
    );
    assert_eq!(
        (altered.starts.len(), altered.starts[0].start_offset),
        (1, 100)
    );
    assert_eq!(altered.state_epoch, 2);

    let ShareReply::OffsetsDeleted(Ok(answer)) = rig.share(delete(&["t", "none"])) else {
        panic!("it is empty");
    };
    assert_eq!(
        (answer.topics.len(), answer.topics[0].partitions.len()),
        (1, 8)
    );
    assert_eq!(answer.refused[0].error_code, 3);
    assert_eq!(rig.with_state(), Partitions::new());
    rig.share(ShareAsk::OffsetsDeleted(vec![answer.topics[0].id]));
    let ShareReply::OffsetsDeleted(Ok(answer)) = rig.share(delete(&["t"])) else {
        panic!("it is empty");
    };
    assert!(answer.topics.is_empty());
}
