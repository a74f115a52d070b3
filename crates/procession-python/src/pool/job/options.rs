//! What a call of a pool's method asks for beside its results, as Python says it.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// What a call asked for beside the results.
#[derive(Default)]
pub(crate) struct Options {
    /// How long an item may run.
    pub timeout: Option<Duration>,
    /// How often an item is tried again.
    pub retries: u32,
    /// After which exceptions, beside the death of a worker: a class or a tuple of classes.
    pub retry_on: Option<Py<PyAny>>,
    /// What the scheduler is to know, until the job is handed in.
    pub special: Option<Box<procession::pool::Wishes>>,
    /// What is told of outcomes.
    pub collector: Option<Collector>,
}

impl Options {
    /// Whether the failure that came first is the job's, not that of the first item.
    pub(super) fn by_time(&self) -> bool {
        self.collector.as_ref().is_some_and(|collector| collector.by_time)
    }
}

/// What becomes of the outcomes of a job beside being stored.
pub(crate) struct Collector {
    /// Is called with a list of places and results, of those that have come.
    pub(super) told: Option<Py<PyAny>>,
    /// Is called with a place, its item and the exception, and returns what is stored as the result.
    pub(super) failed: Option<Py<PyAny>>,
    /// Whether the failure that came first counts, not that of the first item.
    pub by_time: bool,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Collector {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Collector> {
        let (told, failed, by_time) = object.extract()?;
        Ok(Collector { told, failed, by_time })
    }
}

/// A tuple: seconds an item may run, how often it is tried again, after which exceptions; and, for some, what is told of
/// outcomes, how urgent the job is, what its records hold, and in which order its chunks go out.
pub(crate) type Wishes = Option<Options>;

impl<'a, 'py> FromPyObject<'a, 'py> for Options {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Options> {
        let wishes = object.cast::<PyTuple>()?;
        let timeout: Option<f64> = wishes.get_item(0)?.extract()?;
        let special = if wishes.len() > 4 {
            let (priority, needs, order) = wishes.get_slice(4, 7).extract()?;
            Some(Box::new(procession::pool::Wishes { priority, order, needs }))
        } else {
            None
        };
        Ok(Options {
            timeout: timeout.map(Duration::from_secs_f64),
            retries: wishes.get_item(1)?.extract()?,
            retry_on: wishes.get_item(2)?.extract()?,
            collector: wishes.iter().nth(3).map(|collector| collector.extract()).transpose()?.flatten(),
            special,
        })
    }
}
