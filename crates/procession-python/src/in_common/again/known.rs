//! What a worker knows of an object that has a place, and how it sees that the object is what it was.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use crate::in_common::snapshot::Snapshot;
use crate::memory::place::{Part, Room, Spot};
use crate::values;

/// An object that has a place.
pub(super) struct KnownObject {
    pub(super) address: usize,
    pub(super) object: Reference,
    /// Its contents when it was sent, which tell whether it has changed.
    pub(super) was: Was,
    pub(super) bytes: usize,
    /// The number of the result that had it last.
    pub(super) used: u64,
    pub(super) is_memory: bool,
    /// Whether the parent has its pickle, too.
    pub(super) is_pickled: bool,
    /// Whether it came again.
    pub(super) came_again: bool,
    /// Tells it from what had the place before.
    pub(super) serial: u64,
}

pub(super) enum Reference {
    Strong(Py<PyAny>),
    /// Results that nobody else holds go at once where that can be.
    Weak(Py<PyWeakrefReference>),
}

pub(super) enum Was {
    /// The object cannot change.
    Lasting,
    /// The contents of the lists and dicts in it; and the objects in it that have places of their own.
    Walked(Snapshot, Vec<(usize, u64)>),
    /// How it was sent, and how many tuples, lists and dicts deep.
    Sent(Vec<u8>, usize),
}

impl KnownObject {
    pub(super) fn is(&self, value: &Bound<'_, PyAny>) -> bool {
        self.address == value.as_ptr() as usize
            && match &self.object {
                Reference::Strong(_) => true,
                Reference::Weak(weak) => weak.bind(value.py()).upgrade().is_some_and(|object| object.is(value)),
            }
    }
}

/// What an object that was sent is now.
pub(super) enum Now {
    Same,
    /// This, which has no large parts.
    New(Vec<u8>),
    /// Something else, which has to be encoded to be known.
    Unknown,
}

/// Compares an object with what it was sent as.
pub(super) fn same_or_new(value: &Bound<'_, PyAny>, sent: &[u8], depth: usize, room: &mut dyn Room) -> PyResult<Now> {
    let mut now = Vec::with_capacity(sent.len());
    let mut room = SameRoom { room, spots: values::spots_of(sent).into_iter(), differs: false };
    match values::encode_deep(value, &mut now, &mut room, depth) {
        Ok(()) if now == sent => Ok(Now::Same),
        Ok(()) if values::spots_of(&now).is_empty() => Ok(Now::New(now)),
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
