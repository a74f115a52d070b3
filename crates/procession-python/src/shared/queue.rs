//! The queue for Python: objects in and out; exact numbers, strings and bytes go without a pickle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Instant;

use procession::ErrorKind;
use procession::channel::{self, Attempt, Eagerness, Oldest, QueueBell};
use pyo3::exceptions::{PyAssertionError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error::raised;
use crate::shared::pickle::imported;
use crate::shared::queue_message::{LARGE_BYTES, Message, TakenMessage};
use crate::wait::{deadline, until_done};

static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static FULL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// When to give up.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    None,
    Until(Option<Instant>),
}

pub(crate) fn patience(block: Option<&Bound<'_, PyAny>>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Patience> {
    if block.map_or(Ok(true), |block| block.is_truthy())? {
        Ok(Patience::Until(deadline(timeout)?))
    } else {
        Ok(Patience::None)
    }
}

/// A queue between processes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Queue {
    queue: Arc<channel::Queue>,
    closed: AtomicBool,
    eager: Mutex<Eagerness>,
    /// Whether there is a bell: one look for those who never asked.
    has_bell: AtomicBool,
    /// Locked only while attached to the interpreter, so that no fork of the program finds it locked.
    bell: Mutex<Option<Arc<QueueBell>>>,
}

impl Queue {
    /// The engine's queue, for this process.
    pub(crate) fn of(queue: channel::Queue) -> Queue {
        Queue {
            queue: Arc::new(queue),
            closed: false.into(),
            eager: Mutex::default(),
            has_bell: false.into(),
            bell: Mutex::default(),
        }
    }

    pub(crate) fn engine(&self) -> &channel::Queue {
        &self.queue
    }

    fn check_open(slf: &Bound<'_, Queue>) -> PyResult<()> {
        if slf.get().is_closed() { Err(Queue::closed_error(slf)) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    #[cold]
    pub(super) fn closed_error(slf: &Bound<'_, PyAny>) -> PyErr {
        match slf.repr() {
            Ok(name) => PyValueError::new_err(format!("Queue {name} is closed")),
            Err(error) => error,
        }
    }

    /// What is raised when there is nothing to get in time.
    pub(crate) fn empty_error(py: Python<'_>) -> PyResult<PyErr> {
        Ok(PyErr::from_value(imported(&EMPTY, py, "queue", "Empty")?.call0()?))
    }

    pub(crate) fn send(&self, py: Python<'_>, message: &Message<'_>, patience: Patience) -> PyResult<()> {
        let (head, body) = (message.head(), message.body());
        if body.len() < LARGE_BYTES && matches!(self.queue.try_put(head, body).map_err(raised)?, Attempt::Done(())) {
            self.settle();
            return Ok(());
        }
        while !until_done(py, || self.queue.put(head, body))?.map_err(raised)? {
            let full = || -> PyResult<PyErr> { Ok(PyErr::from_value(imported(&FULL, py, "queue", "Full")?.call0()?)) };
            let Patience::Until(until) = patience else { return Err(full()?) };
            match until_done(py, || self.queue.wait_for_room(until))? {
                Err(e) if e.kind() == ErrorKind::TimedOut => return Err(full()?),
                answer => answer.map_err(raised)?,
            }
        }
        self.settle();
        Ok(())
    }

    /// The next message; none when the patience ends.
    pub(crate) fn receive<'py>(&self, py: Python<'py>, patience: Patience) -> PyResult<Option<TakenMessage<'py>>> {
        self.receive_by(py, patience, |oldest| TakenMessage::from(py, oldest))
    }

