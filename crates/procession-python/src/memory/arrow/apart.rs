//! Tables and columns taken apart: into tuples with their buffers, which hold the library's array.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyMemoryView, PyTuple};

use super::layout::{layout, sizes};
use super::{Array, ArrowStream, Schema};

/// How deep columns nest at most.
const DEPTH: usize = 64;

/// A buffer of an array that another library holds.
#[pyclass(frozen, module = "procession._procession")]
struct Column {
    _array: Arc<Array>,
    address: usize,
    size: usize,
}

#[pymethods]
impl Column {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let (place, size) = (slf.get().address as *mut c_void, slf.get().size as ffi::Py_ssize_t);
        // SAFETY: the interpreter passes a Py_buffer to be filled; its exporter is this object, which holds the array, which
        // has as many bytes there as its type and its length say. They are only read.
        let answer = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), place, size, 1, flags) };
        if answer == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// What is known of a type, and the arrays of it.
type Parts<'py> = (Bound<'py, PyAny>, Vec<Bound<'py, PyAny>>);

/// `(type, arrays)` of an object that offers Arrow's interface of a stream or of an array; None if there is something in it
/// that is not known here, or no array.
#[pyfunction]
pub(super) fn arrow_parts<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Parts<'py>>> {
    let py = object.py();
    let mut schema = Schema::empty();
    let mut arrays = Vec::new();
    if object.hasattr("__arrow_c_stream__")? {
        let capsule = object.call_method0("__arrow_c_stream__")?;
        let stream = capsule.cast::<PyCapsule>()?.pointer_checked(Some(c"arrow_array_stream"))?.cast::<ArrowStream>();
        // SAFETY: the capsule of this name holds such a stream, which it releases when it goes, not before this returns. Each
        // call fills a structure that is ours, unless it fails.
        unsafe {
            let stream = stream.as_ptr();
            let (Some(get_schema), Some(get_next)) = ((*stream).get_schema, (*stream).get_next) else {
                return Ok(None);
            };
            if get_schema(stream, &raw mut schema) != 0 {
                return Err(failed(stream));
            }
            loop {
                let mut array = Array::empty();
                if get_next(stream, &raw mut array) != 0 {
                    return Err(failed(stream));
                }
                if array.release.is_none() {
                    break;
                }
                arrays.push(array);
            }
        }
    } else {
        let capsules = object.call_method0("__arrow_c_array__")?;
        let (of_schema, of_array): (Bound<'py, PyCapsule>, Bound<'py, PyCapsule>) = capsules.extract()?;
        let of_schema = of_schema.pointer_checked(Some(c"arrow_schema"))?.cast::<Schema>();
        let of_array = of_array.pointer_checked(Some(c"arrow_array"))?.cast::<Array>();
        // SAFETY: capsules of these names hold such structures, which are moved out of them: what is left there is released.
        unsafe {
            schema = of_schema.as_ptr().replace(Schema::empty());
            arrays.push(of_array.as_ptr().replace(Array::empty()));
        }
    }
    // SAFETY: they were made for each other, and live until this returns.
    let described = unsafe { describe(py, &raw const schema, 0)? };
    let Some(described) = described.filter(|_| !arrays.is_empty()) else { return Ok(None) };
    let mut parts = Vec::with_capacity(arrays.len());
    for array in arrays {
        let array = Arc::new(array);
        // SAFETY: as above, and what is made of it holds the array.
        match unsafe { take_apart(py, &raw const schema, Arc::as_ptr(&array), &array)? } {
            Some(part) => parts.push(part),
            None => return Ok(None),
        }
    }
    Ok(Some((described, parts)))
}

/// # Safety
/// The stream is one.
unsafe fn failed(stream: *mut ArrowStream) -> PyErr {
    // SAFETY: as above; the text lives until the next call.
    let text = unsafe {
        (*stream).get_last_error.map(|get| get(stream)).filter(|text| !text.is_null()).map(|text| CStr::from_ptr(text))
    };
    PyValueError::new_err(text.unwrap_or(c"a stream of arrays failed").to_string_lossy().into_owned())
}

