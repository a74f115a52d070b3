//! Which functions stay as they are, however often they are called.

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyModule, PyTuple, PyType};

use crate::package::INFORMED;
use crate::values::is_lasting;

/// Whether what is called is found by its name, so that its pickle stays the same.
pub(crate) fn is_named(function: &Bound<'_, PyAny>) -> bool {
    if function.is_exact_instance_of::<PyCFunction>() {
        // The method of a list, or of another object that can change, is of this class, too.
        return function.getattr("__self__").is_ok_and(|owner| owner.is_none() || owner.is_instance_of::<PyModule>());
    }
    function.is_exact_instance_of::<PyFunction>() || function.is_exact_instance_of::<PyType>()
}

/// Whether a call leaves nothing in what is called; false for all that may hold an object that changes.
pub(crate) fn is_stateless(function: &Bound<'_, PyAny>) -> bool {
    if is_named(function) || function.is_instance_of::<PyType>() {
        return true;
    }
    is_of_class(function).unwrap_or(false) || is_plain_partial(function).unwrap_or(false)
}

/// Whether it is a method that is bound to a class.
fn is_of_class(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    let class = function.get_type();
    let is_method = class.name()? == "method" && class.module()? == "builtins";
    Ok(is_method && function.getattr("__self__")?.is_instance_of::<PyType>())
}

/// Whether it is a `functools.partial` of such a function with arguments that cannot change.
fn is_plain_partial(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    let class = function.get_type();
    let (name, module) = (class.name()?, class.module()?);
    // The values that a function brings along for its tasks do not change either.
    if (name != "partial" || module != "functools") && module != INFORMED {
        return Ok(false);
    }
    let (inner, args, keywords) = (function.getattr("func")?, function.getattr("args")?, function.getattr("keywords")?);
    Ok(is_stateless(&inner)
        && args.cast::<PyTuple>()?.iter().all(|value| is_lasting(&value, 0))
        && keywords.cast::<PyDict>()?.values().iter().all(|value| is_lasting(&value, 0)))
}
