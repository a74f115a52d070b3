//! Instances made again of what their pickles would have: attributes, items, entries, state.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

/// The function that pickles name for a new object of a class.
pub(crate) fn new_object<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    static NEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let new = NEW.get_or_try_init(py, || Ok::<_, PyErr>(py.import("copyreg")?.getattr("__newobj__")?.unbind()))?;
    Ok(new.bind(py))
}

/// What a callable makes of its arguments; [`new_object`] is not called for that.
pub(crate) fn made<'py>(callable: &Bound<'py, PyAny>, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = callable.py();
    let new = new_object(py)?;
    match arguments.iter_borrowed().next() {
        Some(class) if callable.is(new) => class.getattr(intern!(py, "__new__"))?.call1(arguments),
        _ => callable.call1(arguments),
    }
}

/// Gives an object its items and entries, as unpickling does.
pub(crate) fn fill(object: &Bound<'_, PyAny>, items: &Bound<'_, PyAny>, entries: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    if !items.is_none() {
        if let Some(extend) = object.getattr_opt(intern!(py, "extend"))? {
            extend.call1((items,))?;
        } else {
            for item in items.cast::<PyList>()? {
                object.call_method1(intern!(py, "append"), (item,))?;
            }
        }
    }
    if !entries.is_none() {
        let entries: Vec<_> = entries.cast::<PyList>()?.iter().collect();
        for pair in entries.chunks_exact(2) {
            object.set_item(&pair[0], &pair[1])?;
        }
    }
    Ok(())
}

/// An instance of the class that `class` begins with, with the attributes that it names; behind None stand names of slots.
pub(crate) fn rebuild<'py>(
    class: &Bound<'py, PyTuple>,
    values: &mut dyn Iterator<Item = PyResult<Bound<'py, PyAny>>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let mut names = class.iter_borrowed().peekable();
    let class = names.next().ok_or_else(|| PyValueError::new_err("an instance arrived without its class"))?;
    let object = class.call_method1(intern!(py, "__new__"), (class,))?;
    if names.next_if(|name| name.is_none()).is_some() {
        for (name, value) in names.zip(values) {
            object.setattr(name.cast::<PyString>()?, value?)?;
        }
        return Ok(object);
    }
    let attributes = object.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    for (name, value) in names.zip(values) {
        attributes.set_item(name, value?)?;
    }
    Ok(object)
}

/// An attribute, if there is one: most objects have none, and the interpreter's own function makes no exception for that.
fn optional<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let get = GET.get_or_try_init(py, || Ok::<_, PyErr>(py.import("builtins")?.getattr("getattr")?.unbind()))?;
    let found = get.bind(py).call1((object, name, get))?;
    Ok((!found.is(get)).then_some(found))
}

/// Gives an object its state, as unpickling does.
pub(crate) fn set_state(object: &Bound<'_, PyAny>, state: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    if let Some(set) = optional(object, intern!(py, "__setstate__"))? {
        return set.call1((state,)).map(drop);
    }
    let (attributes, slots) = match state.cast::<PyTuple>() {
        Ok(both) if both.len() == 2 => (both.get_item(0)?, Some(both.get_item(1)?)),
        _ => (state.clone(), None),
    };
    if attributes.is_truthy()? {
        let own = object.getattr(intern!(py, "__dict__"))?;
        for (name, value) in attributes.cast::<PyDict>()? {
            let name = match name.cast_exact::<PyString>() {
                Ok(text) => text.to_str().map_or_else(|_| name.clone(), |text| PyString::intern(py, text).into_any()),
                Err(_) => name,
            };
            own.set_item(name, value)?;
        }
    }
    if let Some(slots) = slots.filter(|slots| slots.is_truthy().unwrap_or(true)) {
        for (name, value) in slots.cast::<PyDict>()? {
            object.setattr(name.cast::<PyString>()?, value)?;
        }
    }
    Ok(())
}
