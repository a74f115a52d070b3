//! Clocks that all processes share, and what the time is here.
#![allow(unsafe_code)]

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

/// The date and the time of day here, to the minute.
pub fn local_now() -> String {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    // SAFETY: a structure of numbers and a pointer that is not looked at.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to what they should, and it keeps neither.
    unsafe { libc::localtime_r(&now, &mut parts) };
    let (year, month) = (parts.tm_year + 1900, parts.tm_mon + 1);
    format!("{year}-{month:02}-{:02} {:02}:{:02}", parts.tm_mday, parts.tm_hour, parts.tm_min)
}
