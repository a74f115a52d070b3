//! What signal handlers and other threads of a worker may ask and tell while its loop runs a task.

use std::sync::Arc;
use std::time::Duration;

use procession::channel::{Badge, current_item, given, is_interrupted};
use procession::platform;
use procession::shared_memory::Segment;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

use crate::error::raised;

/// How long after an interrupt that came in the midst of an import it comes again.
const AGAIN: Duration = Duration::from_millis(2);

/// Whether a frame is part of an import.
fn is_importing(frame: &Bound<'_, PyAny>) -> PyResult<bool> {
    let mut next = frame.clone();
    while !next.is_none() {
        let file = next.getattr("f_code")?.getattr("co_filename")?;
        if file.extract::<String>()?.starts_with("<frozen importlib._bootstrap") {
            return Ok(true);
        }
        next = next.getattr("f_back")?;
    }
    Ok(false)
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
    /// come late, when the item that it was meant for has ended. An import comes to its end first: much of what is loaded
    /// half cannot be loaded again in the same process, and later tasks would fail.
    #[pyo3(signature = (number, frame, /))]
    fn give_up(&self, py: Python<'_>, number: i32, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        if !is_interrupted(&self.segment) {
            return Ok(());
        }
        if is_importing(frame)? && platform::signal_later(number, AGAIN).is_ok() {
            return Ok(());
        }
        let message = "the task was interrupted";
        let loaded = py.import(crate::package::EXCEPTIONS).and_then(|exceptions| exceptions.getattr("TaskTimeout"));
        Err(match loaded.and_then(|exception| exception.call1((message,))) {
            Ok(timeout) => PyErr::from_value(timeout),
            // Not what came: the task may take an OSError for one of its own.
            Err(_) => PyRuntimeError::new_err(message),
        })
    }

    /// A handler of SIGINT that raises KeyboardInterrupt while an item runs: what a task sends to its own process is meant
    /// for it.
    ///
    /// Only if others' are kept from it: a task that sets a handler and takes it back undoes that, which is made good here.
    #[pyo3(signature = (number, frame, /))]
    fn interrupt(&self, number: i32, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = (number, frame);
        let is_own = platform::heed_own_interrupts().map_err(raised)?;
        if is_own && current_item(&self.segment).is_some() { Err(PyKeyboardInterrupt::new_err(())) } else { Ok(()) }
    }

    /// The item that runs now says how much it has done of how much, in words if it likes: the last counts. False where none
    /// runs.
    #[pyo3(signature = (done, total, text, /))]
    fn say(&self, done: f64, total: Option<f64>, text: &str) -> bool {
        let item = current_item(&self.segment);
        if let Some((job, item)) = item {
            Badge::new(self.segment.clone()).say(job, item, done, total, text);
        }
        item.is_some()
    }

    /// The place of this worker among those of the pool, until when the item that runs may, by `time.monotonic`, and how often it
    /// was tried before.
    fn given(&self) -> (u32, Option<f64>, u32) {
        let (until, tries) = given(&self.segment);
        (Badge::new(self.segment.clone()).place(), until.map(|until| until.as_secs_f64()), tries)
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
