//! The room `sync`: cells, locks, semaphores, events, waiter lists and barriers.
//!
//! Python's classes inherit from these, so that acquiring and releasing are no Python calls; they add what the
//! standard library's have besides.

mod barrier;
mod event;
mod lock;
mod semaphore;
mod waiters;

use std::time::Instant;

use procession::sync::{self, Acquired};
use procession::{ErrorKind, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::wait::{deadline, raised, until_done};
pub(crate) use lock::{Lock, RLock};

/// A cell on its way into the primitive that will live in it, and where it was.
#[pyclass(module = "procession._procession")]
pub(crate) struct Cell(Option<sync::Cell>);

#[pymethods]
impl Cell {
    /// A new cell of `size` zero bytes.
    #[staticmethod]
    fn create(size: usize) -> PyResult<Cell> {
        Ok(Cell(Some(sync::Cell::create(size).map_err(raised)?)))
    }

    /// The cell of another process; the descriptor is taken over.
    #[staticmethod]
    fn open(descriptor: i32, place: usize, size: usize) -> PyResult<Cell> {
        let file = procession::platform::adopt(descriptor).map_err(raised)?;
        Ok(Cell(Some(sync::Cell::open(file, place, size).map_err(raised)?)))
    }
}

fn taken(cell: &Bound<'_, Cell>) -> PyResult<sync::Cell> {
    cell.borrow_mut().0.take().ok_or_else(|| PyValueError::new_err("the cell is in use already"))
}

type Shared = (i32, usize, usize);

/// `acquire(block=True, timeout=None)` of the standard library: when to give up, or none for at once.
enum Patience {
    None,
    Until(Option<Instant>),
}

fn patience(block: Option<&Bound<'_, PyAny>>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Patience> {
    if block.map_or(Ok(true), |b| b.is_truthy())? {
        Ok(Patience::Until(deadline(timeout)?))
    } else {
        Ok(Patience::None)
    }
}

/// Whether a wait was won; a deadline is not an error in Python.
fn won<T>(answer: Result<T>) -> PyResult<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::TimedOut => Ok(None),
        Err(e) => Err(raised(e)),
    }
}

/// A lock, recursive or not.
trait Held {
    fn acquire(&self, until: Option<Instant>) -> Result<Acquired>;
    fn give_back(&self);
}

impl Held for sync::Lock {
    fn acquire(&self, until: Option<Instant>) -> Result<Acquired> {
        sync::Lock::acquire(self, until)
    }
    fn give_back(&self) {
        let _ = self.release();
    }
}

impl Held for sync::RLock {
    fn acquire(&self, until: Option<Instant>) -> Result<Acquired> {
        sync::RLock::acquire(self, until)
    }
    fn give_back(&self) {
        let _ = self.release();
    }
}

#[cold]
fn wait_for(py: Python<'_>, lock: &(impl Held + Sync), robust: bool, until: Option<Instant>) -> PyResult<bool> {
    match won(until_done(py, || lock.acquire(until))?)? {
        None => Ok(false),
        Some(Acquired::Free) => Ok(true),
        Some(Acquired::OwnerDied) => {
            let category = py.import("procession.synchronize")?.getattr("OwnerDied")?;
            let text =
                "the process that held this lock ended without releasing it: what the lock guards may be half changed";
            if robust {
                return Err(PyErr::from_value(category.call1((text,))?));
            }
            let message = std::ffi::CString::new(text).expect("the text has no NUL");
            // A warning made an error leaves nobody with the lock.
            PyErr::warn(py, &category, &message, 1).inspect_err(|_| lock.give_back())?;
            Ok(true)
        }
    }
}
/// Adds the room's classes.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Cell>()?;
    module.add_class::<Lock>()?;
    module.add_class::<RLock>()?;
    module.add_class::<semaphore::Semaphore>()?;
    module.add_class::<event::Event>()?;
    module.add_class::<waiters::Waiters>()?;
    module.add_class::<barrier::Barrier>()?;
    module.add_class::<barrier::Arrived>()?;
    Ok(())
}
