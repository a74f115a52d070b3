//! Pickles, made by the C pickler, which is used again and again: making one costs more than pickling a small object.

use std::sync::{Mutex, MutexGuard};

use procession::shared_memory::{View, append};
use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::memory::buffer::{bytes_of, copy_of, parts_of, put};
use crate::memory::lent::LentRoom;
use crate::memory::place::{Kind, LARGE, Room, Spot};
use crate::objects::reducers::note_culprit;
use crate::objects::unsettled::pickling;

/// The most memory that a pickler keeps to write into.
const MOST_KEPT: usize = 1 << 20;
/// A pickler remembers what it has pickled in a table, which stays as large as it was once, and takes that long to clear. It
/// gets a new one before pickles that are so many times smaller, and after one of more bytes than this.
const MUCH_SMALLER: usize = 4;
const MOST_REMEMBERED: usize = 1 << 20;
/// A table for fewer bytes is cleared at once.
const WORTH_A_NEW_TABLE: usize = 1 << 10;

/// A part that the pickle is made without, and where it lies: a buffer, or large bytes of that kind.
pub(crate) struct Apart {
    pub kind: Option<Kind>,
    pub spot: Spot,
}

/// Takes what a pickler writes.
#[pyclass(frozen, module = "procession._procession")]
#[derive(Default)]
struct Sink {
    written: Mutex<Written>,
    /// Where large parts go; without, they are pickled.
    room: LentRoom,
}

/// What a pickler has written.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    /// The parts that are not pickled.
    apart: Vec<Apart>,
    /// The large bytes that the pickler has announced to write next; none without a room.
    announced: Option<Announced>,
}

impl Sink {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().expect("no panic while locked")
    }
}

/// The opcodes of a pickle that stand before large bytes, before a frame, at the start; and for a buffer kept apart.
const BINBYTES: u8 = b'B';
const BINBYTES8: u8 = 0x8e;
const BYTEARRAY8: u8 = 0x96;
const FRAME: u8 = 0x95;
const PROTO: u8 = 0x80;
const NEXT_BUFFER: u8 = 0x97;

/// Large bytes that come next in a pickle, and how many bytes of it stand for that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Announced {
    kind: Kind,
    size: u64,
    header: usize,
}

/// The large bytes that the end of `written` announces.
///
/// The C pickler passes on large bytes (64 KiB or more) as they are: it ends its frame, writes the opcode with the size
/// outside of any frame, and then the object itself. So such an opcode can be told from bytes of the user that look
/// the same: what is outside of a frame is that opcode, behind at most three bytes that are too few for a frame.
fn announced(mut written: &[u8]) -> Option<Announced> {
    if let [PROTO, _, rest @ ..] = written {
        written = rest;
    }
    while let [FRAME, rest @ ..] = written {
        let (size, rest) = rest.split_first_chunk::<8>()?;
        written = rest.get(usize::try_from(u64::from_le_bytes(*size)).ok()?..)?;
    }
    let header = match written.len() {
        5..=8 => 5,
        9..=12 => 9,
        _ => return None,
    };
    let (opcode, size) = written[written.len() - header..].split_first()?;
    let mut word = [0; 8];
    word[..size.len()].copy_from_slice(size);
    let kind = match (*opcode, header) {
        (BINBYTES, 5) | (BINBYTES8, 9) => Kind::Bytes,
        (BYTEARRAY8, 9) => Kind::ByteArray,
        _ => return None,
    };
    Some(Announced { kind, size: u64::from_le_bytes(word), header })
}

#[pymethods]
impl Sink {
    /// Takes a `PickleBuffer`; true when it is to be pickled like everything else.
    fn keep(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        // A buffer that is not contiguous has no raw view.
        let Ok(raw) = buffer.call_method0("raw") else { return Ok(true) };
        let Ok(bytes) = PyBuffer::<u8>::get(&raw) else { return Ok(true) };
        let size = bytes.len_bytes();
        let spot = match View::around(bytes.buf_ptr() as usize, size) {
            Some((_, place)) if size > 0 => Spot::Shared(place),
            _ if size >= LARGE && self.room.is_some() => {
                let owner = raw.getattr("obj")?;
                let Some(spot) = self.room.with(|room| put(&owner, &bytes, room)) else { return Ok(true) };
                spot?
            }
            _ => return Ok(true),
        };
        self.written().apart.push(Apart { kind: None, spot });
        Ok(false)
    }

    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let expected = self.written().announced.take();
        if let Some(expected) = expected.filter(|expected| expected.is(data)) {
            let bytes = PyBuffer::<u8>::get(data)?;
            if let Some(spot) = self.room.with(|room| put(data, &bytes, room)) {
                let apart = Apart { kind: Some(expected.kind), spot: spot? };
                let mut written = self.written();
                let start = written.bytes.len() - expected.header;
                written.bytes.truncate(start);
                written.bytes.push(NEXT_BUFFER);
                written.apart.push(apart);
                return data.len();
            }
        }
        if let Ok(data) = data.cast::<PyBytes>() {
            let (data, has_room) = (data.as_bytes(), self.room.is_some());
            let mut written = self.written();
            written.announced = if has_room { announced(data) } else { None };
            append(data, &mut written.bytes);
            return Ok(data.len());
        }
        let py = data.py();
        let data = match PyBuffer::<u8>::get(data) {
            Ok(data) => data,
            // A large array of numbers, as a PickleBuffer: its bytes, in whatever order it has.
            Err(_) => PyBuffer::<u8>::get(&data.call_method0("raw")?)?,
        };
        let mut written = self.written();
        let (start, size) = (written.bytes.len(), data.len_bytes());
        // With room for the few bytes behind them: to move large ones once more is dear.
        written.bytes.reserve(size + 64);
        written.bytes.resize(start + size, 0);
        copy_of(py, &data, &mut written.bytes[start..])?;
        Ok(size)
    }
}

