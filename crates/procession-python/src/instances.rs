//! Instances of classes whose pickles can be read off: the class and the attributes, or what a harmless reducer says.
//!
//! A pickle names the class by its module and its name, which are looked up on both sides; that takes longer than all the rest
//! of a small instance. In results that share what they can, the class is sent once.

use pyo3::exceptions::{PyBaseException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyCFunction, PyDict, PyFloat, PyFrozenSet, PyFunction, PyInt, PyList, PyModule,
    PySet, PyString, PyTuple, PyType,
};
use rustc_hash::FxHashMap;

use crate::entries::entries_of;
use crate::naming::is_named;
use crate::numeric::loaded_module;
use crate::reducers::{has_reducer, is_asked_alone, note_answer};
use crate::values::TUPLE_ITEMS;

/// The most classes that are remembered.
const MOST: usize = 256;
/// Of the pickles that reducers are asked for.
const PROTOCOL: u8 = 5;
/// After so many instances of a class that had to be pickled after all no more are asked.
const MISFITS: u32 = 8;

/// How instances of a class are pickled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As every object by default, with a dict of its attributes and nothing else.
    Attributes,
    /// As a named tuple, by its fields.
    Fields,
    /// By a reducer that can be asked any time, as it changes nothing.
    Reduced,
    /// By a reducer that is asked once, as it may do more than answer: what it says goes to the pickler if need be.
    Asked,
    /// As one of few objects of its class, which stay as they are and are wanted again and again.
    Member,
    /// In another way.
    Other,
}

/// What an instance is made of.
pub(crate) enum Parts<'py> {
    /// A tuple of the class and the names of the attributes, which stays the same for all with these names, and the values.
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
    /// What the object is extended by, and keys and values that are set, one behind the other.
    pub items: Option<Bound<'py, PyList>>,
    pub entries: Option<Bound<'py, PyList>>,
}

/// The classes of objects that came, and how their instances are pickled.
#[derive(Default)]
pub(crate) struct Classes(FxHashMap<usize, Known>);

struct Known {
    /// Held, so that no other class gets its address.
    _class: Py<PyType>,
    form: Form,
    /// The class and the names of the attributes of the instance that came last.
    names: Option<Py<PyTuple>>,
    /// What was called last to make an instance.
    callable: Option<Py<PyAny>>,
    /// How many instances had to be pickled after all.
    misfits: u32,
}

