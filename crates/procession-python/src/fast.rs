//! Methods and members that the interpreter reaches with nothing in between.
//!
//! A free lock is taken in less time than PyO3 needs to get to the method that takes it: it counts how often the thread is
//! attached, sorts the arguments into a table, and asks for the class of the object, which the interpreter has done
//! already. Without that, taking and giving back takes half the time (`benches/rows/lock.py`).
//!
//! The second of the four files of the binding with unsafe code, for that reason alone; what compares objects with those that were there
//! before looks at hundreds of thousands in a millisecond, each of which would be counted otherwise. `#[pyclass]` makes the classes as ever; a
//! [`Method`] or [`Attribute`] is then put into them as C extensions do it, by functions of the stable interface. As PyO3 does
//! not count these calls, references that are dropped in them without a token at hand (those in errors) go when PyO3 is
//! called next.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use pyo3::PyClass;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple, PyType};

/// The number of an `int`; none, and no exception made, if it is beyond 64 bits.
#[inline]
pub(crate) fn int_of(value: &Bound<'_, PyAny>) -> Option<i64> {
    debug_assert!(value.is_instance_of::<PyInt>());
    let mut overflow: c_int = 0;
    // SAFETY: `value` is alive, and an `int`, for which the call raises nothing; `overflow` is this frame's own.
    let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(number)
}

/// The text of an `int` in base 16, with its sign and `0x`.
pub(crate) fn hex_of<'py>(value: &Bound<'py, PyInt>) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: `value` is alive, and the call gives a text of its own or raises.
    let text = unsafe { Bound::from_owned_ptr_or_err(value.py(), ffi::PyNumber_ToBase(value.as_ptr(), 16)) }?;
    Ok(text.cast_into()?)
}

/// The `int` of such a text.
pub(crate) fn int_of_hex<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let text = CString::new(text)?;
    // SAFETY: `text` ends with a zero, and nothing is wanted of where the number ends: the call raises if that is before.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromString(text.as_ptr(), null_mut(), 16)) }
}

/// A method of the class `Of`.
pub(crate) trait Method {
    /// Frozen, so that no borrow of the object needs to be counted.
    type Of: PyClass<Frozen = True> + Sync;
    const NAME: &'static CStr;
    /// The signature as `inspect` finds it, and what the method does.
    const DOC: &'static CStr;
    fn call<'py>(py: Python<'py>, this: &Self::Of, given: CallArguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>>;
}

/// A member of the class `Of` that can be read and written.
pub(crate) trait Attribute {
    /// As of a [`Method`].
    type Of: PyClass<Frozen = True> + Sync;
    const NAME: &'static CStr;
    const DOC: &'static CStr;
    fn get<'py>(py: Python<'py>, this: &Self::Of) -> PyResult<Bound<'py, PyAny>>;
    fn set(py: Python<'_>, this: &Self::Of, value: &Bound<'_, PyAny>) -> PyResult<()>;
}

/// The arguments of a call.
#[derive(Clone, Copy)]
pub(crate) struct CallArguments<'a, 'py> {
    this: Borrowed<'a, 'py, PyAny>,
    /// First those by place, then as many as there are names.
    values: &'a [*mut ffi::PyObject],
    by_place: usize,
    names: Option<Borrowed<'a, 'py, PyTuple>>,
    py: Python<'py>,
}

impl<'a, 'py> CallArguments<'a, 'py> {
    /// The object whose method is called.
    #[inline]
    pub(crate) fn this(&self) -> Borrowed<'a, 'py, PyAny> {
        self.this
    }

    /// The one argument, if there is just one, by place.
    #[inline]
    pub(crate) fn alone(&self) -> Option<Borrowed<'a, 'py, PyAny>> {
        (self.values.len() == 1 && self.by_place == 1).then(|| self.value(0))
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    #[inline]
    fn value(&self, index: usize) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: the interpreter passes objects that are alive, and stay so, until the call is over, as `'a` is.
        unsafe { Borrowed::from_ptr(self.py, self.values[index]) }
    }

