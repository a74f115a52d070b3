//! Instances of classes whose pickles can be read off: the class and the attributes, or what a harmless reducer says.
//!
//! A pickle names the class by its module and its name, which are looked up on both sides; that takes longer than all the rest
//! of a small instance. In results that share what they can, the class is sent once.

use pyo3::exceptions::{PyBaseException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use rustc_hash::FxHashMap;

use crate::entries::entries_of;
use crate::reducers::has_reducer;
use crate::values::TUPLE_ITEMS;

/// The most classes that are remembered.
const MOST: usize = 256;
/// Of the pickles that reducers are asked for.
const PROTOCOL: u8 = 5;

/// How instances of a class are pickled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As every object by default, with a dict of its attributes and nothing else.
    Attributes,
    /// As a named tuple, by its fields.
    Fields,
    /// By a reducer that can be asked any time, as it changes nothing.
    Reduced,
    /// In another way.
    Other,
}

/// What an instance is made of.
pub(crate) enum Parts<'py> {
    /// A tuple of the class and the names of the attributes, which stays the same for all with these names, and the values.
    Attributes(Bound<'py, PyTuple>, Vec<Bound<'py, PyAny>>),
    /// The class and the fields.
    Fields(Bound<'py, PyType>, Bound<'py, PyTuple>),
    /// What is called, the arguments, and the state.
    Reduced(Bound<'py, PyAny>, Bound<'py, PyTuple>, Option<Bound<'py, PyAny>>),
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

    /// What an instance is made of; none if it is to be pickled.
    pub(crate) fn parts<'py>(&mut self, value: &Bound<'py, PyAny>) -> Option<Parts<'py>> {
        let class = value.get_type();
        let form = self.known(&class).form;
        if form == Form::Other || has_reducer(&class) {
            return None;
        }
        match form {
            Form::Attributes => {
                let attributes =
                    value.getattr(intern!(value.py(), "__dict__")).ok()?.cast_into_exact::<PyDict>().ok()?;
                if attributes.len() > TUPLE_ITEMS {
                    return None;
                }
                let (names, values): (Vec<_>, Vec<_>) = entries_of(&attributes).into_iter().unzip();
                Some(Parts::Attributes(self.names(&class, &names)?, values))
            }
            Form::Fields => {
                let fields = value.cast::<PyTuple>().ok()?;
                (fields.len() <= TUPLE_ITEMS).then(|| Parts::Fields(class, fields.clone()))
            }
            Form::Reduced => reduced(value).ok()?,
            Form::Other => None,
        }
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
        })
    }
}

fn form_of(class: &Bound<'_, PyType>) -> PyResult<Form> {
    if has_attributes(class)? {
        Ok(Form::Attributes)
    } else if has_fields(class)? {
        Ok(Form::Fields)
    } else if is_harmless(class)? {
        Ok(Form::Reduced)
    } else {
        Ok(Form::Other)
    }
}

/// What the reducer of an instance says.
fn reduced<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Parts<'py>>> {
    let parts = value.call_method1(intern!(value.py(), "__reduce_ex__"), (PROTOCOL,))?;
    let Ok(parts) = parts.cast_exact::<PyTuple>() else { return Ok(None) };
    if !(2..=3).contains(&parts.len()) {
        return Ok(None);
    }
    let Ok(arguments) = parts.get_item(1)?.cast_into_exact::<PyTuple>() else { return Ok(None) };
    let state = if parts.len() == 3 { Some(parts.get_item(2)?) } else { None };
    let fits =
        arguments.len() <= TUPLE_ITEMS && state.as_ref().is_none_or(|state| state.is_exact_instance_of::<PyDict>());
    Ok(fits.then_some(Parts::Reduced(parts.get_item(0)?, arguments, state)))
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
    let attributes = object.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    for (name, value) in state.cast::<PyDict>()? {
        attributes.set_item(PyString::intern(py, name.cast::<PyString>()?.to_str()?), value)?;
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
    ("datetime", &["date", "datetime", "time", "timedelta", "timezone"]),
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
