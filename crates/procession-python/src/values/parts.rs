//! Values that are made of others: tuples, lists, dicts, instances.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PySet, PyTuple};

use super::decode_at;
use super::tags::*;
use crate::memory::place::Shelf;
use crate::objects::rebuilt;

/// Begins a tuple whose `count` items, few enough, come next, each as a value.
pub(crate) fn begin_tuple(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[LARGE_TUPLE, count as u8]);
}

/// Begins a list whose `count` items, few enough, come next, each as a value.
pub(crate) fn begin_list(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[LIST, count as u8]);
}

/// Begins a dict of `count` keys, few enough; each comes next, as a value, before what belongs to it.
pub(crate) fn begin_dict(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[DICT, count as u8]);
}

/// Begins an instance, whose `count` attributes come behind the tuple of its class and their names.
pub(crate) fn begin_instance(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[INSTANCE, count as u8]);
}

/// Begins a named tuple, whose `count` fields come behind its class.
pub(crate) fn begin_fields(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[FIELDS, count as u8]);
}

/// Begins an object that a call makes: then come what is called, `count` arguments, and the object's state.
pub(crate) fn begin_reduced(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[REDUCED, count as u8]);
}

/// The same for an object that has items or entries, too: behind the state come a list of items, or none, and one of keys and
/// values, or none.
pub(crate) fn begin_reduced_more(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[REDUCED_MORE, count as u8]);
}

/// Rebuilds the `count` values that come next, parts of one that is so deep.
fn several<'py>(
    py: Python<'py>,
    count: u8,
    bytes: &mut &[u8],
    shelf: &dyn Shelf,
    depth: usize,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    (0..count).map(|_| decode_at(py, bytes, shelf, depth + 1)).collect()
}

/// Rebuilds a value from its parts.
pub(super) fn read<'py>(
    py: Python<'py>,
    tag: u8,
    bytes: &mut &[u8],
    shelf: &dyn Shelf,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match tag {
        TUPLE | LARGE_TUPLE => {
            let count = take_count(bytes, depth)?;
            let items = several(py, count, bytes, shelf, depth)?;
            PyTuple::new(py, items)?.into_any()
        }
        LIST => {
            let count = take_count(bytes, depth)?;
            let items = several(py, count, bytes, shelf, depth)?;
            PyList::new(py, items)?.into_any()
        }
        DICT => {
            let dict = PyDict::new(py);
            for _ in 0..take_count(bytes, depth)? {
                let key = decode_at(py, bytes, shelf, depth + 1)?;
                dict.set_item(key, decode_at(py, bytes, shelf, depth + 1)?)?;
            }
            dict.into_any()
        }
        SET | FROZENSET => {
            let count = take_count_of_set(bytes, depth)?;
            let items = several(py, count, bytes, shelf, depth)?;
            if tag == SET { PySet::new(py, items)?.into_any() } else { PyFrozenSet::new(py, items)?.into_any() }
        }
        INSTANCE => {
            let count = take_count(bytes, depth)?;
            let class = decode_at(py, bytes, shelf, depth + 1)?.cast_into::<PyTuple>()?;
            let mut values = (0..count).map(|_| decode_at(py, bytes, shelf, depth + 1));
            rebuilt::rebuild(&class, &mut values)?
        }
        FIELDS => {
            let count = take_count(bytes, depth)?;
            let class = decode_at(py, bytes, shelf, depth + 1)?;
            let mut fields = Vec::with_capacity(usize::from(count) + 1);
            fields.push(class.clone());
            for _ in 0..count {
                fields.push(decode_at(py, bytes, shelf, depth + 1)?);
            }
            class.call_method1(pyo3::intern!(py, "__new__"), PyTuple::new(py, fields)?)?
        }
        REDUCED | REDUCED_MORE => {
            let count = take_count(bytes, depth)?;
            let callable = decode_at(py, bytes, shelf, depth + 1)?;
            let arguments = several(py, count, bytes, shelf, depth)?;
            let object = rebuilt::made(&callable, &PyTuple::new(py, arguments)?)?;
            let state = decode_at(py, bytes, shelf, depth + 1)?;
            if tag == REDUCED_MORE {
                let items = decode_at(py, bytes, shelf, depth + 1)?;
                let entries = decode_at(py, bytes, shelf, depth + 1)?;
                rebuilt::fill(&object, &items, &entries)?;
            }
            if !state.is_none() {
                rebuilt::set_state(&object, &state)?;
            }
            object
        }
        _ => return Err(unknown()),
    })
}
