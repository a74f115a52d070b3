//! The loop of a worker process: claim, rebuild, call, encode, publish; no bytecode of ours per task.

pub(crate) mod callee;
mod functions;
pub(crate) mod interrupts;
mod memory;
mod outcomes;
mod records;

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::Arc;

use procession::channel::Report;
use procession::pool::{Turn, Worker};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyList};
use rustc_hash::FxHashMap;

use crate::error::raised;
use crate::in_common::again::Sent;
use crate::in_common::common::LastCommon;
use crate::worker::interrupts::{Interrupts, Line};

/// A worker's seat in its pool, in the worker's process.
#[pyclass(unsendable, module = "procession._procession")]
pub(crate) struct WorkerCore {
    worker: Worker,
    functions: FxHashMap<u64, Py<PyAny>>,
    /// The function that has large parts in the pool's blocks; let go of when another function comes, or the worker has nothing to do.
    large_function: Option<(u64, Py<PyAny>)>,
    common: Arc<LastCommon>,
    /// The last function that not all items share, and which of them have it now.
    shared_by: (u64, u64),
    /// The place in its job behind the last item that has run.
    reached: u64,
    out: Vec<u8>,
    /// The item before the next one of a record, if it is a text or bytes, which may come again.
    before: Option<Py<PyAny>>,
    /// What results of one scope have in common, of several pages, once there is a scope; how many items have one, and the
    /// first item of the record.
    sent: Option<Box<Sent>>,
    sharing: u64,
    record: (u64, u64),
    support: Py<PyAny>,
    map: Py<PyAny>,
    /// The function that was called last, and whether by a call of its own, for Python to see.
    current: Py<PyList>,
    current_id: u64,
    current_is_call: bool,
    /// What is called before and after each item.
    around: Option<(Py<PyAny>, Py<PyAny>)>,
    /// Whether nobody wants the rest of the record.
    unwanted: bool,
    /// Whether Python was told of units that the record holds.
    has_units: bool,
}

#[pymethods]
impl WorkerCore {
    /// Takes the seat `index` with the descriptors of an invitation, which it owns from now on.
    ///
    /// `support` makes failures portable: `support.failure(exc)` and `support.unsendable(exc, value)` return bytes.
    #[new]
    fn new(py: Python<'_>, index: usize, pool: i32, own: i32, parent: i32, support: Py<PyAny>) -> PyResult<WorkerCore> {
        let open = |fd: i32| -> PyResult<OwnedFd> { procession::platform::adopt(fd).map_err(raised) };
        let worker = Worker::open(index, open(pool)?, open(own)?, open(parent)?).map_err(raised)?;
        Ok(WorkerCore {
            worker,
            functions: FxHashMap::default(),
            large_function: None,
            common: Arc::default(),
            shared_by: (0, 0),
            reached: 0,
            out: Vec::new(),
            before: None,
            sent: None,
            sharing: 0,
            record: (0, 0),
            support,
            map: py.import("builtins")?.getattr("map")?.unbind(),
            current: PyList::new(py, [py.None().into_bound(py), PyBool::new(py, false).to_owned().into_any()])?
                .unbind(),
            current_id: 0,
            current_is_call: false,
            has_units: false,
            around: None,
            unwanted: false,
        })
    }

    /// What tells a signal handler whether the item that runs now is to be given up.
    fn interrupts(&self) -> Interrupts {
        Interrupts::of(self.worker.own_segment().clone())
    }

    /// A descriptor for what this worker writes about itself, by signal handlers; it is the caller's.
    fn report(&self) -> PyResult<i32> {
        let report = Report::of(self.worker.own_segment().clone());
        Ok(report.descriptor().map_err(raised)?.into_raw_fd())
    }

    /// A list of two: the function that was called last, and whether by `apply` rather than by a map.
    #[getter]
    fn current(&self, py: Python<'_>) -> Py<PyList> {
        self.current.clone_ref(py)
    }

    /// Has `begin` called before each item is run, and `end` after it; what they raise counts as raised by the item.
    fn around_tasks(&mut self, begin: Py<PyAny>, end: Py<PyAny>) {
        self.around = Some((begin, end));
    }

    /// How any thread tells the parent that a note was sent beside the ring.
    fn line(&self) -> Line {
        Line::of(self.worker.line())
    }

    /// Reports that the initializer failed with `failure`, bytes of `support.failure`.
    fn init_failed(&mut self, failure: &[u8]) -> PyResult<()> {
        self.worker.init_failed(failure).map_err(raised)
    }

    /// Runs records until the pool is closed, `limit` chunks are done (0: no limit), or more than `memory` bytes are kept.
    ///
    /// Blocks detached from the interpreter while there is nothing to do. A signal handler that raises ends it.
    #[pyo3(signature = (limit, memory=None))]
    fn run(&mut self, py: Python<'_>, limit: u64, memory: Option<u64>) -> PyResult<()> {
        let mut left = if limit == 0 { u64::MAX } else { limit };
        if let Some(most) = memory {
            self.worker.limit_memory(most);
        }
        self.worker.ready().map_err(raised)?;
        let worker = &mut self.worker;
        while let Err(error) = py.detach(|| worker.wait_to_start()) {
            if !error.is_interrupted() {
                return Err(raised(error));
            }
            py.check_signals()?;
        }
        let mut tidied = false;
        loop {
            let untidy = !tidied && (self.large_function.is_some() || !self.worker.holdings().is_empty());
            // What items have in common may be wanted again soon, and is not in anybody's way.
            let keeps = self.common.is_kept() || self.sent.as_ref().is_some_and(|sent| !sent.is_empty());
            let worker = &mut self.worker;
            let turn = py.detach(|| match (untidy, keeps) {
                (true, _) => worker.turn_or_idle(),
                (false, true) => worker.turn_or_rest(),
                (false, false) => worker.turn(),
            });
            match turn {
                Ok(Turn::Record(head)) => {
                    tidied = false;
                    if left <= u64::from(head.count.div_ceil(head.chunk)) {
                        self.worker.last().map_err(raised)?;
                    }
                    if head.has_units || self.has_units {
                        self.has_units = head.has_units;
                        self.support.bind(py).call_method1("granted", (self.worker.units().to_vec(),))?;
                    }
                    self.record(py, head, &mut left)?;
                    if left == 0 || self.worker.is_heavy() {
                        return self.worker.leaving().map_err(raised);
                    }
                    py.check_signals()?;
                }
                Ok(Turn::Leave) => return self.worker.leaving().map_err(raised),
                Ok(Turn::Stop) => return Ok(()),
                Ok(Turn::Idle) => {
                    if !untidy {
                        self.common.forget();
                        self.forget_sent();
                    }
                    self.large_function = None;
                    self.worker.tidied().map_err(raised)?;
                    tidied = true;
                }
                Err(error) if error.is_interrupted() => py.check_signals()?,
                Err(error) => return Err(raised(error)),
            }
        }
    }
}
