//! How jobs end: with all their outcomes, called off, or because the pool can do no more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use procession::platform::SignalGuard;
use procession::pool::Stage;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;

use super::{Inner, Shared, idle::set_aside};
use crate::pool::job::{Ended, Job};
use crate::values::Mode;

/// The least memory of free blocks that is worth a thread that gives it back.
const WORTH_TRIMMING: usize = 8 << 20;

impl Shared {
    /// Whether there is memory to give back.
    fn trims(&self) -> bool {
        self.driver.warm_bytes() > WORTH_TRIMMING
    }
}

impl Inner {
    /// A job has all its outcomes: ends it, unless somebody else has.
    pub(crate) fn finish(&self, py: Python<'_>, job: &Arc<Job>) {
        let Some(ended) = job.end() else { return };
        let callbacks = ended.has_callbacks;
        let (is_idle, mut trims) = self.remove(job, &ended, callbacks);
        drop(ended);
        if job.mode != Mode::Apply {
            // One call has nothing in common with others.
            job.common.clear();
            job.received.clear();
        }
        // Not before, as another thread may just now have found a part that came again.
        let repeated = job.repeats.clear();
        if !repeated.is_empty() {
            self.release(repeated);
            trims = is_idle && self.shared().trims();
        }
        if callbacks {
            self.arm_driver(py, true);
            if self.quit.load(Ordering::SeqCst) {
                // The thread for it has ended with the pool, and may have looked for the last time.
                self.run_callbacks(py);
            }
        } else {
            job.is_done.store(true, Ordering::Release);
            self.tell_watchers(py, job);
            self.wake_followers();
            if trims {
                self.arm_driver(py, false);
            }
        }
    }

    /// Takes a job that has ended from those at hand, and lets go of what waited for the last; whether the pool stays and has none now, and
    /// whether it then has memory to give back.
    fn remove(&self, job: &Arc<Job>, ended: &Ended, calls_back: bool) -> (bool, bool) {
        let (forgotten, is_last, idle, trims) = {
            let mut shared = self.shared();
            let forgotten = shared.jobs.remove(&job.id);
            self.counts.end(job.entry);
            shared.driver.scheduler.cancel(job.id);
            shared.limits.remove(&job.id);
            job.function.blocks().for_each(|block| shared.driver.release(block));
            shared.lazy.retain(|lazy| lazy.id != job.id);
            shared.expecting -= ended.expecting;
            if calls_back {
                shared.callbacks.push(job.clone());
            }
            if forgotten.is_some() {
                shared.job_ended(job.handle);
            }
            let is_last = shared.jobs.is_empty();
            let idle = is_last && shared.life.stage() == Stage::Open;
            (forgotten, is_last, idle, idle && shared.trims())
        };
        drop(forgotten);
        if is_last {
            self.release(self.burst.clear());
        }
        (idle, trims)
    }

    /// Calls those who wait for an outcome of the job without driving.
    pub(crate) fn tell_watchers(&self, py: Python<'_>, job: &Arc<Job>) {
        let watchers = std::mem::take(&mut job.state().watchers);
        for watcher in watchers {
            if let Err(error) = watcher.call0(py) {
                set_aside(py, error, Some(watcher.bind(py)));
            }
        }
    }

    /// Has `watcher` called once, when the job has an outcome to be read; false if it is done already.
    pub(crate) fn add_watcher(&self, py: Python<'_>, job: &Arc<Job>, watcher: Py<PyAny>) -> bool {
        let first = {
            let mut state = job.state();
            state.watchers.push(watcher);
            !state.ended && !std::mem::replace(&mut state.watched, true)
        };
        if first {
            self.shared().expecting += 1;
        }
        if job.done() {
            return false;
        }
        self.arm_driver(py, true);
        true
    }

    /// No task can run any more: all jobs at hand, and those that are handed in later, fail with `why`, an exception or a
    /// function that makes it. With `ends` the workers end, too.
    pub(crate) fn break_down(&self, py: Python<'_>, why: Py<PyAny>, ends: bool) {
        let (jobs, before) = {
            let mut shared = self.shared();
            let stop = if ends { shared.life.end() } else { shared.life.break_down() };
            let jobs: Vec<Arc<Job>> = shared.jobs.values().cloned().collect();
            let before = if shared.broken.is_none() { shared.broken.replace(why.clone_ref(py)) } else { None };
            if stop {
                shared.driver.stop();
            }
            (jobs, before)
        };
        drop(before);
        if jobs.is_empty() {
            return;
        }
        let why = exception(py, why);
        for job in jobs {
            self.fail(py, &job, &why);
        }
        self.waiter.wake();
    }

