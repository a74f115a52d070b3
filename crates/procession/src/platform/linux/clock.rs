//! Clocks that all processes share, and what the time is here.
#![allow(unsafe_code)]

use std::time::Duration;

/// The time since some fixed point, as of the last tick of the kernel: 1 to 10 ms late, and never going back.
#[inline]
pub fn coarse_now() -> Duration {
    now(libc::CLOCK_MONOTONIC_COARSE)
}

/// The time since the same fixed point, exactly.
#[inline]
pub fn monotonic_now() -> Duration {
    now(libc::CLOCK_MONOTONIC)
}

#[inline]
fn now(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is this frame's own; the call, which no kernel refuses for these clocks, only writes it.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The date and the time of day here, to the minute.
pub fn local_now() -> String {
    let now = now(libc::CLOCK_REALTIME).as_secs() as libc::time_t;
    // SAFETY: a structure of numbers and a pointer that is not looked at.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to what they should, and it keeps neither.
    unsafe { libc::localtime_r(&now, &mut parts) };
    let (year, month) = (parts.tm_year + 1900, parts.tm_mon + 1);
    format!("{year}-{month:02}-{:02} {:02}:{:02}", parts.tm_mday, parts.tm_hour, parts.tm_min)
}

/// In how many parts of a second the kernel counts what processes use.
pub(super) fn ticks_a_second() -> u64 {
    // SAFETY: asks for a number.
    (unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).max(1) as u64
}
