//! What a worker still sees in place of the pool's blocks, so that the parent frees none of it.
//!
//! The parent keeps a record's blocks until the record ends. What a task holds longer, the worker reports as kept before
//! that, and as dropped at the end of a later record, or when it has nothing to do. A worker that dies keeps nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

/// The blocks that a worker sees in place, by their offsets.
#[derive(Debug, Default)]
pub struct Holdings {
    held: Mutex<Holding>,
}

#[derive(Debug, Default)]
struct Holding {
    /// How often each is held now.
    counts: FxHashMap<u64, u32>,
    /// The blocks that came with the record that runs now.
    fresh: Vec<u64>,
    /// The blocks that the parent knows of.
    told: FxHashSet<u64>,
}

/// What the parent has to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HoldingsReport {
    pub(crate) kept: Vec<u64>,
    pub(crate) dropped: Vec<u64>,
}

impl Holdings {
    fn held(&self) -> MutexGuard<'_, Holding> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the block at `offset`, of the record that runs now, is held once more.
    pub fn take(&self, offset: u64) {
        let mut held = self.held();
        *held.counts.entry(offset).or_default() += 1;
        if !held.told.contains(&offset) && !held.fresh.contains(&offset) {
            held.fresh.push(offset);
        }
    }

    /// Notes that the block at `offset` is held once less.
    pub fn give_back(&self, offset: u64) {
        let mut held = self.held();
        if let Some(count) = held.counts.get_mut(&offset) {
            *count -= 1;
            if *count == 0 {
                held.counts.remove(&offset);
            }
        }
    }

    /// Whether nothing is held, and the parent knows.
    pub fn is_empty(&self) -> bool {
        let held = self.held();
        held.counts.is_empty() && held.told.is_empty()
    }

    /// What has changed since the last report; the record that ran ends with it.
    pub(crate) fn report(&self) -> HoldingsReport {
        let mut held = self.held();
        let held = &mut *held;
        let mut report = HoldingsReport::default();
        for offset in held.fresh.drain(..) {
            if held.counts.contains_key(&offset) {
                held.told.insert(offset);
                report.kept.push(offset);
            }
        }
        if !held.told.is_empty() {
            let counts = &held.counts;
            report.dropped.extend(held.told.iter().filter(|offset| !counts.contains_key(offset)));
            held.told.retain(|offset| counts.contains_key(offset));
        }
        report
    }
}

/// The bytes of a list of offsets.
pub(crate) fn encode(offsets: &[u64]) -> Vec<u8> {
    offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect()
}

/// The offsets in `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_within_the_record_is_not_reported() {
        let holdings = Holdings::default();
        holdings.take(4096);
        holdings.give_back(4096);
        assert_eq!(holdings.report(), HoldingsReport::default());
    }

    #[test]
    fn what_is_held_longer_is_kept_until_the_last_drop() {
        let holdings = Holdings::default();
        holdings.take(4096);
        holdings.take(4096);
        holdings.give_back(4096);
        assert_eq!(holdings.report().kept, [4096]);
        assert_eq!(holdings.report(), HoldingsReport::default());
        holdings.take(4096);
        holdings.give_back(4096);
        holdings.give_back(4096);
        assert_eq!(holdings.report(), HoldingsReport { kept: vec![], dropped: vec![4096] });
        holdings.take(4096);
        assert_eq!(holdings.report().kept, [4096]);
    }

    #[test]
    fn a_list_of_offsets_comes_back() {
        assert_eq!(decode(&encode(&[1, 4096])).collect::<Vec<_>>(), [1, 4096]);
        assert_eq!(decode(b"cut").count(), 0);
    }
}
