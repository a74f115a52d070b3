//! A result, part by part: what has a place is named, what may come again gets one.
//!
//! A long file: the steps of one encoding, which share its state.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PySet, PyTuple, PyType};

use super::kinds::{is_container, is_memory, is_number, is_passing};
use super::known::{KnownObject, Was};
use super::{Sent, WORTH, WORTH_IN_A_ROW};
use crate::in_common::snapshot::{Snapshot, is_atom};
use crate::memory::place::{Room, Spot};
use crate::objects::entries::{entries_of, has_entries};
use crate::objects::instances::TUPLE_ITEMS;
use crate::objects::instances::{InstanceParts, Reduction, has_name, may_have_name};
use crate::values::{self, DEPTH, SeenValues};

/// Memory that encoding needs, kept for the next result.
#[derive(Default)]
pub(super) struct Scratch {
    /// The places of the result's parts, but for those of classes and of the parts of parts that have a place.
    pub(super) places: Vec<usize>,
    /// The places that it gives.
    pub(super) given: Vec<usize>,
    /// The places of classes.
    pub(super) classes: Vec<usize>,
}

/// What becomes of a result as it is encoded.
pub(super) struct Encoding<'a, 'b> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) room: &'a mut (dyn Room + 'b),
    pub(super) seen: SeenValues,
    pub(super) scratch: Scratch,
    /// Whether objects get places; if not, classes do.
    pub(super) gives: bool,
    /// Whether what is encoded now, and all that it is a part of, goes as soon as it is sent: it cannot come again.
    pub(super) passing: bool,
    /// Parts that are pickled and may have parts in common with others.
    pub(super) opaque: usize,
    /// Whether nothing beside one part of the result can change.
    pub(super) alone: bool,
    /// Lists and dicts that have parts.
    pub(super) open: usize,
    /// Objects get places from this number on.
    pub(super) first: u64,
}

/// Why a result is not encoded part by part.
pub(super) enum Trouble {
    /// Its parts may have parts in common.
    Entangled,
    Failed(PyErr),
}

/// Whether parts are few still: a thread of the task may have added some since they were counted.
fn few(parts: usize) -> Result<(), Trouble> {
    if parts > TUPLE_ITEMS { Err(Trouble::Entangled) } else { Ok(()) }
}

impl From<PyErr> for Trouble {
    fn from(error: PyErr) -> Trouble {
        Trouble::Failed(error)
    }
}

