//! The one place where errors of the engine become exceptions.

use procession::{Error, ErrorKind};
use pyo3::exceptions::{PyEOFError, PyInterruptedError, PyOSError, PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

/// An error of the engine on its way to Python: `?` makes it, PyO3 raises it.
pub(crate) struct Raised(Error);

impl From<Error> for Raised {
    fn from(error: Error) -> Raised {
        Raised(error)
    }
}

impl From<Raised> for PyErr {
    fn from(Raised(error): Raised) -> PyErr {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::TimedOut => PyTimeoutError::new_err(text),
            ErrorKind::Interrupted => PyInterruptedError::new_err(text),
            ErrorKind::Closed => PyEOFError::new_err(text),
            ErrorKind::InvalidInput => PyValueError::new_err(text),
            ErrorKind::Os => match error.errno() {
                Some(errno) => PyOSError::new_err((errno, text)),
                None => PyOSError::new_err(text),
            },
            ErrorKind::WorkerDied | ErrorKind::Protocol => PyRuntimeError::new_err(text),
            other => PyRuntimeError::new_err(format!("{text} ({other:?})")),
        }
    }
}

/// An exception with its traceback, for Python to look at both.
pub(crate) fn traced<'py>(py: Python<'py>, error: &PyErr) -> Bound<'py, PyAny> {
    let value = error.value(py).clone().into_any();
    if let Some(traceback) = error.traceback(py) {
        let _ = value.setattr("__traceback__", traceback);
    }
    value
}
