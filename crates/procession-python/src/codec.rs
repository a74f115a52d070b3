//! Values as bytes: a short code for the simplest ones, pickle for all others.
//!
//! The short code keeps type and value exactly; all that is lost is that two equal items are one object. A C pickler is
//! used again and again: making one costs more than pickling a small object.
//!
//! A long file: what is written here is read here, and the two must not drift apart.

use std::sync::Mutex;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

const NONE: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const STR: u8 = 5;
const BYTES: u8 = 6;
const TUPLE: u8 = 7;
const PICKLE: u8 = 8;
/// Stands before the pickle of a chunk's items as one list.
pub(crate) const TOGETHER: u8 = 9;
const WITH_BUFFERS: u8 = 10;
const LARGE_BYTES: u8 = 11;
/// From this size on a buffer is not pickled but copied into a block of shared memory.
const LARGE: usize = 32 << 10;
/// The most items of a tuple that is not pickled, and how deep they nest.
const TUPLE_ITEMS: usize = 16;
const DEPTH: usize = 3;

/// Takes what a pickler writes.
#[pyclass(frozen, module = "procession._procession")]
struct Sink {
    bytes: Mutex<Vec<u8>>,
    /// Large buffers that are not pickled; none while everything is.
    buffers: Mutex<Option<Vec<Py<PyAny>>>>,
}

#[pymethods]
impl Sink {
    /// Takes a `PickleBuffer`; true when it is to be pickled like everything else.
    fn keep(&self, buffer: &Bound<'_, PyAny>) -> bool {
        // What is not contiguous has no raw view.
        let size = buffer.call_method0("raw").and_then(|raw| raw.getattr("nbytes")?.extract::<usize>());
        let mut buffers = self.buffers.lock().expect("no panic while keeping");
        match (&mut *buffers, size) {
            (Some(buffers), Ok(size)) if size >= LARGE => {
                buffers.push(buffer.clone().unbind());
                false
            }
            _ => true,
        }
    }

    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut bytes = self.bytes.lock().expect("no panic while writing");
        if let Ok(data) = data.cast::<PyBytes>() {
            bytes.extend_from_slice(data.as_bytes());
            return Ok(data.as_bytes().len());
        }
        let py = data.py();
        let data = match PyBuffer::<u8>::get(data) {
            Ok(data) => data,
            // A large array of numbers, as a PickleBuffer: its bytes, in whatever order it has.
            Err(_) => PyBuffer::<u8>::get(&data.call_method0("raw")?)?,
        };
        let start = bytes.len();
        let size = data.len_bytes();
        bytes.resize(start + size, 0);
        data.copy_to_slice(py, &mut bytes[start..])?;
        Ok(size)
    }
}

/// A C pickler and where it writes.
struct Pickler {
    sink: Py<Sink>,
    dump: Py<PyAny>,
    clear: Py<PyAny>,
}

impl Pickler {
    fn new(py: Python<'_>) -> PyResult<Pickler> {
        let sink = Py::new(py, Sink { bytes: Mutex::new(Vec::new()), buffers: Mutex::new(None) })?;
        let pickler = py.import("procession.reduction")?.getattr("make_pickler")?.call1((sink.clone_ref(py),))?;
        let dump = pickler.getattr("dump")?.unbind();
        let clear = pickler.getattr("clear_memo")?.unbind();
        Ok(Pickler { sink, dump, clear })
    }
}

/// Picklers that nobody uses now. Pickling may run any code, so one is taken out while it is used.
static IDLE: Mutex<Vec<Pickler>> = Mutex::new(Vec::new());
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Adds the pickle of `object` to `out`; nothing is added when that fails.
pub(crate) fn pickle(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    pickle_apart(object, out, None).map(drop)
}

/// Adds the pickle of `object` to `out` and gives its large buffers, if `apart` is a list for them.
fn pickle_apart(
    object: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    apart: Option<Vec<Py<PyAny>>>,
) -> PyResult<Vec<Py<PyAny>>> {
    let py = object.py();
    let idle = IDLE.lock().expect("no panic while locked").pop();
    let pickler = match idle {
        Some(pickler) => pickler,
        None => Pickler::new(py)?,
    };
    *pickler.sink.get().buffers.lock().expect("no panic while keeping") = apart;
    let answer = pickler.dump.call1(py, (object,));
    let buffers = pickler.sink.get().buffers.lock().expect("no panic while keeping").take();
    {
        let mut bytes = pickler.sink.get().bytes.lock().expect("no panic while writing");
        if answer.is_ok() {
            out.extend_from_slice(&bytes);
        }
        bytes.clear();
        if bytes.capacity() > 1 << 20 {
            *bytes = Vec::new();
        }
    }
    // One that failed half way is not used again.
    answer?;
    pickler.clear.call0(py)?;
    IDLE.lock().expect("no panic while locked").push(pickler);
    Ok(buffers.unwrap_or_default())
}

