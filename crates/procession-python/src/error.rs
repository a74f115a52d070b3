//! The one place where errors of the engine become exceptions, and what is asked of those of Python.

use procession::{Error, ErrorKind};
use pyo3::exceptions::{
    PyEOFError, PyInterruptedError, PyKeyboardInterrupt, PyOSError, PyRuntimeError, PyTimeoutError, PyValueError,
};
use pyo3::prelude::*;

/// The exception for an error of the engine.
pub(crate) fn raised(error: Error) -> PyErr {
    let text = error.to_string();
    if let Some(number) = error.errno() {
        // Two arguments make Python choose the subclass, such as FileNotFoundError.
        return PyOSError::new_err((number, text));
    }
    match error.kind() {
        ErrorKind::TimedOut => PyTimeoutError::new_err(text),
        ErrorKind::Interrupted => PyInterruptedError::new_err(text),
        ErrorKind::Closed => PyEOFError::new_err(text),
        ErrorKind::InvalidInput => PyValueError::new_err(text),
        // What is wrong with a stream is an OSError, as in the standard library.
        ErrorKind::Protocol | ErrorKind::Os => PyOSError::new_err(text),
        ErrorKind::WorkerDied | ErrorKind::TaskFailed => PyRuntimeError::new_err(text),
        other => PyRuntimeError::new_err(format!("{text} ({other:?})")),
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

/// Whether a signal handler has raised an error, Ctrl-C or whatever it raises, in the midst of what was done: it is not
/// about that, and belongs to whoever waits.
pub(crate) fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    let is_main = || -> PyResult<bool> {
        let threading = py.import("threading")?;
        let (current, main) = (threading.call_method0("current_thread")?, threading.call_method0("main_thread")?);
        Ok(current.is(&main))
    };
    let is_of_signal = error.is_instance_of::<PyKeyboardInterrupt>(py) || is_of_handler(py, error).unwrap_or(false);
    is_of_signal && is_main().unwrap_or(false)
}

/// Whether a signal handler is among the functions that an error has come through.
fn is_of_handler(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    let Some(first) = error.traceback(py) else { return Ok(false) };
    let signal = py.import("_signal")?;
    let code_of = |number: i32| -> PyResult<Py<PyAny>> {
        let handler = signal.call_method1("getsignal", (number,))?;
        let function = match handler.getattr("__code__") {
            Ok(code) => return Ok(code.unbind()),
            Err(_) => handler.getattr("func").or_else(|_| handler.get_type().getattr("__call__"))?,
        };
        Ok(function.getattr("__code__")?.unbind())
    };
    let codes: Vec<_> = (1..signal.getattr("NSIG")?.extract()?).filter_map(|number| code_of(number).ok()).collect();
    let mut next = first.into_any();
    while !next.is_none() {
        let code = next.getattr("tb_frame")?.getattr("f_code")?;
        if codes.iter().any(|other| other.is(&code)) {
            return Ok(true);
        }
        next = next.getattr("tb_next")?;
    }
    Ok(false)
}
