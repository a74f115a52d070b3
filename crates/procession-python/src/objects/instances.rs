//! Instances of classes whose pickles can be read off: the class and the attributes, or what a harmless reducer says.
//!
//! A pickle names the class by its module and its name, which are looked up on both sides; that takes longer than all the rest
//! of a small instance. In results that share what they can, the class is sent once.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyList, PyModule, PyString, PyTuple, PyType};
use rustc_hash::FxHashMap;

use crate::objects::entries::entries_of;
use crate::objects::forms::{Base, InstanceForm, form_of, slots_of};
use crate::objects::naming::is_named;
use crate::objects::rebuilt::new_object;
use crate::objects::reducers::{Answer, has_new_reducer, has_reducer, note_answer};
use crate::objects::small;
use crate::objects::unsettled::{begin_moment, is_settled};

/// The most items of a tuple, list or dict that is not pickled.
pub(crate) const TUPLE_ITEMS: usize = 16;
/// The most classes that are remembered.
const MOST: usize = 256;
/// The protocol that reducers are asked for.
const PROTOCOL: u8 = 5;
/// The protocol of the pickles of small arrays, which offer no buffers with it.
const SMALL_PROTOCOL: u8 = 4;
/// After so many instances of a class that had to be pickled after all no more are asked.
const MISFITS: u32 = 8;

/// What an instance is made of.
pub(crate) enum InstanceParts<'py> {
    /// A tuple of the class and the names of the attributes, or of the class, None and those of slots, which stays the same for
    /// all with these names; and the values.
    Attributes(Bound<'py, PyTuple>, Vec<Bound<'py, PyAny>>),
    /// The class and the fields.
    Fields(Bound<'py, PyType>, Bound<'py, PyTuple>),
    /// What the reducer says.
    Reduced(Reduction<'py>),
}

/// What a reducer says.
pub(crate) struct Reduction<'py> {
    /// A class, or a function that has a name.
    pub callable: Bound<'py, PyAny>,
    pub arguments: Bound<'py, PyTuple>,
    pub state: Option<Bound<'py, PyAny>>,
    /// The items that the object is extended by, and the keys and values that are set, one behind the other.
    pub items: Option<Bound<'py, PyList>>,
    pub entries: Option<Bound<'py, PyList>>,
}

/// The classes of objects that came, and how their instances are pickled.
#[derive(Default)]
pub(crate) struct Classes(FxHashMap<usize, KnownClass>);

struct KnownClass {
    /// Held, so that no other class gets its address.
    _class: Py<PyType>,
    form: InstanceForm,
    /// Whether its reducer, if there is one, changes nothing.
    is_settled: bool,
    /// Whether instances of a derived class may have attributes.
    has_dict: bool,
    /// The class and the names of the attributes of the instance that came last; of a derived class the arguments of its objects.
    names: Option<Py<PyTuple>>,
    /// The callable that made the instance that came last; the names of a type of records, or of slots.
    callable: Option<Py<PyAny>>,
    /// How many instances had to be pickled after all.
    misfits: u32,
    /// The type of arrays that came last, if others that are equal to it may go as it; or that of records.
    last: Option<Py<PyAny>>,
}

