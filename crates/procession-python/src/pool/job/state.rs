//! The part of a job that changes: its items, its outcomes, how far it is.

use std::collections::{BTreeMap, VecDeque};

use pyo3::prelude::*;
use pyo3::types::PyList;
use rustc_hash::FxHashMap;

use crate::pool::row::MapItems;

/// Outcome of an item: what it returned, or the exception.
pub(crate) type Answer = Result<Py<PyAny>, Py<PyAny>>;

/// What becomes of the outcomes.
pub(crate) enum Results {
    /// One alone (`apply`).
    One { answer: Option<Answer> },
    /// All of them, in order, at the end (`map`): a list that is filled, a bit for each item that has its outcome, and the
    /// first failure.
    All { answers: Py<PyList>, done: Vec<u64>, failure: Option<(u64, Py<PyAny>)> },
    /// One after the other, in order (`imap`).
    Ordered { next: u64, answers: BTreeMap<u64, Answer> },
    /// One after the other, as they come (`imap_unordered`).
    Unordered { answers: VecDeque<Answer> },
}

/// The part of a job that changes.
pub(crate) struct State {
    /// The items of a map; they stay until it ends.
    pub row: Option<MapItems>,
    /// How many items of the row, from each multiple of that number on, may be pickled as one.
    pub together: u64,
    /// All other items without an outcome, from `base` on; none where an outcome came early.
    pub items: VecDeque<Option<Py<PyAny>>>,
    pub base: u64,
    /// Where more items come from.
    pub source: Option<Py<PyAny>>,
    /// Items taken so far; all of them when `source` is none.
    pub total: u64,
    /// Items with an outcome.
    pub finished: u64,
    /// Outcomes that were read (`imap`).
    pub consumed: u64,
    /// Whether somebody takes items from the source now.
    pub pulling: bool,
    /// Whether an item that was taken last can change.
    pub changing: bool,
    /// Whether nobody can read the outcomes any more.
    pub unread: bool,
    /// Whether somebody has asked for an outcome (`imap`).
    pub asked: bool,
    /// Whether the source is to be closed when nobody takes items from it any more.
    pub closes_source: bool,
    /// Whether items are taken without regard to how many outcomes were read.
    pub unbounded: bool,
    /// Measured bytes of an item with its result; 0 while unknown.
    pub bytes: f64,
    /// Whether a result is among what was measured.
    pub measured: bool,
    pub results: Results,
    /// How often items were tried again, and how many workers they killed.
    pub tries: FxHashMap<u64, (u32, u32)>,
    pub callbacks: Option<(Py<PyAny>, Py<PyAny>)>,
    /// The function that the items are given to, for messages about them; until the job ends.
    pub function: Option<Py<PyAny>>,
    /// What is called, once, when an outcome is there to be read.
    pub watchers: Vec<Py<PyAny>>,
    /// Whether somebody waits who does not drive the pool.
    pub watched: bool,
    /// Whether the job has come to its end: outcomes that come later are nobody's.
    pub ended: bool,
}

/// What a job held until its end.
pub(crate) struct Ended {
    /// How often it was counted among those that nobody may wait for.
    pub expecting: isize,
    pub has_callbacks: bool,
    pub(super) _items: VecDeque<Option<Py<PyAny>>>,
    pub(super) _row: Option<MapItems>,
    pub(super) _function: Option<Py<PyAny>>,
}

impl State {
    /// Whether the item is known and has no outcome.
    pub(crate) fn lacks(&self, item: u64) -> bool {
        if self.ended {
            return false;
        }
        match &self.results {
            Results::All { done, .. } => !are_any_done(done, item, 1),
            _ => item.checked_sub(self.base).is_some_and(|at| self.items.get(at as usize).is_some_and(Option::is_some)),
        }
    }

    pub(super) fn fail_rest(&mut self, why: Py<PyAny>, by_time: bool, trash: &mut Vec<Py<PyAny>>) {
        let unread = self.unread;
        match &mut self.results {
            Results::One { answer } => *answer = Some(Err(why)),
            Results::All { done, failure, .. } => {
                let missing = (0..self.total).find(|item| !are_any_done(done, *item, 1)).unwrap_or(0);
                mark_done(done, 0, self.total);
                match failure {
                    Some((first, _)) if *first < missing || by_time => trash.push(why),
                    _ => trash.extend(failure.replace((missing, why)).map(|(_, later)| later)),
                }
            }
            _ if unread => trash.push(why),
            Results::Ordered { next, answers } => {
                let mut last = *next;
                while answers.contains_key(&last) {
                    last += 1;
                }
                trash.extend(answers.split_off(&last).into_values().map(|answer| answer.unwrap_or_else(|e| e)));
                answers.insert(last, Err(why));
                self.total = last + 1;
            }
            Results::Unordered { answers } => {
                answers.push_back(Err(why));
                self.total = self.consumed + answers.len() as u64;
            }
        }
        self.finished = self.total;
        if unread {
            self.consumed = self.total;
        }
    }
}

pub(super) fn are_any_done(done: &[u64], first: u64, count: u64) -> bool {
    let (mut item, end) = (first, first + count);
    while item < end {
        let bit = item % 64;
        let bits = (64 - bit).min(end - item);
        if done[item as usize / 64] & ((u64::MAX >> (64 - bits)) << bit) != 0 {
            return true;
        }
        item += bits;
    }
    false
}

pub(super) fn mark_done(done: &mut [u64], first: u64, count: u64) {
    let (mut item, end) = (first, first + count);
    while item < end {
        let bit = item % 64;
        let bits = (64 - bit).min(end - item);
        done[item as usize / 64] |= (u64::MAX >> (64 - bits)) << bit;
        item += bits;
    }
}
