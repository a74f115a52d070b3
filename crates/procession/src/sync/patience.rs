//! How often a waiter looks before it sleeps, and how long it sleeps before it looks around.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

/// The longest sleep. After it a waiter looks whether the owner died and whether a signal came just before the sleep
/// began, which the kernel does not tell.
const LOOK_AROUND_MS: u64 = 50;

/// How often a waiter looks at the word before it sleeps: about as long as a short critical section of Python takes.
#[cfg(not(loom))]
const LOOKS: u32 = 60;
#[cfg(loom)]
const LOOKS: u32 = 1;

/// The looks that a waiter has left.
pub(crate) struct Looks(u32);

impl Looks {
    /// None when the deadline has passed: that is for callers that do not wait.
    pub(crate) fn before(until: Option<Instant>) -> Looks {
        Looks(if until.is_some_and(|until| until <= Instant::now()) { 0 } else { LOOKS })
    }

    /// Whether to look once more, after a moment.
    pub(crate) fn again(&mut self) -> bool {
        if self.0 == 0 {
            return false;
        }
        self.0 -= 1;
        #[cfg(not(loom))]
        std::hint::spin_loop();
        #[cfg(loom)]
        loom::thread::yield_now();
        true
    }
}

/// Sleeps once by `sleep`, no longer than [`LOOK_AROUND_MS`] and not beyond `until`.
///
/// `Ok(true)`: woken, or the word changed. `Ok(false)`: time to look around.
///
/// # Errors
/// `TimedOut` at `until`; `Interrupted` when a signal handler ran.
pub(crate) fn nap(until: Option<Instant>, sleep: impl FnOnce(Option<Instant>) -> Result<()>) -> Result<bool> {
    let now = Instant::now();
    if until.is_some_and(|until| until <= now) {
        return Err(Error::new(ErrorKind::TimedOut, "the wait reached its deadline"));
    }
    let slice = now + Duration::from_millis(LOOK_AROUND_MS);
    let end = until.map_or(slice, |until| until.min(slice));
    match sleep(Some(end)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::TimedOut && until != Some(end) => Ok(false),
        Err(e) => Err(e),
    }
}

/// What a wait answers after looking around without success, so that its caller sees to signals and calls again.
#[cold]
pub(crate) fn look_for_signals<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Interrupted, "the wait stopped to look for signals"))
}
