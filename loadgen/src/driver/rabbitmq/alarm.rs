//! Waking at a moment, to the microsecond: the runtime's own timers are good to a millisecond, and what they
//! are late by would be counted as the system's latency.

use std::io;
use std::task::{Context, Poll, ready};

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// An alarm.
#[derive(Debug)]
pub(in crate::driver) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// What it is set to, so that setting it to the same again costs nothing.
    set_to: Option<u64>,
}

impl Alarm {
    /// To be called in a runtime.
    pub(in crate::driver) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an OwnedFd has one descriptor, open and its own, until it is dropped.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Self {
            timer,
            set_to: None,
        })
    }

    /// Ready once it is `at_ns`, where it is `now_ns` now: nanoseconds of whatever clock due times are of.
    pub(in crate::driver) fn poll_at(
        &mut self,
        at_ns: u64,
        now_ns: u64,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if at_ns <= now_ns {
            return Poll::Ready(Ok(()));
        }
        if self.set_to != Some(at_ns) {
            self.set(at_ns - now_ns)?;
            self.set_to = Some(at_ns);
        }
        loop {
            let mut guard = ready!(self.timer.poll_read_ready(task))?;
            let mut fired = [0; 8];
            match rustix::io::read(guard.get_inner(), &mut fired) {
                Ok(_) => {
                    guard.clear_ready();
                    self.set_to = None;
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn set(&mut self, after_ns: u64) -> io::Result<()> {
        let none = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let to = Itimerspec {
            it_interval: none,
            it_value: Timespec {
                tv_sec: i64::try_from(after_ns / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(after_ns % 1_000_000_000).unwrap_or(0),
            },
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &to)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::future::poll_fn;

    use super::*;
    use crate::measure::recorder::now_ns;

    #[test]
    fn it_wakes_in_time_and_can_be_set_anew() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut alarm = Alarm::new().unwrap();
            let mut late = Vec::new();
            for _ in 0..20 {
                let at = now_ns() + 300_000;
                poll_fn(|task| alarm.poll_at(at, now_ns(), task))
                    .await
                    .unwrap();
                let now = now_ns();
                assert!(now >= at, "{} ns early", at - now);
                late.push(now - at);
            }
            // The least, since this machine may be busy with something else.
            let least = late.iter().min().unwrap();
            assert!(*least < 500_000, "{least} ns late at best");
        });
    }
}
