use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;

use super::room::{Room, assigned, beating, joining, load, text};
use crate::assign::Partitions;
use crate::consumer::{ConsumerGroup, Outcome};
use crate::group::Committer;

fn refused<T: std::fmt::Debug>(result: Result<T, crate::consumer::Refusal>) -> ResponseError {
    result.unwrap_err().error
}

#[test]
fn partitions_go_over_only_when_they_were_given_up() {
    let mut room = Room::new(4);
    let first = room.join("a");
    let all = assigned(&first).unwrap();
    assert_eq!(
        (first.member_epoch, load(&all), room.group.state()),
        (1, 4, "Stable")
    );
    assert_eq!(first.heartbeat_interval_ms, 5_000);

    let second = room.join("b");
    assert_eq!(
        (second.member_epoch, assigned(&second).unwrap().len()),
        (2, 0)
    );
    assert_eq!(room.group.state(), "Reconciling");

    // The first learns that it shall give two up, and stays in its epoch until it has.
    let told = room.beat("a", 1, &all);
    let kept = assigned(&told).unwrap();
    assert_eq!((told.member_epoch, load(&kept)), (1, 2));
    assert_eq!(
        room.heartbeat(&beating("a", 1, None)).unwrap().member_epoch,
        1
    );
    assert_eq!(
        load(&assigned(&room.beat("b", 2, &Partitions::new())).unwrap_or_default()),
        0
    );

    let moved = room.beat("a", 1, &kept);
    assert_eq!((moved.member_epoch, assigned(&moved)), (2, None));
    let got = room.beat("b", 2, &Partitions::new());
    assert_eq!(load(&assigned(&got).unwrap()), 2);
    assert_eq!(room.group.state(), "Stable");
    room.check_log();

    // Nothing is written for heartbeats that change nothing.
    let written = room.log.len();
    room.beat("a", 2, &kept);
    assert_eq!(room.log.len(), written);
}

#[test]
fn whoever_keeps_partitions_too_long_is_sent_away() {
    let mut room = Room::new(2);
    let all = assigned(&room.join("a")).unwrap();
    room.join("b");
    room.beat("a", 1, &all);
    for _ in 0..5 {
        room.pass(5_000);
        room.heartbeat(&beating("b", 2, None)).unwrap();
        room.beat("a", 1, &all);
    }
    room.pass(5_000);
    assert_eq!(
        refused(room.heartbeat(&beating("a", 1, Some(&all)))),
        ResponseError::UnknownMemberId
    );
    let got = room.heartbeat(&beating("b", 2, None)).unwrap();
    assert_eq!(load(&assigned(&got).unwrap()), 2);
    room.check_log();
}

#[test]
fn whoever_is_not_heard_of_is_sent_away() {
    let mut room = Room::new(2);
    room.join("a");
    room.pass(44_999);
    assert_eq!(room.group.state(), "Stable");
    room.pass(1);
    assert_eq!(room.group.state(), "Empty");
    assert_eq!(room.group.deadline(), None);
    room.check_log();
}

#[test]
fn a_lost_answer_can_be_asked_for_again_and_nothing_older() {
    let mut room = Room::new(4);
    let all = assigned(&room.join("a")).unwrap();
    // The answer to the joining was lost: the member joins again.
    assert_eq!(
        room.heartbeat(&joining("a", &["t"])).unwrap().member_epoch,
        1
    );
    room.join("b");
    let kept = assigned(&room.beat("a", 1, &all)).unwrap();
    assert_eq!(room.beat("a", 1, &kept).member_epoch, 2);
    // It is in epoch 2, but doesn't know.
    let again = room.beat("a", 1, &kept);
    assert_eq!(again.member_epoch, 2);
    for (epoch, owned) in [
        (1, Some(&all)),
        (1, None),
        (0, Some(&Partitions::new())),
        (3, Some(&kept)),
    ] {
        let mut request = beating("a", epoch, owned);
        if epoch == 0 {
            request = joining("a", &["t"]);
        }
        assert_eq!(
            refused(room.heartbeat(&request)),
            ResponseError::FencedMemberEpoch,
            "{epoch}"
        );
    }
    assert_eq!(
        refused(room.heartbeat(&beating("c", 2, None))),
        ResponseError::UnknownMemberId
    );
}

