//! The words of a lock that its owner may take again: the lock, the owner's thread, and how often it has it.

use super::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::primitive::{AtomicU32, AtomicU64, Ordering};

/// The words. Thread and depth belong to whoever has the lock and travel with it; only a thread's own number in the first
/// is an answer to it, as it alone writes that.
pub trait Words {
    /// The lock, a word of [`lock`].
    fn owner(&self) -> &AtomicU64;
    /// The owner's thread.
    fn thread(&self) -> &AtomicU64;
    /// How often it has taken the lock.
    fn depth(&self) -> &AtomicU32;
}

/// Whether this thread of this process has it.
#[inline]
pub fn is_of(words: &impl Words, me: u64, thread: u64) -> bool {
    // The thread first: another process's thread seldom has the same number, and a free lock has none.
    words.thread().load(Ordering::Relaxed) == thread && lock::owner(words.owner()) == Some(me)
}

/// The lock was just taken.
#[inline]
pub fn begin(words: &impl Words, thread: u64) {
    words.depth().store(1, Ordering::Relaxed);
    words.thread().store(thread, Ordering::Relaxed);
}

/// Takes it if it is free or this thread's already.
#[inline]
pub fn try_acquire(words: &impl Words, me: u64, thread: u64) -> bool {
    // Asked first, as it costs two loads and a swap that fails costs more.
    if is_of(words, me, thread) {
        words.depth().store(depth(words) + 1, Ordering::Relaxed);
        true
    } else if lock::try_acquire(words.owner(), me) {
        begin(words, thread);
        true
    } else {
        false
    }
}

/// Gives it back once.
///
/// # Errors
/// `InvalidInput` when this thread has it not.
#[inline]
pub fn release(words: &impl Words, me: u64, thread: u64) -> Result<()> {
    if !is_of(words, me, thread) {
        return not_mine();
    }
    match depth(words) {
        0 | 1 => {
            release_all(words);
        }
        more => words.depth().store(more - 1, Ordering::Relaxed),
    }
    Ok(())
}

/// Gives it back, however often it was taken; says how often. For the thread that has it.
#[inline]
pub fn release_all(words: &impl Words) -> u32 {
    let depth = depth(words);
    words.depth().store(0, Ordering::Relaxed);
    words.thread().store(0, Ordering::Relaxed);
    let _ = lock::release(words.owner());
    depth
}

/// How often it was taken; for the thread that has it.
#[inline]
pub fn depth(words: &impl Words) -> u32 {
    words.depth().load(Ordering::Relaxed)
}

#[cold]
fn not_mine() -> Result<()> {
    Err(Error::new(ErrorKind::InvalidInput, "attempt to release recursive lock not owned by thread"))
}
