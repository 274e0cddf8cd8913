//! The classic protocol, as a client sees it.

use kafka_protocol::messages::{LeaveGroupRequest, SyncGroupRequest};

use super::requests::{commit, group_id, join, subscription, text};
use super::rig::Rig;
use crate::{Ask, Reply, Settings};

#[test]
fn a_group_comes_together_and_each_gets_its_share() {
    let mut rig = Rig::new();
    let (a, joining_a) = rig.join_new();
    let (b, joining_b) = rig.join_new();
    rig.pass(2_999);
    assert!(rig.is_waiting(joining_a));
    // b came during the first three seconds, so there are three more.
    rig.pass(3_001);
    let (joined_a, joined_b) = (rig.joined(joining_a), rig.joined(joining_b));
    assert_eq!((joined_a.generation_id, joined_b.generation_id), (1, 1));
    assert_eq!(&*joined_a.leader, a);
    assert_eq!(&*joined_b.leader, a);
    assert_eq!((joined_a.members.len(), joined_b.members.len()), (2, 0));
    assert_eq!(rig.state().as_deref(), Some("CompletingRebalance"));

    let syncing_b = rig.sync(1, &b, &[]);
    assert!(rig.is_waiting(syncing_b));
    let syncing_a = rig.sync(1, &a, &[(&a, "A"), (&b, "B")]);
    assert_eq!(rig.synced(syncing_a).assignment, "A");
    assert_eq!(rig.synced(syncing_b).assignment, "B");
    assert_eq!(rig.state().as_deref(), Some("Stable"));
    assert_eq!(rig.heartbeat(1, &a), 0);
    assert_eq!(rig.heartbeat(0, &a), 22);
    assert_eq!(rig.heartbeat(1, "who"), 25);
}

#[test]
fn members_that_fall_silent_are_dropped() {
    let mut rig = Rig::new();
    let ids = rig.stable(3);
    for _ in 0..3 {
        rig.pass(6_000);
        let beats: Vec<i16> = ids[..2].iter().map(|id| rig.heartbeat(1, id)).collect();
        if beats == [27, 27] {
            let tokens: Vec<_> = ids[..2]
                .iter()
                .map(|id| rig.join(9, join(id, None)))
                .collect();
            for token in tokens {
                assert_eq!(rig.joined(token).generation_id, 2);
            }
            return;
        }
        assert_eq!(beats, [0, 0]);
    }
    panic!("the third member is still there");
}

#[test]
fn who_does_not_come_to_a_rebalance_is_left_behind() {
    let mut rig = Rig::new();
    let ids = rig.stable(2);
    let (_, joining) = rig.join_new();
    // It shows itself all the time, but doesn't join.
    for _ in 0..7 {
        rig.pass(8_000);
        assert_eq!(rig.heartbeat(1, &ids[1]), 27);
        assert_eq!(rig.heartbeat(1, &ids[0]), 27);
    }
    rig.pass(8_000);
    assert_eq!(rig.joined(joining).generation_id, 2);
    assert_eq!(rig.heartbeat(1, &ids[0]), 25);
}

#[test]
fn a_follower_that_repeats_itself_disturbs_nobody_but_a_leader_does() {
    let mut rig = Rig::new();
    let ids = rig.stable(2);
    let token = rig.join(9, join(&ids[1], None));
    assert_eq!(rig.joined(token).generation_id, 1);
    assert_eq!(rig.state().as_deref(), Some("Stable"));
    let token = rig.join(9, join(&ids[0], None));
    assert!(rig.is_waiting(token));
    assert_eq!(rig.state().as_deref(), Some("PreparingRebalance"));
    // Commits of the generation that ends are still taken, until the next one begins.
    assert_eq!(rig.commit(commit(1, &ids[1], 0, 5)), 0);
    rig.join(9, join(&ids[1], None));
    assert_eq!(rig.joined(token).generation_id, 2);
    assert_eq!(rig.commit(commit(2, &ids[1], 0, 6)), 27);
    assert_eq!(rig.commit(commit(1, &ids[1], 0, 6)), 22);
}

