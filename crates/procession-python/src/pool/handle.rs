//! The handle of a job as Python has it: `JobCore`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::link::Link;
use crate::pool::drive::Inner;
use crate::pool::job::{Answer, Job, NextOutcome};

/// When a wait of so many seconds ends; none for ever.
pub(super) fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() => {
            Err(PyValueError::new_err("a timeout must be a number of seconds, not nan"))
        }
        // Beyond a century is for ever.
        Some(seconds) if seconds > 3e9 => Ok(None),
        Some(seconds) => Ok(Some(Instant::now() + Duration::from_secs_f64(seconds.max(0.0)))),
    }
}

/// The handle of a job.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct JobCore {
    pub(super) owned: Link<Weak<Inner>>,
    pub(super) job: Arc<Job>,
}

/// A task that runs: see `JobCore.progress`.
type TaskNow = (usize, u32, u64, f64, Option<(f64, Option<f64>, String)>);

/// How far a job is: see `JobCore.progress`.
type Progress = (Option<u64>, u64, u64, u64, Vec<TaskNow>);

/// An outcome as a call returns or raises it.
pub(super) fn give(py: Python<'_>, answer: Answer) -> PyResult<Py<PyAny>> {
    answer.map_err(|failure| PyErr::from_value(failure.into_bound(py)))
}

#[pymethods]
impl JobCore {
    /// Whether the job is done.
    fn ready(&self, py: Python<'_>) -> PyResult<bool> {
        if !self.job.done() {
            self.engine()?.look(py)?;
        }
        Ok(self.job.done())
    }

    /// Whether the job, which is done, has no failure.
    fn successful(&self) -> bool {
        self.job.is_successful()
    }

    /// Gives the job up: what has not started does not start, what runs is interrupted, and what has no outcome fails
    /// with the exception `why`. False when the job was done.
    fn cancel(&self, py: Python<'_>, why: Py<PyAny>) -> PyResult<bool> {
        if self.job.done() {
            return Ok(false);
        }
        let engine = self.engine()?;
        engine.call_off(py, &self.job, &why)?;
        Ok(true)
    }

    /// Has `watcher` called once, by another thread, when there is an outcome to be read; false if there is one already.
    fn watch(&self, py: Python<'_>, watcher: Py<PyAny>) -> PyResult<bool> {
        Ok(!self.job.done() && self.engine()?.add_watcher(py, &self.job, watcher))
    }

    /// Whether workers may run items of it: also of one that was given up, until these have ended.
    fn is_out(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(engine) = self.engine_of_ours() else { return Ok(false) };
        engine.look(py)?;
        Ok(engine.shared().driver.scheduler.is_out(self.job.id))
    }

    /// Whether the job is done; does not look for results.
    fn done(&self) -> bool {
        self.job.done()
    }

    /// How many items have their outcome, and how many are known: all of them, unless more are to be taken.
    fn counts(&self) -> (u64, u64) {
        let state = self.job.state();
        (state.finished, state.total)
    }

    /// How far the job is: how many items there are, if that is known, how many have their outcome, how many of these have
    /// failed, how often one was tried again; and of what runs the worker's seat and place, the item, since when, and what it says.
    fn progress(&self) -> Progress {
        let (total, finished) = {
            let state = self.job.state();
            (state.source.is_none().then_some(state.total), state.finished)
        };
        let tasks = match self.engine_of_ours() {
            Some(engine) if !self.job.done() => engine.tasks_of(self.job.id),
            _ => Vec::new(),
        };
        let tasks = tasks.into_iter().map(|task| {
            let said = task.said.map(|said| (said.done, said.total, said.text));
            (task.index, task.place, task.item, task.since.as_secs_f64(), said)
        });
        let (failed, retried) = (&self.job.failed, &self.job.retried);
        (total, finished, failed.load(Ordering::Relaxed), retried.load(Ordering::Relaxed), tasks.collect())
    }

    /// Waits for the job to end, whether or not anybody reads its outcomes.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.job.state().unbounded = true;
        self.wait(py, None).map(drop)
    }

    /// Waits for the job; false when `timeout` seconds were not enough.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        if self.job.done() {
            return Ok(true);
        }
        let until = deadline(timeout)?;
        self.engine()?.wait(py, until, || self.job.done())
    }

    /// Ends a lazy job: it takes no more items, what runs is interrupted, there are no more outcomes. Its source is closed
    /// if it is a generator, at once or by the thread that takes an item from it just now.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.engine_of_ours() {
            Some(engine) => engine.abandon(py, &self.job, true),
            None => {
                drop(self.job.let_go(false));
                Ok(())
            }
        }
    }

    /// Nobody can read the outcomes of a lazy job any more: it ends if somebody has, and goes on without a reader if it was
    /// made for what its function does.
    fn forsake(&self, py: Python<'_>) -> PyResult<()> {
        if self.job.done() {
            return Ok(());
        }
        match self.engine_of_ours() {
            Some(engine) if self.job.state().asked => engine.abandon(py, &self.job, false),
            Some(_) => {
                self.job.abandon_reader();
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // An exception holds frames, and they hold this handle: the collector must see the way. What the engine still
        // knows is not garbage.
        if Arc::strong_count(&self.job) == 1 { self.job.visit(&visit) } else { Ok(()) }
    }

    fn __clear__(&self) {
        self.job.clear();
    }

    /// The value of the job, which is done, or its exception.
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        give(py, self.job.value(py))
    }

    /// The next outcome of a lazy job: its value, or its exception; none when `timeout` seconds were not enough.
    ///
    /// Raises StopIteration at the end.
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<(Py<PyAny>,)>> {
        let mut found = self.job.next();
        if matches!(found, NextOutcome::Later) {
            let inner = self.engine()?;
            inner.pull(py, &self.job)?;
            inner.wait(py, deadline(timeout)?, || {
                found = self.job.next();
                !matches!(found, NextOutcome::Later)
            })?;
        }
        match found {
            NextOutcome::Answer(answer) => Ok(Some((give(py, answer)?,))),
            NextOutcome::Later => Ok(None),
            NextOutcome::End => Err(PyStopIteration::new_err(())),
        }
    }
}

impl JobCore {
    /// The engine, unless it has ended or belongs to the parent of this process.
    fn engine_of_ours(&self) -> Option<Arc<Inner>> {
        self.owned.get().ok()?.upgrade()
    }

    fn engine(&self) -> PyResult<Arc<Inner>> {
        let engine = self.owned.get()?.upgrade();
        engine.ok_or_else(|| PyValueError::new_err("Pool not running: it has ended, make a new one"))
    }
}
