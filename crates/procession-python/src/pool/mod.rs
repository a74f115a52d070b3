//! A pool in the process that made it: the handles that Python has of it and of its jobs, above the jobs and who drives them.

mod calls;
mod drive;
mod functions;
mod handle;
mod job;
mod link;
mod row;
mod stateless;
mod submit;

use std::sync::{Arc, Mutex};

use pyo3::prelude::*;

use self::drive::Inner;
pub(crate) use self::handle::JobCore;
use self::link::Link;

/// A function that was pickled before: the object, the number that workers know it by, its pickle, and its name.
type Known = (Py<PyAny>, u64, Arc<[u8]>, Arc<str>);

/// The engine of a pool.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct PoolCore {
    /// All handles lose it together.
    owned: Arc<Link<Arc<Inner>>>,
    known: Arc<Mutex<Vec<Known>>>,
    /// Which handle of a shared pool it is; 0 is the pool itself.
    handle: u64,
}
