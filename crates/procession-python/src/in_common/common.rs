//! An object that items of a map have in common, such as a configuration or a model: it is pickled once, and each worker
//! rebuilds it as often as multiprocessing would, once for each of its chunks.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyTuple};

use crate::error::is_interrupt;
use crate::memory::buffer::is_only_reference;
use crate::memory::place::{Part, Room, Spot};
use crate::objects::instances::TUPLE_ITEMS;
use crate::objects::numpy::is_array_of_numbers;
use crate::objects::pickler::pickle_apart;
use crate::objects::reducers::SPECIAL;
use crate::values;

/// A smaller pickle is made anew each time.
const WORTH: usize = 4 << 10;
/// Large parts of more bytes are not pickled: [`crate::in_common::repeats`] sends them once.
const MOST_APART: usize = 64 << 20;

thread_local! {
    /// Whether this thread makes a pickle that several are to read.
    static FOR_SEVERAL: Cell<bool> = const { Cell::new(false) };
}

/// The object that items of a job had in common last, and its pickle.
#[derive(Default)]
pub(crate) struct Common(Mutex<Option<(Py<PyAny>, Pickle)>>);

enum Pickle {
    /// The object came once.
    NotYet,
    /// The object is pickled with each item.
    Never,
    Made(Py<PyBytes>),
}

impl Common {
    /// The pickle of an object that items have in common, `several` of them here; none if it has none of its own.
    ///
    /// # Errors
    /// Ctrl-C.
    fn pickle<'py>(&self, object: &Bound<'py, PyAny>, several: bool) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let py = object.py();
        let mut other = None;
        {
            let mut known = self.0.lock().expect("no panic while locked");
            match &*known {
                Some((same, pickle)) if same.is(object) => match pickle {
                    Pickle::Made(bytes) => return Ok(Some(bytes.bind(py).clone())),
                    Pickle::Never => return Ok(None),
                    Pickle::NotYet => {}
                },
                _ => {
                    other = known.replace((object.clone().unbind(), Pickle::NotYet));
                    if !several {
                        drop(known);
                        drop(other);
                        return Ok(None);
                    }
                }
            }
        }
        drop(other);
        let made = match made(object) {
            Ok(bytes) => bytes.map(|bytes| PyBytes::new(py, &bytes)),
            Err(error) if is_interrupt(py, &error) => return Err(error),
            Err(_) => None,
        };
        let pickle = made.as_ref().map_or(Pickle::Never, |bytes| Pickle::Made(bytes.clone().unbind()));
        let before = self.0.lock().expect("no panic while locked").replace((object.clone().unbind(), pickle));
        drop(before);
        Ok(made)
    }

    /// Lets go of it.
    pub(crate) fn clear(&self) {
        let known = self.0.lock().expect("no panic while locked").take();
        drop(known);
    }
}

/// Adds up the bytes of large parts, which go nowhere.
struct Scale(usize);

impl Room for Scale {
    fn put(&mut self, part: &Part<'_, '_>) -> PyResult<Spot> {
        self.0 += part.size;
        Ok(Spot::Common { offset: 0, size: part.size as u64 })
    }
}

/// A pickle that may be read several times; none if it is not worth it, or would not do.
fn made(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    let special = SPECIAL.load(Ordering::Relaxed);
    let mut bytes = Vec::new();
    // Pickling runs any code, which may come here once more.
    let before = FOR_SEVERAL.replace(true);
    let mut scale = Scale(0);
    let pickled = pickle_apart(object, &mut bytes, Some(&mut scale));
    FOR_SEVERAL.set(before);
    let apart = pickled?;
    if bytes.len() < WORTH || SPECIAL.load(Ordering::Relaxed) != special {
        return Ok(None);
    }
    if apart.is_empty() {
        return Ok(Some(bytes));
    }
    if scale.0 > MOST_APART || apart.iter().any(|part| matches!(part.spot, Spot::Shared(_))) {
        return Ok(None);
    }
    bytes.clear();
    let before = FOR_SEVERAL.replace(true);
    let pickled = pickle_apart(object, &mut bytes, None);
    FOR_SEVERAL.set(before);
    Ok(pickled?.is_empty().then_some(bytes))
}

/// The object of an item that is not plain: the item itself, or what is the only such in a tuple, so that nothing else in
/// that can be a part of it.
fn object_of<'py>(item: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let Ok(tuple) = item.cast_exact::<PyTuple>() else { return (!values::is_plain(item)).then(|| item.clone()) };
    if tuple.len() > TUPLE_ITEMS {
        return None;
    }
    let mut found = None;
    for part in tuple.iter_borrowed() {
        if !is_apart(&part) && found.replace(part.to_owned()).is_some() {
            return None;
        }
    }
    found
}

/// Whether nobody sees that a part of a tuple is in another part of it: it does not change, or nobody else has it.
fn is_apart(part: &Bound<'_, PyAny>) -> bool {
    if values::is_lasting(part, 0) {
        return values::is_plain(part);
    }
    let is_simple = part.is_exact_instance_of::<PyByteArray>() || is_array_of_numbers(part);
    is_simple && is_only_reference(part.py(), part.as_unbound())
}

