//! Heartbeats and what they lead to.

use super::*;

/// Sessions of 9 s over an image; what is decided is committed at once.
struct Cluster {
    image: Image,
    sessions: Sessions,
    offset: i64,
}

impl Cluster {
    /// Active members whose sessions began at 0.
    fn of(nodes: i32) -> Self {
        let image = members(nodes);
        let mut sessions = Sessions::new(9000);
        sessions.start(&image, 100, 0);
        Self {
            image,
            sessions,
            offset: 100,
        }
    }

    fn commit(&mut self, node: i32, records: &[Record]) {
        apply(&mut self.image, records);
        self.offset += records.len() as i64;
        self.sessions.committed(&self.image, node, self.offset);
    }

    fn beat(&mut self, heartbeat: &Heartbeat, now: u64) -> Result<HeartbeatReply, i16> {
        let decided = self.sessions.heartbeat(&over(&self.image), heartbeat, now);
        let (reply, records) = decided.map_err(|error| error.code())?;
        self.commit(heartbeat.node, &records);
        Ok(reply)
    }

    fn register(&mut self, command: &RegisterBroker, now: u64) -> Result<i64, i16> {
        let decided = self.sessions.register(&over(&self.image), command, now);
        let (epoch, records) = decided.map_err(|error| error.code())?;
        self.commit(command.node_id, &records);
        Ok(epoch)
    }

    /// A heartbeat of a broker that has everything and wants nothing.
    fn from(&self, node: i32) -> Heartbeat {
        Heartbeat {
            node,
            broker_epoch: self.image.broker(node).unwrap().epoch,
            metadata_offset: self.offset,
            want_fence: false,
            want_shutdown: false,
            offline_drives: Vec::new(),
        }
    }
}

fn reply(caught_up: bool, fenced: bool, stopping: bool, may_stop: bool) -> HeartbeatReply {
    HeartbeatReply {
        caught_up,
        fenced,
        in_controlled_shutdown: stopping,
        may_stop,
    }
}

const QUIET: HeartbeatReply = HeartbeatReply {
    caught_up: true,
    fenced: false,
    in_controlled_shutdown: false,
    may_stop: false,
};

#[test]
fn silent_brokers_expire_the_longest_silent_first() {
    let mut cluster = Cluster::of(3);
    assert_eq!(cluster.sessions.next_deadline(&cluster.image), Some(9000));
    assert_eq!(cluster.beat(&cluster.from(2), 5000), Ok(QUIET));
    assert_eq!(cluster.beat(&cluster.from(1), 4000), Ok(QUIET));
    let expired = |cluster: &Cluster, now| cluster.sessions.expired(&cluster.image, now);
    assert_eq!(expired(&cluster, 8999), []);
    assert_eq!(expired(&cluster, 9000), [3]);
    assert_eq!(expired(&cluster, 14_000), [3, 1, 2]);
    for node in [3, 1] {
        let records = over(&cluster.image).fence(node).unwrap();
        cluster.commit(node, &records);
    }
    assert_eq!(
        expired(&cluster, 14_000),
        [2],
        "the fenced aren't named again"
    );
    assert_eq!(cluster.sessions.next_deadline(&cluster.image), Some(14_000));
    assert_eq!(
        cluster.beat(&cluster.from(3), 14_000),
        Ok(QUIET),
        "it is back"
    );
    assert!(cluster.image.is_active(3));
    assert_eq!(expired(&cluster, 14_000), [2]);
}

#[test]
fn a_new_controller_gives_everyone_a_whole_session() {
    let mut cluster = Cluster::of(2);
    let records = over(&cluster.image).fence(2).unwrap();
    cluster.commit(2, &records);
    cluster
        .sessions
        .start(&cluster.image, cluster.offset, 50_000);
    assert_eq!(cluster.sessions.next_deadline(&cluster.image), Some(59_000));
    assert_eq!(cluster.sessions.liveness(1, 50_000), Liveness::Presumed);
    let behind = Heartbeat {
        metadata_offset: cluster.offset - 1,
        ..cluster.from(2)
    };
    assert_eq!(
        cluster.beat(&behind, 50_000),
        Ok(reply(false, true, false, false))
    );
    assert_eq!(cluster.beat(&cluster.from(2), 50_000), Ok(QUIET));
    assert_eq!(cluster.sessions.liveness(2, 50_000), Liveness::Heard);
    assert_eq!(cluster.sessions.liveness(2, 59_000), Liveness::Silent);
    assert_eq!(cluster.sessions.liveness(7, 0), Liveness::Silent);
}

