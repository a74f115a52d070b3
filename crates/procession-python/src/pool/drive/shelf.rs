//! Where large parts of results come from, for who rebuilds them.

use std::sync::Arc;

use procession::channel::{BLOCK_HEAD, give_back};
use procession::shared_memory::{Segment, View};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::raised;
use crate::in_common::received::Received;
use crate::memory::buffer::copied;
use crate::memory::place::{Kind, NoShelf, Shelf, Spot};

/// The large parts of a result, in its worker's segment; each goes back when nobody looks at it any more. And the objects
/// that results before it have had.
pub(super) struct WorkerShelf<'a> {
    pub(super) segment: Option<&'a Arc<Segment>>,
    pub(super) received: Option<&'a Received>,
}

impl WorkerShelf<'_> {
    /// A number that names the worker among those of a job.
    pub(super) fn worker(&self) -> usize {
        self.segment.map_or(0, |segment| Arc::as_ptr(segment) as usize)
    }

    pub(super) fn give_back(&self, spot: Spot) {
        if let (Some(segment), Spot::Block { offset, size }) = (self.segment, spot) {
            give_back(segment, offset as usize, size as usize);
        }
    }
}

impl Shelf for WorkerShelf<'_> {
    fn view(&self, spot: Spot) -> PyResult<Arc<View>> {
        let (Some(segment), Spot::Block { offset, size }) = (self.segment, spot) else { return NoShelf.view(spot) };
        let (offset, size) = (offset as usize, size as usize);
        let its = segment.clone();
        let go_back = Box::new(move || give_back(&its, offset, size));
        View::lent(segment.clone(), offset.saturating_add(BLOCK_HEAD), size, go_back).map_err(raised)
    }

    fn copy<'py>(&self, py: Python<'py>, spot: Spot, kind: Kind) -> Option<PyResult<Bound<'py, PyAny>>> {
        let (Some(segment), Spot::Block { offset, size }) = (self.segment, spot) else { return None };
        let start = (offset as usize).saturating_add(BLOCK_HEAD);
        let copied = copied(py, segment, start, size as usize, kind, true);
        self.give_back(spot);
        copied
    }

    fn begin(&self, scope: u32, forgotten: u16) {
        if let Some(received) = self.received {
            received.begin(self.worker(), scope, forgotten);
        }
    }

    fn keep(&self, py: Python<'_>, place: u8, object: &PyResult<Bound<'_, PyAny>>) {
        if let Some(received) = self.received {
            received.keep(py, self.worker(), place, object);
        }
    }

    fn keep_pickle(&self, place: u8, view: &Arc<View>) {
        if let Some(received) = self.received {
            received.keep_pickle(self.worker(), place, view);
        }
    }

    fn pickle(&self, place: u8) -> PyResult<Arc<View>> {
        let received = self.received.ok_or_else(|| PyValueError::new_err("a value arrived without its results"))?;
        received.pickle(self.worker(), place)
    }

    fn is_kept(&self, place: u8) -> bool {
        self.received.is_none_or(|received| received.is_kept(self.worker(), place))
    }

    fn again<'py>(&self, py: Python<'py>, place: u8) -> PyResult<Bound<'py, PyAny>> {
        let received = self.received.ok_or_else(|| PyValueError::new_err("a value arrived without its results"))?;
        received.again(py, self.worker(), place)
    }
}