/// Where large buffers go on their way out.
pub(crate) trait Room {
    /// Has `write` fill a block of `size` bytes; gives its offset.
    fn put(&mut self, size: usize, write: &mut dyn FnMut(&mut [u8]) -> PyResult<()>) -> PyResult<u64>;
}

/// Where large buffers come from.
pub(crate) trait Shelf {
    /// Copies the block at `offset` into all of `into`, and gives it back; false if it lies outside.
    fn get(&self, offset: u64, into: &mut [u8]) -> bool;
}

/// A shelf for values that have no large buffers.
pub(crate) struct Bare;

impl Shelf for Bare {
    fn get(&self, _offset: u64, _into: &mut [u8]) -> bool {
        false
    }
}

/// The object behind a pickle.
pub(crate) fn unpickle<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    loads(py)?.call1((PyBytes::new(py, bytes),))
}

fn loads<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    let loads = LOADS.get_or_try_init(py, || py.import("pickle")?.getattr("loads").map(Bound::unbind))?;
    Ok(loads.bind(py))
}

fn fetch(shelf: &dyn Shelf, offset: u64, place: &mut [u8]) -> PyResult<()> {
    if shelf.get(offset, place) { Ok(()) } else { Err(cut_off()) }
}

/// Adds the code of `value` to `out`, if it is simple; says whether it was.
pub(crate) fn encode_simple(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    encode_at(value, out, 0)
}

fn encode_at(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize) -> bool {
    if value.is_exact_instance_of::<PyInt>() {
        let Ok(number) = value.extract::<i64>() else { return false };
        out.push(INT);
        out.extend_from_slice(&number.to_le_bytes());
    } else if value.is_none() {
        out.push(NONE);
    } else if value.is_exact_instance_of::<PyFloat>() {
        let Ok(number) = value.extract::<f64>() else { return false };
        out.push(FLOAT);
        out.extend_from_slice(&number.to_le_bytes());
    } else if value.is_exact_instance_of::<PyString>() {
        // Lone surrogates have no UTF-8: pickle can do them.
        let Ok(text) = value.cast::<PyString>().map_err(PyErr::from).and_then(|text| text.to_str()) else {
            return false;
        };
        return sized(STR, text.as_bytes(), out);
    } else if value.is_exact_instance_of::<PyBool>() {
        out.push(if value.is_truthy().unwrap_or(false) { TRUE } else { FALSE });
    } else if value.is_exact_instance_of::<PyBytes>() {
        let Ok(bytes) = value.cast::<PyBytes>() else { return false };
        if bytes.as_bytes().len() >= LARGE {
            return false;
        }
        return sized(BYTES, bytes.as_bytes(), out);
    } else if value.is_exact_instance_of::<PyTuple>() {
        let Ok(tuple) = value.cast::<PyTuple>() else { return false };
        if tuple.len() > TUPLE_ITEMS || depth == DEPTH {
            return false;
        }
        let start = out.len();
        out.push(TUPLE);
        out.push(tuple.len() as u8);
        if !tuple.iter_borrowed().all(|item| encode_at(&item, out, depth + 1)) {
            out.truncate(start);
            return false;
        }
    } else {
        return false;
    }
    true
}

fn sized(tag: u8, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(size) = u32::try_from(bytes.len()) else { return false };
    out.push(tag);
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(bytes);
    true
}

/// Adds the code of any value to `out`; nothing is added when it cannot be pickled. Large buffers go to `room`.
pub(crate) fn encode(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
    if encode_simple(value, out) {
        return Ok(());
    }
    if value.is_exact_instance_of::<PyBytes>() {
        let bytes = value.cast::<PyBytes>()?.as_bytes();
        let offset = room.put(bytes.len(), &mut |place| {
            place.copy_from_slice(bytes);
            Ok(())
        })?;
        out.push(LARGE_BYTES);
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        return Ok(());
    }
    let start = out.len();
    let answer = encode_pickle(value, out, room);
    if answer.is_err() {
        out.truncate(start);
    }
    answer
}