impl Announced {
    /// Whether `data` is what was announced, and of exactly that kind.
    fn is(&self, data: &Bound<'_, PyAny>) -> bool {
        let size = data.len().unwrap_or(0);
        Kind::of(data) == Some(self.kind) && size as u64 == self.size && size >= LARGE
    }
}

/// A C pickler and where it writes.
struct Pickler {
    sink: Py<Sink>,
    pickler: Py<PyAny>,
    dump: Py<PyAny>,
    clear: Py<PyAny>,
    /// How many bytes the largest pickle had since its table was new.
    largest: usize,
}

impl Pickler {
    fn new(py: Python<'_>) -> PyResult<Pickler> {
        let sink = Py::new(py, Sink::default())?;
        let pickler = py.import(crate::package::REDUCERS)?.getattr("make_pickler")?.call1((sink.clone_ref(py),))?;
        let dump = pickler.getattr("dump")?.unbind();
        let clear = pickler.getattr("clear_memo")?.unbind();
        Ok(Pickler { sink, pickler: pickler.unbind(), dump, clear, largest: 0 })
    }

    /// Forgets what was pickled last, of so many bytes.
    fn forget(&mut self, py: Python<'_>, size: usize) -> PyResult<()> {
        self.largest = self.largest.max(size);
        let is_large = self.largest > MOST_REMEMBERED;
        if is_large || self.largest > WORTH_A_NEW_TABLE && self.largest > size * MUCH_SMALLER {
            self.largest = 0;
            return self.pickler.setattr(py, intern!(py, "memo"), PyDict::new(py));
        }
        self.clear.call0(py).map(drop)
    }
}

/// Picklers that nobody uses now. Pickling may run any code, so one is taken out while it is used.
static IDLE: Mutex<Vec<Pickler>> = Mutex::new(Vec::new());
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Adds the pickle of `object` to `out`; nothing is added when that fails. What is in memory that is shared on purpose
/// travels by reference.
pub(crate) fn pickle(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    let start = out.len();
    let apart = pickle_apart(object, out, None)?;
    if apart.is_empty() {
        return Ok(());
    }
    let py = object.py();
    let inner = PyBytes::new(py, &out[start..]);
    out.truncate(start);
    let parts = PyList::empty(py);
    for part in &apart {
        if let Spot::Shared(place) = &part.spot {
            parts.append(parts_of(place))?;
        }
    }
    let envelope = py.import(crate::package::BUFFERS)?.call_method1("Envelope", (inner, parts))?;
    pickle_apart(&envelope, out, None).map(drop)
}

/// Adds the pickle of `object` to `out` and gives what was left out of it: see [`pickle_with`].
pub(crate) fn pickle_apart(
    object: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    room: Option<&mut dyn Room>,
) -> PyResult<Vec<Apart>> {
    pickle_with(object, room, &mut |bytes, _| {
        if out.is_empty() && bytes.len() >= LARGE {
            std::mem::swap(out, bytes); // rather than copy
        } else {
            append(bytes, out);
        }
    })
}

/// Shows the pickle of `object` to `take`, which may have it, and gives what was left out of it, in order: buffers in
/// memory that is shared on purpose, and the large ones, which are put into `room` when their turn comes, if there is one.
pub(crate) fn pickle_with(
    object: &Bound<'_, PyAny>,
    room: Option<&mut dyn Room>,
    take: &mut dyn FnMut(&mut Vec<u8>, &[Apart]),
) -> PyResult<Vec<Apart>> {
    let py = object.py();
    let idle = IDLE.lock().expect("no panic while locked").pop();
    let mut pickler = match idle {
        Some(pickler) => pickler,
        None => Pickler::new(py)?,
    };
    let sink = pickler.sink.get();
    let dump = || pickling(|| pickler.dump.call1(py, (object,)));
    let answer = match room {
        Some(room) => sink.room.lend(room, dump),
        None => dump(),
    };
    let Written { mut bytes, apart, .. } = std::mem::take(&mut *sink.written());
    let size = bytes.len();
    if answer.is_ok() {
        take(&mut bytes, &apart);
    }
    bytes.clear();
    if bytes.capacity() <= MOST_KEPT {
        sink.written().bytes = bytes;
    }
    // One that failed half way is not used again.
    note_culprit(answer.is_err());
    answer?;
    pickler.forget(py, size)?;
    IDLE.lock().expect("no panic while locked").push(pickler);
    Ok(apart)
}

/// The object behind a pickle.
pub(crate) fn unpickle<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    loads(py)?.call1((bytes_of(py, bytes)?,))
}

/// `pickle.loads`, without what `pickle` loads where the interpreter has a compiled one.
pub(crate) fn loads<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    let loads = LOADS.get_or_try_init(py, || {
        let module = py.import("_pickle").or_else(|_| py.import("pickle"))?;
        module.getattr("loads").map(Bound::unbind)
    })?;
    Ok(loads.bind(py))
}
