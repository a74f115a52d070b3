//! Results in which objects have places: see `again`, which gives them, and `received`, which knows whose they are.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::tags::*;
use super::{decode_at, skip_at};
use crate::memory::buffer::Buffer;
use crate::memory::place::Shelf;
use crate::objects::pickler::loads;

/// Begins a result in which objects have places, which comes next, as a value; see [`set_forgotten`].
pub(crate) fn begin_named(scope: u32, out: &mut Vec<u8>) {
    out.push(NAMED);
    out.extend_from_slice(&scope.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
}

/// Writes which places are forgotten into the result that begins at `start`.
pub(crate) fn set_forgotten(places: u16, start: usize, out: &mut [u8]) {
    out[start + 5..start + 7].copy_from_slice(&places.to_le_bytes());
}

/// Begins a value whose object gets a place.
pub(crate) fn begin_kept(place: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[KEPT, place]);
}

/// Has the large pickle of the value that was begun at `start` with [`begin_kept`] stay; false if it is none.
pub(crate) fn keep_pickle(start: usize, out: &mut Vec<u8>) -> bool {
    let is_large = out.get(start + 2) == Some(&LARGE_PICKLE);
    if is_large {
        out[start] = KEPT_PICKLE;
        out.remove(start + 2);
    }
    is_large
}

/// Adds the object of the pickle that stays in a place, anew.
pub(crate) fn encode_remade(place: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[REMADE, place]);
}

/// Adds the object that has a place.
pub(crate) fn encode_again(place: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[AGAIN, place]);
}

/// A result that is an object with a place and nothing else, as it stands in a run: behind room for its size.
pub(crate) const AGAIN_BYTES: usize = 4 + NAMED_BYTES;

/// The same, for a scope and a place; the parent forgets those first.
pub(crate) fn framed_again(scope: u32, forgotten: u16, place: u8) -> [u8; AGAIN_BYTES] {
    let mut framed = [0; AGAIN_BYTES];
    framed[1] = NAMED;
    framed[2..6].copy_from_slice(&scope.to_le_bytes());
    framed[6..8].copy_from_slice(&forgotten.to_le_bytes());
    framed[8..].copy_from_slice(&[AGAIN, place]);
    framed
}

/// The scope and the place of the next value of a run, if it is such a result for which nothing is forgotten.
pub(crate) fn take_again(bytes: &mut &[u8]) -> Option<(u32, u8)> {
    const SIZE: u8 = AGAIN_BYTES as u8 - 1;
    let ([SIZE, NAMED, a, b, c, d, 0, 0, AGAIN, place], rest) = bytes.split_first_chunk()? else { return None };
    *bytes = rest;
    Some((u32::from_le_bytes([*a, *b, *c, *d]), *place))
}

/// A prefix stands before a value once only.
pub(super) fn check_inner(tag: u8, bytes: &[u8]) -> PyResult<()> {
    match bytes.first() {
        Some(&NAMED) => Err(PyValueError::new_err("a result arrived within another")),
        Some(&KEPT) if tag == KEPT => Err(PyValueError::new_err("an object arrived with two places")),
        _ => Ok(()),
    }
}

/// Rebuilds a result with places, or an object that has one.
pub(super) fn read<'py>(
    py: Python<'py>,
    tag: u8,
    bytes: &mut &[u8],
    shelf: &dyn Shelf,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match tag {
        NAMED => {
            let (scope, forgotten) = (u32::from_le_bytes(take_word(bytes)?), u16::from_le_bytes(take_word(bytes)?));
            shelf.begin(scope, forgotten);
            check_inner(tag, bytes)?;
            let mut whole = *bytes;
            match decode_at(py, bytes, shelf, depth) {
                Ok(object) => object,
                Err(error) => {
                    // Others may want the objects behind the one that failed.
                    let value = skip_at(&mut whole, depth)?;
                    *bytes = whole;
                    keep_rest(py, &mut &value[..], shelf, depth);
                    return Err(error);
                }
            }
        }
        KEPT => {
            let [place] = take_word(bytes)?;
            check_inner(tag, bytes)?;
            let object = decode_at(py, bytes, shelf, depth);
            shelf.keep(py, place, &object);
            object?
        }
        KEPT_PICKLE | REMADE => {
            let [place] = take_word(bytes)?;
            let view = if tag == REMADE { shelf.pickle(place)? } else { shelf.view(take_spot(bytes)?)? };
            shelf.keep_pickle(place, &view);
            let size = view.size();
            let object = Buffer::memory(py, view, 0, size).and_then(|pickled| loads(py)?.call1((pickled,)));
            shelf.keep(py, place, &object);
            object?
        }
        AGAIN => {
            let [place] = take_word(bytes)?;
            shelf.again(py, place)?
        }
        _ => return Err(unknown()),
    })
}

/// Rebuilds the objects of a value, one of which has failed, that get places and have none yet.
pub(super) fn keep_rest(py: Python<'_>, bytes: &mut &[u8], shelf: &dyn Shelf, depth: usize) {
    let Ok(mut value) = skip_at(bytes, depth) else { return };
    match value {
        [tag, _, items @ ..] if is_of_values(*tag) => {
            value = items;
            while !value.is_empty() && depth < DEPTH {
                let before = value.len();
                keep_rest(py, &mut value, shelf, depth + 1);
                if value.len() == before {
                    return;
                }
            }
        }
        [KEPT, _, inner @ ..] if inner.first().is_some_and(|tag| is_of_values(*tag)) => {
            keep_rest(py, &mut &inner[..], shelf, depth);
        }
        [KEPT | KEPT_PICKLE | REMADE, place, ..] if !shelf.is_kept(*place) => {
            drop(decode_at(py, &mut value, shelf, depth))
        }
        _ => {}
    }
}
