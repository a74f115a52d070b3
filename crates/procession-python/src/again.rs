//! Objects that several results of a chunk have: sent once, and named from then on.
//!
//! The standard library pickles the results of a chunk as one when the last of them is there, so an object that they have in
//! common is sent once, and is one object for whoever gets them. Here each result is sent as soon as it is there, lest the
//! death of a worker takes more with it than the task that runs. So a worker gives what it sends a *place*, which the
//! parent knows, too (`received`), and sends the number of the place when the same object comes again ([`Sent`]), but only
//! if it would be sent as the same bytes: what a task has changed meanwhile is sent anew.
//!
//! What nobody but the result refers to cannot come again, and gets no place.
//!
//! Places are for the results of one *scope*: a chunk of the caller's, or all of a job for which nobody said a size, if the
//! standard library's chunks would have several items. There are few places, for what came last. The large pickle of an
//! object stays where its block is, with the parent: in the next scope the object is rebuilt from it, if it is what it was.
//!
//! A long file: the steps of one encoding, which share its state.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyDict, PyInt, PyList, PyTuple, PyType, PyWeakrefReference};

use crate::buffer::is_referred_to_by;
use crate::codec::{self, DEPTH, Seen, TUPLE_ITEMS};
use crate::instances::{Classes, Parts};
use crate::numeric::{self, Numeric, is_array_of_numbers};
use crate::place::{Part, Room, Spot};
use crate::snapshot::{Snapshot, is_atom};

/// How many places there are, each a bit of a number of 16.
pub(crate) const PLACES: usize = 16;
/// The most bytes that what has a place was sent as, all together, but for what came last.
const MOST_BYTES: usize = 16 << 20;
/// Objects that stay as they are and take fewer bytes are sent again.
const WORTH: usize = 4 << 10;
/// After so many objects of a job that got a place and did not come again, none gets one until the same object comes twice
/// in a row.
const TRIES: u32 = 32;
/// So many objects are remembered for that.
const LAST: usize = 4;
/// An object that has a place.
struct Known {
    address: usize,
    object: Held,
    /// What tells whether it is what it was.
    was: Was,
    bytes: usize,
    /// The number of the result that had it last.
    used: u64,
    is_memory: bool,
    /// Whether the parent has its pickle, too.
    is_pickled: bool,
    /// Whether it came again.
    came_again: bool,
    /// Tells it from what had the place before.
    serial: u64,
}

enum Held {
    Strong(Py<PyAny>),
    /// Results that nobody else holds go at once where that can be.
    Weak(Py<PyWeakrefReference>),
}

enum Was {
    /// It cannot change.
    Lasting,
    /// What the lists and dicts in it have; and the objects in it that have places of their own.
    Walked(Snapshot, Vec<(usize, u64)>),
    /// What it was sent as, so many tuples, lists and dicts deep.
    Sent(Vec<u8>, usize),
}

impl Known {
    fn is(&self, value: &Bound<'_, PyAny>) -> bool {
        self.address == value.as_ptr() as usize
            && match &self.object {
                Held::Strong(_) => true,
                Held::Weak(weak) => weak.bind(value.py()).upgrade().is_some_and(|object| object.is(value)),
            }
    }
}

/// Whether an object may have parts that get places, at a depth of tuples, lists and dicts.
fn is_container(value: &Bound<'_, PyAny>, depth: usize) -> bool {
    let size = if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        tuple.len()
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        list.len()
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        dict.len()
    } else {
        return false;
    };
    size <= TUPLE_ITEMS && depth < DEPTH
}

/// Whether an object is bytes or numbers that can change, of which no other object has a part.
fn is_memory(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyByteArray>() || is_array_of_numbers(value)
}

/// Whether an object is a number of numpy.
fn is_number(value: &Bound<'_, PyAny>) -> bool {
    matches!(numeric::kind_of(value), Some(Numeric::Number))
}

/// Whether an object to which so many references are known has no others: it goes when they do. What can be referred to
/// weakly may be had by those, too, as long as somebody has it.
fn is_passing(value: &Bound<'_, PyAny>, references: isize) -> bool {
    if !is_referred_to_by(value, references) {
        return false;
    }
    let plain = value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyDict>();
    plain || has_no_weak_references(value).unwrap_or(false)
}

