//! Values as bytes: a short code for the simplest ones, pickle for all others.
//!
//! The short code keeps type and value exactly; all that is lost is that two equal items are one object.
//!
//! A long file: what is written here is read here, and the two must not drift apart.

use procession::shared_memory::{append, copy_all};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use rustc_hash::FxHashSet;

use crate::buffer::{Buffer, Kind, append_array, array_of, bytes_of, copy_of};
use crate::instances;
use crate::numeric::{self, Numeric};
use crate::pickler::{Apart, LARGE, loads, pickle_with, unpickle};
use crate::place::{Bare, Part, Room, SPOT_BYTES, Shelf, Spot, in_place};

const NONE: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const STR: u8 = 5;
const BYTES: u8 = 6;
const BYTEARRAY: u8 = 7;
const TUPLE: u8 = 8;
const PICKLE: u8 = 9;
/// Stands before the pickle of a chunk's items as one list.
pub(crate) const TOGETHER: u8 = 10;
const WITH_BUFFERS: u8 = 11;
const LARGE_BYTES: u8 = 12;
const LARGE_BYTEARRAY: u8 = 13;
const LARGE_STR: u8 = 14;
/// As `TUPLE`, with large bytes or texts in it.
const LARGE_TUPLE: u8 = 15;
/// Stands before the first number and the step of a record that is a part of a `range`.
const RANGE: u8 = 16;
/// A small array and a single number of numpy, behind the number of their bytes.
const ARRAY: u8 = 17;
const NUMBER: u8 = 18;
/// Stands before the number and the pickle of items that are one list, but not a chunk: each may be the last that runs.
const GROUP: u8 = 19;
/// An object that several items have: the names of the job and of those of its items that share it, and where its pickle is.
const COMMON: u8 = 20;
const COMMON_BYTES: usize = 16 + SPOT_BYTES;
/// As `TUPLE`: the items of a list, and the keys and values of a dict.
const LIST: u8 = 21;
const DICT: u8 = 22;
const COMPLEX: u8 = 23;
/// Stands before a result of a chunk in which objects have places: see `again`. Then comes a word that is another for each
/// scope, and which places the parent forgets first, a bit each.
const NAMED: u8 = 24;
const NAMED_BYTES: usize = 6;
/// Before the number of a place and the value whose object gets it; and before the number of the place whose object it is.
const KEPT: u8 = 25;
const AGAIN: u8 = 26;
/// Before a number of attributes, the class with their names, and the attributes: an instance that has nothing else.
const INSTANCE: u8 = 27;
/// Before a number of fields, the class and the fields: a named tuple.
const FIELDS: u8 = 28;
/// Before a number of arguments, what is called with them, the arguments, and the state that the answer gets, or none.
const REDUCED: u8 = 29;
/// Before its size and its bytes, the lowest first, a number beyond 64 bits; and before the spot where a large pickle lies.
const LARGE_INT: u8 = 30;
const LARGE_PICKLE: u8 = 31;
/// Before the number of a place and the spot where the large pickle of the object lies that gets it: that stays there. And
/// before the number of such a place, in a later scope: its object is rebuilt from that pickle.
const KEPT_PICKLE: u8 = 32;
const REMADE: u8 = 33;
/// The form of a pickle's part that is used where it lies; `LARGE_BYTES` and `LARGE_BYTEARRAY` are copied out.
const IN_PLACE: u8 = 0;
const PART_BYTES: usize = 1 + SPOT_BYTES;
/// From this size on plain bytes and texts are not copied along with the record but lie in a block: two copies instead of five.
const LARGE_PLAIN: usize = 8 << 10;
/// The most items of a tuple, list or dict that is not pickled, and how deep they nest.
pub(crate) const TUPLE_ITEMS: usize = 16;
pub(crate) const DEPTH: usize = 3;

/// So many objects are remembered without a set.
const FEW: usize = 4;

/// Adds the code of `value` to `out`, if it is simple; says whether it was.
pub(crate) fn encode_simple(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    encode_at(value, out, 0, &mut Seen::default())
}

