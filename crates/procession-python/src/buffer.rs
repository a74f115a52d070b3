//! Bytes in shared memory as a Python buffer: arrays are built on it without a copy.
//!
//! The one file of the binding with unsafe code. `mmap.mmap` would do without, at the price of a descriptor, two system
//! calls and fresh page tables for each block: a program that holds a thousand results would run out of descriptors.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::Arc;

use procession::shared_memory::{View, detach_all};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use crate::error::Raised;

/// A part of a view; it lives as long as somebody looks at it.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Buffer {
    view: Arc<View>,
    start: usize,
    size: usize,
}

impl Buffer {
    /// A memoryview of `size` bytes of `view` from `start`, which lie in it.
    pub(crate) fn memory<'py>(
        py: Python<'py>,
        view: Arc<View>,
        start: usize,
        size: usize,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let fits = start.checked_add(size).is_some_and(|end| end <= view.size());
        if !fits || isize::try_from(size).is_err() {
            return Err(PyBufferError::new_err("bytes outside of their shared memory"));
        }
        PyMemoryView::from(Bound::new(py, Buffer { view, start, size })?.as_any())
    }
}

#[pymethods]
impl Buffer {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        let place = (this.view.address() + this.start) as *mut std::ffi::c_void;
        // SAFETY:
        //   * the interpreter passes a Py_buffer to be filled, and the exporter is this object, which gets one reference
        //     more and so keeps the view, and with it the mapping, alive until the buffer is released;
        //   * the bytes lie in the view: checked in `memory`, which alone makes these objects; the mapping is readable
        //     and writable as long as the view lives, also while a fork detaches it;
        //   * any bytes are values of what is exported, unsigned bytes. Another process may write at the same time only
        //     where the program shares memory on purpose; that is as with `multiprocessing.shared_memory`.
        let answer =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), place, this.size as ffi::Py_ssize_t, 0, flags) };
        if answer == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// Whether nothing else refers to an object.
pub(crate) fn is_only_reference(_py: Python<'_>, object: &Py<PyAny>) -> bool {
    // SAFETY: the object is alive, as `object` refers to it, and this thread is attached to the interpreter.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

/// Have all that this process sees in place of others' blocks be its own, and its children's, from now on.
#[pyfunction]
fn before_fork() -> PyResult<()> {
    Ok(detach_all().map_err(Raised::from)?)
}

/// Adds the class, and what is called before each fork.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Buffer>()?;
    module.add_function(wrap_pyfunction!(before_fork, module)?)?;
    let options = pyo3::types::PyDict::new(module.py());
    options.set_item("before", module.getattr("before_fork")?)?;
    module.py().import("os")?.call_method("register_at_fork", (), Some(&options))?;
    Ok(())
}