/// A type as a tuple; none if it is not known here.
///
/// # Safety
/// `schema` is whole.
unsafe fn describe<'py>(py: Python<'py>, schema: *const Schema, depth: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: texts end with a zero, children are as many as said, metadata says itself how long it is.
    unsafe {
        let schema = &*schema;
        let format = CStr::from_ptr(schema.format).to_bytes();
        if depth == DEPTH || layout(format).is_none() {
            return Ok(None);
        }
        let name = (!schema.name.is_null()).then(|| PyBytes::new(py, CStr::from_ptr(schema.name).to_bytes()));
        let metadata = (!schema.metadata.is_null()).then(|| PyBytes::new(py, metadata_of(schema.metadata)));
        let mut children = Vec::new();
        for index in 0..schema.n_children as usize {
            match describe(py, *schema.children.add(index), depth + 1)? {
                Some(child) => children.push(child),
                None => return Ok(None),
            }
        }
        let mut dictionary = None;
        if !schema.dictionary.is_null() {
            dictionary = describe(py, schema.dictionary, depth + 1)?;
            if dictionary.is_none() {
                return Ok(None);
            }
        }
        let children = PyTuple::new(py, children)?;
        let parts = (PyBytes::new(py, format), name, metadata, schema.flags, children, dictionary);
        Ok(Some(parts.into_pyobject(py)?.into_any()))
    }
}

/// # Safety
/// `metadata` is a number of pairs, each text behind its size.
unsafe fn metadata_of<'a>(metadata: *const c_char) -> &'a [u8] {
    // SAFETY: as said.
    unsafe {
        let number = |at: usize| metadata.add(at).cast::<i32>().read_unaligned();
        let mut size = 4;
        for _ in 0..2 * number(0) {
            size += 4 + number(size) as usize;
        }
        std::slice::from_raw_parts(metadata.cast(), size)
    }
}

/// An array as a tuple with its buffers, which hold `owner`; none if it is not as its type says.
///
/// # Safety
/// `array` is of the type, and a part of `owner`.
unsafe fn take_apart<'py>(
    py: Python<'py>,
    schema: *const Schema,
    array: *const Array,
    owner: &Arc<Array>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: as said; where buffers are and how large they are follows from type, length and offset.
    unsafe {
        let (schema, array) = (&*schema, &*array);
        let format = CStr::from_ptr(schema.format).to_bytes();
        let Some(kind) = layout(format) else { return Ok(None) };
        if array.n_children != schema.n_children || array.dictionary.is_null() != schema.dictionary.is_null() {
            return Ok(None);
        }
        // Whole bytes of bits before the first item stay here.
        let skipped = if kind.can_skip() { array.offset as usize & !7 } else { 0 };
        let offset = array.offset as usize - skipped;
        let at = |index: usize| *array.buffers.add(index) as usize;
        let starts: Vec<usize> = (0..array.n_buffers as usize).map(|index| kind.start(index, skipped)).collect();
        let number = |index: usize, place: usize, wide: bool| {
            if at(index) == 0 {
                return -1;
            }
            let place = (at(index) + starts[index] + place) as *const u8;
            if wide { place.cast::<i64>().read_unaligned() } else { i64::from(place.cast::<i32>().read_unaligned()) }
        };
        let Some(sizes) = sizes(&kind, array.length as usize, offset, array.n_buffers as usize, &number) else {
            return Ok(None);
        };
        let mut buffers = Vec::with_capacity(sizes.len());
        for (index, size) in sizes.into_iter().enumerate() {
            buffers.push(match at(index) {
                0 => py.None().into_bound(py),
                address => {
                    let column = Column { _array: Arc::clone(owner), address: address + starts[index], size };
                    PyMemoryView::from(Bound::new(py, column)?.as_any())?.into_any()
                }
            });
        }
        let mut children = Vec::new();
        for index in 0..array.n_children as usize {
            match take_apart(py, *schema.children.add(index), *array.children.add(index), owner)? {
                Some(child) => children.push(child),
                None => return Ok(None),
            }
        }
        let mut dictionary = None;
        if !array.dictionary.is_null() {
            dictionary = take_apart(py, schema.dictionary, array.dictionary, owner)?;
            if dictionary.is_none() {
                return Ok(None);
            }
        }
        let (buffers, children) = (PyTuple::new(py, buffers)?, PyTuple::new(py, children)?);
        let parts = (array.length, array.null_count, offset, buffers, children, dictionary);
        Ok(Some(parts.into_pyobject(py)?.into_any()))
    }
}
