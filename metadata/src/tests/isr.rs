//! A leader's changes of who is in sync.

use super::*;

/// A partition [1, 2, 3] of "t", led by 1, with 1 and 2 in sync; 4 holds nothing of it.
fn image() -> Image {
    let mut image = members(4);
    create_on(&mut image, "t", &[&[1, 2, 3]]);
    set(&mut image, "t", 0, |change| PartitionChangeRecord {
        isr: Some(vec![1, 2]),
        leader_epoch: Some(5),
        ..change
    });
    image
}

fn ask(image: &Image, isr: &[i32]) -> AlterPartition {
    AlterPartition {
        node: 1,
        broker_epoch: image.broker(1).unwrap().epoch,
        topic_id: image.topic("t").unwrap().id,
        index: 0,
        leader_epoch: 5,
        partition_epoch: 1,
        isr: isr.iter().map(|&node| (node, ANY_BROKER_EPOCH)).collect(),
    }
}

fn alter(image: &mut Image, command: &AlterPartition) -> Result<AlteredPartition, i16> {
    let decided = over(image).alter_partition(command);
    let (altered, records) = decided.map_err(|error| error.code())?;
    apply(image, &records);
    assert_eq!(
        altered.state,
        *state_of(image, "t", 0),
        "what is answered is so"
    );
    Ok(altered)
}

#[test]
fn the_set_grows_and_shrinks_within_a_leader_epoch() {
    for isr in [&[1, 2, 3][..], &[1], &[3, 1], &[2, 1]] {
        let mut image = image();
        let command = ask(&image, isr);
        let altered = alter(&mut image, &command).unwrap();
        assert!(!altered.leader_moved);
        assert_eq!(seen(&image, "t", 0), (1, isr.to_vec(), 5, 2));
    }
    let mut image = image();
    let command = ask(&image, &[1, 2]);
    assert_eq!(over(&image).alter_partition(&command).unwrap().1, []);
    alter(&mut image, &command).unwrap();
    assert_eq!(seen(&image, "t", 0), (1, vec![1, 2], 5, 1), "nothing to do");
}

#[test]
fn requests_that_are_refused() {
    type Case = (&'static str, fn(&mut AlterPartition), i16);
    let cases: [Case; 14] = [
        ("an old broker epoch", |c| c.broker_epoch = 0, 77),
        ("an unknown broker", |c| c.node = 9, 77),
        ("an unknown topic", |c| c.topic_id = id(9), 100),
        ("an unknown partition", |c| c.index = 1, 3),
        ("an old leader epoch", |c| c.leader_epoch = 4, 74),
        ("a newer leader epoch", |c| c.leader_epoch = 6, 41),
        ("an old partition epoch", |c| c.partition_epoch = 0, 95),
        ("a newer partition epoch", |c| c.partition_epoch = 2, 41),
        ("no leader", |c| (c.node, c.broker_epoch) = (2, 2), 42),
        ("no replica", |c| c.isr = vec![(1, -1), (4, -1)], 42),
        ("a replica twice", |c| c.isr.push((1, -1)), 42),
        ("without the leader", |c| c.isr = vec![(2, -1)], 42),
        ("none", |c| c.isr.clear(), 42),
        ("another start of a replica", |c| c.isr[2].1 = 2, 107),
    ];
    let image = image();
    for (what, change, code) in cases {
        let mut command = ask(&image, &[1, 2, 3]);
        change(&mut command);
        let error = over(&image).alter_partition(&command).unwrap_err();
        assert_eq!(error.code(), code, "{what}: {error}");
    }
    let mut command = ask(&image, &[]);
    command.isr = vec![(1, 1), (2, 2), (3, 3)];
    assert!(over(&image).alter_partition(&command).is_ok());
}

#[test]
fn replicas_that_cannot_be_in_sync() {
    let fence = |image: &mut Image| drop(run(image, |c| c.fence(3)));
    let stop = |image: &mut Image| drop(run(image, |c| c.controlled_shutdown(3)));
    let gone = |image: &mut Image| drop(run(image, |c| c.unregister_broker(3)));
    let failed = |image: &mut Image| {
        let drive = state_of(image, "t", 0).directory_on(3).unwrap();
        run(image, |c| c.drives_failed(3, &[drive]));
    };
    type Way<'a> = (&'a str, &'a dyn Fn(&mut Image));
    let ways: [Way<'_>; 4] = [
        ("fenced", &fence),
        ("stopping", &stop),
        ("unregistered", &gone),
        ("with a failed drive", &failed),
    ];
    for (what, make) in ways {
        let mut image = image();
        make(&mut image);
        let command = ask(&image, &[1, 2, 3]);
        assert_eq!(alter(&mut image, &command), Err(107), "{what}");
        let command = ask(&image, &[1, 2]);
        assert!(alter(&mut image, &command).is_ok(), "{what}");
    }
}

#[test]
fn a_change_completes_the_reassignment_that_waited_for_it() {
    let mut image = image();
    set(&mut image, "t", 0, |change| PartitionChangeRecord {
        adding: Some(vec![3]),
        removing: Some(vec![1]),
        ..change
    });
    let command = AlterPartition {
        partition_epoch: 2,
        ..ask(&image, &[1, 2, 3])
    };
    let altered = alter(&mut image, &command).unwrap();
    assert!(
        altered.leader_moved,
        "the leader was one of those to be removed"
    );
    let state = state_of(&image, "t", 0);
    assert_eq!((state.leader, state.leader_epoch), (2, 6));
    assert_eq!(
        (&state.replicas[..], &state.isr[..]),
        (&[2, 3][..], &[2, 3][..])
    );
    assert!(!state.is_reassigning() && state.directories.len() == 2);
}