    /// The arguments of `function`, which may be given by these names.
    ///
    /// # Errors
    /// TypeError for more of them, others, and the same one twice.
    #[inline(never)]
    pub(crate) fn sorted<const N: usize>(
        &self,
        function: &str,
        names: [&str; N],
    ) -> PyResult<[Option<Borrowed<'a, 'py, PyAny>>; N]> {
        if self.by_place > N {
            return Err(self.wrong(function, &format!("at most {N} arguments")));
        }
        let mut found = [None; N];
        for (index, place) in found.iter_mut().enumerate().take(self.by_place) {
            *place = Some(self.value(index));
        }
        for index in self.by_place..self.values.len() {
            let name = self.names.map(|names| names.get_item(index - self.by_place)).transpose()?;
            let name = name.as_ref().map_or(Ok(""), |name| name.extract())?;
            let Some(place) = names.iter().position(|known| *known == name) else {
                return Err(PyTypeError::new_err(format!("{function}() got an unexpected keyword argument '{name}'")));
            };
            if found[place].replace(self.value(index)).is_some() {
                return Err(PyTypeError::new_err(format!("{function}() got multiple values for argument '{name}'")));
            }
        }
        Ok(found)
    }

    /// Exactly `N` arguments of `function`, by place.
    ///
    /// # Errors
    /// TypeError for more, fewer, or names.
    #[inline]
    pub(crate) fn exactly<const N: usize>(&self, function: &str) -> PyResult<[Borrowed<'a, 'py, PyAny>; N]> {
        if self.values.len() == N && self.by_place == N {
            return Ok(std::array::from_fn(|index| self.value(index)));
        }
        Err(self.wrong(function, &format!("exactly {N} arguments by place")))
    }

    /// TypeError for any argument of `function`.
    #[inline]
    pub(crate) fn nothing(&self, function: &str) -> PyResult<()> {
        if self.is_empty() { Ok(()) } else { Err(self.wrong(function, "no arguments")) }
    }

    #[cold]
    fn wrong(&self, function: &str, wanted: &str) -> PyErr {
        PyTypeError::new_err(format!("{function}() takes {wanted} ({} given)", self.values.len()))
    }
}

/// What the interpreter calls for `M`.
///
/// # Safety
/// As for every function of `METH_FASTCALL | METH_KEYWORDS`, of a method of `M::Of`.
unsafe extern "C" fn call<M: Method>(
    this: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    by_place: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    answer(null_mut(), Bound::into_ptr, |py| {
        let by_place = by_place as usize;
        // SAFETY:
        //   * `this` is alive until the call is over, and an `M::Of`: the descriptor that `add_methods` made checks it;
        //   * `names` is none or a tuple of strings;
        //   * `values` points to so many objects as there are by place and names; it may be null when there are none.
        let (this, given) = unsafe {
            let object = Borrowed::from_ptr(py, this);
            let this = object.cast_unchecked::<M::Of>();
            let names = Borrowed::from_ptr_or_opt(py, names).map(|names| names.cast_unchecked::<PyTuple>());
            let count = by_place + names.map_or(0, |names| names.len());
            let values = if count == 0 { &[] } else { std::slice::from_raw_parts(values, count) };
            (this, CallArguments { this: object, values, by_place, names, py })
        };
        M::call(py, this.get(), given)
    })
}

/// What the interpreter calls to read `M`.
///
/// # Safety
/// As for every `getter`, of a member of `M::Of`.
unsafe extern "C" fn get<M: Attribute>(this: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    answer(null_mut(), Bound::into_ptr, |py| {
        // SAFETY: as in `call`.
        let this = unsafe { Borrowed::from_ptr(py, this).cast_unchecked::<M::Of>() };
        M::get(py, this.get())
    })
}

/// What the interpreter calls to write `M`.
///
/// # Safety
/// As for every `setter`, of a member of `M::Of`.
unsafe extern "C" fn set<M: Attribute>(this: *mut ffi::PyObject, value: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    answer(
        -1,
        |()| 0,
        |py| {
            // SAFETY: as in `call`; `value` is alive until the call is over, or null when the member is to be deleted.
            let (this, value) = unsafe {
                (Borrowed::from_ptr(py, this).cast_unchecked::<M::Of>(), Borrowed::from_ptr_or_opt(py, value))
            };
            let value = value.ok_or_else(|| PyAttributeError::new_err("can't delete item"))?;
            M::set(py, this.get(), &value)
        },
    )
}