impl Classes {
    /// The attributes of an instance that has nothing else; none if it is pickled in another way.
    pub(crate) fn attributes<'py>(&mut self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
        let class = value.get_type();
        if self.known(&class).form != InstanceForm::Attributes || has_reducer(&class) {
            return None;
        }
        value.getattr(intern!(value.py(), "__dict__")).ok()?.cast_into_exact::<PyDict>().ok()
    }

    /// The fields of a named tuple.
    pub(crate) fn fields<'py>(&mut self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
        let tuple = value.cast::<PyTuple>().ok()?;
        let class = value.get_type();
        (self.known(&class).form == InstanceForm::Fields && !has_reducer(&class)).then(|| tuple.clone())
    }

    /// Whether an object is a member of an enumeration, a time zone or another constant.
    pub(crate) fn is_member(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let class = value.get_type();
        self.known(&class).form == InstanceForm::Member && !has_new_reducer(&class)
    }

    /// The object that goes for a member: one that came before, for those types of numpy's arrays of which each array has a
    /// new one.
    pub(crate) fn canonical<'py>(&mut self, member: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, class) = (member.py(), member.get_type());
        let known = self.known(&class);
        if known.last.as_ref().is_some_and(|last| last.is(member)) || !is_made_anew(member, &class)? {
            return Ok(member.clone());
        }
        if let Some(last) = &known.last
            && last.bind(py).eq(member)?
        {
            return Ok(last.bind(py).clone());
        }
        let before = known.last.replace(member.clone().unbind());
        drop(before);
        Ok(member.clone())
    }

    /// Whether a type of records came before and was not given other names since; none if an object is none, or has others in it.
    pub(crate) fn has_same_names(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
        let (py, class) = (value.py(), value.get_type());
        let known = self.known(&class);
        if known.form != InstanceForm::Records || has_reducer(&class) {
            return Ok(None);
        }
        let names = value.getattr(intern!(py, "names"))?;
        let is_last = |last: &Option<Py<PyAny>>, one: &Bound<'_, PyAny>| last.as_ref().is_some_and(|last| last.is(one));
        if is_last(&known.last, value) && is_last(&known.callable, &names) {
            return Ok(Some(true));
        }
        if !is_flat(value)? {
            return Ok(None);
        }
        let before = (known.last.replace(value.clone().unbind()), known.callable.replace(names.unbind()));
        drop(before);
        Ok(Some(false))
    }

    /// What an instance is made of; none if it is to be pickled. Its reducer may be asked if `asks`.
    pub(crate) fn parts<'py>(&mut self, value: &Bound<'py, PyAny>, asks: bool) -> PyResult<Option<InstanceParts<'py>>> {
        let class = value.get_type();
        let form = self.known(&class).form;
        if form == InstanceForm::Other || has_reducer(&class) {
            return Ok(None);
        }
        Ok(match form {
            InstanceForm::Attributes => {
                let attributes = value.getattr(intern!(value.py(), "__dict__"));
                let attributes = attributes.ok().and_then(|found| found.cast_into_exact::<PyDict>().ok());
                attributes.filter(|attributes| attributes.len() <= TUPLE_ITEMS).and_then(|attributes| {
                    let (names, values): (Vec<_>, Vec<_>) = entries_of(&attributes).into_iter().unzip();
                    Some(InstanceParts::Attributes(self.names(&class, &names, 1)?, values))
                })
            }
            InstanceForm::Derived(base) if asks => self.derived(value, &class, base)?.map(InstanceParts::Reduced),
            InstanceForm::Slots if asks => self.slots(value, &class)?,
            InstanceForm::Fields => {
                let fields = value.cast::<PyTuple>()?;
                (fields.len() <= TUPLE_ITEMS).then(|| InstanceParts::Fields(class, fields.clone()))
            }
            InstanceForm::Reduced | InstanceForm::Asked => {
                if !asks && form == InstanceForm::Asked {
                    return Ok(None);
                }
                let is_harmless = self.known(&class).is_settled;
                // The pickler says what fails, and where.
                let Ok(said) = value.call_method1(intern!(value.py(), "__reduce_ex__"), (PROTOCOL,)) else {
                    return Ok(None);
                };
                let parts = self.reduction(&class, &said, value.cast::<PyDict>().map_or(0, |dict| dict.len()))?;
                if !is_harmless {
                    begin_moment();
                    // Its iterators have run through.
                    let ran = parts.as_ref().filter(|parts| parts.items.is_some() || parts.entries.is_some());
                    note_answer(value, ran.map_or_else(|| Answer::Said(said.unbind()), Reduction::answer));
                }
                parts.map(InstanceParts::Reduced)
            }
            InstanceForm::Small(kind) if asks => small_parts(value, class, kind)?.map(InstanceParts::Reduced),
            InstanceForm::Small(_) | InstanceForm::Derived(_) | InstanceForm::Slots => None,
            InstanceForm::Member | InstanceForm::Records | InstanceForm::Other => None,
        })
    }

    /// An instance has been asked, and had to be pickled after all, because of its parts.
    pub(crate) fn note_misfit(&mut self, value: &Bound<'_, PyAny>) {
        let known = self.known(&value.get_type());
        if matches!(
            known.form,
            InstanceForm::Asked | InstanceForm::Small(_) | InstanceForm::Derived(_) | InstanceForm::Slots
        ) {
            known.misfits += 3; // one that fits takes one back
            if known.misfits > MISFITS {
                known.form = InstanceForm::Other;
            }
        }
    }

    /// What a reducer has said of an object with so many entries, if it is a dict; none if that does not go part by part.
    fn reduction<'py>(
        &mut self,
        class: &Bound<'py, PyType>,
        said: &Bound<'py, PyAny>,
        entries: usize,
    ) -> PyResult<Option<Reduction<'py>>> {
        let callable = said.cast_exact::<PyTuple>().ok().and_then(|said| said.get_item(0).ok());
        let last = self.known(class).callable.as_ref().map(|last| last.bind(said.py()).clone());
        let fits = match (&callable, last) {
            (Some(callable), Some(last)) if callable.is(&last) => true,
            (Some(callable), _) => callable.is_instance_of::<PyType>() || has_name(callable)?,
            (None, _) => false,
        };
        // Looked at last, as it runs iterators through.
        let read = if fits { read(said, entries)? } else { None };
        let known = self.known(class);
        if read.is_some() {
            known.misfits = known.misfits.saturating_sub(1);
            let before = std::mem::replace(&mut known.callable, callable.map(Bound::unbind));
            drop(before);
            return Ok(read);
        }
        known.misfits += 1;
        if known.misfits > MISFITS {
            known.form = InstanceForm::Other;
        }
        Ok(None)
    }

    /// What the reducer of every object says of one that is derived from a dict or a list, which needs no reducer for that; none if
    /// it is to be pickled.
    fn derived<'py>(
        &mut self,
        value: &Bound<'py, PyAny>,
        class: &Bound<'py, PyType>,
        base: Base,
    ) -> PyResult<Option<Reduction<'py>>> {
        let py = value.py();
        // What the dict or the list has, whatever the class says of that.
        let count = match base {
            Base::Dict => value.cast::<PyDict>()?.len(),
            Base::List => value.cast::<PyList>()?.len(),
        };
        if count > TUPLE_ITEMS {
            return Ok(None);
        }
        let known = self.known(class);
        let mut state = None;
        if known.has_dict {
            let found = value.getattr(intern!(py, "__dict__")).ok();
            // What a class says itself of its attributes is not what is pickled.
            let Some(attributes) = found.and_then(|found| found.cast_into_exact::<PyDict>().ok()) else {
                return Ok(None);
            };
            state = Some(attributes).filter(|attributes| !attributes.is_empty());
        }
        // An attribute of this name would be called for the entries of the dict.
        if state.as_ref().is_some_and(|state| state.contains(intern!(py, "items")).unwrap_or(true)) {
            return Ok(None);
        }
        let arguments = match &known.names {
            Some(arguments) => arguments.bind(py).clone(),
            None => {
                let arguments = PyTuple::new(py, [class])?;
                known.names = Some(arguments.clone().unbind());
                arguments
            }
        };
        known.misfits = known.misfits.saturating_sub(1);
        let (mut items, mut entries) = (None, None);
        match base {
            Base::Dict => {
                let pairs = entries_of(value.cast::<PyDict>()?).into_iter();
                entries = Some(PyList::new(py, pairs.flat_map(|(key, item)| [key, item]).collect::<Vec<_>>())?);
            }
            Base::List => items = Some(PyList::new(py, value.cast::<PyList>()?.iter().collect::<Vec<_>>())?),
        }
        let state = state.map(Bound::into_any);
        Ok(Some(Reduction { callable: new_object(py)?.clone(), arguments, state, items, entries }))
    }

    /// The slots of an instance that have a value; none if it is to be pickled.
    fn slots<'py>(
        &mut self,
        value: &Bound<'py, PyAny>,
        class: &Bound<'py, PyType>,
    ) -> PyResult<Option<InstanceParts<'py>>> {
        let known = self.known(class);
        let names = match &known.callable {
            Some(names) => names.bind(class.py()).clone().cast_into::<PyList>()?,
            None => {
                let names = slots_of(class)?;
                known.callable = Some(names.clone().into_any().unbind());
                names
            }
        };
        if names.len() > TUPLE_ITEMS {
            return Ok(None);
        }
        let (mut given, mut values) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
        for name in names.iter() {
            let name = name.cast_into::<PyString>()?;
            // One that was never set is missed.
            if let Ok(found) = value.getattr(&name) {
                given.push(name.into_any());
                values.push(found);
            }
        }
        self.known(class).misfits = self.known(class).misfits.saturating_sub(1);
        Ok(self.names(class, &given, 2).map(|names| InstanceParts::Attributes(names, values)))
    }

    /// The tuple of a class and these names, which stand from its place `first` on.
    fn names<'py>(
        &mut self,
        class: &Bound<'py, PyType>,
        names: &[Bound<'py, PyAny>],
        first: usize,
    ) -> Option<Bound<'py, PyTuple>> {
        let py = class.py();
        let known = self.known(class);
        if let Some(last) = &known.names {
            let last = last.bind(py);
            if last.len() == names.len() + first
                && names.iter().zip(last.iter_borrowed().skip(first)).all(|(name, last)| name.is(&*last))
            {
                return Some(last.clone());
            }
        }
        if !names.iter().all(|name| name.is_exact_instance_of::<PyString>()) {
            return None;
        }
        let none = std::iter::repeat_n(py.None().into_bound(py), first - 1);
        let all = std::iter::once(class.as_any().clone()).chain(none).chain(names.iter().cloned()).collect::<Vec<_>>();
        let made = PyTuple::new(py, all).ok()?;
        let before = known.names.replace(made.clone().unbind());
        drop(before);
        Some(made)
    }

    fn known(&mut self, class: &Bound<'_, PyType>) -> &mut KnownClass {
        let address = class.as_ptr() as usize;
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            self.0.clear();
        }
        let known = self.0.entry(address);
        known.or_insert_with(|| {
            let form = form_of(class).unwrap_or(InstanceForm::Other);
            KnownClass {
                _class: class.clone().unbind(),
                form,
                has_dict: class.getattr(intern!(class.py(), "__dictoffset__")).is_ok_and(|at| at.ne(0).unwrap_or(true)),
                is_settled: form == InstanceForm::Reduced || form == InstanceForm::Asked && is_settled(class),
                names: None,
                callable: None,
                misfits: 0,
                last: None,
            }
        })
    }
}

