//! Python's values in the neutral form, which programs of every language read: written and rebuilt by the engine's encoder.

use std::ffi::CStr;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use procession::channel::neutral::{APART_BYTES, ItemType, MOST_DEPTH, Reader, SharedAt, SharedKind, Token, Writer};
use procession::foreign::{self, Desk};
use procession::process::duplicate;
use procession::sync::Cell as EngineCell;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::error::raised;
use crate::memory::buffer::{Buffer, append_items, copy_items, fill_items};
use crate::package::loaded_module;
use crate::shared::sync::{Cell, Event, Lock, Semaphore};

/// What a shared thing is made of that is no slice.
const NO_ITEM: ItemType = ItemType { kind: 0, size: 0 };

/// Where large arrays of a value lie that is on its way to or from a task; none where they are in its bytes.
type Apart<'a> = Option<&'a mut dyn Desk>;

/// Adds a value; what it shares is attached to it, and large arrays are put on the desk.
pub(crate) fn write(value: &Bound<'_, PyAny>, writer: &mut Writer<'_>, mut desk: Apart<'_>) -> PyResult<()> {
    write_at(value, writer, &mut desk, 0)
}

fn write_at(value: &Bound<'_, PyAny>, writer: &mut Writer<'_>, desk: &mut Apart<'_>, depth: usize) -> PyResult<()> {
    if value.is_none() {
        writer.none();
    } else if let Ok(truth) = value.cast::<PyBool>() {
        writer.bool(truth.is_true());
    } else if value.is_instance_of::<PyInt>() {
        writer.int(integer(value)?);
    } else if let Ok(number) = value.cast::<PyFloat>() {
        writer.float(number.value());
    } else if let Ok(text) = value.cast::<PyString>() {
        // A lone surrogate has no UTF-8: that is an error.
        let bytes = text.encode_utf8()?;
        writer.text(std::str::from_utf8(bytes.as_bytes()).map_err(|error| PyValueError::new_err(error.to_string()))?);
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        writer.bytes(bytes.as_bytes());
    } else if let Ok(bytes) = value.cast::<PyByteArray>() {
        writer.bytes(&bytes.to_vec());
    } else if let Ok(list) = value.cast::<PyList>() {
        deeper(value, depth)?;
        let place = writer.place();
        writer.list(0);
        let mut count = 0;
        for one in list {
            write_at(&one, writer, desk, depth + 1)?;
            count += 1;
        }
        writer.count_at(place, count);
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        deeper(value, depth)?;
        writer.tuple(tuple.len() as u64);
        tuple.iter_borrowed().try_for_each(|one| write_at(&one, writer, desk, depth + 1))?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        deeper(value, depth)?;
        writer.dict(dict.len() as u64);
        for (key, one) in dict {
            write_at(&key, writer, desk, depth + 1)?;
            write_at(&one, writer, desk, depth + 1)?;
        }
    } else if !write_shared(value, writer)? {
        write_array(value, writer, desk, depth)?;
    }
    Ok(())
}

fn deeper(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    if depth < MOST_DEPTH {
        return Ok(());
    }
    let kind = value.get_type().name()?;
    Err(PyValueError::new_err(format!("a {kind} that is nested more than {MOST_DEPTH} deep, or contains itself")))
}

fn integer(value: &Bound<'_, PyAny>) -> PyResult<i128> {
    if let Ok(small) = value.extract::<i64>() {
        return Ok(small.into());
    }
    let wide = value.extract::<i128>();
    wide.map_err(|_| PyOverflowError::new_err("an int of more than 128 bits has no neutral form: send its text"))
}

/// Adds a shared thing; false if it is none.
fn write_shared(value: &Bound<'_, PyAny>, writer: &mut Writer<'_>) -> PyResult<bool> {
    let (kind, item) = if value.is_instance_of::<Lock>() {
        (SharedKind::Lock, NO_ITEM)
    } else if value.is_instance_of::<Semaphore>() {
        (SharedKind::Semaphore, NO_ITEM)
    } else if value.is_instance_of::<Event>() {
        (SharedKind::Event, NO_ITEM)
    } else if let Some(of_package) = of_package(value)? {
        of_package
    } else {
        return Ok(false);
    };
    let (file, at, size): (i32, u64, u64) = value.call_method0(intern!(value.py(), "_share"))?.extract()?;
    let file = foreign::attach(duplicate(file, 0).map_err(raised)?.as_fd()).map_err(raised)?;
    writer.shared(&SharedAt { kind, item, file, at, size });
    Ok(true)
}

