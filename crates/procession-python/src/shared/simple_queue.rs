//! The queue with the fewest methods, for Python: that of `queue.rs`, with a bell that all who have it share.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use procession::channel;
use procession::platform::{Doorbell, adopt};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::error::raised;
use crate::shared::queue::{Patience, Queue};
use crate::shared::queue_message::Message;
use crate::wait::{deadline, until_done};

/// The most messages that a queue can count.
const MOST: u32 = i32::MAX as u32;

/// A queue between processes, without limits.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct SimpleQueue {
    /// None when closed, or not yet opened. Locked only while attached to the interpreter, so that no fork of the program finds
    /// it locked.
    queue: Mutex<Option<Arc<Opened>>>,
    reader_closed: AtomicBool,
    writer_closed: AtomicBool,
}

struct Opened {
    queue: Queue,
    /// The number of the bell's descriptor, which the queue keeps open.
    bell: i32,
}

impl SimpleQueue {
    fn opened(&self, is_closed: &AtomicBool) -> PyResult<Arc<Opened>> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match &*queue {
            Some(queue) if !is_closed.load(Ordering::Relaxed) => Ok(queue.clone()),
            _ => Err(PyOSError::new_err("handle is closed")),
        }
    }

    fn end(&self, reads: bool) -> &AtomicBool {
        if reads { &self.reader_closed } else { &self.writer_closed }
    }
}

#[pymethods]
impl SimpleQueue {
    /// One that is opened by `_open`.
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyAny>, _keywords: Option<&Bound<'_, PyAny>>) -> SimpleQueue {
        SimpleQueue { queue: Mutex::default(), reader_closed: false.into(), writer_closed: false.into() }
    }

    /// Makes it a new queue, or that behind the descriptors of another process's memory and bell, which are taken over.
    #[pyo3(signature = (descriptors=None))]
    fn _open(&self, descriptors: Option<(i32, i32)>) -> PyResult<()> {
        let (queue, bell) = match descriptors {
            None => (channel::Queue::create(MOST).map_err(raised)?, Doorbell::new().map_err(raised)?),
            Some((memory, bell)) => {
                let (memory, bell) = (adopt(memory).map_err(raised)?, adopt(bell).map_err(raised)?);
                (channel::Queue::open(memory).map_err(raised)?, Doorbell::from_fd(bell))
            }
        };
        let number = bell.as_raw_fd();
        let opened = Opened { queue: Queue::of(queue.with_bell(bell)), bell: number };
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(opened));
        Ok(())
    }

    /// The descriptors of its memory and its bell.
    fn _share(&self) -> PyResult<(i32, i32)> {
        let open = self.opened(&AtomicBool::new(false))?;
        Ok((open.queue.engine().as_fd().as_raw_fd(), open.bell))
    }

    /// Put an object; it is pickled now.
    ///
    /// Raises OSError on a closed queue.
    fn put(&self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        let open = self.opened(&self.writer_closed)?;
        open.queue.send(obj.py(), &Message::of(obj)?, Patience::Until(None))
    }

    /// Take the oldest object out, waiting for one.
    ///
    /// Raises OSError on a closed queue.
    fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let open = self.opened(&self.reader_closed)?;
        loop {
            if let Some(taken) = open.queue.receive(py, Patience::Until(None))? {
                return taken.object();
            }
        }
    }

    /// Whether there is nothing to get.
    ///
    /// Raises OSError on a closed queue.
    fn empty(&self) -> PyResult<bool> {
        Ok(self.opened(&self.reader_closed)?.queue.engine().is_empty())
    }

    /// Whether there is something to get, waiting `timeout` seconds for it; None is no limit.
    #[pyo3(signature = (timeout=None))]
    fn _poll(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        self.opened(&self.reader_closed)?.queue.poll_until(py, deadline(timeout)?)
    }

    /// Return a descriptor that is readable while there is something to get.
    ///
    /// Raises OSError on a closed queue.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let open = self.opened(&AtomicBool::new(false))?;
        until_done(py, || open.queue.engine().listen().map(drop))?.map_err(raised)?;
        Ok(open.bell)
    }

    /// Put and get no more from this process.
    fn close(&self) {
        self._close_end(true);
        self._close_end(false);
    }

    /// Get no more from this process, or put no more.
    fn _close_end(&self, reads: bool) {
        self.end(reads).store(true, Ordering::Relaxed);
        if self.end(!reads).load(Ordering::Relaxed) {
            let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(queue);
        }
    }

    /// Whether getting, or putting, is over in this process.
    fn _is_closed(&self, reads: bool) -> bool {
        self.end(reads).load(Ordering::Relaxed)
    }
}

/// Adds the room's class.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SimpleQueue>()
}
