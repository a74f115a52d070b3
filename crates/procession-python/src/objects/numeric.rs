//! Small arrays and single numbers of numpy by a short code: their pickle takes ten times as long as copying their bytes.

use procession::shared_memory::View;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyTuple};

use crate::memory::buffer::{append_items, bytes_of, fill_items};
use crate::memory::place::LARGE;
use crate::objects::numpy::{BOOLEAN, Numpy, TYPES, numpy_of};
use crate::objects::reducers::has_reducer;

/// The most dimensions.
const DIMENSIONS: usize = 8;

/// The values that have a short code here.
pub(crate) enum Numeric {
    Array,
    Number,
    /// One of the two booleans that each process has, and which of them.
    Boolean(bool),
}

/// Whether a value is a small array of numbers, or a number, of exactly numpy's own classes.
pub(crate) fn kind_of(value: &Bound<'_, PyAny>) -> Option<Numeric> {
    let py = value.py();
    let numpy = Numpy::loaded(py)?;
    let class = value.get_type();
    if class.is(&numpy.array) {
        if has_reducer(&class) {
            return None;
        }
        let size: usize = value.getattr(pyo3::intern!(py, "nbytes")).ok()?.extract().ok()?;
        return (size < LARGE).then_some(Numeric::Array);
    }
    let code = numpy.classes.iter().position(|known| class.is(known))?;
    let kind = if code == BOOLEAN { Numeric::Boolean(value.is(&numpy.truth)) } else { Numeric::Number };
    (!has_reducer(&class)).then_some(kind)
}

/// The code of a boolean behind [`encode_number`]'s tag.
pub(crate) fn boolean(is_true: bool) -> [u8; 2] {
    [BOOLEAN as u8, is_true.into()]
}

/// Whether items of at most so many bytes lie in a row, and not in memory that is shared on purpose: then only the place travels.
fn is_plain(items: &PyUntypedBuffer, most: usize) -> bool {
    let size = items.len_bytes();
    let is_shared = size > 0 && items.is_c_contiguous() && View::around(items.buf_ptr() as usize, size).is_some();
    let is_row = items.is_c_contiguous() || items.shape().len() == 1;
    !is_shared && is_row && items.shape().len() <= DIMENSIONS && size <= most
}

/// Adds an array to `out`; false if it has no code.
pub(crate) fn encode_array(array: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    let py = array.py();
    let Some(numpy) = Numpy::loaded(py) else { return false };
    let Ok(dtype) = array.getattr(pyo3::intern!(py, "dtype")) else { return false };
    let Some(code) = numpy.code(&dtype) else { return false };
    let Ok(items) = PyUntypedBuffer::get(array) else { return encode_single(array, code, out) };
    if !is_plain(&items, LARGE - 1) {
        return false;
    }
    let shape = items.shape();
    out.extend_from_slice(&[code as u8, shape.len() as u8]);
    shape.iter().for_each(|length| out.extend_from_slice(&(*length as u64).to_le_bytes()));
    append_items(&items, out);
    true
}

/// Adds an array of no dimensions, of whose memory no view can be had here.
fn encode_single(array: &Bound<'_, PyAny>, code: usize, out: &mut Vec<u8>) -> bool {
    let py = array.py();
    let is_single =
        array.getattr(pyo3::intern!(py, "ndim")).is_ok_and(|count| count.extract::<usize>().is_ok_and(|n| n == 0));
    if !is_single || View::any_shared() {
        return false; // it may be in memory that is shared on purpose
    }
    let bytes = array.call_method0(pyo3::intern!(py, "tobytes")).and_then(|bytes| Ok(bytes.cast_into::<PyBytes>()?));
    let Ok(bytes) = bytes else { return false };
    out.extend_from_slice(&[code as u8, 0]);
    out.extend_from_slice(bytes.as_bytes());
    true
}

/// The most bytes of an array that has a pickle here.
const PICKLED_BYTES: usize = 1 << 30;

/// Adds the pickle of an array of numbers to `out`, such that numpy rebuilds it like any other; false if it is none, or is not to
/// be copied, and `out` may have a part of it.
///
/// numpy's own pickle names the function that makes an array of any class, and says all of a type that is not its name.
pub(crate) fn pickle_array(array: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    let py = array.py();
    let Some(numpy) = Numpy::loaded(py) else { return false };
    if !array.get_type().is(&numpy.array) || has_reducer(&array.get_type()) {
        return false;
    }
    let Ok(dtype) = array.getattr(pyo3::intern!(py, "dtype")) else { return false };
    let (Some(code), Ok(items)) = (numpy.code(&dtype), PyUntypedBuffer::get(array)) else { return false };
    if !is_plain(&items, PICKLED_BYTES) {
        return false;
    }
    // `ndarray((0,))`, and the state that it gets: a version, the shape,
    out.extend_from_slice(b"\x80\x05\x8c\x05numpy\x94\x8c\x07ndarray\x93K\x00\x85\x85R(K\x01(");
    for length in items.shape() {
        let Ok(length) = i32::try_from(*length) else { return false };
        out.push(b'J');
        out.extend_from_slice(&length.to_le_bytes());
    }
    // the type, `dtype(...)`, that it is in the order of C, and its bytes.
    out.extend_from_slice(b"th\x00\x8c\x05dtype\x93\x8c\x01");
    out.push(TYPES.as_bytes()[code]);
    out.extend_from_slice(b"\x85R\x89B");
    out.extend_from_slice(&(items.len_bytes() as u32).to_le_bytes());
    out.reserve_exact(items.len_bytes() + 3);
    append_items(&items, out);
    out.extend_from_slice(b"tb.");
    true
}

