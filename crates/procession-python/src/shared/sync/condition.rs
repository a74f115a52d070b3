//! `Condition`.

use procession::sync;
use pyo3::exceptions::{PyAssertionError, PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};

use super::{Cell, Holdable, Lock, RLock, Shared, Takeable, taken, wait_for, won};
use crate::error::raised;
use crate::wait::{deadline, until_done};

#[derive(FromPyObject)]
enum AnyLock {
    Plain(Py<Lock>),
    Recursive(Py<RLock>),
}

impl AnyLock {
    fn is_mine(&self) -> bool {
        match self {
            AnyLock::Plain(l) => l.get().lock.is_mine(),
            AnyLock::Recursive(l) => l.get().lock.is_mine(),
        }
    }
}

/// How many to wake: any integer, of which less than none is none, and more than there can be is all.
struct AtMost(usize);

impl<'a, 'py> FromPyObject<'a, 'py> for AtMost {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<AtMost> {
        match object.extract() {
            Err(e) if PyErr::is_instance_of::<PyOverflowError>(&e, object.py()) => {
                Ok(AtMost(if object.lt(0)? { 0 } else { usize::MAX }))
            }
            n => n.map(AtMost),
        }
    }
}

/// A lock and the list of those who wait, without it, to be notified.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Condition {
    waiters: sync::Waiters,
    lock: AnyLock,
}

impl Holdable for Condition {
    #[inline]
    fn take(&self, py: Python<'_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        match &self.lock {
            AnyLock::Plain(l) => l.get().take(py, block, timeout),
            AnyLock::Recursive(l) => l.get().take(py, block, timeout),
        }
    }

    #[inline]
    fn give(&self) -> PyResult<()> {
        match &self.lock {
            AnyLock::Plain(l) => l.get().give(),
            AnyLock::Recursive(l) => l.get().give(),
        }
    }
}

#[pymethods]
impl Condition {
    /// A new condition, or with `made` the one that another process made in the cell.
    #[new]
    fn new(cell: &Bound<'_, Cell>, lock: &Bound<'_, PyAny>, made: bool) -> PyResult<Condition> {
        let lock = lock.extract().map_err(|_| {
            let kind = lock.get_type().name().map_or_else(|_| "this".into(), |n| n.to_string());
            PyTypeError::new_err(format!("a condition needs a Lock or an RLock of this package, not {kind}"))
        })?;
        let cell = taken(cell)?;
        let waiters = if made { sync::Waiters::open(cell, 0) } else { sync::Waiters::create(cell, 0) };
        Ok(Condition { waiters, lock })
    }

    /// Bytes of a condition for which so many wait with a place of their own.
    #[staticmethod]
    fn bytes(places: usize) -> usize {
        sync::Waiters::bytes(places)
    }

    #[getter]
    fn _lock(&self, py: Python<'_>) -> Py<PyAny> {
        match &self.lock {
            AnyLock::Plain(l) => l.clone_ref(py).into_any(),
            AnyLock::Recursive(l) => l.clone_ref(py).into_any(),
        }
    }

    /// Release the lock, wait to be notified, and acquire the lock again.
    ///
    /// Returns:
    ///     False when the time ran out.
    ///
    /// Raises:
    ///     AssertionError: this thread does not hold the lock.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        if !self.lock.is_mine() {
            return Err(PyAssertionError::new_err("must acquire() condition before using wait()"));
        }
        let until = deadline(timeout)?;
        let place = self.waiters.enter();
        let depth = match &self.lock {
            AnyLock::Plain(l) => l.get().lock.release().map(|()| 1).map_err(raised)?,
            AnyLock::Recursive(l) => l.get().lock.release_all(),
        };
        let answer = until_done(py, || self.waiters.wait(&place, until));
        let late = match &answer {
            Ok(Ok(_)) => None,
            _ => self.waiters.leave(&place),
        };
        // The lock comes back before anything else is said, an interruption included.
        let interrupted = match &self.lock {
            AnyLock::Plain(l) => take_back(py, &l.get().lock, l.get().robust),
            AnyLock::Recursive(l) => {
                let outcome = take_back(py, &l.get().lock, l.get().robust);
                l.get().lock.restore(depth);
                outcome
            }
        };
        let woken = won(answer?)?.is_some() || late.is_some();
        interrupted?;
        Ok(woken)
    }

    /// Wake up to `n` of those who wait, the longest waiting first; the dead are not counted.
    ///
    /// Raises:
    ///     AssertionError: this thread does not hold the lock.
    #[pyo3(signature = (n=AtMost(1)), text_signature = "($self, n=1)")]
    fn notify(&self, n: AtMost) -> PyResult<()> {
        if !self.lock.is_mine() {
            return Err(PyAssertionError::new_err("lock is not owned"));
        }
        self.waiters.wake(n.0, sync::Waiters::WOKEN).map(drop).map_err(raised)
    }

    /// Wake all who wait.
    ///
    /// Raises:
    ///     AssertionError: this thread does not hold the lock.
    fn notify_all(&self) -> PyResult<()> {
        self.notify(AtMost(usize::MAX))
    }

    /// How many wait and are alive.
    fn _waiting(&self) -> usize {
        self.waiters.alive()
    }

    fn _share(&self) -> PyResult<Shared> {
        self.waiters.cell().share().map_err(raised)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.lock {
            AnyLock::Plain(l) => visit.call(l),
            AnyLock::Recursive(l) => visit.call(l),
        }
    }
}

/// Takes the lock whatever signals say; they are raised afterwards.
fn take_back(py: Python<'_>, lock: &impl Takeable, robust: bool) -> PyResult<()> {
    let mut raised_meanwhile = Ok(());
    loop {
        match wait_for(py, lock, robust, None) {
            Ok(_) => return raised_meanwhile,
            Err(e) if e.get_type(py).name().is_ok_and(|n| n == "OwnerDied") => return Err(e),
            Err(e) => raised_meanwhile = Err(e),
        }
    }
}
