//! Outcomes on their way into a job, further tries, and its end.

use pyo3::prelude::*;

use super::state::{are_any_done, mark_done};
use super::{Answer, Ended, Job, Results};
use crate::values::{self};

/// The number of dead workers after which an item is not tried again.
const MOST_DEATHS: u32 = 2;

impl Job {
    /// Stores an outcome, unless the item has one: the first counts. True when it was the last. What must be dropped outside
    /// of the lock goes to `trash`.
    pub(crate) fn store(&self, py: Python<'_>, item: u64, answer: Answer, trash: &mut Vec<Py<PyAny>>) -> bool {
        let mut state = self.state();
        let state = &mut *state;
        if !state.lacks(item) {
            trash.push(answer.unwrap_or_else(|failure| failure));
            return false;
        }
        if let Some(place) = item.checked_sub(state.base).and_then(|at| state.items.get_mut(at as usize)) {
            trash.extend(place.take());
            while state.items.front().is_some_and(Option::is_none) {
                state.items.pop_front();
                state.base += 1;
            }
        }
        state.finished += 1;
        let unread = state.unread;
        match &mut state.results {
            _ if unread => {
                state.consumed += 1;
                trash.push(answer.unwrap_or_else(|failure| failure));
            }
            Results::One { answer: place } => *place = Some(answer),
            Results::All { answers, done, failure } => {
                mark_done(done, item, 1);
                match answer {
                    // The place held None: nothing is dropped that could run code.
                    Ok(answer) => drop(answers.bind(py).set_item(item as usize, answer)),
                    Err(error) => match failure {
                        Some((first, _)) if *first < item || self.options.by_time() => trash.push(error),
                        _ => trash.extend(failure.replace((item, error)).map(|(_, later)| later)),
                    },
                }
            }
            Results::Ordered { answers, .. } => {
                trash.extend(answers.insert(item, answer).map(|a| a.unwrap_or_else(|e| e)))
            }
            Results::Unordered { answers } => answers.push_back(answer),
        }
        state.source.is_none() && state.finished == state.total
    }

    /// Stores the results of items in a row, whose bytes need no Python code to be rebuilt; none if that is not so, else
    /// whether they were the last.
    ///
    /// The items themselves stay until the job ends: small results have small items, as a rule.
    pub(crate) fn store_simple_run(&self, py: Python<'_>, first: u64, count: u32, mut bytes: &[u8]) -> Option<bool> {
        if !values::is_simple_run(bytes) {
            return None;
        }
        self.store_run(py, first, count, || values::take_framed(py, &mut bytes))
    }

    /// Stores the results of a run of items all of which are objects that results before them have had, from a worker that is
    /// named by a number; none, and nothing done, if it is no such run, or not that easily done. True when they were the
    /// last.
    pub(crate) fn store_run_again(
        &self,
        py: Python<'_>,
        worker: usize,
        first: u64,
        count: u32,
        bytes: &[u8],
    ) -> Option<bool> {
        let objects = self.received.run(py, worker, bytes).filter(|objects| objects.len() == count as usize)?;
        let mut objects = objects.into_iter();
        self.store_run(py, first, count, || objects.next())
    }

    /// Stores the results of items in a row, as `next` gives them; none if it lacks one, or an item has a result already; else
    /// whether they were the last.
    fn store_run<'py>(
        &self,
        py: Python<'py>,
        first: u64,
        count: u32,
        mut next: impl FnMut() -> Option<Bound<'py, PyAny>>,
    ) -> Option<bool> {
        let mut state = self.state();
        let state = &mut *state;
        if state.ended {
            return Some(false);
        }
        let Results::All { answers, done, .. } = &mut state.results else { return None };
        if are_any_done(done, first, u64::from(count)) {
            return None;
        }
        let answers = answers.bind(py);
        for index in first as usize..first as usize + count as usize {
            answers.set_item(index, next()?).ok()?;
        }
        mark_done(done, first, u64::from(count));
        state.finished += u64::from(count);
        Some(state.source.is_none() && state.finished == state.total)
    }

    /// Counts a failure of an item; whether it is to be tried again.
    pub(crate) fn tries_again(&self, item: u64, died: bool) -> bool {
        if self.options.retries == 0 {
            return false;
        }
        let mut state = self.state();
        let (tries, deaths) = state.tries.entry(item).or_default();
        *tries += 1;
        *deaths += u32::from(died);
        *tries <= self.options.retries && *deaths < MOST_DEATHS
    }

    /// How often an item was tried before.
    pub(crate) fn tries_of(&self, item: u64) -> u32 {
        if self.options.retries == 0 { 0 } else { self.state().tries.get(&item).map_or(0, |(tries, _)| *tries) }
    }

    /// Nothing more comes of the job: what has no outcome fails with `why`. Of a lazy job, whose other items nobody takes any
    /// more, one outcome does, behind those that came in order. Gives what must be dropped outside of the lock.
    pub(crate) fn give_up(&self, py: Python<'_>, why: &Py<PyAny>) -> (Option<Py<PyAny>>, Vec<Py<PyAny>>) {
        let mut state = self.state();
        if state.ended {
            return (None, Vec::new());
        }
        let source = state.source.take();
        let mut trash = Vec::new();
        if source.is_none() && state.finished == state.total {
            return (source, trash);
        }
        state.fail_rest(why.clone_ref(py), self.options.by_time(), &mut trash);
        (source, trash)
    }

    /// Ends the job, once: gives what it holds that only a job at hand needs, unless it had ended before.
    pub(crate) fn end(&self) -> Option<Ended> {
        let mut state = self.state();
        if std::mem::replace(&mut state.ended, true) {
            return None;
        }
        Some(Ended {
            expecting: isize::from(state.callbacks.is_some()) + isize::from(state.watched),
            has_callbacks: state.callbacks.is_some(),
            _items: std::mem::take(&mut state.items),
            _row: state.row.take(),
            _function: state.function.take(),
        })
    }
}
