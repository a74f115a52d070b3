//! Set or not, and how often it was set, in one word.

use std::time::Instant;

use super::super::patience::{Looks, look_for_signals, nap};
use crate::error::Result;
use crate::primitive::{AtomicU64, Ordering, fence, fence_after_swap, wait_low, wake_low};

/// The low half of the word, on which waiters sleep; the high half stays zero.
///
/// ```text
/// times set | ASLEEP | SET | meaning
///     n     |   0    |  0  | not set, nobody waits: setting makes no system call
///     n     |   1    |  0  | not set, setting must wake all
///     n     |   0    |  1  | set
///     n     |   1    |  1  | does not occur: setting clears ASLEEP, and nobody goes to sleep when it is set
/// ```
/// The number tells a waiter that is slow to wake that the event was set, even if it was cleared at once. A waiter that
/// gives up, or is killed, leaves ASLEEP behind: that costs one needless system call.
const SET: u64 = 1;
const ASLEEP: u64 = 2;
const ONCE: u64 = 4;
const LOW_HALF: u64 = u32::MAX as u64;

/// Whether it is set.
///
/// What the caller wrote before is seen by whoever clears it after this look: programs skip a `set` because of it.
#[inline]
pub fn is_set(word: &AtomicU64) -> bool {
    was_set(mark(word))
}

/// Sets it and wakes everyone who waits.
#[inline]
pub fn set(word: &AtomicU64) {
    let mut now = word.load(Ordering::Relaxed);
    loop {
        // Where it is set already the word is written all the same: only by that do this write and a `clear` come one after
        // the other, and either whoever clears sees what was written before, or this sets the event again. A look alone may
        // be older than a `clear` whose caller has not seen what the setter wrote.
        let set = if now & SET == 0 { ((now & !ASLEEP).wrapping_add(ONCE) | SET) & LOW_HALF } else { now };
        match word.compare_exchange_weak(now, set, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => break,
            Err(changed) => now = changed,
        }
    }
    fence_after_swap();
    if now & ASLEEP != 0 {
        wake_low(word, i32::MAX as u32);
    }
}

/// Makes it not set. What is looked at after this is no older than what was written before the last `set`.
#[inline]
pub fn clear(word: &AtomicU64) {
    word.fetch_and(!SET, Ordering::AcqRel);
    // A gate: who closes it and then looks for those inside must find whoever wrote down that it is, and saw it open.
    fence_after_swap();
}

/// What [`wait`] compares with: take it once before the first wait. As a look it orders what [`is_set`] does.
#[inline]
pub fn mark(word: &AtomicU64) -> u32 {
    fence(Ordering::SeqCst);
    word.load(Ordering::Acquire) as u32
}

/// Whether it was set when this mark was taken.
#[inline]
pub fn was_set(mark: u32) -> bool {
    u64::from(mark) & SET != 0
}

/// Waits until it is set, or was since `mark`.
///
/// # Errors
/// `TimedOut`; `Interrupted` when it is time to look for signals: call again with the same mark.
pub fn wait(word: &AtomicU64, mark: u32, until: Option<Instant>) -> Result<()> {
    let mut looks = Looks::before(until);
    loop {
        let now = word.load(Ordering::Acquire);
        if now & SET != 0 || now / ONCE != u64::from(mark) / ONCE {
            return Ok(());
        }
        if looks.again() {
            continue;
        }
        let asleep = now | ASLEEP;
        if now != asleep && word.compare_exchange_weak(now, asleep, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            continue;
        }
        if !nap(until, |end| wait_low(word, asleep, end))? {
            return look_for_signals();
        }
    }
}
