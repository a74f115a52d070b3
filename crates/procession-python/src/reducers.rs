//! How objects are pickled that the C pickler does not know by itself: the `reducer_override` of all picklers.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::PyTypeInfo;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyFunction, PyString, PyType};

use crate::common::SPECIAL;
use crate::naming::{is_named, modules};
use crate::numeric::is_array_class;

/// How many functions and classes went by value: another pickle may have others of their contents.
static BY_VALUE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What a pickler of this thread was given last: the culprit, should it fail.
    static LAST: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
    static CULPRIT: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
}

/// How many functions and classes went by value so far.
pub(crate) fn by_value_count() -> usize {
    BY_VALUE.load(Ordering::Relaxed)
}

/// A pickler is done: what it was given last is forgotten, or is the culprit.
pub(crate) fn note_culprit(failed: bool) {
    let last = LAST.take();
    drop(if failed { CULPRIT.replace(last) } else { last });
}

/// Tells that a pickler is done, and whether it failed.
#[pyfunction]
fn pickled(failed: bool) {
    note_culprit(failed);
}

/// What this thread last tried to pickle in vain, once; None if there is nothing.
#[pyfunction]
fn culprit() -> Option<Py<PyAny>> {
    CULPRIT.take()
}

/// Finds how an object is to be reduced: by the reducers that modules have registered, at any time, and by value what has
/// no name that the receiver could look up.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Reducers {
    ours: Py<PyDict>,
    general: Py<PyDict>,
    /// All others: called for few classes only.
    others: Py<PyAny>,
    others_names: Py<PyFrozenSet>,
    by_value: Py<PyAny>,
}

/// What is known of a class by its name.
enum Kind {
    Plain,
    /// A function with a cache, which has a name as functions have.
    Cached,
    /// A bound method, which is looked up in its object by the name of its function.
    Method,
    /// Somebody may have registered a reducer.
    Other,
}

#[pymethods]
impl Reducers {
    /// Looks in `ours`, then in `general`, then in the dict that `others(cls)` returns, if any, for classes of some names;
    /// functions and classes without a name are given to `by_value`.
    #[new]
    fn new(
        ours: Py<PyDict>,
        general: Py<PyDict>,
        others: Py<PyAny>,
        others_names: Py<PyFrozenSet>,
        by_value: Py<PyAny>,
    ) -> Reducers {
        Reducers { ours, general, others, others_names, by_value }
    }

    /// How `object` is reduced, or `NotImplemented` where the pickler knows.
    fn reduce<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let before = LAST.replace(Some(object.clone().unbind()));
        drop(before);
        let class = object.get_type();
        if object.is_exact_instance_of::<PyFunction>() || class.is(PyType::type_object(py)) {
            return self.global(object);
        }
        if let Some(reducer) = self.ours.bind(py).get_item(&class)? {
            SPECIAL.fetch_add(1, Ordering::Relaxed);
            return reducer.call1((object,));
        }
        if self.general.bind(py).contains(&class)? {
            return Ok(not_implemented(py));
        }
        if object.is_instance_of::<PyType>() {
            return self.global(object);
        }
        match self.kind_of(&class)? {
            Kind::Plain => return Ok(not_implemented(py)),
            Kind::Cached => return self.global(object),
            Kind::Method if has_method(object) => return Ok(not_implemented(py)),
            Kind::Method | Kind::Other => {}
        }
        let others = self.others.bind(py).call1((&class,))?;
        let found = if others.is_none() { None } else { others.cast::<PyDict>()?.get_item(&class)? };
        let Some(reducer) = found else { return Ok(not_implemented(py)) };
        // For arrays it only decides which of them may be written to.
        SPECIAL.fetch_add(usize::from(!is_array_class(&class)), Ordering::Relaxed);
        reducer.call1((object,))
    }
}

impl Reducers {
    fn global<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        if is_named(object)? {
            return Ok(not_implemented(py));
        }
        BY_VALUE.fetch_add(1, Ordering::Relaxed);
        self.by_value.bind(py).call1((object,))
    }

    /// Whether `others` may know a reducer of a class: it is Python code, which most objects need not pay for.
    fn kind_of(&self, class: &Bound<'_, PyType>) -> PyResult<Kind> {
        let py = class.py();
        let name = class.getattr(intern!(py, "__name__"))?;
        if self.others_names.bind(py).contains(&name)? {
            let name = name.cast::<PyString>()?.to_str();
            return Ok(match name {
                Ok("_lru_cache_wrapper") => Kind::Cached,
                Ok("method") => Kind::Method,
                _ => Kind::Other,
            });
        }
        let may_be = modules(py)?.contains(intern!(py, "multiprocessing.reduction"))?;
        Ok(if may_be { Kind::Other } else { Kind::Plain })
    }
}

/// Whether an object has a bound method of it under the name of the method's function: not so a private method, nor one
/// that was made of a lambda.
fn has_method(method: &Bound<'_, PyAny>) -> bool {
    let py = method.py();
    let found = || {
        let name = method.getattr(intern!(py, "__name__"))?.cast_into::<PyString>()?;
        method.getattr(intern!(py, "__self__"))?.getattr(name)?.eq(method)
    };
    found().unwrap_or(false)
}

fn not_implemented(py: Python<'_>) -> Bound<'_, PyAny> {
    py.NotImplemented().into_bound(py)
}

/// Adds the functions and classes to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Reducers>()?;
    module.add_class::<crate::naming::Receiver>()?;
    module.add_function(wrap_pyfunction!(pickled, module)?)?;
    module.add_function(wrap_pyfunction!(culprit, module)?)
}
