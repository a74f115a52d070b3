//! Sleeps of green threads: others of the same thread run meanwhile, and use the same pool.
//!
//! They come back to the duty of the thread that they share, each reads what came in, and each says anew that it sleeps: so
//! whoever leaves wakes the others.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use procession::platform::{Readiness, identity};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::follow::Follower;
use super::{Inner, lock};
use crate::error::raised;
use crate::wait::wait_green;

impl Inner {
    /// Sleeps as `sleep` does, while other green threads run.
    pub(super) fn sleep_green(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<()> {
        let follower = Arc::new(Follower::new().map_err(raised)?);
        follower.poller.add(self.waiter.poller(), 1).map_err(raised)?;
        let Some(nap) = self.lie_down() else { return Ok(()) };
        let owner = identity();
        lock(&self.followers).push(follower.clone());
        self.asleep.fetch_add(1, Ordering::Relaxed);
        let answer = wait_green(py, &[(follower.poller.as_raw_fd(), Readiness::Read)], Some(nap.end(until)));
        if identity() != owner {
            std::mem::forget(follower); // of the parent, as all that it is in
            return Err(PyRuntimeError::new_err("this pool belongs to the parent of this process, which is a fork"));
        }
        self.asleep.fetch_sub(1, Ordering::Relaxed);
        lock(&self.followers).retain(|other| !Arc::ptr_eq(other, &follower));
        self.waiter
            .sleep(Some(Instant::now()), None)
            .or_else(|error| if error.is_interrupted() { Ok(()) } else { Err(raised(error)) })?;
        let seen = self.rise(py, &nap);
        answer?;
        seen
    }

    /// Wakes the green threads that sleep, as the one that calls leaves: it may have taken what would have woken them.
    pub(super) fn wake_green(&self) {
        if self.asleep.load(Ordering::Relaxed) > 0 {
            self.wake_followers();
        }
    }

    /// Waits as the thread that drives does for its bell, while other green threads run; says whether it rang.
    pub(super) fn await_bell_green(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<bool> {
        let owner = identity();
        let rang = wait_green(py, &[(self.driver_bell.as_raw_fd(), Readiness::Read)], until)?;
        if identity() != owner {
            return Err(PyRuntimeError::new_err("this pool belongs to the parent of this process, which is a fork"));
        }
        Ok(!rang.is_empty())
    }
}
