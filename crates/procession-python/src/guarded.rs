//! A member of a shared object that is read and written under the object's lock, without a Python call.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::sync::{Lock, RLock};

/// A descriptor for the member `name` of `_obj`, guarded by `_lock`.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Guarded {
    name: Py<PyString>,
}

/// Does `work` with the lock, which is one of ours or anything with `acquire` and `release`.
fn locked<T>(lock: &Bound<'_, PyAny>, work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let py = lock.py();
    if let Ok(lock) = lock.cast::<RLock>() {
        lock.get().__enter__(py)?;
        let answer = work();
        lock.get().release()?;
        return answer;
    }
    if let Ok(lock) = lock.cast::<Lock>() {
        lock.get().__enter__(py)?;
        let answer = work();
        lock.get().release()?;
        return answer;
    }
    lock.call_method0(intern!(py, "acquire"))?;
    let answer = work();
    lock.call_method0(intern!(py, "release"))?;
    answer
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
        let py = slf.py();
        let lock = instance.getattr(intern!(py, "_lock"))?;
        let object = instance.getattr(intern!(py, "_obj"))?;
        locked(&lock, || object.getattr(slf.get().name.bind(py)))
    }

    fn __set__<'py>(&self, instance: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = instance.py();
        let lock = instance.getattr(intern!(py, "_lock"))?;
        let object = instance.getattr(intern!(py, "_obj"))?;
        locked(&lock, || object.setattr(self.name.bind(py), value))
    }
}