impl Classes {
    /// The attributes of an instance that has nothing else; none if it is pickled in another way.
    pub(crate) fn attributes<'py>(&mut self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
        let class = value.get_type();
        if self.known(&class).form != Form::Attributes || has_reducer(&class) {
            return None;
        }
        value.getattr(intern!(value.py(), "__dict__")).ok()?.cast_into_exact::<PyDict>().ok()
    }

    /// The fields of a named tuple.
    pub(crate) fn fields<'py>(&mut self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
        let tuple = value.cast::<PyTuple>().ok()?;
        let class = value.get_type();
        (self.known(&class).form == Form::Fields && !has_reducer(&class)).then(|| tuple.clone())
    }

    /// Whether an object is a member of an enumeration, or a time zone.
    pub(crate) fn is_member(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let class = value.get_type();
        self.known(&class).form == Form::Member && !has_reducer(&class)
    }

    /// What an instance is made of; none if it is to be pickled. Its reducer may be asked if `asks`.
    pub(crate) fn parts<'py>(&mut self, value: &Bound<'py, PyAny>, asks: bool) -> PyResult<Option<Parts<'py>>> {
        let class = value.get_type();
        let form = self.known(&class).form;
        if form == Form::Other || has_reducer(&class) {
            return Ok(None);
        }
        Ok(match form {
            Form::Attributes => {
                let attributes = value.getattr(intern!(value.py(), "__dict__"));
                let attributes = attributes.ok().and_then(|found| found.cast_into_exact::<PyDict>().ok());
                attributes.filter(|attributes| attributes.len() <= TUPLE_ITEMS).and_then(|attributes| {
                    let (names, values): (Vec<_>, Vec<_>) = entries_of(&attributes).into_iter().unzip();
                    Some(Parts::Attributes(self.names(&class, &names)?, values))
                })
            }
            Form::Fields => {
                let fields = value.cast::<PyTuple>()?;
                (fields.len() <= TUPLE_ITEMS).then(|| Parts::Fields(class, fields.clone()))
            }
            Form::Reduced | Form::Asked => {
                let is_harmless = form == Form::Reduced;
                if !asks && !is_harmless {
                    return Ok(None);
                }
                // Who pickles it says what fails, and where.
                let Ok(said) = value.call_method1(intern!(value.py(), "__reduce_ex__"), (PROTOCOL,)) else {
                    return Ok(None);
                };
                let parts = self.reduction(&class, &said)?;
                if !is_harmless {
                    // Its iterators have run through.
                    let ran = parts.as_ref().filter(|parts| parts.items.is_some() || parts.entries.is_some());
                    note_answer(value, ran.map_or(Ok(said), Reduction::said)?);
                }
                parts.map(Parts::Reduced)
            }
            Form::Member | Form::Other => None,
        })
    }

    /// An instance has been asked, and had to be pickled after all, because of its parts.
    pub(crate) fn note_misfit(&mut self, value: &Bound<'_, PyAny>) {
        let known = self.known(&value.get_type());
        if known.form == Form::Asked {
            known.misfits += 3; // one that fits takes one back
            if known.misfits > MISFITS {
                known.form = Form::Other;
            }
        }
    }

    /// What a reducer has said; none if that does not go part by part.
    fn reduction<'py>(
        &mut self,
        class: &Bound<'py, PyType>,
        said: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Reduction<'py>>> {
        let callable = said.cast_exact::<PyTuple>().ok().and_then(|said| said.get_item(0).ok());
        let last = self.known(class).callable.as_ref().map(|last| last.bind(said.py()).clone());
        let fits = match (&callable, last) {
            (Some(callable), Some(last)) if callable.is(&last) => true,
            (Some(callable), _) => callable.is_instance_of::<PyType>() || has_name(callable)?,
            (None, _) => false,
        };
        // Looked at last, as it runs iterators through.
        let read = if fits { read(said)? } else { None };
        let known = self.known(class);
        if read.is_some() {
            known.misfits = known.misfits.saturating_sub(1);
            let before = std::mem::replace(&mut known.callable, callable.map(Bound::unbind));
            drop(before);
            return Ok(read);
        }
        known.misfits += 1;
        if known.misfits > MISFITS {
            known.form = Form::Other;
        }
        Ok(None)
    }

    /// The tuple of a class and these names.
    fn names<'py>(&mut self, class: &Bound<'py, PyType>, names: &[Bound<'py, PyAny>]) -> Option<Bound<'py, PyTuple>> {
        let py = class.py();
        let known = self.known(class);
        if let Some(last) = &known.names {
            let last = last.bind(py);
            if last.len() == names.len() + 1
                && names.iter().zip(last.iter_borrowed().skip(1)).all(|(name, last)| name.is(&*last))
            {
                return Some(last.clone());
            }
        }
        if !names.iter().all(|name| name.is_exact_instance_of::<PyString>()) {
            return None;
        }
        let all = std::iter::once(class.as_any().clone()).chain(names.iter().cloned()).collect::<Vec<_>>();
        let made = PyTuple::new(py, all).ok()?;
        let before = known.names.replace(made.clone().unbind());
        drop(before);
        Some(made)
    }

    fn known(&mut self, class: &Bound<'_, PyType>) -> &mut Known {
        let address = class.as_ptr() as usize;
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            self.0.clear();
        }
        let known = self.0.entry(address);
        known.or_insert_with(|| Known {
            _class: class.clone().unbind(),
            form: form_of(class).unwrap_or(Form::Other),
            names: None,
            callable: None,
            misfits: 0,
        })
    }
}

fn form_of(class: &Bound<'_, PyType>) -> PyResult<Form> {
    if has_attributes(class)? {
        Ok(Form::Attributes)
    } else if has_fields(class)? {
        Ok(Form::Fields)
    } else if is_enumeration(class)? || is_zone(class)? {
        Ok(Form::Member)
    } else if is_harmless(class)? {
        Ok(Form::Reduced)
    } else if !is_pickled_at_once(class) && is_asked_alone(class)? {
        Ok(Form::Asked)
    } else {
        Ok(Form::Other)
    }
}

impl<'py> Reduction<'py> {
    /// The same as the pickler wants it.
    fn said(&self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.callable.py();
        let items = self.items.as_ref().map(|items| items.try_iter()).transpose()?;
        let pairs = self.entries.as_ref().map(|entries| -> PyResult<_> {
            let all: Vec<_> = entries.iter().collect();
            let pairs = all.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
            PyList::new(py, pairs)?.try_iter()
        });
        let said = (&self.callable, &self.arguments, &self.state, items, pairs.transpose()?);
        Ok(said.into_pyobject(py)?.into_any())
    }
}

