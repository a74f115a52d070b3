//! Waits of threads that do not drive: whoever does rings for them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use procession::platform::{Doorbell, Poller, SignalGuard};
use pyo3::prelude::*;

use super::{Inner, LOOK_AROUND, lock};
use crate::error::raised;

/// How long a caller pauses whom nobody can ring for, as no descriptor is left.
const UNCALLED: Duration = Duration::from_millis(1);

/// A thread that waits while another has the duty.
pub(super) struct Follower {
    pub bell: Doorbell,
    pub poller: Poller,
}

impl Follower {
    pub(super) fn new() -> procession::Result<Follower> {
        let (bell, poller) = (Doorbell::new()?, Poller::new()?);
        poller.add(&bell, 0)?;
        Ok(Follower { bell, poller })
    }
}

impl Inner {
    /// Waits for the thread that has the duty to ring, or to give the duty up.
    pub(super) fn follow(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<()> {
        let follower = match Follower::new() {
            Ok(follower) => Arc::new(follower),
            // Where no descriptor is left nobody can ring: look again in a moment.
            Err(_) => {
                let pause =
                    until.map_or(UNCALLED, |until| until.saturating_duration_since(Instant::now()).min(UNCALLED));
                py.detach(|| std::thread::sleep(pause));
                return py.check_signals();
            }
        };
        lock(&self.followers).push(follower.clone());
        self.wanted.fetch_add(1, Ordering::SeqCst);
        // The thread that drives for nobody gives way to a caller.
        self.waiter.wake();
        let guard = SignalGuard::block_all();
        let latest = Instant::now() + LOOK_AROUND / 4;
        let until = until.map_or(latest, |until| until.min(latest));
        let answer = match py.check_signals() {
            Ok(()) => py.detach(|| follower.poller.wait(Some(until), Some(&guard), &mut Vec::new())),
            Err(error) => {
                self.unfollow(&follower);
                return Err(error);
            }
        };
        drop(guard);
        self.unfollow(&follower);
        match answer {
            Err(error) if !error.is_interrupted() => Err(raised(error)),
            _ => py.check_signals(),
        }
    }

    fn unfollow(&self, follower: &Arc<Follower>) {
        self.wanted.fetch_sub(1, Ordering::SeqCst);
        lock(&self.followers).retain(|other| !Arc::ptr_eq(other, follower));
    }

    /// Wakes everybody who waits for a job.
    pub(crate) fn wake_followers(&self) {
        for follower in lock(&self.followers).iter() {
            follower.bell.ring();
        }
    }
}
