//! The list of those who wait for a condition or a barrier, each with its own word to sleep on.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use super::arena::Cell;
use super::words::place as words;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{identity, is_alive, wake};

/// Offsets in the cell: how many places there are, how many have come, the word of those who found no place, whether there
/// may be any, and how many places from the first may be WAITING; then the places.
const PLACES: usize = 0;
const ARRIVALS: usize = 4;
const CROWD: usize = 8;
const CROWDED: usize = 12;
const USED: usize = 16;
const FIRST: usize = 24;
/// A place: who waits there (8 bytes), its state (4), its number in the order of arrival (4).
const PLACE_BYTES: usize = 16;

// USED and CROWDED may say more than there is and never less, as they change with the lock held that goes with the list: who
// enters raises them first, a waker lowers them when it has left nobody waiting. So a look at them with that lock held is
// never too old, and neither are ARRIVALS, who waits at a place, and when it came.

/// A place in the list, or none: then its holder waits with the crowd and may wake without a reason.
#[derive(Debug)]
pub struct WaiterPlace(WaiterSpot);

#[derive(Debug)]
enum WaiterSpot {
    Own(usize),
    Crowd(u32),
}

/// Waiters that have got a message and may be asleep.
pub(crate) struct ToldWaiters {
    places: Vec<usize>,
    crowded: bool,
}

/// A list of waiters.
#[derive(Debug)]
pub struct Waiters {
    cell: Cell,
    start: usize,
    places: usize,
}

impl Waiters {
    /// What the crowd is told, and what `wake` is told by who has only one thing to say.
    pub const WOKEN: u32 = 2;

    /// Bytes of a list with `places`.
    pub const fn bytes(places: usize) -> usize {
        FIRST + places * PLACE_BYTES
    }

    /// Makes a list from byte `start` to the end of `cell`, which is new there.
    pub fn create(cell: Cell, start: usize) -> Waiters {
        let places = (cell.size() - start - FIRST) / PLACE_BYTES;
        cell.word32(start + PLACES).store(places as u32, Ordering::Release);
        Waiters { cell, start, places }
    }

    /// The list that another process made in `cell`.
    pub fn open(cell: Cell, start: usize) -> Waiters {
        let room = (cell.size() - start - FIRST) / PLACE_BYTES;
        let places = room.min(cell.word32(start + PLACES).load(Ordering::Acquire) as usize);
        Waiters { cell, start, places }
    }

