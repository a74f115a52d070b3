//! The short code of plain values, which keeps type and value exactly.

use procession::shared_memory::append;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
};
use rustc_hash::FxHashSet;

use super::decode;
use super::tags::*;
use crate::fast::{hex_of, int_of, int_of_hex};
use crate::memory::buffer::{append_array, array_of, bytes_of};
use crate::memory::place::NoShelf;
use crate::objects::entries::{entries_of, items_of};
use crate::objects::instances::TUPLE_ITEMS;
use crate::objects::numeric::{self, Numeric};

/// The most objects that are remembered without a set.
pub(super) const FEW: usize = 4;

/// Adds the code of `value` to `out`, if it is simple; says whether it was.
pub(crate) fn encode_simple(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    encode_at(value, out, 0, &mut SeenValues::default())
}

/// What can change of a value so far: of two that are one object only pickle makes one again, and who changes it would see
/// the difference.
#[derive(Default)]
pub(crate) struct SeenValues {
    /// The first of them, so that most values need no set.
    few: [usize; FEW],
    /// The others.
    objects: FxHashSet<usize>,
    count: usize,
    /// How many of them need more than the interpreter to be rebuilt.
    numeric: usize,
}

impl SeenValues {
    /// Whether an object comes for the first time.
    pub(crate) fn is_new(&mut self, object: &Bound<'_, PyAny>) -> bool {
        self.is_new_at(object.as_ptr() as usize)
    }

    /// The same, for the object at an address.
    pub(crate) fn is_new_at(&mut self, address: usize) -> bool {
        if self.few.contains(&address) {
            return false;
        }
        match self.few.get_mut(self.count) {
            Some(free) => *free = address,
            None if !self.objects.insert(address) => return false,
            None => {}
        }
        self.count += 1;
        true
    }

