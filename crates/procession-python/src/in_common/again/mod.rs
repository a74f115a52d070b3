//! Objects that several results of a chunk have: sent once, and named from then on.
//!
//! The standard library pickles the results of a chunk as one when the last of them is there, so an object that they have in
//! common is sent once, and is one object for whoever gets them. Here each result is sent as soon as it is there, lest the
//! death of a worker takes more with it than the task that runs. So a worker gives what it sends a *place*, which the
//! parent knows, too (`received`), and sends the number of the place when the same object comes again ([`Sent`]), but only
//! if it would be sent as the same bytes: what a task has changed meanwhile is sent anew.
//!
//! An object to which only the result refers cannot come again, and gets no place.
//!
//! Places are for the results of one *scope*: a chunk of the caller's, or all of a job for which nobody said a size, if the
//! standard library's chunks would have several items. There are few places, for what came last. The large pickle of an
//! object stays where its block is, with the parent: in the next scope the object is rebuilt from it, if it is what it was.

mod kinds;
mod known;
mod parts;
mod places;

use kinds::{is_nothing_to_share, is_worth_a_look};
use known::{KnownObject, Was};
use parts::{Encoding, Scratch, Trouble};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::in_common::snapshot::is_atom;
use crate::memory::place::Room;
use crate::objects::instances::Classes;
use crate::objects::reducers::forget_answers;
use crate::objects::unsettled::looking;
use crate::values;

/// How many places there are, each a bit of a number of 16.
pub(crate) const PLACES: usize = 16;
/// The most bytes that what has a place was sent as, all together, but for what came last.
const MOST_BYTES: usize = 16 << 20;
/// Objects that stay as they are and take fewer bytes are sent again.
const WORTH: usize = 4 << 10;
/// The same for texts and bytes that are results twice in a row.
const WORTH_IN_A_ROW: usize = 256;
/// After so many objects of a job that got a place and did not come again, none gets one until the same object comes twice
/// in a row.
const TRIES: u32 = 32;
/// The most objects that are remembered for that.
const LAST: usize = 4;

/// In a worker: what it has sent of the results of one scope.
#[derive(Default)]
pub(crate) struct Sent {
    job: u64,
    scope: u64,
    places: [Option<KnownObject>; PLACES],
    /// The addresses of the objects that have them.
    addresses: [usize; PLACES],
    /// What had a place in the scope before, came again there, and has a large pickle, which the parent keeps: most chunks of
    /// a job that have such an object have the same one. Its place waits for it.
    before: [Option<KnownObject>; PLACES],
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
    /// The object that came last, once no more places are given.
    last: Vec<Py<PyAny>>,
    /// The address of the last result that is a text or bytes. It may be another one's by now, which is sent alike.
    in_a_row: usize,
    classes: Classes,
    scratch: Scratch,
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
    pub(crate) fn at_once(&mut self, value: &Bound<'_, PyAny>) -> Option<[u8; values::AGAIN_BYTES]> {
        let place = self.place_of(value)?;
        if !matches!(self.classes.has_same_names(value), Ok(None | Some(true))) {
            self.forget(place);
            return None;
        }
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
        Some(values::framed_again(self.scope as u32, std::mem::take(&mut self.forgotten), place as u8))
    }

    /// Adds the code of a result to `out`; nothing is added when it cannot be pickled. Large parts go to `room`.
    pub(crate) fn encode(&mut self, value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
        let answer = looking(|| self.encode_parts(value, out, room));
        forget_answers();
        answer
    }

    fn encode_parts(&mut self, value: &Bound<'_, PyAny>, out: &mut Vec<u8>, room: &mut dyn Room) -> PyResult<()> {
        let before = out.len();
        let shares = !is_nothing_to_share(value);
        if !shares && !self.comes_in_a_row(value) && values::encode_simple(value, out) {
            return Ok(());
        }
        let gives = !self.is_quiet(value);
        if !gives && (self.in_vain > TRIES || is_atom(value) || shares && values::encode_simple(value, out)) {
            return if out.len() > before { Ok(()) } else { values::encode(value, out, room) };
        }
        self.now += 1;
        let start = out.len();
        values::begin_named(self.scope as u32, out);
        let inner = out.len();
        let mut encoding = Encoding::new(out, room, self.serial, gives, std::mem::take(&mut self.scratch));
        let mut answer = self.top(value, &mut encoding);
        if let Err(Trouble::Entangled) = answer {
            self.forget_all(&encoding.scratch.given, encoding.first);
            let Encoding { out, room, scratch, .. } = encoding;
            self.scratch = scratch;
            out.truncate(inner);
            room.take_back();
            self.classes.note_misfit(value);
            if !gives {
                self.in_vain += 1;
                out.truncate(start);
                return values::encode(value, out, room);
            }
            encoding = Encoding::new(out, room, self.serial, true, std::mem::take(&mut self.scratch));
            answer = self.alone(value, &mut encoding);
        }
        let Encoding { out, scratch, .. } = encoding;
        self.scratch = scratch;
        match answer {
            Ok(()) => {
                self.in_vain = self.in_vain.saturating_sub(2);
                values::set_forgotten(std::mem::take(&mut self.forgotten), start, out);
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

    /// Whether a result is a text or bytes that was the result before, and worth a place.
    fn comes_in_a_row(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let address = value.as_ptr() as usize;
        let before = std::mem::replace(&mut self.in_a_row, address);
        before == address && is_worth_a_look(value)
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
}
