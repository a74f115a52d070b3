//! `Semaphore`: permits, which whoever wants may give back.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::arena::Cell;
use super::words::permits as words;
use crate::error::{Error, ErrorKind, Result};

/// Offsets in the cell: the word of [`words`], and how many permits there may be.
const PERMITS: usize = 0;
const MOST: usize = 8;

/// A counter of permits between processes.
#[derive(Debug)]
pub struct Semaphore {
    cell: Cell,
    most: u32,
}

impl Semaphore {
    /// Bytes of the cell of a semaphore.
    pub const BYTES: usize = 16;

    /// The largest number of permits.
    pub const MOST: u32 = i32::MAX as u32;

    /// Makes `cell`, which is new, a semaphore with `permits` of at most `most`.
    ///
    /// # Errors
    /// `InvalidInput` unless `permits <= most <= MOST`.
    pub fn create(cell: Cell, permits: u32, most: u32) -> Result<Semaphore> {
        if permits > most || most > Semaphore::MOST {
            return Err(Error::new(ErrorKind::InvalidInput, "semaphore initial value out of range"));
        }
        cell.word32(MOST).store(most, Ordering::Relaxed);
        cell.word64(PERMITS).store(u64::from(permits), Ordering::Release);
        Ok(Semaphore { cell, most })
    }

    /// The semaphore that another process made in `cell`.
    pub fn open(cell: Cell) -> Semaphore {
        let most = cell.word32(MOST).load(Ordering::Relaxed).min(Semaphore::MOST);
        Semaphore { cell, most }
    }

    /// The memory it lives in.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Takes a permit if one is left.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        words::try_acquire(self.cell.word64(PERMITS))
    }

    /// Takes a permit, waiting for one until `until`.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn acquire(&self, until: Option<Instant>) -> Result<()> {
        if self.try_acquire() { Ok(()) } else { words::acquire_slow(self.cell.word64(PERMITS), until) }
    }

    /// Gives a permit.
    ///
    /// # Errors
    /// `InvalidInput` when there are as many as may be.
    #[inline]
    pub fn release(&self) -> Result<()> {
        words::release(self.cell.word64(PERMITS), 1, self.most)
    }

    /// How many permits are left.
    pub fn permits(&self) -> u32 {
        words::left(self.cell.word64(PERMITS))
    }

    /// How many there may be.
    pub fn most(&self) -> u32 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn permits_are_counted_and_limited() {
        let s = Semaphore::create(Cell::create(Semaphore::BYTES).unwrap(), 2, 2).unwrap();
        assert!(s.release().is_err());
        assert!(s.try_acquire() && s.try_acquire() && !s.try_acquire());
        let soon = Some(Instant::now() + Duration::from_millis(10));
        assert_eq!(s.acquire(soon).unwrap_err().kind(), ErrorKind::TimedOut);
        s.release().unwrap();
        assert_eq!(s.permits(), 1);
    }

    #[test]
    fn every_release_serves_a_waiter() {
        let s = Semaphore::create(Cell::create(Semaphore::BYTES).unwrap(), 0, Semaphore::MOST).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        while s.acquire(None).is_err() {}
                    }
                });
            }
            for _ in 0..3_000 {
                s.release().unwrap();
            }
        });
        assert_eq!(s.permits(), 0);
    }
}
