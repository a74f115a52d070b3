//! Permits and waiters in one word.

use std::time::Instant;

use super::super::patience::{Looks, look_for_signals, nap};
use crate::error::{Error, ErrorKind, Result};
use crate::primitive::{AtomicU64, Ordering, wait_low, wake_low};

/// One waiter: the high half of the word counts them, the low half, on which they sleep, the permits.
///
/// ```text
/// permits | waiters | meaning
///    0    |    0    | all taken, nobody waits: `release` makes no system call
///    0    |   > 0   | all taken, `release` must wake one
///   > 0   |   > 0   | a woken waiter is on its way to take a permit
/// ```
///
/// A waiter that is killed stays in the count. That costs later releases a needless system call and nothing else: no
/// permit is ever handed to a waiter, each takes its own.
const WAITER: u64 = 1 << 32;
const PERMITS: u64 = WAITER - 1;

/// How many permits are left, at a moment after all that the caller wrote before.
pub fn left(word: &AtomicU64) -> u32 {
    (word.fetch_add(0, Ordering::AcqRel) & PERMITS) as u32
}

/// Takes a permit if one is left.
#[inline]
pub fn try_acquire(word: &AtomicU64) -> bool {
    try_quickly(word) || try_again(word)
}

/// A refusal is written down, so that whoever releases after it sees what the refused wrote before.
#[cold]
fn try_again(word: &AtomicU64) -> bool {
    word.fetch_add(0, Ordering::AcqRel) & PERMITS != 0 && try_acquire(word)
}

/// As [`try_acquire`], for those who will look again: what refuses may be an old look.
#[inline]
fn try_quickly(word: &AtomicU64) -> bool {
    let mut now = word.load(Ordering::Relaxed);
    while now & PERMITS != 0 {
        match word.compare_exchange_weak(now, now - 1, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(changed) => now = changed,
        }
    }
    false
}

/// Takes a permit, waiting for one until `until`.
///
/// # Errors
/// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
#[cold]
pub fn acquire_slow(word: &AtomicU64, until: Option<Instant>) -> Result<()> {
    let mut looks = Looks::before(until);
    while looks.again() {
        if try_quickly(word) {
            return Ok(());
        }
    }
    word.fetch_add(WAITER, Ordering::Relaxed);
    let answer = loop {
        if try_quickly(word) {
            break Ok(());
        }
        match nap(until, |end| wait_low(word, 0, end)) {
            Ok(true) => {}
            // A permit may have come together with the end of the sleep.
            Ok(false) if try_acquire(word) => break Ok(()),
            Ok(false) => break look_for_signals(),
            Err(_) if try_acquire(word) => break Ok(()),
            Err(e) => break Err(e),
        }
    };
    // A waiter that leaves without a permit may have been the one that a release woke: pass it on.
    let before = word.fetch_sub(WAITER, Ordering::Relaxed);
    if answer.is_err() && before & PERMITS != 0 && before >= 2 * WAITER {
        wake_low(word, 1);
    }
    answer
}

/// Gives `count` permits, up to `most` in all.
///
/// # Errors
/// `InvalidInput` when that would be too many; none is given then.
#[inline]
pub fn release(word: &AtomicU64, count: u32, most: u32) -> Result<()> {
    let mut now = word.load(Ordering::Relaxed);
    loop {
        if (now & PERMITS) + u64::from(count) > u64::from(most) {
            // A refusal says that a permit is there already. It is written down, so that whoever takes that one sees what
            // this caller wrote before.
            now = word.fetch_add(0, Ordering::AcqRel);
            if (now & PERMITS) + u64::from(count) > u64::from(most) {
                return too_many();
            }
        }
        match word.compare_exchange_weak(now, now + u64::from(count), Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => break,
            Err(changed) => now = changed,
        }
    }
    if now >= WAITER {
        wake_low(word, count);
    }
    Ok(())
}

#[cold]
fn too_many() -> Result<()> {
    Err(Error::new(ErrorKind::InvalidInput, "semaphore or lock released too many times"))
}
