//! `put` and `get` of a queue, on the shortest way.
//!
//! What runs the program's code, as pickling does, is attached for PyO3 first: what it drops goes at once, not with PyO3's next call.

use std::ffi::CStr;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::fast::{CallArguments, Method, add_method};
use crate::shared::queue::{Patience, Queue, patience};
use crate::shared::queue_message::{Message, TakenMessage};

struct Put;
struct Get;

impl Method for Put {
    type Of = Queue;
    const NAME: &'static CStr = c"put";
    const DOC: &'static CStr = c"put($self, obj, block=True, timeout=None)\n--\n\n\
        Put an object; it is pickled now, so what is done to it later does not matter.\n\n\
        Args:\n    \
            obj: the object.\n    \
            block: whether to wait for room.\n    \
            timeout: for how many seconds at most, None for no limit.\n\n\
        Raises:\n    \
            queue.Full: there is no room, or was none in time.\n    \
            ValueError: the queue is closed in this process.\n    \
            PicklingError, TypeError, AttributeError: the object cannot be pickled; the message says what of it.\n    \
            OSError: there is not enough memory.";

    #[inline]
    fn call<'py>(py: Python<'py>, this: &Queue, given: CallArguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        if this.is_closed() {
            return Err(Queue::closed_error(&given.this()));
        }
        let (object, patience) = match given.alone() {
            Some(object) => (object, Patience::Until(None)),
            None => {
                let [object, block, timeout] = given.sorted("put", ["obj", "block", "timeout"])?;
                let object = object.ok_or_else(|| PyTypeError::new_err("put() lacks its first argument, 'obj'"))?;
                (object, patience(block.as_deref(), timeout.as_deref())?)
            }
        };
        match Message::short(&object) {
            Some(message) => this.send(py, &message, patience)?,
            None => Python::attach(|py| this.send(py, &Message::of(&object)?, patience))?,
        }
        Ok(py.None().into_bound(py))
    }
}

impl Method for Get {
    type Of = Queue;
    const NAME: &'static CStr = c"get";
    const DOC: &'static CStr = c"get($self, block=True, timeout=None)\n--\n\n\
        Take the oldest object out.\n\n\
        Args:\n    \
            block: whether to wait for one.\n    \
            timeout: for how many seconds at most, None for no limit.\n\n\
        Raises:\n    \
            queue.Empty: there is none, or was none in time.\n    \
            ValueError: the queue is closed in this process.\n    \
            Exception: what unpickling the object raises; it is out of the queue then.";

    #[inline]
    fn call<'py>(py: Python<'py>, this: &Queue, given: CallArguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        if this.is_closed() {
            return Err(Queue::closed_error(&given.this()));
        }
        let patience = if given.is_empty() {
            Patience::Until(None)
        } else {
            let [block, timeout] = given.sorted("get", ["block", "timeout"])?;
            patience(block.as_deref(), timeout.as_deref())?
        };
        match this.receive(py, patience)? {
            Some(TakenMessage::Value(value)) => Ok(value),
            Some(taken) => Python::attach(|_| taken.object()),
            None => Err(Queue::empty_error(py)?),
        }
    }
}

/// Puts both into the room's class.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    add_method::<Put>(module.py())?;
    add_method::<Get>(module.py())
}