#[test]
fn a_broker_is_unfenced_when_it_has_seen_its_registration() {
    let mut cluster = Cluster::of(1);
    create_on(&mut cluster.image, "t", &[&[1]]);
    let epoch = cluster.register(&registration(2, 1), 0).unwrap();
    let registered_at = cluster.offset;
    let beat = |metadata_offset, want_fence| Heartbeat {
        node: 2,
        broker_epoch: epoch,
        metadata_offset,
        want_fence,
        want_shutdown: false,
        offline_drives: Vec::new(),
    };
    let fenced = |caught_up| Ok(reply(caught_up, true, false, false));
    assert_eq!(
        cluster.beat(&beat(registered_at - 1, false), 1),
        fenced(false)
    );
    assert_eq!(
        cluster.beat(&beat(registered_at, true), 2),
        fenced(true),
        "if it wants"
    );
    assert_eq!(cluster.beat(&beat(registered_at, false), 3), Ok(QUIET));
    assert!(cluster.image.is_active(2));
    assert_eq!(cluster.beat(&beat(registered_at, true), 4), fenced(true));
    assert!(!cluster.image.is_active(2));
}

#[test]
fn a_registration_that_is_not_committed_unfences_nobody() {
    let mut cluster = Cluster::of(1);
    let command = registration(2, 1);
    let (epoch, records) = cluster
        .sessions
        .register(&over(&cluster.image), &command, 0)
        .unwrap();
    apply(&mut cluster.image, &records);
    let beat = Heartbeat {
        broker_epoch: epoch,
        metadata_offset: i64::MAX,
        ..cluster.from(2)
    };
    let (answer, records) = cluster
        .sessions
        .heartbeat(&over(&cluster.image), &beat, 1)
        .unwrap();
    assert_eq!(
        (answer, records),
        (reply(false, true, false, false), vec![])
    );
}

#[test]
fn a_stopping_broker_may_stop_when_the_others_know_its_successors() {
    let mut cluster = Cluster::of(3);
    create_on(&mut cluster.image, "t", &[&[1, 2, 3]]);
    for node in 1..=3 {
        cluster.beat(&cluster.from(node), 0).unwrap();
    }
    let stop = |cluster: &Cluster| Heartbeat {
        want_shutdown: true,
        ..cluster.from(1)
    };
    let stopping = Ok(reply(true, false, true, false));
    assert_eq!(cluster.beat(&stop(&cluster), 1), stopping);
    assert_eq!(seen(&cluster.image, "t", 0), (2, vec![2, 3], 1, 1));
    assert_eq!(
        cluster.beat(&stop(&cluster), 2),
        stopping,
        "2 and 3 don't know"
    );
    cluster.beat(&cluster.from(2), 3).unwrap();
    assert_eq!(cluster.beat(&stop(&cluster), 4), stopping, "3 doesn't know");
    cluster.beat(&cluster.from(3), 5).unwrap();
    let may_stop = Ok(reply(true, true, false, true));
    assert_eq!(cluster.beat(&stop(&cluster), 6), may_stop);
    assert!(cluster.image.broker(1).unwrap().fenced);
    assert_eq!(cluster.beat(&stop(&cluster), 7), may_stop, "asked again");
    let next = RegisterBroker {
        incarnation: id(9),
        ..registration(1, 2)
    };
    assert_eq!(
        cluster.register(&next, 8),
        Ok(4),
        "it need not wait to come back"
    );
}

#[test]
fn who_leads_nothing_or_is_alone_may_stop() {
    let mut cluster = Cluster::of(2);
    create_on(&mut cluster.image, "t", &[&[1]]);
    let stop = |cluster: &Cluster, node| Heartbeat {
        want_shutdown: true,
        ..cluster.from(node)
    };
    let may_stop = Ok(reply(true, true, false, true));
    assert_eq!(cluster.beat(&stop(&cluster, 2), 1), may_stop);
    assert_eq!(
        cluster.beat(&stop(&cluster, 1), 2),
        Ok(reply(true, false, true, false)),
        "it leads"
    );
    assert_eq!(
        cluster.beat(&stop(&cluster, 1), 3),
        may_stop,
        "nobody else has to know"
    );
    let at_once = Heartbeat {
        want_fence: true,
        ..stop(&cluster, 1)
    };
    let mut other = Cluster::of(2);
    create_on(&mut other.image, "t", &[&[1, 2]]);
    assert_eq!(
        other.beat(&at_once, 1),
        may_stop,
        "it doesn't care to give anything away"
    );
    assert_eq!(seen(&other.image, "t", 0), (2, vec![2], 1, 1));
}

