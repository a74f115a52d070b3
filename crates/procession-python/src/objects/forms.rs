//! How instances of a class are pickled, found out by looking at the class.

use pyo3::exceptions::PyBaseException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyCFunction, PyDict, PyFloat, PyFrozenSet, PyFunction, PyInt, PyList, PySet,
    PyString, PyTuple, PyType,
};

use crate::objects::naming::is_enumeration;
use crate::objects::reducers::is_asked_alone;
use crate::objects::small;
use crate::package::loaded_module;

/// How instances of a class are pickled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InstanceForm {
    /// As every object by default, with a dict of its attributes and nothing else.
    Attributes,
    /// As a named tuple, by its fields.
    Fields,
    /// By a reducer that can be asked any time, as it changes nothing.
    Reduced,
    /// By a reducer that is asked once, as it may do more than answer: what it says goes to the pickler if need be.
    Asked,
    /// As every object by default, with nothing but the entries of a dict, or the items of a list, that it is derived from.
    Derived(Base),
    /// As every object by default, with slots that have names and no dict.
    Slots,
    /// By its reducer, which changes nothing, where it is small.
    Small(small::Kind),
    /// As one of few objects of its class, which stay as they are and are wanted again and again.
    Member,
    /// As a type of numpy's records, which stays as it is unless it is given other names.
    Records,
    /// In another way.
    Other,
}

/// What a class is derived from whose objects have more than attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Dict,
    List,
}