impl Reduction<'_> {
    /// The reduction as the pickler wants it, made when it does.
    fn answer(&self) -> Answer {
        let (callable, arguments) = (self.callable.clone().unbind(), self.arguments.clone().unbind());
        let unbound = |list: &Option<Bound<'_, PyList>>| list.clone().map(Bound::unbind);
        let state = self.state.clone().map(Bound::unbind);
        let (items, entries) = (unbound(&self.items), unbound(&self.entries));
        Answer::Read(Box::new(move |py| {
            let items = items.as_ref().map(|items| items.bind(py).try_iter()).transpose()?;
            let pairs = entries.as_ref().map(|entries| -> PyResult<_> {
                let all: Vec<_> = entries.bind(py).iter().collect();
                let pairs = all.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
                PyList::new(py, pairs)?.try_iter()
            });
            let said = (&callable, &arguments, &state, items, pairs.transpose()?);
            Ok(said.into_pyobject(py)?.into_any().unbind())
        }))
    }
}

/// Whether an object is a type of arrays that is as good as any equal one.
fn is_made_anew(member: &Bound<'_, PyAny>, class: &Bound<'_, PyType>) -> PyResult<bool> {
    let name = class.name()?;
    let is_one = matches!(name.to_str()?, "DateTime64DType" | "TimeDelta64DType" | "StrDType" | "BytesDType");
    Ok(is_one && member.getattr_opt(intern!(member.py(), "metadata"))?.is_some_and(|metadata| metadata.is_none()))
}

