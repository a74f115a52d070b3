//! One place in a list of waiters: its state, on which its holder sleeps.
//!
//! ```text
//! FREE     -> WAITING   by who enters, after it wrote who it is
//! WAITING  -> a message by who wakes it
//! WAITING  -> FREE      by itself when it gives up, or by a waker that finds it dead
//! a message -> FREE     by itself: it was woken; or by who enters, finds no place free, and this one dead
//! ```
//!
//! Whoever enters, and whoever wakes, holds the lock that goes with the list: by that, a waker sees all who entered before.

use std::time::Instant;

use super::super::patience::{Looks, look_for_signals, nap};
use crate::error::Result;
use crate::primitive::{AtomicU32, Ordering, wait};

/// Nobody's.
pub const FREE: u32 = 0;
/// Somebody waits here; what is more is a message.
pub const WAITING: u32 = 1;

/// What the state is. Whoever finds it free, or waiting, may write, or read, who is there.
#[inline]
pub fn state(word: &AtomicU32) -> u32 {
    word.load(Ordering::Acquire)
}

/// Takes a free place, once who waits there is written.
#[inline]
pub fn enter(word: &AtomicU32) {
    word.store(WAITING, Ordering::Release);
}

/// Makes a place free: by its holder, or for one that is dead.
#[inline]
pub fn free(word: &AtomicU32) {
    word.store(FREE, Ordering::Release);
}

/// Tells whoever waits there something; false if nobody does any more. The message carries what was written before it.
#[inline]
pub fn tell(word: &AtomicU32, message: u32) -> bool {
    word.compare_exchange(WAITING, message, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Leaves; or says what was told at the last moment.
#[inline]
pub fn leave(word: &AtomicU32) -> Option<u32> {
    word.compare_exchange(WAITING, FREE, Ordering::AcqRel, Ordering::Acquire).err()
}

/// Waits until the word is no longer `before`; gives what it is then.
///
/// # Errors
/// `TimedOut`; `Interrupted` when it is time to look for signals.
pub fn wait_while(word: &AtomicU32, before: u32, until: Option<Instant>) -> Result<u32> {
    let mut looks = Looks::before(until);
    loop {
        let now = word.load(Ordering::Acquire);
        if now != before {
            return Ok(now);
        }
        if looks.again() {
            continue;
        }
        if !nap(until, |end| wait(word, before, end))? {
            return look_for_signals();
        }
    }
}
