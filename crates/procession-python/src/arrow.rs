//! Tables and columns by Arrow's C interface: taken apart into descriptions and buffers, and put together again on buffers
//! that lie wherever they arrived.
//!
//! The third file of the binding with unsafe code: the interface is two structures of pointers, and the only way into and out of
//! libraries such as polars that neither copies nor needs one more library. What somebody holds of an array is freed by
//! whichever thread drops it last, attached to the interpreter or not: so nothing that is held here is an object of Python.
//!
//! A long file: what is taken apart here is put together here, by the same structures.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use procession::shared_memory::View;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyMemoryView, PyTuple};

use crate::arrow_layout::{Layout, layout, sizes};
use crate::buffer::{copy_of, lender};

/// How deep columns nest at most.
const DEPTH: usize = 64;

/// Describes the type of an array, as the interface defines it.
#[repr(C)]
struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut Schema,
    dictionary: *mut Schema,
    release: Option<unsafe extern "C" fn(*mut Schema)>,
    private_data: *mut c_void,
}

/// The buffers of an array, as the interface defines it.
#[repr(C)]
struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut Array,
    dictionary: *mut Array,
    release: Option<unsafe extern "C" fn(*mut Array)>,
    private_data: *mut c_void,
}

/// Gives arrays of one type, as the interface defines it.
#[repr(C)]
struct Stream {
    get_schema: Option<unsafe extern "C" fn(*mut Stream, *mut Schema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut Stream, *mut Array) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut Stream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut Stream)>,
    private_data: *mut c_void,
}

impl Schema {
    const fn empty() -> Schema {
        Schema {
            format: null(),
            name: null(),
            metadata: null(),
            flags: 0,
            n_children: 0,
            children: null_mut(),
            dictionary: null_mut(),
            release: None,
            private_data: null_mut(),
        }
    }
}

impl Array {
    const fn empty() -> Array {
        Array {
            length: 0,
            null_count: 0,
            offset: 0,
            n_buffers: 0,
            n_children: 0,
            buffers: null_mut(),
            children: null_mut(),
            dictionary: null_mut(),
            release: None,
            private_data: null_mut(),
        }
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: whoever has set `release` wants it called once with the structure, and sets it to null then.
            unsafe { release(self) }
        }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: as of a schema.
            unsafe { release(self) }
        }
    }
}

// SAFETY: the interface lets any thread use and release these structures, one at a time.
unsafe impl Send for Schema {}
// SAFETY: as above.
unsafe impl Send for Array {}
// SAFETY: nothing is changed through a shared reference.
unsafe impl Sync for Array {}

