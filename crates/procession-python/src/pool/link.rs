//! What a forked child may not touch: a handle of Python leads to its engine in the process that made it alone.

use std::sync::Mutex;

use procession::platform::{identity, pid_of};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// A link to a pool's engine from the process that made it. A forked child leaks its copy instead of dropping it, as
/// threads that it does not have may have locked it.
pub(super) struct Link<T> {
    owner: u64,
    engine: Mutex<Option<T>>,
}

impl<T: Clone> Link<T> {
    pub(super) fn new(engine: T) -> Link<T> {
        Link { owner: identity(), engine: Mutex::new(Some(engine)) }
    }

    pub(super) fn get(&self) -> PyResult<T> {
        if !self.is_ours() {
            return Err(PyRuntimeError::new_err(format!(
                "this pool belongs to process {}: make a Pool in the process that uses it",
                pid_of(self.owner)
            )));
        }
        let engine = self.engine.lock().expect("no panic while locked").clone();
        engine.ok_or_else(|| PyValueError::new_err("Pool not running: it has ended, make a new one"))
    }

    pub(super) fn take(&self) -> Option<T> {
        if self.is_ours() { self.engine.lock().expect("no panic while locked").take() } else { None }
    }
}

impl<T> Link<T> {
    pub(super) fn is_ours(&self) -> bool {
        self.owner == identity()
    }
}

impl<T> Drop for Link<T> {
    fn drop(&mut self) {
        if !self.is_ours() {
            std::mem::forget(std::mem::replace(&mut self.engine, Mutex::new(None)));
        }
    }
}
