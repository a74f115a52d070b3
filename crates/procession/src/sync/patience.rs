//! How long a waiter sleeps before it looks around.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

/// The longest sleep. After it a waiter looks whether the owner died and whether a signal came just before the sleep
/// began, which the kernel does not tell.
const LOOK_AROUND_MS: u64 = 50;

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
