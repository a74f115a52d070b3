//! What is used of numpy, once a process has loaded it.

use procession::shared_memory::View;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyModule, PyType};

use crate::memory::place::LARGE;
use crate::package::loaded_module;

/// The characters of the types of numbers that have a code: their places here.
pub(crate) const TYPES: &str = "?bBhHiIlLqQefdFD";
/// The place of booleans.
pub(crate) const BOOLEAN: usize = 0;

/// The parts of numpy that are used.
pub(crate) struct Numpy {
    /// The class of arrays.
    pub array: Py<PyAny>,
    /// The classes of single numbers, and the types of numbers in arrays, in the order of `TYPES`.
    pub classes: Vec<Py<PyAny>>,
    pub types: Vec<Py<PyAny>>,
    pub sizes: Vec<usize>,
    /// The two booleans.
    pub truth: Py<PyAny>,
    pub falsehood: Py<PyAny>,
    /// Makes an array of a shape and a type.
    pub empty: Py<PyAny>,
    /// Makes a number of a type from bytes.
    pub scalar: Py<PyAny>,
}

static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();

impl Numpy {
    fn of(module: &Bound<'_, PyModule>) -> PyResult<Numpy> {
        let names = module.dict();
        let part = |name: &str| names.get_item(name)?.ok_or_else(|| PyAttributeError::new_err(name.to_owned()));
        let dtype = part("dtype")?;
        let types = TYPES.chars().map(|char| dtype.call1((char,))).collect::<PyResult<Vec<_>>>()?;
        let number = part("float64")?.call1((0.0,))?;
        let boolean = types[BOOLEAN].getattr("type")?;
        Ok(Numpy {
            array: part("ndarray")?.unbind(),
            classes: types.iter().map(|one| one.getattr("type").map(Bound::unbind)).collect::<PyResult<_>>()?,
            sizes: types.iter().map(|one| one.getattr("itemsize")?.extract()).collect::<PyResult<_>>()?,
            types: types.into_iter().map(Bound::unbind).collect(),
            truth: boolean.call1((true,))?.unbind(),
            falsehood: boolean.call1((false,))?.unbind(),
            empty: part("empty")?.unbind(),
            scalar: number.call_method0("__reduce__")?.get_item(0)?.unbind(),
        })
    }

    /// numpy, if this process has loaded all of it.
    pub(crate) fn loaded(py: Python<'_>) -> Option<&Numpy> {
        if let Some(known) = NUMPY.get(py) {
            return Some(known);
        }
        let module = loaded_module(py, pyo3::intern!(py, "numpy"))?;
        NUMPY.get_or_try_init(py, || Numpy::of(&module)).ok()
    }

    /// The code of a type of numbers.
    pub(crate) fn code(&self, dtype: &Bound<'_, PyAny>) -> Option<usize> {
        if let Some(code) = self.types.iter().position(|known| known.is(dtype)) {
            return Some(code);
        }
        // One that came out of a pickle is an object of its own.
        let char: char = dtype.getattr("char").ok()?.extract().ok()?;
        let code = TYPES.find(char)?;
        let same = dtype.eq(&self.types[code]).ok()? && dtype.getattr("metadata").ok()?.is_none();
        same.then_some(code)
    }
}

/// Whether a class is exactly that of numpy's arrays.
pub(crate) fn is_plain_array(class: &Bound<'_, PyType>) -> bool {
    Numpy::loaded(class.py()).is_some_and(|numpy| class.is(&numpy.array))
}

/// Whether a class is numpy's arrays' or is derived from it.
pub(crate) fn is_array(class: &Bound<'_, PyType>) -> bool {
    Numpy::loaded(class.py()).is_some_and(|numpy| class.is_subclass(numpy.array.bind(class.py())).unwrap_or(true))
}

/// Whether an object of a class that is derived from numpy's arrays has so many bytes that they are not pickled.
pub(crate) fn is_large_array(object: &Bound<'_, PyAny>, class: &Bound<'_, PyType>) -> bool {
    let Some(numpy) = Numpy::loaded(object.py()) else { return false };
    let size = || object.getattr(pyo3::intern!(object.py(), "nbytes")).ok()?.extract::<usize>().ok();
    class.is_subclass(numpy.array.bind(object.py())).unwrap_or(false)
        && size().is_some_and(|size| size >= LARGE || size > 0 && View::any_shared())
}

/// Whether a value is an array of exactly numpy's own class that holds no objects.
pub(crate) fn is_array_of_numbers(value: &Bound<'_, PyAny>) -> bool {
    let Some(numpy) = Numpy::loaded(value.py()) else { return false };
    let has_objects = || value.getattr("dtype")?.getattr("hasobject")?.is_truthy();
    value.get_type().is(&numpy.array) && has_objects().is_ok_and(|has| !has)
}

/// numpy, which is loaded if need be.
pub(crate) fn numpy_of(py: Python<'_>) -> PyResult<&Numpy> {
    NUMPY.get_or_try_init(py, || {
        let module = py.import("numpy")?;
        module.getattr("ndarray")?; // loads it, where that was to wait until it is used
        Numpy::of(&module)
    })
}
