//! Groups of processes whose memory the kernel limits.

use std::path::PathBuf;

use procession::platform;
use pyo3::prelude::*;

/// The delegated group that workers have theirs in.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct MemoryGroups(platform::MemoryGroups);

#[pymethods]
impl MemoryGroups {
    /// The one of this process, None where it has none; `root` is where the hierarchy is, `own` the file that names the
    /// groups of this process, `user` who it acts for.
    #[staticmethod]
    fn find(root: PathBuf, own: PathBuf, user: u32) -> Option<MemoryGroups> {
        platform::MemoryGroups::find(&root, &own, user).map(MemoryGroups)
    }

    /// A group whose members may have `limit` bytes together; None where the system refuses.
    fn make(&self, limit: u64) -> Option<MemoryGroup> {
        self.0.make(limit).map(MemoryGroup)
    }
}

/// The group of a worker; it goes when this is forgotten.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct MemoryGroup(platform::MemoryGroup);

#[pymethods]
impl MemoryGroup {
    /// Its folder.
    #[getter]
    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Whether the process `pid` is in it.
    fn holds(&self, pid: u32) -> bool {
        self.0.holds(pid)
    }

    /// The most bytes that it had, if the kernel has killed for its limit.
    fn exceeded(&self) -> Option<u64> {
        self.0.exceeded()
    }
}

/// Moves this process into the group at `path`; says whether it could.
#[pyfunction]
fn enter_group(path: PathBuf) -> bool {
    platform::enter_group(&path).is_ok()
}

/// Adds the classes.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<MemoryGroups>()?;
    module.add_class::<MemoryGroup>()?;
    module.add_function(wrap_pyfunction!(enter_group, module)?)
}
