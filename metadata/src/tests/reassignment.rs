//! Moving partitions to other replicas.

use super::*;

/// Four members; "t" is on [1, 2, 3], led by 1.
fn image() -> Image {
    let mut image = members(4);
    create_on(&mut image, "t", &[&[1, 2, 3]]);
    image
}

fn move_to(replicas: Option<&[i32]>) -> Reassignment {
    Reassignment {
        topic: "t".to_owned(),
        index: 0,
        replicas: replicas.map(<[i32]>::to_vec),
        allow_factor_change: true,
    }
}

fn reassign(image: &mut Image, command: &Reassignment) -> Result<Vec<Record>, i16> {
    let drives = PlacementDrive::all(image);
    let records = over(image)
        .reassign(command, &drives)
        .map_err(|error| error.code())?;
    apply(image, &records);
    Ok(records)
}

/// The leader says that these are in sync.
fn catch_up(image: &mut Image, isr: &[i32]) {
    let (topic, now) = (image.topic("t").unwrap(), state_of(image, "t", 0));
    let command = AlterPartition {
        node: now.leader,
        broker_epoch: image.broker(now.leader).unwrap().epoch,
        topic_id: topic.id,
        index: 0,
        leader_epoch: now.leader_epoch,
        partition_epoch: now.partition_epoch,
        isr: isr.iter().map(|&node| (node, ANY_BROKER_EPOCH)).collect(),
    };
    let (_, records) = over(image).alter_partition(&command).unwrap();
    apply(image, &records);
}

/// Replicas, adding and removing.
fn lists(image: &Image) -> (&[i32], &[i32], &[i32]) {
    let state = state_of(image, "t", 0);
    (&state.replicas, &state.adding, &state.removing)
}

#[test]
fn a_replica_moves_when_the_new_one_is_in_sync() {
    let mut image = image();
    let kept = state_of(&image, "t", 0).clone();
    reassign(&mut image, &move_to(Some(&[1, 2, 4]))).unwrap();
    assert_eq!(lists(&image), (&[1, 2, 4, 3][..], &[4][..], &[3][..]));
    assert_eq!(seen(&image, "t", 0), (1, vec![1, 2, 3], 0, 1));
    let state = state_of(&image, "t", 0);
    assert_eq!(state.directory_on(3), kept.directory_on(3));
    let new = state.directory_on(4).unwrap();
    assert!(image.broker(4).unwrap().has_online(new));
    assert_eq!(image.drive_load(4, new).replicas, 1);
    let ongoing = [OngoingReassignment {
        topic: "t".to_owned(),
        index: 0,
        replicas: vec![1, 2, 4, 3],
        adding: vec![4],
        removing: vec![3],
    }];
    assert_eq!(reassignments(&image, None), ongoing);
    let wanted = [("t".to_owned(), vec![7, 0]), ("nope".to_owned(), vec![0])];
    assert_eq!(reassignments(&image, Some(&wanted)), ongoing);
    assert_eq!(rebuilt(&image), image);

    catch_up(&mut image, &[1, 2, 3, 4]);
    assert_eq!(lists(&image), (&[1, 2, 4][..], &[][..], &[][..]));
    assert_eq!(
        seen(&image, "t", 0),
        (1, vec![1, 2, 4], 1, 2),
        "a replica is gone: a new leader epoch"
    );
    assert_eq!(reassignments(&image, None), []);
    assert_eq!(reassignments(&image, Some(&wanted)), []);
}

#[test]
fn what_has_nothing_to_wait_for_is_complete_at_once() {
    let cases: [(&str, &[i32], Seen); 4] = [
        ("another order", &[3, 1, 2], (1, vec![1, 2, 3], 0, 1)),
        ("fewer", &[1, 2], (1, vec![1, 2], 1, 1)),
        ("without the leader", &[3, 2], (3, vec![2, 3], 1, 1)),
        ("as it is", &[1, 2, 3], (1, vec![1, 2, 3], 0, 0)),
    ];
    for (what, replicas, expected) in cases {
        let mut image = image();
        reassign(&mut image, &move_to(Some(replicas))).unwrap();
        assert_eq!(lists(&image), (replicas, &[][..], &[][..]), "{what}");
        assert_eq!(seen(&image, "t", 0), expected, "{what}");
    }
}

#[test]
fn a_leader_that_is_removed_leads_until_the_others_are_in_sync() {
    let mut image = image();
    reassign(&mut image, &move_to(Some(&[4]))).unwrap();
    assert_eq!(lists(&image), (&[4, 1, 2, 3][..], &[4][..], &[1, 2, 3][..]));
    assert_eq!(state_of(&image, "t", 0).leader, 1);
    catch_up(&mut image, &[1, 2, 3, 4]);
    assert_eq!(lists(&image), (&[4][..], &[][..], &[][..]));
    assert_eq!(seen(&image, "t", 0), (4, vec![4], 1, 2));
}

#[test]
fn a_reassignment_is_cancelled() {
    let mut image = image();
    reassign(&mut image, &move_to(Some(&[4, 2]))).unwrap();
    assert_eq!(lists(&image), (&[4, 2, 1, 3][..], &[4][..], &[1, 3][..]));
    reassign(&mut image, &move_to(None)).unwrap();
    assert_eq!(lists(&image), (&[2, 1, 3][..], &[][..], &[][..]));
    assert_eq!(seen(&image, "t", 0), (1, vec![1, 2, 3], 1, 2));
    assert_eq!(reassign(&mut image, &move_to(None)), Err(85));
}