/// What can change of a value so far: of two that are one object only pickle makes one again, and who changes it would see
/// the difference.
#[derive(Default)]
pub(crate) struct Seen {
    /// The first of them, so that most values need no set.
    few: [usize; FEW],
    /// The others.
    objects: FxHashSet<usize>,
    count: usize,
    /// How many of them need more than the interpreter to be rebuilt.
    numeric: usize,
}

impl Seen {
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
    if value.is_exact_instance_of::<PyInt>() { value.extract::<i64>().ok() } else { None }
}

/// The code of a number as a result in a run: behind room for its size.
#[inline]
pub(crate) fn framed_int(number: i64) -> [u8; 10] {
    let mut framed = [0; 10];
    framed[1] = INT;
    framed[2..].copy_from_slice(&number.to_le_bytes());
    framed
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

/// As [`encode_simple`], for a part of a value, so many tuples, lists and dicts deep, of which `seen` was there before.
pub(crate) fn encode_at(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize, seen: &mut Seen) -> bool {
    if let Some(number) = as_int(value) {
        encode_int(number, out);
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
        out.push(BYTEARRAY);
        out.extend_from_slice(&(array.len() as u32).to_le_bytes());
        append_array(array, out);
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
        let few = list.len() <= TUPLE_ITEMS && depth < DEPTH;
        if !few || !seen.is_new(value) {
            return false;
        }
        out.extend_from_slice(&[LIST, list.len() as u8]);
        let items =
            (0..list.len()).all(|at| list.get_item(at).is_ok_and(|item| encode_at(&item, out, depth + 1, seen)));
        return items || undo(start, out);
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let start = out.len();
        let few = dict.len() <= TUPLE_ITEMS && depth < DEPTH;
        if !few || !seen.is_new(value) {
            return false;
        }
        // Taken out of it first: should garbage be collected in between, a finalizer may change it.
        let entries: Vec<_> = dict.iter().collect();
        out.extend_from_slice(&[DICT, entries.len() as u8]);
        let mut entry =
            |(key, value): &(_, _)| encode_at(key, out, depth + 1, seen) && encode_at(value, out, depth + 1, seen);
        return entries.iter().all(&mut entry) || undo(start, out);
    } else if let Ok(number) = value.cast_exact::<PyComplex>() {
        out.push(COMPLEX);
        out.extend_from_slice(&number.real().to_le_bytes());
        out.extend_from_slice(&number.imag().to_le_bytes());
    } else {
        return encode_numeric(value, out, seen);
    }
    true
}

/// Takes back what was added from `start` on; false.
fn undo(start: usize, out: &mut Vec<u8>) -> bool {
    out.truncate(start);
    false
}

fn encode_numeric(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, seen: &mut Seen) -> bool {
    let Some(kind) = numeric::kind_of(value) else { return false };
    let start = out.len();
    out.push(if matches!(kind, Numeric::Array) { ARRAY } else { NUMBER });
    out.extend_from_slice(&[0; 4]);
    let encoded = match kind {
        Numeric::Array => seen.is_new(value) && numeric::encode_array(value, out),
        Numeric::Number => numeric::encode_number(value, out),
    };
    if !encoded {
        return undo(start, out);
    }
    seen.numeric += 1;
    let size = (out.len() - start - 5) as u32;
    out[start + 1..start + 5].copy_from_slice(&size.to_le_bytes());
    true
}

fn sized(tag: u8, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(size) = u32::try_from(bytes.len()) else { return false };
    out.push(tag);
    out.extend_from_slice(&size.to_le_bytes());
    append(bytes, out);
    true
}

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
    if encode_at(value, out, depth, &mut Seen::default()) {
        return Ok(());
    }
    let start = out.len();
    let is_plain = is_plain_at(value, depth, &mut Seen::default());
    let answer = if is_plain { encode_plain(value, out, room) } else { encode_pickle(value, out, room) };
    if answer.is_err() {
        out.truncate(start);
    }
    answer
}

/// Whether a value is simple but for the size of the bytes and texts in it.
pub(crate) fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    is_plain_at(value, 0, &mut Seen::default())
}

fn is_plain_at(value: &Bound<'_, PyAny>, depth: usize, seen: &mut Seen) -> bool {
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
    value.is_exact_instance_of::<PyInt>() && value.extract::<i64>().is_ok()
        || value.is_none()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
}

