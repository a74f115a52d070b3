//! `Lock`: one process at a time; it may be released by another, and survives its owner.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::arena::Cell;
use super::words::lock::{self as words, Acquired};
use crate::error::Result;
use crate::platform::{identity, is_alive, thread_id};

/// Offsets in the cell: the word of [`words`], and the owner's thread, for whoever asks who it is.
const OWNER: usize = 0;
const THREAD: usize = 8;

/// A lock between processes.
#[derive(Debug)]
pub struct Lock {
    cell: Cell,
}

impl Lock {
    /// Bytes of the cell of a lock.
    pub const BYTES: usize = 16;

    /// The lock in `cell`; a new cell is a free lock.
    pub fn new(cell: Cell) -> Lock {
        Lock { cell }
    }

    /// The memory it lives in.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let taken = words::try_acquire(self.cell.word64(OWNER), identity());
        if taken {
            self.cell.word64(THREAD).store(thread_id(), Ordering::Relaxed);
        }
        taken
    }

    /// Takes the lock, waiting until `until` for the process that has it.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn acquire(&self, until: Option<Instant>) -> Result<Acquired> {
        if self.try_acquire() {
            return Ok(Acquired::Free);
        }
        let how = words::acquire_slow(self.cell.word64(OWNER), identity(), until, is_alive)?;
        self.cell.word64(THREAD).store(thread_id(), Ordering::Relaxed);
        Ok(how)
    }

    /// Gives the lock back, whoever has it.
    ///
    /// # Errors
    /// `InvalidInput` when it is free.
    #[inline]
    pub fn release(&self) -> Result<()> {
        self.cell.word64(THREAD).store(0, Ordering::Relaxed);
        words::release(self.cell.word64(OWNER))
    }

    /// Whether anybody has it.
    pub fn is_locked(&self) -> bool {
        words::is_locked(self.cell.word64(OWNER))
    }

    /// Whether a thread of this process has it.
    pub fn is_ours(&self) -> bool {
        words::owner(self.cell.word64(OWNER)) == Some(identity())
    }

    /// Whether this thread took it.
    pub fn is_mine(&self) -> bool {
        self.is_ours() && self.cell.word64(THREAD).load(Ordering::Relaxed) == thread_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn new() -> Lock {
        Lock::new(Cell::create(Lock::BYTES).unwrap())
    }

    #[test]
    fn one_at_a_time() {
        let lock = new();
        assert!(lock.try_acquire());
        assert!(lock.is_mine());
        assert!(!lock.try_acquire());
        lock.release().unwrap();
        assert!(!lock.is_locked());
        assert!(lock.release().is_err());
        assert!(lock.try_acquire());
    }

    #[test]
    fn threads_never_hold_it_together() {
        let lock = new();
        let held = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        while lock.acquire(None).is_err() {}
                        assert!(!held.swap(true, Ordering::Relaxed));
                        held.store(false, Ordering::Relaxed);
                        lock.release().unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn a_dead_owner_is_followed() {
        let lock = new();
        // An identity that no process has: the number of this one with another start time.
        lock.cell.word64(OWNER).store(identity() ^ 1 << 32, Ordering::Relaxed);
        assert!(!lock.try_acquire());
        let until = Some(Instant::now() + Duration::from_secs(10));
        assert_eq!(lock.acquire(until).unwrap(), Acquired::OwnerDied);
        lock.release().unwrap();
    }
}
