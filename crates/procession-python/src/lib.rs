//! The Python binding: the engine's rooms for Python, and what has to be decided where Python objects are at hand; which and
//! why stands in ARCHITECTURE.md.

use pyo3::prelude::*;

mod error;
mod fast;
mod in_common;
mod memory;
mod objects;
mod package;
mod pool;
mod processes;
mod seeing;
mod shared;
#[cfg(feature = "trial")]
mod trial;
mod values;
mod wait;
mod worker;

/// The compiled half of procession.
#[pymodule]
fn _procession(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("MAX_WORKERS", procession::channel::MAX_WORKERS)?;
    module.add("LARGE", memory::place::LARGE)?;
    memory::arrow::register(module)?;
    memory::buffer::register(module)?;
    processes::process::register(module)?;
    in_common::common::register(module)?;
    shared::connection::register(module)?;
    processes::groups::register(module)?;
    shared::guarded::register(module)?;
    seeing::look::register(module)?;
    shared::neutral::register(module)?;
    shared::neutral_queue::register(module)?;
    shared::numbers::register(module)?;
    shared::pickle::register(module)?;
    shared::queue::register(module)?;
    shared::queue_calls::register(module)?;
    objects::reducers::register(module)?;
    shared::simple_queue::register(module)?;
    shared::sync::register(module)?;
    processes::system::register(module)?;
    worker::callee::register(module)?;
    seeing::timeline::register(module)?;
    #[cfg(feature = "trial")]
    trial::register(module)?;
    module.add_class::<pool::PoolCore>()?;
    module.add_class::<pool::JobCore>()?;
    module.add_class::<seeing::report::Report>()?;
    module.add_class::<worker::interrupts::Interrupts>()?;
    module.add_class::<worker::interrupts::Line>()?;
    module.add_class::<worker::WorkerCore>()
}
