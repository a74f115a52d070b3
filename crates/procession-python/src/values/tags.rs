//! What stands before each value, and how the bytes behind it are taken apart.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::memory::place::{SPOT_BYTES, Spot};

pub(super) const NONE: u8 = 0;
pub(super) const TRUE: u8 = 1;
pub(super) const FALSE: u8 = 2;
pub(super) const INT: u8 = 3;
pub(super) const FLOAT: u8 = 4;
pub(super) const STR: u8 = 5;
pub(super) const BYTES: u8 = 6;
pub(super) const BYTEARRAY: u8 = 7;
pub(super) const TUPLE: u8 = 8;
pub(super) const PICKLE: u8 = 9;
/// Stands before the pickle of a chunk's items as one list.
pub(crate) const TOGETHER: u8 = 10;
pub(super) const WITH_BUFFERS: u8 = 11;
pub(super) const LARGE_BYTES: u8 = 12;
pub(super) const LARGE_BYTEARRAY: u8 = 13;
pub(super) const LARGE_STR: u8 = 14;
/// As `TUPLE`, with large bytes or texts in it.
pub(super) const LARGE_TUPLE: u8 = 15;
/// Stands before the first number and the step of a record that is a part of a `range`.
pub(super) const RANGE: u8 = 16;
/// A small array and a single number of numpy, behind the number of their bytes.
pub(super) const ARRAY: u8 = 17;
pub(super) const NUMBER: u8 = 18;
/// Stands before the number and the pickle of items that are one list, but not a chunk: each may be the last that runs.
pub(super) const GROUP: u8 = 19;
/// An object that several items have: the names of the job and of those of its items that share it, and where its pickle is.
pub(super) const COMMON: u8 = 20;
pub(super) const COMMON_BYTES: usize = 16 + SPOT_BYTES;
/// As `TUPLE`: the items of a list, and the keys and values of a dict.
pub(super) const LIST: u8 = 21;
pub(super) const DICT: u8 = 22;
pub(super) const COMPLEX: u8 = 23;
/// Stands before a result of a chunk in which objects have places: see `again`. Then comes a word that is another for each
/// scope, and which places the parent forgets first, a bit each.
pub(super) const NAMED: u8 = 24;
pub(super) const NAMED_BYTES: usize = 6;
/// Before the number of a place and the value whose object gets it; and before the number of the place whose object it is.
pub(super) const KEPT: u8 = 25;
pub(super) const AGAIN: u8 = 26;
/// Before a number of attributes, the class with their names, and the attributes: an instance that has nothing else.
pub(super) const INSTANCE: u8 = 27;
/// Before a number of fields, the class and the fields: a named tuple.
pub(super) const FIELDS: u8 = 28;
/// Before a number of arguments, what is called with them, the arguments, and the state that the answer gets, or none.
pub(super) const REDUCED: u8 = 29;
/// Before its size and its text in base 16, a number beyond 64 bits; and before the spot where a large pickle lies.
pub(super) const LARGE_INT: u8 = 30;
pub(super) const LARGE_PICKLE: u8 = 31;
/// Before the number of a place and the spot where the large pickle of the object lies that gets it: that stays there. And
/// before the number of such a place, in a later scope: its object is rebuilt from that pickle.
pub(super) const KEPT_PICKLE: u8 = 32;
pub(super) const REMADE: u8 = 33;
pub(super) const ELLIPSIS: u8 = 34;
pub(super) const NOT_IMPLEMENTED: u8 = 35;
/// As `LIST`.
pub(super) const SET: u8 = 36;
pub(super) const FROZENSET: u8 = 37;
/// As `REDUCED`; behind the state come a list of what the object is extended by, and one of keys and values, or none.
pub(super) const REDUCED_MORE: u8 = 38;
/// An item of a record that is the text, or the bytes, which the item before it is.
pub(super) const SAME: u8 = 39;
/// So many bytes of those are at least worth that.
pub(super) const SAME_BYTES: usize = 64;
/// The form of a pickle's part that is used where it lies; `LARGE_BYTES`, `LARGE_BYTEARRAY` and `LARGE_STR` are copied out.
pub(super) const IN_PLACE: u8 = 0;
pub(super) const PART_BYTES: usize = 1 + SPOT_BYTES;
/// From this size on plain bytes and texts are not copied along with the record but lie in a block: two copies instead of five.
pub(super) const LARGE_PLAIN: usize = 8 << 10;
/// How deep tuples, lists and dicts nest at most that are not pickled.
pub(crate) const DEPTH: usize = 4;