#[test]
fn members_leave() {
    let mut room = Room::new(2);
    room.join("a");
    room.join("b");
    let left = room.heartbeat(&beating("a", -1, None)).unwrap();
    assert_eq!((left.member_epoch, left.member_id), (-1, Some(text("a"))));
    let got = room.heartbeat(&beating("b", 2, None)).unwrap();
    assert_eq!((got.member_epoch, load(&assigned(&got).unwrap())), (3, 2));
    assert_eq!(
        refused(room.heartbeat(&beating("a", -1, None))),
        ResponseError::UnknownMemberId
    );
    room.heartbeat(&beating("b", -1, None)).unwrap();
    assert_eq!(room.group.state(), "Empty");
    room.check_log();
}

#[test]
fn static_members_come_back_to_what_they_had() {
    let mut room = Room::new(4);
    let instance = |request: kafka_protocol::messages::ConsumerGroupHeartbeatRequest| {
        request.with_instance_id(Some(text("i")))
    };
    let had = assigned(&room.heartbeat(&instance(joining("a", &["t"]))).unwrap());
    room.join("b");
    let kept = assigned(
        &room
            .heartbeat(&instance(beating("a", 1, had.as_ref())))
            .unwrap(),
    )
    .unwrap();
    room.heartbeat(&instance(beating("a", 1, Some(&kept))))
        .unwrap();
    room.beat("b", 2, &Partitions::new());

    let taken = room.heartbeat(&instance(joining("c", &["t"])));
    assert_eq!(refused(taken), ResponseError::UnreleasedInstanceId);
    room.heartbeat(&instance(beating("a", -2, None))).unwrap();
    assert_eq!(room.group.state(), "Reconciling");
    let back = room.heartbeat(&instance(joining("c", &["t"]))).unwrap();
    assert_eq!((back.member_epoch, assigned(&back)), (2, Some(kept)));
    assert_eq!(room.group.state(), "Stable");
    room.check_log();

    let fenced = room.heartbeat(&instance(beating("a", 2, None)));
    assert_eq!(refused(fenced), ResponseError::FencedInstanceId);
    let unknown = room.heartbeat(&beating("c", 2, None).with_instance_id(Some(text("x"))));
    assert_eq!(refused(unknown), ResponseError::UnknownMemberId);
    // One that is away and doesn't come back is gone in the end.
    room.heartbeat(&instance(beating("c", -2, None))).unwrap();
    for _ in 0..9 {
        room.pass(5_000);
        let at = room.group.standing("b");
        room.beat("b", at.epoch, &at.assigned);
    }
    let at = room.group.standing("b");
    assert_eq!(load(&at.assigned), 4);
    room.check_log();
}

#[test]
fn topics_that_come_grow_and_go_are_assigned() {
    let mut room = Room::new(2);
    room.heartbeat(&joining("a", &["t", "later"])).unwrap();
    room.topics.set("later", 3);
    let got = room.heartbeat(&beating("a", 1, None)).unwrap();
    assert_eq!((got.member_epoch, load(&assigned(&got).unwrap())), (2, 5));
    room.topics.set("t", 4);
    let got = room.heartbeat(&beating("a", 2, None)).unwrap();
    assert_eq!(load(&assigned(&got).unwrap()), 7);
    room.topics.set("other", 4);
    assert_eq!(
        room.heartbeat(&beating("a", 3, None)).unwrap().assignment,
        None
    );
    room.topics.delete("t");
    let told = room.heartbeat(&beating("a", 3, None)).unwrap();
    assert_eq!(load(&assigned(&told).unwrap()), 3);
    room.check_log();
}

#[test]
fn expressions_follow_the_topics() {
    let mut room = Room::new(2);
    room.topics.set("cat", 1);
    let regex = |id: &str, regex: &str| {
        joining(id, &[])
            .with_subscribed_topic_names(None)
            .with_subscribed_topic_regex(Some(text(regex)))
    };
    let got = room.heartbeat(&regex("a", "c.*")).unwrap();
    assert_eq!(load(&assigned(&got).unwrap()), 1);
    assert!(room.group.is_subscribed_to("cat") && !room.group.is_subscribed_to("t"));
    room.topics.set("cow", 2);
    let got = room.heartbeat(&beating("a", 1, None)).unwrap();
    assert_eq!(load(&assigned(&got).unwrap()), 3);
    room.check_log();

    assert_eq!(
        refused(room.heartbeat(&regex("b", "c("))),
        ResponseError::InvalidRegularExpression
    );
    assert_eq!(room.group.members.len(), 1);
    // Names and no expression any more.
    let names = beating("a", 2, None)
        .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
        .with_subscribed_topic_regex(Some(text("")));
    room.heartbeat(&names).unwrap();
    assert!(room.group.regexes.is_empty() && !room.group.is_subscribed_to("cat"));
    room.check_log();
}

