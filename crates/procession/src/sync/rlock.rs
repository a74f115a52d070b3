//! `RLock`: a lock that its owner may take again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use super::arena::Cell;
use super::words::lock::{self, Acquired};
use super::words::rlock as words;
use crate::error::Result;
use crate::platform::{identity, is_alive, thread_id};

/// Offsets in the cell: the word of [`words`], the owner's thread, and how often it took the lock.
///
/// ```text
/// owner | thread | depth | meaning
///   0   |   0    |   0   | free
///   p   |   0    |   0   | taken or about to be free; no thread believes that it is its own
///   p   |   t    |  > 0  | thread t of process p has it
/// ```
/// Only the owner writes thread and depth, so both need no order of their own. An heir writes them before anything else.
const OWNER: usize = 0;
const THREAD: usize = 8;
const DEPTH: usize = 16;

/// A lock between processes that one thread may take several times.
#[derive(Debug)]
pub struct RLock {
    cell: Cell,
}

impl RLock {
    /// Bytes of the cell of such a lock.
    pub const BYTES: usize = 24;

    /// The lock in `cell`; a new cell is a free lock.
    pub fn new(cell: Cell) -> RLock {
        RLock { cell }
    }

    /// The memory it lives in.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Takes the lock if it is free or this thread's.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        words::try_acquire(self, identity(), thread_id())
    }

    /// Takes the lock, waiting until `until` for whoever has it.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn acquire(&self, until: Option<Instant>) -> Result<Acquired> {
        if self.try_acquire() {
            return Ok(Acquired::Free);
        }
        let how = lock::acquire_slow(self.cell.word64(OWNER), identity(), until, is_alive)?;
        words::begin(self, thread_id());
        Ok(how)
    }

    /// Gives the lock back once.
    ///
    /// # Errors
    /// `InvalidInput` when it is not this thread's.
    #[inline]
    pub fn release(&self) -> Result<()> {
        words::release(self, identity(), thread_id())
    }

    /// Gives the lock back however often this thread, which must own it, took it; says how often that was.
    #[inline]
    pub fn release_all(&self) -> u32 {
        words::release_all(self)
    }

    /// Makes it count as taken `depth` times by this thread, which must own it.
    #[inline]
    pub fn restore(&self, depth: u32) {
        self.cell.word32(DEPTH).store(depth, Ordering::Relaxed);
    }

    /// Whether anybody has it.
    pub fn is_locked(&self) -> bool {
        lock::is_locked(self.cell.word64(OWNER))
    }

    /// Whether a thread of this process has it.
    #[inline]
    pub fn is_ours(&self) -> bool {
        lock::owner(self.cell.word64(OWNER)) == Some(identity())
    }

    /// Whether this thread has it.
    #[inline]
    pub fn is_mine(&self) -> bool {
        words::is_of(self, identity(), thread_id())
    }

    /// Whether this process's thread with that number has it.
    /// How often its owner took it.
    #[inline]
    pub fn depth(&self) -> u32 {
        words::depth(self)
    }
}

impl words::Words for RLock {
    #[inline]
    fn owner(&self) -> &AtomicU64 {
        self.cell.word64(OWNER)
    }

    #[inline]
    fn thread(&self) -> &AtomicU64 {
        self.cell.word64(THREAD)
    }

    #[inline]
    fn depth(&self) -> &AtomicU32 {
        self.cell.word32(DEPTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_free_after_as_many_releases() {
        let lock = RLock::new(Cell::create(RLock::BYTES).unwrap());
        assert!(lock.try_acquire() && lock.try_acquire());
        assert_eq!(lock.depth(), 2);
        lock.release().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!lock.try_acquire() && lock.release().is_err()));
        });
        lock.release().unwrap();
        assert!(!lock.is_locked());
        assert!(lock.release().is_err());
    }
}
