//! Elections that are asked for, and those that keep leaders where they belong.

use super::*;

fn elect(image: &Image, topic: &str, index: i32, kind: ElectionType) -> Result<Vec<Record>, i16> {
    over(image)
        .elect_leader(topic, index, kind)
        .map_err(|error| error.code())
}

/// A partition [1, 2, 3] with this leader and these in sync, and brokers that are fenced.
fn image(leader: i32, isr: &[i32], fenced: &[i32]) -> Image {
    let mut image = members(3);
    create_on(&mut image, "t", &[&[1, 2, 3]]);
    set(&mut image, "t", 0, |change| PartitionChangeRecord {
        leader: Some(leader),
        isr: Some(isr.to_vec()),
        leader_epoch: Some(4),
        ..change
    });
    for &node_id in fenced {
        let epoch = image.broker(node_id).unwrap().epoch;
        let fence = BrokerChangeRecord {
            node_id,
            epoch,
            fenced: Some(true),
            in_controlled_shutdown: None,
            offline_drives: None,
        };
        apply(&mut image, &[Record::BrokerChange(fence)]);
    }
    image
}

/// The leader, those in sync, the fenced, and what the election gives.
type Case<'a> = (&'a str, i32, &'a [i32], &'a [i32], Result<Seen, i16>);