fn tag_of(kind: Kind) -> u8 {
    match kind {
        Kind::Bytes => LARGE_BYTES,
        Kind::ByteArray => LARGE_BYTEARRAY,
        Kind::Str => LARGE_STR,
    }
}

fn encode_plain(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
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
        Err(_) => put(value, value, room)?,
    };
    out.push(tag_of(kind));
    spot.encode(out);
    Ok(())
}

/// Puts the bytes of `buffer`, the memory of `owner`, into `room`.
fn put(owner: &Bound<'_, PyAny>, buffer: &Bound<'_, PyAny>, room: &mut dyn Room) -> PyResult<Spot> {
    let py = owner.py();
    let bytes = PyBuffer::<u8>::get(buffer)?;
    let copy = |place: &mut [u8]| copy_of(py, &bytes, place);
    room.put(&Part { owner, address: bytes.buf_ptr() as usize, size: bytes.len_bytes(), copy: &copy })
}

fn put_text(text: &Bound<'_, PyString>, room: &mut dyn Room) -> PyResult<Spot> {
    let bytes = text.to_str()?.as_bytes();
    let copy = |place: &mut [u8]| {
        copy_all(bytes, place);
        Ok(())
    };
    room.put(&Part { owner: text.as_any(), address: bytes.as_ptr() as usize, size: bytes.len(), copy: &copy })
}

/// Adds a number beyond 64 bits to `out`; false if the object is none.
pub(crate) fn encode_large_int(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<bool> {
    if !value.is_exact_instance_of::<PyInt>() {
        return Ok(false);
    }
    let py = value.py();
    let bits: usize = value.call_method0(pyo3::intern!(py, "bit_length"))?.extract()?;
    let options = PyDict::new(py);
    options.set_item(pyo3::intern!(py, "signed"), true)?;
    let arguments = (bits / 8 + 1, pyo3::intern!(py, "little"));
    let bytes = value.call_method(pyo3::intern!(py, "to_bytes"), arguments, Some(&options))?;
    Ok(sized(LARGE_INT, bytes.cast::<PyBytes>()?.as_bytes(), out))
}

/// Adds the pickle of a value to `out`, as a value; its large parts go to `room`.
pub(crate) fn encode_pickle(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
    let py = value.py();
    let start = out.len();
    out.push(PICKLE);
    out.extend_from_slice(&[0; 8]);
    let (mut large, takes) = (Vec::new(), room.takes_pickles());
    let apart = pickle_with(value, true, &mut |pickled, apart| {
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
    for part in apart {
        let (form, spot) = match part {
            Apart::Shared(place) => (IN_PLACE, Spot::Shared(place)),
            Apart::Large(raw) => {
                let raw = raw.bind(py);
                let owner = raw.getattr("obj")?;
                (IN_PLACE, put(&owner, raw, room)?)
            }
            Apart::Plain(plain, kind) => {
                let plain = plain.bind(py);
                (tag_of(kind), put(plain, plain, room)?)
            }
        };
        out.push(form);
        spot.encode(out);
    }
    Ok(())
}

/// Adds the large pickle of a value to `out`, as a value: it goes to `room`.
fn encode_large_pickle(
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
        LARGE_TUPLE | TUPLE | LIST | DICT | INSTANCE | FIELDS | REDUCED => {
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

/// Whether the value at the start of `bytes` has parts elsewhere.
pub(crate) fn has_parts(bytes: &[u8]) -> bool {
    let large = [WITH_BUFFERS, LARGE_BYTES, LARGE_BYTEARRAY, LARGE_STR, LARGE_TUPLE, LARGE_PICKLE, NAMED];
    bytes.first().is_some_and(|tag| large.contains(tag))
}

/// Whether objects have places in the value at the start of `bytes`, so that results must be rebuilt in their order.
pub(crate) fn is_named(bytes: &[u8]) -> bool {
    bytes.first() == Some(&NAMED)
}

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

/// Begins an instance, whose `count` attributes come behind the tuple of its class and their names.
pub(crate) fn begin_instance(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[INSTANCE, count as u8]);
}

/// Begins a named tuple, whose `count` fields come behind its class.
pub(crate) fn begin_fields(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[FIELDS, count as u8]);
}

/// Begins an object that a call makes: then come what is called, `count` arguments, and the object's state.
pub(crate) fn begin_reduced(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[REDUCED, count as u8]);
}

/// How many values, each behind the other, make a value of this tag, by its count.
fn values_in(tag: u8, count: u8) -> u32 {
    match tag {
        DICT => 2 * u32::from(count),
        INSTANCE | FIELDS => 1 + u32::from(count),
        REDUCED => 2 + u32::from(count),
        _ => count.into(),
    }
}

/// Begins a list whose `count` items, few enough, come next, each as a value.
pub(crate) fn begin_list(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[LIST, count as u8]);
}

/// Begins a dict of `count` keys, few enough; each comes next, as a value, before what belongs to it.
pub(crate) fn begin_dict(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[DICT, count as u8]);
}