#[test]
fn a_static_member_comes_back_as_another_and_nobody_notices() {
    let mut rig = Rig::new();
    let token = rig.join(9, join("", Some("i")));
    rig.pass(10_000);
    let joined = rig.joined(token);
    let old = joined.member_id.to_string();
    let token = rig.sync(1, &old, &[(&old, "all")]);
    assert_eq!(rig.synced(token).assignment, "all");

    let token = rig.join(9, join("", Some("i")));
    let again = rig.joined(token);
    assert_eq!(
        (again.error_code, again.generation_id, again.skip_assignment),
        (0, 1, true)
    );
    assert_ne!(again.member_id.as_str(), old);
    let token = rig.sync(1, &again.member_id, &[]);
    assert_eq!(rig.synced(token).assignment, "all");
    let token = rig.join(9, join(&old, Some("i")));
    assert_eq!(rig.joined(token).error_code, 82);
    let answer = rig.leave(&[("", Some("i")), ("", Some("j"))]);
    assert_eq!(
        (answer.members[0].error_code, answer.members[1].error_code),
        (0, 25)
    );
    assert_eq!(rig.state().as_deref(), Some("Empty"));
}

#[test]
fn a_stable_group_is_as_it_was_after_its_log_was_read() {
    let mut rig = Rig::new();
    let ids = rig.stable(2);
    rig.load();
    assert_eq!(rig.state().as_deref(), Some("Stable"));
    assert_eq!(rig.heartbeat(1, &ids[0]), 0);
    let token = rig.sync(1, &ids[1], &[]);
    assert_eq!(rig.synced(token).assignment, ids[1].as_bytes());
    // Sessions run on: whoever doesn't come is dropped.
    rig.pass(20_000);
    assert_eq!(rig.heartbeat(1, &ids[0]), 25);
    assert_eq!(rig.state().as_deref(), Some("Empty"));
}

#[test]
fn wrong_requests_are_refused() {
    let mut rig = Rig::new();
    let mut refused = |request, code| {
        let token = rig.join(9, request);
        assert_eq!(rig.joined(token).error_code, code);
    };
    refused(join("who", None), 25);
    refused(join("", None).with_session_timeout_ms(5_999), 26);
    refused(join("", None).with_session_timeout_ms(1_800_001), 26);
    refused(join("", None).with_group_id(group_id("")), 24);
    refused(join("", None).with_protocols(Vec::new()), 23);
    rig.stable(1);
    let other = join("", None).with_protocol_type(text("connect"));
    let token = rig.join(9, other);
    assert_eq!(rig.joined(token).error_code, 23);
}

#[test]
fn a_group_that_no_batch_takes_never_gets_stable_but_gives_way() {
    let mut rig = Rig::with(Settings {
        batch_max_bytes: 1_000,
        ..Settings::default()
    });
    let mut large = join("", None);
    large.protocols[0].metadata = vec![0; 1_001].into();
    let token = rig.join(9, large);
    assert_eq!(rig.joined(token).error_code, 10);

    let (id, token) = rig.join_new();
    rig.pass(6_000);
    assert_eq!(rig.joined(token).generation_id, 1);
    let share = "x".repeat(1_000);
    let token = rig.sync(1, &id, &[(&id, &share)]);
    assert_eq!(rig.synced(token).error_code, -1);
    assert_eq!(rig.state().as_deref(), Some("PreparingRebalance"));
    let token = rig.join(9, join(&id, None));
    assert_eq!(rig.joined(token).generation_id, 2);
    let token = rig.sync(2, &id, &[(&id, "x")]);
    assert_eq!(rig.synced(token).assignment, "x");
}

#[test]
fn when_a_group_is_over_its_size_the_others_go_on_without_the_last() {
    let mut rig = Rig::new();
    let ids = rig.stable(3);
    rig.settings.max_size = 2;
    rig.load();
    assert_eq!(rig.state().as_deref(), Some("PreparingRebalance"));
    let tokens: Vec<_> = ids.iter().map(|id| rig.join(9, join(id, None))).collect();
    let codes: Vec<i16> = tokens
        .iter()
        .map(|token| rig.joined(*token).error_code)
        .collect();
    assert_eq!(codes, [0, 0, 81]);
}