fn check(kind: ElectionType, cases: &[Case<'_>]) {
    for (what, leader, isr, fenced, expected) in cases {
        let mut image = image(*leader, isr, fenced);
        let decided = elect(&image, "t", 0, kind).map(|records| {
            apply(&mut image, &records);
            seen(&image, "t", 0)
        });
        assert_eq!(decided, *expected, "{what}");
    }
}

#[test]
fn preferred_elections_give_what_kafkas_give() {
    let led = |leader, isr: &[i32]| Ok((leader, isr.to_vec(), 5, 2));
    let cases: [Case<'_>; 8] = [
        ("back to the first", 2, &[2, 1], &[], led(1, &[2, 1])),
        ("it leads", 1, &[1, 2], &[], Err(84)),
        ("the first isn't in sync", 2, &[2, 3], &[], Err(80)),
        ("the first is fenced", 2, &[2, 1], &[1], Err(80)),
        ("none leads, the first can", -1, &[1], &[], led(1, &[1])),
        ("none leads, another can", -1, &[3], &[1], led(3, &[3])),
        ("the leader can't", 2, &[2, 3], &[2], led(3, &[2, 3])),
        ("none leads, none can", -1, &[3], &[3], Err(80)),
    ];
    check(ElectionType::Preferred, &cases);
}

#[test]
fn unclean_elections_give_what_kafkas_give() {
    let led = |leader, isr: &[i32]| Ok((leader, isr.to_vec(), 5, 2));
    let cases: [Case<'_>; 4] = [
        ("one leads", 2, &[2], &[], Err(84)),
        ("none was in sync", -1, &[1], &[1], led(2, &[2])),
        ("one was in sync", -1, &[3, 1], &[1], led(3, &[3, 1])),
        ("none is up", -1, &[1], &[1, 2, 3], Err(83)),
    ];
    check(ElectionType::Unclean, &cases);
}

#[test]
fn elections_of_what_is_not_there_are_refused() {
    let image = image(1, &[1], &[]);
    assert_eq!(elect(&image, "nope", 0, ElectionType::Preferred), Err(3));
    assert_eq!(elect(&image, "t", 1, ElectionType::Preferred), Err(3));
    assert_eq!(elect(&image, "t", -1, ElectionType::Unclean), Err(3));
    assert_eq!(ElectionType::from_number(0), Ok(ElectionType::Preferred));
    assert_eq!(ElectionType::from_number(1), Ok(ElectionType::Unclean));
    assert_eq!(ElectionType::from_number(2).unwrap_err().code(), 42);
}

#[test]
fn a_failed_drive_cannot_lead() {
    let mut image = image(-1, &[1], &[]);
    let failed = state_of(&image, "t", 0).directory_on(1).unwrap();
    let change = BrokerChangeRecord {
        node_id: 1,
        epoch: 1,
        fenced: None,
        in_controlled_shutdown: None,
        offline_drives: Some(vec![failed]),
    };
    apply(&mut image, &[Record::BrokerChange(change)]);
    assert_eq!(elect(&image, "t", 0, ElectionType::Preferred), Err(80));
    let records = elect(&image, "t", 0, ElectionType::Unclean).unwrap();
    apply(&mut image, &records);
    assert_eq!(seen(&image, "t", 0), (2, vec![2], 5, 2));
}

#[test]
fn leaderless_partitions_are_led_once_that_is_allowed() {
    let mut image = members(2);
    create_on(&mut image, "t", &[&[1, 2], &[1, 2], &[2, 1]]);
    create_on(&mut image, "kept", &[&[1, 2]]);
    run(&mut image, |c| c.fence(2));
    run(&mut image, |c| c.fence(1));
    run(&mut image, |c| c.unfence(2));
    assert_eq!(over(&image).elect_leaderless(10), []);
    set_unclean(&mut image, Some("t"), "true");
    assert_eq!(over(&image).elect_leaderless(2).len(), 2, "no more at once");
    run(&mut image, |c| Ok(c.elect_leaderless(10)));
    for index in 0..3 {
        let state = state_of(&image, "t", index);
        assert_eq!((state.leader, state.isr.as_slice()), (2, &[2][..]));
    }
    assert_eq!(state_of(&image, "kept", 0).leader, -1);
}

/// Ten partitions whose first replica is 1, of which `elsewhere` are led by 2.
fn imbalanced(elsewhere: usize) -> Image {
    let mut image = members(2);
    create_on(&mut image, "t", &[[1, 2].as_slice(); 10]);
    create_on(&mut image, "two", &[&[2, 1]]);
    for index in 0..elsewhere {
        set(&mut image, "t", index as i32, |change| {
            PartitionChangeRecord {
                leader: Some(2),
                leader_epoch: Some(1),
                ..change
            }
        });
    }
    image
}

#[test]
fn leaders_go_back_when_too_many_are_elsewhere() {
    for (elsewhere, percentage, moved) in
        [(1, 10, 0), (2, 10, 2), (2, 20, 0), (10, 99, 10), (1, 0, 1)]
    {
        let mut image = imbalanced(elsewhere);
        let records = run(&mut image, |c| Ok(c.rebalance_leaders(percentage, 100)));
        assert_eq!(records.len(), moved, "{elsewhere} of 10 at {percentage} %");
        let leads = image.topic("t").unwrap().partitions.iter();
        let away = leads.filter(|state| state.leader != 1).count();
        assert_eq!(away, elsewhere - moved);
    }
    let image = imbalanced(10);
    assert_eq!(
        over(&image).rebalance_leaders(10, 3).len(),
        3,
        "no more at once"
    );
}

#[test]
fn leaders_stay_when_the_first_replica_cannot_lead() {
    let mut image = imbalanced(10);
    run(&mut image, |c| c.fence(1));
    assert_eq!(over(&image).rebalance_leaders(0, 100), []);
    run(&mut image, |c| c.unfence(1));
    assert_eq!(
        over(&image).rebalance_leaders(0, 100),
        [],
        "not in sync yet"
    );
}

#[test]
fn a_leader_that_resigns_is_followed_by_another_or_by_itself_in_a_new_epoch() {
    let resign = |image: &Image, epoch: i32| {
        let topic = image.topic("t").unwrap().id;
        let broker_epoch = image.broker(1).unwrap().epoch;
        over(image)
            .resign((1, broker_epoch), topic, 0, epoch)
            .unwrap()
    };
    let mut shared = image(1, &[1, 2], &[]);
    let records = resign(&shared, 4);
    apply(&mut shared, &records);
    assert_eq!(seen(&shared, "t", 0), (2, vec![1, 2], 5, 2));
    assert!(resign(&shared, 4).is_empty(), "that epoch is over");

    let mut alone = image(1, &[1], &[]);
    let records = resign(&alone, 4);
    apply(&mut alone, &records);
    assert_eq!(seen(&alone, "t", 0), (1, vec![1], 5, 2));
}
