//! Brokers that join, come back, and are refused.

use super::*;

fn register(
    image: &mut Image,
    command: &RegisterBroker,
    before: Liveness,
) -> Result<(i64, Vec<Record>), i16> {
    let decided = over(image).register_broker(command, before);
    let (epoch, records) = decided.map_err(|error| error.code())?;
    apply(image, &records);
    assert_eq!(image.broker(command.node_id).unwrap().epoch, epoch);
    Ok((epoch, records))
}

/// The same broker after another start.
fn again(node: i32) -> RegisterBroker {
    RegisterBroker {
        incarnation: id(0x2_0000 + node as u128),
        ..registration(node, 2)
    }
}

#[test]
fn a_new_broker_gets_an_epoch_above_all_and_is_fenced_beside_others() {
    let mut image = cluster([]);
    for node in 1..=3 {
        let (epoch, records) =
            register(&mut image, &registration(node, 2), Liveness::Silent).unwrap();
        assert_eq!((epoch, records.len()), (i64::from(node), 1));
        let broker = image.broker(node).unwrap();
        assert_eq!(broker.fenced, node > 1);
        assert!(!broker.in_controlled_shutdown && broker.clean);
        assert_eq!(broker.incarnation, registration(node, 2).incarnation);
        assert_eq!(broker.internal_endpoints.len(), 2);
    }
    run(&mut image, |c| c.unregister_broker(3));
    let (epoch, _) = register(&mut image, &again(3), Liveness::Silent).unwrap();
    assert_eq!(epoch, 4, "no epoch is given twice");
    assert_eq!(image.last_broker_epoch(), 4);
}

#[test]
fn the_same_incarnation_keeps_its_epoch_and_its_state() {
    let mut image = members(2);
    create_on(&mut image, "t", &[&[1, 2]]);
    let failed = drive(1, 1).drive;
    run(&mut image, |c| c.drives_failed(1, &[failed]));
    let command = registration(1, 2);
    for liveness in [Liveness::Silent, Liveness::Heard] {
        assert_eq!(register(&mut image, &command, liveness), Ok((1, vec![])));
    }
    let moved = RegisterBroker {
        rack: Some("r".to_owned()),
        ..command
    };
    let (epoch, records) = register(&mut image, &moved, Liveness::Heard).unwrap();
    assert_eq!((epoch, records.len()), (1, 1));
    let broker = image.broker(1).unwrap();
    assert!(!broker.fenced && broker.rack.as_deref() == Some("r"));
    assert_eq!(broker.offline_drives, [failed]);
    assert_eq!(seen(&image, "t", 0), (1, vec![1, 2], 0, 0));
}

#[test]
fn another_start_leaves_everything_that_has_others() {
    // However it stopped: it may have lost what the others have, and has to catch up anyway.
    for (clean, boot_id) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
        let mut image = members(2);
        create_on(&mut image, "t", &[&[1, 2], &[2, 1]]);
        create_on(&mut image, "alone", &[&[1]]);
        let command = RegisterBroker {
            clean,
            boot_id: id(boot_id),
            ..again(1)
        };
        let (epoch, records) = register(&mut image, &command, Liveness::Silent).unwrap();
        assert_eq!(epoch, 3);
        assert!(matches!(records.last(), Some(Record::Broker(_))));
        assert_eq!(seen(&image, "t", 0), (2, vec![2], 1, 1));
        assert_eq!(seen(&image, "t", 1), (2, vec![2], 0, 1));
        assert_eq!(seen(&image, "alone", 0), (-1, vec![1], 1, 1));
        let broker = image.broker(1).unwrap();
        assert_eq!((broker.clean, broker.boot_id), (clean, id(boot_id)));
        run(&mut image, |c| c.unfence(1));
        assert_eq!(seen(&image, "alone", 0), (1, vec![1], 2, 2));
    }
}

/// A set with a fenced member beside others is in no log of ours; a start mends it all the same.
#[test]
fn another_start_mends_a_set_with_a_fenced_member() {
    let mut image = members(2);
    create_on(&mut image, "t", &[&[1, 2]]);
    run(&mut image, |c| c.fence(2));
    set(&mut image, "t", 0, |change| PartitionChangeRecord {
        isr: Some(vec![1, 2]),
        ..change
    });
    let lost_power = RegisterBroker {
        clean: false,
        boot_id: id(2),
        ..again(2)
    };
    register(&mut image, &lost_power, Liveness::Silent).unwrap();
    assert_eq!(seen(&image, "t", 0).1, [1]);
}

