//! What a worker writes about itself, as its parent reads it.

use procession::channel;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raised;

/// The stacks that a worker's signal handlers write; they are there for as long as this object.
#[pyclass(frozen, module = "procession._procession")]
pub struct Report(pub channel::Report);

#[pymethods]
impl Report {
    /// Has the next stacks begin at the beginning again.
    fn rewind(&self) -> PyResult<()> {
        self.0.rewind().map_err(raised)
    }

    /// How many bytes were written since.
    fn size(&self) -> usize {
        self.0.size()
    }

    /// These bytes.
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.bytes().map_err(raised)?))
    }
}