    /// How many objects that can change have come.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

/// Whether an object stays as it is: a number, a text, bytes, none, or a tuple of such.
pub(crate) fn is_lasting(value: &Bound<'_, PyAny>, depth: usize) -> bool {
    value.is_exact_instance_of::<PyInt>()
        || value.is_none()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyTuple>()
            && depth < DEPTH
            && value.cast::<PyTuple>().is_ok_and(|tuple| tuple.iter().all(|item| is_lasting(&item, depth + 1)))
}

/// Adds the code of a number.
#[inline]
pub(crate) fn encode_int(number: i64, out: &mut Vec<u8>) {
    out.push(INT);
    out.extend_from_slice(&number.to_le_bytes());
}

/// The number behind a small enough exact `int`.
#[inline]
pub(crate) fn as_int(value: &Bound<'_, PyAny>) -> Option<i64> {
    if value.is_exact_instance_of::<PyInt>() { int_of(value) } else { None }
}

/// The code of a number as a result in a run: behind room for its size.
#[inline]
pub(crate) fn framed_int(number: i64) -> [u8; 10] {
    let mut framed = [0; 10];
    framed[1] = INT;
    framed[2..].copy_from_slice(&number.to_le_bytes());
    framed
}

/// As [`encode_simple`], for a part of a value, so many tuples, lists and dicts deep, of which `seen` was there before.
pub(crate) fn encode_at(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize, seen: &mut SeenValues) -> bool {
    if let Some(number) = as_int(value) {
        encode_int(number, out);
    } else if value.is_none() {
        out.push(NONE);
    } else if value.is_exact_instance_of::<PyInt>() {
        // One beyond 64 bits.
        let start = out.len();
        return encode_large_int(value, out).is_ok_and(|encoded| encoded) && out.len() - start < LARGE_PLAIN
            || undo(start, out);
    } else if value.is_exact_instance_of::<PyFloat>() {
        let Ok(number) = value.extract::<f64>() else { return false };
        out.push(FLOAT);
        out.extend_from_slice(&number.to_le_bytes());
    } else if value.is_exact_instance_of::<PyString>() {
        // Lone surrogates have no UTF-8: pickle can do them.
        let Ok(text) = value.cast::<PyString>().map_err(PyErr::from).and_then(|text| text.to_str()) else {
            return false;
        };
        return text.len() < LARGE_PLAIN && sized(STR, text.as_bytes(), out);
    } else if value.is_exact_instance_of::<PyBool>() {
        out.push(if value.is_truthy().unwrap_or(false) { TRUE } else { FALSE });
    } else if value.is_exact_instance_of::<PyBytes>() {
        let Ok(bytes) = value.cast::<PyBytes>() else { return false };
        if bytes.as_bytes().len() >= LARGE_PLAIN {
            return false;
        }
        return sized(BYTES, bytes.as_bytes(), out);
    } else if let Ok(array) = value.cast_exact::<PyByteArray>() {
        if array.len() >= LARGE_PLAIN || !seen.is_new(value) {
            return false;
        }
        let start = out.len();
        out.push(BYTEARRAY);
        out.extend_from_slice(&[0; 4]);
        // Another thread may have changed its size meanwhile.
        let size = append_array(array, out);
        if size >= LARGE_PLAIN {
            return undo(start, out);
        }
        out[start + 1..start + 5].copy_from_slice(&(size as u32).to_le_bytes());
    } else if value.is_exact_instance_of::<PyTuple>() {
        let Ok(tuple) = value.cast::<PyTuple>() else { return false };
        if tuple.len() > TUPLE_ITEMS || depth == DEPTH {
            return false;
        }
        let (start, numeric) = (out.len(), seen.numeric);
        out.push(TUPLE);
        out.push(tuple.len() as u8);
        if !tuple.iter_borrowed().all(|item| encode_at(&item, out, depth + 1, seen)) {
            return undo(start, out);
        }
        if seen.numeric > numeric {
            out[start] = LARGE_TUPLE;
        }
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        let start = out.len();
        // Read once: without an interpreter lock another thread may change it.
        let count = list.len();
        if count > TUPLE_ITEMS || depth >= DEPTH || !seen.is_new(value) {
            return false;
        }
        out.extend_from_slice(&[LIST, count as u8]);
        let items = (0..count).all(|at| list.get_item(at).is_ok_and(|item| encode_at(&item, out, depth + 1, seen)));
        return items || undo(start, out);
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let start = out.len();
        if dict.len() > TUPLE_ITEMS || depth >= DEPTH || !seen.is_new(value) {
            return false;
        }
        // Taken out of it first: should garbage be collected in between, a finalizer may change it; so may another thread.
        let entries = entries_of(dict);
        if entries.len() > TUPLE_ITEMS {
            return false;
        }
        out.extend_from_slice(&[DICT, entries.len() as u8]);
        let mut entry =
            |(key, value): &(_, _)| encode_at(key, out, depth + 1, seen) && encode_at(value, out, depth + 1, seen);
        return entries.iter().all(&mut entry) || undo(start, out);
    } else if let Ok(number) = value.cast_exact::<PyComplex>() {
        out.push(COMPLEX);
        out.extend_from_slice(&number.real().to_le_bytes());
        out.extend_from_slice(&number.imag().to_le_bytes());
    } else if value.is(value.py().Ellipsis()) {
        out.push(ELLIPSIS);
    } else if value.is(value.py().NotImplemented()) {
        out.push(NOT_IMPLEMENTED);
    } else if let Ok(set) = value.cast_exact::<PySet>() {
        return set.len() <= TUPLE_ITEMS && seen.is_new(value) && encode_set(SET, items_of(set), out, depth, seen);
    } else if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
        return set.len() <= TUPLE_ITEMS && encode_set(FROZENSET, set.iter().collect(), out, depth, seen);
    } else {
        return encode_numeric(value, out, seen);
    }
    true
}

/// Adds the items of a set, which may stand where no tuple may: it has no parts that can change.
fn encode_set(tag: u8, items: Vec<Bound<'_, PyAny>>, out: &mut Vec<u8>, depth: usize, seen: &mut SeenValues) -> bool {
    let start = out.len();
    out.extend_from_slice(&[tag, items.len() as u8]);
    // Counted once more: a thread may have added some meanwhile.
    items.len() <= TUPLE_ITEMS && depth <= DEPTH && items.iter().all(|item| encode_at(item, out, depth + 1, seen))
        || undo(start, out)
}

/// Takes back what was added from `start` on; false.
pub(super) fn undo(start: usize, out: &mut Vec<u8>) -> bool {
    out.truncate(start);
    false
}