#[test]
fn a_reassignment_is_replaced_by_another() {
    let mut image = members(5);
    create_on(&mut image, "t", &[&[1, 2, 3]]);
    reassign(&mut image, &move_to(Some(&[1, 2, 4]))).unwrap();
    reassign(&mut image, &move_to(Some(&[4, 1, 5]))).unwrap();
    assert_eq!(
        lists(&image),
        (&[4, 1, 5, 2, 3][..], &[4, 5][..], &[2, 3][..]),
        "what was being added still is"
    );
    reassign(&mut image, &move_to(Some(&[1, 2, 3]))).unwrap();
    assert_eq!(
        lists(&image),
        (&[1, 2, 3][..], &[][..], &[][..]),
        "back to what it was, which is in sync"
    );
}

#[test]
fn cancelling_never_takes_what_lacks_records_unless_that_is_allowed() {
    for allowed in [false, true] {
        let mut image = image();
        reassign(&mut image, &move_to(Some(&[4]))).unwrap();
        let change = |change| PartitionChangeRecord {
            leader: Some(4),
            isr: Some(vec![4]),
            leader_epoch: Some(1),
            ..change
        };
        set(&mut image, "t", 0, change);
        if !allowed {
            assert_eq!(reassign(&mut image, &move_to(None)), Err(39));
            continue;
        }
        set_unclean(&mut image, None, "true");
        reassign(&mut image, &move_to(None)).unwrap();
        assert_eq!(seen(&image, "t", 0), (1, vec![1], 2, 3));
        assert_eq!(lists(&image), (&[1, 2, 3][..], &[][..], &[][..]));
    }
}

#[test]
fn reassignments_that_are_refused() {
    let other = |topic: &str, index| Reassignment {
        topic: topic.to_owned(),
        index,
        ..move_to(Some(&[1]))
    };
    let fixed = |replicas: &[i32]| Reassignment {
        allow_factor_change: false,
        ..move_to(Some(replicas))
    };
    let cases = [
        ("an unknown topic", other("nope", 0), 3),
        ("an unknown partition", other("t", 1), 3),
        ("to nowhere", move_to(Some(&[])), 39),
        ("a node twice", move_to(Some(&[1, 2, 1])), 39),
        ("an unknown node", move_to(Some(&[1, 9])), 39),
        ("no node", move_to(Some(&[-1])), 39),
        ("fewer, not allowed", fixed(&[1, 2]), 38),
        ("more, not allowed", fixed(&[1, 2, 3, 4]), 38),
        ("nothing to cancel", move_to(None), 85),
    ];
    for (what, command, code) in cases {
        assert_eq!(reassign(&mut image(), &command), Err(code), "{what}");
    }
    let mut image = image();
    reassign(&mut image, &fixed(&[1, 2, 4])).unwrap();
    reassign(&mut image, &fixed(&[4, 2, 3])).unwrap();
    assert_eq!(
        reassign(&mut image, &fixed(&[4, 2])),
        Err(38),
        "what is being removed doesn't count"
    );
    let without = over(&image).reassign(&move_to(Some(&[1, 2, 4])), &[]);
    assert!(without.is_ok(), "their drives are known");
    let nowhere = Reassignment {
        topic: "u".to_owned(),
        ..move_to(Some(&[4]))
    };
    create_on(&mut image, "u", &[&[1]]);
    let refused = over(&image).reassign(&nowhere, &[drive(1, 0)]);
    assert_eq!(refused.unwrap_err().code(), 39, "no drive takes it");
}

#[test]
fn a_replica_whose_drive_was_replaced_gets_another() {
    let mut image = image();
    let lost = state_of(&image, "t", 0).directory_on(3).unwrap();
    let mut replaced = RegisterBroker {
        incarnation: id(9),
        ..registration(3, 2)
    };
    replaced.drives.retain(|info| info.id != lost);
    join(&mut image, &replaced);
    let left = replaced.drives[0].id;
    reassign(&mut image, &move_to(Some(&[1, 2, 3]))).unwrap();
    let state = state_of(&image, "t", 0);
    assert_eq!(state.directory_on(3), Some(left));
    assert_eq!((state.leader_epoch, state.is_reassigning()), (0, false));
    catch_up(&mut image, &[1, 2, 3]);

    let mut image = members(1);
    create_on(&mut image, "t", &[&[1]]);
    let last = state_of(&image, "t", 0).directories.clone();
    let mut without = RegisterBroker {
        incarnation: id(9),
        ..registration(1, 2)
    };
    without.drives.retain(|info| info.id != last[0]);
    join(&mut image, &without);
    reassign(&mut image, &move_to(Some(&[1]))).unwrap();
    assert_eq!(
        state_of(&image, "t", 0).directories,
        last,
        "the last that was in sync is not given up"
    );
}

#[test]
fn a_fenced_broker_can_be_moved_to_and_from() {
    let mut image = image();
    run(&mut image, |c| c.fence(4));
    reassign(&mut image, &move_to(Some(&[1, 2, 4]))).unwrap();
    assert_eq!(lists(&image), (&[1, 2, 4, 3][..], &[4][..], &[3][..]));
    run(&mut image, |c| c.fence(3));
    reassign(&mut image, &move_to(Some(&[2, 1]))).unwrap();
    assert_eq!(lists(&image), (&[2, 1][..], &[][..], &[][..]));
}
