//! Arrays that are too small for their buffers to stay apart from a pickle: they go their own way.

use procession::shared_memory::View;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::memory::place::LARGE;
use crate::objects::numpy::{Numpy, is_plain_array};
use crate::package::loaded_module;

/// From so many objects on an array is looked through for what goes as one buffer.
const MANY: usize = 1000;

/// What makes an array small.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of numpy, of exactly its class.
    Array,
    /// A masked one.
    Masked,
    /// One of the interpreter.
    Numbers,
}

/// Which of these a class is.
pub(crate) fn kind_of(class: &Bound<'_, PyType>) -> Option<Kind> {
    let py = class.py();
    if is_plain_array(class) {
        return Some(Kind::Array);
    }
    for (home, name, kind) in [
        (intern!(py, "array"), intern!(py, "array"), Kind::Numbers),
        (intern!(py, "numpy.ma"), intern!(py, "MaskedArray"), Kind::Masked),
    ] {
        if let Some(module) = loaded_module(py, home)
            && module.dict().get_item(name).is_ok_and(|found| found.is_some_and(|found| class.is(&found)))
        {
            return Some(kind);
        }
    }
    None
}

/// Whether an array of such a class goes its own way: none of its memory may be shared on purpose, and its own way keeps its type.
pub(crate) fn is_small(array: &Bound<'_, PyAny>, kind: Kind) -> PyResult<bool> {
    let py = array.py();
    if View::any_shared() {
        return Ok(false); // what lies there goes by its place
    }
    let is_below = |name, most: usize| Ok::<_, PyErr>(array.getattr(name)?.extract::<usize>()? < most);
    match kind {
        Kind::Numbers => {
            let size: usize = array.getattr(intern!(py, "itemsize"))?.extract()?;
            Ok(array.len()? * size < LARGE)
        }
        Kind::Masked => is_below(intern!(py, "nbytes"), LARGE),
        Kind::Array => {
            let dtype = array.getattr(intern!(py, "dtype"))?;
            let is = |of: &Bound<'_, PyAny>, name| of.getattr(name)?.is_truthy();
            if !is_number(&dtype) {
                if is(&dtype, intern!(py, "hasobject"))? {
                    return is_below(intern!(py, "size"), MANY);
                }
                if !is(&dtype, intern!(py, "isnative"))? {
                    return Ok(false); // its own way would make it native
                }
            }
            let is_dense = || is(&array.getattr(intern!(py, "flags"))?, intern!(py, "forc"));
            Ok(is_below(intern!(py, "nbytes"), LARGE)? && is_dense()?)
        }
    }
}

/// Whether the items of an array of numpy are numbers.
pub(crate) fn has_numbers(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = array.py();
    let dtype = array.getattr(intern!(py, "dtype"))?;
    Ok(Numpy::loaded(py).is_some_and(|numpy| numpy.code(&dtype).is_some()))
}

fn is_number(dtype: &Bound<'_, PyAny>) -> bool {
    Numpy::loaded(dtype.py()).is_some_and(|numpy| numpy.types.iter().any(|known| known.is(dtype)))
}

/// How an array is reduced that is small; none if it is not.
pub(crate) fn reduced<'py>(
    array: &Bound<'py, PyAny>,
    class: &Bound<'py, PyType>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = array.py();
    let Some(kind) = kind_of(class) else { return Ok(None) };
    if !is_small(array, kind)? {
        return Ok(None);
    }
    // With a protocol that has buffers numpy offers one for all others.
    let has_buffer = kind == Kind::Array;
    Ok(Some(if has_buffer {
        array.call_method0(intern!(py, "__reduce__"))?
    } else {
        py.NotImplemented().into_bound(py)
    }))
}