/// Adds an object that several items have: see `common`.
pub(crate) fn encode_common(name: (u64, u64), spot: Spot, out: &mut Vec<u8>) {
    out.push(COMMON);
    out.extend_from_slice(&name.0.to_le_bytes());
    out.extend_from_slice(&name.1.to_le_bytes());
    spot.encode(out);
}

/// Begins a tuple whose `count` items, few enough, come next, each as a value.
pub(crate) fn begin_tuple(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[LARGE_TUPLE, count as u8]);
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

fn take_spot(bytes: &mut &[u8]) -> PyResult<Spot> {
    Spot::decode(take(bytes, SPOT_BYTES)?).ok_or_else(cut_off)
}

/// A part that a pickle is made without: its form and where it lies.
fn take_part(bytes: &mut &[u8]) -> PyResult<(u8, Spot)> {
    let [form] = take_word(bytes)?;
    Ok((form, take_spot(bytes)?))
}

/// The object of such a part.
fn fetch<'py>(py: Python<'py>, form: u8, spot: Spot, shelf: &dyn Shelf) -> PyResult<Bound<'py, PyAny>> {
    match form {
        IN_PLACE => in_place(py, spot, shelf).map(Bound::into_any),
        LARGE_BYTES => shelf.copy(py, spot, Kind::Bytes).ok_or_else(cut_off)?,
        LARGE_BYTEARRAY => shelf.copy(py, spot, Kind::ByteArray).ok_or_else(cut_off)?,
        LARGE_STR => shelf.copy(py, spot, Kind::Str).ok_or_else(cut_off)?,
        _ => Err(PyValueError::new_err("a part of an unknown form arrived")),
    }
}

/// The count of items of a tuple that is `depth` tuples deep.
fn take_count(bytes: &mut &[u8], depth: usize) -> PyResult<u8> {
    let [count] = take_word(bytes)?;
    if depth < DEPTH { Ok(count) } else { Err(PyValueError::new_err("a tuple arrived that is nested too deep")) }
}

