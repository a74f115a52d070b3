//! The words of a ring with one writer and one reader, and of the blocks that are lent beside it.
//!
//! ```text
//! tail    how many bytes were written; the writer's: what lies before it may be read
//! head    how many were read; the reader's: what lies before it may be written over
//! waits   whether the writer waits for space, on `space`, which the reader changes then
//! block   LENT, or given back with its memory or without
//! ```

use std::time::Instant;

use crate::error::{ErrorKind, Result};
use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence, fence_after_swap, wait, wake};

const GIVEN_BACK: u64 = 0;
const LENT: u64 = 1;
const GIVEN_BACK_COLD: u64 = 2;

/// What has become of a lent block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loan {
    /// The block is still lent.
    Lent,
    /// The block is given back.
    Back,
    /// The block is given back without its memory.
    BackCold,
}

/// Makes all count that was written before `tail`.
#[inline]
pub fn publish(word: &AtomicU64, tail: u64) {
    word.store(tail, Ordering::Release);
}

/// How far the writer has published: what lies before may be read.
#[inline]
pub fn published(word: &AtomicU64) -> u64 {
    word.load(Ordering::Acquire)
}

/// Makes the space before `head` free, and wakes the writer if it waits for that.
#[inline]
pub fn free(head: &AtomicU64, waits: &AtomicU32, space: &AtomicU32, to: u64) {
    head.swap(to, Ordering::AcqRel);
    fence_after_swap();
    if waits.load(Ordering::Relaxed) != 0 {
        space.fetch_add(1, Ordering::AcqRel);
        wake(space, 1);
    }
}

/// How far the reader has read: what lies before may be written over.
#[inline]
pub fn freed(head: &AtomicU64) -> u64 {
    head.load(Ordering::Acquire)
}

/// Waits once for space, unless `fits` says that there is some, after saying that the writer waits; `stuck` is called
/// before it sleeps, for as long as until somebody makes space, a signal comes, or `until`.
///
/// # Errors
/// Those of `stuck`, and the system's.
pub fn wait_for_space(
    waits: &AtomicU32,
    space: &AtomicU32,
    until: Option<Instant>,
    fits: impl FnOnce() -> bool,
    stuck: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let before = space.load(Ordering::Acquire);
    waits.store(1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    let answer = if fits() { Ok(()) } else { stuck().and_then(|()| sleep(space, before, until)) };
    waits.store(0, Ordering::Relaxed);
    answer
}

fn sleep(space: &AtomicU32, before: u32, until: Option<Instant>) -> Result<()> {
    match wait(space, before, until) {
        Err(error) if error.kind() == ErrorKind::Os => Err(error),
        _ => Ok(()),
    }
}

/// Marks a block as lent, before anybody is told of it: what tells them carries this, too.
#[inline]
pub fn lend(block: &AtomicU64) {
    block.store(LENT, Ordering::Relaxed);
}

/// Gives a block back, whose bytes were read.
#[inline]
pub fn give_back(block: &AtomicU64, is_cold: bool) {
    block.store(if is_cold { GIVEN_BACK_COLD } else { GIVEN_BACK }, Ordering::Release);
}

/// What has become of a lent block: once it is back, it may be written over.
#[inline]
pub fn loan(block: &AtomicU64) -> Loan {
    match block.load(Ordering::Acquire) {
        LENT => Loan::Lent,
        GIVEN_BACK_COLD => Loan::BackCold,
        _ => Loan::Back,
    }
}
