//! Units of what a pool has few of, such as graphics cards: which are free, and which a record holds.
//!
//! A record has its units from its grant until it ends, in whatever way: worked off, given back, or lost with its worker.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{Grant, JobId, Scheduler};

/// One unit: its kind, and its number among those.
pub type Unit = (u8, u16);

/// The units of a pool.
#[derive(Debug, Default)]
pub(super) struct Units {
    free: Vec<BTreeSet<u16>>,
    /// The units of records that are granted or out, by their job and first item.
    held: FxHashMap<(JobId, u64), Vec<Unit>>,
}

impl Units {
    /// Whether so many of each kind are free.
    pub(super) fn has(&self, needs: &[(u8, u16)]) -> bool {
        needs.iter().all(|(kind, count)| {
            self.free.get(usize::from(*kind)).is_some_and(|free| free.len() >= usize::from(*count))
        })
    }

    /// Has the record of a grant hold so many of each kind, those with the smallest numbers; which are free.
    pub(super) fn give(&mut self, grant: &Grant, needs: &[(u8, u16)]) {
        let mut units = Vec::new();
        for (kind, count) in needs {
            let Some(free) = self.free.get_mut(usize::from(*kind)) else { continue };
            units.extend((0..*count).map_while(|_| free.pop_first()).map(|number| (*kind, number)));
        }
        self.held.insert((grant.job, grant.first), units);
    }

    /// The record of a grant has ended.
    #[inline]
    pub(super) fn give_back(&mut self, grant: &Grant) {
        if self.held.is_empty() {
            return;
        }
        for (kind, number) in self.held.remove(&(grant.job, grant.first)).into_iter().flatten() {
            if let Some(free) = self.free.get_mut(usize::from(kind)) {
                free.insert(number);
            }
        }
    }
}

impl Scheduler {
    /// The pool has so many units of each kind.
    pub fn equip(&mut self, counts: &[u16]) {
        self.units.free = counts.iter().map(|count| (0..*count).collect()).collect();
    }

    /// What the record of a grant holds.
    pub fn units_of(&self, grant: &Grant) -> &[Unit] {
        self.units.held.get(&(grant.job, grant.first)).map_or(&[], Vec::as_slice)
    }
}
