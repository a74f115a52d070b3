//! Pickles for other processes, in memory that is used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

use crate::error::traced;
use crate::objects::naming::Scope;
use crate::objects::pickler;

static WITH_PATH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Memory of pickles that were sent: how many, and how large.
const MOST_SPARE: usize = 2;
const SPARE_BYTES: usize = 2 << 20;
/// Locked only while attached to the interpreter, so that no fork of the program finds it locked.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A pickle, in memory that is used again.
#[derive(Default)]
pub(crate) struct Pickle(Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Pickle {
        Pickle(SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default())
    }
}

impl Drop for Pickle {
    fn drop(&mut self) {
        let mut memory = std::mem::take(&mut self.0);
        memory.clear();
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if (1..=SPARE_BYTES).contains(&memory.capacity()) && spare.len() < MOST_SPARE {
            spare.push(memory);
        }
    }
}

impl Deref for Pickle {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Pickle {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// An object of a module, which is imported once.
pub(super) fn imported<'py>(
    cell: &'static PyOnceLock<Py<PyAny>>,
    py: Python<'py>,
    module: &str,
    name: &str,
) -> PyResult<&'py Bound<'py, PyAny>> {
    Ok(cell.get_or_try_init(py, || Ok::<_, PyErr>(py.import(module)?.getattr(name)?.unbind()))?.bind(py))
}

/// The pickle of any object, for another process; by value where plain pickling fails.
pub(crate) fn pickled(value: &Bound<'_, PyAny>) -> PyResult<Pickle> {
    let mut pickle = Pickle::new();
    let answer = {
        let _scope = Scope::to_anybody();
        pickler::pickle(value, &mut pickle)
    };
    let Err(error) = answer else { return Ok(pickle) };
    let py = value.py();
    if !error.is_instance_of::<PyException>(py) {
        return Err(error);
    }
    let with_path = imported(&WITH_PATH, py, crate::package::CULPRIT, "with_path")?;
    Err(PyErr::from_value(with_path.call1((traced(py, &error), value))?))
}

/// The object behind a pickle.
pub(crate) fn unpickled<'py>(pickle: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    imported(&LOADS, pickle.py(), "pickle", "loads")?.call1((pickle,))
}

/// The pickle of an object, for another process.
#[pyfunction]
fn dumps<'py>(obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(obj.py(), &pickled(obj)?))
}

/// Adds the function.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(dumps, module)?)
}
