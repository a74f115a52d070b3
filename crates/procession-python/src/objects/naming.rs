//! Which functions and classes a pickle can name: those that its receiver finds in a module under their names.

use std::cell::RefCell;
use std::sync::Mutex;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule, PySet, PyString, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};
use rustc_hash::FxHashMap;

use crate::fast::definitions;
use crate::package::loaded_module;

/// The most functions and classes of the main module that a receiver is remembered to know.
const REMEMBERED: usize = 1024;

/// Who gets a pickle, as far as its `__main__` is concerned: in all other modules everybody finds the same.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Receiver {
    knows: Py<PyAny>,
    /// The functions and classes that it was said to know, by address: a receiver does not forget.
    known: Mutex<FxHashMap<usize, Py<PyWeakrefReference>>>,
}

#[pymethods]
impl Receiver {
    /// `knows(obj)` says whether the receiver finds a function or class of this process's `__main__` in its own.
    #[new]
    fn new(knows: Py<PyAny>) -> Receiver {
        Receiver { knows, known: Mutex::default() }
    }

    /// Whether the receiver finds a function or class that stands in `__main__` here.
    fn finds(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = object.py();
        let address = object.as_ptr() as usize;
        let known = self.known.lock().expect("no panic while locked");
        let remembered = known.get(&address).map(|reference| reference.clone_ref(py));
        drop(known);
        if remembered.and_then(|reference| reference.bind(py).upgrade()).is_some_and(|same| same.is(object)) {
            return Ok(true);
        }
        let finds = self.knows.bind(py).call1((object,))?.is_truthy()?;
        if finds && let Ok(reference) = PyWeakrefReference::new(object) {
            let mut known = self.known.lock().expect("no panic while locked");
            let old = if known.len() >= REMEMBERED { std::mem::take(&mut *known) } else { FxHashMap::default() };
            let before = known.insert(address, reference.unbind());
            drop(known);
            drop((old, before));
        }
        Ok(finds)
    }
}

/// The classes in a dict, and its objects of some kinds, which the dict is compared with later.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Definitions(Vec<(usize, usize)>);

#[pymethods]
impl Definitions {
    #[new]
    fn new(names: &Bound<'_, PyDict>, kinds: &Bound<'_, PyTuple>) -> Definitions {
        let mut found = Vec::new();
        definitions(names, kinds, |one| {
            found.push(one);
            true
        });
        Definitions(found)
    }

    /// Whether a dict has the same ones, as far as those that there were are still alive.
    fn are_those_of(&self, names: &Bound<'_, PyDict>, kinds: &Bound<'_, PyTuple>) -> bool {
        let mut known = self.0.iter();
        let mut same = true;
        definitions(names, kinds, |one| {
            same = known.next() == Some(&one);
            same
        });
        same && known.next().is_none()
    }
}

/// The receiver of what this thread pickles.
enum To {
    /// Nobody knows: it must do for every child and for the parent.
    Anybody,
    /// The process that started this one.
    Parent,
    One(Py<Receiver>),
}

thread_local! {
    static TO: RefCell<To> = const { RefCell::new(To::Anybody) };
}

static ANYBODY: PyOnceLock<Py<Receiver>> = PyOnceLock::new();
static PARENT: PyOnceLock<Py<Receiver>> = PyOnceLock::new();

/// As long as it lives, what this thread pickles is for one receiver.
pub(crate) struct Scope(Option<To>);

impl Scope {
    pub(crate) fn to_anybody() -> Scope {
        Scope(Some(TO.replace(To::Anybody)))
    }

    pub(crate) fn to_parent() -> Scope {
        Scope(Some(TO.replace(To::Parent)))
    }

    pub(crate) fn to(receiver: Py<Receiver>) -> Scope {
        Scope(Some(TO.replace(To::One(receiver))))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let before = self.0.take().unwrap_or(To::Anybody);
        drop(TO.replace(before));
    }
}

/// Calls a function without arguments; what it pickles in this thread is for one receiver.
#[pyfunction]
pub(crate) fn pickling_for<'py>(receiver: Py<Receiver>, call: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let _scope = Scope::to(receiver);
    call.call0()
}

