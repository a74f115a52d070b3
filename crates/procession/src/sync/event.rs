//! `Event`: set or not, and a wait for it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::arena::Cell;
use super::patience::{look_for_signals, nap};
use crate::error::Result;
use crate::platform::{wait, wake};

/// Offset of the only word: bit 0 says whether it is set, the others count how often it was, so that a waiter that is
/// slow to wake still knows after a `clear`.
const STATE: usize = 0;
const SET: u32 = 1;
const ONE_SET: u32 = 2;

/// A flag between processes.
#[derive(Debug)]
pub struct Event {
    cell: Cell,
}

impl Event {
    /// Bytes of the cell of an event.
    pub const BYTES: usize = 4;

    /// The event in `cell`; in a new cell it is not set.
    pub fn new(cell: Cell) -> Event {
        Event { cell }
    }

    /// The memory it lives in.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.cell.word32(STATE).load(Ordering::Acquire) & SET != 0
    }

    /// Sets it and wakes everyone who waits.
    pub fn set(&self) {
        let state = self.cell.word32(STATE);
        let more = |now: u32| (now & SET == 0).then(|| now.wrapping_add(ONE_SET) | SET);
        if state.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok() {
            wake(state, i32::MAX as u32);
        }
    }

    /// Makes it not set.
    pub fn clear(&self) {
        self.cell.word32(STATE).fetch_and(!SET, Ordering::AcqRel);
    }

    /// What [`Event::wait`] compares with: take it once before the first wait.
    pub fn mark(&self) -> u32 {
        self.cell.word32(STATE).load(Ordering::Acquire)
    }

    /// Waits until it is set, or was since `mark`.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again with the same mark.
    pub fn wait(&self, mark: u32, until: Option<Instant>) -> Result<()> {
        let state = self.cell.word32(STATE);
        loop {
            let now = state.load(Ordering::Acquire);
            if now & SET != 0 || now / ONE_SET != mark / ONE_SET {
                return Ok(());
            }
            if !nap(until, |end| wait(state, now, end))? {
                return look_for_signals();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_seen_even_when_cleared_at_once() {
        let event = Event::new(Cell::create(Event::BYTES).unwrap());
        let mark = event.mark();
        event.set();
        event.clear();
        assert!(!event.is_set());
        event.wait(mark, None).unwrap();
    }
}