/// What stands before a value does so once.
fn check_inner(tag: u8, bytes: &[u8]) -> PyResult<()> {
    match bytes.first() {
        Some(&NAMED) => Err(PyValueError::new_err("a result arrived within another")),
        Some(&KEPT) if tag == KEPT => Err(PyValueError::new_err("an object arrived with two places")),
        _ => Ok(()),
    }
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
        TUPLE | LARGE_TUPLE | LIST | DICT | INSTANCE | FIELDS | REDUCED => {
            for _ in 0..values_in(tag, take_count(bytes, depth)?) {
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
        TUPLE | LARGE_TUPLE => {
            let count = take_count(bytes, depth)?;
            let items = (0..count).map(|_| decode_at(py, bytes, shelf, depth + 1)).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, items)?.into_any()
        }
        LIST => {
            let count = take_count(bytes, depth)?;
            let items = (0..count).map(|_| decode_at(py, bytes, shelf, depth + 1)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        DICT => {
            let dict = PyDict::new(py);
            for _ in 0..take_count(bytes, depth)? {
                let key = decode_at(py, bytes, shelf, depth + 1)?;
                dict.set_item(key, decode_at(py, bytes, shelf, depth + 1)?)?;
            }
            dict.into_any()
        }
        INSTANCE => {
            let count = take_count(bytes, depth)?;
            let class = decode_at(py, bytes, shelf, depth + 1)?.cast_into::<PyTuple>()?;
            let mut values = (0..count).map(|_| decode_at(py, bytes, shelf, depth + 1));
            instances::rebuild(&class, &mut values)?
        }
        FIELDS => {
            let count = take_count(bytes, depth)?;
            let class = decode_at(py, bytes, shelf, depth + 1)?;
            let mut fields = Vec::with_capacity(usize::from(count) + 1);
            fields.push(class.clone());
            for _ in 0..count {
                fields.push(decode_at(py, bytes, shelf, depth + 1)?);
            }
            class.call_method1(pyo3::intern!(py, "__new__"), PyTuple::new(py, fields)?)?
        }
        REDUCED => {
            let count = take_count(bytes, depth)?;
            let callable = decode_at(py, bytes, shelf, depth + 1)?;
            let arguments = (0..count).map(|_| decode_at(py, bytes, shelf, depth + 1)).collect::<PyResult<Vec<_>>>()?;
            let object = callable.call1(PyTuple::new(py, arguments)?)?;
            let state = decode_at(py, bytes, shelf, depth + 1)?;
            if !state.is_none() {
                instances::set_state(&object, &state)?;
            }
            object
        }
        COMPLEX => {
            let (real, imag) = (f64::from_le_bytes(take_word(bytes)?), f64::from_le_bytes(take_word(bytes)?));
            PyComplex::from_doubles(py, real, imag).into_any()
        }
        PICKLE => {
            let size = u64::from_le_bytes(take_word(bytes)?) as usize;
            unpickle(py, take(bytes, size)?)?
        }
        LARGE_BYTES | LARGE_BYTEARRAY | LARGE_STR => fetch(py, tag, take_spot(bytes)?, shelf)?,
        LARGE_PICKLE => loads(py)?.call1((in_place(py, take_spot(bytes)?, shelf)?,))?,
        LARGE_INT => {
            let size = u32::from_le_bytes(take_word(bytes)?) as usize;
            let options = PyDict::new(py);
            options.set_item(pyo3::intern!(py, "signed"), true)?;
            let arguments = (bytes_of(py, take(bytes, size)?)?, pyo3::intern!(py, "little"));
            let class = py.get_type::<PyInt>();
            class.call_method(pyo3::intern!(py, "from_bytes"), arguments, Some(&options))?
        }
        NAMED => {
            let (scope, forgotten) = (u32::from_le_bytes(take_word(bytes)?), u16::from_le_bytes(take_word(bytes)?));
            shelf.begin(scope, forgotten);
            check_inner(tag, bytes)?;
            let value = skip_at(bytes, depth)?;
            match decode_at(py, &mut &value[..], shelf, depth) {
                Ok(object) => object,
                Err(error) => {
                    // Others may want the objects behind the one that failed.
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
        _ => return Err(PyValueError::new_err("a value of an unknown kind arrived")),
    })
}

/// Rebuilds the objects of a value, one of which has failed, that get places and have none yet.
fn keep_rest(py: Python<'_>, bytes: &mut &[u8], shelf: &dyn Shelf, depth: usize) {
    let Ok(mut value) = skip_at(bytes, depth) else { return };
    match value {
        [TUPLE | LARGE_TUPLE | LIST | DICT | INSTANCE | FIELDS | REDUCED, _, items @ ..] => {
            value = items;
            while !value.is_empty() && depth < DEPTH {
                let before = value.len();
                keep_rest(py, &mut value, shelf, depth + 1);
                if value.len() == before {
                    return;
                }
            }
        }
        [KEPT, _, inner @ ..]
            if matches!(inner, [TUPLE | LARGE_TUPLE | LIST | DICT | INSTANCE | FIELDS | REDUCED, ..]) =>
        {
            keep_rest(py, &mut &inner[..], shelf, depth);
        }
        [KEPT | KEPT_PICKLE | REMADE, place, ..] if !shelf.is_kept(*place) => {
            drop(decode_at(py, &mut value, shelf, depth))
        }
        _ => {}
    }
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
    decode(py, &mut value, &Bare).ok()
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
    /// So many items get it as it was sent, and share what becomes of it: it is rebuilt for the next ones. All share it if 0.
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
    let (start, mut seen) = (out.len(), Seen::default());
    values.iter().all(|value| encode_at(value, out, 0, &mut seen)) || undo(start, out)
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
    let mut seen = Seen::default();
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