fn receiver(py: Python<'_>) -> PyResult<Py<Receiver>> {
    let said = TO.with_borrow(|to| match to {
        To::One(receiver) => Ok(receiver.clone_ref(py)),
        To::Anybody => Err((&ANYBODY, "anybody")),
        To::Parent => Err((&PARENT, "parent")),
    });
    let (cell, name) = match said {
        Ok(receiver) => return Ok(receiver),
        Err(standing) => standing,
    };
    let found = cell.get_or_try_init(py, || {
        let module = py.import(crate::package::MAIN_MODULE)?;
        Ok::<_, PyErr>(module.getattr(name)?.cast_into::<Receiver>()?.unbind())
    })?;
    Ok(found.clone_ref(py))
}

/// Whether the receiver finds a function or class by its module and its name.
pub(crate) fn is_named(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let Ok(module) = object.getattr(intern!(py, "__module__")) else { return Ok(false) };
    let Ok(module) = module.cast_into::<PyString>() else { return Ok(false) };
    let Ok(path) = object.getattr(intern!(py, "__qualname__")) else { return Ok(false) };
    let Ok(path) = path.cast_into::<PyString>() else { return Ok(false) };
    let modules = modules(py)?;
    let Some(home) = item(&modules, &module)? else { return Ok(false) };
    let Some(found) = found_at(&home, &path)? else { return Ok(false) };
    if !found.is(object) || goes_by_value(&module)? {
        return Ok(false);
    }
    let is_main = matches!(module.to_str(), Ok("__main__" | "__mp_main__"));
    if is_main { receiver(py)?.get().finds(object) } else { Ok(true) }
}

/// Whether somebody asked cloudpickle to send what stands in a module by value: the module by its name, or a package it is in.
#[pyfunction]
pub(crate) fn goes_by_value(module: &Bound<'_, PyString>) -> PyResult<bool> {
    static REGISTERED: PyOnceLock<Py<PySet>> = PyOnceLock::new();
    let py = module.py();
    let registered = match REGISTERED.get(py) {
        Some(registered) => registered.bind(py).clone(),
        None => {
            let Some(home) = loaded_module(py, intern!(py, "cloudpickle.cloudpickle")) else { return Ok(false) };
            // While it is being loaded nobody has asked for anything.
            let Some(found) = home.dict().get_item(intern!(py, "_PICKLE_BY_VALUE_MODULES"))? else { return Ok(false) };
            let Ok(found) = found.cast_into::<PySet>() else { return Ok(false) };
            REGISTERED.get_or_init(py, || found.unbind()).bind(py).clone()
        }
    };
    if registered.is_empty() {
        return Ok(false);
    }
    let Ok(mut name) = module.to_str() else { return Ok(false) };
    loop {
        if registered.contains(name)? {
            return Ok(true);
        }
        match name.rsplit_once('.') {
            Some((package, _)) => name = package,
            None => return Ok(false),
        }
    }
}

static SYS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// The modules that are loaded. To import `sys` takes longer than most of what is done with it.
pub(crate) fn modules(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let sys = SYS.get_or_try_init(py, || py.import("sys").map(Bound::unbind))?;
    sys.bind(py).getattr(intern!(py, "modules"))
}

fn item<'py>(modules: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match modules.cast::<PyDict>() {
        Ok(modules) => modules.get_item(name),
        Err(_) => Ok(modules.get_item(name).ok()),
    }
}

/// The object of a module behind a path of names.
fn found_at<'py>(home: &Bound<'py, PyAny>, path: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(module) = home.cast_exact::<PyModule>()
        && let Some(found) = module.dict().get_item(path)?
    {
        return Ok(Some(found));
    }
    // A lone surrogate is in no name that anybody could look for.
    let Ok(text) = path.to_str() else { return Ok(None) };
    let mut found = home.clone();
    for name in text.split('.') {
        match found.getattr(name) {
            Ok(next) if name != "<locals>" => found = next,
            _ => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// Whether a class is an enumeration whose members are pickled by their values.
pub(super) fn is_enumeration(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let Some(module) = loaded_module(py, intern!(py, "enum")) else { return Ok(false) };
    let base = module.getattr(intern!(py, "Enum"))?;
    let is_one = class.is_subclass(&base)?;
    Ok(is_one && class.getattr(intern!(py, "__reduce_ex__"))?.is(&base.getattr(intern!(py, "__reduce_ex__"))?))
}
