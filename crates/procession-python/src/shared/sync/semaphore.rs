//! `Semaphore`.

use procession::sync;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{Cell, Holdable, Shared, take, taken};
use crate::error::raised;

/// A counter of permits between processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Semaphore {
    semaphore: sync::Semaphore,
}

impl Holdable for Semaphore {
    #[inline]
    fn take(&self, py: Python<'_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        take(py, &self.semaphore, false, block, timeout)
    }

    #[inline]
    fn give(&self) -> PyResult<()> {
        self.semaphore.release().map_err(raised)
    }
}

#[pymethods]
impl Semaphore {
    /// A new semaphore with `permits`, or without them the one that another process made in the cell.
    #[new]
    #[pyo3(signature = (cell, permits=None, most=None))]
    fn new(cell: &Bound<'_, Cell>, permits: Option<i64>, most: Option<i64>) -> PyResult<Semaphore> {
        let cell = taken(cell)?;
        let Some(permits) = permits else { return Ok(Semaphore { semaphore: sync::Semaphore::open(cell) }) };
        let out_of_range = |_| PyValueError::new_err("a semaphore's value lies between 0 and SEM_VALUE_MAX");
        let permits = u32::try_from(permits).map_err(out_of_range)?;
        let most = u32::try_from(most.unwrap_or(sync::Semaphore::MOST.into())).map_err(out_of_range)?;
        Ok(Semaphore { semaphore: sync::Semaphore::create(cell, permits, most).map_err(raised)? })
    }

    #[classattr]
    pub(crate) const BYTES: usize = sync::Semaphore::BYTES;

    #[classattr]
    const MOST: u32 = sync::Semaphore::MOST;

    /// Whether no permit is left.
    fn locked(&self) -> bool {
        self.semaphore.permits() == 0
    }

    fn _get_value(&self) -> u32 {
        self.semaphore.permits()
    }

    fn _is_zero(&self) -> bool {
        self.semaphore.permits() == 0
    }

    fn _is_mine(&self) -> bool {
        false
    }

    fn _count(&self) -> u32 {
        0
    }

    #[getter]
    fn _most(&self) -> u32 {
        self.semaphore.most()
    }

    fn _share(&self) -> PyResult<Shared> {
        self.semaphore.cell().share().map_err(raised)
    }
}