fn has_no_weak_references(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COUNT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let count =
        COUNT.get_or_try_init(py, || Ok::<_, PyErr>(py.import("_weakref")?.getattr("getweakrefcount")?.unbind()))?;
    Ok(count.bind(py).call1((value,))?.extract::<usize>()? == 0)
}

/// Whether it does not matter that two such objects are one, or they are too small for that.
fn is_nothing_to_share(value: &Bound<'_, PyAny>) -> bool {
    if value.is_exact_instance_of::<PyTuple>() {
        return codec::is_lasting(value, 0);
    }
    !(value.is_exact_instance_of::<PyList>() || value.is_exact_instance_of::<PyDict>() || is_memory(value))
}

/// In a worker: what it has sent of the results of one scope.
#[derive(Default)]
pub(crate) struct Sent {
    job: u64,
    scope: u64,
    places: [Option<Known>; PLACES],
    /// The addresses of the objects that have them.
    addresses: [usize; PLACES],
    /// What had a place in the scope before, came again there, and has a large pickle, which the parent keeps: most chunks of
    /// a job that have such an object have the same one. Its place waits for it.
    before: [Option<Known>; PLACES],
    /// Whether there is another scope of the job.
    has_scopes: bool,
    bytes: usize,
    /// The places that the parent is to forget.
    forgotten: u16,
    /// The number of the result.
    now: u64,
    /// The number of the object that gets a place.
    serial: u64,
    /// How many objects of the job have got a place, how many came again, and how many of those were not what they were.
    given: u32,
    again: u32,
    changed: u32,
    /// How many results of the job were encoded part by part in vain since no more places are given.
    in_vain: u32,
    /// What came last, once no more places are given.
    last: Vec<Py<PyAny>>,
    classes: Classes,
    scratch: Scratch,
}

/// Memory that encoding needs, kept for the next result.
#[derive(Default)]
struct Scratch {
    /// The places of the result's parts, but for those of classes and of the parts of parts that have a place.
    places: Vec<usize>,
    /// The places that it gives.
    given: Vec<usize>,
    /// Those of classes.
    classes: Vec<usize>,
}

/// What becomes of a result as it is encoded.
struct Encoding<'a, 'b> {
    out: &'a mut Vec<u8>,
    room: &'a mut (dyn Room + 'b),
    seen: Seen,
    scratch: Scratch,
    /// Whether objects get places; if not, classes do.
    gives: bool,
    /// Whether what is encoded now, and all that it is a part of, goes as soon as it is sent: it cannot come again.
    passing: bool,
    /// Parts that are pickled and may have parts in common with others.
    opaque: usize,
    /// Whether nothing beside one part of the result can change.
    alone: bool,
    /// Lists and dicts that have parts.
    open: usize,
    /// What gets a place has this number or a later one.
    first: u64,
}

/// Why a result is not encoded part by part.
enum Trouble {
    /// Its parts may have parts in common.
    Entangled,
    Failed(PyErr),
}

impl From<PyErr> for Trouble {
    fn from(error: PyErr) -> Trouble {
        Trouble::Failed(error)
    }
}

/// What an object that was sent is now.
enum Now {
    Same,
    /// This, which has no large parts.
    New(Vec<u8>),
    /// Something else, which has to be encoded to be known.
    Unknown,
}

/// Compares an object with what it was sent as.
fn same_or_new(value: &Bound<'_, PyAny>, sent: &[u8], depth: usize, room: &mut dyn Room) -> PyResult<Now> {
    let mut now = Vec::with_capacity(sent.len());
    let mut room = SameRoom { room, spots: codec::spots_of(sent).into_iter(), differs: false };
    match codec::encode_deep(value, &mut now, &mut room, depth) {
        Ok(()) if now == sent => Ok(Now::Same),
        Ok(()) if codec::spots_of(&now).is_empty() => Ok(Now::New(now)),
        Err(error) if !room.differs => Err(error),
        _ => Ok(Now::Unknown),
    }
}

/// Compares large parts with those that were sent, rather than to send them.
struct SameRoom<'a, 'b> {
    room: &'a mut (dyn Room + 'b),
    spots: std::vec::IntoIter<Spot>,
    differs: bool,
}

impl Room for SameRoom<'_, '_> {
    fn takes_pickles(&self) -> bool {
        self.room.takes_pickles()
    }

    fn put(&mut self, part: &Part<'_, '_>) -> PyResult<Spot> {
        let spot = self.spots.next().filter(|spot| self.room.has(*spot, part));
        self.differs |= spot.is_none();
        spot.ok_or_else(|| PyRuntimeError::new_err("another part than the last time"))
    }
}

