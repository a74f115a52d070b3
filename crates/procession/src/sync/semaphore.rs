//! `Semaphore`: permits, which whoever wants may give back.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::arena::Cell;
use super::holders::Holders;
use super::words::permits as words;
use crate::error::{Error, ErrorKind, Result};

/// Offsets in the cell: the word of [`words`], how many permits there may be, and who holds one.
const PERMITS: usize = 0;
const MOST: usize = 8;
const HOLDERS: usize = 16;

/// A counter of permits between processes.
#[derive(Debug)]
pub struct Semaphore {
    cell: Cell,
    most: u32,
}

impl Semaphore {
    /// Bytes of the cell of a semaphore.
    pub const BYTES: usize = HOLDERS + Holders::BYTES;

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

    fn holders(&self) -> Holders<'_> {
        Holders::new(&self.cell, HOLDERS)
    }

    /// Takes a permit if one is left.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let taken = words::try_acquire(self.cell.word64(PERMITS));
        if taken {
            self.holders().note_taken();
        }
        taken
    }

    /// Takes a permit, waiting for one until `until`. Permits of processes that died with them come back.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn acquire(&self, until: Option<Instant>) -> Result<()> {
        if self.try_acquire() {
            return Ok(());
        }
        let word = self.cell.word64(PERMITS);
        let answer = words::acquire_slow(word, until);
        if answer.is_ok() {
            self.holders().note_taken();
        } else if self.holders().bury(|| drop(words::release(word, 1, self.most))) && self.try_acquire() {
            return Ok(());
        }
        answer
    }

    /// Gives a permit.
    ///
    /// # Errors
    /// `InvalidInput` when there are as many as may be.
    #[inline]
    pub fn release(&self) -> Result<()> {
        self.holders().forget();
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
    use crate::platform::identity;
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
    fn the_permit_of_a_dead_holder_comes_back() {
        let s = Semaphore::create(Cell::create(Semaphore::BYTES).unwrap(), 1, 1).unwrap();
        assert!(s.try_acquire());
        // As if another process, which no longer runs, had taken it.
        s.cell.word64(HOLDERS + 8).store(identity() ^ 1 << 32, Ordering::Relaxed);
        let until = Some(Instant::now() + Duration::from_secs(10));
        while let Err(e) = s.acquire(until) {
            assert_eq!(e.kind(), ErrorKind::Interrupted);
        }
        s.release().unwrap();
        assert_eq!(s.permits(), 1);
    }

    #[test]
    fn who_counts_events_gets_none_from_the_dead() {
        let s = Semaphore::create(Cell::create(Semaphore::BYTES).unwrap(), 0, Semaphore::MOST).unwrap();
        s.release().unwrap();
        assert!(s.try_acquire());
        s.cell.word64(HOLDERS + 8).store(identity() ^ 1 << 32, Ordering::Relaxed);
        let soon = Some(Instant::now() + Duration::from_millis(10));
        assert_eq!(s.acquire(soon).unwrap_err().kind(), ErrorKind::TimedOut);
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
