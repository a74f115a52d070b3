//! How whoever waits for a queue is not missed by whoever changes it.
//!
//! ```text
//! word       another number with each change: of what is put, or of what is taken
//! sleepers   how many may sleep on it
//! ```
//!
//! A sleeper counts itself, then looks once more; whoever changes something does so, changes the word, then looks for
//! sleepers. Between the two steps of each stands a full fence, so one of them sees the other. A sleeper that has the new
//! number has seen the change, too; one that has the old number is not let sleep on it by the kernel.
//!
//! Some only *watch*: they tell others of the queue and take nothing. They count themselves apart, too, before the fence, so
//! whoever does not see one among the watchers is seen by it.

use crate::error::Result;
use crate::primitive::{AtomicU32, Ordering, fence, fence_after_swap};

/// Calls `nap` with the number of the word, to sleep as long as the word has it, unless something is `ready`: none then.
///
/// # Errors
/// Those of `nap`.
#[inline]
pub fn sleep<T>(
    word: &AtomicU32,
    sleepers: &AtomicU32,
    ready: impl Fn() -> bool,
    nap: impl FnOnce(u32) -> Result<T>,
) -> Result<Option<T>> {
    // Ordered by the fence: the look behind it sees all that came before this number.
    let seen = word.load(Ordering::Relaxed);
    if ready() {
        return Ok(None);
    }
    sleepers.fetch_add(1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    let answer = if ready() { Ok(None) } else { nap(seen).map(Some) };
    sleepers.fetch_sub(1, Ordering::Relaxed);
    answer
}

/// After a change: whether somebody has to be woken.
#[inline]
pub fn changed(word: &AtomicU32, sleepers: &AtomicU32) -> bool {
    word.fetch_add(1, Ordering::Release);
    fence_after_swap();
    sleepers.load(Ordering::Relaxed) > 0
}

/// As [`sleep`], for whoever takes nothing.
#[inline]
pub fn watch<T>(
    word: &AtomicU32,
    sleepers: &AtomicU32,
    watchers: &AtomicU32,
    ready: impl Fn() -> bool,
    nap: impl FnOnce(u32) -> Result<T>,
) -> Result<Option<T>> {
    watchers.fetch_add(1, Ordering::Relaxed);
    let answer = sleep(word, sleepers, ready, nap);
    watchers.fetch_sub(1, Ordering::Relaxed);
    answer
}

/// When [`changed`] says so: how many have to be woken for one of them to take what there is. Were it a watcher that is woken
/// alone, a taker would sleep on beside it.
#[inline]
pub fn enough(watchers: &AtomicU32) -> u32 {
    if watchers.load(Ordering::Relaxed) > 0 { i32::MAX as u32 } else { 1 }
}

/// As [`changed`] where there are few sleepers and many changes: the word changes only if there are some. Behind a full fence
/// after the change.
#[inline]
pub fn changed_for(word: &AtomicU32, sleepers: &AtomicU32) -> bool {
    let any = sleepers.load(Ordering::Relaxed) > 0;
    if any {
        word.fetch_add(1, Ordering::Relaxed);
    }
    any
}
