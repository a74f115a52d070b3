//! The decoders of tasks and results under bytes of any kind, for the tests.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::memory::place::NoShelf;
use crate::values::{self, Preamble};

/// Adds the function to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_simple, module)?)?;
    module.add_function(wrap_pyfunction!(try_decoders, module)?)
}

/// The short code of a value, or None if it is not simple.
#[pyfunction]
fn encode_simple<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    values::encode_simple(value, &mut out).then(|| PyBytes::new(value.py(), &out))
}

/// Gives `bytes` to each decoder; returns the value that they begin with, and how many are its own.
#[pyfunction]
fn try_decoders<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<(Bound<'py, PyAny>, usize)> {
    let _ = (values::spots_of(bytes), values::is_simple_run(bytes), values::take_framed(py, &mut &*bytes));
    let _ = (values::decode_range(&mut &*bytes), Preamble::decode(&mut &*bytes));
    let _ = values::decode_group(py, &mut &*bytes, 3, &NoShelf);
    let size = values::skip(&mut &*bytes).map(<[u8]>::len);
    let mut rest = bytes;
    let value = values::decode(py, &mut rest, &NoShelf)?;
    let taken = bytes.len() - rest.len();
    assert_eq!(size?, taken, "what is skipped and what is decoded differ");
    Ok((value, taken))
}
