//! The room `sync`: cells, locks, semaphores, conditions, events and barriers.
//!
//! Python's classes inherit from these, so that acquiring and releasing are no Python calls; they add what the
//! standard library's have besides.

mod barrier;
mod condition;
mod event;
mod lock;
mod quick;
mod semaphore;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use procession::sync::{self, Acquired};
use procession::{ErrorKind, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::raised;
use crate::wait::{after, limit, until_done};
pub(crate) use event::Event;
pub(crate) use lock::{Lock, RLock};
pub(crate) use quick::Holdable;
pub(crate) use semaphore::Semaphore;

/// A cell on its way into the primitive that will live in it, and where it was.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Cell(Mutex<Option<sync::Cell>>);

#[pymethods]
impl Cell {
    /// A new cell of `size` zero bytes.
    #[staticmethod]
    fn create(size: usize) -> PyResult<Cell> {
        Ok(Cell(Mutex::new(Some(sync::Cell::create(size).map_err(raised)?))))
    }

    /// The cell of another process; the descriptor is taken over.
    #[staticmethod]
    fn open(descriptor: i32, place: usize, size: usize) -> PyResult<Cell> {
        let file = procession::platform::adopt(descriptor).map_err(raised)?;
        Ok(Cell(Mutex::new(Some(sync::Cell::open(file, place, size).map_err(raised)?))))
    }
}

impl Cell {
    /// A cell for Python.
    pub(crate) fn of(cell: sync::Cell) -> Cell {
        Cell(Mutex::new(Some(cell)))
    }
}

fn taken(cell: &Bound<'_, Cell>) -> PyResult<sync::Cell> {
    let cell = cell.get().0.lock().unwrap_or_else(PoisonError::into_inner).take();
    cell.ok_or_else(|| PyValueError::new_err("the cell is in use already"))
}

type Shared = (i32, usize, usize);

/// Whether a wait was won; a deadline is not an error in Python.
fn won<T>(answer: Result<T>) -> PyResult<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::TimedOut => Ok(None),
        Err(e) => Err(raised(e)),
    }
}

/// What a process takes, waiting for it if need be, and gives back: a lock, recursive or not, or a permit.
trait Takeable: Sync {
    /// Takes it if it is free. What a dead owner has is left to [`Takeable::acquire`], which tells of that.
    fn try_acquire(&self) -> bool;
    fn acquire(&self, until: Option<Instant>) -> Result<Acquired>;
    fn release(&self) -> Result<()>;
}

impl Takeable for sync::Lock {
    #[inline]
    fn try_acquire(&self) -> bool {
        sync::Lock::try_acquire(self)
    }
    fn acquire(&self, until: Option<Instant>) -> Result<Acquired> {
        sync::Lock::acquire(self, until)
    }
    fn release(&self) -> Result<()> {
        sync::Lock::release(self)
    }
}

impl Takeable for sync::RLock {
    #[inline]
    fn try_acquire(&self) -> bool {
        sync::RLock::try_acquire(self)
    }
    fn acquire(&self, until: Option<Instant>) -> Result<Acquired> {
        sync::RLock::acquire(self, until)
    }
    fn release(&self) -> Result<()> {
        sync::RLock::release(self)
    }
}

impl Takeable for sync::Semaphore {
    #[inline]
    fn try_acquire(&self) -> bool {
        sync::Semaphore::try_acquire(self)
    }
    fn acquire(&self, until: Option<Instant>) -> Result<Acquired> {
        sync::Semaphore::acquire(self, until).map(|()| Acquired::Free)
    }
    fn release(&self) -> Result<()> {
        sync::Semaphore::release(self)
    }
}

/// `acquire(block=True, timeout=None)` of the standard library: False when it was not to be had, or not in time.
#[inline]
fn take(
    py: Python<'_>,
    it: &impl Takeable,
    robust: bool,
    block: bool,
    timeout: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    // What the arguments say is judged before anything is taken.
    let limit = limit(timeout)?;
    if it.try_acquire() {
        return Ok(true);
    }
    if !block {
        return Ok(false);
    }
    wait_for(py, it, robust, limit.and_then(after))
}

#[cold]
fn wait_for(py: Python<'_>, it: &impl Takeable, robust: bool, until: Option<Instant>) -> PyResult<bool> {
    match won(until_done(py, || it.acquire(until))?)? {
        None => Ok(false),
        Some(Acquired::Free) => Ok(true),
        Some(Acquired::OwnerDied) => {
            let category = py.import(crate::package::SYNCHRONIZE)?.getattr("OwnerDied")?;
            let text =
                "the process that held this lock ended without releasing it: what the lock guards may be half changed";
            if robust {
                return Err(PyErr::from_value(category.call1((text,))?));
            }
            let message = std::ffi::CString::new(text).expect("the text has no NUL");
            // A warning made an error leaves nobody with the lock.
            PyErr::warn(py, &category, &message, 1).inspect_err(|_| drop(it.release()))?;
            Ok(true)
        }
    }
}

/// Adds the room's classes.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Cell>()?;
    module.add_class::<Lock>()?;
    module.add_class::<RLock>()?;
    module.add_class::<Semaphore>()?;
    quick::add::<Lock>(module.py())?;
    quick::add::<RLock>(module.py())?;
    quick::add::<Semaphore>(module.py())?;
    quick::add_scope::<condition::Condition>(module.py())?;
    module.add_class::<Event>()?;
    module.add_class::<condition::Condition>()?;
    module.add_class::<barrier::Barrier>()?;
    module.add_class::<barrier::Arrived>()?;
    Ok(())
}