/// What an object of the package's own classes for other languages is; none for any other object.
fn of_package(value: &Bound<'_, PyAny>) -> PyResult<Option<(SharedKind, ItemType)>> {
    let py = value.py();
    let Some(module) = loaded_module(py, intern!(py, crate::package::NEUTRAL)) else { return Ok(None) };
    if value.is_instance(&module.getattr(intern!(py, "Queue"))?)? {
        return Ok(Some((SharedKind::Queue, NO_ITEM)));
    }
    if !value.is_instance(&module.getattr(intern!(py, "SharedSlice"))?)? {
        return Ok(None);
    }
    let (kind, size): (char, u8) = value.getattr(intern!(py, "_item"))?.extract()?;
    Ok(Some((SharedKind::Slice, ItemType { kind: kind as u8, size })))
}

/// What the items of a buffer are, by the letters of `struct`.
fn item_of(format: &CStr, size: usize) -> Option<ItemType> {
    let letters = format.to_bytes();
    let letters =
        letters.strip_prefix(b"@").or(letters.strip_prefix(b"=")).or(letters.strip_prefix(b"<")).unwrap_or(letters);
    let kind = match letters {
        b"?" => b'b',
        b"b" | b"h" | b"i" | b"l" | b"q" | b"n" => b'i',
        b"B" | b"H" | b"I" | b"L" | b"Q" | b"N" => b'u',
        b"e" | b"f" | b"d" => b'f',
        b"Zf" | b"Zd" => b'c',
        _ => return None,
    };
    Some(ItemType { kind, size: u8::try_from(size).ok()? }).filter(|item| item.is_known())
}

/// Adds an array of numbers: of numpy, of `array`, a memoryview; and the plain number in an array without dimensions.
fn write_array(value: &Bound<'_, PyAny>, writer: &mut Writer<'_>, desk: &mut Apart<'_>, depth: usize) -> PyResult<()> {
    let py = value.py();
    let dimensions = value.getattr(intern!(py, "ndim")).and_then(|count| count.extract::<usize>());
    if dimensions.is_ok_and(|count| count == 0) && depth <= MOST_DEPTH {
        let plain = value.call_method0(intern!(py, "item"))?;
        if !plain.get_type().is(value.get_type()) {
            return write_at(&plain, writer, desk, depth + 1);
        }
    }
    let refused = || -> PyErr {
        let name = value.get_type().fully_qualified_name().map_or_else(|_| "this".into(), |name| name.to_string());
        PyTypeError::new_err(format!(
            "{name} has no neutral form: programs of other languages are sent None, bool, int, float, str, bytes, list, tuple, \
             dict, arrays of numbers, and in arguments locks, semaphores, events and what procession.neutral has"
        ))
    };
    let Ok(items) = PyUntypedBuffer::get(value) else { return Err(refused()) };
    let Some(item) = item_of(items.format(), items.item_size()) else { return Err(refused()) };
    let is_fortran = items.shape().len() > 1 && !items.is_c_contiguous() && items.is_fortran_contiguous();
    let rows;
    let items = if is_fortran {
        // Its bytes lie in a row all the same, as those of the array turned round.
        rows = value.getattr(intern!(py, "T"))?;
        PyUntypedBuffer::get(&rows)?
    } else if items.is_c_contiguous() || items.shape().len() == 1 {
        items
    } else {
        rows = py.import("numpy")?.call_method1("ascontiguousarray", (value,))?;
        PyUntypedBuffer::get(&rows)?
    };
    let mut shape: Vec<u64> = items.shape().iter().map(|length| *length as u64).collect();
    if is_fortran {
        shape.reverse();
    }
    match desk {
        Some(desk) if items.len_bytes() >= APART_BYTES => {
            let part = desk.put(items.len_bytes(), &mut |place| copy_items(&items, place)).map_err(raised)?;
            writer.apart(item, is_fortran, &shape, part);
        }
        _ => {
            writer.array(item, is_fortran, &shape);
            append_items(&items, writer.buffer());
        }
    }
    Ok(())
}