    /// Nobody uses a handle any more: its jobs at hand, and those that are handed in later by it, are given up, with `why`.
    ///
    /// # Errors
    /// What a signal handler raised; they are given up all the same.
    pub(crate) fn end_handle(&self, py: Python<'_>, handle: u64, why: Py<PyAny>) -> PyResult<()> {
        let (jobs, before) = {
            let mut shared = self.shared();
            let Some((life, reason)) = shared.handles.get_mut(&handle) else { return Ok(()) };
            life.end();
            let before = reason.replace(why.clone_ref(py));
            (shared.jobs.values().filter(|job| job.handle == handle).cloned().collect::<Vec<_>>(), before)
        };
        drop(before);
        if jobs.is_empty() {
            return Ok(());
        }
        let why = exception(py, why);
        let mut answer = Ok(());
        for job in jobs {
            answer = answer.and(self.call_off(py, &job, &why));
        }
        answer
    }

    /// Gives a job up: what runs is interrupted, and what has no outcome fails with `why`.
    ///
    /// # Errors
    /// What a signal handler raised; the job is given up all the same.
    pub(crate) fn call_off(&self, py: Python<'_>, job: &Arc<Job>, why: &Py<PyAny>) -> PyResult<()> {
        let guard = SignalGuard::block_all();
        let interrupted = py.check_signals();
        self.withdraw(&mut self.shared(), job);
        self.fail(py, job, why);
        let stopped = self.stop_called_off(py);
        drop(guard);
        interrupted.and(stopped)
    }

    /// Takes back what no worker has claimed of a job, and has the rest interrupted.
    fn withdraw(&self, shared: &mut Shared, job: &Arc<Job>) {
        shared.driver.cancel(job.id);
        if shared.driver.scheduler.is_out(job.id) {
            shared.called_off.insert(job.id);
        }
    }

    /// Interrupts what was called off; a thread sees to what does not listen.
    fn stop_called_off(&self, py: Python<'_>) -> PyResult<()> {
        if self.shared().called_off.is_empty() {
            return Ok(());
        }
        self.arm_driver(py, true);
        self.waiter.wake();
        self.interrupt_overdue(py)
    }

    /// Nobody can ask for the outcomes of a job any more: what has not started does not start, what runs is interrupted.
    ///
    /// # Errors
    /// What a signal handler raised, or the source of its items when it was closed, if `closes_source` says that it is to
    /// be; the job is given up all the same.
    pub(crate) fn abandon(&self, py: Python<'_>, job: &Arc<Job>, closes_source: bool) -> PyResult<()> {
        // Another Ctrl-C while this one is obeyed waits until that is done.
        let guard = SignalGuard::block_all();
        let interrupted = py.check_signals();
        let ended = job.end();
        let (held, source) = job.let_go(closes_source);
        if let Some(ended) = &ended {
            let mut shared = self.shared();
            self.withdraw(&mut shared, job);
            shared.expired.retain(|(other, _), _| *other != job.id);
            drop(shared);
            self.remove(job, ended, false);
        }
        drop((ended, held));
        job.common.clear();
        self.release(job.repeats.clear());
        job.is_done.store(true, Ordering::Release);
        self.tell_watchers(py, job);
        self.wake_followers();
        let stopped = self.stop_called_off(py);
        drop(guard);
        let closed = source.map_or(Ok(()), |source| close_source(source.bind(py)));
        interrupted.and(stopped).and(closed)
    }

    /// All outcomes that a job has not got become `why`.
    pub(crate) fn fail(&self, py: Python<'_>, job: &Arc<Job>, why: &Py<PyAny>) {
        drop(job.give_up(py, why));
        self.finish(py, job);
    }
}

/// Closes what items were taken from if it is a generator, so that its `finally` blocks run now; a file, which can be
/// closed as well, may be in use elsewhere.
pub(super) fn close_source(source: &Bound<'_, PyAny>) -> PyResult<()> {
    if source.hasattr("throw")? { source.call_method0("close").map(drop) } else { Ok(()) }
}

/// The exception itself, or what its maker makes or raises: some load more than a whole pool.
pub(crate) fn exception(py: Python<'_>, why: Py<PyAny>) -> Py<PyAny> {
    if why.bind(py).is_instance_of::<PyBaseException>() {
        return why;
    }
    why.call0(py).unwrap_or_else(|error| error.value(py).clone().into_any().unbind())
}
