//! Sleeping on a shared word.

use std::sync::atomic::AtomicU32;
use std::time::Instant;

use rustix::io::Errno;
use rustix::thread::futex;

use crate::error::{Error, ErrorKind, Result};

/// Sleeps while `word` holds `expected`, at most until `until`.
///
/// Returns at once when the word holds something else, and may return without a reason: check and wait again.
///
/// # Errors
/// `TimedOut` at the deadline, `Interrupted` when a signal handler ran.
pub fn wait(word: &AtomicU32, expected: u32, until: Option<Instant>) -> Result<()> {
    let left = match until {
        None => None,
        Some(until) => {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::new(ErrorKind::TimedOut, "the wait reached its deadline"));
            }
            Some(left.try_into().unwrap_or(rustix::time::Timespec { tv_sec: i64::MAX, tv_nsec: 0 }))
        }
    };
    match futex::wait(word, futex::Flags::empty(), expected, left.as_ref()) {
        Ok(()) | Err(Errno::AGAIN) => Ok(()),
        Err(Errno::TIMEDOUT) => Err(Error::new(ErrorKind::TimedOut, "the wait reached its deadline")),
        Err(e) => Err(Error::os("futex wait", e.raw_os_error())),
    }
}

/// Wakes up to `count` sleepers of `word`; says how many there were.
pub fn wake(word: &AtomicU32, count: u32) -> u32 {
    futex::wake(word, futex::Flags::empty(), count).unwrap_or(0) as u32
}