/// The value that all of `bytes` are, with the descriptors that are at hand, and large arrays on the desk, which are used there.
pub(crate) fn read<'py>(py: Python<'py>, bytes: &[u8], mut desk: Apart<'_>) -> PyResult<Bound<'py, PyAny>> {
    let mut reader = Reader::new(bytes);
    let value = read_next(py, &mut reader, &mut desk)?;
    reader.end().map_err(raised)?;
    Ok(value)
}

fn read_next<'py>(py: Python<'py>, reader: &mut Reader<'_>, desk: &mut Apart<'_>) -> PyResult<Bound<'py, PyAny>> {
    let value = match reader.token().map_err(raised)? {
        Token::None => py.None().into_bound(py),
        Token::Bool(truth) => PyBool::new(py, truth).to_owned().into_any(),
        Token::Int(number) => match i64::try_from(number) {
            Ok(small) => small.into_pyobject(py)?.into_any(),
            Err(_) => number.into_pyobject(py)?.into_any(),
        },
        Token::Float(number) => PyFloat::new(py, number).into_any(),
        Token::Text(text) => PyString::new(py, text).into_any(),
        Token::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Token::List(count) => {
            let list = PyList::empty(py);
            for _ in 0..count {
                list.append(read_next(py, reader, desk)?)?;
            }
            reader.leave();
            list.into_any()
        }
        Token::Tuple(count) => {
            let values = (0..count).map(|_| read_next(py, reader, desk)).collect::<PyResult<Vec<_>>>()?;
            reader.leave();
            PyTuple::new(py, values)?.into_any()
        }
        Token::Dict(count) => {
            let dict = PyDict::new(py);
            for _ in 0..count {
                let key = read_next(py, reader, desk)?;
                dict.set_item(key, read_next(py, reader, desk)?)?;
            }
            reader.leave();
            dict.into_any()
        }
        Token::Array { item, is_fortran, shape, items } => read_array(py, item, is_fortran, &shape, items)?,
        Token::Apart { item, is_fortran, shape, part, size } => {
            let missing = || PyRuntimeError::new_err("an array arrived without its items");
            let view = desk.as_mut().ok_or_else(missing)?.part(part).map_err(raised)?;
            shaped(Buffer::memory(py, view, 0, size)?.into_any(), item, is_fortran, &shape)?
        }
        Token::Shared(place) => read_shared(py, &place)?,
    };
    Ok(value)
}

fn read_array<'py>(
    py: Python<'py>,
    item: ItemType,
    is_fortran: bool,
    shape: &[u64],
    items: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let Ok(numpy) = py.import("numpy") else {
        let memory = py.import("builtins")?.call_method1("memoryview", (PyByteArray::new(py, items),))?;
        return viewed(memory, item, is_fortran, shape);
    };
    let row = numpy.call_method1(intern!(py, "empty"), (items.len() / usize::from(item.size), numpy_kind(item)))?;
    if !items.is_empty() {
        fill_items(&PyUntypedBuffer::get(&row)?, items)?;
    }
    in_shape(row, is_fortran, shape)
}

/// What numpy calls numbers.
fn numpy_kind(item: ItemType) -> String {
    format!("{}{}", char::from(item.kind), item.size)
}

/// A row of numpy's in the shape of an array.
fn in_shape<'py>(row: Bound<'py, PyAny>, is_fortran: bool, shape: &[u64]) -> PyResult<Bound<'py, PyAny>> {
    if shape.len() == 1 {
        return Ok(row);
    }
    let named = PyDict::new(row.py());
    named.set_item("order", if is_fortran { "F" } else { "C" })?;
    row.call_method("reshape", (PyTuple::new(row.py(), shape)?,), Some(&named))
}

/// The array whose items are those of `memory`, where they lie.
fn shaped<'py>(
    memory: Bound<'py, PyAny>,
    item: ItemType,
    is_fortran: bool,
    shape: &[u64],
) -> PyResult<Bound<'py, PyAny>> {
    let py = memory.py();
    let Ok(numpy) = py.import("numpy") else { return viewed(memory, item, is_fortran, shape) };
    let row = numpy.call_method1(intern!(py, "frombuffer"), (memory, numpy_kind(item)))?;
    in_shape(row, is_fortran, shape)
}

