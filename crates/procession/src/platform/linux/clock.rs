//! Clocks that all processes share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time since some fixed point, as of the last tick of the kernel: 1 to 10 ms late, and never going back.
#[inline]
pub fn coarse_now() -> Duration {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The time since the same fixed point, exactly.
#[inline]
pub fn monotonic_now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