#[test]
fn what_cannot_be_a_heartbeat_is_refused() {
    let mut room = Room::new(2);
    room.settings.max_size = 1;
    let invalid = [
        joining("", &["t"]),
        joining("a", &["t"]).with_rebalance_timeout_ms(-1),
        joining("a", &["t"]).with_topic_partitions(None),
        joining("a", &["t"]).with_subscribed_topic_names(None),
        joining("a", &["t"]).with_instance_id(Some(text(""))),
        joining("a", &["t"]).with_rack_id(Some(text(""))),
        beating("a", -2, None),
        beating("a", -3, None),
        joining(&"m".repeat(40_000), &["t"]),
        joining("a", &["t"]).with_subscribed_topic_regex(Some(text(&"m".repeat(40_000)))),
    ];
    for request in invalid {
        assert_eq!(
            refused(room.heartbeat(&request)),
            ResponseError::InvalidRequest
        );
    }
    let assignor = joining("a", &["t"]).with_server_assignor(Some(text("sticky")));
    assert_eq!(
        refused(room.heartbeat(&assignor)),
        ResponseError::UnsupportedAssignor
    );
    assert_eq!(
        refused(room.heartbeat(&beating("a", 3, None))),
        ResponseError::UnknownMemberId
    );
    assert!(room.log.is_empty());
    room.join("a");
    assert_eq!(
        refused(room.heartbeat(&joining("b", &["t"]))),
        ResponseError::GroupMaxSizeReached
    );
}

#[test]
fn the_assignor_that_most_would_like_is_taken() {
    let mut room = Room::new(4);
    let range = |id: &str| joining(id, &["t"]).with_server_assignor(Some(text("range")));
    room.join("a");
    assert_eq!(
        room.group.assignor_name(&room.settings.assignors),
        "uniform"
    );
    room.heartbeat(&range("b")).unwrap();
    assert_eq!(room.group.assignor_name(&room.settings.assignors), "range");
}

fn commits(
    group: &ConsumerGroup,
    member_id: &str,
    generation: i32,
    version: Option<i16>,
) -> Result<(), ResponseError> {
    group.may_commit(&Committer {
        member_id,
        instance: None,
        generation,
        version,
    })
}

#[test]
fn offsets_are_for_members_of_their_epoch() {
    let mut room = Room::new(2);
    let group = &room.group;
    assert_eq!(commits(group, "", -1, Some(9)), Ok(()));
    room.join("a");
    let group = &room.group;
    assert_eq!(commits(group, "a", 1, Some(9)), Ok(()));
    assert_eq!(
        commits(group, "a", 0, Some(9)),
        Err(ResponseError::StaleMemberEpoch)
    );
    assert_eq!(
        commits(group, "a", 1, Some(8)),
        Err(ResponseError::UnsupportedVersion)
    );
    assert_eq!(
        commits(group, "x", 1, Some(9)),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        commits(group, "", -1, Some(9)),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(commits(group, "", -1, None), Ok(()));
    assert_eq!(
        commits(group, "a", 2, None),
        Err(ResponseError::StaleMemberEpoch)
    );
    assert_eq!(group.may_fetch(None, -1), Ok(()));
    assert_eq!(group.may_fetch(Some("a"), 1), Ok(()));
    assert_eq!(
        group.may_fetch(Some("a"), 0),
        Err(ResponseError::StaleMemberEpoch)
    );
    assert_eq!(
        group.may_fetch(Some("b"), 1),
        Err(ResponseError::UnknownMemberId)
    );
}

#[test]
fn many_joining_members_do_not_make_an_assignment_each() {
    let mut room = Room::new(1_000);
    for member in 0..1_000 {
        room.join(&format!("member-{member}"));
    }
    let before = room.group.assignment_epoch;
    assert!(before < 20, "{before}");
    assert_eq!(room.group.state(), "Assigning");
    assert_eq!(room.pass(1_000), Outcome::Stays);
    let epoch = room.group.standing("member-999").epoch;
    room.heartbeat(&beating("member-999", epoch, Some(&Partitions::new())))
        .unwrap();
    assert_eq!(room.group.assignment_epoch, room.group.epoch);
    room.check_log();
}