/// How instances of a class are pickled.
pub(super) fn form_of(class: &Bound<'_, PyType>) -> PyResult<InstanceForm> {
    if has_attributes(class)? {
        Ok(InstanceForm::Attributes)
    } else if has_fields(class)? {
        Ok(InstanceForm::Fields)
    } else if is_enumeration(class)? || is_constant(class)? {
        Ok(InstanceForm::Member)
    } else if is_type_of_arrays(class)? {
        Ok(if class.name()?.to_str()? == "VoidDType" { InstanceForm::Records } else { InstanceForm::Member })
    } else if let Some(kind) = small::kind_of(class) {
        Ok(InstanceForm::Small(kind))
    } else if is_harmless(class)? {
        Ok(InstanceForm::Reduced)
    } else if let Some(base) = base_of(class)? {
        Ok(InstanceForm::Derived(base))
    } else if has_slots_only(class)? {
        Ok(InstanceForm::Slots)
    } else if !is_pickled_at_once(class) && is_asked_alone(class)? {
        Ok(InstanceForm::Asked)
    } else {
        Ok(InstanceForm::Other)
    }
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

/// Whether a class is one of time zones or of patterns, which stay as they are: one is what many dates have, or results.
fn is_constant(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    for (home, name) in
        [(intern!(py, "datetime"), "timezone"), (intern!(py, "zoneinfo"), "ZoneInfo"), (intern!(py, "re"), "Pattern")]
    {
        if let Some(module) = loaded_module(py, home)
            && module.getattr(name)?.is(class)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a class is one of numpy's types of items.
fn is_type_of_arrays(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let Some(module) = loaded_module(py, intern!(py, "numpy")) else { return Ok(false) };
    let Some(base) = module.dict().get_item(intern!(py, "dtype"))? else { return Ok(false) };
    class.is_subclass(&base)
}

/// What the class of every object has, and how large an object with attributes is that has nothing else.
struct PlainObjects {
    methods: Vec<(&'static str, Py<PyAny>)>,
    size: usize,
    /// The same of one that has nothing at all.
    bare: usize,
    slots: Py<PyAny>,
}

static PLAIN: PyOnceLock<PlainObjects> = PyOnceLock::new();

fn plain(py: Python<'_>) -> PyResult<&PlainObjects> {
    PLAIN.get_or_try_init(py, || {
        let builtins = py.import("builtins")?;
        let object = builtins.getattr("object")?;
        let methods = ["__reduce_ex__", "__reduce__", "__getstate__"];
        let methods = methods.map(|name| object.getattr(name).map(|method| (name, method.unbind())));
        let names = PyDict::new(py);
        let class = builtins.getattr("type")?.call1(("Plain", (&object,), names))?;
        Ok(PlainObjects {
            methods: methods.into_iter().collect::<PyResult<_>>()?,
            size: class.getattr("__basicsize__")?.extract()?,
            bare: object.getattr("__basicsize__")?.extract()?,
            slots: py.import("copyreg")?.getattr("_slotnames")?.unbind(),
        })
    })
}

/// Whether a class leaves it to that of every object how its instances are pickled, and gives no arguments to make them of.
fn is_pickled_as_object(class: &Bound<'_, PyType>) -> PyResult<bool> {
    for (name, method) in &plain(class.py())?.methods {
        if !class.getattr(*name)?.is(method) {
            return Ok(false);
        }
    }
    Ok(!class.hasattr("__getnewargs__")? && !class.hasattr("__getnewargs_ex__")?)
}

/// The names of the slots of a class that its pickles have.
pub(super) fn slots_of<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyList>> {
    let py = class.py();
    Ok(plain(py)?.slots.bind(py).call1((class,))?.cast_into::<PyList>()?)
}

/// Whether instances of a class are pickled by the class and their attributes alone.
fn has_attributes(class: &Bound<'_, PyType>) -> PyResult<bool> {
    if !is_pickled_as_object(class)? || class.hasattr("__setstate__")? {
        return Ok(false);
    }
    let size: usize = class.getattr("__basicsize__")?.extract()?;
    let items: usize = class.getattr("__itemsize__")?.extract()?;
    let has_dict = class.getattr("__dictoffset__")?.extract::<isize>()? != 0;
    Ok(size == plain(class.py())?.size && items == 0 && has_dict && slots_of(class)?.is_empty())
}

/// The dict or list that instances of a class are, if their pickles have the entries, or the items, of that as they stand there.
fn base_of(class: &Bound<'_, PyType>) -> PyResult<Option<Base>> {
    let py = class.py();
    let (base, known, reader) = if class.is_subclass_of::<PyDict>()? {
        (Base::Dict, py.get_type::<PyDict>(), "items")
    } else if class.is_subclass_of::<PyList>()? {
        (Base::List, py.get_type::<PyList>(), "__iter__")
    } else {
        return Ok(None);
    };
    let is_read = !class.is(&known) && class.getattr(reader)?.is(&known.getattr(reader)?);
    Ok((is_read && is_looked_up_as(class, &known)? && is_pickled_as_object(class)? && slots_of(class)?.is_empty())
        .then_some(base))
}

/// Whether all that instances of a class have is in slots with names, which are read without code of the program.
fn has_slots_only(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let is_sized = class.getattr("__itemsize__")?.extract::<usize>()? == 0;
    if !is_sized || class.getattr("__dictoffset__")?.extract::<isize>()? != 0 || class.hasattr("__setstate__")? {
        return Ok(false);
    }
    let object = class.py().import("builtins")?.getattr("object")?;
    if !is_looked_up_as(class, &object)? || !is_pickled_as_object(class)? {
        return Ok(false);
    }
    let slots = slots_of(class)?;
    // That for weak references is in no pickle.
    let weak = usize::from(class.getattr("__weakrefoffset__")?.extract::<isize>()? != 0);
    let size = plain(class.py())?.bare + (slots.len() + weak) * size_of::<usize>();
    let is_all = class.getattr("__basicsize__")?.extract::<usize>()? == size;
    let is_slot = |name: Bound<'_, PyAny>| {
        let slot = class.getattr(name.cast_into::<PyString>()?)?.get_type();
        Ok::<_, PyErr>(slot.name()? == "member_descriptor")
    };
    Ok(is_all && !slots.is_empty() && slots.iter().map(is_slot).collect::<PyResult<Vec<_>>>()?.into_iter().all(|is| is))
}

/// Whether the attributes of instances are looked up as those of `base`, which looks them up as every object.
fn is_looked_up_as(class: &Bound<'_, PyType>, base: &Bound<'_, PyAny>) -> PyResult<bool> {
    let name = "__getattribute__";
    Ok(class.getattr(name)?.is(&base.getattr(name)?) && !class.hasattr("__getattr__")?)
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
const HARMLESS: [(&str, &[&str]); 5] = [
    ("builtins", &["range"]),
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