fn encode_pickle(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
    let py = value.py();
    let start = out.len();
    out.push(PICKLE);
    out.extend_from_slice(&[0; 8]);
    let buffers = pickle_apart(value, out, Some(Vec::new()))?;
    let size = (out.len() - start - 9) as u64;
    out[start + 1..start + 9].copy_from_slice(&size.to_le_bytes());
    if buffers.is_empty() {
        return Ok(());
    }
    out[start] = WITH_BUFFERS;
    out.extend_from_slice(&(buffers.len() as u32).to_le_bytes());
    for buffer in buffers {
        let buffer = PyBuffer::<u8>::get(&buffer.bind(py).call_method0("raw")?)?;
        let size = buffer.len_bytes();
        let offset = room.put(size, &mut |place| buffer.copy_to_slice(py, place))?;
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&(size as u64).to_le_bytes());
    }
    Ok(())
}

/// The offsets of the blocks that the value in `bytes` has parts in.
pub(crate) fn blocks_of(bytes: &[u8]) -> Vec<u64> {
    let number = |bytes: &[u8]| bytes.first_chunk().map(|word| u64::from_le_bytes(*word));
    match bytes {
        [LARGE_BYTES, place @ ..] => number(place).into_iter().collect(),
        [WITH_BUFFERS, rest @ ..] => {
            let after = number(rest).and_then(|size| rest.get(8..)?.get(size as usize..)?.get(4..));
            after.unwrap_or_default().chunks_exact(16).filter_map(number).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the value at the start of `bytes` has parts in blocks.
pub(crate) fn has_blocks(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(WITH_BUFFERS | LARGE_BYTES)))
}

/// Adds a pickle that was made elsewhere, as a value.
pub(crate) fn encode_pickled(pickled: &[u8], out: &mut Vec<u8>) {
    out.push(PICKLE);
    out.extend_from_slice(&(pickled.len() as u64).to_le_bytes());
    out.extend_from_slice(pickled);
}

fn cut_off() -> PyErr {
    PyValueError::new_err("a value arrived cut off")
}

fn take<'a>(bytes: &mut &'a [u8], size: usize) -> PyResult<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(size).ok_or_else(cut_off)?;
    *bytes = rest;
    Ok(taken)
}

fn take_word<const N: usize>(bytes: &mut &[u8]) -> PyResult<[u8; N]> {
    let word = *bytes.first_chunk::<N>().ok_or_else(cut_off)?;
    *bytes = &bytes[N..];
    Ok(word)
}

/// A value's own bytes, cut from `bytes`: rebuild it with [`decode`].
pub(crate) fn skip<'a>(bytes: &mut &'a [u8]) -> PyResult<&'a [u8]> {
    let start = *bytes;
    let [tag] = take_word(bytes)?;
    let size = match tag {
        INT | FLOAT => 8,
        STR | BYTES => u32::from_le_bytes(take_word(bytes)?) as usize,
        PICKLE => u64::from_le_bytes(take_word(bytes)?) as usize,
        TUPLE => {
            let [count] = take_word(bytes)?;
            for _ in 0..count {
                skip(bytes)?;
            }
            0
        }
        LARGE_BYTES => 16,
        WITH_BUFFERS => {
            let size = u64::from_le_bytes(take_word(bytes)?) as usize;
            take(bytes, size)?;
            u32::from_le_bytes(take_word(bytes)?) as usize * 16
        }
        _ => 0,
    };
    take(bytes, size)?;
    Ok(&start[..start.len() - bytes.len()])
}

/// Rebuilds the value at the start of `bytes`, and goes past it; large buffers come from `shelf`.
pub(crate) fn decode<'py>(py: Python<'py>, bytes: &mut &[u8], shelf: &dyn Shelf) -> PyResult<Bound<'py, PyAny>> {
    let [tag] = take_word(bytes)?;
    Ok(match tag {
        NONE => py.None().into_bound(py),
        TRUE => PyBool::new(py, true).to_owned().into_any(),
        FALSE => PyBool::new(py, false).to_owned().into_any(),
        INT => i64::from_le_bytes(take_word(bytes)?).into_pyobject(py)?.into_any(),
        FLOAT => PyFloat::new(py, f64::from_le_bytes(take_word(bytes)?)).into_any(),
        STR => {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            let text = std::str::from_utf8(take(bytes, size)?).map_err(|_| cut_off())?;
            PyString::new(py, text).into_any()
        }
        BYTES => {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            PyBytes::new(py, take(bytes, size)?).into_any()
        }
        TUPLE => {
            let [count] = take_word(bytes)?;
            let items = (0..count).map(|_| decode(py, bytes, shelf)).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, items)?.into_any()
        }
        PICKLE => {
            let size = u64::from_le_bytes(take_word(bytes)?) as usize;
            unpickle(py, take(bytes, size)?)?
        }
        LARGE_BYTES => {
            let offset = u64::from_le_bytes(take_word(bytes)?);
            let size = u64::from_le_bytes(take_word(bytes)?) as usize;
            PyBytes::new_with(py, size, |place| fetch(shelf, offset, place))?.into_any()
        }
        WITH_BUFFERS => {
            let size = u64::from_le_bytes(take_word(bytes)?) as usize;
            let pickled = take(bytes, size)?;
            let count = u32::from_le_bytes(take_word(bytes)?);
            let mut buffers = Vec::new();
            for _ in 0..count {
                let offset = u64::from_le_bytes(take_word(bytes)?);
                let size = u64::from_le_bytes(take_word(bytes)?) as usize;
                // A bytearray, so that arrays on it can be written to.
                buffers.push(PyByteArray::new_with(py, size, |place| fetch(shelf, offset, place))?);
            }
            let keywords = PyDict::new(py);
            keywords.set_item("buffers", buffers)?;
            loads(py)?.call((PyBytes::new(py, pickled),), Some(&keywords))?
        }
        _ => return Err(PyValueError::new_err("a value of an unknown kind arrived")),
    })
}