    /// The memory it lives in.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    fn who(&self, place: usize) -> &AtomicU64 {
        self.cell.word64(self.start + FIRST + place * PLACE_BYTES)
    }

    fn state(&self, place: usize) -> &AtomicU32 {
        self.cell.word32(self.start + FIRST + place * PLACE_BYTES + 8)
    }

    fn arrival(&self, place: usize) -> &AtomicU32 {
        self.cell.word32(self.start + FIRST + place * PLACE_BYTES + 12)
    }

    /// Enters the list.
    pub fn enter(&self) -> WaiterPlace {
        let arrival = self.cell.word32(self.start + ARRIVALS).fetch_add(1, Ordering::Relaxed);
        for place in 0..self.places {
            if words::state(self.state(place)) == words::FREE {
                let used = self.cell.word32(self.start + USED);
                used.store(used.load(Ordering::Relaxed).max(place as u32 + 1), Ordering::Relaxed);
                self.who(place).store(identity(), Ordering::Relaxed);
                self.arrival(place).store(arrival, Ordering::Relaxed);
                words::enter(self.state(place));
                return WaiterPlace(WaiterSpot::Own(place));
            }
        }
        // Whoever died before it read its message has left its place taken.
        for place in 0..self.places {
            if words::state(self.state(place)) > words::WAITING && self.is_dead(place) {
                words::free(self.state(place));
            }
        }
        self.cell.word32(self.start + CROWDED).store(1, Ordering::Relaxed);
        WaiterPlace(WaiterSpot::Crowd(self.cell.word32(self.start + CROWD).load(Ordering::Acquire)))
    }

    /// Waits at `place` to be woken; gives the message.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals. The place is kept: wait again, or leave it.
    pub fn wait(&self, place: &WaiterPlace, until: Option<Instant>) -> Result<u32> {
        let (word, before) = match place.0 {
            WaiterSpot::Own(place) => (self.state(place), words::WAITING),
            WaiterSpot::Crowd(before) => (self.cell.word32(self.start + CROWD), before),
        };
        words::wait_while(word, before, until).map(|now| self.woken(place, now))
    }

    fn woken(&self, place: &WaiterPlace, now: u32) -> u32 {
        match place.0 {
            WaiterSpot::Own(place) => {
                words::free(self.state(place));
                now
            }
            WaiterSpot::Crowd(_) => Waiters::WOKEN,
        }
    }

    /// Leaves the list; gives the message if one has come at the last moment.
    pub fn leave(&self, place: &WaiterPlace) -> Option<u32> {
        match place.0 {
            WaiterSpot::Crowd(_) => None,
            WaiterSpot::Own(at) => words::leave(self.state(at)).map(|message| self.woken(place, message)),
        }
    }

    /// The places that may be taken.
    fn used(&self) -> std::ops::Range<usize> {
        0..self.places.min(self.cell.word32(self.start + USED).load(Ordering::Relaxed) as usize)
    }

    fn is_crowded(&self) -> bool {
        self.cell.word32(self.start + CROWDED).load(Ordering::Relaxed) != 0
    }

    /// Wakes up to `count` of those who wait, the longest waiting first, and tells them `message`.
    ///
    /// Whoever has died is dropped from the list and not counted.
    ///
    /// # Errors
    /// `InvalidInput` for a message that is a state of the list.
    #[inline]
    pub fn wake(&self, count: usize, message: u32) -> Result<usize> {
        if self.used().is_empty() && !self.is_crowded() { Ok(0) } else { self.wake_slow(count, message) }
    }

    fn wake_slow(&self, count: usize, message: u32) -> Result<usize> {
        if message < Waiters::WOKEN {
            return Err(Error::new(ErrorKind::InvalidInput, "not a message"));
        }
        let next = self.cell.word32(self.start + ARRIVALS).load(Ordering::Relaxed);
        let mut waiting: Vec<(u32, usize)> = self
            .used()
            .filter(|&place| words::state(self.state(place)) == words::WAITING)
            .map(|place| (next.wrapping_sub(self.arrival(place).load(Ordering::Relaxed)), place))
            .collect();
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        let mut woken = 0;
        for (_, place) in waiting {
            if woken == count {
                return Ok(woken);
            }
            let state = self.state(place);
            if words::tell(state, message) {
                // The waiter is not asleep: on its way, or dead.
                if wake(state, 1) == 0 && self.is_dead(place) {
                    words::free(state);
                } else {
                    woken += 1;
                }
            }
        }
        self.cell.word32(self.start + USED).store(0, Ordering::Relaxed);
        if woken < count && self.is_crowded() {
            let crowd = self.cell.word32(self.start + CROWD);
            crowd.fetch_add(1, Ordering::AcqRel);
            let wanted = (count - woken).min(i32::MAX as usize);
            let came = wake(crowd, wanted as u32) as usize;
            if came < wanted {
                // Whoever is not asleep yet sees the word changed.
                self.cell.word32(self.start + CROWDED).store(0, Ordering::Relaxed);
            }
            woken += came;
        }
        Ok(woken)
    }

    /// Gives `message` to all who wait, without waking them: [`Waiters::rouse`] does that, when the lock that goes with the
    /// list has been released, so that whoever wakes does not run into it. Until then they may find the message themselves.
    pub(crate) fn tell_all(&self, message: u32) -> ToldWaiters {
        let places = self.used().filter(|&place| words::tell(self.state(place), message)).collect();
        self.cell.word32(self.start + USED).store(0, Ordering::Relaxed);
        let crowded = self.cell.word32(self.start + CROWDED).swap(0, Ordering::Relaxed) != 0;
        if crowded {
            self.cell.word32(self.start + CROWD).fetch_add(1, Ordering::AcqRel);
        }
        ToldWaiters { places, crowded }
    }

    /// Wakes those who were told something. Whoever is not woken, as the waker died, looks by itself before long.
    pub(crate) fn rouse(&self, told: ToldWaiters) {
        for place in told.places {
            wake(self.state(place), 1);
        }
        if told.crowded {
            wake(self.cell.word32(self.start + CROWD), i32::MAX as u32);
        }
    }

    fn is_dead(&self, place: usize) -> bool {
        let who = self.who(place).load(Ordering::Relaxed);
        who != identity() && !is_alive(who)
    }

    /// How many wait and are alive; drops the others from the list.
    pub fn alive(&self) -> usize {
        let mut alive = 0;
        for place in self.used() {
            if words::state(self.state(place)) != words::WAITING {
                continue;
            }
            if self.is_dead(place) {
                words::leave(self.state(place));
            } else {
                alive += 1;
            }
        }
        alive
    }

    /// How many are on the list, dead or alive.
    pub fn waiting(&self) -> usize {
        self.used().filter(|&place| words::state(self.state(place)) == words::WAITING).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(places: usize) -> Waiters {
        Waiters::create(Cell::create(Waiters::bytes(places)).unwrap(), 0)
    }

    #[test]
    fn the_longest_waiting_is_woken_first() {
        let list = list(7);
        let (first, second) = (list.enter(), list.enter());
        assert_eq!(list.wake(1, 5).unwrap(), 1);
        assert_eq!(list.wait(&first, None).unwrap(), 5);
        assert_eq!(list.leave(&second), None);
        assert_eq!(list.waiting(), 0);
    }

    #[test]
    fn the_dead_swallow_no_wake_up() {
        let list = list(7);
        let dead = list.enter();
        let WaiterSpot::Own(at) = dead.0 else { panic!("there is room") };
        list.who(at).store(identity() ^ 1 << 32, Ordering::Relaxed);
        let live = list.enter();
        assert_eq!(list.waiting(), 2);
        assert_eq!(list.wake(1, Waiters::WOKEN).unwrap(), 1);
        assert_eq!(list.wait(&live, None).unwrap(), Waiters::WOKEN);
        assert_eq!(list.alive(), 0);
    }

    #[test]
    fn a_list_that_nobody_waits_in_is_not_searched() {
        let list = list(7);
        assert!(list.used().is_empty());
        let (first, second) = (list.enter(), list.enter());
        assert_eq!(list.used(), 0..2);
        assert_eq!(list.wake(1, Waiters::WOKEN).unwrap(), 1);
        assert_eq!(list.waiting(), 1);
        assert_eq!(list.wake(1, Waiters::WOKEN).unwrap(), 1);
        assert!(list.used().is_empty() && !list.is_crowded());
        for place in [&first, &second] {
            list.wait(place, None).unwrap();
        }
    }

    #[test]
    fn the_place_of_one_that_died_with_its_message_is_used_again() {
        let list = list(2);
        let dead = list.enter();
        let WaiterSpot::Own(at) = dead.0 else { panic!("there is room") };
        let told = list.tell_all(Waiters::WOKEN);
        list.rouse(told);
        list.who(at).store(identity() ^ 1 << 32, Ordering::Relaxed);
        let found: Vec<bool> = (0..list.places + 1).map(|_| matches!(list.enter().0, WaiterSpot::Own(_))).collect();
        // The one that finds none cleans up and waits in the crowd.
        assert_eq!(found.iter().filter(|&&own| own).count(), list.places);
    }

    #[test]
    fn who_finds_no_place_is_woken_too() {
        let list = list(3);
        let places: Vec<WaiterPlace> = (0..list.places + 1).map(|_| list.enter()).collect();
        list.wake(usize::MAX, Waiters::WOKEN).unwrap();
        for place in &places {
            list.wait(place, None).unwrap();
        }
        assert!(!list.is_crowded());
    }
}