/// As numpy's array where there is no numpy: a memoryview.
fn viewed<'py>(
    memory: Bound<'py, PyAny>,
    item: ItemType,
    is_fortran: bool,
    shape: &[u64],
) -> PyResult<Bound<'py, PyAny>> {
    let letter = match (item.kind, item.size) {
        (b'b', 1) => "?",
        (b'i', 1) => "b",
        (b'i', 2) => "h",
        (b'i', 4) => "i",
        (b'i', _) => "q",
        (b'u', 1) => "B",
        (b'u', 2) => "H",
        (b'u', 4) => "I",
        (b'u', _) => "Q",
        (b'f', 4) => "f",
        (b'f', 8) => "d",
        _ => "",
    };
    if letter.is_empty() || (is_fortran && shape.len() > 1) || shape.contains(&0) {
        return Err(PyRuntimeError::new_err("this array needs numpy, which cannot be imported here"));
    }
    memory.call_method1("cast", (letter, PyTuple::new(memory.py(), shape)?))
}

fn read_shared<'py>(py: Python<'py>, place: &SharedAt) -> PyResult<Bound<'py, PyAny>> {
    let file = foreign::fetch(place.file).map_err(raised)?;
    let class = |module: &str, name: &str| py.import(module)?.getattr(name);
    let (name, least, rest) = match place.kind {
        SharedKind::Queue => {
            return class(crate::package::NEUTRAL, "Queue")?.call_method1("_rebuilt", (file.into_raw_fd(),));
        }
        SharedKind::Slice => {
            let item = (char::from(place.item.kind), place.item.size);
            let arguments = (item, file.into_raw_fd(), place.size);
            return class(crate::package::NEUTRAL, "SharedSlice")?.call_method1("_rebuilt", arguments);
        }
        SharedKind::Lock => ("Lock", Lock::BYTES, true),
        SharedKind::Semaphore => ("Semaphore", Semaphore::BYTES, false),
        SharedKind::Event => ("Event", Event::BYTES, false),
    };
    if (place.size as usize) < least {
        return Err(PyRuntimeError::new_err("too little memory for what it is said to be"));
    }
    let cell = EngineCell::open(file, place.at as usize, place.size as usize).map_err(raised)?;
    let cell = Bound::new(py, Cell::of(cell))?;
    let class = class(crate::package::SYNCHRONIZE, name)?;
    if rest { class.call_method1("_rebuilt", (cell, false)) } else { class.call_method1("_rebuilt", (cell,)) }
}

/// The neutral form of a value, and the descriptors of what it shares, which are the caller's.
#[pyfunction]
fn neutral_dumps<'py>(value: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, Vec<i32>)> {
    let mut bytes = Vec::new();
    let (written, files) = foreign::sending(|| write(value, &mut Writer::new(&mut bytes), None));
    written?;
    Ok((PyBytes::new(value.py(), &bytes), files.into_iter().map(IntoRawFd::into_raw_fd).collect()))
}

/// The value of a neutral form; the descriptors are taken over.
#[pyfunction]
#[pyo3(signature = (data, descriptors=Vec::new()))]
fn neutral_loads<'py>(data: &Bound<'py, PyBytes>, descriptors: Vec<i32>) -> PyResult<Bound<'py, PyAny>> {
    let files = descriptors.into_iter().map(procession::platform::adopt).collect::<Result<Vec<OwnedFd>, _>>();
    let files = files.map_err(raised)?.into_iter().map(Arc::new).collect();
    foreign::receiving(files, || read(data.py(), data.as_bytes(), None))
}

/// The bytes of the file that hands a value in the neutral form to a program, with so many descriptors.
#[pyfunction]
fn given_file<'py>(data: &Bound<'py, PyBytes>, descriptors: u32) -> Bound<'py, PyBytes> {
    PyBytes::new(data.py(), &procession::process::given_bytes(data.as_bytes(), descriptors))
}

/// Adds the room's functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("GIVEN", procession::process::GIVEN)?;
    module.add("WIRE_VERSION", procession::channel::neutral::WIRE_VERSION)?;
    module.add_function(wrap_pyfunction!(neutral_dumps, module)?)?;
    module.add_function(wrap_pyfunction!(neutral_loads, module)?)?;
    module.add_function(wrap_pyfunction!(given_file, module)?)
}