/// In a worker: the object that items had in common last.
#[derive(Default)]
pub(crate) struct LastCommon {
    named: Mutex<Option<Named>>,
    /// The place in its job of the item that is rebuilt.
    at: AtomicU64,
    /// For how long objects were rebuilt, in nanoseconds, until somebody asks.
    spent: AtomicU64,
}

struct Named {
    name: (u64, u64),
    /// The place of the last item that had it.
    last: u64,
    object: Py<PyAny>,
}

impl LastCommon {
    /// Says which item of its job is rebuilt next.
    pub(crate) fn comes(&self, at: u64) {
        self.at.store(at, Ordering::Relaxed);
    }

    /// The object of that name, which `make` rebuilds if another was the last, or a later item of the job has had it: one
    /// that went back and comes again sees nothing of those behind it.
    pub(crate) fn get<'py>(
        &self,
        py: Python<'py>,
        name: (u64, u64),
        make: &dyn Fn() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let at = self.at.load(Ordering::Relaxed);
        match &mut *self.named.lock().expect("no panic while locked") {
            Some(named) if named.name == name && named.last < at => {
                named.last = at;
                return Ok(named.object.bind(py).clone());
            }
            _ => {}
        }
        let begun = Instant::now();
        // Not two of them at a time.
        self.forget();
        let made = make();
        self.spent.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        let object = made?;
        self.replace(Some(Named { name, last: at, object: object.clone().unbind() }));
        Ok(object)
    }

    fn replace(&self, next: Option<Named>) {
        let before = std::mem::replace(&mut *self.named.lock().expect("no panic while locked"), next);
        drop(before);
    }

    /// Lets go of one that is another job's.
    pub(crate) fn keep_of(&self, job: u64) {
        if self.named.lock().expect("no panic while locked").as_ref().is_some_and(|named| named.name.0 != job) {
            self.forget();
        }
    }

    /// Whether there is one.
    pub(crate) fn is_kept(&self) -> bool {
        self.named.lock().expect("no panic while locked").is_some()
    }

    /// Lets go of it.
    pub(crate) fn forget(&self) {
        self.replace(None);
    }

    /// For how long objects were rebuilt since this was asked last.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.swap(0, Ordering::Relaxed))
    }
}

/// Says that the pickle that is being made can have one reader only, as it is about to get a descriptor for it.
#[pyfunction]
fn for_one_receiver() -> PyResult<()> {
    if FOR_SEVERAL.get() { Err(PyRuntimeError::new_err("this pickle is for several readers")) } else { Ok(()) }
}

/// Adds the function to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(for_one_receiver, module)?)
}

/// Adds items that have an object in common to `out`; false, and nothing added, if they have none with a pickle of its own.
///
/// # Arguments
/// * `name` - of the job.
/// * `sharers` - tells those items of it that may share one copy of the object from the others.
///
/// # Errors
/// Ctrl-C.
pub(crate) fn encode(
    common: &Common,
    name: u64,
    sharers: u64,
    items: &[Py<PyAny>],
    out: &mut Vec<u8>,
    room: &mut dyn Room,
    py: Python<'_>,
) -> PyResult<bool> {
    let Some(object) = items.first().and_then(|item| object_of(item.bind(py))) else { return Ok(false) };
    if !items.iter().skip(1).all(|item| object_of(item.bind(py)).is_some_and(|other| other.is(&object))) {
        return Ok(false);
    }
    let Some(pickle) = common.pickle(&object, items.len() > 1)? else { return Ok(false) };
    let start = out.len();
    let bytes = pickle.as_bytes();
    let copy = |place: &mut [u8]| {
        place.copy_from_slice(bytes);
        Ok(())
    };
    let part = Part { owner: pickle.as_any(), address: bytes.as_ptr() as usize, size: bytes.len(), copy: &copy };
    let mut encoded = || {
        // The record has it once, however many of its items want it.
        let spot = room.put(&part)?;
        items.iter().try_for_each(|item| encode_item(item.bind(py), &object, (name, sharers), spot, out, room))
    };
    match encoded() {
        Ok(()) => Ok(true),
        Err(error) => {
            out.truncate(start);
            if is_interrupt(py, &error) { Err(error) } else { Ok(false) }
        }
    }
}

fn encode_item(
    item: &Bound<'_, PyAny>,
    object: &Bound<'_, PyAny>,
    name: (u64, u64),
    spot: Spot,
    out: &mut Vec<u8>,
    room: &mut dyn Room,
) -> PyResult<()> {
    if item.is(object) {
        values::encode_common(name, spot, out);
        return Ok(());
    }
    let tuple = item.cast_exact::<PyTuple>()?;
    values::begin_tuple(tuple.len(), out);
    for part in tuple.iter_borrowed() {
        if part.is(object) {
            values::encode_common(name, spot, out);
        } else {
            values::encode_deep(&part, out, room, 1)?;
        }
    }
    Ok(())
}
