//! The decoders of tasks and results under bytes of any kind, for the tests.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::codec::{self, Preamble};
use crate::place::Bare;

/// Adds the function to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_simple, module)?)?;
    module.add_function(wrap_pyfunction!(try_decoders, module)?)
}

/// The short code of a value, or None if it is not simple.
#[pyfunction]
fn encode_simple<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    codec::encode_simple(value, &mut out).then(|| PyBytes::new(value.py(), &out))
}

/// Gives `bytes` to each decoder; returns the value that they begin with, and how many are its own.
#[pyfunction]
fn try_decoders<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<(Bound<'py, PyAny>, usize)> {
    let _ = (codec::spots_of(bytes), codec::is_simple_run(bytes), codec::take_framed(py, &mut &*bytes));
    let _ = (codec::decode_range(&mut &*bytes), Preamble::decode(&mut &*bytes));
    let _ = codec::decode_group(py, &mut &*bytes, 3, &Bare);
    let size = codec::skip(&mut &*bytes).map(<[u8]>::len);
    let mut rest = bytes;
    let value = codec::decode(py, &mut rest, &Bare)?;
    let taken = bytes.len() - rest.len();
    assert_eq!(size?, taken, "what is skipped and what is decoded differ");
    Ok((value, taken))
}
