//! What records make of an image's brokers.

use super::*;

fn change(node_id: i32, epoch: i64) -> BrokerChangeRecord {
    BrokerChangeRecord {
        node_id,
        epoch,
        fenced: None,
        in_controlled_shutdown: None,
        offline_drives: None,
    }
}

#[test]
fn a_change_leaves_what_it_does_not_name() {
    let mut image = members(1);
    let before = image.broker(1).unwrap().clone();
    apply(&mut image, &[Record::BrokerChange(change(1, 1))]);
    assert_eq!(image.broker(1), Some(&before));
    let drives = vec![drive(1, 0).drive];
    let whole = BrokerChangeRecord {
        fenced: Some(true),
        in_controlled_shutdown: Some(true),
        offline_drives: Some(drives.clone()),
        ..change(1, 1)
    };
    apply(&mut image, &[Record::BrokerChange(whole)]);
    let expected = BrokerRecord {
        fenced: true,
        in_controlled_shutdown: true,
        offline_drives: drives,
        ..before
    };
    assert_eq!(image.broker(1), Some(&expected));
    assert!(!image.is_online(1, drive(1, 1).drive));
    assert_eq!(rebuilt(&image), image);
}

#[test]
fn a_replica_is_online_on_a_drive_of_an_active_broker() {
    let mut image = members(2);
    run(&mut image, |c| c.drives_failed(1, &[drive(1, 0).drive]));
    run(&mut image, |c| c.fence(2));
    let cases = [
        (1, drive(1, 1), true),
        (1, drive(1, 0), false),
        (1, drive(2, 1), false),
        (2, drive(2, 0), false),
        (3, drive(3, 0), false),
    ];
    for (node, place, online) in cases {
        assert_eq!(
            image.is_online(node, place.drive),
            online,
            "{node} {place:?}"
        );
    }
}

#[test]
fn no_epoch_is_forgotten() {
    let mut image = members(3);
    run(&mut image, |c| c.unregister_broker(3));
    assert_eq!((image.last_broker_epoch(), image.brokers().len()), (3, 2));
    assert_eq!(rebuilt(&image), image);
    let last = Record::LastBrokerEpoch(LastBrokerEpochRecord { epoch: 3 });
    assert!(image.to_records().contains(&last));
    assert!(
        !members(3).to_records().contains(&last),
        "only where it says something"
    );
}

#[test]
fn what_is_of_another_epoch_is_refused_and_changes_nothing() {
    let image = members(2);
    let unknown = |node, epoch, known| ApplyError::UnknownBroker { node, epoch, known };
    let gone = |node_id, epoch| Record::UnregisterBroker(UnregisterBrokerRecord { node_id, epoch });
    let cases = [
        (Record::BrokerChange(change(1, 2)), unknown(1, 2, Some(1))),
        (Record::BrokerChange(change(7, 1)), unknown(7, 1, None)),
        (gone(2, 1), unknown(2, 1, Some(2))),
        (gone(7, 1), unknown(7, 1, None)),
        (
            Record::Broker(broker(2, 1)),
            ApplyError::BrokerEpochBackwards {
                node: 2,
                epoch: 0,
                known: 2,
            },
        ),
    ];
    for (record, error) in cases {
        let mut after = image.clone();
        assert_eq!(after.apply(&record), Err(error), "{record:?}");
        assert_eq!(after, image);
    }
}
