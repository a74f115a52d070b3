//! Values as bytes: a short code for the simplest ones, pickle for all others.
//!
//! The short code keeps type and value exactly; all that is lost is that two equal items are one object. What is written in a
//! file of this room is read there, by its `read`, so that the two do not drift apart; here is what goes over all of them.

mod parts;
mod pickled;
mod places;
mod record;
mod short;
mod tags;

use pickled::{encode_plain, take_part};
use places::check_inner;
use pyo3::prelude::*;
use short::is_plain_at;
use tags::*;

use crate::memory::place::{Room, SPOT_BYTES, Shelf, Spot};

pub(crate) use parts::{
    begin_dict, begin_fields, begin_instance, begin_list, begin_reduced, begin_reduced_more, begin_tuple,
};
pub(crate) use pickled::{encode_common, encode_pickle};
pub(crate) use places::{
    AGAIN_BYTES, begin_kept, begin_named, encode_again, encode_remade, framed_again, keep_pickle, set_forgotten,
    take_again,
};
pub(crate) use record::{
    Before, Mode, Preamble, call, decode_group, decode_item, decode_range, encode_chunk, encode_group, encode_range,
    is_group,
};
pub(crate) use short::{
    SeenValues, as_int, encode_at, encode_int, encode_large_int, encode_simple, framed_int, is_lasting, is_plain,
    take_framed,
};
pub(crate) use tags::{DEPTH, TOGETHER, has_parts, is_named, is_simple, is_simple_run};

/// Adds the code of any value to `out`; nothing is added when it cannot be pickled. Large parts go to `room`.
pub(crate) fn encode(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
    encode_deep(value, out, room, 0)
}

/// The same, for a part of a value, so many tuples, lists and dicts deep.
pub(crate) fn encode_deep(
    value: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    room: &mut dyn Room,
    depth: usize,
) -> PyResult<()> {
    if encode_at(value, out, depth, &mut SeenValues::default()) {
        return Ok(());
    }
    let start = out.len();
    let is_plain = is_plain_at(value, depth, &mut SeenValues::default());
    let answer = if is_plain { encode_plain(value, out, room) } else { encode_pickle(value, out, room) };
    if answer.is_err() {
        out.truncate(start);
    }
    answer
}

/// The spots of the large parts of the value in `bytes`, but for those that are shared on purpose.
pub(crate) fn spots_of(mut bytes: &[u8]) -> Vec<Spot> {
    let mut spots = Vec::new();
    if has_parts(bytes) {
        let _ = find_spots(&mut bytes, &mut spots);
    }
    spots
}

fn find_spots(bytes: &mut &[u8], spots: &mut Vec<Spot>) -> PyResult<()> {
    let mut value = skip(bytes)?;
    let [tag] = take_word(&mut value)?;
    match tag {
        tag if is_of_values(tag) => {
            let [count] = take_word(&mut value)?;
            for _ in 0..values_in(tag, count) {
                find_spots(&mut value, spots)?;
            }
        }
        NAMED | KEPT => {
            take(&mut value, if tag == NAMED { NAMED_BYTES } else { 1 })?;
            find_spots(&mut value, spots)?;
        }
        LARGE_BYTES | LARGE_BYTEARRAY | LARGE_STR | LARGE_PICKLE => spots.push(take_spot(&mut value)?),
        KEPT_PICKLE => {
            take(&mut value, 1)?;
            spots.push(take_spot(&mut value)?);
        }
        WITH_BUFFERS => {
            let size = u64::from_le_bytes(take_word(&mut value)?) as usize;
            take(&mut value, size)?;
            let count = u32::from_le_bytes(take_word(&mut value)?);
            for _ in 0..count {
                match take_part(&mut value)?.1 {
                    Spot::Shared(_) => {}
                    spot => spots.push(spot),
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// A value's own bytes, cut from `bytes`: rebuild it with [`decode`].
pub(crate) fn skip<'a>(bytes: &mut &'a [u8]) -> PyResult<&'a [u8]> {
    skip_at(bytes, 0)
}

fn skip_at<'a>(bytes: &mut &'a [u8], depth: usize) -> PyResult<&'a [u8]> {
    let start = *bytes;
    let [tag] = take_word(bytes)?;
    let size = match tag {
        INT | FLOAT => 8,
        STR | BYTES | BYTEARRAY | ARRAY | NUMBER | LARGE_INT => u32::from_le_bytes(take_word(bytes)?) as usize,
        PICKLE => u64::from_le_bytes(take_word(bytes)?) as usize,
        tag if is_of_values(tag) => {
            for _ in 0..values_in(tag, take_count(bytes, depth)?) {
                skip_at(bytes, depth + 1)?;
            }
            0
        }
        SET | FROZENSET => {
            for _ in 0..take_count_of_set(bytes, depth)? {
                skip_at(bytes, depth + 1)?;
            }
            0
        }
        COMPLEX => 16,
        LARGE_BYTES | LARGE_BYTEARRAY | LARGE_STR | LARGE_PICKLE => SPOT_BYTES,
        COMMON => COMMON_BYTES,
        NAMED | KEPT => {
            take(bytes, if tag == NAMED { NAMED_BYTES } else { 1 })?;
            check_inner(tag, bytes)?;
            skip_at(bytes, depth)?;
            0
        }
        AGAIN | REMADE => 1,
        KEPT_PICKLE => 1 + SPOT_BYTES,
        WITH_BUFFERS => {
            let size = u64::from_le_bytes(take_word(bytes)?) as usize;
            take(bytes, size)?;
            u32::from_le_bytes(take_word(bytes)?) as usize * PART_BYTES
        }
        _ => 0,
    };
    take(bytes, size)?;
    Ok(&start[..start.len() - bytes.len()])
}

/// Rebuilds the value at the start of `bytes`, and goes past it; large buffers come from `shelf`.
pub(crate) fn decode<'py>(py: Python<'py>, bytes: &mut &[u8], shelf: &dyn Shelf) -> PyResult<Bound<'py, PyAny>> {
    decode_at(py, bytes, shelf, 0)
}

fn decode_at<'py>(py: Python<'py>, bytes: &mut &[u8], shelf: &dyn Shelf, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let [tag] = take_word(bytes)?;
    match tag {
        SET | FROZENSET => parts::read(py, tag, bytes, shelf, depth),
        tag if is_of_values(tag) => parts::read(py, tag, bytes, shelf, depth),
        NAMED | KEPT | KEPT_PICKLE | REMADE | AGAIN => places::read(py, tag, bytes, shelf, depth),
        PICKLE | WITH_BUFFERS | COMMON | LARGE_BYTES | LARGE_BYTEARRAY | LARGE_STR | LARGE_PICKLE => {
            pickled::read(py, tag, bytes, shelf)
        }
        _ => short::read(py, tag, bytes),
    }
}
