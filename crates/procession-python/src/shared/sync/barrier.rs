//! `Barrier`.

use std::sync::{Mutex, PoisonError};

use procession::ErrorKind;
use procession::sync::{self, Arrival, WaiterPlace};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{Cell, Shared, taken};
use crate::error::raised;
use crate::wait::{deadline, until_done};

/// A meeting point of several processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Barrier(sync::Barrier);

/// A party's place at a barrier; none for the last to come.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Arrived {
    #[pyo3(get)]
    index: usize,
    place: Mutex<Option<WaiterPlace>>,
}

#[pymethods]
impl Barrier {
    #[classattr]
    const MOST: u32 = sync::Barrier::MOST;

    /// A new barrier for `parties`, or without them the one that another process made in the cell.
    #[new]
    #[pyo3(signature = (cell, parties=None))]
    fn new(cell: &Bound<'_, Cell>, parties: Option<u32>) -> PyResult<Barrier> {
        let cell = taken(cell)?;
        Ok(Barrier(match parties {
            Some(parties) => sync::Barrier::create(cell, parties),
            None => sync::Barrier::open_cell(cell),
        }))
    }

    /// Bytes of a barrier for so many parties.
    #[staticmethod]
    fn bytes(parties: usize) -> usize {
        sync::Barrier::bytes(parties)
    }

    /// How many meet.
    #[getter]
    fn parties(&self) -> usize {
        self.0.parties()
    }

    /// How many have come and wait, without the dead.
    #[getter]
    fn n_waiting(&self) -> usize {
        self.0.waiting()
    }

    /// Whether the barrier is broken: whoever comes is sent away.
    #[getter]
    fn broken(&self) -> bool {
        self.0.is_broken()
    }

    /// Come to the barrier: False when it is broken, None when the time ran out, else the place.
    fn _arrive(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<(bool, Arrived)>> {
        let until = deadline(timeout)?;
        match until_done(py, || self.0.arrive(until))? {
            Ok(Arrival::Last) => {
                let index = self.0.parties() - 1;
                Ok(Some((true, Arrived { index, place: Mutex::new(None) })))
            }
            Ok(Arrival::Waits(index, place)) => Ok(Some((false, Arrived { index, place: Mutex::new(Some(place)) }))),
            Err(e) if matches!(e.kind(), ErrorKind::Closed | ErrorKind::TimedOut) => Ok(None),
            Err(e) => Err(raised(e)),
        }
    }

    /// Wait for the last to come: whether all may go on; the barrier breaks when the time runs out.
    fn _wait(&self, py: Python<'_>, arrived: &Arrived, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let until = deadline(timeout)?;
        let place = arrived.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(place) = place else { return Err(PyValueError::new_err("nobody waits at this place")) };
        let answer = until_done(py, || self.0.wait(&place, until));
        match &answer {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(e)) if e.kind() == ErrorKind::Closed => return Ok(false),
            _ => {}
        }
        let late = self.0.leave(&place);
        match (answer?, late) {
            (_, Some(judged)) => Ok(judged.is_ok()),
            (_, None) => {
                self._send_away(py, true)?;
                Ok(false)
            }
        }
    }

    /// Let everybody go on.
    fn _open(&self) {
        self.0.open();
    }

    /// Break the barrier after the action of the last to come failed.
    fn _break_up(&self) {
        self.0.break_up();
    }

    /// Break or mend the barrier and send everybody away who waits.
    fn _send_away(&self, py: Python<'_>, broken: bool) -> PyResult<()> {
        until_done(py, || self.0.send_away(broken))?.map_err(raised)
    }

    fn _share(&self) -> PyResult<Shared> {
        self.0.cell().share().map_err(raised)
    }
}
