//! How every blocking call of the binding waits: detached, with a deadline, and seeing to signals.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// The deadline that a Python timeout means: none for `None` and infinity, now for what is negative.
pub(crate) fn deadline(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Instant>> {
    Ok(limit(timeout)?.and_then(after))
}

/// How long a Python timeout lets wait; none means for ever.
#[inline]
pub(crate) fn limit(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    timeout.map_or(Ok(None), |timeout| if timeout.is_none() { Ok(None) } else { length(timeout) })
}

fn length(timeout: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    let seconds: f64 = timeout.extract().map_err(|_| {
        PyTypeError::new_err(format!("a timeout is a number of seconds or None, not {}", kind_of(timeout)))
    })?;
    if seconds.is_nan() {
        return Err(PyValueError::new_err("a timeout is a number of seconds, not nan"));
    }
    // A moment beyond the clock's range never comes.
    Ok(Duration::try_from_secs_f64(seconds.max(0.0)).ok())
}

/// The moment when so much time will have passed; none if the clock does not reach that far.
pub(crate) fn after(limit: Duration) -> Option<Instant> {
    Instant::now().checked_add(limit)
}

fn kind_of(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "this".into(), |n| n.to_string())
}

/// Calls `step` detached from the interpreter until it answers something else than `Interrupted`; a signal handler that
/// raises ends the wait.
pub(crate) fn until_done<T: Send>(
    py: Python<'_>,
    step: impl Fn() -> procession::Result<T> + Sync,
) -> PyResult<procession::Result<T>> {
    loop {
        match py.detach(&step) {
            Err(e) if e.is_interrupted() => py.check_signals()?,
            answer => return Ok(answer),
        }
    }
}
