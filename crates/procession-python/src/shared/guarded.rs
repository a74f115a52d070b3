//! ctypes objects in shared memory, reached under their lock without a Python call.

use std::ffi::CStr;

use procession::shared_memory::AnyNumber;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use crate::fast::{Attribute, CallArguments, Method, add_member, add_method};
use crate::shared::numbers::Numbers;
use crate::shared::sync::{Holdable, Lock, RLock};

/// The lock of an object: one of ours, or anything with `acquire` and `release`.
enum Guard {
    Recursive(Py<RLock>),
    Plain(Py<Lock>),
    Other(Py<PyAny>),
}

impl Guard {
    fn new(lock: &Bound<'_, PyAny>) -> Guard {
        if let Ok(lock) = lock.cast::<RLock>() {
            Guard::Recursive(lock.clone().unbind())
        } else if let Ok(lock) = lock.cast::<Lock>() {
            Guard::Plain(lock.clone().unbind())
        } else {
            Guard::Other(lock.clone().unbind())
        }
    }

    fn lock<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        match self {
            Guard::Recursive(lock) => lock.bind(py).as_any(),
            Guard::Plain(lock) => lock.bind(py).as_any(),
            Guard::Other(lock) => lock.bind(py),
        }
    }

    /// Takes the lock; false when there is nothing to give back, as this thread holds it anyway.
    #[inline]
    fn enter(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Guard::Recursive(lock) => {
                let lock = lock.get();
                Ok(!lock.lock.is_mine() && lock.take(py, true, None)?)
            }
            Guard::Plain(lock) => lock.get().take(py, true, None),
            Guard::Other(lock) => lock.bind(py).call_method0(intern!(py, "acquire")).map(|_| true),
        }
    }

    /// Gives back what [`Guard::enter`] took.
    #[inline]
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Guard::Recursive(lock) => lock.get().give(),
            Guard::Plain(lock) => lock.get().give(),
            Guard::Other(lock) => lock.bind(py).call_method0(intern!(py, "release")).map(drop),
        }
    }

    /// Does `work` with the lock.
    #[inline]
    fn during<T>(&self, py: Python<'_>, work: impl FnOnce() -> T) -> PyResult<T> {
        let taken = self.enter(py)?;
        let answer = work();
        if taken {
            self.leave(py)?;
        }
        Ok(answer)
    }
}

/// A ctypes object in shared memory with its lock.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct SynchronizedBase {
    object: Py<PyAny>,
    guard: Guard,
    /// Its numbers, when it is made of nothing else: they are reached without ctypes.
    numbers: Option<Py<Numbers>>,
}

#[pymethods]
impl SynchronizedBase {
    #[new]
    #[pyo3(signature = (obj, lock, numbers=None))]
    fn new(obj: Py<PyAny>, lock: &Bound<'_, PyAny>, numbers: Option<Py<Numbers>>) -> SynchronizedBase {
        SynchronizedBase { object: obj, guard: Guard::new(lock), numbers }
    }

    #[getter]
    fn _obj(&self, py: Python<'_>) -> Py<PyAny> {
        self.object.clone_ref(py)
    }

    #[getter]
    fn _lock<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.guard.lock(py).clone()
    }

    /// Return the object without its lock.
    fn get_obj(&self, py: Python<'_>) -> Py<PyAny> {
        self.object.clone_ref(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        match &self.guard {
            Guard::Recursive(lock) => visit.call(lock),
            Guard::Plain(lock) => visit.call(lock),
            Guard::Other(lock) => visit.call(lock),
        }
    }
}

struct GetLock;
struct Enter;
struct Exit;
/// The object's only number; what is no number is the object's member `value`.
struct Number;

impl Method for GetLock {
    type Of = SynchronizedBase;
    const NAME: &'static CStr = c"get_lock";
    const DOC: &'static CStr = c"get_lock($self)\n--\n\nReturn the lock.";

    #[inline]
    fn call<'py>(
        py: Python<'py>,
        this: &SynchronizedBase,
        given: CallArguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        given.nothing("get_lock")?;
        Ok(this.guard.lock(py).clone())
    }
}

impl Method for Enter {
    type Of = SynchronizedBase;
    const NAME: &'static CStr = c"__enter__";
    const DOC: &'static CStr = c"__enter__($self)\n--\n\nTake the lock.";

    #[inline]
    fn call<'py>(
        py: Python<'py>,
        this: &SynchronizedBase,
        given: CallArguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        given.nothing("__enter__")?;
        let taken = match &this.guard {
            Guard::Recursive(lock) => lock.get().take(py, true, None)?,
            Guard::Plain(lock) => lock.get().take(py, true, None)?,
            Guard::Other(lock) => return lock.bind(py).call_method0(intern!(py, "__enter__")),
        };
        Ok(PyBool::new(py, taken).to_owned().into_any())
    }
}

impl Method for Exit {
    type Of = SynchronizedBase;
    const NAME: &'static CStr = c"__exit__";
    const DOC: &'static CStr = c"__exit__($self, kind, error, trace, /)\n--\n\nGive the lock back.";

    #[inline]
    fn call<'py>(
        py: Python<'py>,
        this: &SynchronizedBase,
        given: CallArguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let [kind, error, trace] = given.exactly("__exit__")?;
        match &this.guard {
            Guard::Recursive(lock) => lock.get().give()?,
            Guard::Plain(lock) => lock.get().give()?,
            Guard::Other(lock) => return lock.bind(py).call_method1(intern!(py, "__exit__"), (kind, error, trace)),
        }
        Ok(py.None().into_bound(py))
    }
}

