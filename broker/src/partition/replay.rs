//! The producers' state, made anew from what a log tells when it is opened or cut back.

use storage::ReplayEvent;

use crate::producers::Producers;

/// Takes what the log of `partition` of `topic` tells into `producers`; `now_ms` is the wall clock's.
pub fn replay(
    producers: &mut Producers,
    event: ReplayEvent,
    now_ms: i64,
    (topic, partition): (&str, i32),
) {
    match event {
        ReplayEvent::Snapshot(_, bytes) => match Producers::from_snapshot(&bytes) {
            Ok(snapshot) => *producers = snapshot,
            Err(error) => {
                tracing::warn!(topic, partition, %error, "producers are forgotten");
            }
        },
        ReplayEvent::Batch(info) => {
            producers.record(&info, now_ms);
            // It is on the drive.
            producers.settled(i64::MAX);
        }
    }
}
