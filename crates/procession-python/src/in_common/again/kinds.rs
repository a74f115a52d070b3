//! Which objects may have parts that get places, and which may come again.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PySet, PyString, PyTuple};

use super::WORTH_IN_A_ROW;
use crate::memory::buffer::is_referred_to_by;
use crate::objects::instances::TUPLE_ITEMS;
use crate::objects::numeric::{self, Numeric};
use crate::objects::numpy::is_array_of_numbers;
use crate::values::{self, DEPTH};

/// Whether an object may have parts that get places, at a depth of tuples, lists and dicts.
pub(super) fn is_container(value: &Bound<'_, PyAny>, depth: usize) -> bool {
    let size = if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        tuple.len()
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        list.len()
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        dict.len()
    } else {
        return false;
    };
    size <= TUPLE_ITEMS && depth < DEPTH
}

/// Whether an object is a text, or bytes, that is sent as enough bytes.
pub(super) fn is_worth_a_look(value: &Bound<'_, PyAny>) -> bool {
    let is_text = value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyBytes>();
    is_text && value.len().is_ok_and(|size| size >= WORTH_IN_A_ROW)
}

/// Whether an object is bytes or numbers that can change, of which no other object has a part.
pub(super) fn is_memory(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyByteArray>() || is_array_of_numbers(value)
}

/// Whether an object is a number of numpy.
pub(super) fn is_number(value: &Bound<'_, PyAny>) -> bool {
    matches!(numeric::kind_of(value), Some(Numeric::Number | Numeric::Boolean(_)))
}

/// Whether an object to which so many references are known has no others: it goes when they do. What can be referred to
/// weakly may be had by those, too, as long as somebody has it.
pub(super) fn is_passing(value: &Bound<'_, PyAny>, references: isize) -> bool {
    if !is_referred_to_by(value, references) {
        return false;
    }
    let plain = value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyDict>();
    plain || has_no_weak_references(value).unwrap_or(false)
}

fn has_no_weak_references(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COUNT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let count =
        COUNT.get_or_try_init(py, || Ok::<_, PyErr>(py.import("_weakref")?.getattr("getweakrefcount")?.unbind()))?;
    Ok(count.bind(py).call1((value,))?.extract::<usize>()? == 0)
}

/// Whether it does not matter that two such objects are one, or they are too small for that.
pub(super) fn is_nothing_to_share(value: &Bound<'_, PyAny>) -> bool {
    if value.is_exact_instance_of::<PyTuple>() {
        return values::is_lasting(value, 0);
    }
    !(value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyDict>()
        || value.is_exact_instance_of::<PySet>()
        || is_memory(value))
}
