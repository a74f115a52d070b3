//! `Lock` and `RLock`.

use procession::sync;
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;

use super::{Cell, Holdable, Shared, take, taken};
use crate::error::raised;

/// A lock between processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Lock {
    pub(crate) lock: sync::Lock,
    pub(super) robust: bool,
}

impl Holdable for Lock {
    #[inline]
    fn take(&self, py: Python<'_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        take(py, &self.lock, self.robust, block, timeout)
    }

    #[inline]
    fn give(&self) -> PyResult<()> {
        self.lock.release().map_err(raised)
    }
}

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (cell, robust=false))]
    fn new(cell: &Bound<'_, Cell>, robust: bool) -> PyResult<Lock> {
        Ok(Lock { lock: sync::Lock::new(taken(cell)?), robust })
    }

    #[classattr]
    pub(crate) const BYTES: usize = sync::Lock::BYTES;

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

impl Holdable for RLock {
    #[inline]
    fn take(&self, py: Python<'_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        take(py, &self.lock, self.robust, block, timeout)
    }

    #[inline]
    fn give(&self) -> PyResult<()> {
        self.lock.release().map_err(|e| PyAssertionError::new_err(e.to_string()))
    }
}

#[pymethods]
impl RLock {
    #[new]
    #[pyo3(signature = (cell, robust=false))]
    fn new(cell: &Bound<'_, Cell>, robust: bool) -> PyResult<RLock> {
        Ok(RLock { lock: sync::RLock::new(taken(cell)?), robust })
    }

    #[classattr]
    pub(crate) const BYTES: usize = sync::RLock::BYTES;

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
