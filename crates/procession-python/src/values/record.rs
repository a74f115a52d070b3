//! What is in a record: the function, how it is called, and the items.

use procession::shared_memory::append;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::pickled::encode_pickle;
use super::short::{SeenValues, encode_at, is_plain_at, undo};
use super::tags::*;
use super::{decode, encode};
use crate::memory::place::{Room, Shelf};

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
    /// How many items call one rebuilt function, and see what the calls before have left in it, until it is rebuilt; 0: all items.
    pub share: u64,
    /// The results of so many items, from a multiple of that on, may have objects in common; 0 or 1: none.
    pub sharing: u64,
    /// Its pickle, or where that lies in the pool's segment.
    pub pickled: Result<&'a [u8], (u64, u64)>,
}

impl<'a> Preamble<'a> {
    /// Adds its bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.function.to_le_bytes());
        out.push(self.mode as u8);
        out.extend_from_slice(&self.share.to_le_bytes());
        out.extend_from_slice(&self.sharing.to_le_bytes());
        match self.pickled {
            Ok(bytes) => {
                out.push(0);
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                append(bytes, out);
            }
            Err((offset, size)) => {
                out.push(1);
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&size.to_le_bytes());
            }
        }
    }

    /// Which of those that share the function the item `at` belongs to; none if all do.
    pub(crate) fn sharers(&self, at: u64) -> Option<u64> {
        at.checked_div(self.share)
    }

    /// The number of the first item behind the item `at` that does not share the function with it.
    pub(crate) fn end_of_share(&self, at: u64) -> u64 {
        self.sharers(at).map_or(u64::MAX, |sharers| (sharers + 1).saturating_mul(self.share))
    }

    /// Reads one from the start of `bytes`, and goes past it.
    pub(crate) fn decode(bytes: &mut &'a [u8]) -> PyResult<Preamble<'a>> {
        let function = u64::from_le_bytes(take_word(bytes)?);
        let [mode] = take_word(bytes)?;
        let mode = match mode {
            0 => Mode::Map,
            1 => Mode::Star,
            _ => Mode::Apply,
        };
        let share = u64::from_le_bytes(take_word(bytes)?);
        let sharing = u64::from_le_bytes(take_word(bytes)?);
        let [form] = take_word(bytes)?;
        let pickled = if form == 0 {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            Ok(take(bytes, size)?)
        } else {
            Err((u64::from_le_bytes(take_word(bytes)?), u64::from_le_bytes(take_word(bytes)?)))
        };
        Ok(Preamble { function, mode, share, sharing, pickled })
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

/// Adds the code of the items of a record that are numbers from `first` on, each `step` more.
pub(crate) fn encode_range(first: i64, step: i64, out: &mut Vec<u8>) {
    out.push(RANGE);
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&step.to_le_bytes());
}

/// The first number and the step of items that are a range; none, and nothing read, if they are not.
pub(crate) fn decode_range(bytes: &mut &[u8]) -> PyResult<Option<(i64, i64)>> {
    if bytes.first() != Some(&RANGE) {
        return Ok(None);
    }
    *bytes = &bytes[1..];
    Ok(Some((i64::from_le_bytes(take_word(bytes)?), i64::from_le_bytes(take_word(bytes)?))))
}

/// Adds the items of a chunk: each by its short code, or all in one pickle, so that what they share stays shared.
pub(crate) fn encode_chunk(
    py: Python<'_>,
    values: &[Bound<'_, PyAny>],
    out: &mut Vec<u8>,
    room: &mut dyn Room,
) -> PyResult<()> {
    let start = out.len();
    if simple_one_by_one(values, out) {
        return Ok(());
    }
    out.push(TOGETHER);
    encode_list(py, values, start, out, room)
}

/// Adds the pickle of values as one list, behind what was added from `start` on, which goes if that fails.
fn encode_list(
    py: Python<'_>,
    values: &[Bound<'_, PyAny>],
    start: usize,
    out: &mut Vec<u8>,
    room: &mut dyn Room,
) -> PyResult<()> {
    let answer = encode_pickle(PyList::new(py, values)?.as_any(), out, room);
    if answer.is_err() {
        out.truncate(start);
    }
    answer
}

fn simple_one_by_one(values: &[Bound<'_, PyAny>], out: &mut Vec<u8>) -> bool {
    let (start, mut seen, mut before) = (out.len(), SeenValues::default(), Before::default());
    values.iter().all(|value| before.encode_same(value, out) || encode_at(value, out, 0, &mut seen)) || undo(start, out)
}

/// The item that stands before another in a record.
#[derive(Default)]
pub(crate) struct Before(usize);

impl Before {
    /// Adds an item that is the text, or the bytes, that came last, and says whether it is that. Whoever calls keeps what came.
    #[inline]
    pub(crate) fn encode_same(&mut self, value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
        let address = value.as_ptr() as usize;
        if std::mem::replace(&mut self.0, address) != address || !is_long_text(value) {
            return false;
        }
        out.push(SAME);
        true
    }
}

fn is_long_text(value: &Bound<'_, PyAny>) -> bool {
    let is_text = value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyBytes>();
    is_text && value.len().is_ok_and(|size| (SAME_BYTES..LARGE_PLAIN).contains(&size))
}

/// Rebuilds the next item of a record, behind the one that is in `before`, where it stays.
pub(crate) fn decode_item<'py>(
    py: Python<'py>,
    bytes: &mut &[u8],
    before: &mut Option<Py<PyAny>>,
    shelf: &dyn Shelf,
) -> PyResult<Bound<'py, PyAny>> {
    if let [SAME, rest @ ..] = *bytes {
        *bytes = rest;
        return before.as_ref().map(|item| item.bind(py).clone()).ok_or_else(cut_off);
    }
    // Nobody wants shorter ones back.
    let keeps = match *bytes {
        [STR | BYTES, rest @ ..] => {
            rest.first_chunk().is_some_and(|size| u32::from_le_bytes(*size) as usize >= SAME_BYTES)
        }
        _ => false,
    };
    let item = decode(py, bytes, shelf)?;
    if keeps {
        *before = Some(item.clone().unbind());
    }
    Ok(item)
}

/// Adds items that stand alone, but may be in one pickle: what they have in common is pickled once then.
pub(crate) fn encode_group(
    py: Python<'_>,
    values: &[Bound<'_, PyAny>],
    out: &mut Vec<u8>,
    room: &mut dyn Room,
) -> PyResult<()> {
    if simple_one_by_one(values, out) {
        return Ok(());
    }
    let start = out.len();
    let mut seen = SeenValues::default();
    if values.iter().all(|value| is_plain_at(value, 0, &mut seen)) {
        // Large bytes and texts need no pickle.
        let answer = values.iter().try_for_each(|value| encode(value, out, room));
        if answer.is_err() {
            out.truncate(start);
        }
        return answer;
    }
    out.push(GROUP);
    out.extend_from_slice(&(values.len() as u32).to_le_bytes());
    encode_list(py, values, start, out, room)
}

/// Whether a group is at the start of `bytes`.
pub(crate) fn is_group(bytes: &[u8]) -> bool {
    bytes.first() == Some(&GROUP)
}

/// The items of a group at the start of `bytes`, at most `most`; none, and nothing read, if there is no group.
pub(crate) fn decode_group<'py>(
    py: Python<'py>,
    bytes: &mut &[u8],
    most: u32,
    shelf: &dyn Shelf,
) -> PyResult<Option<Bound<'py, PyList>>> {
    if !is_group(bytes) {
        return Ok(None);
    }
    *bytes = &bytes[1..];
    let count = u32::from_le_bytes(take_word(bytes)?);
    let items = decode(py, bytes, shelf)?.cast_into::<PyList>()?;
    if items.len() != count as usize || count > most {
        return Err(PyValueError::new_err("a group arrived with another number of items"));
    }
    Ok(Some(items))
}
