//! The Python binding: the engine's rooms for Python, and what has to be decided where Python objects are at hand; which and
//! why stands in ARCHITECTURE.md.

use pyo3::prelude::*;

mod again;
mod arrow;
mod arrow_layout;
mod buffer;
mod collector;
mod common;
mod connection;
mod drive;
mod entries;
mod error;
mod fast;
mod groups;
mod guarded;
mod instances;
mod interrupts;
mod job;
mod lent;
mod look;
mod message;
mod naming;
mod numbers;
mod numeric;
mod package;
mod pickler;
mod place;
mod pool;
mod process;
mod queue;
mod received;
mod reducers;
mod repeats;
mod report;
mod row;
mod simple_queue;
mod snapshot;
mod stateless;
mod sync;
mod system;
mod timeline;
mod trial;
mod unsettled;
mod values;
mod wait;
mod worker;
mod worker_memory;

/// The compiled half of procession.
#[pymodule]
fn _procession(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("MAX_WORKERS", procession::channel::MAX_WORKERS)?;
    module.add("LARGE", pickler::LARGE)?;
    arrow::register(module)?;
    buffer::register(module)?;
    process::register(module)?;
    common::register(module)?;
    connection::register(module)?;
    groups::register(module)?;
    guarded::register(module)?;
    look::register(module)?;
    numbers::register(module)?;
    queue::register(module)?;
    reducers::register(module)?;
    simple_queue::register(module)?;
    sync::register(module)?;
    system::register(module)?;
    timeline::register(module)?;
    trial::register(module)?;
    module.add_class::<pool::PoolCore>()?;
    module.add_class::<pool::JobCore>()?;
    module.add_class::<report::Report>()?;
    module.add_class::<interrupts::Interrupts>()?;
    module.add_class::<interrupts::Line>()?;
    module.add_class::<worker::WorkerCore>()
}
