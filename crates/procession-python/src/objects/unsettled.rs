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
use pyo3::types::{PyCFunction, PyFunction, PyString, PyType};

use crate::package::loaded_module;

/// How often code of the program may have run in picklers.
static RUNS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Counts the moments of this thread: another begins where code of the program may have run.
    static MOMENT: Cell<u64> = const { Cell::new(1) };
    /// Whether this thread looks at objects of which no code of the program runs unnoticed.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
    /// How many pickles this thread makes, one within the other.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Whether code of the program may have run for the outermost: what it has returned may run until the end.
    static RAN: Cell<bool> = const { Cell::new(false) };
}

/// Code of the program may run now, or until the end of the pickle that is made.
pub(crate) fn note_code() {
    begin_moment();
    RUNS.fetch_add(1, Ordering::Relaxed);
    RAN.set(DEPTH.get() > 0);
}

/// Another moment of this thread begins.
pub(crate) fn begin_moment() {
    MOMENT.set(MOMENT.get() + 1);
}

/// The moment of this thread, in which reducers of classes stay as they are; none where that is not known. What other threads register
/// meanwhile is seen from the next pickle on.
pub(crate) fn moment() -> Option<u64> {
    ((LOOKS.get() || DEPTH.get() > 0) && !RAN.get()).then(|| MOMENT.get())
}

/// Runs what looks at objects, and says by [`begin_moment`] where code of the program runs.
pub(crate) fn looking<T>(run: impl FnOnce() -> T) -> T {
    struct End(bool);
    impl Drop for End {
        fn drop(&mut self) {
            LOOKS.set(self.0);
        }
    }
    begin_moment();
    let _end = End(LOOKS.replace(true));
    run()
}

/// Classes of which something is known in a moment.
pub(crate) struct Lately([Cell<(usize, u64)>; 16]);

impl Lately {
    pub(crate) const fn new() -> Lately {
        Lately([const { Cell::new((0, 0)) }; 16])
    }

    /// Whether it was noted of the class at an address in this moment.
    #[inline]
    pub(crate) fn has(&self, class: usize, moment: Option<u64>) -> bool {
        moment.is_some_and(|moment| self.at(class).get() == (class, moment))
    }

    /// Notes it of a class that lives at least as long as the moment.
    pub(crate) fn note(&self, class: usize, moment: Option<u64>) {
        if let Some(moment) = moment {
            self.at(class).set((class, moment));
        }
    }

    fn at(&self, class: usize) -> &Cell<(usize, u64)> {
        &self.0[(class >> 4 ^ class >> 10) % self.0.len()]
    }
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
            begin_moment();
            if depth == 0 && RAN.replace(false) {
                RUNS.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    begin_moment();
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
    let writes_nothing = |method: Bound<'_, PyAny>| is_compiled(&method) || is_of_interpreter(&method);
    asked.iter().all(|name| class.getattr_opt(name).is_ok_and(|found| found.is_none_or(writes_nothing)))
}

/// Modules of the standard library whose classes' methods write nowhere when their objects are pickled.
const QUIET: [&str; 8] =
    ["collections", "datetime", "decimal", "fractions", "ipaddress", "pathlib", "pathlib._local", "uuid"];

/// Whether a method is a function that one of those modules has made.
fn is_of_interpreter(method: &Bound<'_, PyAny>) -> bool {
    let py = method.py();
    if !method.is_exact_instance_of::<PyFunction>() {
        return false;
    }
    let Ok(globals) = method.getattr(intern!(py, "__globals__")) else { return false };
    QUIET
        .iter()
        .any(|name| loaded_module(py, &PyString::intern(py, name)).is_some_and(|module| module.dict().is(&globals)))
}

/// Whether a method is one of the interpreter or of a compiled module.
fn is_compiled(method: &Bound<'_, PyAny>) -> bool {
    let class = method.get_type();
    class.is(PyCFunction::type_object(method.py()))
        || class.name().is_ok_and(|name| name == "method_descriptor" || name == "wrapper_descriptor")
}
