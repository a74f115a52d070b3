//! What a call wants to be told of its outcomes: of results as they come, and of failures that become values.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{Answer, Job};
use crate::error::is_interrupt;

impl Job {
    /// Whether somebody wants to be told of results.
    pub(crate) fn tells(&self) -> bool {
        self.options.collector.as_ref().is_some_and(|collector| collector.told.is_some())
    }

    /// Tells of results that have come, each with its place, but of those that have an outcome already: the first counts. An
    /// error means that they could not be kept.
    pub(crate) fn tell(&self, py: Python<'_>, news: &[(u64, Py<PyAny>)]) -> PyResult<()> {
        let told = self.options.collector.as_ref().and_then(|collector| collector.told.as_ref());
        let mut heard = HashSet::new();
        let mut is_new = |item| heard.insert(item) && self.state().lacks(item);
        let news: Vec<_> = news.iter().filter(|(item, _)| is_new(*item)).map(|(item, value)| (*item, value)).collect();
        match told {
            Some(told) if !news.is_empty() => told.call1(py, (PyList::new(py, news)?,)).map(drop),
            _ => Ok(()),
        }
    }

    /// The outcome of an item that has failed for good: what the call makes of it, or the exception.
    pub(crate) fn answer_to(
        &self,
        py: Python<'_>,
        item: u64,
        failure: Py<PyAny>,
        interrupt: &mut Option<PyErr>,
    ) -> Answer {
        let failed = self.options.collector.as_ref().and_then(|collector| collector.failed.as_ref());
        let Some(failed) = failed else { return Err(failure) };
        let given = self.items(py, item, 1).pop();
        match failed.call1(py, (item, given, &failure)) {
            Ok(value) => Ok(value),
            Err(error) => {
                if is_interrupt(py, &error) {
                    *interrupt = Some(error);
                }
                Err(failure)
            }
        }
    }
}
