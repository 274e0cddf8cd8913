//! What time is: that of the wall, or what the processor spent on this process.

use std::time::Duration;

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// The variable that chooses the clock.
const VARIABLE: &str = "BENCH_CLOCK";

static FORMAT: WallTime = WallTime;

/// A clock, for criterion and for work that times itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time that passes, other programs' share included.
    Wall,
    /// Processor time, user and system, of all threads of this process.
    Cpu,
}

impl Clock {
    /// The one that `BENCH_CLOCK` names: `wall` (also where it isn't set) or `cpu`.
    ///
    /// # Panics
    /// When it names none.
    pub fn from_env() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Ok("cpu") => Self::Cpu,
            Ok("wall") | Err(std::env::VarError::NotPresent) => Self::Wall,
            other => panic!("{VARIABLE} is {other:?}: use wall or cpu"),
        }
    }

    /// Time since some moment in the past.
    pub fn now(self) -> Duration {
        let id = match self {
            Self::Wall => libc::CLOCK_MONOTONIC,
            Self::Cpu => libc::CLOCK_PROCESS_CPUTIME_ID,
        };
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes one `timespec` to where there is one, and keeps no pointer.
        let done = unsafe { libc::clock_gettime(id, &raw mut time) };
        assert_eq!(done, 0, "Linux has these clocks");
        let seconds = u64::try_from(time.tv_sec).expect("the clock began in the past");
        let nanos = u32::try_from(time.tv_nsec).expect("less than a second");
        Duration::new(seconds, nanos)
    }
}

impl Measurement for Clock {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        self.now()
    }

    fn end(&self, begun: Duration) -> Duration {
        self.now() - begun
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        // Criterion's analysis divides by it, and one clock's tick may be longer than the work.
        value.as_nanos().max(1) as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

/// As criterion shows wall-clock time; what it calls throughput is per second of this clock.
impl ValueFormatter for Clock {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        FORMAT.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let format = FORMAT.formatter();
        format.scale_throughputs(typical, throughput, values)
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        FORMAT.formatter().scale_for_machines(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_costs_time_and_no_processor() {
        let points = || (Clock::Wall.now(), Clock::Cpu.now());
        let (wall, cpu) = points();
        std::thread::sleep(Duration::from_millis(50));
        let (wall_after, cpu_after) = points();
        assert!(wall_after - wall >= Duration::from_millis(50));
        assert!(cpu_after - cpu < Duration::from_millis(50));
    }
}
