//! How every blocking call of the binding waits: detached, with a deadline, and seeing to signals.

use std::time::{Duration, Instant};

use procession::platform::Readiness;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyModule};

use crate::package::GREEN;

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

/// Whether the threads of this program are green, so that a wait that blocks stops all of them: a library has replaced what
/// tells threads apart, as gevent and eventlet do.
pub(crate) fn is_green(py: Python<'_>) -> bool {
    static THREAD: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let Ok(module) = THREAD.get_or_try_init(py, || py.import("_thread").map(Bound::unbind)) else { return false };
    let ident = module.bind(py).getattr(pyo3::intern!(py, "get_ident"));
    ident.is_ok_and(|ident| !ident.is_exact_instance_of::<PyCFunction>())
}

/// Waits until `files` are ready or `until` while other green threads run; returns the places of those that are.
pub(crate) fn wait_green(py: Python<'_>, files: &[(i32, Readiness)], until: Option<Instant>) -> PyResult<Vec<usize>> {
    let files: Vec<(i32, bool)> = files.iter().map(|&(file, what)| (file, what == Readiness::Write)).collect();
    let seconds = until.map(|until| until.saturating_duration_since(Instant::now()).as_secs_f64());
    py.import(GREEN)?.call_method1("wait", (files, seconds))?.extract()
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
