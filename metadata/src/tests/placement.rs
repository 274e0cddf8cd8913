//! Where new replicas go.

use std::collections::BTreeSet;

use super::*;

/// Members with these racks, in order from node 1; two drives each.
fn racks(racks: &[&str]) -> Image {
    let mut image = cluster([]);
    for (node, rack) in (1..).zip(racks) {
        let rack = (!rack.is_empty()).then(|| (*rack).to_owned());
        join(
            &mut image,
            &RegisterBroker {
                rack,
                ..registration(node, 2)
            },
        );
    }
    image
}

fn topic(
    image: &mut Image,
    name: &str,
    partitions: i32,
    replication_factor: i16,
) -> Vec<PartitionState> {
    let command = CreateTopic {
        partitions,
        replication_factor,
        ..new_topic(name)
    };
    create(image, &command);
    image.topic(name).unwrap().partitions.clone()
}

fn refusal(image: &Image, command: &CreateTopic) -> i16 {
    let drives = PlacementDrive::all(image);
    let refused = over(image).create_topic(command, &drives);
    refused.unwrap_err().code()
}

fn rack_of(image: &Image, node: i32) -> Option<String> {
    image.broker(node).unwrap().rack.clone()
}

#[test]
fn replicas_are_spread_over_racks() {
    let cases: [(&[&str], i16, usize); 6] = [
        (&["a", "a", "b", "b", "c", "c"], 3, 3),
        (&["a", "a", "b", "b", "c", "c"], 2, 2),
        (&["a", "a", "a", "b"], 2, 2),
        (&["a", "a", "b", "b"], 3, 2),
        (&["a", "a", "a"], 3, 1),
        (&["a", "", "", "b"], 3, 3),
    ];
    for (names, factor, expected) in cases {
        let mut image = racks(names);
        for state in topic(&mut image, "t", 12, factor) {
            let used: BTreeSet<_> = state.replicas.iter().map(|&n| rack_of(&image, n)).collect();
            assert_eq!(used.len(), expected, "{names:?} {:?}", state.replicas);
            let nodes: BTreeSet<_> = state.replicas.iter().collect();
            assert_eq!(nodes.len(), usize::try_from(factor).unwrap());
        }
    }
}

#[test]
fn nodes_are_loaded_alike_for_the_drives_they_have() {
    let mut image = cluster([]);
    for (node, drives) in [(1, 1), (2, 2), (3, 3)] {
        join(&mut image, &registration(node, drives));
    }
    topic(&mut image, "t", 12, 1);
    for (node, drives) in [(1, 1), (2, 2), (3, 3)] {
        for n in 0..drives {
            assert_eq!(image.drive_load(node, drive(node, n).drive).replicas, 2);
        }
    }
    // What one drive lacks doesn't make its node more welcome than another that carries less.
    let mut image = members(2);
    create_on(&mut image, "two", &[&[1], &[1], &[1], &[1]]);
    for state in topic(&mut image, "t", 4, 1) {
        assert_eq!(state.replicas, [2]);
    }
}

#[test]
fn leaders_are_spread_within_and_over_racks() {
    let mut image = racks(&["a", "a", "b", "b", "c", "c"]);
    topic(&mut image, "t", 30, 3);
    for node in 1..=6 {
        let leads = image.preferred_leaders(node);
        assert!(
            (4..=6).contains(&leads),
            "node {node} comes first in {leads} of 30"
        );
    }
}

#[test]
fn fenced_brokers_are_used_when_the_active_do_not_suffice() {
    let mut image = members(4);
    run(&mut image, |c| c.fence(1));
    for state in topic(&mut image, "few", 8, 3) {
        assert!(!state.replicas.contains(&1));
        assert_eq!(state.isr, state.replicas);
    }
    for state in topic(&mut image, "all", 8, 4) {
        assert_eq!(state.replicas[3], 1, "it isn't to lead");
        assert_eq!(state.isr, state.replicas[..3]);
        assert_eq!(state.leader, state.replicas[0]);
    }
    for node in 2..=4 {
        run(&mut image, |c| c.fence(node));
    }
    assert_eq!(refusal(&image, &new_topic("none")), 38);
}

#[test]
fn stopping_brokers_and_failed_drives_are_not_used() {
    let mut image = members(3);
    run(&mut image, |c| c.controlled_shutdown(1));
    let failed = drive(2, 0).drive;
    run(&mut image, |c| c.drives_failed(2, &[failed]));
    for state in topic(&mut image, "t", 8, 2) {
        assert!(!state.replicas.contains(&1));
        assert_eq!(state.directory_on(2), Some(drive(2, 1).drive));
    }
    let three = CreateTopic {
        partitions: 1,
        replication_factor: 3,
        ..new_topic("three")
    };
    assert_eq!(refusal(&image, &three), 38);
    run(&mut image, |c| c.drives_failed(2, &[drive(2, 1).drive]));
    for state in topic(&mut image, "u", 4, 1) {
        assert_eq!(state.replicas, [3]);
    }
}

#[test]
fn assigned_nodes_need_one_that_can_lead() {
    let mut image = members(3);
    run(&mut image, |c| c.fence(1));
    run(&mut image, |c| c.controlled_shutdown(2));
    let assigned = |name: &str, nodes: &[i32]| CreateTopic {
        assignments: vec![(0, nodes.to_vec())],
        ..new_topic(name)
    };
    assert_eq!(refusal(&image, &assigned("t", &[1, 2])), 39);
    create(&mut image, &assigned("t", &[1, 2, 3]));
    assert_eq!(seen(&image, "t", 0), (3, vec![3], 0, 0));
    let grow = CreatePartitions {
        name: "t".to_owned(),
        count: 2,
        assignments: Some(vec![vec![2, 3, 1]]),
    };
    let drives = PlacementDrive::all(&image);
    run(&mut image, |c| c.create_partitions(&grow, &drives));
    assert_eq!(seen(&image, "t", 1), (3, vec![3], 0, 0));
    let grow = CreatePartitions {
        count: 3,
        assignments: None,
        ..grow
    };
    let refused = over(&image).create_partitions(&grow, &drives);
    assert_eq!(refused.unwrap_err().code(), 38, "one of three is stopping");
}
