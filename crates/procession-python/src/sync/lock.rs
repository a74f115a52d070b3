//! `Lock` and `RLock`.

use procession::sync;
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;

use super::{Cell, Shared, Truth, take, taken};
use crate::wait::raised;

/// A lock between processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Lock {
    pub(crate) lock: sync::Lock,
    pub(super) robust: bool,
}

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (cell, robust=false))]
    fn new(cell: &Bound<'_, Cell>, robust: bool) -> PyResult<Lock> {
        Ok(Lock { lock: sync::Lock::new(taken(cell)?), robust })
    }

    #[classattr]
    const BYTES: usize = sync::Lock::BYTES;

    /// Take the lock; False when the time runs out.
    #[pyo3(signature = (block=Truth(true), timeout=None), text_signature = "($self, block=True, timeout=None)")]
    fn acquire(&self, py: Python<'_>, block: Truth, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        take(py, &self.lock, self.robust, block, timeout)
    }

    /// Give the lock back.
    pub(crate) fn release(&self) -> PyResult<()> {
        self.lock.release().map_err(raised)
    }

    pub(crate) fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        take(py, &self.lock, self.robust, Truth(true), None)
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) -> PyResult<()> {
        self.release()
    }

    /// Whether anybody holds the lock.
    fn locked(&self) -> bool {
        self.lock.is_locked()
    }

    fn _is_mine(&self) -> bool {
        self.lock.is_mine()
    }

    fn _count(&self) -> u32 {
        self.lock.is_ours().into()
    }

    fn _get_value(&self) -> u32 {
        (!self.lock.is_locked()).into()
    }

    fn _is_zero(&self) -> bool {
        self.lock.is_locked()
    }

    #[getter]
    fn _robust(&self) -> bool {
        self.robust
    }

    fn _share(&self) -> PyResult<Shared> {
        self.lock.cell().share().map_err(raised)
    }
}

/// A lock between processes that its owner may take again.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct RLock {
    pub(crate) lock: sync::RLock,
    pub(super) robust: bool,
}

#[pymethods]
impl RLock {
    #[new]
    #[pyo3(signature = (cell, robust=false))]
    fn new(cell: &Bound<'_, Cell>, robust: bool) -> PyResult<RLock> {
        Ok(RLock { lock: sync::RLock::new(taken(cell)?), robust })
    }

    #[classattr]
    const BYTES: usize = sync::RLock::BYTES;

    /// Take the lock, once more if it is this thread's; False when the time runs out.
    #[pyo3(signature = (block=Truth(true), timeout=None), text_signature = "($self, block=True, timeout=None)")]
    fn acquire(&self, py: Python<'_>, block: Truth, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        take(py, &self.lock, self.robust, block, timeout)
    }

    /// Give the lock back once.
    pub(crate) fn release(&self) -> PyResult<()> {
        self.lock.release().map_err(|e| PyAssertionError::new_err(e.to_string()))
    }

    pub(crate) fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        take(py, &self.lock, self.robust, Truth(true), None)
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) -> PyResult<()> {
        self.release()
    }

    /// Whether anybody holds the lock.
    fn locked(&self) -> bool {
        self.lock.is_locked()
    }

    fn _is_mine(&self) -> bool {
        self.lock.is_mine()
    }

    fn _count(&self) -> u32 {
        if self.lock.is_ours() { self.lock.depth() } else { 0 }
    }

    fn _get_value(&self) -> u32 {
        (!self.lock.is_locked()).into()
    }

    fn _is_zero(&self) -> bool {
        self.lock.is_locked()
    }

    #[getter]
    fn _robust(&self) -> bool {
        self.robust
    }

    fn _share(&self) -> PyResult<Shared> {
        self.lock.cell().share().map_err(raised)
    }
}
