//! How jobs end: with all their outcomes, called off, or because the pool can do no more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;

use super::{Inner, idle::set_aside};
use crate::job::Job;

/// Less memory of free blocks is not worth a thread that gives it back.
const WORTH_TRIMMING: usize = 8 << 20;

impl Inner {
    /// A job has all its outcomes.
    pub(crate) fn finish(&self, py: Python<'_>, job: &Arc<Job>) {
        let (callbacks, watched, items) = {
            let mut state = job.state();
            state.ended = true;
            let held = (std::mem::take(&mut state.items), state.row.take(), state.function.take());
            (state.callbacks.is_some(), state.watched, held)
        };
        drop(items);
        let (forgotten, idle) = {
            let mut shared = self.shared();
            let forgotten = shared.jobs.remove(&job.id);
            shared.driver.scheduler.cancel(job.id);
            shared.limits.remove(&job.id);
            job.function.blocks().for_each(|block| shared.driver.release(block));
            shared.lazy.retain(|lazy| lazy.id != job.id);
            if callbacks {
                shared.expecting -= 1;
                shared.callbacks.push(job.clone());
            }
            shared.expecting -= isize::from(watched);
            if shared.closed && !shared.stopped && shared.jobs.is_empty() {
                shared.stopped = true;
                shared.driver.stop();
            }
            (forgotten, shared.jobs.is_empty() && !shared.closed)
        };
        drop(forgotten);
        job.common.clear();
        self.release(job.repeats.clear());
        if callbacks {
            self.arm_driver(py, true);
        } else {
            job.is_done.store(true, Ordering::Release);
            self.tell_watchers(py, job);
            self.wake_followers();
            if idle && self.shared().driver.warm_bytes() > WORTH_TRIMMING {
                self.arm_driver(py, false);
            }
        }
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
        if job.done() {
            return false;
        }
        if first {
            self.shared().expecting += 1;
        }
        self.arm_driver(py, true);
        true
    }

    /// No task can run any more: everything that waits fails with `why`, an exception or a function that makes it.
    pub(crate) fn break_down(&self, py: Python<'_>, why: Py<PyAny>) {
        let (jobs, before) = {
            let mut shared = self.shared();
            let jobs: Vec<Arc<Job>> = shared.jobs.values().cloned().collect();
            (jobs, if shared.broken.is_none() { shared.broken.replace(why.clone_ref(py)) } else { None })
        };
        drop(before);
        if jobs.is_empty() {
            return;
        }
        let why = exception(py, why);
        for job in jobs {
            self.fail(py, &job, &why);
        }
    }

    /// Gives a job up: what runs is interrupted, and what has no outcome fails with `why`.
    pub(crate) fn call_off(&self, py: Python<'_>, job: &Arc<Job>, why: &Py<PyAny>) {
        self.shared().called_off.insert(job.id);
        self.fail(py, job, why);
        self.arm_driver(py, true);
        self.waiter.wake();
    }

    /// Nobody waits for a job any more: what has not started does not start.
    pub(crate) fn abandon(&self, job: &Arc<Job>) {
        let forgotten = {
            let mut shared = self.shared();
            shared.driver.scheduler.cancel(job.id);
            let forgotten = shared.jobs.remove(&job.id);
            if forgotten.is_some() {
                job.function.blocks().for_each(|block| shared.driver.release(block));
                shared.limits.remove(&job.id);
                shared.lazy.retain(|lazy| lazy.id != job.id);
                shared.expecting -= isize::from(job.state().callbacks.is_some());
            }
            forgotten
        };
        drop(forgotten);
        job.common.clear();
        self.release(job.repeats.clear());
    }

    /// All outcomes that a job has not got become `why`.
    pub(crate) fn fail(&self, py: Python<'_>, job: &Arc<Job>, why: &Py<PyAny>) {
        let source = job.state().source.take();
        let missing = job.missing();
        drop(source);
        let mut trash = Vec::new();
        let mut last = missing.is_empty();
        for item in missing {
            last |= job.store(py, item, Err(why.clone_ref(py)), &mut trash);
        }
        if last && !job.done() {
            self.finish(py, job);
        }
    }
}

/// The exception itself, or what its maker makes or raises: some load more than a whole pool.
pub(crate) fn exception(py: Python<'_>, why: Py<PyAny>) -> Py<PyAny> {
    if why.bind(py).is_instance_of::<PyBaseException>() {
        return why;
    }
    why.call0(py).unwrap_or_else(|error| error.value(py).clone().into_any().unbind())
}
