//! A queue of values in the neutral form.

use std::os::fd::{AsFd, AsRawFd};

use procession::channel;
use procession::channel::neutral::Writer;
use procession::foreign;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::error::raised;
use crate::shared::neutral;
use crate::shared::pickle::Pickle;
use crate::shared::queue::{Patience, Queue, patience};
use crate::shared::queue_message::Message;

/// A queue of values that programs of every language read.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct NeutralQueue {
    queue: Queue,
}

impl NeutralQueue {
    fn send(&self, obj: &Bound<'_, PyAny>, patience: Patience) -> PyResult<()> {
        let mut bytes = Pickle::new();
        let (written, files) = foreign::sending(|| neutral::write(obj, &mut Writer::new(&mut bytes), None));
        written?;
        if !files.is_empty() {
            return Err(PyTypeError::new_err(
                "a queue for programs of every language has no room for what processes share: hand it over in the arguments of \
                 tasks and programs",
            ));
        }
        self.queue.send(obj.py(), &Message::made(bytes), patience)
    }

    fn receive<'py>(&self, py: Python<'py>, patience: Patience) -> PyResult<Bound<'py, PyAny>> {
        let taken = self.queue.receive_by(py, patience, |oldest| {
            let mut bytes = vec![0; oldest.size()];
            oldest.copy(0, &mut bytes).map_err(raised)?;
            oldest.take();
            Ok(bytes)
        })?;
        match taken {
            Some(bytes) => neutral::read(py, &bytes, None),
            None => Err(Queue::empty_error(py)?),
        }
    }
}

#[pymethods]
impl NeutralQueue {
    /// A new queue for up to `most` values, or the one behind a descriptor of another process, which is taken over.
    #[new]
    #[pyo3(signature = (most, descriptor=None))]
    fn new(most: u32, descriptor: Option<i32>) -> PyResult<NeutralQueue> {
        let queue = match descriptor {
            None => channel::Queue::create_neutral(most),
            Some(number) => procession::platform::adopt(number).and_then(channel::Queue::open),
        };
        let queue = queue.map_err(raised)?;
        if !queue.is_neutral() {
            return Err(PyValueError::new_err("the messages of this queue are in another form"));
        }
        Ok(NeutralQueue { queue: Queue::of(queue) })
    }

    fn _share(&self) -> (i32, u64, u64) {
        (self.queue.engine().as_fd().as_raw_fd(), 0, 0)
    }

    /// Put a value, which is written down now.
    ///
    /// Raises Full when there is no room within the time, TypeError for what has no neutral form.
    #[pyo3(signature = (obj, block=None, timeout=None), text_signature = "($self, obj, block=True, timeout=None)")]
    fn put(
        &self,
        obj: &Bound<'_, PyAny>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.send(obj, patience(block, timeout)?)
    }

    /// Take the oldest value out.
    ///
    /// Raises Empty when there is none within the time.
    #[pyo3(signature = (block=None, timeout=None), text_signature = "($self, block=True, timeout=None)")]
    fn get<'py>(
        &self,
        py: Python<'py>,
        block: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.receive(py, patience(block, timeout)?)
    }

    /// Put a value if there is room now.
    fn put_nowait(&self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.send(obj, Patience::None)
    }

    /// Take the oldest value out if there is one now.
    fn get_nowait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.receive(py, Patience::None)
    }

    /// Return how many values are in the queue.
    fn qsize(&self) -> usize {
        self.queue.engine().len()
    }

    /// Whether there is nothing to get.
    fn empty(&self) -> bool {
        self.queue.engine().is_empty()
    }

    /// Whether there is no room for another value.
    fn full(&self) -> bool {
        self.queue.engine().is_full()
    }
}

/// Adds the room's class.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NeutralQueue>()
}
