//! `RLock`: a lock that its owner may take again.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::arena::Cell;
use super::words::lock::{self as words, Acquired};
use crate::error::{Error, ErrorKind, Result};
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

    #[inline]
    fn begin(&self, thread: u64) {
        self.cell.word32(DEPTH).store(1, Ordering::Relaxed);
        self.cell.word64(THREAD).store(thread, Ordering::Relaxed);
    }

    /// Takes the lock if it is free or this thread's.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let thread = thread_id();
        // Asked first, as it costs two loads and a swap that fails costs more.
        if self.is_of(thread) {
            self.restore(self.depth() + 1);
            true
        } else if words::try_acquire(self.cell.word64(OWNER), identity()) {
            self.begin(thread);
            true
        } else {
            false
        }
    }

    /// Takes the lock, waiting until `until` for whoever has it.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn acquire(&self, until: Option<Instant>) -> Result<Acquired> {
        if self.try_acquire() {
            return Ok(Acquired::Free);
        }
        let how = words::acquire_slow(self.cell.word64(OWNER), identity(), until, is_alive)?;
        self.begin(thread_id());
        Ok(how)
    }

    /// Gives the lock back once.
    ///
    /// # Errors
    /// `InvalidInput` when it is not this thread's.
    #[inline]
    pub fn release(&self) -> Result<()> {
        if !self.is_mine() {
            return not_mine();
        }
        match self.depth() {
            0 | 1 => {
                self.release_all();
            }
            more => self.restore(more - 1),
        }
        Ok(())
    }

    /// Gives the lock back however often this thread, which must own it, took it; says how often that was.
    #[inline]
    pub fn release_all(&self) -> u32 {
        let depth = self.depth();
        self.restore(0);
        self.cell.word64(THREAD).store(0, Ordering::Relaxed);
        let _ = words::release(self.cell.word64(OWNER));
        depth
    }

    /// Makes it count as taken `depth` times by this thread, which must own it.
    #[inline]
    pub fn restore(&self, depth: u32) {
        self.cell.word32(DEPTH).store(depth, Ordering::Relaxed);
    }

    /// Whether anybody has it.
    pub fn is_locked(&self) -> bool {
        words::owner(self.cell.word64(OWNER)).is_some()
    }

    /// Whether a thread of this process has it.
    #[inline]
    pub fn is_ours(&self) -> bool {
        words::owner(self.cell.word64(OWNER)) == Some(identity())
    }

    /// Whether this thread has it.
    #[inline]
    pub fn is_mine(&self) -> bool {
        self.is_of(thread_id())
    }

    /// Whether this process's thread with that number has it.
    #[inline]
    fn is_of(&self, thread: u64) -> bool {
        // The thread first: another process's thread seldom has the same number, and a free lock has none.
        self.cell.word64(THREAD).load(Ordering::Relaxed) == thread && self.is_ours()
    }

    /// How often its owner took it.
    #[inline]
    pub fn depth(&self) -> u32 {
        self.cell.word32(DEPTH).load(Ordering::Relaxed)
    }
}

#[cold]
fn not_mine() -> Result<()> {
    Err(Error::new(ErrorKind::InvalidInput, "attempt to release recursive lock not owned by thread"))
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
