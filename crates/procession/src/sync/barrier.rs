//! `Barrier`: a number of parties meet, then all go on.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::arena::Cell;
use super::patience::look_for_signals;
use super::waiters::{WaiterPlace, Waiters};
use super::words::lock as words;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{identity, is_alive};

/// Offsets in the cell: the lock of the list (a word of [`words`]), how many parties meet, whether the barrier is broken,
/// how many have come; then the list of those. The number is there so that it falls to zero in one step.
const LOCK: usize = 0;
const PARTIES: usize = 8;
const BROKEN: usize = 12;
const COME: usize = 16;
const LIST: usize = 24;

const GO_ON: u32 = Waiters::WOKEN;
const GIVE_UP: u32 = Waiters::WOKEN + 1;

/// How a party came to the barrier.
#[derive(Debug)]
pub enum Arrival {
    /// As the `.0`-th, counted from 0: wait at the place.
    Waits(usize, WaiterPlace),
    /// As the last. Nobody else enters or leaves until [`Barrier::open`] or [`Barrier::break_up`] is called.
    Last,
}

/// A meeting point of several processes.
#[derive(Debug)]
pub struct Barrier {
    list: Waiters,
    parties: usize,
}

impl Barrier {
    /// The most parties that can ever meet: Linux has no more threads. Each has its place in memory from the start.
    pub const MOST: u32 = 1 << 22;

    /// Bytes of the cell of a barrier for `parties`.
    pub const fn bytes(parties: usize) -> usize {
        // A party may come again while another of the last round has yet to wake.
        LIST + Waiters::bytes(2 * parties)
    }

    /// Makes `cell`, which is new, a barrier for `parties`.
    pub fn create(cell: Cell, parties: u32) -> Barrier {
        cell.word32(PARTIES).store(parties, Ordering::Relaxed);
        Barrier { list: Waiters::create(cell, LIST), parties: parties as usize }
    }

    /// The barrier that another process made in `cell`.
    pub fn open_cell(cell: Cell) -> Barrier {
        let parties = cell.word32(PARTIES).load(Ordering::Relaxed) as usize;
        Barrier { list: Waiters::open(cell, LIST), parties }
    }

    /// The memory it lives in.
    pub fn cell(&self) -> &Cell {
        self.list.cell()
    }

    /// How many parties meet.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.list.cell().word32(BROKEN).load(Ordering::Acquire) != 0
    }

    /// How many have come and wait, and are alive.
    pub fn waiting(&self) -> usize {
        match self.list.cell().word32(COME).load(Ordering::Acquire) as usize {
            0 => 0,
            come => self.list.alive().min(come),
        }
    }

    fn lock(&self, until: Option<Instant>) -> Result<()> {
        let word = self.list.cell().word64(LOCK);
        if !words::try_acquire(word, identity()) {
            // Whoever died with the lock left the list in order: each step of it is one word.
            words::acquire_slow(word, identity(), until, is_alive)?;
        }
        Ok(())
    }

    fn unlock(&self) {
        let _ = words::release(self.list.cell().word64(LOCK));
    }

    fn tell_all(&self, message: u32) {
        self.list.cell().word32(COME).store(0, Ordering::Release);
        let told = self.list.tell_all(message);
        self.unlock();
        self.list.rouse(told);
    }

    /// Comes to the barrier; parties that have died while they waited are not counted.
    ///
    /// # Errors
    /// `Closed` when it is broken; `TimedOut`, `Interrupted` as any wait: an action of the last round may still run.
    pub fn arrive(&self, until: Option<Instant>) -> Result<Arrival> {
        self.lock(until)?;
        if self.is_broken() {
            self.unlock();
            return Err(broken());
        }
        let before = self.list.alive();
        if before + 1 >= self.parties {
            return Ok(Arrival::Last);
        }
        let place = self.list.enter();
        self.list.cell().word32(COME).store(before as u32 + 1, Ordering::Release);
        self.unlock();
        Ok(Arrival::Waits(before, place))
    }

    /// Lets everybody go on; for the last to come.
    pub fn open(&self) {
        self.tell_all(GO_ON);
    }

    /// Waits for the last to come.
    ///
    /// # Errors
    /// `Closed` when the barrier broke; `TimedOut`, `Interrupted` as any wait: wait again or [`Barrier::leave`].
    pub fn wait(&self, place: &WaiterPlace, until: Option<Instant>) -> Result<()> {
        judge(self.list.wait(place, until)?)
    }

    /// Leaves without the others; an answer if one has come at the last moment.
    pub fn leave(&self, place: &WaiterPlace) -> Option<Result<()>> {
        self.list.leave(place).map(judge)
    }

    /// Breaks the barrier and sends everybody away; for the last to come, whose action failed.
    pub fn break_up(&self) {
        self.list.cell().word32(BROKEN).store(1, Ordering::Release);
        self.tell_all(GIVE_UP);
    }

    /// Breaks the barrier, or mends it (`broken` false), and sends everybody away who waits.
    ///
    /// # Errors
    /// `Interrupted` when it is time to look for signals: call again.
    pub fn send_away(&self, broken: bool) -> Result<()> {
        self.lock(None).or_else(|_| look_for_signals())?;
        self.list.cell().word32(BROKEN).store(u32::from(broken), Ordering::Release);
        self.tell_all(GIVE_UP);
        Ok(())
    }
}

fn judge(message: u32) -> Result<()> {
    if message == GO_ON { Ok(()) } else { Err(broken()) }
}

fn broken() -> Error {
    Error::new(ErrorKind::Closed, "the barrier is broken")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barrier(parties: u32) -> Barrier {
        Barrier::create(Cell::create(Barrier::bytes(parties as usize)).unwrap(), parties)
    }

    #[test]
    fn the_last_to_come_lets_all_go_on() {
        let barrier = barrier(3);
        let Arrival::Waits(0, first) = barrier.arrive(None).unwrap() else { panic!("the first waits") };
        let Arrival::Waits(1, second) = barrier.arrive(None).unwrap() else { panic!("the second waits") };
        assert_eq!(barrier.waiting(), 2);
        let Arrival::Last = barrier.arrive(None).unwrap() else { panic!("the third is the last") };
        barrier.open();
        barrier.wait(&first, None).unwrap();
        barrier.wait(&second, None).unwrap();
    }

    #[test]
    fn a_broken_barrier_sends_away_until_mended() {
        let barrier = barrier(2);
        let Arrival::Waits(_, first) = barrier.arrive(None).unwrap() else { panic!("the first waits") };
        barrier.send_away(true).unwrap();
        assert_eq!(barrier.wait(&first, None).unwrap_err().kind(), ErrorKind::Closed);
        assert!(barrier.arrive(None).is_err());
        barrier.send_away(false).unwrap();
        assert!(barrier.arrive(None).is_ok());
    }
}
