//! Functions as they are sent: pickled once, and remembered where the pickle stays the same.

use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::PoolCore;
use crate::error::traced;
use crate::objects::naming::Scope;
use crate::objects::reducers::by_value_count;
use crate::pool::drive::{FunctionRoom, Inner};
use crate::pool::job::Function;
use crate::pool::stateless::is_named;
use crate::values::{self};

/// How many functions are remembered with their pickles.
const FUNCTIONS: usize = 16;

impl PoolCore {
    /// A function as it is sent, with the blocks of its large parts; what is a plain function or class is remembered.
    pub(super) fn function(&self, py: Python<'_>, inner: &Inner, function: &Bound<'_, PyAny>) -> PyResult<Function> {
        let lasting = is_named(function);
        if lasting {
            let known = self.known.lock().expect("no panic while locked");
            if let Some((_, id, pickled)) = known.iter().find(|(other, _, _)| other.is(function)) {
                return Ok(Function { id: *id, pickled: pickled.clone(), ..Function::default() });
            }
        }
        if !function.is_callable() {
            let kind = function.get_type().name()?;
            return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                "'{kind}' object is not callable: a pool needs a function"
            )));
        }
        let mut pickled = Vec::new();
        let support = inner.support.bind(py);
        let mut room = FunctionRoom { inner, blocks: Vec::new() };
        // Whether it goes by value, or what is pickled in its place, so that it brings along what the worker is to know.
        let answer = support.call_method1("needs_value", (function,))?;
        let sent = if answer.is_instance_of::<PyBool>() { function } else { &answer };
        let by_value = by_value_count();
        let encoded = {
            let _scope = Scope::to(inner.receiver(py)?);
            values::encode_pickle(sent, &mut pickled, &mut room)
        };
        if let Err(error) = encoded {
            inner.release(std::mem::take(&mut room.blocks));
            let error = support.call_method1("explained", (traced(py, &error), function))?;
            return Err(PyErr::from_value(error));
        }
        // A function by value may consist of other things by the next job.
        let stays = lasting && by_value_count() == by_value;
        let id = {
            let mut shared = inner.shared();
            shared.next_function += 1;
            shared.next_function
        };
        if stays && room.blocks.is_empty() {
            let mut known = self.known.lock().expect("no panic while locked");
            let old = if known.len() == FUNCTIONS { Some(known.remove(0)) } else { None };
            known.push((function.clone().unbind(), id, pickled.clone()));
            drop(known);
            drop(old);
        }
        Ok(Function { id, pickled, parts: room.blocks, ..Function::default() })
    }
}
