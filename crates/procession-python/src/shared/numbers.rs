//! Memory of which numbers are read without ctypes.

use std::sync::Arc;

use procession::platform::{Mapping, adopt, file_size};
use procession::shared_memory;
use pyo3::prelude::*;

use crate::error::raised;

/// The whole of a memory file, mapped; a child that is forked has it too.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Memory(Arc<Mapping>);

#[pymethods]
impl Memory {
    /// The memory behind a descriptor, which is taken over and closed.
    #[new]
    fn new(descriptor: i32) -> PyResult<Memory> {
        let file = adopt(descriptor).map_err(raised)?;
        let size = file_size(&file).map_err(raised)?;
        Ok(Memory(Arc::new(Mapping::new(&file, 0, size, true).map_err(raised)?)))
    }
}

/// Numbers of one kind in a memory.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Numbers(pub(crate) shared_memory::Numbers);

#[pymethods]
impl Numbers {
    /// The `count` numbers with the letter `code` that begin at `place`, in `room` bytes.
    #[new]
    fn new(memory: &Memory, place: usize, room: usize, code: char, count: usize) -> PyResult<Numbers> {
        let numbers = shared_memory::Numbers::new(memory.0.clone(), place, room, code, count);
        Ok(Numbers(numbers.map_err(raised)?))
    }
}

/// Adds the classes.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Memory>()?;
    module.add_class::<Numbers>()
}
