//! The room `sync`: cells, locks, semaphores, events, waiter lists and barriers.
//!
//! Python's classes inherit from these, so that acquiring and releasing are no Python calls; they add what the
//! standard library's have besides.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use procession::sync::{self, Acquired, Arrival, Place};
use procession::{ErrorKind, Result};
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::wait::{deadline, raised, until_done};

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

/// A lock between processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Lock {
    lock: sync::Lock,
    robust: bool,
}

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (cell, robust=false))]
    fn new(cell: &Bound<'_, Cell>, robust: bool) -> PyResult<Lock> {
        Ok(Lock { lock: sync::Lock::new(taken(cell)?), robust })
    }

    #[classattr]
    const BYTES: usize = sync::Lock::BYTES;

    /// Take the lock; False when the time runs out.
    #[pyo3(signature = (block=None, timeout=None), text_signature = "($self, block=True, timeout=None)")]
    fn acquire(
        &self,
        py: Python<'_>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let patience =
            if block.is_none() && timeout.is_none() { Patience::Until(None) } else { patience(block, timeout)? };
        if self.lock.try_acquire() {
            return Ok(true);
        }
        match patience {
            Patience::None => Ok(false),
            Patience::Until(until) => wait_for(py, &self.lock, self.robust, until),
        }
    }

    /// Give the lock back.
    pub(crate) fn release(&self) -> PyResult<()> {
        self.lock.release().map_err(raised)
    }

    pub(crate) fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        if self.lock.try_acquire() {
            return Ok(true);
        }
        wait_for(py, &self.lock, self.robust, None)
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) -> PyResult<()> {
        self.release()
    }

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
    lock: sync::RLock,
    robust: bool,
}

#[pymethods]
impl RLock {
    #[new]
    #[pyo3(signature = (cell, robust=false))]
    fn new(cell: &Bound<'_, Cell>, robust: bool) -> PyResult<RLock> {
        Ok(RLock { lock: sync::RLock::new(taken(cell)?), robust })
    }

    #[classattr]
    const BYTES: usize = sync::RLock::BYTES;

    /// Take the lock, once more if it is this thread's; False when the time runs out.
    #[pyo3(signature = (block=None, timeout=None), text_signature = "($self, block=True, timeout=None)")]
    fn acquire(
        &self,
        py: Python<'_>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let patience =
            if block.is_none() && timeout.is_none() { Patience::Until(None) } else { patience(block, timeout)? };
        if self.lock.try_acquire() {
            return Ok(true);
        }
        match patience {
            Patience::None => Ok(false),
            Patience::Until(until) => wait_for(py, &self.lock, self.robust, until),
        }
    }

    /// Give the lock back once.
    pub(crate) fn release(&self) -> PyResult<()> {
        self.lock.release().map_err(|e| PyAssertionError::new_err(e.to_string()))
    }

    pub(crate) fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        if self.lock.try_acquire() {
            return Ok(true);
        }
        wait_for(py, &self.lock, self.robust, None)
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) -> PyResult<()> {
        self.release()
    }

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

/// A counter of permits between processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Semaphore {
    semaphore: sync::Semaphore,
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
    const BYTES: usize = sync::Semaphore::BYTES;

    #[classattr]
    const MOST: u32 = sync::Semaphore::MOST;

    /// Take a permit; False when the time runs out.
    #[pyo3(signature = (block=None, timeout=None), text_signature = "($self, block=True, timeout=None)")]
    fn acquire(
        &self,
        py: Python<'_>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let patience =
            if block.is_none() && timeout.is_none() { Patience::Until(None) } else { patience(block, timeout)? };
        if self.semaphore.try_acquire() {
            return Ok(true);
        }
        match patience {
            Patience::None => Ok(false),
            Patience::Until(until) => Ok(won(until_done(py, || self.semaphore.acquire(until))?)?.is_some()),
        }
    }

    /// Give a permit.
    fn release(&self) -> PyResult<()> {
        self.semaphore.release().map_err(raised)
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, None, None)
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) -> PyResult<()> {
        self.release()
    }

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
    const BYTES: usize = sync::Event::BYTES;

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
        if self.0.is_set() {
            return Ok(true);
        }
        Ok(won(until_done(py, || self.0.wait(mark, until))?)?.is_some())
    }

    fn _share(&self) -> PyResult<Shared> {
        self.0.cell().share().map_err(raised)
    }
}

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

    /// How many wait.
    fn waiting(&self) -> usize {
        self.0.waiting()
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

/// A meeting point of several processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Barrier(sync::Barrier);

/// A party's place at a barrier; none for the last to come.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Arrived {
    #[pyo3(get)]
    index: usize,
    place: Mutex<Option<Place>>,
}

#[pymethods]
impl Barrier {
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

    #[getter]
    fn parties(&self) -> usize {
        self.0.parties()
    }

    #[getter]
    fn n_waiting(&self) -> usize {
        self.0.waiting()
    }

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
    fn _open(&self) -> PyResult<()> {
        self.0.open().map_err(raised)
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

/// Adds the room's classes.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Cell>()?;
    module.add_class::<Lock>()?;
    module.add_class::<RLock>()?;
    module.add_class::<Semaphore>()?;
    module.add_class::<Event>()?;
    module.add_class::<Waiters>()?;
    module.add_class::<Barrier>()?;
    module.add_class::<Arrived>()?;
    Ok(())
}
