//! What becomes of partitions when brokers and drives come and go.

use super::*;

/// Three members and a topic "t" with a partition of each sort.
fn image() -> Image {
    let mut image = members(3);
    create_on(&mut image, "t", &[&[1, 2, 3], &[2, 3, 1], &[3, 2, 1]]);
    create_on(&mut image, "alone", &[&[1]]);
    create_on(&mut image, "others", &[&[3, 2]]);
    image
}

#[test]
fn a_fenced_broker_leaves_what_has_others_and_leads_nothing() {
    let mut image = image();
    let records = run(&mut image, |c| c.fence(1));
    assert_eq!(seen(&image, "t", 0), (2, vec![2, 3], 1, 1), "it led this");
    assert_eq!(seen(&image, "t", 1), (2, vec![2, 3], 0, 1), "it followed");
    assert_eq!(seen(&image, "t", 2), (3, vec![3, 2], 0, 1));
    assert_eq!(seen(&image, "alone", 0), (-1, vec![1], 1, 1));
    assert_eq!(seen(&image, "others", 0), (3, vec![3, 2], 0, 0));
    assert!(image.broker(1).unwrap().fenced && !image.is_active(1));
    assert_eq!(records.len(), 5);
    assert!(matches!(records.last(), Some(Record::BrokerChange(_))));
    assert_eq!(run(&mut image, |c| c.fence(1)), [], "once");
}

#[test]
fn an_unfenced_broker_leads_again_where_it_was_the_last_in_sync() {
    let mut image = image();
    run(&mut image, |c| c.fence(1));
    run(&mut image, |c| c.unfence(1));
    assert_eq!(seen(&image, "alone", 0), (1, vec![1], 2, 2));
    assert_eq!(
        seen(&image, "t", 0),
        (2, vec![2, 3], 1, 1),
        "it has to catch up first"
    );
    assert!(image.is_active(1));
    assert_eq!(run(&mut image, |c| c.unfence(1)), [], "once");
}

#[test]
fn the_last_in_sync_stays_so_without_leading() {
    let mut image = image();
    for node in [1, 2, 3] {
        run(&mut image, |c| c.fence(node));
    }
    assert_eq!(seen(&image, "t", 0), (-1, vec![3], 3, 3));
    run(&mut image, |c| c.unfence(1));
    run(&mut image, |c| c.unfence(2));
    assert_eq!(
        seen(&image, "t", 0),
        (-1, vec![3], 3, 3),
        "none of them has everything"
    );
    run(&mut image, |c| c.unfence(3));
    assert_eq!(seen(&image, "t", 0), (3, vec![3], 4, 4));
}

#[test]
fn a_stopping_broker_gives_away_what_it_leads() {
    let mut image = image();
    run(&mut image, |c| c.controlled_shutdown(1));
    assert_eq!(seen(&image, "t", 0), (2, vec![2, 3], 1, 1));
    assert_eq!(seen(&image, "alone", 0), (-1, vec![1], 1, 1));
    let broker = image.broker(1).unwrap();
    assert!(broker.in_controlled_shutdown && !broker.fenced && !image.is_active(1));
    run(&mut image, |c| c.fence(2));
    assert_eq!(
        seen(&image, "t", 0),
        (3, vec![3], 2, 2),
        "a stopping broker isn't elected"
    );
    run(&mut image, |c| c.unfence(1));
    let broker = image.broker(1).unwrap();
    assert!(!broker.in_controlled_shutdown && image.is_active(1));
    assert_eq!(seen(&image, "alone", 0), (1, vec![1], 2, 2));
}

