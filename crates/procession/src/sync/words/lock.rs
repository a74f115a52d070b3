//! A lock in one word, which names its owner.

use std::time::Instant;

use super::super::patience::{Looks, look_for_signals, nap};
use crate::error::{Error, ErrorKind, Result};
use crate::primitive::{AtomicU64, Ordering, SWAPS_ARE_FENCES, wait_low, wake_low};

/// Set while somebody may sleep on the word.
///
/// ```text
/// owner | CONTENDED | meaning
///   0   |     0     | free
///   p   |     0     | process p has it: releasing makes no system call
///   p   |     1     | process p has it, releasing must wake one
///   0   |     1     | does not occur: releasing clears both
/// ```
const CONTENDED: u64 = 1 << 31;

/// How a lock was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The lock was free.
    Free,
    /// Its owner ended without releasing it: what it guards may be half changed.
    OwnerDied,
}

/// Whether somebody has it, at a moment after all that the caller wrote before.
pub fn is_locked(word: &AtomicU64) -> bool {
    word.fetch_add(0, Ordering::AcqRel) & !CONTENDED != 0
}

/// The owner that the word names, or none. Only an answer about the caller itself is more than a guess: what it wrote
/// into the word, it sees.
pub fn owner(word: &AtomicU64) -> Option<u64> {
    match word.load(Ordering::Relaxed) & !CONTENDED {
        0 => None,
        owner => Some(owner),
    }
}

/// Takes the lock for `me` if it is free.
#[inline]
pub fn try_acquire(word: &AtomicU64, me: u64) -> bool {
    word.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed).is_ok()
        || !SWAPS_ARE_FENCES && try_again(word, me)
}

/// A refusal is written down, so that the owner, once it has released, sees what the refused wrote before. Where a swap
/// is a fence, one that fails is as good.
#[cold]
fn try_again(word: &AtomicU64, me: u64) -> bool {
    word.fetch_add(0, Ordering::AcqRel) == 0 && try_acquire(word, me)
}

/// Takes the lock for `me`, waiting for it until `until`; `is_alive` tells whether an owner still runs.
///
/// # Errors
/// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
#[cold]
pub fn acquire_slow(
    word: &AtomicU64,
    me: u64,
    until: Option<Instant>,
    is_alive: impl Fn(u64) -> bool,
) -> Result<Acquired> {
    let mut looks = Looks::before(until);
    // Whoever slept may not be the only one, and passes the mark on.
    let mut mine = me;
    loop {
        let now = word.load(Ordering::Relaxed);
        if now & !CONTENDED == 0 {
            if word.compare_exchange_weak(now, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return Ok(Acquired::Free);
            }
            continue;
        }
        if looks.again() {
            continue;
        }
        let contended = now | CONTENDED;
        if now != contended && word.compare_exchange_weak(now, contended, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            continue;
        }
        mine = me | CONTENDED;
        match nap(until, |end| wait_low(word, contended, end)) {
            Ok(true) => {}
            Ok(false) => return take_from_dead(word, me, is_alive).map_or_else(look_for_signals, Ok),
            Err(e) => return take_from_dead(word, me, is_alive).ok_or(e),
        }
    }
}

/// Takes the lock from an owner that has ended; none if it lives or the lock has changed hands.
pub fn take_from_dead(word: &AtomicU64, me: u64, is_alive: impl Fn(u64) -> bool) -> Option<Acquired> {
    let now = word.load(Ordering::Relaxed);
    let owner = now & !CONTENDED;
    if owner == 0 || owner == me || is_alive(owner) {
        return None;
    }
    // The mark stays, as others may sleep. The owner's identity never comes again, so this is the same hold.
    word.compare_exchange(now, me | CONTENDED, Ordering::Acquire, Ordering::Relaxed).ok().map(|_| Acquired::OwnerDied)
}

/// Gives the lock back, whoever has it.
///
/// # Errors
/// `InvalidInput` when it is free.
#[inline]
pub fn release(word: &AtomicU64) -> Result<()> {
    let was = word.swap(0, Ordering::AcqRel);
    if was & CONTENDED != 0 || was == 0 { release_slow(word, was) } else { Ok(()) }
}

#[cold]
fn release_slow(word: &AtomicU64, was: u64) -> Result<()> {
    if was != 0 {
        wake_low(word, 1);
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, "semaphore or lock released too many times"))
}
