//! How a sleeper and a publisher do not miss each other: the sleeper sets its mark, then looks for work once more; the
//! publisher publishes, then looks for marks. Between the two steps of each stands a full fence.

use std::time::Instant;

use crate::error::Result;
use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence, fence_after_swap, wait, wake};

/// Sleeps on `bell` until it is rung, with `bit` set in `bits`, unless `ready` finds something to do after that.
///
/// # Errors
/// `TimedOut` at the deadline, `Interrupted` when a signal handler ran.
#[inline]
pub fn sleep(
    bell: &AtomicU32,
    bits: &AtomicU64,
    bit: u64,
    until: Option<Instant>,
    ready: impl FnOnce() -> bool,
) -> Result<()> {
    // Before the bit is set: whoever finds the bit changes the bell, and the kernel compares.
    let rung = bell.load(Ordering::Acquire);
    bits.fetch_or(bit, Ordering::SeqCst);
    fence_after_swap();
    let answer = if ready() { Ok(()) } else { wait(bell, rung, until) };
    bits.fetch_and(!bit, Ordering::SeqCst);
    answer
}

/// Rings a sleeper's bell.
#[inline]
pub fn ring(bell: &AtomicU32) {
    bell.fetch_add(1, Ordering::SeqCst);
    wake(bell, 1);
}

/// Takes one sleeper's bit out of `bits`, after a fence since the publishing; none if nobody sleeps.
#[inline]
pub fn take_one(bits: &AtomicU64) -> Option<u32> {
    loop {
        let now = bits.load(Ordering::Acquire);
        if now == 0 {
            return None;
        }
        let bit = 1 << now.trailing_zeros();
        if bits.fetch_and(!bit, Ordering::SeqCst) & bit != 0 {
            return Some(now.trailing_zeros());
        }
    }
}

/// Says that the parent is about to sleep: it looks once more after this.
#[inline]
pub fn about_to_sleep(asleep: &AtomicU32) {
    asleep.store(1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
}

/// Says that the parent is awake. Whoever sees it late wakes it for nothing.
#[inline]
pub fn awake(asleep: &AtomicU32) {
    asleep.store(0, Ordering::Relaxed);
}

/// After publishing: whether the parent has to be woken, by the one who asks. Of several one is told so.
#[inline]
pub fn take_wake(asleep: &AtomicU32) -> bool {
    fence(Ordering::SeqCst);
    asleep.load(Ordering::Relaxed) != 0 && asleep.swap(0, Ordering::AcqRel) != 0
}
