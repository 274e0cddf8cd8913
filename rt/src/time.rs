//! Timers and clocks.
//!
//! The only place outside tests from where the rest of the broker takes the
//! time, so that pure code gets it handed in.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than any executor lives. glommio adds a duration to the clock
/// unchecked, which panics for the likes of [`Duration::MAX`].
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The time ran out before the future finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {after:?}")]
pub struct Elapsed {
    /// The time that was allowed.
    pub after: Duration,
}

/// Waits. A sleep on an idle executor costs a wake-up (about 50 µs of CPU).
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration.min(LONGEST)).await;
}

/// Runs a future for at most `duration`; it is dropped when the time runs out.
/// A future that is ready at once is never timed out, even with zero time.
pub async fn timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    let mut timer = glommio::timer::Timer::new(duration.min(LONGEST));
    poll_fn(|cx| {
        if let Poll::Ready(out) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(out));
        }
        Pin::new(&mut timer)
            .poll(cx)
            .map(|_| Err(Elapsed { after: duration }))
    })
    .await
}

/// The monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970 by the wall clock; zero if the clock is set earlier.
pub fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
