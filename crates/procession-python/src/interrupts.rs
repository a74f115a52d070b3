//! What signal handlers and other threads of a worker may ask and tell while its loop runs a task.

use std::sync::Arc;

use procession::channel::{current_item, is_interrupted};
use procession::shared_memory::Segment;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

/// Whether an error is Ctrl-C, which the main thread gets in the midst of anything: it is not about what was done.
pub(crate) fn is_ctrl_c(py: Python<'_>, error: &PyErr) -> bool {
    let is_main = || -> PyResult<bool> {
        let threading = py.import("threading")?;
        let (current, main) = (threading.call_method0("current_thread")?, threading.call_method0("main_thread")?);
        Ok(current.is(&main))
    };
    error.is_instance_of::<PyKeyboardInterrupt>(py) && is_main().unwrap_or(false)
}

/// Tells whether the parent wants the item that runs now to be given up.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Interrupts {
    segment: Arc<Segment>,
}

impl Interrupts {
    pub(crate) fn of(segment: Arc<Segment>) -> Interrupts {
        Interrupts { segment }
    }
}

#[pymethods]
impl Interrupts {
    /// A signal handler that raises TaskTimeout if it does, or RuntimeError where that cannot be loaded: the signal may
    /// come late, when the item that it was meant for has ended.
    #[pyo3(signature = (number, frame, /))]
    fn give_up(&self, py: Python<'_>, number: i32, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = (number, frame);
        if !is_interrupted(&self.segment) {
            return Ok(());
        }
        let message = "the task was interrupted";
        let loaded = py.import("procession.portable").and_then(|portable| portable.getattr("TaskTimeout"));
        Err(match loaded.and_then(|exception| exception.call1((message,))) {
            Ok(timeout) => PyErr::from_value(timeout),
            // Not what came: the task may take an OSError for one of its own.
            Err(_) => PyRuntimeError::new_err(message),
        })
    }

    /// The number of the job and the place in it of the item that runs now.
    fn item(&self) -> Option<(u64, u64)> {
        current_item(&self.segment)
    }
}

/// How any thread of a worker tells the parent that a note was sent beside the ring.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Line(procession::pool::Line);

impl Line {
    pub(crate) fn of(line: procession::pool::Line) -> Line {
        Line(line)
    }
}

#[pymethods]
impl Line {
    /// Wakes the parent, should it sleep.
    fn note_sent(&self) {
        self.0.note_sent();
    }
}