pub(super) fn encode_numeric(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, seen: &mut SeenValues) -> bool {
    let Some(kind) = numeric::kind_of(value) else { return false };
    let start = out.len();
    out.push(if matches!(kind, Numeric::Array) { ARRAY } else { NUMBER });
    out.extend_from_slice(&[0; 4]);
    let encoded = match kind {
        Numeric::Array => seen.is_new(value) && numeric::encode_array(value, out),
        Numeric::Number => numeric::encode_number(value, out),
        Numeric::Boolean(is_true) => {
            out.extend_from_slice(&numeric::boolean(is_true));
            true
        }
    };
    if !encoded {
        return undo(start, out);
    }
    seen.numeric += 1;
    let size = (out.len() - start - 5) as u32;
    out[start + 1..start + 5].copy_from_slice(&size.to_le_bytes());
    true
}

pub(super) fn sized(tag: u8, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(size) = u32::try_from(bytes.len()) else { return false };
    out.push(tag);
    out.extend_from_slice(&size.to_le_bytes());
    append(bytes, out);
    true
}

/// Adds a number beyond 64 bits to `out`; false if the object is none.
pub(crate) fn encode_large_int(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<bool> {
    let Ok(number) = value.cast_exact::<PyInt>() else { return Ok(false) };
    Ok(sized(LARGE_INT, hex_of(number)?.to_str()?.as_bytes(), out))
}

/// Whether a value is simple but for the size of the bytes and texts in it.
pub(crate) fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    is_plain_at(value, 0, &mut SeenValues::default())
}

pub(super) fn is_plain_at(value: &Bound<'_, PyAny>, depth: usize, seen: &mut SeenValues) -> bool {
    if value.is_exact_instance_of::<PyBytes>() {
        return true;
    }
    if value.is_exact_instance_of::<PyByteArray>() {
        return seen.is_new(value);
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        let few = tuple.len() <= TUPLE_ITEMS && depth < DEPTH;
        return few && tuple.iter_borrowed().all(|item| is_plain_at(&item, depth + 1, seen));
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        return text.to_str().is_ok();
    }
    as_int(value).is_some()
        || value.is_none()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
}

/// The next value of a run whose values are all plain; none if it is cut off.
#[inline]
pub(crate) fn take_framed<'py>(py: Python<'py>, bytes: &mut &[u8]) -> Option<Bound<'py, PyAny>> {
    if let [9, INT, rest @ ..] = *bytes {
        let (number, rest) = rest.split_first_chunk()?;
        *bytes = rest;
        return Some(i64::from_le_bytes(*number).into_pyobject(py).ok()?.into_any());
    }
    let (size, rest) = bytes.split_first()?;
    let (mut value, rest) = rest.split_at_checked(usize::from(*size))?;
    *bytes = rest;
    decode(py, &mut value, &NoShelf).ok()
}

/// Rebuilds a plain value behind its tag.
pub(super) fn read<'py>(py: Python<'py>, tag: u8, bytes: &mut &[u8]) -> PyResult<Bound<'py, PyAny>> {
    Ok(match tag {
        NONE => py.None().into_bound(py),
        TRUE => PyBool::new(py, true).to_owned().into_any(),
        FALSE => PyBool::new(py, false).to_owned().into_any(),
        INT => i64::from_le_bytes(take_word(bytes)?).into_pyobject(py)?.into_any(),
        FLOAT => PyFloat::new(py, f64::from_le_bytes(take_word(bytes)?)).into_any(),
        STR => {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            PyString::from_bytes(py, take(bytes, size)?)?.into_any()
        }
        BYTES => {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            bytes_of(py, take(bytes, size)?)?.into_any()
        }
        BYTEARRAY => {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            array_of(py, take(bytes, size)?)?.into_any()
        }
        ARRAY | NUMBER => {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            let body = take(bytes, size)?;
            if tag == ARRAY { numeric::decode_array(py, body)? } else { numeric::decode_number(py, body)? }
        }
        COMPLEX => {
            let (real, imag) = (f64::from_le_bytes(take_word(bytes)?), f64::from_le_bytes(take_word(bytes)?));
            PyComplex::from_doubles(py, real, imag).into_any()
        }
        ELLIPSIS => py.Ellipsis().into_bound(py),
        NOT_IMPLEMENTED => py.NotImplemented().into_bound(py),
        LARGE_INT => {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            int_of_hex(py, take(bytes, size)?)?
        }
        _ => return Err(unknown()),
    })
}