/// Whether no item of a type of records is records itself, which may be given other names by themselves.
fn is_flat(records: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = records.py();
    let fields = records.getattr(intern!(py, "fields"))?;
    if fields.is_none() {
        return Ok(records.getattr(intern!(py, "subdtype"))?.is_none());
    }
    for field in fields.call_method0(intern!(py, "values"))?.try_iter()? {
        if field?.get_item(0)?.get_type().is(records.get_type()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the reducer of a small array says; none if it is to be pickled.
fn small_parts<'py>(
    value: &Bound<'py, PyAny>,
    class: Bound<'py, PyType>,
    kind: small::Kind,
) -> PyResult<Option<Reduction<'py>>> {
    let py = value.py();
    // Those of numbers have a code.
    if kind == small::Kind::Array && small::has_numbers(value)? || !small::is_small(value, kind)? {
        return Ok(None);
    }
    // The pickler says what fails, and where.
    let Ok(said) = value.call_method1(intern!(py, "__reduce_ex__"), (SMALL_PROTOCOL,)) else { return Ok(None) };
    let Some(read) = read(&said, 0)? else { return Ok(None) };
    if kind != small::Kind::Array {
        return Ok(Some(read));
    }
    // Any array that is given its state will do, and its class is found without looking for a function first.
    let arguments = PyTuple::new(py, [PyTuple::new(py, [0])?])?;
    Ok(Some(Reduction { callable: class.into_any(), arguments, ..read }))
}

/// What a reducer has said, its iterators run through; none, and nothing run, if it is of another kind or large. An iterator of
/// the entries of a dict may not say how many they are.
fn read<'py>(said: &Bound<'py, PyAny>, entries: usize) -> PyResult<Option<Reduction<'py>>> {
    let Ok(parts) = said.cast_exact::<PyTuple>() else { return Ok(None) };
    if !(2..=5).contains(&parts.len()) {
        return Ok(None);
    }
    // Without an index beyond the end, each of which would make an exception.
    let part = |at: usize| parts.iter_borrowed().nth(at).filter(|part| !part.is_none()).map(|part| part.to_owned());
    let Some(Ok(arguments)) = part(1).map(Bound::cast_into_exact::<PyTuple>) else { return Ok(None) };
    let Some(callable) = part(0) else { return Ok(None) };
    let is_long = || match (part(3), part(4)) {
        (None, None) => false,
        (None, Some(_)) if entries > 0 => entries > TUPLE_ITEMS,
        (items, entries) => items.iter().chain(&entries).any(is_long),
    };
    if arguments.len() > TUPLE_ITEMS || is_long() {
        return Ok(None);
    }
    let all = |at: usize| part(at).map(|all| all.try_iter()?.collect::<PyResult<Vec<_>>>()).transpose();
    let py = said.py();
    let items = all(3)?.map(|items| PyList::new(py, items)).transpose()?;
    let entries = all(4)?.map(|pairs| -> PyResult<_> {
        let entries = PyList::empty(py);
        for pair in pairs {
            let (key, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            entries.append(key)?;
            entries.append(value)?;
        }
        Ok(entries)
    });
    Ok(Some(Reduction { callable, arguments, state: part(2), items, entries: entries.transpose()? }))
}