impl<'a, 'b> Encoding<'a, 'b> {
    pub(super) fn new(
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
            seen: SeenValues::default(),
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
    pub(super) fn add_opaque(&mut self) -> Result<(), Trouble> {
        if !self.alone || self.opaque > 0 || self.open > 0 || self.seen.count() > 0 {
            return Err(Trouble::Entangled);
        }
        self.opaque += 1;
        Ok(())
    }
}

impl Sent {
    /// A result.
    pub(super) fn top(&mut self, value: &Bound<'_, PyAny>, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
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
    pub(super) fn alone(&mut self, value: &Bound<'_, PyAny>, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        if encoding.gives && !value.is_exact_instance_of::<PyInt>() && is_passing(value, 1) {
            self.given = self.given.saturating_add(1);
            return Ok(values::encode_deep(value, encoding.out, encoding.room, DEPTH)?);
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
        if self.classes.is_member(value) {
            let member = self.classes.canonical(value)?;
            self.class(&member, encoding)?;
            return Ok(true);
        }
        if let Some(is_same) = self.classes.has_same_names(value)? {
            if let Some(place) = self.place_of(value).filter(|_| !is_same) {
                self.forget(place);
            }
            self.class(value, encoding)?;
            return Ok(true);
        }
        if may_have_name(value) && (self.place_of(value).is_some() || has_name(value)?) {
            self.class(value, encoding)?;
            return Ok(true);
        }
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
            values::begin_kept(0, encoding.out);
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
        // An object that may come again is one in the pickle, too, as far as that tells.
        let asks = encoding.passing || !encoding.gives;
        let Some(parts) = self.classes.parts(value, asks)? else { return Ok(None) };
        if !matches!(parts, InstanceParts::Fields(..)) && !encoding.seen.is_new(value) {
            return Err(Trouble::Entangled);
        }
        match parts {
            InstanceParts::Attributes(names, values) => {
                encoding.open += 1;
                values::begin_instance(values.len(), encoding.out);
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
            InstanceParts::Fields(class, fields) => {
                values::begin_fields(fields.len(), encoding.out);
                self.class(class.as_any(), encoding)?;
                fields.iter_borrowed().try_for_each(|field| self.part(&field, encoding, depth + 1, 1))?;
            }
            InstanceParts::Reduced(said) => self.reduced(&said, encoding, depth)?,
        }
        Ok(Some(true))
    }

    /// What a reducer says of an instance.
    fn reduced(&mut self, said: &Reduction<'_>, encoding: &mut Encoding<'_, '_>, depth: usize) -> Result<(), Trouble> {
        let count = said.arguments.len();
        let has_more = said.items.is_some() || said.entries.is_some();
        if has_more && depth + 1 >= DEPTH {
            return Err(Trouble::Entangled);
        }
        if has_more {
            values::begin_reduced_more(count, encoding.out);
        } else {
            values::begin_reduced(count, encoding.out);
        }
        self.class(&said.callable, encoding)?;
        for argument in said.arguments.iter_borrowed() {
            if argument.is_instance_of::<PyType>() {
                self.class(&argument, encoding)?;
            } else {
                self.part(&argument, encoding, depth + 1, 1)?;
            }
        }
        encoding.open += usize::from(said.state.is_some() || has_more);
        let none = said.callable.py().None().into_bound(said.callable.py());
        match &said.state {
            // The state goes with the instance, whoever else refers to it.
            Some(state) if is_container(state, depth + 1) && (encoding.passing || !encoding.gives) => {
                self.container(state, encoding, depth + 1)?;
            }
            state => self.part(state.as_ref().unwrap_or(&none), encoding, depth + 1, 1)?,
        }
        for list in [&said.items, &said.entries].into_iter().filter(|_| has_more) {
            match list {
                None => self.part(&none, encoding, depth + 1, 1)?,
                Some(list) => {
                    values::begin_list(list.len(), encoding.out);
                    list.iter().try_for_each(|item| self.part(&item, encoding, depth + 2, 2))?;
                }
            }
        }
        Ok(())
    }

    /// A class, a function, or a tuple of a class and names: what is pickled by its name and stays as it is.
    fn class(&mut self, value: &Bound<'_, PyAny>, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        let place = match self.place_of(value) {
            Some(place) => {
                values::encode_again(place as u8, encoding.out);
                self.use_now(place);
                place
            }
            None => {
                let start = encoding.out.len();
                values::begin_kept(0, encoding.out);
                values::encode_deep(value, encoding.out, encoding.room, DEPTH)?;
                let bytes = encoding.out.len() - start;
                let place = self.place(value, Was::Lasting, bytes, encoding);
                encoding.out[start + 1] = place as u8;
                place
            }
        };
        encoding.scratch.classes.push(place);
        Ok(())
    }

    /// A result, or a part of it, that is pickled, or copied, as one; it may come again at any depth.
    fn whole(&mut self, value: &Bound<'_, PyAny>, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        if values::encode_large_int(value, encoding.out)? {
            return Ok(());
        }
        if !encoding.gives {
            if !(is_atom(value) || is_memory(value) && encoding.seen.is_new(value)) {
                return Err(Trouble::Entangled);
            }
            return Ok(values::encode_deep(value, encoding.out, encoding.room, DEPTH)?);
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
        values::begin_kept(0, encoding.out);
        values::encode_deep(value, encoding.out, encoding.room, DEPTH)?;
        self.given = self.given.saturating_add(1);
        let sent = &encoding.out[start + 2..];
        let bytes = sent.len() + values::spots_of(sent).iter().map(Spot::size).sum::<u64>() as usize;
        let was = if is_atom {
            let least = if self.in_a_row == value.as_ptr() as usize { WORTH_IN_A_ROW } else { WORTH };
            if bytes < least {
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
            known.is_pickled = values::keep_pickle(start, encoding.out);
        }
        Ok(())
    }

    /// The object that had that place: the parent rebuilds it from the pickle that it has.
    fn remade(&mut self, place: usize, encoding: &mut Encoding<'_, '_>) -> Result<(), Trouble> {
        let Some(known) = self.before[place].take() else { return Err(Trouble::Entangled) };
        self.serial += 1;
        self.addresses[place] = known.address;
        self.places[place] = Some(KnownObject { used: self.now, came_again: false, serial: self.serial, ..known });
        encoding.scratch.given.push(place);
        self.mark_seen(place, encoding)?;
        values::encode_remade(place as u8, encoding.out);
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
            values::begin_tuple(tuple.len(), encoding.out);
            tuple.iter_borrowed().try_for_each(|item| self.part(&item, encoding, depth + 1, 1))?;
            return Ok(true);
        }
        if !encoding.seen.is_new(value) {
            return Err(Trouble::Entangled);
        }
        encoding.open += 1;
        if let Ok(list) = value.cast_exact::<PyList>() {
            let items: Vec<_> = list.iter().collect();
            few(items.len())?;
            values::begin_list(items.len(), encoding.out);
            items.iter().try_for_each(|item| self.part(item, encoding, depth + 1, 2))?;
            return Ok(list.len() == items.len() && list.iter().zip(&items).all(|(item, was)| item.is(was)));
        }
        let dict = value.cast_exact::<PyDict>().map_err(PyErr::from)?;
        let entries = entries_of(dict);
        few(entries.len())?;
        values::begin_dict(entries.len(), encoding.out);
        entries.iter().try_for_each(|(key, item)| {
            self.part(key, encoding, depth + 1, 2)?;
            self.part(item, encoding, depth + 1, 2)
        })?;
        Ok(has_entries(dict, &entries))
    }

    /// A part of the result, to which so many references are known.
    fn part(
        &mut self,
        value: &Bound<'_, PyAny>,
        encoding: &mut Encoding<'_, '_>,
        depth: usize,
        references: isize,
    ) -> Result<(), Trouble> {
        let may_have_place =
            is_container(value, depth) || encoding.gives && (is_memory(value) || value.is_exact_instance_of::<PySet>());
        if !may_have_place && values::encode_at(value, encoding.out, depth, &mut encoding.seen)
            || self.again(value, encoding, depth)?
            || self.open(value, encoding, depth, references)?
        {
            return Ok(());
        }
        self.whole(value, encoding)
    }
}
