//! What must hold of a cluster after every record.

use std::collections::BTreeSet;

use super::*;

/// What a command may do to a partition beyond the rules.
#[derive(Default)]
pub(super) struct Leave {
    /// It may take a leader that wasn't in sync.
    pub(super) unclean: bool,
    /// It may take these into the set in sync.
    pub(super) joining: Vec<i32>,
}

/// Checks what must hold for one record that led from `before` to `after`.
pub(super) fn check(before: &Image, after: &Image, leave: &Leave, what: &str) {
    for (topic, index, now) in over(after).partitions() {
        check_state(after, now, what);
        let old = before
            .topic_by_id(topic.id)
            .and_then(|t| t.partition(index));
        if let Some(old) = old {
            let unclean = leave.unclean || over(after).unclean_rule().allows(&topic.name);
            check_change(old, now, unclean, &leave.joining, what);
        }
    }
    let epochs: Vec<i64> = after
        .brokers()
        .values()
        .map(|broker| broker.epoch)
        .collect();
    assert_eq!(distinct(&epochs), epochs.len(), "{what}: an epoch twice");
    assert!(after.last_broker_epoch() >= before.last_broker_epoch());
    assert!(
        epochs
            .iter()
            .all(|&epoch| epoch <= after.last_broker_epoch())
    );
    let drives = after.brokers().values().flat_map(|broker| &broker.drives);
    let drives: Vec<Uuid> = drives.map(|info| info.id).collect();
    assert_eq!(distinct(&drives), drives.len(), "{what}: a drive twice");
}

fn distinct<T: Ord>(all: &[T]) -> usize {
    all.iter().collect::<BTreeSet<_>>().len()
}

fn check_state(image: &Image, now: &PartitionState, what: &str) {
    let say = || format!("{what}: {now:?}");
    let replicas = |nodes: &[i32]| nodes.iter().all(|node| now.replicas.contains(node));
    assert!(
        !now.replicas.is_empty() && distinct(&now.replicas) == now.replicas.len(),
        "{}",
        say()
    );
    assert_eq!(now.directories.len(), now.replicas.len(), "{}", say());
    assert!(
        !now.isr.is_empty() && distinct(&now.isr) == now.isr.len(),
        "{}",
        say()
    );
    assert!(
        replicas(&now.isr) && replicas(&now.adding) && replicas(&now.removing),
        "{}",
        say()
    );
    assert!(
        now.adding.iter().all(|node| !now.removing.contains(node)),
        "{}",
        say()
    );
    let online = |node: i32| {
        now.directory_on(node)
            .is_some_and(|d| image.is_online(node, d))
    };
    let alone = now.isr.len() == 1;
    assert!(
        alone || now.isr.iter().all(|&node| online(node)),
        "{}",
        say()
    );
    assert!(
        now.leader == -1 || (now.isr.contains(&now.leader) && online(now.leader)),
        "{}",
        say()
    );
}

fn check_change(
    old: &PartitionState,
    now: &PartitionState,
    unclean: bool,
    joining: &[i32],
    what: &str,
) {
    let say = || format!("{what}: {old:?} to {now:?}");
    if old == now {
        return;
    }
    assert_eq!(now.partition_epoch, old.partition_epoch + 1, "{}", say());
    let lost = old.replicas.iter().any(|node| !now.replicas.contains(node));
    let expected = old.leader_epoch + i32::from(lost || old.leader != now.leader);
    assert_eq!(now.leader_epoch, expected, "{}", say());
    for node in &old.isr {
        let drive = now.directory_on(*node);
        assert!(
            drive.is_none() || drive == old.directory_on(*node),
            "{}",
            say()
        );
    }
    let staying = |node: &&i32| !now.removing.contains(node);
    let mut staying = now.replicas.iter().filter(staying);
    let done = now.is_reassigning() && staying.all(|node| now.isr.contains(node));
    // Of a leader that wasn't in sync nobody waits for anything; nor does it throw the others away.
    assert!(!done || unclean || now.leader == -1, "{}", say());
    let may_be = |node: &i32| old.isr.contains(node) || joining.contains(node);
    assert!(unclean || now.isr.iter().all(may_be), "{}", say());
}
