//! Values as pickles, and the large parts that lie elsewhere.

use procession::shared_memory::{append, copy_all};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::short::encode_simple;
use super::tags::*;
use crate::memory::buffer::{bytes_of, in_place, put};
use crate::memory::place::{Kind, LARGE, Part, Room, Shelf, Spot};
use crate::objects::pickler::{Apart, loads, pickle_with, unpickle};

pub(super) fn tag_of(kind: Kind) -> u8 {
    match kind {
        Kind::Bytes => LARGE_BYTES,
        Kind::ByteArray => LARGE_BYTEARRAY,
        Kind::Str => LARGE_STR,
    }
}

pub(super) fn encode_plain(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
    if encode_simple(value, out) {
        return Ok(());
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        out.push(LARGE_TUPLE);
        out.push(tuple.len() as u8);
        return tuple.iter_borrowed().try_for_each(|item| encode_plain(&item, out, room));
    }
    let kind = Kind::of(value).ok_or_else(|| PyValueError::new_err("a value is not as plain as it looked"))?;
    let spot = match value.cast_exact::<PyString>() {
        Ok(text) => put_text(text, room)?,
        Err(_) => put(value, &PyBuffer::get(value)?, room)?,
    };
    out.push(tag_of(kind));
    spot.encode(out);
    Ok(())
}

pub(super) fn put_text(text: &Bound<'_, PyString>, room: &mut dyn Room) -> PyResult<Spot> {
    let bytes = text.to_str()?.as_bytes();
    let copy = |place: &mut [u8]| {
        copy_all(bytes, place);
        Ok(())
    };
    room.put(&Part { owner: text.as_any(), address: bytes.as_ptr() as usize, size: bytes.len(), copy: &copy })
}

/// Adds the pickle of a value to `out`, as a value; its large parts go to `room`.
pub(crate) fn encode_pickle(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
    let start = out.len();
    out.push(PICKLE);
    out.extend_from_slice(&[0; 8]);
    let (mut large, takes) = (Vec::new(), room.takes_pickles());
    let apart = pickle_with(value, Some(room), &mut |pickled, apart| {
        if takes && apart.is_empty() && pickled.len() >= LARGE {
            large = std::mem::take(pickled);
        } else {
            append(pickled, out);
        }
    })?;
    if !large.is_empty() {
        out.truncate(start);
        return encode_large_pickle(value, &large, out, room);
    }
    let size = (out.len() - start - 9) as u64;
    out[start + 1..start + 9].copy_from_slice(&size.to_le_bytes());
    if apart.is_empty() {
        return Ok(());
    }
    out[start] = WITH_BUFFERS;
    out.extend_from_slice(&(apart.len() as u32).to_le_bytes());
    for Apart { kind, spot } in apart {
        out.push(kind.map_or(IN_PLACE, tag_of));
        spot.encode(out);
    }
    Ok(())
}

/// Adds the large pickle of a value to `out`, as a value: it goes to `room`.
pub(super) fn encode_large_pickle(
    value: &Bound<'_, PyAny>,
    pickled: &[u8],
    out: &mut Vec<u8>,
    room: &mut dyn Room,
) -> PyResult<()> {
    let copy = |place: &mut [u8]| {
        copy_all(pickled, place);
        Ok(())
    };
    let part = Part { owner: value, address: pickled.as_ptr() as usize, size: pickled.len(), copy: &copy };
    let spot = room.put(&part)?;
    out.push(LARGE_PICKLE);
    spot.encode(out);
    Ok(())
}

/// Adds an object that several items have: see `common`.
pub(crate) fn encode_common(name: (u64, u64), spot: Spot, out: &mut Vec<u8>) {
    out.push(COMMON);
    out.extend_from_slice(&name.0.to_le_bytes());
    out.extend_from_slice(&name.1.to_le_bytes());
    spot.encode(out);
}

/// A part that a pickle is made without: its form and where it lies.
pub(super) fn take_part(bytes: &mut &[u8]) -> PyResult<(u8, Spot)> {
    let [form] = take_word(bytes)?;
    Ok((form, take_spot(bytes)?))
}

/// The object of such a part.
pub(super) fn fetch<'py>(py: Python<'py>, form: u8, spot: Spot, shelf: &dyn Shelf) -> PyResult<Bound<'py, PyAny>> {
    match form {
        IN_PLACE => in_place(py, spot, shelf).map(Bound::into_any),
        LARGE_BYTES => shelf.copy(py, spot, Kind::Bytes).ok_or_else(cut_off)?,
        LARGE_BYTEARRAY => shelf.copy(py, spot, Kind::ByteArray).ok_or_else(cut_off)?,
        LARGE_STR => shelf.copy(py, spot, Kind::Str).ok_or_else(cut_off)?,
        _ => Err(PyValueError::new_err("a part of an unknown form arrived")),
    }
}

/// Rebuilds a value from its pickle, or from where its bytes lie.
pub(super) fn read<'py>(py: Python<'py>, tag: u8, bytes: &mut &[u8], shelf: &dyn Shelf) -> PyResult<Bound<'py, PyAny>> {
    Ok(match tag {
        PICKLE => {
            let size = u64::from_le_bytes(take_word(bytes)?) as usize;
            unpickle(py, take(bytes, size)?)?
        }
        LARGE_BYTES | LARGE_BYTEARRAY | LARGE_STR => fetch(py, tag, take_spot(bytes)?, shelf)?,
        LARGE_PICKLE => loads(py)?.call1((in_place(py, take_spot(bytes)?, shelf)?,))?,
        COMMON => {
            let name = (u64::from_le_bytes(take_word(bytes)?), u64::from_le_bytes(take_word(bytes)?));
            let spot = take_spot(bytes)?;
            shelf.common(py, name, &|| loads(py)?.call1((in_place(py, spot, shelf)?,)))?
        }
        WITH_BUFFERS => {
            let size = u64::from_le_bytes(take_word(bytes)?) as usize;
            let pickled = take(bytes, size)?;
            let count = u32::from_le_bytes(take_word(bytes)?);
            // All parts are taken before anything can fail: those that nobody uses go back at once.
            let parts = (0..count).map(|_| take_part(bytes)).collect::<PyResult<Vec<_>>>()?;
            let buffers: Vec<_> = parts.into_iter().map(|(form, spot)| fetch(py, form, spot, shelf)).collect();
            let buffers = buffers.into_iter().collect::<PyResult<Vec<_>>>()?;
            let keywords = PyDict::new(py);
            keywords.set_item("buffers", buffers)?;
            loads(py)?.call((bytes_of(py, pickled)?,), Some(&keywords))?
        }
        _ => return Err(unknown()),
    })
}