#[test]
fn a_stopping_broker_is_known_to_a_new_controller() {
    let mut cluster = Cluster::of(2);
    create_on(&mut cluster.image, "t", &[&[1, 2]]);
    let stop = Heartbeat {
        want_shutdown: true,
        ..cluster.from(1)
    };
    cluster.beat(&stop, 0).unwrap();
    cluster.sessions.start(&cluster.image, cluster.offset, 10);
    let stopping = Ok(reply(true, false, true, false));
    let stop = Heartbeat {
        metadata_offset: cluster.offset,
        ..stop
    };
    assert_eq!(cluster.beat(&stop, 11), stopping);
    cluster.beat(&cluster.from(2), 12).unwrap();
    assert_eq!(cluster.beat(&stop, 13), Ok(reply(true, true, false, true)));
}

#[test]
fn failed_drives_are_reported_by_heartbeat() {
    let mut cluster = Cluster::of(2);
    create_on(&mut cluster.image, "t", &[&[1, 2]]);
    let failed = state_of(&cluster.image, "t", 0).directory_on(1).unwrap();
    let beat = Heartbeat {
        offline_drives: vec![failed],
        ..cluster.from(1)
    };
    assert_eq!(cluster.beat(&beat, 0), Ok(QUIET));
    assert_eq!(seen(&cluster.image, "t", 0), (2, vec![2], 1, 1));
    assert_eq!(cluster.image.broker(1).unwrap().offline_drives, [failed]);
    let before = cluster.offset;
    cluster.beat(&beat, 1).unwrap();
    cluster.beat(&cluster.from(1), 2).unwrap();
    assert_eq!(cluster.offset, before, "once, and until it starts again");
}

#[test]
fn a_broker_that_wakes_up_with_a_failed_drive_leads_only_the_rest() {
    let mut cluster = Cluster::of(1);
    create_on(&mut cluster.image, "a", &[&[1]]);
    create_on(&mut cluster.image, "b", &[&[1]]);
    let records = over(&cluster.image).fence(1).unwrap();
    cluster.commit(1, &records);
    let beat = Heartbeat {
        offline_drives: vec![state_of(&cluster.image, "a", 0).directories[0]],
        ..cluster.from(1)
    };
    assert_eq!(cluster.beat(&beat, 0), Ok(QUIET));
    assert_eq!(state_of(&cluster.image, "a", 0).leader, -1);
    assert_eq!(state_of(&cluster.image, "b", 0).leader, 1);
}

#[test]
fn heartbeats_of_the_past_are_refused() {
    let mut cluster = Cluster::of(1);
    let old = Heartbeat {
        broker_epoch: 0,
        ..cluster.from(1)
    };
    assert_eq!(cluster.beat(&old, 8000), Err(77));
    let unknown = Heartbeat { node: 5, ..old };
    assert_eq!(cluster.beat(&unknown, 8000), Err(77));
    assert_eq!(
        cluster.sessions.expired(&cluster.image, 9000),
        [1],
        "they keep nobody alive"
    );
}

#[test]
fn a_node_id_is_free_when_its_session_is_over() {
    let mut cluster = Cluster::of(2);
    let next = |n| RegisterBroker {
        incarnation: id(n),
        ..registration(1, 2)
    };
    cluster.beat(&cluster.from(1), 1000).unwrap();
    assert_eq!(cluster.register(&next(7), 9999), Err(101));
    assert_eq!(cluster.register(&next(7), 10_000), Ok(3));
    assert_eq!(cluster.beat(&cluster.from(1), 10_001), Ok(QUIET));
    cluster.beat(&cluster.from(2), 10_002).unwrap();
    cluster.sessions.cut(1, 10_002, 500);
    assert_eq!(cluster.register(&next(8), 10_501), Err(101));
    assert_eq!(cluster.sessions.expired(&cluster.image, 10_502), [1]);
    assert_eq!(cluster.register(&next(8), 10_502), Ok(4));
    assert_eq!(cluster.beat(&cluster.from(1), 10_503), Ok(QUIET));
    cluster.sessions.cut(1, 10_504, 500);
    cluster.beat(&cluster.from(1), 10_505).unwrap();
    assert_eq!(
        cluster.sessions.expired(&cluster.image, 11_004),
        [],
        "it was heard of since"
    );
}