pub(super) fn cut_off() -> PyErr {
    PyValueError::new_err("a value arrived cut off")
}

pub(super) fn take<'a>(bytes: &mut &'a [u8], size: usize) -> PyResult<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(size).ok_or_else(cut_off)?;
    *bytes = rest;
    Ok(taken)
}

pub(super) fn take_word<const N: usize>(bytes: &mut &[u8]) -> PyResult<[u8; N]> {
    let word = *bytes.first_chunk::<N>().ok_or_else(cut_off)?;
    *bytes = &bytes[N..];
    Ok(word)
}

pub(super) fn take_spot(bytes: &mut &[u8]) -> PyResult<Spot> {
    Spot::decode(take(bytes, SPOT_BYTES)?).ok_or_else(cut_off)
}

/// The count of items of a tuple that is `depth` tuples deep.
pub(super) fn take_count(bytes: &mut &[u8], depth: usize) -> PyResult<u8> {
    let [count] = take_word(bytes)?;
    if depth < DEPTH { Ok(count) } else { Err(PyValueError::new_err("a tuple arrived that is nested too deep")) }
}

/// The count of items of a set, which may stand where no tuple may.
pub(super) fn take_count_of_set(bytes: &mut &[u8], depth: usize) -> PyResult<u8> {
    take_count(bytes, depth.saturating_sub(1))
}

/// Whether a value of this tag is made of values, by a count that comes next; sets alone are made so, too, in another way.
pub(super) fn is_of_values(tag: u8) -> bool {
    matches!(tag, TUPLE | LARGE_TUPLE | LIST | DICT | INSTANCE | FIELDS | REDUCED | REDUCED_MORE)
}

/// How many values, each behind the other, make a value of this tag, by its count.
pub(super) fn values_in(tag: u8, count: u8) -> u32 {
    match tag {
        DICT => 2 * u32::from(count),
        INSTANCE | FIELDS => 1 + u32::from(count),
        REDUCED => 2 + u32::from(count),
        REDUCED_MORE => 4 + u32::from(count),
        _ => count.into(),
    }
}

/// Whether the value at the start of `bytes` has parts elsewhere.
pub(crate) fn has_parts(bytes: &[u8]) -> bool {
    let large = [WITH_BUFFERS, LARGE_BYTES, LARGE_BYTEARRAY, LARGE_STR, LARGE_TUPLE, LARGE_PICKLE, NAMED];
    bytes.first().is_some_and(|tag| large.contains(tag))
}

/// Whether objects have places in the value at the start of `bytes`, so that results must be rebuilt in their order.
pub(crate) fn is_named(bytes: &[u8]) -> bool {
    bytes.first() == Some(&NAMED)
}

/// Whether the value at the start of `bytes` is rebuilt without running any code but the interpreter's own.
pub(crate) fn is_simple(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|tag| *tag < PICKLE || *tag == SAME || is_number_or_name(*tag))
}

/// Whether a tag is that of a number or a name of the interpreter.
fn is_number_or_name(tag: u8) -> bool {
    matches!(tag, LARGE_INT | COMPLEX | ELLIPSIS | NOT_IMPLEMENTED)
}

/// Whether all values of a run, each behind a byte with its size, are plain: rebuilding them runs no code at all.
pub(crate) fn is_simple_run(mut bytes: &[u8]) -> bool {
    while let [size, rest @ ..] = bytes {
        let size = usize::from(*size);
        if size > rest.len() || rest.first().is_none_or(|tag| *tag >= TUPLE && !is_number_or_name(*tag)) {
            return false;
        }
        bytes = &rest[size..];
    }
    true
}

/// The error for a tag that nobody writes.
pub(super) fn unknown() -> PyErr {
    PyValueError::new_err("a value of an unknown kind arrived")
}
