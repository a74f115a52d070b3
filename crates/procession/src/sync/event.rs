//! `Event`: set or not, and a wait for it.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::arena::Cell;
use super::words::event as words;
use crate::error::Result;

/// Offset of the only word, one of [`words`].
const STATE: usize = 0;

/// A flag between processes.
#[derive(Debug)]
pub struct Event {
    cell: Cell,
}

impl Event {
    /// Bytes of the cell of an event.
    pub const BYTES: usize = 8;

    /// The event in `cell`; in a new cell it is not set.
    pub fn new(cell: Cell) -> Event {
        Event { cell }
    }

    /// The memory it lives in.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        self.cell.word64(STATE)
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        words::is_set(self.word())
    }

    /// Sets it and wakes everyone who waits.
    #[inline]
    pub fn set(&self) {
        words::set(self.word());
    }

    /// Makes it not set.
    #[inline]
    pub fn clear(&self) {
        words::clear(self.word());
    }

    /// What [`Event::wait`] compares with: take it once before the first wait.
    #[inline]
    pub fn mark(&self) -> u32 {
        words::mark(self.word())
    }

    /// Whether it was set when this mark was taken.
    #[inline]
    pub fn was_set(mark: u32) -> bool {
        words::was_set(mark)
    }

    /// Waits until it is set, or was since `mark`.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again with the same mark.
    pub fn wait(&self, mark: u32, until: Option<Instant>) -> Result<()> {
        words::wait(self.word(), mark, until)
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