// -- taken apart ------------------------------------------------------------------------------------------------------

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
fn arrow_parts<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Parts<'py>>> {
    let py = object.py();
    let mut schema = Schema::empty();
    let mut arrays = Vec::new();
    if object.hasattr("__arrow_c_stream__")? {
        let capsule = object.call_method0("__arrow_c_stream__")?;
        let stream = capsule.cast::<PyCapsule>()?.pointer_checked(Some(c"arrow_array_stream"))?.cast::<Stream>();
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
unsafe fn failed(stream: *mut Stream) -> PyErr {
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
        // What lies before the first item stays here, as far as it is whole bytes of bits.
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

// -- put together -----------------------------------------------------------------------------------------------------

/// What keeps the bytes of a buffer where they are.
enum Held {
    View { _view: Arc<View> },
    Own { _bytes: Vec<Aligned> },
}

/// Bytes at an address that suits every type.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Aligned([u8; 64]);

static NOTHING: Aligned = Aligned([0; 64]);

/// What a schema that is made here points to. The texts do not move, as nobody changes them.
struct OfSchema {
    _texts: (CString, Option<CString>, Option<Vec<u8>>),
    children: Vec<*mut Schema>,
}

/// What an array that is made here points to.
struct OfArray {
    _held: Vec<Held>,
    buffers: Vec<*const c_void>,
    children: Vec<*mut Array>,
}

unsafe extern "C" fn release_schema(schema: *mut Schema) {
    // SAFETY: it is called once, with a structure that `new_schema` has made, wherever it was moved to; children that others
    // have taken are empty.
    unsafe {
        let own = Box::from_raw((*schema).private_data.cast::<OfSchema>());
        own.children.iter().for_each(|child| drop(Box::from_raw(*child)));
        if !(*schema).dictionary.is_null() {
            drop(Box::from_raw((*schema).dictionary));
        }
        (*schema).release = None;
    }
}

unsafe extern "C" fn release_array(array: *mut Array) {
    // SAFETY: as of a schema, with one that `new_array` has made.
    unsafe {
        let own = Box::from_raw((*array).private_data.cast::<OfArray>());
        own.children.iter().for_each(|child| drop(Box::from_raw(*child)));
        if !(*array).dictionary.is_null() {
            drop(Box::from_raw((*array).dictionary));
        }
        (*array).release = None;
    }
}

fn malformed() -> PyErr {
    PyValueError::new_err("a table arrived malformed")
}

type SchemaParts<'py> =
    (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>, i64, Vec<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

fn new_schema(parts: &Bound<'_, PyAny>) -> PyResult<Box<Schema>> {
    let (format, name, metadata, flags, children, dictionary): SchemaParts<'_> = parts.extract()?;
    let children = children.iter().map(new_schema).collect::<PyResult<Vec<_>>>()?;
    let dictionary = dictionary.as_ref().map(new_schema).transpose()?;
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| malformed());
    let (format, name) = (text(format)?, name.map(text).transpose()?);
    let mut schema = Box::new(Schema::empty());
    schema.format = format.as_ptr();
    schema.name = name.as_ref().map_or(null(), |name| name.as_ptr());
    schema.metadata = metadata.as_ref().map_or(null(), |metadata| metadata.as_ptr().cast());
    schema.flags = flags;
    schema.n_children = children.len() as i64;
    let mut own = Box::new(OfSchema {
        _texts: (format, name, metadata),
        children: children.into_iter().map(Box::into_raw).collect(),
    });
    schema.children = own.children.as_mut_ptr();
    schema.dictionary = dictionary.map_or(null_mut(), Box::into_raw);
    schema.private_data = Box::into_raw(own).cast();
    schema.release = Some(release_schema);
    Ok(schema)
}

type ArrayParts<'py> =
    (i64, i64, i64, Vec<Option<Bound<'py, PyAny>>>, Vec<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

fn new_array(schema: &Bound<'_, PyAny>, parts: &Bound<'_, PyAny>) -> PyResult<Box<Array>> {
    let (format, _, _, _, types, of_dictionary): SchemaParts<'_> = schema.extract()?;
    let (length, null_count, offset, given, children, dictionary): ArrayParts<'_> = parts.extract()?;
    let kind = layout(&format).ok_or_else(malformed)?;
    if types.len() != children.len() || of_dictionary.is_some() != dictionary.is_some() || length < 0 || offset < 0 {
        return Err(malformed());
    }
    let (mut held, mut buffers, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for buffer in given {
        let Some(buffer) = buffer else {
            buffers.push(null());
            lengths.push(None);
            continue;
        };
        let (address, size, keeper) = hold(&buffer)?;
        buffers.push(address);
        lengths.push(Some(size));
        held.extend(keeper);
    }
    check(&kind, (length as usize, offset as usize), &buffers, &lengths)?;
    let children: Vec<_> =
        types.iter().zip(&children).map(|(of, child)| new_array(of, child)).collect::<PyResult<_>>()?;
    let wanted = wanted_of_children(&kind, &format, (length + offset) as usize, &buffers).ok_or_else(malformed)?;
    if children.iter().any(|child| (child.length as usize) < wanted) {
        return Err(malformed());
    }
    let dictionary = match (of_dictionary, dictionary) {
        (Some(of), Some(parts)) => Some(new_array(&of, &parts)?),
        _ => None,
    };
    let mut array = Box::new(Array::empty());
    (array.length, array.null_count, array.offset) = (length, null_count, offset);
    (array.n_buffers, array.n_children) = (buffers.len() as i64, children.len() as i64);
    let children = children.into_iter().map(Box::into_raw).collect();
    let mut own = Box::new(OfArray { _held: held, buffers, children });
    (array.buffers, array.children) = (own.buffers.as_mut_ptr(), own.children.as_mut_ptr());
    array.dictionary = dictionary.map_or(null_mut(), Box::into_raw);
    array.private_data = Box::into_raw(own).cast();
    array.release = Some(release_array);
    Ok(array)
}

/// Where the bytes of a buffer are and how many, and what keeps them there: in shared memory, or a copy.
fn hold(buffer: &Bound<'_, PyAny>) -> PyResult<(*const c_void, usize, Option<Held>)> {
    let py = buffer.py();
    let bytes = PyBuffer::<u8>::get(buffer)?;
    let size = bytes.len_bytes();
    if !bytes.is_c_contiguous() {
        return Err(malformed());
    }
    if size == 0 {
        return Ok((NOTHING.0.as_ptr().cast(), 0, None));
    }
    if let Some(view) = lender(buffer) {
        return Ok((bytes.buf_ptr().cast_const(), size, Some(Held::View { _view: view })));
    }
    let mut own = vec![Aligned([0; 64]); size.div_ceil(64)];
    // SAFETY: the memory is the vector's own, of at least as many bytes, each of which is set already.
    let place = unsafe { std::slice::from_raw_parts_mut(own.as_mut_ptr().cast::<u8>(), size) };
    copy_of(py, &bytes, place)?;
    Ok((own.as_ptr().cast(), size, Some(Held::Own { _bytes: own })))
}

/// Whether an array has at least the bytes that its type, length and offset say.
fn check(
    kind: &Layout,
    (length, offset): (usize, usize),
    buffers: &[*const c_void],
    lengths: &[Option<usize>],
) -> PyResult<()> {
    let number = |index: usize, place: usize, wide: bool| {
        let there = lengths[index].unwrap_or(0);
        if place.checked_add(if wide { 8 } else { 4 }).is_none_or(|end| end > there) {
            return -1;
        }
        let place = buffers[index].cast::<u8>().wrapping_add(place);
        // SAFETY: so many bytes are there, as was checked, and are held.
        unsafe {
            if wide { place.cast::<i64>().read_unaligned() } else { i64::from(place.cast::<i32>().read_unaligned()) }
        }
    };
    let wanted = sizes(kind, length, offset, buffers.len(), &number).ok_or_else(malformed)?;
    // Only of the first, which says what items are there, the lack means something: that all are.
    let enough = |(index, (wanted, there)): (usize, (&usize, &Option<usize>))| match there {
        Some(there) => there >= wanted,
        None => index == 0 || *wanted == 0,
    };
    if wanted.iter().zip(lengths).enumerate().all(enough) { Ok(()) } else { Err(malformed()) }
}

/// How many items each child of an array must have, whose own buffers were checked; none if that cannot be.
fn wanted_of_children(kind: &Layout, format: &[u8], items: usize, buffers: &[*const c_void]) -> Option<usize> {
    match (kind, format) {
        (Layout::Validity, [b'+', b'w', b':', size @ ..]) => {
            items.checked_mul(std::str::from_utf8(size).ok()?.parse().ok()?)
        }
        (Layout::Validity, _) => Some(items),
        (Layout::Offsets { wide, bytes: false }, _) if items > 0 => {
            let numbers = buffers[1];
            // SAFETY: there are as many numbers as items, and one more, as was checked, and they are held.
            usize::try_from(unsafe {
                if *wide {
                    numbers.cast::<i64>().wrapping_add(items).read_unaligned()
                } else {
                    i64::from(numbers.cast::<i32>().wrapping_add(items).read_unaligned())
                }
            })
            .ok()
        }
        _ => Some(0),
    }
}

/// The capsules of Arrow's interface of an array, `(schema, array)`, for what `arrow_parts` took apart.
#[pyfunction]
fn arrow_whole<'py>(
    schema: &Bound<'py, PyAny>,
    parts: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
    let py = schema.py();
    let (whole, array) = (new_schema(schema)?, new_array(schema, parts)?);
    // Each capsule is of the structure, which comes first in it, and releases what nobody has taken out of it.
    let schema = PyCapsule::new_with_value(py, *whole, c"arrow_schema")?;
    let array = PyCapsule::new_with_value(py, *array, c"arrow_array")?;
    Ok((schema, array))
}

/// Adds the functions to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(arrow_parts, module)?)?;
    module.add_function(wrap_pyfunction!(arrow_whole, module)?)
}