impl Attribute for Number {
    type Of = SynchronizedBase;
    const NAME: &'static CStr = c"_value";
    const DOC: &'static CStr = c"The value, read and written under the lock.";

    #[inline]
    fn get<'py>(py: Python<'py>, this: &SynchronizedBase) -> PyResult<Bound<'py, PyAny>> {
        match this.number(py, 0)? {
            Some(number) => Ok(number),
            None => this.guard.during(py, || this.object.bind(py).getattr(intern!(py, "value")))?,
        }
    }

    #[inline]
    fn set(py: Python<'_>, this: &SynchronizedBase, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if this.set_number(py, 0, value)? {
            return Ok(());
        }
        this.guard.during(py, || this.object.bind(py).setattr(intern!(py, "value"), value))?
    }
}

impl SynchronizedBase {
    /// The number at `index`, if the object is made of numbers and has so many.
    #[inline]
    fn number<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(numbers) = &self.numbers else { return Ok(None) };
        let numbers = &numbers.get().0;
        if index >= numbers.count() {
            return Ok(None);
        }
        Ok(match self.guard.during(py, || numbers.get(index))? {
            Some(AnyNumber::Signed(n)) => Some(n.into_pyobject(py)?.into_any()),
            Some(AnyNumber::Unsigned(n)) => Some(n.into_pyobject(py)?.into_any()),
            Some(AnyNumber::Float(f)) => Some(f.into_pyobject(py)?.into_any()),
            None => None,
        })
    }

    /// Stores a plain `int` or `float` at `index`; false for anything that ctypes must judge.
    #[inline]
    fn set_number(&self, py: Python<'_>, index: usize, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(numbers) = &self.numbers else { return Ok(false) };
        let number = if value.is_exact_instance_of::<PyInt>() {
            match value.extract() {
                Ok(whole) => AnyNumber::Signed(whole),
                Err(_) => return Ok(false),
            }
        } else if let Ok(fraction) = value.cast_exact::<PyFloat>() {
            AnyNumber::Float(fraction.extract()?)
        } else {
            return Ok(false);
        };
        self.guard.during(py, || numbers.get().0.set(index, number))
    }
}

/// An array of ctypes objects in shared memory with its lock.
#[pyclass(frozen, subclass, extends = SynchronizedBase, module = "procession._procession")]
pub(crate) struct SynchronizedArray {
    count: usize,
}

#[pymethods]
impl SynchronizedArray {
    #[new]
    #[pyo3(signature = (obj, lock, numbers=None))]
    fn new(
        obj: Bound<'_, PyAny>,
        lock: &Bound<'_, PyAny>,
        numbers: Option<Py<Numbers>>,
    ) -> PyResult<PyClassInitializer<SynchronizedArray>> {
        let count = obj.len()?;
        let base = SynchronizedBase::new(obj.unbind(), lock, numbers);
        Ok(PyClassInitializer::from(base).add_subclass(SynchronizedArray { count }))
    }

    fn __len__(&self) -> usize {
        self.count
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, base) = (slf.py(), slf.as_super().get());
        if let Some(index) = plain_index(index)
            && let Some(number) = base.number(py, index)?
        {
            return Ok(number);
        }
        base.guard.during(py, || base.object.bind(py).get_item(index))?
    }

    fn __setitem__<'py>(slf: &Bound<'py, Self>, index: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let (py, base) = (slf.py(), slf.as_super().get());
        if let Some(index) = plain_index(index)
            && base.set_number(py, index, value)?
        {
            return Ok(());
        }
        base.guard.during(py, || base.object.bind(py).set_item(index, value))?
    }
}

/// An index from the first element on; slices and negative indices are left to ctypes.
#[inline]
fn plain_index(index: &Bound<'_, PyAny>) -> Option<usize> {
    if index.is_exact_instance_of::<PyInt>() { index.extract::<isize>().ok()?.try_into().ok() } else { None }
}

/// A descriptor for the member `name` of the object in a [`SynchronizedBase`], guarded by its lock.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Guarded {
    name: Py<PyString>,
}

#[pymethods]
impl Guarded {
    #[new]
    fn new(name: Py<PyString>) -> Guarded {
        Guarded { name }
    }

    fn __get__<'py>(
        slf: &Bound<'py, Guarded>,
        instance: &Bound<'py, PyAny>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if instance.is_none() {
            return Ok(slf.clone().into_any());
        }
        let (py, guarded) = (slf.py(), slf.get());
        let base = instance.cast::<SynchronizedBase>()?.get();
        base.guard.during(py, || base.object.bind(py).getattr(guarded.name.bind(py)))?
    }

    fn __set__<'py>(&self, instance: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = instance.py();
        let base = instance.cast::<SynchronizedBase>()?.get();
        base.guard.during(py, || base.object.bind(py).setattr(self.name.bind(py), value))?
    }
}

/// Adds the classes.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Guarded>()?;
    module.add_class::<SynchronizedBase>()?;
    module.add_class::<SynchronizedArray>()?;
    let py = module.py();
    add_method::<GetLock>(py)?;
    add_method::<Enter>(py)?;
    add_method::<Exit>(py)?;
    add_member::<Number>(py)
}