impl Sent {
    /// Forgets all that it holds, the parent's places, too, as soon as a result has some.
    pub(crate) fn clear(&mut self) {
        let before =
            (std::mem::take(&mut self.places), std::mem::take(&mut self.before), std::mem::take(&mut self.last));
        (self.bytes, self.forgotten, self.addresses) = (0, u16::MAX, [0; PLACES]);
        drop(before);
    }

    /// The places are those of another scope from now on.
    fn turn(&mut self) {
        let places = std::mem::take(&mut self.places);
        let kept = places.map(|known| known.filter(|known| known.came_again && known.is_pickled));
        let stay = (0..PLACES).filter(|place| kept[*place].is_some()).fold(0, |stay, place| stay | 1 << place);
        let before = (std::mem::replace(&mut self.before, kept), std::mem::take(&mut self.last));
        self.bytes = self.before.iter().flatten().map(|known| known.bytes).sum();
        (self.forgotten, self.addresses) = (!stay, [0; PLACES]);
        drop(before);
    }

    /// Lets go of what is of another job.
    pub(crate) fn keep_of(&mut self, job: u64) {
        if self.job != job && !self.is_empty() {
            self.clear();
        }
    }

    /// Whether it holds anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_empty() && self.before.iter().all(Option::is_none) && self.addresses == [0; PLACES]
    }

    /// The next results are those of a scope of a job, which may have others.
    pub(crate) fn enter(&mut self, job: u64, scope: u64, has_scopes: bool) {
        if (self.job, self.scope) == (job, scope) {
            return;
        }
        if self.job == job {
            self.turn();
        } else {
            self.clear();
            (self.given, self.again, self.changed, self.in_vain) = (0, 0, 0, 0);
        }
        (self.job, self.scope, self.has_scopes) = (job, scope, has_scopes);
    }

    /// The code of a result, as it stands in a run, that is an object with a place and what it was, if that is seen at once.
    #[inline]
    pub(crate) fn at_once(&mut self, value: &Bound<'_, PyAny>) -> Option<[u8; codec::AGAIN_BYTES]> {
        let place = self.place_of(value)?;
        let is_same = match &self.places[place].as_ref()?.was {
            Was::Lasting => true,
            Was::Walked(snapshot, parts) => parts.is_empty() && snapshot.holds(value.py()),
            Was::Sent(..) => false,
        };
        if !is_same {
            return None;
        }
        self.now += 1;
        self.comes_again(place);
        Some(codec::framed_again(self.scope as u32, std::mem::take(&mut self.forgotten), place as u8))
    }

    /// Notes that an object which has a place came again.
    fn comes_again(&mut self, place: usize) {
        self.again = self.again.saturating_add(1);
        if let Some(known) = &mut self.places[place] {
            known.came_again = true;
        }
        self.use_now(place);
    }

    /// Adds the code of a result to `out`; nothing is added when it cannot be pickled. Large parts go to `room`.
    pub(crate) fn encode(&mut self, value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
        let before = out.len();
        if is_nothing_to_share(value) && codec::encode_simple(value, out) {
            return Ok(());
        }
        let gives = !self.is_quiet(value);
        if !gives && (self.in_vain > TRIES || is_atom(value) || codec::encode_simple(value, out)) {
            return if out.len() > before { Ok(()) } else { codec::encode(value, out, room) };
        }
        self.now += 1;
        let start = out.len();
        codec::begin_named(self.scope as u32, out);
        let inner = out.len();
        let mut encoding = Encoding::new(out, room, self.serial, gives, std::mem::take(&mut self.scratch));
        let mut answer = self.top(value, &mut encoding);
        if let Err(Trouble::Entangled) = answer {
            self.forget_all(&encoding.scratch.given, encoding.first);
            let Encoding { out, room, scratch, .. } = encoding;
            self.scratch = scratch;
            out.truncate(inner);
            room.take_back();
            if !gives {
                self.in_vain += 1;
                out.truncate(start);
                return codec::encode(value, out, room);
            }
            encoding = Encoding::new(out, room, self.serial, true, std::mem::take(&mut self.scratch));
            answer = self.alone(value, &mut encoding);
        }
        let Encoding { out, scratch, .. } = encoding;
        self.scratch = scratch;
        match answer {
            Ok(()) => {
                self.in_vain = self.in_vain.saturating_sub(2);
                codec::set_forgotten(std::mem::take(&mut self.forgotten), start, out);
                Ok(())
            }
            Err(trouble) => {
                out.truncate(start);
                self.clear();
                match trouble {
                    Trouble::Failed(error) => Err(error),
                    Trouble::Entangled => Err(PyRuntimeError::new_err("a result is entangled with itself")),
                }
            }
        }
    }

    /// Whether objects have stopped getting places, and this one is no reason to begin again.
    fn is_quiet(&mut self, value: &Bound<'_, PyAny>) -> bool {
        if self.changed > TRIES && self.changed > self.again / 2 {
            return true;
        }
        if self.again > 0 || self.given < TRIES {
            return false;
        }
        let known = self.last.iter().any(|last| last.is(value));
        let before = if known {
            self.again = 1;
            std::mem::take(&mut self.last)
        } else {
            let oldest = if self.last.len() == LAST { Some(self.last.remove(0)) } else { None };
            self.last.push(value.clone().unbind());
            oldest.into_iter().collect()
        };
        drop(before);
        !known
    }

    /// A result.
    fn top(&mut self, value: &Bound<'_, PyAny>, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        if self.again(value, encoding, 0)? {
            return Ok(());
        }
        encoding.alone = !value.is_instance_of::<PyTuple>() || self.changing(value, 0) < 2;
        // The caller's reference may be the only one.
        if !self.open(value, encoding, 0, 1)? {
            return self.alone(value, encoding);
        }
        if encoding.opaque > 0 && (encoding.opaque + encoding.seen.count() > 1 || encoding.open > 0) {
            return Err(Trouble::Entangled);
        }
        Ok(())
    }

    /// A result that is pickled, or copied, as one.
    fn alone(&mut self, value: &Bound<'_, PyAny>, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        if encoding.gives && !value.is_exact_instance_of::<PyInt>() && is_passing(value, 1) {
            self.given = self.given.saturating_add(1);
            return Ok(codec::encode_deep(value, encoding.out, encoding.room, DEPTH)?);
        }
        self.whole(value, encoding)
    }

    /// How many parts of a tuple, and of tuples in it, can change; two stand for more.
    fn changing(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> usize {
        let exact = value.cast_exact::<PyTuple>().ok().cloned();
        match exact.or_else(|| self.classes.fields(value)).filter(|tuple| tuple.len() <= TUPLE_ITEMS && depth < DEPTH) {
            Some(tuple) => tuple.iter_borrowed().fold(0, |found, part| match found {
                0 | 1 => found + self.changing(&part, depth + 1),
                _ => found,
            }),
            None => usize::from(!is_atom(value) && !is_number(value)),
        }
    }

    /// A tuple, list, dict or instance, part by part; false, and nothing done, if it is to be pickled. So many references to
    /// it are known: those of what it is a part of, and of whoever encodes that.
    fn open(
        &mut self,
        value: &Bound<'_, PyAny>,
        encoding: &mut Encoding<'_, '_>,
        depth: usize,
        references: isize,
    ) -> Result<bool, Trouble> {
        let above = encoding.passing;
        encoding.passing = above && encoding.gives && is_passing(value, references);
        let answer = self.open_part(value, encoding, depth);
        encoding.passing = above;
        answer
    }

    /// The same, when it is known whether the object can come again.
    fn open_part(
        &mut self,
        value: &Bound<'_, PyAny>,
        encoding: &mut Encoding<'_, '_>,
        depth: usize,
    ) -> Result<bool, Trouble> {
        let start = encoding.out.len();
        let (first, classes) = (encoding.scratch.places.len(), encoding.scratch.classes.len());
        let mut gives = encoding.gives && (depth == 0 || !value.is_exact_instance_of::<PyTuple>());
        if gives {
            self.given = self.given.saturating_add(1);
        }
        gives &= !encoding.passing;
        if gives {
            // Room for what is known once its parts are.
            codec::begin_kept(0, encoding.out);
        }
        let lasted = if is_container(value, depth) {
            self.container(value, encoding, depth)?
        } else if let Some(lasted) = self.instance(value, encoding, depth)? {
            lasted
        } else {
            encoding.out.truncate(start);
            return Ok(false);
        };
        if !gives {
            return Ok(true);
        }
        let (places, classes) = (&encoding.scratch.places[first..], &encoding.scratch.classes[classes..]);
        let known = |place: &usize| self.places[*place].as_ref();
        let parts: Vec<_> = places.iter().filter_map(|at| Some((*at, known(at)?.serial))).collect();
        let addresses: Vec<_> = places.iter().filter_map(|at| Some(known(at)?.address)).collect();
        let apart = places.iter().filter_map(known).map(|part| part.bytes).sum::<usize>();
        let bytes = encoding.out.len() - start + apart;
        let snapshot = if lasted { Snapshot::of(value, &addresses, &mut self.classes) } else { None };
        let was = match snapshot {
            Some(snapshot) => Was::Walked(snapshot, parts),
            // All of it is in its code.
            None if lasted && depth == 0 && places.is_empty() && classes.is_empty() => {
                Was::Sent(encoding.out[start + 2..].to_vec(), 0)
            }
            None => {
                drop(encoding.out.drain(start..start + 2));
                return Ok(true);
            }
        };
        let place = self.place(value, was, bytes, encoding);
        encoding.out[start + 1] = place as u8;
        encoding.scratch.places.truncate(first);
        encoding.scratch.places.push(place);
        Ok(true)
    }

    /// The parts of an instance, one after the other; whether it has these still, as parts may run code, and other threads
    /// with it. None, and nothing done, if it is to be pickled.
    fn instance(
        &mut self,
        value: &Bound<'_, PyAny>,
        encoding: &mut Encoding<'_, '_>,
        depth: usize,
    ) -> Result<Option<bool>, Trouble> {
        if depth >= DEPTH {
            return Ok(None);
        }
        let Some(parts) = self.classes.parts(value) else { return Ok(None) };
        if !matches!(parts, Parts::Fields(..)) && !encoding.seen.is_new(value) {
            return Err(Trouble::Entangled);
        }
        match parts {
            Parts::Attributes(names, values) => {
                encoding.open += 1;
                codec::begin_instance(values.len(), encoding.out);
                self.class(names.as_any(), encoding)?;
                values.iter().try_for_each(|value| self.part(value, encoding, depth + 1, 2))?;
                let now = self.classes.attributes(value);
                let has = |now: Bound<'_, PyDict>| {
                    now.len() == values.len()
                        && now
                            .iter()
                            .zip(names.iter_borrowed().skip(1).zip(&values))
                            .all(|((name, value), (was_named, was))| name.is(&*was_named) && value.is(was))
                };
                return Ok(Some(now.is_some_and(has)));
            }
            Parts::Fields(class, fields) => {
                codec::begin_fields(fields.len(), encoding.out);
                self.class(class.as_any(), encoding)?;
                fields.iter_borrowed().try_for_each(|field| self.part(&field, encoding, depth + 1, 1))?;
            }
            Parts::Reduced(callable, arguments, state) => {
                codec::begin_reduced(arguments.len(), encoding.out);
                self.class(&callable, encoding)?;
                for argument in arguments.iter_borrowed() {
                    if argument.is_instance_of::<PyType>() {
                        self.class(&argument, encoding)?;
                    } else {
                        self.part(&argument, encoding, depth + 1, 1)?;
                    }
                }
                encoding.open += usize::from(state.is_some());
                match state {
                    Some(state) => self.part(&state, encoding, depth + 1, 1)?,
                    None => self.part(&value.py().None().into_bound(value.py()), encoding, depth + 1, 1)?,
                }
            }
        }
        Ok(Some(true))
    }

    /// A class, a function, or a tuple of a class and names: what is pickled by its name and stays as it is.
    fn class(&mut self, value: &Bound<'_, PyAny>, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        let place = match self.place_of(value) {
            Some(place) => {
                codec::encode_again(place as u8, encoding.out);
                self.use_now(place);
                place
            }
            None => {
                let start = encoding.out.len();
                codec::begin_kept(0, encoding.out);
                codec::encode_deep(value, encoding.out, encoding.room, DEPTH)?;
                let bytes = encoding.out.len() - start;
                let place = self.place(value, Was::Lasting, bytes, encoding);
                encoding.out[start + 1] = place as u8;
                place
            }
        };
        encoding.scratch.classes.push(place);
        Ok(())
    }

    fn place_of(&self, value: &Bound<'_, PyAny>) -> Option<usize> {
        let address = value.as_ptr() as usize;
        let place = self.addresses.iter().position(|known| *known == address)?;
        self.places[place].as_ref().is_some_and(|known| known.is(value)).then_some(place)
    }

    /// A result, or a part of it, that is pickled, or copied, as one; it may come again at any depth.
    fn whole(&mut self, value: &Bound<'_, PyAny>, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        if codec::encode_large_int(value, encoding.out)? {
            return Ok(());
        }
        if !encoding.gives {
            if !(is_atom(value) || is_memory(value) && encoding.seen.is_new(value)) {
                return Err(Trouble::Entangled);
            }
            return Ok(codec::encode_deep(value, encoding.out, encoding.room, DEPTH)?);
        }
        if let Some(place) = self.place_before(value) {
            return self.remade(place, encoding);
        }
        let is_atom = is_atom(value);
        // Looked at before it is pickled: what changes it meanwhile makes it another one than was sent.
        let snapshot = if is_atom { None } else { Snapshot::of(value, &[], &mut self.classes) };
        if !is_atom && snapshot.is_none() && !is_memory(value) {
            encoding.add_opaque()?;
        }
        let start = encoding.out.len();
        codec::begin_kept(0, encoding.out);
        codec::encode_deep(value, encoding.out, encoding.room, DEPTH)?;
        self.given = self.given.saturating_add(1);
        let sent = &encoding.out[start + 2..];
        let bytes = sent.len() + codec::spots_of(sent).iter().map(Spot::size).sum::<u64>() as usize;
        let was = if is_atom {
            if bytes < WORTH {
                drop(encoding.out.drain(start..start + 2));
                return Ok(());
            }
            Was::Lasting
        } else if let Some(snapshot) = snapshot {
            if !snapshot.addresses().all(|address| encoding.seen.is_new_at(address)) {
                return Err(Trouble::Entangled);
            }
            Was::Walked(snapshot, Vec::new())
        } else {
            if is_memory(value) && !encoding.seen.is_new(value) {
                return Err(Trouble::Entangled);
            }
            Was::Sent(sent.to_vec(), DEPTH)
        };
        let may_be_kept = self.has_scopes && matches!(was, Was::Walked(..));
        let place = self.place(value, was, bytes, encoding);
        encoding.out[start + 1] = place as u8;
        encoding.scratch.places.push(place);
        if may_be_kept && let Some(known) = &mut self.places[place] {
            known.is_pickled = codec::keep_pickle(start, encoding.out);
        }
        Ok(())
    }

    /// The place that an object had in the scope before, if the parent has its pickle and it is what it was.
    fn place_before(&mut self, value: &Bound<'_, PyAny>) -> Option<usize> {
        let place = self.before.iter().position(|known| known.as_ref().is_some_and(|known| known.is(value)))?;
        let holds = |snapshot: &Snapshot| snapshot.holds(value.py());
        let known = self.before[place].as_ref()?;
        matches!(&known.was, Was::Walked(snapshot, parts) if parts.is_empty() && holds(snapshot)).then_some(place)
    }

    /// The object that had that place: the parent rebuilds it from the pickle that it has.
    fn remade(&mut self, place: usize, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        let Some(known) = self.before[place].take() else { return Err(Trouble::Entangled) };
        self.serial += 1;
        self.addresses[place] = known.address;
        self.places[place] = Some(Known { used: self.now, came_again: false, serial: self.serial, ..known });
        encoding.scratch.given.push(place);
        self.mark_seen(place, encoding)?;
        codec::encode_remade(place as u8, encoding.out);
        encoding.scratch.places.push(place);
        Ok(())
    }

    /// The parts of a tuple, list or dict, one after the other; whether it has these still.
    fn container(
        &mut self,
        value: &Bound<'_, PyAny>,
        encoding: &mut Encoding<'_, '_>,
        depth: usize,
    ) -> Result<bool, Trouble> {
        if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            codec::begin_tuple(tuple.len(), encoding.out);
            tuple.iter_borrowed().try_for_each(|item| self.part(&item, encoding, depth + 1, 1))?;
            return Ok(true);
        }
        if !encoding.seen.is_new(value) {
            return Err(Trouble::Entangled);
        }
        encoding.open += 1;
        if let Ok(list) = value.cast_exact::<PyList>() {
            let items: Vec<_> = list.iter().collect();
            codec::begin_list(items.len(), encoding.out);
            items.iter().try_for_each(|item| self.part(item, encoding, depth + 1, 2))?;
            return Ok(list.len() == items.len() && list.iter().zip(&items).all(|(item, was)| item.is(was)));
        }
        let dict = value.cast_exact::<PyDict>().map_err(PyErr::from)?;
        let entries: Vec<_> = dict.iter().collect();
        codec::begin_dict(entries.len(), encoding.out);
        entries.iter().try_for_each(|(key, item)| {
            self.part(key, encoding, depth + 1, 2)?;
            self.part(item, encoding, depth + 1, 2)
        })?;
        let same = |((key, item), (was_key, was)): ((Bound<'_, PyAny>, Bound<'_, PyAny>), &(_, _))| {
            key.is(was_key) && item.is(was)
        };
        Ok(dict.len() == entries.len() && dict.iter().zip(&entries).all(same))
    }

    /// A part of the result, to which so many references are known.
    fn part(
        &mut self,
        value: &Bound<'_, PyAny>,
        encoding: &mut Encoding<'_, '_>,
        depth: usize,
        references: isize,
    ) -> Result<(), Trouble> {
        let may_have_place = is_container(value, depth) || encoding.gives && is_memory(value);
        if !may_have_place && codec::encode_at(value, encoding.out, depth, &mut encoding.seen)
            || self.again(value, encoding, depth)?
            || self.open(value, encoding, depth, references)?
        {
            return Ok(());
        }
        self.whole(value, encoding)
    }

    /// Adds the place of an object that has one and is what it was, or what it is now if that took pickling it; false, and
    /// nothing added, if it has none or has changed.
    fn again(
        &mut self,
        value: &Bound<'_, PyAny>,
        encoding: &mut Encoding<'_, '_>,
        depth: usize,
    ) -> Result<bool, Trouble> {
        let Some(place) = self.place_of(value) else { return Ok(false) };
        let Some(known) = &self.places[place] else { return Ok(false) };
        let is_opaque = matches!(known.was, Was::Sent(..)) && !known.is_memory;
        if let Was::Sent(sent, sent_at) = &known.was {
            if is_opaque {
                encoding.add_opaque()?;
            }
            let sent_at = *sent_at;
            match same_or_new(value, sent, sent_at, encoding.room)? {
                Now::Same => {}
                // What nests may do so from where it stands only.
                Now::New(now) if depth <= sent_at => {
                    self.changed = self.changed.saturating_add(1);
                    self.forget(place);
                    // It is pickled once only: reducers may do more than that.
                    let start = encoding.out.len();
                    codec::begin_kept(0, encoding.out);
                    encoding.out.extend_from_slice(&now);
                    let bytes = now.len();
                    let place = self.place(value, Was::Sent(now, sent_at), bytes, encoding);
                    encoding.out[start + 1] = place as u8;
                    if !is_opaque {
                        self.mark_seen(place, encoding)?;
                    }
                    encoding.scratch.places.push(place);
                    return Ok(true);
                }
                Now::New(_) | Now::Unknown => {
                    encoding.opaque -= usize::from(is_opaque);
                    self.changed = self.changed.saturating_add(1);
                    self.forget(place);
                    return Ok(false);
                }
            }
        } else if !self.is_what_it_was(value, place, encoding.room) {
            self.changed = self.changed.saturating_add(1);
            self.forget(place);
            return Ok(false);
        }
        if !is_opaque {
            self.mark_seen(place, encoding)?;
        }
        codec::encode_again(place as u8, encoding.out);
        encoding.scratch.places.push(place);
        self.comes_again(place);
        Ok(true)
    }

    /// Notes what of an object that has a place must not be in other parts of the result.
    fn mark_seen(&self, place: usize, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        let Some(known) = &self.places[place] else { return Ok(()) };
        match &known.was {
            Was::Lasting => {}
            Was::Walked(snapshot, parts) => {
                if !snapshot.addresses().all(|address| encoding.seen.is_new_at(address)) {
                    return Err(Trouble::Entangled);
                }
                parts.iter().try_for_each(|(part, _)| self.mark_seen(*part, encoding))?;
            }
            Was::Sent(..) if known.is_memory => {
                if !encoding.seen.is_new_at(known.address) {
                    return Err(Trouble::Entangled);
                }
            }
            Was::Sent(..) => encoding.opaque += 1,
        }
        Ok(())
    }

    fn use_now(&mut self, place: usize) {
        let Some(known) = &mut self.places[place] else { return };
        known.used = self.now;
        let parts: Vec<usize> = match &known.was {
            Was::Walked(_, parts) => parts.iter().map(|(part, _)| *part).collect(),
            _ => return,
        };
        parts.into_iter().for_each(|part| self.use_now(part));
    }

    fn is_what_it_was(&self, value: &Bound<'_, PyAny>, place: usize, room: &mut dyn Room) -> bool {
        let Some(known) = &self.places[place] else { return false };
        match &known.was {
            Was::Lasting => true,
            Was::Walked(snapshot, parts) => {
                snapshot.holds(value.py())
                    && parts.iter().all(|(part, serial)| {
                        let Some(known) = self.places[*part].as_ref().filter(|known| known.serial == *serial) else {
                            return false;
                        };
                        let object = match &known.object {
                            Held::Strong(object) => Some(object.bind(value.py()).clone()),
                            Held::Weak(weak) => weak.bind(value.py()).upgrade(),
                        };
                        object.is_some_and(|object| self.is_what_it_was(&object, *part, room))
                    })
            }
            Was::Sent(sent, depth) => matches!(same_or_new(value, sent, *depth, room), Ok(Now::Same)),
        }
    }

    /// Gives an object a place: a free one, or that of what was not used for longest.
    fn place(&mut self, value: &Bound<'_, PyAny>, was: Was, bytes: usize, encoding: &mut Encoding<'_, '_>) -> usize {
        let weak = match &was {
            Was::Sent(..) => PyWeakrefReference::new(value).ok(),
            _ => None,
        };
        let object = weak.map_or_else(|| Held::Strong(value.clone().unbind()), |weak| Held::Weak(weak.unbind()));
        while self.bytes + bytes > MOST_BYTES
            && let Some(place) = self.oldest(self.now)
        {
            self.forget(place);
        }
        let is_free = |place: &usize| self.places[*place].is_none() && self.before[*place].is_none();
        let is_left = |place: &usize| self.places[*place].is_none();
        let free = (0..PLACES).find(is_free).or_else(|| (0..PLACES).find(is_left));
        let place = free.or_else(|| self.oldest(u64::MAX)).unwrap_or(0);
        self.forget(place);
        self.serial += 1;
        self.bytes += bytes;
        let (address, used, serial) = (value.as_ptr() as usize, self.now, self.serial);
        let is_memory = is_memory(value);
        encoding.scratch.given.push(place);
        self.addresses[place] = address;
        let (is_pickled, came_again) = (false, false);
        let known = Known { address, object, was, bytes, used, is_memory, is_pickled, came_again, serial };
        self.places[place] = Some(known);
        place
    }

    /// What has not been used since the result `before` was encoded, and for longest.
    fn oldest(&self, before: u64) -> Option<usize> {
        let used = |place: &usize| self.places[*place].as_ref().map_or(u64::MAX, |known| known.used);
        (0..PLACES).filter(|place| used(place) < before).min_by_key(used)
    }

    fn forget(&mut self, place: usize) {
        let Some(known) = self.places[place].take().or_else(|| self.before[place].take()) else { return };
        self.addresses[place] = 0;
        self.bytes -= known.bytes;
        self.forgotten |= 1 << place;
        drop(known);
    }

    /// Forgets those places that were given from the object `first` on.
    fn forget_all(&mut self, places: &[usize], first: u64) {
        for place in places {
            if self.places[*place].as_ref().is_some_and(|known| known.serial > first) {
                self.forget(*place);
            }
        }
    }
}

impl<'a, 'b> Encoding<'a, 'b> {
    fn new(
        out: &'a mut Vec<u8>,
        room: &'a mut (dyn Room + 'b),
        first: u64,
        gives: bool,
        mut scratch: Scratch,
    ) -> Encoding<'a, 'b> {
        scratch.places.clear();
        scratch.given.clear();
        scratch.classes.clear();
        Encoding {
            out,
            room,
            seen: Seen::default(),
            scratch,
            gives,
            passing: true,
            opaque: 0,
            alone: true,
            open: 0,
            first,
        }
    }

    /// Notes that a part is about to be pickled that may have parts in common with others. Reducers may do more than
    /// answer, so it is not pickled in vain.
    fn add_opaque(&mut self) -> Result<(), Trouble> {
        if !self.alone || self.opaque > 0 || self.open > 0 || self.seen.count() > 0 {
            return Err(Trouble::Entangled);
        }
        self.opaque += 1;
        Ok(())
    }
}
