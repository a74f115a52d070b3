//! A clock that costs a few nanoseconds.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time since some fixed point, as of the last tick of the kernel: 1 to 10 ms late, and never going back.
#[inline]
pub fn coarse_now() -> Duration {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
