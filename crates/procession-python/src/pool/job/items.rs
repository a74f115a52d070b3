//! A job's items on their way out: how many may be taken, which belong together, their short codes.

use pyo3::prelude::*;

use super::Job;
use crate::values::{self, Mode};

/// The most bytes of items and results of a lazy job between its source and its reader, unless they are few items.
const AHEAD_BYTES: f64 = 16e6;

impl Job {
    /// The items from `first` on, at most `count`; fewer when some have their outcomes.
    pub(crate) fn items(&self, py: Python<'_>, first: u64, count: u32) -> Vec<Py<PyAny>> {
        let state = self.state();
        let range = first..first + u64::from(count);
        if let Some(row) = &state.row {
            return range.filter_map(|item| row.get(py, item)).collect();
        }
        let at = |item: u64| state.items.get(item.checked_sub(state.base)? as usize)?.as_ref();
        range.filter_map(at).map(|item| item.clone_ref(py)).collect()
    }

    /// Adds the items from `first` on by their short codes; false if one has none, or has its outcome already.
    pub(crate) fn encode_simple(&self, py: Python<'_>, first: u64, count: u32, out: &mut Vec<u8>) -> bool {
        // The job is not locked meanwhile: whatever makes an object may have garbage collected, which runs any code.
        let row = self.state().row.as_ref().map(|row| row.clone_ref(py));
        if let Some(row) = row {
            return row.encode_simple(py, first, count, self.mode == Mode::Map, out);
        }
        let items = self.items(py, first, count);
        items.len() == count as usize && items.iter().all(|item| values::encode_simple(item.bind(py), out))
    }

    /// Whether none of the items has been tried before.
    pub(crate) fn are_new(&self, first: u64, count: u32) -> bool {
        let mut items = first..first + u64::from(count);
        self.options.retries == 0 || {
            let state = self.state();
            state.tries.is_empty() || items.all(|item| !state.tries.contains_key(&item))
        }
    }

    /// Whether it is a map: its items were all there when it began.
    pub(crate) fn has_row(&self) -> bool {
        self.state().row.is_some()
    }

    /// Which of those that may be pickled as one the item belongs to.
    pub(crate) fn sharers(&self, item: u64) -> u64 {
        item / self.state().together
    }

    /// How many items from `item` on may be pickled as one.
    pub(crate) fn group_at(&self, item: u64) -> u32 {
        let together = self.state().together;
        u32::try_from(together - item % together).unwrap_or(u32::MAX)
    }

    /// How many more items may be taken from the source now.
    pub(crate) fn room(&self, workers: u64) -> u64 {
        let state = self.state();
        if state.source.is_none() || state.pulling || self.given_up() {
            return 0;
        }
        let few = 4 * workers + 4;
        if state.unbounded {
            return (few.max(1024) / self.unit).max(1) * self.unit;
        }
        let most = match (self.most, state.bytes) {
            (Some(most), _) => most,
            (None, 0.0) => few,
            // Small items may have large results.
            (None, bytes) => {
                ((AHEAD_BYTES / bytes) as u64).clamp(few.min(2 * workers + 2), if state.measured { 8192 } else { few })
            }
        };
        let ahead = state.total - state.consumed;
        let most = most.max(self.unit);
        // Whole chunks, and not one item at a time.
        let room = most.saturating_sub(ahead) / self.unit * self.unit;
        if room * 4 >= most || ahead <= few { room } else { 0 }
    }
}
