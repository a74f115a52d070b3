//! The modules of the package that the binding asks for something, all of them: `tests/test_layers.py` looks that each
//! exists.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule, PyString};

/// The envelope of what lies in shared memory.
pub(crate) const BUFFERS: &str = "procession._objects.buffers";
/// Says where in a large object the thing is that cannot be pickled.
pub(crate) const CULPRIT: &str = "procession._objects.culprit";
/// The exceptions of pools.
pub(crate) const EXCEPTIONS: &str = "procession._exceptions";
/// Waits beside which green threads run.
pub(crate) const GREEN: &str = "procession._green";
/// The functions that bring along what their tasks are to know.
pub(crate) const INFORMED: &str = "procession._pool.informed";
/// Which functions and classes of `__main__` others have.
pub(crate) const MAIN_MODULE: &str = "procession._objects.main_module";
/// What programs of other languages share.
pub(crate) const NEUTRAL: &str = "procession.neutral";
/// Makes the pickler, and knows the reducers that were registered.
pub(crate) const REDUCERS: &str = "procession._objects.reducers";
/// Has the modules of the standard library that ours stand in for.
pub(crate) const STANDARD: &str = "procession._standard";
/// The warning that the owner of a lock has died.
pub(crate) const SYNCHRONIZE: &str = "procession.synchronize";

static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// A module, if this process has loaded it; nothing is loaded, nor does code of the module run.
pub(crate) fn loaded_module<'py>(py: Python<'py>, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyModule>> {
    let modules = MODULES.get_or_try_init(py, || -> PyResult<Py<PyDict>> {
        Ok(py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind())
    });
    // What stands there for a module that is loaded when it is used first is of another class.
    modules.ok()?.bind(py).get_item(name).ok()??.cast_into_exact::<PyModule>().ok()
}
