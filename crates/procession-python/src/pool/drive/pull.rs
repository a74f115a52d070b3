//! Items are taken from the iterators of lazy jobs.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyIterator;

use super::Inner;
use super::ending::close_source;
use crate::pool::job::Job;
use crate::values;

impl Inner {
    /// The source of a lazy job, which this thread alone takes items from now; none if no item may be taken.
    fn source_of(&self, py: Python<'_>, job: &Job) -> Option<Py<PyAny>> {
        if job.state().changing {
            // The source gives the next item when the last is encoded, maybe by another thread.
            let scheduler = &self.shared().driver.scheduler;
            if scheduler.waiting(job.id) > 0 || scheduler.is_granting() {
                return None;
            }
        }
        let mut state = job.state();
        if state.pulling {
            return None;
        }
        let source = state.source.as_ref()?.clone_ref(py);
        state.pulling = true;
        Some(source)
    }

    /// Takes items from the source of a lazy job, as many as there is room for.
    ///
    /// A source may give the same object again and again, with other contents: after a chunk with an item that can change
    /// no more are taken until that is encoded. True when it ended so, and more can be taken then.
    pub(crate) fn pull(&self, py: Python<'_>, job: &Arc<Job>) -> PyResult<bool> {
        let room = job.room(self.workers());
        let Some(source) = (if room == 0 { None } else { self.source_of(py, job) }) else { return Ok(false) };
        let source = source.bind(py);
        let Pulled { mut taken, changing, end } = take_from(source, job, room);
        let complete = end.is_some();
        let failure = end.flatten();
        if failure.is_some() {
            // The failure stands in the place of the chunk that could not be filled.
            let whole = (job.state().total + taken.len() as u64) / job.unit * job.unit;
            let whole = whole.saturating_sub(job.state().total) as usize;
            drop(taken.split_off(whole.min(taken.len())));
        }
        let more = taken.len() as u64;
        let (over, total, dropped) = {
            let mut state = job.state();
            state.pulling = false;
            if job.given_up() {
                let (unused, closes) = (state.source.take(), state.closes_source);
                drop(state);
                drop((unused, taken));
                return if closes { close_source(source).map(|()| false) } else { Ok(false) };
            }
            if state.source.is_none() {
                // The job was given up meanwhile, and has its last outcome.
                drop(state);
                return Ok(false);
            }
            state.changing = changing;
            state.items.extend(taken);
            state.total += more + u64::from(failure.is_some());
            state.items.extend(failure.iter().map(|_| Some(py.None())));
            let dropped = if complete { state.source.take() } else { None };
            (complete && state.finished == state.total, state.total, dropped)
        };
        drop(dropped);
        {
            let mut shared = self.shared();
            shared.driver.scheduler.extend(job.id, more, complete);
            if complete {
                shared.lazy.retain(|lazy| lazy.id != job.id);
                self.counts.complete(job.entry, total);
            }
        }
        if let Some(error) = failure {
            let mut trash = Vec::new();
            let failure = error.value(py).clone().into_any().unbind();
            if job.store(py, total.saturating_sub(1), Err(failure), &mut trash) {
                self.finish(py, job);
            }
            self.wake_followers();
        } else if over {
            self.finish(py, job);
        }
        Ok(changing && !complete)
    }
}

/// What was taken from a source.
struct Pulled {
    taken: Vec<Option<Py<PyAny>>>,
    /// Whether an item among them can change.
    changing: bool,
    /// Whether it is exhausted, and what it raised, if so.
    end: Option<Option<PyErr>>,
}

/// Takes items from a source: at most `room`, and none behind a chunk with one that can change.
fn take_from(source: &Bound<'_, PyAny>, job: &Job, room: u64) -> Pulled {
    let mut pulled = Pulled { taken: Vec::new(), changing: false, end: None };
    for _ in 0..room {
        if job.given_up() {
            break;
        }
        match source.cast::<PyIterator>().map(|iterator| iterator.clone().next()) {
            Ok(Some(Ok(item))) => {
                pulled.changing |= !values::is_lasting(&item, 0);
                pulled.taken.push(Some(item.unbind()));
                if pulled.changing && (pulled.taken.len() as u64).is_multiple_of(job.unit) {
                    break;
                }
            }
            Ok(Some(Err(error))) => {
                pulled.end = Some(Some(error));
                break;
            }
            _ => {
                pulled.end = Some(None);
                break;
            }
        }
    }
    pulled
}