    /// As [`Queue::receive`], of a message that `take` takes.
    #[inline]
    pub(crate) fn receive_by<T>(
        &self,
        py: Python<'_>,
        patience: Patience,
        take: impl Fn(Oldest<'_>) -> PyResult<T>,
    ) -> PyResult<Option<T>> {
        loop {
            match self.queue.try_oldest().map_err(raised)? {
                Attempt::Done(oldest) => return self.taken(take(oldest)),
                Attempt::Busy => {
                    if let Some(oldest) = until_done(py, || self.queue.oldest())?.map_err(raised)? {
                        return self.taken(take(oldest));
                    }
                }
                Attempt::Unready => {}
            }
            let Patience::Until(until) = patience else {
                if self.queue.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            match until_done(py, || self.wait(until))? {
                Err(e) if e.kind() == ErrorKind::TimedOut => return Ok(None),
                answer => answer.map_err(raised)?,
            }
        }
    }

    #[inline]
    fn taken<T>(&self, taken: PyResult<T>) -> PyResult<Option<T>> {
        self.settle();
        taken.map(Some)
    }

    /// The descriptor that is readable while there are messages, where somebody has asked for one, shows whether there are now.
    #[inline]
    fn settle(&self) {
        if self.has_bell.load(Ordering::Relaxed) {
            self.settle_bell();
        }
    }

    #[cold]
    fn settle_bell(&self) {
        if let Some(bell) = &*self.bell.lock().unwrap_or_else(PoisonError::into_inner) {
            bell.settle();
        }
    }

    /// Whether there is something to get, waiting for it until then.
    pub(crate) fn poll_until(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<bool> {
        while self.queue.is_empty() {
            match until_done(py, || self.wait(until))? {
                Err(e) if e.kind() == ErrorKind::TimedOut => return Ok(!self.queue.is_empty()),
                answer => answer.map_err(raised)?,
            }
        }
        Ok(true)
    }

    fn wait(&self, until: Option<Instant>) -> procession::Result<()> {
        let ready = || !self.queue.seems_empty();
        let polled = match self.eager.try_lock() {
            Ok(mut eager) => eager.look(ready),
            Err(TryLockError::Poisoned(eager)) => eager.into_inner().look(ready),
            Err(TryLockError::WouldBlock) => ready(),
        };
        if polled {
            return Ok(());
        }
        self.queue.wait_for_message(until)
    }
}

#[pymethods]
impl Queue {
    /// A new queue for up to `most` objects, or the one behind a descriptor of another process, which is taken over.
    #[new]
    #[pyo3(signature = (most, descriptor=None))]
    fn new(most: u32, descriptor: Option<i32>) -> PyResult<Queue> {
        let queue = match descriptor {
            None => channel::Queue::create(most),
            Some(number) => procession::platform::adopt(number).and_then(channel::Queue::open),
        };
        Ok(Queue::of(queue.map_err(raised)?))
    }

    /// Have room for `most` objects only, before another process has the queue.
    fn _limit(&self, most: u32) {
        self.queue.limit(most);
    }

    fn _share(&self) -> i32 {
        use std::os::fd::{AsFd, AsRawFd};
        self.queue.as_fd().as_raw_fd()
    }

    /// Put an object if there is room now; `queue.Full` if there is none, and what else `put` raises.
    fn put_nowait<'py>(slf: &Bound<'py, Queue>, obj: &Bound<'py, PyAny>) -> PyResult<()> {
        Queue::check_open(slf)?;
        slf.get().send(slf.py(), &Message::of(obj)?, Patience::None)
    }

    /// Take the oldest object out if there is one now; `queue.Empty` if there is none, and what else `get` raises.
    fn get_nowait<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
        Queue::check_open(slf)?;
        match slf.get().receive(slf.py(), Patience::None)? {
            Some(taken) => taken.object(),
            None => Err(Queue::empty_error(slf.py())?),
        }
    }

    /// Take up to `most` objects out, waiting for the first for `timeout` seconds (None: no limit); return a list of them, which
    /// is empty when the time runs out.
    ///
    /// Raises ValueError on a closed queue.
    #[pyo3(signature = (most, timeout=None))]
    fn get_many<'py>(
        slf: &Bound<'py, Queue>,
        most: usize,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        Queue::check_open(slf)?;
        let (py, queue) = (slf.py(), slf.get());
        let mut taken = Vec::new();
        let mut patience = Patience::Until(deadline(timeout)?);
        while taken.len() < most {
            match queue.receive(py, patience)? {
                Some(one) => taken.push(one),
                None => break,
            }
            patience = Patience::None;
        }
        taken.into_iter().map(|one| one.object()).collect()
    }

    /// Return how many objects are in the queue at this moment: those that are put and not yet taken out.
    fn qsize(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is no object in the queue.
    ///
    /// Raises OSError on a queue that was closed while objects were in it.
    fn empty(slf: &Bound<'_, Queue>) -> PyResult<bool> {
        let this = slf.get();
        let empty = this.queue.is_empty();
        if !empty && this.closed.load(Ordering::Relaxed) {
            return Err(PyOSError::new_err(format!("Queue {} is closed", slf.repr()?)));
        }
        Ok(empty)
    }

    /// Whether there is no room for another object.
    fn full(&self) -> bool {
        self.queue.is_full()
    }

    /// Return a descriptor that is readable while there is something to get.
    ///
    /// It is made by the first call in each process, which starts a thread that watches the queue. Raises OSError on a closed queue.
    fn fileno(&self) -> PyResult<i32> {
        use std::os::fd::{AsFd, AsRawFd};
        if self._closed() {
            return Err(PyOSError::new_err("the queue is closed"));
        }
        let mut bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &*bell {
            Some(known) if known.is_ours() => known.clone(),
            // One that a fork has inherited is closed with that value.
            _ => Arc::new(QueueBell::new(self.queue.clone()).map_err(raised)?),
        };
        let number = known.as_fd().as_raw_fd();
        *bell = Some(known);
        self.has_bell.store(true, Ordering::Relaxed);
        Ok(number)
    }

    /// Whether there is something to get, waiting for it; without a descriptor.
    fn _poll(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        self.poll_until(py, deadline(timeout)?)
    }

    /// Put and get no more from this process; what was put stays for others.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.has_bell.store(false, Ordering::Relaxed);
        *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Do nothing: what was put does not depend on this process.
    fn join_thread(&self) -> PyResult<()> {
        if self._closed() { Ok(()) } else { Err(PyAssertionError::new_err("the queue is not closed")) }
    }

    /// Do nothing: no process waits for what it has put.
    fn cancel_join_thread(&self) {}

    fn _report_done(&self) -> PyResult<()> {
        self.queue.report_done().map_err(raised)
    }

    fn _wait_until_done(&self, py: Python<'_>) -> PyResult<()> {
        until_done(py, || self.queue.wait_until_done(None))?.map_err(raised)
    }
}

/// How many threads of this process watch queues for those who asked for a descriptor.
#[pyfunction]
fn bell_threads() -> u32 {
    channel::bell_threads()
}

/// Adds the room's class.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Queue>()?;
    module.add_function(wrap_pyfunction!(bell_threads, module)?)
}