/// What a reducer has said, its iterators run through; none, and nothing run, if it is of another kind or large.
fn read<'py>(said: &Bound<'py, PyAny>) -> PyResult<Option<Reduction<'py>>> {
    let Ok(parts) = said.cast_exact::<PyTuple>() else { return Ok(None) };
    if !(2..=5).contains(&parts.len()) {
        return Ok(None);
    }
    let part = |at: usize| parts.get_item(at).ok().filter(|part| !part.is_none());
    let Some(Ok(arguments)) = part(1).map(Bound::cast_into_exact::<PyTuple>) else { return Ok(None) };
    let Some(callable) = part(0) else { return Ok(None) };
    if arguments.len() > TUPLE_ITEMS || part(3).or_else(|| part(4)).is_some_and(|all| is_long(&all)) {
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

/// Whether the pickler has code of its own for exactly this class, or it is one of what has a name.
fn is_pickled_at_once(class: &Bound<'_, PyType>) -> bool {
    let py = class.py();
    let own = [
        py.get_type::<PyInt>(),
        py.get_type::<PyFloat>(),
        py.get_type::<PyBool>(),
        py.get_type::<PyString>(),
        py.get_type::<PyBytes>(),
        py.get_type::<PyByteArray>(),
        py.get_type::<PyTuple>(),
        py.get_type::<PyList>(),
        py.get_type::<PyDict>(),
        py.get_type::<PySet>(),
        py.get_type::<PyFrozenSet>(),
        py.get_type::<PyFunction>(),
        py.get_type::<PyCFunction>(),
    ];
    own.iter().any(|known| class.is(known))
}

/// Whether a class is an enumeration whose members are pickled by their values.
fn is_enumeration(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let Some(module) = loaded_module(py, intern!(py, "enum")) else { return Ok(false) };
    let base = module.getattr(intern!(py, "Enum"))?;
    let is_one = class.is_subclass(&base)?;
    Ok(is_one && class.getattr(intern!(py, "__reduce_ex__"))?.is(&base.getattr(intern!(py, "__reduce_ex__"))?))
}

/// Whether a class is one of time zones, which stay as they are and are what many dates have.
fn is_zone(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    for (home, name) in [(intern!(py, "datetime"), "timezone"), (intern!(py, "zoneinfo"), "ZoneInfo")] {
        if let Some(module) = loaded_module(py, home)
            && module.getattr(name)?.is(class)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives an object its items and entries, as unpickling does.
pub(crate) fn fill(object: &Bound<'_, PyAny>, items: &Bound<'_, PyAny>, entries: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    if !items.is_none() {
        if let Some(extend) = object.getattr_opt(intern!(py, "extend"))? {
            extend.call1((items,))?;
        } else {
            for item in items.cast::<PyList>()? {
                object.call_method1(intern!(py, "append"), (item,))?;
            }
        }
    }
    if !entries.is_none() {
        let entries: Vec<_> = entries.cast::<PyList>()?.iter().collect();
        for pair in entries.chunks_exact(2) {
            object.set_item(&pair[0], &pair[1])?;
        }
    }
    Ok(())
}

/// An instance of the class that `class` begins with, with the attributes that it names.
pub(crate) fn rebuild<'py>(
    class: &Bound<'py, PyTuple>,
    values: &mut dyn Iterator<Item = PyResult<Bound<'py, PyAny>>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let mut names = class.iter_borrowed();
    let class = names.next().ok_or_else(|| PyValueError::new_err("an instance arrived without its class"))?;
    let object = class.call_method1(intern!(py, "__new__"), (class,))?;
    let attributes = object.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    for (name, value) in names.zip(values) {
        attributes.set_item(name, value?)?;
    }
    Ok(object)
}

/// Gives an object its state, as unpickling does.
pub(crate) fn set_state(object: &Bound<'_, PyAny>, state: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    if let Some(set) = object.getattr_opt(intern!(py, "__setstate__"))? {
        return set.call1((state,)).map(drop);
    }
    let (attributes, slots) = match state.cast::<PyTuple>() {
        Ok(both) if both.len() == 2 => (both.get_item(0)?, Some(both.get_item(1)?)),
        _ => (state.clone(), None),
    };
    if attributes.is_truthy()? {
        let own = object.getattr(intern!(py, "__dict__"))?;
        for (name, value) in attributes.cast::<PyDict>()? {
            let name = match name.cast_exact::<PyString>() {
                Ok(text) => text.to_str().map_or_else(|_| name.clone(), |text| PyString::intern(py, text).into_any()),
                Err(_) => name,
            };
            own.set_item(name, value)?;
        }
    }
    if let Some(slots) = slots.filter(|slots| slots.is_truthy().unwrap_or(true)) {
        for (name, value) in slots.cast::<PyDict>()? {
            object.setattr(name.cast::<PyString>()?, value)?;
        }
    }
    Ok(())
}

/// What the class of every object has, and how large an object with attributes is that has nothing else.
struct Plain {
    methods: Vec<(&'static str, Py<PyAny>)>,
    size: usize,
    slots: Py<PyAny>,
}

static PLAIN: PyOnceLock<Plain> = PyOnceLock::new();

fn plain(py: Python<'_>) -> PyResult<&Plain> {
    PLAIN.get_or_try_init(py, || {
        let builtins = py.import("builtins")?;
        let object = builtins.getattr("object")?;
        let methods = ["__reduce_ex__", "__reduce__", "__getstate__"];
        let methods = methods.map(|name| object.getattr(name).map(|method| (name, method.unbind())));
        let names = PyDict::new(py);
        let class = builtins.getattr("type")?.call1(("Plain", (object,), names))?;
        Ok(Plain {
            methods: methods.into_iter().collect::<PyResult<_>>()?,
            size: class.getattr("__basicsize__")?.extract()?,
            slots: py.import("copyreg")?.getattr("_slotnames")?.unbind(),
        })
    })
}

/// Whether instances of a class are pickled by the class and their attributes alone.
fn has_attributes(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let plain = plain(py)?;
    for (name, method) in &plain.methods {
        if !class.getattr(*name)?.is(method) {
            return Ok(false);
        }
    }
    for name in ["__getnewargs__", "__getnewargs_ex__", "__setstate__"] {
        if class.hasattr(name)? {
            return Ok(false);
        }
    }
    let size: usize = class.getattr("__basicsize__")?.extract()?;
    let items: usize = class.getattr("__itemsize__")?.extract()?;
    let has_dict = class.getattr("__dictoffset__")?.extract::<isize>()? != 0;
    let slots = plain.slots.bind(py).call1((class,))?;
    Ok(size == plain.size && items == 0 && has_dict && slots.cast::<PyList>().is_ok_and(|slots| slots.is_empty()))
}

/// Whether a class is that of named tuples, with nothing added that their pickles would have.
fn has_fields(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    if !class.is_subclass_of::<PyTuple>()? || !class.hasattr("_fields")? || !class.hasattr("__getnewargs__")? {
        return Ok(false);
    }
    for (name, method) in &plain(py)?.methods {
        if !class.getattr(*name)?.is(method) {
            return Ok(false);
        }
    }
    for name in ["__getnewargs_ex__", "__setstate__"] {
        if class.hasattr(name)? {
            return Ok(false);
        }
    }
    if class.getattr("__dictoffset__")?.extract::<isize>()? != 0 {
        return Ok(false);
    }
    // All named tuples have the same code there.
    let sample = py.import("collections")?.getattr("namedtuple")?.call1(("Sample", "field"))?;
    let code = |class: &Bound<'_, PyAny>| class.getattr("__getnewargs__")?.getattr("__code__").map(Bound::unbind);
    Ok(code(class.as_any()).is_ok_and(|own| code(&sample).is_ok_and(|code| own.is(&code))))
}

/// Modules of the standard library, and those of their classes whose reducers change nothing.
const HARMLESS: [(&str, &[&str]); 4] = [
    ("datetime", &["date", "datetime", "time", "timedelta"]),
    ("decimal", &["Decimal"]),
    ("fractions", &["Fraction"]),
    ("uuid", &["UUID"]),
];

/// Whether the reducer of a class is one that changes nothing.
fn is_harmless(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let is_same = |name: &str, other: &Bound<'_, PyAny>| Ok::<_, PyErr>(class.getattr(name)?.is(&other.getattr(name)?));
    if class.is_subclass_of::<PyBaseException>()? {
        let base = py.get_type::<PyBaseException>();
        let mut all = true;
        for name in ["__reduce_ex__", "__reduce__", "__getstate__", "__setstate__"] {
            all &= is_same(name, base.as_any())?;
        }
        return Ok(all);
    }
    let (module, name) = (class.module()?, class.name()?);
    let (module, name) = (module.to_str()?, name.to_str()?);
    if HARMLESS.iter().any(|(known, names)| *known == module && names.contains(&name)) {
        return Ok(py.import(module)?.getattr(name)?.is(class));
    }
    Ok(false)
}

/// Whether an instance is of the class and has the attributes that it had.
pub(crate) fn has_exactly(instance: &Bound<'_, PyAny>, children: &[Py<PyAny>]) -> bool {
    let [class, attributes] = children else { return false };
    !instance.is_exact_instance_of::<PyDict>()
        && !instance.is_exact_instance_of::<PyList>()
        && instance.get_type().is(class)
        && instance.getattr(intern!(instance.py(), "__dict__")).is_ok_and(|now| now.is(attributes))
}
