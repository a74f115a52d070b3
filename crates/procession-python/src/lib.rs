//! The Python binding: one file a room of the engine, nothing decided here.

mod connection;
mod process;
mod queue;
mod sync;
mod wait;

use pyo3::prelude::*;

/// The compiled half of procession.
#[pymodule]
fn _procession(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    process::register(module)?;
    connection::register(module)?;
    queue::register(module)?;
    sync::register(module)
}
