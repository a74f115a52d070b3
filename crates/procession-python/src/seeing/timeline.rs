//! Recording what the pools of this process do, for `procession report`.

use std::path::PathBuf;
use std::time::Duration;

use procession::pool::timeline;
use pyo3::prelude::*;

use crate::error::raised;

/// Has all pools of this process write down what they do when, to the file of that name: a new one that begins with `head`, or
/// one that is there. What takes less than `resolution` seconds is not told apart.
#[pyfunction]
#[pyo3(signature = (path, head, resolution))]
fn start_recording(path: PathBuf, head: Option<&[u8]>, resolution: f64) -> PyResult<()> {
    timeline::start(&path, head, Duration::from_secs_f64(resolution)).map_err(raised)
}

/// Ends that; False where nothing is recorded.
#[pyfunction]
fn stop_recording() -> PyResult<bool> {
    timeline::stop().map_err(raised)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(start_recording, module)?)?;
    module.add_function(wrap_pyfunction!(stop_recording, module)?)
}
