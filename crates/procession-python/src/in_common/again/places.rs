//! The places: who gets one, who keeps it, and whether what has one is what it was.

use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use super::kinds::is_memory;
use super::known::{KnownObject, Now, Reference, Was, same_or_new};
use super::parts::{Encoding, Trouble};
use super::{MOST_BYTES, PLACES, Sent};
use crate::in_common::snapshot::Snapshot;
use crate::memory::place::Room;
use crate::values;

impl Sent {
    /// Adds the place of an object that has one and is what it was, or what it is now if that took pickling it; false, and
    /// nothing added, if it has none or has changed.
    pub(super) fn again(
        &mut self,
        value: &Bound<'_, PyAny>,
        encoding: &mut Encoding<'_, '_>,
        depth: usize,
    ) -> Result<bool, Trouble> {
        let Some(place) = self.place_of(value) else { return Ok(false) };
        if self.classes.has_same_names(value)? == Some(false) {
            self.forget(place);
            return Ok(false);
        }
        let Some(known) = &self.places[place] else { return Ok(false) };
        let is_opaque = matches!(known.was, Was::Sent(..)) && !known.is_memory;
        if let Was::Sent(sent, sent_at) = &known.was {
            if is_opaque {
                encoding.add_opaque()?;
            }
            let sent_at = *sent_at;
            match same_or_new(value, sent, sent_at, encoding.room)? {
                Now::Same => {}
                // Depth counts from where the object stands now.
                Now::New(now) if depth <= sent_at => {
                    self.changed = self.changed.saturating_add(1);
                    self.forget(place);
                    // An object is pickled once only: its reducer may do more than answer.
                    let start = encoding.out.len();
                    values::begin_kept(0, encoding.out);
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
        if !is_opaque && !self.is_named(place, encoding) {
            self.mark_seen(place, encoding)?;
        }
        values::encode_again(place as u8, encoding.out);
        encoding.scratch.places.push(place);
        self.comes_again(place);
        Ok(true)
    }

    /// Whether the result has the object of a place already, by itself or in another that has a place: the parent makes one object of
    /// both.
    fn is_named(&self, place: usize, encoding: &Encoding<'_, '_>) -> bool {
        encoding.scratch.places.iter().any(|at| self.has_within(*at, place))
    }

    fn has_within(&self, at: usize, place: usize) -> bool {
        let is_still =
            |(part, serial): &&(usize, u64)| self.places[*part].as_ref().is_some_and(|known| known.serial == *serial);
        at == place
            || self.places[at].as_ref().is_some_and(|known| match &known.was {
                Was::Walked(_, parts) => parts.iter().filter(is_still).any(|(part, _)| self.has_within(*part, place)),
                _ => false,
            })
    }

    /// Notes what of an object that has a place must not be in other parts of the result.
    pub(super) fn mark_seen(&self, place: usize, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
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

    pub(super) fn use_now(&mut self, place: usize) {
        let Some(known) = &mut self.places[place] else { return };
        known.used = self.now;
        let parts: Vec<usize> = match &known.was {
            Was::Walked(_, parts) => parts.iter().map(|(part, _)| *part).collect(),
            _ => return,
        };
        parts.into_iter().for_each(|part| self.use_now(part));
    }

    pub(super) fn is_what_it_was(&self, value: &Bound<'_, PyAny>, place: usize, room: &mut dyn Room) -> bool {
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
                            Reference::Strong(object) => Some(object.bind(value.py()).clone()),
                            Reference::Weak(weak) => weak.bind(value.py()).upgrade(),
                        };
                        object.is_some_and(|object| self.is_what_it_was(&object, *part, room))
                    })
            }
            Was::Sent(sent, depth) => matches!(same_or_new(value, sent, *depth, room), Ok(Now::Same)),
        }
    }

    pub(super) fn place_of(&self, value: &Bound<'_, PyAny>) -> Option<usize> {
        let address = value.as_ptr() as usize;
        let place = self.addresses.iter().position(|known| *known == address)?;
        self.places[place].as_ref().is_some_and(|known| known.is(value)).then_some(place)
    }

    /// The place that an object had in the scope before, if the parent has its pickle and it is what it was.
    pub(super) fn place_before(&mut self, value: &Bound<'_, PyAny>) -> Option<usize> {
        let place = self.before.iter().position(|known| known.as_ref().is_some_and(|known| known.is(value)))?;
        let holds = |snapshot: &Snapshot| snapshot.holds(value.py());
        let known = self.before[place].as_ref()?;
        matches!(&known.was, Was::Walked(snapshot, parts) if parts.is_empty() && holds(snapshot)).then_some(place)
    }

    /// Gives an object a place: a free one, or that of what was not used for longest.
    pub(super) fn place(
        &mut self,
        value: &Bound<'_, PyAny>,
        was: Was,
        bytes: usize,
        encoding: &mut Encoding<'_, '_>,
    ) -> usize {
        let weak = match &was {
            Was::Sent(..) => PyWeakrefReference::new(value).ok(),
            _ => None,
        };
        let object =
            weak.map_or_else(|| Reference::Strong(value.clone().unbind()), |weak| Reference::Weak(weak.unbind()));
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
        let known = KnownObject { address, object, was, bytes, used, is_memory, is_pickled, came_again, serial };
        self.places[place] = Some(known);
        place
    }

    /// The place that was not used since the result `before` was encoded, and for longest.
    pub(super) fn oldest(&self, before: u64) -> Option<usize> {
        let used = |place: &usize| self.places[*place].as_ref().map_or(u64::MAX, |known| known.used);
        (0..PLACES).filter(|place| used(place) < before).min_by_key(used)
    }

    pub(super) fn forget(&mut self, place: usize) {
        let Some(known) = self.places[place].take().or_else(|| self.before[place].take()) else { return };
        self.addresses[place] = 0;
        self.bytes -= known.bytes;
        self.forgotten |= 1 << place;
        drop(known);
    }

    /// Forgets those places that were given from the object `first` on.
    pub(super) fn forget_all(&mut self, places: &[usize], first: u64) {
        for place in places {
            if self.places[*place].as_ref().is_some_and(|known| known.serial > first) {
                self.forget(*place);
            }
        }
    }

    /// Notes that an object which has a place came again.
    pub(super) fn comes_again(&mut self, place: usize) {
        self.again = self.again.saturating_add(1);
        if let Some(known) = &mut self.places[place] {
            known.came_again = true;
        }
        self.use_now(place);
    }
}
