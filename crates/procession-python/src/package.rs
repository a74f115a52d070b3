//! The modules of the package that the binding asks for something, all of them: `tests/test_layers.py` looks that each
//! exists.

/// The envelope of what lies in shared memory.
pub(crate) const BUFFERS: &str = "procession._objects.buffers";
/// Says where in a large object the thing is that cannot be pickled.
pub(crate) const CULPRIT: &str = "procession._objects.culprit";
/// The exceptions of pools.
pub(crate) const EXCEPTIONS: &str = "procession._exceptions";
/// The functions that bring along what their tasks are to know.
pub(crate) const INFORMED: &str = "procession._pool.informed";
/// Which functions and classes of `__main__` others have.
pub(crate) const MAIN_MODULE: &str = "procession._objects.main_module";
/// Makes the pickler, and knows the reducers that were registered.
pub(crate) const REDUCERS: &str = "procession._objects.reducers";
/// Has the modules of the standard library that ours stand in for.
pub(crate) const STANDARD: &str = "procession._standard";
/// The warning that the owner of a lock has died.
pub(crate) const SYNCHRONIZE: &str = "procession.synchronize";
