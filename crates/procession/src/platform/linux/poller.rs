//! One wait for many descriptors, which no signal can slip past.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

use rustix::event::epoll;

use super::process::above_streams;
use crate::error::{During, Error, Result};

/// Blocks every signal of the calling thread until dropped.
///
/// A caller that wants to hear of signals takes a guard, looks for signals that came before, and waits with
/// [`Poller::wait`], which lets signals through only while it sleeps.
#[derive(Debug)]
pub struct SignalGuard {
    before: libc::sigset_t,
}

impl SignalGuard {
    /// Blocks all signals.
    pub fn block_all() -> SignalGuard {
        // SAFETY: both sets are plain memory that the calls fill; the mask is that of this thread alone.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            SignalGuard { before }
        }
    }

    /// The mask that the thread had, for the calls that sleep with it.
    pub(super) fn mask_before(&self) -> *const libc::sigset_t {
        std::ptr::from_ref(&self.before)
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        // SAFETY: restores the mask that `block_all` stored.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

/// What a [`Poller`] watches: a token its owner chose.
pub type Ready = u64;

/// An epoll set.
#[derive(Debug)]
pub struct Poller {
    set: OwnedFd,
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl AsRawFd for Poller {
    fn as_raw_fd(&self) -> RawFd {
        self.set.as_raw_fd()
    }
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Poller> {
        Ok(Poller { set: above_streams(epoll::create(epoll::CreateFlags::CLOEXEC).during("epoll_create")?)? })
    }

    /// Watches `file` for being readable; `token` names it in the answer of [`Poller::wait`].
    ///
    /// # Errors
    /// The system's.
    pub fn add(&self, file: impl AsFd, token: Ready) -> Result<()> {
        let data = epoll::EventData::new_u64(token);
        epoll::add(&self.set, file, data, epoll::EventFlags::IN).during("epoll_ctl")
    }

    /// Stops watching `file`. Closing it is not enough: a forked process may keep it open.
    pub fn remove(&self, file: impl AsFd) {
        let _ = epoll::delete(&self.set, file);
    }

    /// Waits until a watched descriptor is ready or `until` comes; adds the tokens of those ready to `ready`.
    ///
    /// Signals are let through, as the mask before `guard` says, while the wait sleeps.
    ///
    /// # Errors
    /// `Interrupted` when a signal handler ran. The deadline is no error: `ready` stays empty.
    pub fn wait(&self, until: Option<Instant>, guard: Option<&SignalGuard>, ready: &mut Vec<Ready>) -> Result<()> {
        let left = match until {
            None => -1,
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                // Rounded up: a wait never ends before its deadline.
                i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
            }
        };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let mask = guard.map_or(std::ptr::null(), |g| std::ptr::from_ref(&g.before));
        // SAFETY: `events` has room for the 64 that are asked for; `mask` is null or points to a set that outlives the call.
        let count = unsafe { libc::epoll_pwait(self.set.as_raw_fd(), events.as_mut_ptr(), 64, left, mask) };
        if count < 0 {
            return Err(Error::last_os("epoll_pwait"));
        }
        ready.extend(events[..count as usize].iter().map(|e| e.u64));
        Ok(())
    }
}
