//! The functions that a worker keeps.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::WorkerCore;
use crate::error::raised;
use crate::values::{self, Preamble};
use crate::worker::memory::PoolShelf;

/// The most functions that a worker keeps.
const FUNCTIONS: usize = 64;

impl WorkerCore {
    /// The function for the item with the number `at`: as it was sent, for the first of those that share it, and for one that
    /// went back and comes again when others behind it have run.
    pub(super) fn function(&mut self, py: Python<'_>, preamble: &Preamble<'_>, at: u64) -> PyResult<Py<PyAny>> {
        if let Some(sharers) = preamble.sharers(at) {
            let shared_by = (preamble.function, sharers);
            if std::mem::replace(&mut self.shared_by, shared_by) != shared_by || at < self.reached {
                self.forget(py, preamble.function)?;
            }
        }
        if let Some(function) = self.functions.get(&preamble.function) {
            if self.current_id != preamble.function {
                self.current_id = preamble.function;
                self.current.bind(py).set_item(0, function)?;
            }
            return Ok(function.clone_ref(py));
        }
        if self.current_id != 0 {
            // A large function is held in one place only.
            self.current_id = 0;
            self.current.bind(py).set_item(0, py.None())?;
        }
        match &self.large_function {
            Some((id, function)) if *id == preamble.function => return Ok(function.clone_ref(py)),
            Some(_) => {
                self.large_function = None;
                // Its memory is wanted before this record ends, which may take long or much.
                self.worker.tidied().map_err(raised)?;
            }
            None => {}
        }
        let mut read = Vec::new();
        let mut bytes = match preamble.pickled {
            Ok(pickled) => pickled,
            Err((offset, size)) => {
                if !self.worker.read_block(offset, size, &mut read) {
                    return Err(PyRuntimeError::new_err("a function's block lies outside of the pool's segment"));
                }
                &read[..]
            }
        };
        let is_large = values::has_parts(bytes);
        let function = values::decode(py, &mut bytes, &self.shelf())?.unbind();
        if is_large {
            self.large_function = Some((preamble.function, function.clone_ref(py)));
            return Ok(function);
        }
        if self.functions.len() >= FUNCTIONS {
            self.functions.clear();
        }
        self.functions.insert(preamble.function, function.clone_ref(py));
        self.current_id = preamble.function;
        self.current.bind(py).set_item(0, &function)?;
        Ok(function)
    }

    /// Lets go of a function.
    pub(super) fn forget(&mut self, py: Python<'_>, id: u64) -> PyResult<()> {
        if self.current_id == id {
            self.current_id = 0;
            self.current.bind(py).set_item(0, py.None())?;
        }
        let large = self.large_function.take_if(|(large, _)| *large == id);
        drop((self.functions.remove(&id), large));
        Ok(())
    }

    pub(super) fn shelf(&self) -> PoolShelf {
        let (segment, holdings) = (self.worker.pool_segment().clone(), self.worker.holdings().clone());
        PoolShelf { segment, holdings, common: self.common.clone() }
    }
}
