//! Tables and columns put together again, on buffers that lie wherever they arrived.

use std::ffi::{CString, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use procession::shared_memory::View;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::layout::{Layout, layout, sizes};
use super::{Array, Schema};
use crate::memory::buffer::{copy_of, lender};

/// What keeps the bytes of a buffer where they are.
enum Keeper {
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
    _held: Vec<Keeper>,
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
fn hold(buffer: &Bound<'_, PyAny>) -> PyResult<(*const c_void, usize, Option<Keeper>)> {
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
        return Ok((bytes.buf_ptr().cast_const(), size, Some(Keeper::View { _view: view })));
    }
    let mut own = vec![Aligned([0; 64]); size.div_ceil(64)];
    // SAFETY: the memory is the vector's own, of at least as many bytes, each of which is set already.
    let place = unsafe { std::slice::from_raw_parts_mut(own.as_mut_ptr().cast::<u8>(), size) };
    copy_of(py, &bytes, place)?;
    Ok((own.as_ptr().cast(), size, Some(Keeper::Own { _bytes: own })))
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
pub(super) fn arrow_whole<'py>(
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
