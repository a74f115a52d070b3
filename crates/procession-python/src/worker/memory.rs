//! Large parts of records and results on the worker's side.

use std::sync::Arc;

use procession::channel::BLOCK_HEAD;
use procession::pool::{Holdings, Worker};
use procession::shared_memory::{Segment, View, fill};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::error::raised;
use crate::in_common::common::LastCommon;
use crate::memory::buffer::{copied, is_equal};
use crate::memory::place::{Kind, NoShelf, Part, Room, Shelf, Spot};

/// The large parts of records; the parent frees them when the record ends and nobody here holds them.
pub(crate) struct PoolShelf {
    pub segment: Arc<Segment>,
    pub holdings: Arc<Holdings>,
    pub common: Arc<LastCommon>,
}

impl Shelf for PoolShelf {
    fn view(&self, spot: Spot) -> PyResult<Arc<View>> {
        let (offset, size) = match spot {
            Spot::Block { offset, size } | Spot::Common { offset, size } => (offset, size),
            Spot::Shared(_) => return NoShelf.view(spot),
        };
        self.holdings.take(offset);
        let holdings = self.holdings.clone();
        let give_back = Box::new(move || holdings.give_back(offset));
        let view = if matches!(spot, Spot::Block { .. }) {
            View::lent(self.segment.clone(), offset as usize, size as usize, give_back)
        } else {
            View::copied(&self.segment, offset as usize, size as usize, give_back)
        };
        view.map_err(raised)
    }

    fn copy<'py>(&self, py: Python<'py>, spot: Spot, kind: Kind) -> Option<PyResult<Bound<'py, PyAny>>> {
        match spot {
            // The parent keeps what it was made of: should it be wanted once more, it is put into a block anew.
            Spot::Block { offset, size } => copied(py, &self.segment, offset as usize, size as usize, kind, true),
            Spot::Common { offset, size } => copied(py, &self.segment, offset as usize, size as usize, kind, false),
            Spot::Shared(_) => None,
        }
    }

    fn common<'py>(
        &self,
        py: Python<'py>,
        name: (u64, u64),
        make: &dyn Fn() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.common.get(py, name, make)
    }
}

/// The large parts of results, in blocks that the parent gives back.
pub(crate) struct ResultRoom<'a> {
    pub worker: &'a mut Worker,
    /// The blocks that were taken so far.
    pub lent: Vec<usize>,
}

impl Room for ResultRoom<'_> {
    fn put(&mut self, part: &Part<'_, '_>) -> PyResult<Spot> {
        let (segment, offset) = self.worker.lend_block(part.size).map_err(raised)?;
        self.lent.push(offset);
        let span = segment.at(offset + BLOCK_HEAD, part.size).map_err(raised)?;
        let written = fill(span.mapping(&segment), span.offset, part.size, part.copy);
        written.unwrap_or_else(|| Err(PyRuntimeError::new_err("a block lies outside of its segment")))?;
        Ok(Spot::Block { offset: offset as u64, size: part.size as u64 })
    }

    fn has(&self, spot: Spot, part: &Part<'_, '_>) -> bool {
        let Spot::Block { offset, size } = spot else { return false };
        let segment = self.worker.own_segment();
        let Ok(span) = segment.at(offset as usize + BLOCK_HEAD, part.size) else { return false };
        size == part.size as u64 && is_equal(part, span.mapping(segment), span.offset)
    }

    fn takes_pickles(&self) -> bool {
        true
    }

    fn take_back(&mut self) {
        std::mem::take(&mut self.lent).into_iter().for_each(|offset| self.worker.unlend(offset));
    }
}
