//! The loop of a worker process: claim, rebuild, call, encode, publish; no bytecode of ours per task.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use procession::channel::FrameKind;
use procession::pool::{RecordHead, Turn, Worker};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::codec::{self, Mode, Preamble};
use crate::error::Raised;

/// The most functions that a worker keeps.
const FUNCTIONS: usize = 64;

/// A worker's seat in its pool, in the worker's process.
#[pyclass(unsendable, module = "procession._procession")]
pub(crate) struct WorkerCore {
    worker: Worker,
    functions: HashMap<u64, Py<PyAny>>,
    out: Vec<u8>,
    support: Py<PyAny>,
}

#[pymethods]
impl WorkerCore {
    /// Takes the seat `index` with the descriptors of an invitation, which it owns from now on.
    ///
    /// `support` makes failures portable: `support.failure(exc)` and `support.unsendable(exc, value)` return bytes.
    #[new]
    fn new(index: usize, pool: i32, own: i32, parent: i32, support: Py<PyAny>) -> PyResult<WorkerCore> {
        let open = |fd: i32| -> PyResult<OwnedFd> { Ok(procession::platform::adopt(fd).map_err(Raised::from)?) };
        let worker = Worker::open(index, open(pool)?, open(own)?, open(parent)?).map_err(Raised::from)?;
        Ok(WorkerCore { worker, functions: HashMap::new(), out: Vec::new(), support })
    }

    /// Reports that the initializer failed with `failure`, bytes of `support.failure`.
    fn init_failed(&mut self, failure: &[u8]) -> PyResult<()> {
        Ok(self.worker.init_failed(failure).map_err(Raised::from)?)
    }

    /// Runs records until the pool is closed, or `limit` chunks are done (0: no limit).
    ///
    /// Blocks detached from the interpreter while there is nothing to do. A signal handler that raises ends it.
    fn run(&mut self, py: Python<'_>, limit: u64) -> PyResult<()> {
        let mut left = if limit == 0 { u64::MAX } else { limit };
        self.worker.ready().map_err(Raised::from)?;
        loop {
            let worker = &mut self.worker;
            match py.detach(|| worker.turn()) {
                Ok(Turn::Record(head)) => {
                    self.record(py, head, &mut left)?;
                    if left == 0 {
                        return Ok(self.worker.leaving().map_err(Raised::from)?);
                    }
                    py.check_signals()?;
                }
                Ok(Turn::Stop) => return Ok(()),
                Err(error) if error.is_interrupted() => py.check_signals()?,
                Err(error) => return Err(Raised::from(error).into()),
            }
        }
    }
}

impl WorkerCore {
    fn record(&mut self, py: Python<'_>, head: RecordHead, left: &mut u64) -> PyResult<()> {
        self.worker.decoding();
        let record = self.worker.take_body();
        let answer = self.items(py, head, body_of(&record), left);
        self.worker.put_body(record);
        answer
    }

    fn items(&mut self, py: Python<'_>, head: RecordHead, mut body: &[u8], left: &mut u64) -> PyResult<()> {
        let preamble = Preamble::decode(&mut body)?;
        let function = self.function(py, &preamble);
        let mut done = 0;
        while done < head.count {
            let size = head.chunk.min(head.count - done);
            let ran = match &function {
                Ok(function) => self.chunk(py, function.bind(py), preamble.mode, size, &mut body)?,
                Err(error) => {
                    for _ in 0..size {
                        self.failed(py, error.clone_ref(py))?;
                    }
                    true
                }
            };
            if !ran {
                return Ok(self.worker.undecodable().map_err(Raised::from)?);
            }
            done += size;
            *left = left.saturating_sub(1);
            if done == head.count {
                break;
            }
            let slow = self.worker.between();
            if *left == 0 || (slow && head.splittable) {
                return Ok(self.worker.hand_back().map_err(Raised::from)?);
            }
        }
        Ok(self.worker.done().map_err(Raised::from)?)
    }

    /// Runs the items of a chunk; false, and nothing run, when several items cannot be rebuilt together.
    fn chunk(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        size: u32,
        body: &mut &[u8],
    ) -> PyResult<bool> {
        if size > 1 && body.first() == Some(&codec::TOGETHER) {
            *body = &body[1..];
            self.worker.decoding();
            let values = match codec::decode(py, body).and_then(|list| Ok(list.cast_into::<PyList>()?)) {
                Ok(values) => values,
                Err(_) => return Ok(false),
            };
            for index in 0..size as usize {
                let value = values.get_item(index)?;
                // The list lets go of what has run.
                values.set_item(index, py.None())?;
                self.item(py, function, mode, Ok(value), index + 1 < size as usize)?;
            }
            return Ok(true);
        }
        for index in 0..size {
            let mut bytes = codec::skip(body)?;
            if !codec::is_simple(bytes) {
                self.worker.decoding();
            }
            let value = codec::decode(py, &mut bytes);
            self.item(py, function, mode, value, index + 1 < size)?;
        }
        Ok(true)
    }

    #[inline]
    fn item(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        value: PyResult<Bound<'_, PyAny>>,
        more: bool,
    ) -> PyResult<()> {
        self.worker.running();
        match value.and_then(|value| codec::call(function, mode, value)) {
            Ok(result) => self.returned(&result)?,
            Err(error) => self.failed(py, error)?,
        }
        if more {
            self.worker.between();
        }
        Ok(())
    }

    fn returned(&mut self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let answer = match codec::encode(result, &mut out) {
            Ok(()) => match self.worker.outcome(FrameKind::Returned, &out) {
                Ok(()) => Ok(()),
                Err(error) => self.unsendable(Raised::from(error).into(), result),
            },
            Err(error) => self.unsendable(error, result),
        };
        if out.capacity() > 4 << 20 {
            out = Vec::new();
        }
        self.out = out;
        answer
    }

    #[cold]
    fn unsendable(&mut self, error: PyErr, result: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = result.py();
        let failure = self.support.bind(py).call_method1("unsendable", (error.value(py), result))?;
        let failure = failure.cast::<PyBytes>()?.as_bytes();
        Ok(self.worker.outcome(FrameKind::Raised, failure).map_err(Raised::from)?)
    }

    #[cold]
    fn failed(&mut self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        if let Some(traceback) = error.traceback(py) {
            error.value(py).setattr("__traceback__", traceback)?;
        }
        let failure = self.support.bind(py).call_method1("failure", (error.value(py),))?;
        let failure = failure.cast::<PyBytes>()?.as_bytes();
        Ok(self.worker.outcome(FrameKind::Raised, failure).map_err(Raised::from)?)
    }

    fn function(&mut self, py: Python<'_>, preamble: &Preamble<'_>) -> PyResult<Py<PyAny>> {
        if let Some(function) = self.functions.get(&preamble.function) {
            return Ok(function.clone_ref(py));
        }
        let function = match preamble.pickled {
            Ok(pickled) => codec::unpickle(py, pickled)?,
            Err((offset, size)) => {
                let mut pickled = Vec::new();
                if !self.worker.read_block(offset, size, &mut pickled) {
                    return Err(PyRuntimeError::new_err("a function's block lies outside of the pool's segment"));
                }
                codec::unpickle(py, &pickled)?
            }
        };
        if self.functions.len() >= FUNCTIONS {
            self.functions.clear();
        }
        self.functions.insert(preamble.function, function.clone().unbind());
        Ok(function.unbind())
    }
}

fn body_of(record: &[u8]) -> &[u8] {
    RecordHead::decode(record).map_or(&[], |(_, body)| body)
}
