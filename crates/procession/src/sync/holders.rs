//! Who holds a permit of a semaphore, so that the permits of the dead can be given back.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::arena::Cell;
use crate::platform::{identity, is_alive};

/// How many holds are noted; a semaphore with more at a time keeps no notes.
const NOTES: usize = 13;

/// Set for ever when the notes cannot be right: there were too many, or somebody gave a permit that it had not taken.
/// Then the semaphore counts events, and who dies after it has taken note of an event must not make another.
const NO_NOTES: u32 = 1;

/// The notes of a semaphore.
///
/// ```text
/// 0   -> who   by who has just taken a permit
/// who -> 0     by who is about to give it; by whoever finds that it died, and gives its permit
/// ```
/// Who is killed between note and permit loses the permit for all. The other order would let too many in.
pub(crate) struct Holders<'a> {
    cell: &'a Cell,
    start: usize,
}

impl<'a> Holders<'a> {
    /// Bytes of the notes.
    pub(crate) const BYTES: usize = 8 + 8 * NOTES;

    /// The notes at byte `start` of a cell, none in a new one.
    pub(crate) fn new(cell: &'a Cell, start: usize) -> Holders<'a> {
        Holders { cell, start }
    }

    fn mode(&self) -> &AtomicU32 {
        self.cell.word32(self.start)
    }

    fn notes(&self) -> impl Iterator<Item = &AtomicU64> {
        (0..NOTES).map(|i| self.cell.word64(self.start + 8 + 8 * i))
    }

    #[inline]
    fn are_kept(&self) -> bool {
        self.mode().load(Ordering::Relaxed) & NO_NOTES == 0
    }

    fn give_up(&self) {
        self.mode().fetch_or(NO_NOTES, Ordering::Relaxed);
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.notes().any(|note| {
            note.load(Ordering::Relaxed) == from
                && note.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// Notes that this process has just taken a permit.
    #[inline]
    pub(crate) fn note_taken(&self) {
        if self.are_kept() && !self.change(0, identity()) {
            self.give_up();
        }
    }

    /// Removes a note of this process, which is about to give a permit.
    #[inline]
    pub(crate) fn forget(&self) {
        if self.are_kept() && !self.change(identity(), 0) {
            self.give_up();
        }
    }

    /// Calls `give` once for each permit whose holder has died; says whether there was one.
    #[cold]
    pub(crate) fn bury(&self, mut give: impl FnMut()) -> bool {
        let mut any = false;
        for note in self.notes() {
            let who = note.load(Ordering::Acquire);
            if !self.are_kept() || who == 0 || who == identity() || is_alive(who) {
                continue;
            }
            if note.compare_exchange(who, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                give();
                any = true;
            }
        }
        any
    }
}