/// What C is answered: `failed`, and an exception raised, when `work` fails.
#[inline(always)]
fn answer<'py, T, A>(failed: A, done: impl FnOnce(T) -> A, work: impl FnOnce(Python<'py>) -> PyResult<T>) -> A {
    // SAFETY: the interpreter calls what stands here, so this thread is attached to it until the call is over.
    let py = unsafe { Python::assume_attached() };
    let worked = catch_unwind(AssertUnwindSafe(|| match work(py) {
        Ok(value) => Some(done(value)),
        Err(error) => {
            raise(py, error);
            None
        }
    }));
    match worked {
        Ok(answer) => answer.unwrap_or(failed),
        Err(_) => {
            raise(py, PanicException::new_err("procession failed in its own code; what happened is on stderr"));
            failed
        }
    }
}

#[cold]
#[inline(never)]
fn raise(py: Python<'_>, error: PyErr) {
    error.restore(py);
}

/// Puts a method into its class.
pub(crate) fn add_method<M: Method>(py: Python<'_>) -> PyResult<()> {
    let method = ffi::PyMethodDef {
        ml_name: M::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: call::<M> },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: M::DOC.as_ptr(),
    };
    let class = PyType::new::<M::Of>(py);
    // SAFETY: the class is a type; the definition, which is never freed, has a function of the kind that its flags say.
    let descriptor = unsafe {
        let made = ffi::PyDescr_NewMethod(class.as_type_ptr(), Box::leak(Box::new(method)));
        Bound::from_owned_ptr_or_err(py, made)?
    };
    class.setattr(M::NAME, descriptor)
}

/// Puts a member into its class.
pub(crate) fn add_member<M: Attribute>(py: Python<'_>) -> PyResult<()> {
    let member = ffi::PyGetSetDef {
        name: M::NAME.as_ptr(),
        get: Some(get::<M>),
        set: Some(set::<M>),
        doc: M::DOC.as_ptr(),
        closure: null_mut(),
    };
    let class = PyType::new::<M::Of>(py);
    // SAFETY: as in `add_method`.
    let descriptor = unsafe {
        let made = ffi::PyDescr_NewGetSet(class.as_type_ptr(), Box::leak(Box::new(member)));
        Bound::from_owned_ptr_or_err(py, made)?
    };
    class.setattr(M::NAME, descriptor)
}

/// Shows what a dict has that is a class, or an object of just one of some `kinds`, each key and value by where they lie,
/// as long as `see` answers yes.
///
/// As nothing is counted, a process that was just forked, or has forked, copies no page for it.
pub(crate) fn definitions(
    names: &Bound<'_, PyDict>,
    kinds: &Bound<'_, PyTuple>,
    mut see: impl FnMut((usize, usize)) -> bool,
) {
    with_critical_section(names, || {
        let (mut at, mut key, mut value) = (0, null_mut(), null_mut());
        // SAFETY: this thread is attached to the interpreter, has the dict for itself, and runs no code of Python before the
        // loop ends, so the dict stays as it is; of the values that it lends only their types are read.
        while unsafe { ffi::PyDict_Next(names.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0 {
            // SAFETY: as above.
            let (is_class, class) = unsafe { (ffi::PyType_Check(value) != 0, ffi::Py_TYPE(value)) };
            let wanted = is_class || kinds.iter_borrowed().any(|kind| kind.as_ptr() == class.cast());
            if wanted && !see((key.addr(), value.addr())) {
                return;
            }
        }
    });
}

/// Whether a list has exactly these items, or a dict these keys and values, by turns: not equal ones, but the same.
pub(crate) fn has_exactly(container: &Bound<'_, PyAny>, children: &[Py<PyAny>]) -> bool {
    with_critical_section(container, || {
        if let Ok(dict) = container.cast_exact::<PyDict>() {
            let (mut at, mut key, mut value) = (0, null_mut(), null_mut());
            let mut children = children.chunks_exact(2);
            // SAFETY: as in `definitions`; the keys and values that the dict lends are not looked into.
            while unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0 {
                let same = |pair: &[Py<PyAny>]| pair[0].as_ptr() == key && pair[1].as_ptr() == value;
                if !children.next().is_some_and(same) {
                    return false;
                }
            }
            return children.next().is_none();
        }
        let Ok(list) = container.cast_exact::<PyList>() else { return false };
        // SAFETY: as above, and no index is beyond the list's end.
        let same = |(at, child): (usize, &Py<PyAny>)| unsafe {
            ffi::PyList_GetItem(list.as_ptr(), at as ffi::Py_ssize_t) == child.as_ptr()
        };
        list.len() == children.len() && children.iter().enumerate().all(same)
    })
}