#[test]
fn a_node_id_in_use_is_refused() {
    let stranger = RegisterBroker {
        drives: broker(7, 2).drives,
        ..again(1)
    };
    let cases = [
        ("alive", again(1), Liveness::Heard, false, Err(101)),
        (
            "alive, other drives",
            stranger.clone(),
            Liveness::Heard,
            false,
            Err(101),
        ),
        ("silent", again(1), Liveness::Silent, false, Ok(3)),
        (
            "silent, other drives",
            stranger.clone(),
            Liveness::Silent,
            false,
            Ok(3),
        ),
        (
            "perhaps alive, its drives",
            again(1),
            Liveness::Presumed,
            false,
            Ok(3),
        ),
        (
            "perhaps alive, other drives",
            stranger,
            Liveness::Presumed,
            false,
            Err(101),
        ),
        ("fenced", again(1), Liveness::Heard, true, Ok(3)),
    ];
    for (what, command, liveness, fenced, expected) in cases {
        let mut image = members(2);
        if fenced {
            run(&mut image, |c| c.fence(1));
        }
        let result = register(&mut image, &command, liveness).map(|(epoch, _)| epoch);
        assert_eq!(result, expected, "{what}");
    }
}

#[test]
fn a_broker_without_its_drives_does_not_lead_what_was_on_them() {
    let mut image = members(2);
    create_on(&mut image, "a", &[&[1]]);
    create_on(&mut image, "b", &[&[1]]);
    let lost = state_of(&image, "a", 0).directories[0];
    let mut command = again(1);
    command.drives.retain(|info| info.id != lost);
    register(&mut image, &command, Liveness::Silent).unwrap();
    run(&mut image, |c| c.unfence(1));
    assert_eq!(
        seen(&image, "a", 0),
        (-1, vec![1], 1, 1),
        "its drive is gone"
    );
    assert_eq!(seen(&image, "b", 0), (1, vec![1], 2, 2));
    let back = RegisterBroker {
        incarnation: id(0x3_0001),
        ..registration(1, 2)
    };
    join(&mut image, &back);
    assert_eq!(
        seen(&image, "a", 0),
        (1, vec![1], 2, 2),
        "the drive is back"
    );

    let mut fewer = back;
    fewer.drives.retain(|info| info.id != lost);
    register(&mut image, &fewer, Liveness::Heard).unwrap();
    assert_eq!(
        seen(&image, "a", 0).0,
        -1,
        "the same start with fewer drives"
    );
    assert_eq!(seen(&image, "b", 0).0, 1);
}

#[test]
fn registrations_that_are_refused() {
    type Case = (&'static str, fn(&mut RegisterBroker), i16);
    let refused: [Case; 11] = [
        ("another cluster", |c| c.cluster_id = Some("x".into()), 104),
        ("a version of old", |c| c.metadata_versions = (1, 1), 35),
        ("a version to come", |c| c.metadata_versions = (3, 4), 35),
        ("a negative id", |c| c.node_id = -1, 119),
        ("no incarnation", |c| c.incarnation = Uuid::nil(), 119),
        ("no drive", |c| c.drives.clear(), 119),
        ("a drive without id", |c| c.drives[0].id = Uuid::nil(), 119),
        ("a drive twice", |c| c.drives[1].id = c.drives[0].id, 119),
        (
            "another's drive",
            |c| c.drives[1].id = drive(1, 1).drive,
            119,
        ),
        ("a drive of no shard", |c| c.drives[1].shard = 2, 119),
        ("too few addresses", |c| c.shards = 3, 119),
    ];
    let image = members(2);
    let register = |change: fn(&mut RegisterBroker)| {
        let mut command = registration(3, 2);
        change(&mut command);
        over(&image).register_broker(&command, Liveness::Silent)
    };
    for (what, change, code) in refused {
        let error = register(change).unwrap_err();
        assert_eq!(error.code(), code, "{what}: {error}");
    }
    type Fine = (&'static str, fn(&mut RegisterBroker));
    let accepted: [Fine; 4] = [
        ("as it is", |_| {}),
        ("drives of no cluster", |c| c.cluster_id = None),
        ("no part in replication", |c| c.internal_endpoints.clear()),
        ("a later version", |c| c.metadata_versions = (2, 9)),
    ];
    for (what, change) in accepted {
        assert!(register(change).is_ok(), "{what}");
    }
}

#[test]
fn a_node_of_level_1_is_taken_to_level_2_with_what_it_has() {
    let mut image = cluster([broker(1, 2)]);
    let level = |level| {
        Record::Feature(FeatureRecord {
            name: METADATA_VERSION.to_owned(),
            level,
        })
    };
    apply(&mut image, &[level(1)]);
    create_on(&mut image, "t", &[&[1], &[1]]);
    let old = registration(1, 2);
    let (epoch, records) = register(&mut image, &old, Liveness::Presumed).unwrap();
    assert_eq!((epoch, &records[0]), (1, &level(2)));
    assert_eq!(image.feature(METADATA_VERSION), 2);
    // It is the only broker, and goes on where it was.
    assert_eq!(records.len(), 2);
    assert!(run(&mut image, |c| c.unfence(1)).is_empty());
    for index in 0..2 {
        assert_eq!(seen(&image, "t", index), (1, vec![1], 0, 0));
    }
}
