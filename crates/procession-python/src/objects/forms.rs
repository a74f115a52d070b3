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
    /// By its reducer, which changes nothing, where it is small.
    Small(small::Kind),
    /// As one of few objects of its class, which stay as they are and are wanted again and again.
    Member,
    /// As a type of numpy's records, which stays as it is unless it is given other names.
    Records,
    /// In another way.
    Other,
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
        let class = builtins.getattr("type")?.call1(("Plain", (object,), names))?;
        Ok(PlainObjects {
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
