//! The thread that drives when no caller waits: for callbacks, and for jobs that nobody waits for.

use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use procession::platform::{Readiness, SignalGuard, wait_descriptors};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use super::Inner;
use crate::wait::is_green;

/// A pool that has had nothing to do for so long gives the memory of free blocks back.
const TRIM_AFTER: Duration = Duration::from_secs(1);
/// How long the thread leaves the duty to a caller that may come.
const GRACE: Duration = Duration::from_millis(1);

/// Tells of an error that nobody can get, raised by `call`. Ctrl-C is raised again, where the program can catch it.
pub(super) fn set_aside(py: Python<'_>, error: PyErr, call: Option<&Bound<'_, PyAny>>) {
    let again = || py.import("_thread")?.call_method0("interrupt_main");
    if !error.is_instance_of::<PyKeyboardInterrupt>(py) || again().is_err() {
        error.write_unraisable(py, call);
    }
}

impl Inner {
    /// Sees to it that a thread drives the pool when no caller does; `now`: it has something to do at once.
    pub(crate) fn arm_driver(&self, py: Python<'_>, now: bool) {
        if !self.driver_armed.swap(true, Ordering::SeqCst) {
            if let Err(error) = self.support.bind(py).call_method0("start_driver") {
                self.driver_armed.store(false, Ordering::SeqCst);
                set_aside(py, error, None);
            }
            self.driver_bell.ring();
        } else if now {
            self.driver_bell.ring();
        }
    }

    /// The thread that drives when no caller does: runs callbacks, and has the duty while jobs are unfinished.
    pub(crate) fn drive(&self, py: Python<'_>) -> PyResult<()> {
        let is_green = is_green(py);
        // A green thread has no signals of its own.
        let guard = (!is_green).then(SignalGuard::block_all);
        // Without a descriptor of its own: it is started when there may be none left.
        let bell = [(self.driver_bell.as_raw_fd(), Readiness::Read)];
        let rings = |until| {
            if is_green {
                return self.await_bell_green(py, until);
            }
            Ok(py.detach(|| wait_descriptors(&bell, until, None).is_ok_and(|ready| !ready.is_empty())))
        };
        while !self.quit.load(Ordering::SeqCst) {
            self.run_callbacks(py);
            let (busy, expecting, warm, tended) = {
                let shared = self.shared();
                let busy = !shared.jobs.is_empty() || !shared.callbacks.is_empty() || !shared.called_off.is_empty();
                let tended = shared.tending.filter(|tending| tending.also_idle).map(|tending| tending.every);
                (busy, shared.expecting > 0, shared.driver.warm_bytes() > 0, tended)
            };
            self.driver_armed.store(busy, Ordering::SeqCst);
            // A caller that gave a callback is not going to wait: the duty need not be left for one.
            if expecting
                && self.wanted.load(Ordering::SeqCst) == 0
                && let Some(_duty) = self.take_duty()
            {
                self.drive_for_nobody(py)?;
                continue;
            }
            let pause = if busy { Some(GRACE) } else { tended.or(warm.then_some(TRIM_AFTER)) };
            let until = pause.map(|pause| Instant::now() + pause);
            let rang = rings(until)?;
            self.driver_bell.hush();
            if rang {
                continue;
            }
            if busy && let Some(_duty) = self.take_duty() {
                self.drive_for_nobody(py)?;
            } else if busy {
                // A caller drives: look again in a while.
                rings(Some(Instant::now() + 20 * GRACE))?;
                self.driver_bell.hush();
            } else if tended.is_some() {
                self.look(py)?;
                self.tend(py)?;
            } else if warm {
                // The ends of the last records may be unread.
                self.look(py)?;
                let mut shared = self.shared();
                if shared.jobs.is_empty() {
                    shared.driver.trim();
                }
            }
        }
        // Jobs that came to their end meanwhile are not done before this.
        self.run_callbacks(py);
        drop(guard);
        Ok(())
    }

    pub(super) fn drive_for_nobody(&self, py: Python<'_>) -> PyResult<()> {
        while !self.quit.load(Ordering::SeqCst) && self.wanted.load(Ordering::SeqCst) == 0 {
            let progress = self.pump(py)?;
            let shared = self.shared();
            if !shared.callbacks.is_empty() || (shared.jobs.is_empty() && shared.called_off.is_empty()) {
                return Ok(());
            }
            drop(shared);
            if !progress {
                self.sleep(py, None)?;
            }
        }
        Ok(())
    }

    pub(crate) fn run_callbacks(&self, py: Python<'_>) {
        loop {
            let job = {
                let mut shared = self.shared();
                if shared.callbacks.is_empty() { None } else { Some(shared.callbacks.remove(0)) }
            };
            let Some(job) = job else { return };
            let callbacks = job.state().callbacks.take();
            let answer = job.value(py);
            if let Some((callback, error_callback)) = callbacks {
                let (call, value) = match answer {
                    Ok(value) => (callback, value),
                    Err(failure) => (error_callback, failure),
                };
                if !call.is_none(py)
                    && let Err(error) = call.call1(py, (value,))
                {
                    set_aside(py, error, Some(call.bind(py)));
                }
            }
            job.is_done.store(true, Ordering::Release);
            self.tell_watchers(py, &job);
            self.waiter.wake();
            self.wake_followers();
        }
    }

    /// Ends the thread that drives.
    pub(crate) fn quit_driver(&self) {
        self.quit.store(true, Ordering::SeqCst);
        self.driver_bell.ring();
        self.waiter.wake();
    }
}