/// Adds the pickle of a single number to `out`, such that its class makes it of a plain one; false if it has none here.
pub(crate) fn pickle_number(number: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    let (py, class) = (number.py(), number.get_type());
    let Some(numpy) = Numpy::loaded(py) else { return false };
    if !numpy.classes.iter().any(|known| class.is(known)) || has_reducer(&class) {
        return false;
    }
    let Ok(plain) = number.call_method0(pyo3::intern!(py, "item")) else { return false };
    let (opcode, value) = if let Ok(float) = plain.cast_exact::<PyFloat>() {
        (&b"G"[..], float.value().to_be_bytes())
    } else if let Ok(whole) = plain.extract::<i64>() {
        (&b"\x8a\x08"[..], whole.to_le_bytes())
    } else {
        return false;
    };
    let Ok(name) = class.name() else { return false };
    let Ok(name) = name.to_str() else { return false };
    out.extend_from_slice(b"\x80\x05\x8c\x05numpy\x8c");
    out.push(name.len() as u8);
    for part in [name.as_bytes(), b"\x93", opcode, &value, b"\x85R."] {
        out.extend_from_slice(part);
    }
    true
}

/// Adds a single number to `out`; false if it has no code.
pub(crate) fn encode_number(number: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    let py = number.py();
    let Some(numpy) = Numpy::loaded(py) else { return false };
    let class = number.get_type();
    let Some(code) = numpy.classes.iter().position(|known| class.is(known)) else { return false };
    out.push(code as u8);
    if let Ok(number) = number.cast::<PyFloat>() {
        out.extend_from_slice(&number.value().to_le_bytes());
        return true;
    }
    // A buffer of no dimensions, as theirs is, cannot be had here.
    let Ok(bytes) = number.call_method0(pyo3::intern!(py, "tobytes")) else { return false };
    let Ok(bytes) = bytes.cast::<PyBytes>() else { return false };
    out.extend_from_slice(bytes.as_bytes());
    bytes.as_bytes().len() == numpy.sizes[code]
}

fn malformed() -> PyErr {
    PyValueError::new_err("an array or a number arrived malformed")
}

/// The array behind what [`encode_array`] added.
pub(crate) fn decode_array<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let [code, dimensions, rest @ ..] = bytes else { return Err(malformed()) };
    let numpy = numpy_of(py)?;
    let dtype = numpy.types.get(usize::from(*code)).ok_or_else(malformed)?;
    let (lengths, items) = rest.split_at_checked(8 * usize::from(*dimensions)).ok_or_else(malformed)?;
    let lengths = lengths.as_chunks::<8>().0.iter().map(|length| u64::from_le_bytes(*length) as usize);
    let shape: Vec<usize> = lengths.collect();
    let size = shape.iter().try_fold(numpy.sizes[usize::from(*code)], |size, length| size.checked_mul(*length));
    if shape.len() > DIMENSIONS || size != Some(items.len()) {
        return Err(malformed());
    }
    let array = numpy.empty.bind(py).call1((PyTuple::new(py, shape)?, dtype))?;
    if *dimensions == 0 {
        let number = numpy.scalar.bind(py).call1((dtype, bytes_of(py, items)?))?;
        array.set_item(PyTuple::empty(py), number)?;
    } else if !items.is_empty() {
        fill_items(&PyUntypedBuffer::get(&array)?, items)?;
    }
    Ok(array)
}

/// The number behind what [`encode_number`] added.
pub(crate) fn decode_number<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let [code, bytes @ ..] = bytes else { return Err(malformed()) };
    let numpy = numpy_of(py)?;
    let dtype = numpy.types.get(usize::from(*code)).ok_or_else(malformed)?;
    if bytes.len() != numpy.sizes[usize::from(*code)] {
        return Err(malformed());
    }
    if usize::from(*code) == BOOLEAN {
        return Ok(if bytes[0] != 0 { &numpy.truth } else { &numpy.falsehood }.bind(py).clone());
    }
    numpy.scalar.bind(py).call1((dtype, bytes_of(py, bytes)?))
}