#[test]
fn a_failed_drive_loses_what_is_on_it() {
    let mut image = members(2);
    for name in ["a", "b", "c", "d"] {
        create_on(&mut image, name, &[&[1, 2]]);
    }
    let failed = drive(1, 0).drive;
    let on_it = |image: &Image, name: &str| {
        let state = state_of(image, name, 0);
        state.directory_on(1) == Some(failed)
    };
    assert!(on_it(&image, "a") && !on_it(&image, "b"), "of two drives");
    let records = run(&mut image, |c| c.drives_failed(1, &[failed, id(1)]));
    for name in ["a", "b", "c", "d"] {
        let expected = match on_it(&image, name) {
            true => (2, vec![2], 1, 1),
            false => (1, vec![1, 2], 0, 0),
        };
        assert_eq!(seen(&image, name, 0), expected, "{name}");
    }
    assert_eq!(image.broker(1).unwrap().offline_drives, [failed]);
    assert!(matches!(records.last(), Some(Record::BrokerChange(_))));
    assert_eq!(run(&mut image, |c| c.drives_failed(1, &[failed])), []);
    run(&mut image, |c| c.fence(2));
    assert_eq!(seen(&image, "a", 0), (-1, vec![2], 2, 2));
    assert_eq!(seen(&image, "b", 0), (1, vec![1], 0, 1));
    run(&mut image, |c| c.fence(1));
    run(&mut image, |c| c.unfence(1));
    assert_eq!(
        seen(&image, "a", 0),
        (-1, vec![2], 2, 2),
        "the drive is still failed"
    );
}

#[test]
fn an_unregistered_broker_leaves_its_replicas_behind() {
    let mut image = image();
    let records = run(&mut image, |c| c.unregister_broker(1));
    assert!(matches!(
        records.last(),
        Some(Record::UnregisterBroker(UnregisterBrokerRecord {
            node_id: 1,
            epoch: 1
        }))
    ));
    assert!(image.broker(1).is_none());
    assert_eq!(seen(&image, "t", 0), (2, vec![2, 3], 1, 1));
    assert_eq!(state_of(&image, "t", 0).replicas, [1, 2, 3]);
    assert_eq!(seen(&image, "alone", 0), (-1, vec![1], 1, 1));
    join(&mut image, &registration(1, 2));
    assert_eq!(image.broker(1).unwrap().epoch, 4);
    assert_eq!(seen(&image, "alone", 0), (1, vec![1], 2, 2));
}

#[test]
fn a_leader_that_was_not_in_sync_is_taken_only_where_that_is_allowed() {
    let cases: [(&str, Option<&str>, Option<&str>, bool); 5] = [
        ("by default", None, None, false),
        ("by the topic", Some("true"), None, true),
        ("by all", None, Some("True"), true),
        ("not by the topic", Some("false"), Some("true"), false),
        ("by the topic alone", Some("TRUE"), Some("false"), true),
    ];
    for (what, topic, all, allowed) in cases {
        let mut image = members(2);
        create_on(&mut image, "t", &[&[1, 2]]);
        if let Some(value) = topic {
            set_unclean(&mut image, Some("t"), value);
        }
        if let Some(value) = all {
            set_unclean(&mut image, None, value);
        }
        run(&mut image, |c| c.fence(2));
        run(&mut image, |c| c.fence(1));
        assert_eq!(seen(&image, "t", 0), (-1, vec![1], 1, 2), "{what}");
        run(&mut image, |c| c.unfence(2));
        let expected = match allowed {
            true => (2, vec![2], 2, 3),
            false => (-1, vec![1], 1, 2),
        };
        assert_eq!(seen(&image, "t", 0), expected, "{what}");
    }
}

#[test]
fn what_a_reassignment_brings_in_is_the_last_to_be_elected_uncleanly() {
    for (others_up, leader) in [(true, 2), (false, 3)] {
        let mut image = members(3);
        create_on(&mut image, "t", &[&[1, 2]]);
        set(&mut image, "t", 0, |change| PartitionChangeRecord {
            replicas: Some(vec![3, 1, 2]),
            directories: Some(vec![
                drive(3, 0).drive,
                drive(1, 0).drive,
                drive(2, 0).drive,
            ]),
            isr: Some(vec![1]),
            adding: Some(vec![3]),
            ..change
        });
        set_unclean(&mut image, Some("t"), "true");
        if !others_up {
            run(&mut image, |c| c.fence(2));
        }
        run(&mut image, |c| c.fence(1));
        assert_eq!(state_of(&image, "t", 0).leader, leader);
        assert_eq!(state_of(&image, "t", 0).isr, [leader]);
    }
}

#[test]
fn a_broker_that_is_not_there_is_refused() {
    let image = image();
    let controller = over(&image);
    for result in [
        controller.fence(9),
        controller.unfence(9),
        controller.controlled_shutdown(9),
        controller.drives_failed(9, &[]),
        controller.unregister_broker(9),
    ] {
        assert_eq!(result.unwrap_err().code(), 102);
    }
}
