//! A word for each reader of a lock whose writer keeps the lock itself.

use std::time::Instant;

use super::super::patience::{look_for_signals, nap};
use crate::error::Result;
use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence, fence_after_swap, wait, wake};

/// The words.
///
/// ```text
/// place     0: free; else the reader that sits there. Whoever holds the lock takes a place, its reader gives it back
/// left      changes when a reader leaves
/// sleepers  whether the one that holds the lock may sleep on `left`
/// ```
pub trait Readers {
    /// How many places there are.
    fn places(&self) -> usize;
    /// The word of a place.
    fn place(&self, place: usize) -> &AtomicU64;
    /// What changes when a reader leaves.
    fn left(&self) -> &AtomicU32;
    /// Whether somebody may sleep on that.
    fn sleepers(&self) -> &AtomicU32;
}

/// A free place; for whoever holds the lock.
pub fn free(readers: &impl Readers) -> Option<usize> {
    // Acquire: what the reader before has seen there was seen before whatever a writer does after the next one has left.
    (0..readers.places()).find(|place| readers.place(*place).load(Ordering::Acquire) == 0)
}

/// Takes a free place; for whoever holds the lock, and releases it after this.
pub fn sit(readers: &impl Readers, place: usize, me: u64) {
    readers.place(place).store(me, Ordering::Release);
}

/// Gives a place back: what was read is not looked at after this.
pub fn leave(readers: &impl Readers, place: usize) {
    readers.place(place).store(0, Ordering::Release);
    readers.left().fetch_add(1, Ordering::AcqRel);
    fence_after_swap();
    if readers.sleepers().load(Ordering::Relaxed) != 0 {
        wake(readers.left(), 1);
    }
}

/// Waits, with the lock held, until `enough` places are free; those of the dead are.
///
/// # Errors
/// `TimedOut`; `Interrupted` when it is time to look for signals: call again, or give the lock back.
pub fn wait_for(
    readers: &impl Readers,
    until: Option<Instant>,
    enough: usize,
    is_alive: impl Fn(u64) -> bool,
) -> Result<()> {
    let places = || (0..readers.places()).map(|place| readers.place(place));
    let free = || places().filter(|place| place.load(Ordering::Acquire) == 0).count();
    let (left, sleepers) = (readers.left(), readers.sleepers());
    loop {
        let seen = left.load(Ordering::Acquire);
        if free() >= enough {
            return Ok(());
        }
        sleepers.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let answer = if free() >= enough { Ok(true) } else { nap(until, |end| wait(left, seen, end)) };
        sleepers.store(0, Ordering::Relaxed);
        match answer {
            Ok(true) => {}
            answer => {
                for place in places() {
                    let who = place.load(Ordering::Acquire);
                    if who != 0 && !is_alive(who) {
                        let _ = place.compare_exchange(who, 0, Ordering::AcqRel, Ordering::Relaxed);
                    }
                }
                if free() < enough {
                    return answer.and_then(|_| look_for_signals());
                }
            }
        }
    }
}
