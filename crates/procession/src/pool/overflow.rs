//! The entries of jobs for which a board has no room: all of its entries are those of jobs that have not ended.
//!
//! They wait in the order in which the jobs were handed in, which is that in which jobs begin, and get the places of jobs that end.
//! What happens to a job before is noted here, so that its entry is right from its first moment on.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard};

/// What stands in an entry.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// Its number among all entries.
    pub number: u64,
    /// The numbers of the first and the last job that it stands for.
    pub jobs: (u64, u64),
    /// How many items there are; none where that is not known yet.
    pub total: Option<u64>,
    /// How many have returned, and how many have failed.
    pub done: u64,
    pub failed: u64,
    /// How often one was tried again.
    pub retried: u32,
    /// How many jobs of it have not ended.
    pub open: u32,
    /// When the first one was handed in, in nanoseconds.
    pub started: u64,
    pub method: Cow<'a, str>,
    pub function: Cow<'a, str>,
}

impl Row<'_> {
    fn into_owned(self) -> Row<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Row { method: owned(self.method), function: owned(self.function), ..self }
    }
}

/// The rows that wait, and the right to give places away.
#[derive(Debug, Default)]
pub struct Overflow {
    waits: AtomicBool,
    rows: Mutex<VecDeque<Row<'static>>>,
}

/// Whoever has this gives places away, and nobody else does.
pub struct Places<'a> {
    waits: &'a AtomicBool,
    rows: MutexGuard<'a, VecDeque<Row<'static>>>,
}

impl Overflow {
    /// Whether none waits, at a glance.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.waits.load(Relaxed)
    }

    /// Gives the right to give places away.
    pub fn places(&self) -> Places<'_> {
        Places { waits: &self.waits, rows: self.rows.lock().expect("nothing panics while it is held") }
    }

    /// Changes a row, if it waits, and says whether it did. One all of whose jobs have ended goes: nothing of it has run.
    pub fn change(&self, number: u64, change: impl FnOnce(&mut Row<'static>)) -> bool {
        let mut places = self.places();
        let Ok(at) = places.rows.binary_search_by_key(&number, |row| row.number) else { return false };
        change(&mut places.rows[at]);
        if places.rows[at].open == 0 {
            places.rows.remove(at);
        }
        true
    }
}

impl Places<'_> {
    /// Has a row wait.
    pub fn push(&mut self, row: Row<'_>) {
        self.rows.push_back(row.into_owned());
    }

    /// Takes the row that has waited longest.
    pub fn pop(&mut self) -> Option<Row<'static>> {
        self.rows.pop_front()
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        self.waits.store(!self.rows.is_empty(), Relaxed);
    }
}
