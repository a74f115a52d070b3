//! Outcomes as their reader gets them, and what becomes of them without a reader.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::{Answer, Job, Results};

/// What a lazy job has for its reader.
pub(crate) enum NextOutcome {
    /// An outcome.
    Answer(Answer),
    /// Nothing yet.
    Later,
    /// Nothing any more.
    End,
}

impl Job {
    /// Lets go of all that a job holds, of which nothing will be stored, taken or published any more; what is to be dropped when nothing
    /// is locked, and the source if that is to be closed now: whoever takes items from it just then will close it.
    pub(crate) fn let_go(&self, closes_source: bool) -> (impl Sized, Option<Py<PyAny>>) {
        self.is_given_up.store(true, Ordering::Release);
        let mut state = self.state();
        state.unread = true;
        let source = if state.pulling { None } else { state.source.take() };
        state.closes_source = closes_source;
        let none = Results::Unordered { answers: VecDeque::new() };
        let held = (
            std::mem::replace(&mut state.results, none),
            std::mem::take(&mut state.items),
            state.row.take(),
            state.function.take(),
            state.callbacks.take(),
        );
        match closes_source {
            true => ((held, None), source),
            false => ((held, source), None),
        }
    }

    /// Nobody can read the outcomes of a lazy job any more.
    pub(crate) fn abandon_reader(&self) {
        let answers = {
            let mut state = self.state();
            state.unread = true;
            let taken = match &mut state.results {
                Results::Ordered { answers, .. } => std::mem::take(answers).into_values().collect::<Vec<_>>(),
                Results::Unordered { answers } => std::mem::take(answers).into_iter().collect(),
                Results::One { .. } | Results::All { .. } => Vec::new(),
            };
            state.consumed += taken.len() as u64;
            taken
        };
        drop(answers);
    }

    /// The next outcome of a lazy job; none when it is not there yet.
    pub(crate) fn next(&self) -> NextOutcome {
        let mut state = self.state();
        let state = &mut *state;
        state.asked = true;
        if self.given_up() {
            return NextOutcome::End;
        }
        let answer = match &mut state.results {
            Results::Ordered { next, answers } => {
                let answer = answers.remove(next);
                *next += u64::from(answer.is_some());
                answer
            }
            Results::Unordered { answers } => answers.pop_front(),
            Results::One { .. } | Results::All { .. } => None,
        };
        match answer {
            Some(answer) => {
                state.consumed += 1;
                NextOutcome::Answer(answer)
            }
            None if state.source.is_none() && state.consumed == state.total => NextOutcome::End,
            None => NextOutcome::Later,
        }
    }

    /// What a job that is done gives: its value, or its failure.
    pub(crate) fn value(&self, py: Python<'_>) -> Answer {
        let state = self.state();
        match &state.results {
            Results::One { answer: Some(Ok(value)) } => Ok(value.clone_ref(py)),
            Results::One { answer: Some(Err(failure)) } | Results::All { failure: Some((_, failure)), .. } => {
                Err(failure.clone_ref(py))
            }
            Results::All { answers, failure: None, .. } => Ok(answers.clone_ref(py).into_any()),
            _ => Ok(py.None()),
        }
    }

    /// Shows the garbage collector what a job that is done holds.
    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        if let Some((callback, error_callback)) = &state.callbacks {
            visit.call(callback)?;
            visit.call(error_callback)?;
        }
        state.watchers.iter().try_for_each(|watcher| visit.call(watcher))?;
        let each = |answer: &Answer| match answer {
            Ok(object) | Err(object) => visit.call(object),
        };
        match &state.results {
            Results::One { answer } => answer.iter().try_for_each(each),
            Results::All { answers, failure, .. } => {
                visit.call(answers)?;
                failure.iter().try_for_each(|(_, failure)| visit.call(failure))
            }
            Results::Ordered { answers, .. } => answers.values().try_for_each(each),
            Results::Unordered { answers } => answers.iter().try_for_each(each),
        }
    }

    /// Lets go of what a job that is done holds.
    pub(crate) fn clear(&self) {
        let empty = Results::Unordered { answers: VecDeque::new() };
        let held = {
            let mut state = self.state();
            let results = std::mem::replace(&mut state.results, empty);
            (results, state.callbacks.take(), std::mem::take(&mut state.watchers))
        };
        drop(held);
    }

    /// Whether a job that is done has no failure.
    pub(crate) fn is_successful(&self) -> bool {
        let failed = |results: &Results| match results {
            Results::One { answer } => matches!(answer, Some(Err(_))),
            Results::All { failure, .. } => failure.is_some(),
            Results::Ordered { .. } | Results::Unordered { .. } => false,
        };
        !failed(&self.state().results)
    }
}