/// Whether an iterator does not say that it has few items.
fn is_long(all: &Bound<'_, PyAny>) -> bool {
    let left = all.call_method0(intern!(all.py(), "__length_hint__")).and_then(|left| left.extract::<usize>());
    left.map_or(true, |left| left > TUPLE_ITEMS)
}

/// Whether an object is a class or a function that others find by its name.
pub(crate) fn has_name(callable: &Bound<'_, PyAny>) -> PyResult<bool> {
    let class = callable.get_type();
    Ok(may_have_name(callable) && !has_reducer(&class) && is_named(callable)?)
}

/// Whether an object is a class or a function.
pub(crate) fn may_have_name(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyType>() || object.is_exact_instance_of::<PyFunction>() || is_function_of_a_module(object)
}

fn is_function_of_a_module(callable: &Bound<'_, PyAny>) -> bool {
    let of =
        callable.is_exact_instance_of::<PyCFunction>().then(|| callable.getattr(intern!(callable.py(), "__self__")));
    of.is_some_and(|of| of.is_ok_and(|of| of.is_instance_of::<PyModule>()))
}

/// Whether an instance is of the class and has the attributes that it had.
pub(crate) fn has_exactly(instance: &Bound<'_, PyAny>, children: &[Py<PyAny>]) -> bool {
    let [class, attributes] = children else { return false };
    !instance.is_exact_instance_of::<PyDict>()
        && !instance.is_exact_instance_of::<PyList>()
        && instance.get_type().is(class)
        && instance.getattr(intern!(instance.py(), "__dict__")).is_ok_and(|now| now.is(attributes))
}
