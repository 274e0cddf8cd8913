//! Calls that are made for every batch allocate nothing.

#![allow(clippy::expect_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use replica::{
    Assignment, Effect, Follow, LogView, Next, Peer, Position, Progress, Records, Replica, Sender,
    Settings,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is done by the system's allocator; counting touches nothing that allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A log of one epoch.
struct Log {
    end: i64,
    stable_end: i64,
}

impl LogView for Log {
    fn start(&self) -> i64 {
        0
    }

    fn end(&self) -> i64 {
        self.end
    }

    fn stable_end(&self) -> i64 {
        self.stable_end
    }

    fn latest_epoch(&self) -> Option<i32> {
        None
    }

    fn epoch_end(&self, _epoch: i32) -> (i32, i64) {
        (-1, -1)
    }
}

fn replica(me: i32, leader: i32, log: &Log, out: &mut Vec<Effect>) -> Replica {
    let replicas = [1, 2, 3].map(|node| Peer {
        node,
        broker_epoch: 7,
        eligible: true,
    });
    let given = Assignment {
        leader,
        leader_epoch: 0,
        partition_epoch: 0,
        replicas: &replicas,
        isr: &[1, 2, 3],
    };
    let mut replica = Replica::new(me, Settings::default(), 0, log);
    replica.assign(&given, log, 0, out);
    replica
}

/// Moves `count` batches from a leader to a follower and back as reports of both followers.
fn batches(
    leader: &mut Replica,
    follower: &mut Replica,
    logs: &mut [Log; 2],
    count: i64,
    out: &mut Vec<Effect>,
) {
    let [own, other] = logs;
    let from = |node| Sender {
        node,
        broker_epoch: 7,
        session: 1,
    };
    for now_ms in 0..count {
        own.end += 10;
        leader.log_moved(own, out);
        for node in [2, 3] {
            let Next::Records { from, end } = leader.next_for(node, own) else {
                panic!("there are records to send");
            };
            let header = leader.sent_records(node, 0, (from, end), own);
            let header: Records = header.expect("it leads");
            if node == 2 {
                follower.on_records(1, &header, other, 0, out);
            }
        }
        other.end += 10;
        follower.log_moved(other, out);
        other.stable_end = other.end;
        follower.log_moved(other, out);
        own.stable_end = own.end;
        leader.log_moved(own, out);
        for node in [2, 3] {
            let progress = Progress {
                leader_epoch: 0,
                stable_end: own.end,
                log_start: 0,
            };
            leader.on_progress(from(node), &progress, own, now_ms.unsigned_abs(), out);
        }
        assert_eq!(leader.high_watermark(), own.end);
        out.clear();
    }
}

#[test]
fn records_and_reports_allocate_nothing() {
    let mut out = Vec::with_capacity(16);
    let mut logs = [0, 1].map(|_| Log {
        end: 0,
        stable_end: 0,
    });
    let mut leader = replica(1, 1, &logs[0], &mut out);
    let mut follower = replica(2, 1, &logs[1], &mut out);
    for node in [2, 3] {
        let follow = Follow {
            leader_epoch: 0,
            partition_epoch: 0,
            position: Position {
                last_epoch: -1,
                end: 0,
            },
        };
        let from = Sender {
            node,
            broker_epoch: 7,
            session: 1,
        };
        out.clear();
        leader.on_follow(from, &follow, &logs[0], &mut out);
    }
    let Some(Effect::Answer { answer, .. }) = out.pop() else {
        panic!("it answers");
    };
    follower.on_answer(1, &answer, &logs[1], &mut out);
    assert!(follower.is_in_step());
    out.clear();
    let before = COUNT.with(Cell::get);
    batches(&mut leader, &mut follower, &mut logs, 1_000, &mut out);
    assert_eq!(COUNT.with(Cell::get), before);
    assert_eq!(logs[1].end, 10_000);
}