#[test]
fn whoever_is_to_come_back_with_an_id_has_so_long_as_its_session() {
    let mut rig = Rig::new();
    let token = rig.join(4, join("", None));
    let given = rig.joined(token);
    assert_eq!(given.error_code, 79);
    rig.pass(10_000);
    let token = rig.join(4, join(&given.member_id, None));
    assert_eq!(rig.joined(token).error_code, 25);
    // Before version 4 nobody has to come back.
    let token = rig.join(3, join("", None));
    rig.pass(3_000);
    assert_eq!(rig.joined(token).error_code, 0);
}

#[test]
fn a_member_that_leaves_its_place_to_another_request_of_its_own_is_answered() {
    let mut rig = Rig::new();
    let ids = rig.stable(2);
    let first = rig.join(9, join(&ids[0], None));
    let second = rig.join(9, join(&ids[0], None));
    assert_eq!(rig.joined(first).error_code, 27);
    assert!(rig.is_waiting(second));
}

#[test]
fn before_version_3_the_error_of_the_one_that_leaves_is_that_of_all() {
    let mut rig = Rig::new();
    let leave = |rig: &mut Rig, id: &str| {
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id("g"))
            .with_member_id(text(id));
        match rig.answer(Ask::Leave(2, request)) {
            Reply::Leave(answer) => (answer.error_code, answer.members.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(leave(&mut rig, "who"), (25, 0));
    let ids = rig.stable(1);
    assert_eq!(leave(&mut rig, "who"), (25, 0));
    assert_eq!(leave(&mut rig, &ids[0]), (0, 0));
    assert_eq!(rig.state().as_deref(), Some("Empty"));
}

#[test]
fn a_group_is_described_with_what_its_members_say_once_it_is_stable() {
    let mut rig = Rig::new();
    let describe = |rig: &mut Rig, version| match rig.answer(Ask::Describe(group_id("g"), version))
    {
        Reply::Describe(answer) => answer,
        other => panic!("{other:?}"),
    };
    let absent = describe(&mut rig, 5);
    assert_eq!(
        (absent.error_code, absent.group_state.as_str()),
        (0, "Dead")
    );
    let absent = describe(&mut rig, 6);
    assert_eq!(
        (absent.error_code, absent.group_state.as_str()),
        (69, "Dead")
    );
    let ids = rig.stable(1);
    let stable = describe(&mut rig, 6);
    let member = &stable.members[0];
    assert_eq!(
        (&*stable.protocol_data, &*stable.protocol_type),
        ("range", "consumer")
    );
    assert_eq!(
        (&*member.client_id, &*member.client_host),
        ("client", "/127.0.0.1")
    );
    assert_eq!(member.member_assignment, ids[0].as_bytes());
    assert_eq!(member.member_metadata, subscription(&["t"]));
    rig.join(9, join(&ids[0], None));
    rig.join_new();
    let moving = describe(&mut rig, 6);
    assert_eq!(&*moving.protocol_data, "");
    assert!(
        moving
            .members
            .iter()
            .all(|member| member.member_metadata.is_empty())
    );
}

#[test]
fn from_version_5_on_who_asks_for_an_assignment_says_by_which_protocol() {
    let mut rig = Rig::new();
    let ids = rig.stable(1);
    let request = |protocol_type: Option<&str>, name: Option<&str>| {
        let request = SyncGroupRequest::default()
            .with_group_id(group_id("g"))
            .with_generation_id(1)
            .with_member_id(text(&ids[0]))
            .with_protocol_type(protocol_type.map(text))
            .with_protocol_name(name.map(text));
        Ask::Sync(5, request)
    };
    let mut code = |ask| match rig.answer(ask) {
        Reply::Sync(answer) => answer.error_code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(request(Some("consumer"), Some("range"))), 0);
    assert_eq!(code(request(Some("consumer"), None)), 23);
    assert_eq!(code(request(None, Some("range"))), 23);
    assert_eq!(code(request(Some("connect"), Some("range"))), 23);
    assert_eq!(code(request(Some("consumer"), Some("sticky"))), 23);
}
