//! `Event`.

use procession::sync;
use pyo3::prelude::*;

use super::{Cell, Shared, taken, won};
use crate::error::raised;
use crate::wait::{deadline, until_done};

/// A flag between processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Event(sync::Event);

#[pymethods]
impl Event {
    #[new]
    fn new(cell: &Bound<'_, Cell>) -> PyResult<Event> {
        Ok(Event(sync::Event::new(taken(cell)?)))
    }

    #[classattr]
    pub(crate) const BYTES: usize = sync::Event::BYTES;

    /// Whether the event is set.
    fn is_set(&self) -> bool {
        self.0.is_set()
    }

    /// Set the event and wake everyone who waits for it.
    fn set(&self) {
        self.0.set();
    }

    /// Make the event not set.
    fn clear(&self) {
        self.0.clear();
    }

    /// Wait until the event is set; False when the time runs out.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let mark = self.0.mark();
        let until = deadline(timeout)?;
        if sync::Event::was_set(mark) {
            return Ok(true);
        }
        Ok(won(until_done(py, || self.0.wait(mark, until))?)?.is_some())
    }

    fn _share(&self) -> PyResult<Shared> {
        self.0.cell().share().map_err(raised)
    }
}
