//! Whether memory may have changed since a moment because something was pickled: code of the program runs for that, and may
//! write anywhere.
//!
//! Whoever pickles objects one after the other counts on it that each arrives as it was when its turn came. What other threads
//! write meanwhile nobody can count on.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::PyTypeInfo;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyType};

/// How often code of the program may have run in picklers.
static RUNS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// How many pickles this thread makes, one within the other.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Whether code of the program may have run for the outermost: what it has returned may run until the end.
    static RAN: Cell<bool> = const { Cell::new(false) };
}

/// Code of the program may run now, or until the end of the pickle that is made.
pub(crate) fn note_code() {
    RUNS.fetch_add(1, Ordering::Relaxed);
    RAN.set(DEPTH.get() > 0);
}

/// A moment between two runs of such code; none while some may run at any time.
pub(crate) fn now() -> Option<u64> {
    (!RAN.get()).then(|| RUNS.load(Ordering::Relaxed))
}

/// Makes a pickle by `run`.
pub(crate) fn pickling<T>(run: impl FnOnce() -> T) -> T {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            let depth = DEPTH.get() - 1;
            DEPTH.set(depth);
            if depth == 0 && RAN.replace(false) {
                RUNS.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _end = End;
    run()
}

/// Whether instances of a class, for which nobody has registered a reducer, are pickled without code of the program.
pub(crate) fn is_settled(class: &Bound<'_, PyType>) -> bool {
    let py = class.py();
    let asked = [
        intern!(py, "__reduce_ex__"),
        intern!(py, "__reduce__"),
        intern!(py, "__getstate__"),
        intern!(py, "__getnewargs_ex__"),
        intern!(py, "__getnewargs__"),
        intern!(py, "__getattribute__"),
        intern!(py, "__getattr__"),
        intern!(py, "__iter__"),
        intern!(py, "items"),
    ];
    asked.iter().all(|name| class.getattr_opt(name).is_ok_and(|found| found.is_none_or(|method| is_compiled(&method))))
}

/// Whether a method is one of the interpreter or of a compiled module.
fn is_compiled(method: &Bound<'_, PyAny>) -> bool {
    let class = method.get_type();
    class.is(PyCFunction::type_object(method.py()))
        || class.name().is_ok_and(|name| name == "method_descriptor" || name == "wrapper_descriptor")
}
