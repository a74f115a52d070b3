//! Starting programs, and the lifeline.

use std::ffi::CString;
use std::time::Duration;

use procession::process;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

fn raised(error: procession::Error) -> PyErr {
    match error.errno() {
        // Two arguments make Python choose the subclass, such as FileNotFoundError.
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}

fn c_strings(strings: Vec<Vec<u8>>) -> PyResult<Vec<CString>> {
    let converted = strings.into_iter().map(CString::new).collect::<Result<_, _>>();
    converted.map_err(|_| PyValueError::new_err("embedded null byte"))
}

/// Runs `program` with `arguments`, `environment` (b"NAME=value" each) and copies of `descriptors` as 3, 4, 5 ...;
/// the signals `blocked` are blocked in it. Returns the process's id; raises OSError when the program cannot be run.
#[pyfunction]
fn spawn_process(
    py: Python<'_>,
    program: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    descriptors: Vec<i32>,
    blocked: Vec<i32>,
) -> PyResult<i32> {
    let program = CString::new(program).map_err(|_| PyValueError::new_err("embedded null byte"))?;
    let arguments = c_strings(arguments)?;
    let environment = c_strings(environment)?;
    py.detach(|| process::spawn(&program, &arguments, &environment, &descriptors, &blocked)).map_err(raised)
}

/// Ends this process `grace_ms` after `parent`, a pidfd of its parent, becomes readable.
#[pyfunction]
fn hold_lifeline(parent: i32, grace_ms: u64) -> PyResult<()> {
    process::hold(parent, Duration::from_millis(grace_ms)).map_err(raised)
}

/// Adds this room's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(spawn_process, module)?)?;
    module.add_function(wrap_pyfunction!(hold_lifeline, module)?)
}
