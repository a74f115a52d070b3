//! Functions as they are sent: pickled once, and remembered where the pickle stays the same.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};

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
            if let Some((_, id, pickled, name)) = known.iter().find(|(other, ..)| other.is(function)) {
                return Ok(Function { id: *id, pickled: pickled.clone(), name: name.clone(), ..Function::default() });
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
        let pickled: Arc<[u8]> = pickled.into();
        let name = name_of(function);
        if stays && room.blocks.is_empty() {
            let mut known = self.known.lock().expect("no panic while locked");
            let old = if known.len() == FUNCTIONS { Some(known.remove(0)) } else { None };
            known.push((function.clone().unbind(), id, pickled.clone(), name.clone()));
            drop(known);
            drop(old);
        }
        Ok(Function { id, pickled, name, parts: room.blocks, ..Function::default() })
    }
}

/// The name of a function for who looks: that of what a partial or a method calls; "?" where it has none.
pub(super) fn name_of(function: &Bound<'_, PyAny>) -> Arc<str> {
    let called = qualified(function).or_else(|| {
        let inner = function.getattr_opt(intern!(function.py(), "func")).ok().flatten();
        qualified(&inner.unwrap_or_else(|| function.get_type().into_any()))
    });
    let name = called.and_then(|name| name.cast_into::<PyString>().ok());
    name.as_ref().and_then(|name| name.to_str().ok()).unwrap_or("?").into()
}

fn qualified<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    object.getattr_opt(intern!(object.py(), "__qualname__")).ok().flatten()
}
