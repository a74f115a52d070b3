//! The methods that every lock and semaphore has, on the shortest way.

use std::ffi::CStr;
use std::marker::PhantomData;

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyBool;

use crate::fast::{CallArguments, Method, add_method};

/// A class whose objects are taken and given back.
pub(crate) trait Holdable: PyClass<Frozen = True> + Sync {
    /// Takes the object, waiting for it if it may; false when it was not to be had, or not in time.
    fn take(&self, py: Python<'_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool>;
    /// Gives it back.
    fn give(&self) -> PyResult<()>;
}

struct Acquire<T>(PhantomData<T>);
struct Release<T>(PhantomData<T>);
struct Enter<T>(PhantomData<T>);
struct Exit<T>(PhantomData<T>);

impl<T: Holdable> Method for Acquire<T> {
    type Of = T;
    const NAME: &'static CStr = c"acquire";
    const DOC: &'static CStr = c"acquire($self, block=True, timeout=None)\n--\n\n\
        Take it, waiting for it unless `block` is false.\n\n\
        Args:\n    \
            block: whether to wait.\n    \
            timeout: for how many seconds at most, None for no limit; a negative number is none.\n\n\
        Returns:\n    \
            Whether it was to be had.\n\n\
        Raises:\n    \
            OwnerDied: the process that had it ended without giving it back; of a lock made with `robust=True`, which is\n        \
                held then. For others that is a warning.";

    #[inline]
    fn call<'py>(py: Python<'py>, this: &T, given: CallArguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        if given.is_empty() {
            return truth(py, this.take(py, true, None));
        }
        let [block, timeout] = given.sorted("acquire", ["block", "timeout"])?;
        let block = block.map_or(Ok(true), |block| block.is_truthy())?;
        truth(py, this.take(py, block, timeout.as_deref()))
    }
}

impl<T: Holdable> Method for Release<T> {
    type Of = T;
    const NAME: &'static CStr = c"release";
    const DOC: &'static CStr = c"release($self)\n--\n\n\
        Give it back.\n\n\
        Raises:\n    \
            ValueError: it is free, or has its first value again.\n    \
            AssertionError: it is an RLock that this thread does not have.";

    #[inline]
    fn call<'py>(py: Python<'py>, this: &T, given: CallArguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        given.nothing("release")?;
        this.give()?;
        Ok(none(py))
    }
}

impl<T: Holdable> Method for Enter<T> {
    type Of = T;
    const NAME: &'static CStr = c"__enter__";
    const DOC: &'static CStr = c"__enter__($self)\n--\n\nTake it, waiting for it.";

    #[inline]
    fn call<'py>(py: Python<'py>, this: &T, given: CallArguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        given.nothing("__enter__")?;
        truth(py, this.take(py, true, None))
    }
}

impl<T: Holdable> Method for Exit<T> {
    type Of = T;
    const NAME: &'static CStr = c"__exit__";
    const DOC: &'static CStr = c"__exit__($self, kind, error, trace, /)\n--\n\nGive it back.";

    #[inline]
    fn call<'py>(py: Python<'py>, this: &T, given: CallArguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        given.exactly::<3>("__exit__")?;
        this.give()?;
        Ok(none(py))
    }
}

#[inline]
fn truth(py: Python<'_>, answer: PyResult<bool>) -> PyResult<Bound<'_, PyAny>> {
    Ok(PyBool::new(py, answer?).to_owned().into_any())
}

#[inline]
fn none(py: Python<'_>) -> Bound<'_, PyAny> {
    py.None().into_bound(py)
}

/// Puts all four into the class.
pub(super) fn add<T: Holdable>(py: Python<'_>) -> PyResult<()> {
    add_method::<Acquire<T>>(py)?;
    add_method::<Release<T>>(py)?;
    add_scope::<T>(py)
}

/// Puts what a `with` statement needs into the class.
pub(super) fn add_scope<T: Holdable>(py: Python<'_>) -> PyResult<()> {
    add_method::<Enter<T>>(py)?;
    add_method::<Exit<T>>(py)
}
