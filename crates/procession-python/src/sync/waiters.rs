//! The waiting that conditions are made of.

use procession::sync;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::{Cell, Held, Lock, RLock, Shared, taken, wait_for, won};
use crate::wait::{deadline, raised, until_done};

/// The list of those who wait for a condition.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Waiters(sync::Waiters);

#[derive(FromPyObject)]
enum AnyLock<'py> {
    Plain(PyRef<'py, Lock>),
    Recursive(PyRef<'py, RLock>),
}

#[pymethods]
impl Waiters {
    /// A new list, or with `made` the one that another process made in the cell.
    #[new]
    fn new(cell: &Bound<'_, Cell>, made: bool) -> PyResult<Waiters> {
        let cell = taken(cell)?;
        Ok(Waiters(if made { sync::Waiters::open(cell, 0) } else { sync::Waiters::create(cell, 0) }))
    }

    /// Bytes of a list with so many places.
    #[staticmethod]
    fn bytes(places: usize) -> usize {
        sync::Waiters::bytes(places)
    }

    /// Give `lock` up, wait to be woken and take it again; False when the time runs out.
    fn wait(&self, py: Python<'_>, lock: &Bound<'_, PyAny>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let until = deadline(timeout)?;
        let held: AnyLock<'_> =
            lock.extract().map_err(|_| PyTypeError::new_err("a condition needs a Lock or an RLock of this package"))?;
        let place = self.0.enter();
        let depth = match &held {
            AnyLock::Plain(l) => l.lock.release().map(|()| 1).map_err(raised)?,
            AnyLock::Recursive(l) => l.lock.release_all(),
        };
        let answer = until_done(py, || self.0.wait(&place, until));
        let late = match &answer {
            Ok(Ok(_)) => None,
            _ => self.0.leave(&place),
        };
        // The lock comes back before anything else is said, an interruption included.
        let interrupted = match &held {
            AnyLock::Plain(l) => take_back(py, &l.lock, l.robust),
            AnyLock::Recursive(l) => {
                let outcome = take_back(py, &l.lock, l.robust);
                l.lock.restore(depth);
                outcome
            }
        };
        let woken = won(answer?)?.is_some() || late.is_some();
        interrupted?;
        Ok(woken)
    }

    /// Wake up to `count` waiters, without a count all.
    #[pyo3(signature = (count=None))]
    fn wake(&self, count: Option<usize>) -> PyResult<usize> {
        self.0.wake(count.unwrap_or(usize::MAX), sync::Waiters::WOKEN).map_err(raised)
    }

    /// How many wait and are alive.
    fn waiting(&self) -> usize {
        self.0.alive()
    }

    fn _share(&self) -> PyResult<Shared> {
        self.0.cell().share().map_err(raised)
    }
}

/// Takes the lock whatever signals say; they are raised afterwards.
fn take_back(py: Python<'_>, lock: &(impl Held + Sync), robust: bool) -> PyResult<()> {
    let mut raised_meanwhile = Ok(());
    loop {
        match wait_for(py, lock, robust, None) {
            Ok(_) => return raised_meanwhile,
            Err(e) if e.get_type(py).name().is_ok_and(|n| n == "OwnerDied") => return Err(e),
            Err(e) => raised_meanwhile = Err(e),
        }
    }
}