/// Whether the value at the start of `bytes` is rebuilt without running any code but the interpreter's own.
pub(crate) fn is_simple(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|tag| *tag < PICKLE)
}

/// Whether all values of a run, each behind a byte with its size, are plain: rebuilding them runs no code at all.
pub(crate) fn is_simple_run(mut bytes: &[u8]) -> bool {
    while let [size, rest @ ..] = bytes {
        let size = usize::from(*size);
        if size > rest.len() || rest.first().is_none_or(|tag| *tag >= TUPLE) {
            return false;
        }
        bytes = &rest[size..];
    }
    true
}

/// How a task's value is applied to its function.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// `f(x)`
    Map = 0,
    /// `f(*x)`
    Star = 1,
    /// `f(*args, **kwds)`, the value is `(args, kwds)`, or `args` alone
    Apply = 2,
}

/// What travels in a record before its items.
pub(crate) struct Preamble<'a> {
    /// Names the function among those of its pool.
    pub function: u64,
    /// How it is called.
    pub mode: Mode,
    /// Its pickle, or where that lies in the pool's segment.
    pub pickled: Result<&'a [u8], (u64, u64)>,
}

impl<'a> Preamble<'a> {
    /// Adds its bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.function.to_le_bytes());
        out.push(self.mode as u8);
        match self.pickled {
            Ok(bytes) => {
                out.push(0);
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Err((offset, size)) => {
                out.push(1);
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&size.to_le_bytes());
            }
        }
    }

    /// Reads one from the start of `bytes`, and goes past it.
    pub(crate) fn decode(bytes: &mut &'a [u8]) -> PyResult<Preamble<'a>> {
        let function = u64::from_le_bytes(take_word(bytes)?);
        let [mode, form] = take_word(bytes)?;
        let mode = match mode {
            0 => Mode::Map,
            1 => Mode::Star,
            _ => Mode::Apply,
        };
        let pickled = if form == 0 {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            Ok(take(bytes, size)?)
        } else {
            Err((u64::from_le_bytes(take_word(bytes)?), u64::from_le_bytes(take_word(bytes)?)))
        };
        Ok(Preamble { function, mode, pickled })
    }
}

/// Calls `function` as `mode` says.
#[inline]
pub(crate) fn call<'py>(
    function: &Bound<'py, PyAny>,
    mode: Mode,
    value: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match mode {
        Mode::Map => function.call1((value,)),
        Mode::Star => match value.cast::<PyTuple>() {
            Ok(args) => function.call1(args),
            Err(_) => function.call1(PyTuple::new(value.py(), value.try_iter()?.collect::<PyResult<Vec<_>>>()?)?),
        },
        Mode::Apply => {
            let pair = value.cast::<PyTuple>()?;
            let args = pair.get_item(0)?;
            let kwds = pair.get_item(1)?;
            function.call(args.cast::<PyTuple>()?.clone(), kwds.cast::<PyDict>().ok())
        }
    }
}

/// Adds the items of a chunk: each by its short code, or all in one pickle, so that what they share stays shared.
pub(crate) fn encode_chunk(
    py: Python<'_>,
    values: &[Bound<'_, PyAny>],
    out: &mut Vec<u8>,
    room: &mut dyn Room,
) -> PyResult<()> {
    let start = out.len();
    if values.iter().all(|value| encode_simple(value, out)) {
        return Ok(());
    }
    out.truncate(start);
    out.push(TOGETHER);
    let answer = encode(PyList::new(py, values)?.as_any(), out, room);
    if answer.is_err() {
        out.truncate(start);
    }
    answer
}
