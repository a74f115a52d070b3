//! The loop of a worker process: claim, rebuild, call, encode, publish; no bytecode of ours per task.
//!
//! A long file: the steps of one loop, which share the worker's state.

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::Arc;

use procession::channel::{FrameKind, Report, is_called_off};
use procession::pool::{RecordHead, Turn, Worker};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyIterator, PyList, PyRange};
use rustc_hash::FxHashMap;

use crate::again::Sent;
use crate::common::LastCommon;
use crate::error::{Raised, traced};
use crate::interrupts::{Interrupts, Line};
use crate::naming::Scope;
use crate::place::{Bare, Room};
use crate::values::{self, Mode, Preamble};
use crate::worker_memory::{PoolShelf, ResultRoom};

/// The most plain items that are rebuilt at once.
const PLAIN_ROW: u32 = 256;
/// The most functions that a worker keeps.
const FUNCTIONS: usize = 64;

/// A worker's seat in its pool, in the worker's process.
#[pyclass(unsendable, module = "procession._procession")]
pub(crate) struct WorkerCore {
    worker: Worker,
    functions: FxHashMap<u64, Py<PyAny>>,
    /// The function that has large parts in the pool's blocks: it is forgotten when another comes, or nothing.
    large_function: Option<(u64, Py<PyAny>)>,
    common: Arc<LastCommon>,
    /// The last function that not all items share, and which of them have it now.
    shared_by: (u64, u64),
    out: Vec<u8>,
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
        let open = |fd: i32| -> PyResult<OwnedFd> { Ok(procession::platform::adopt(fd).map_err(Raised::from)?) };
        let worker = Worker::open(index, open(pool)?, open(own)?, open(parent)?).map_err(Raised::from)?;
        Ok(WorkerCore {
            worker,
            functions: FxHashMap::default(),
            large_function: None,
            common: Arc::default(),
            shared_by: (0, 0),
            out: Vec::new(),
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
        Ok(report.descriptor().map_err(Raised::from)?.into_raw_fd())
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
        Ok(self.worker.init_failed(failure).map_err(Raised::from)?)
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
        self.worker.ready().map_err(Raised::from)?;
        let worker = &mut self.worker;
        while let Err(error) = py.detach(|| worker.wait_to_start()) {
            if !error.is_interrupted() {
                return Err(Raised::from(error).into());
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
                        self.worker.last().map_err(Raised::from)?;
                    }
                    if head.has_units || self.has_units {
                        self.has_units = head.has_units;
                        self.support.bind(py).call_method1("granted", (self.worker.units().to_vec(),))?;
                    }
                    self.record(py, head, &mut left)?;
                    if left == 0 || self.worker.is_heavy() {
                        return Ok(self.worker.leaving().map_err(Raised::from)?);
                    }
                    py.check_signals()?;
                }
                Ok(Turn::Leave) => return Ok(self.worker.leaving().map_err(Raised::from)?),
                Ok(Turn::Stop) => return Ok(()),
                Ok(Turn::Idle) => {
                    if !untidy {
                        self.common.forget();
                        self.forget_sent();
                    }
                    self.large_function = None;
                    self.worker.tidied().map_err(Raised::from)?;
                    tidied = true;
                }
                Err(error) if error.is_interrupted() => py.check_signals()?,
                Err(error) => return Err(Raised::from(error).into()),
            }
        }
    }
}

/// Apart, so that the room it takes on the stack is not that of who calls it.
#[cold]
#[inline(never)]
fn nothing_sent() -> Box<Sent> {
    Box::default()
}

impl WorkerCore {
    fn forget_sent(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.clear();
        }
    }

    /// Has what is written go where the parent wants it.
    #[cold]
    #[inline(never)]
    fn speak(&mut self, py: Python<'_>, asked: (u32, u32, u32)) -> bool {
        self.worker.speaks(true);
        if let Err(error) = self.support.bind(py).call_method1("speak", asked) {
            error.write_unraisable(py, None);
        }
        true
    }

    /// Has what is written go where it went before.
    #[cold]
    #[inline(never)]
    fn hush(&mut self, py: Python<'_>) {
        if let Err(error) = self.support.bind(py).call_method0("hush") {
            error.write_unraisable(py, None);
        }
        self.worker.speaks(false);
    }

    fn record(&mut self, py: Python<'_>, head: RecordHead, left: &mut u64) -> PyResult<()> {
        // Before anything that could be interrupted.
        let speaks = match self.worker.asked_to_speak(head.job) {
            Some(asked) => self.speak(py, asked),
            None => false,
        };
        self.worker.decoding();
        self.unwanted = false;
        self.common.keep_of(head.job);
        if let Some(sent) = &mut self.sent {
            sent.keep_of(head.job);
        }
        let record = self.worker.take_body();
        let answer = self.items(py, head, body_of(&record), left);
        if speaks {
            self.hush(py);
        }
        self.worker.put_body(record);
        answer
    }

    fn items(&mut self, py: Python<'_>, head: RecordHead, mut body: &[u8], left: &mut u64) -> PyResult<()> {
        let preamble = Preamble::decode(&mut body)?;
        (self.sharing, self.record) = (preamble.sharing, (head.job, head.first));
        let is_call = preamble.mode == Mode::Apply;
        if self.current_is_call != is_call {
            self.current_is_call = is_call;
            self.current.bind(py).set_item(1, is_call)?;
        }
        let mut function = self.function(py, &preamble, head.first);
        let mut end = preamble.end_of_share(head.first);
        let mut done = 0;
        if let (Ok(_), Mode::Map, 1) = (&function, preamble.mode, head.chunk) {
            let range = values::decode_range(&mut body)?;
            while done < head.count {
                let at = head.first + u64::from(done);
                if at >= end {
                    drop(std::mem::replace(&mut function, Ok(py.None())));
                    function = self.function(py, &preamble, at);
                    end = preamble.end_of_share(at);
                }
                let most = (end - at).min(*left).min(PLAIN_ROW.into()).min((head.count - done).into()) as u32;
                let (row, count) = match range {
                    Some((first, step)) => (part_of(py, first, step, done, most)?, most),
                    None => plain_items(py, &mut body, most)?,
                };
                if count == 0 {
                    break;
                }
                let last = done + count == head.count;
                let (ran, on) = match &function {
                    Ok(function) => self.plain_row(py, function.bind(py), &row, count, last)?,
                    Err(error) => {
                        for _ in 0..count {
                            self.failed(py, error.clone_ref(py))?;
                        }
                        (count, true)
                    }
                };
                done += ran;
                *left = left.saturating_sub(ran.into());
                if done < head.count && (!on || *left == 0) {
                    return Ok(self.worker.hand_back().map_err(Raised::from)?);
                }
            }
        }
        while done < head.count {
            let at = head.first + u64::from(done);
            if at >= end {
                drop(std::mem::replace(&mut function, Ok(py.None())));
                self.worker.decoding();
                function = self.function(py, &preamble, at);
                end = preamble.end_of_share(at);
            }
            // Items that share the function are as many as may make a group.
            if let (Ok(function), 1) = (&function, head.chunk) {
                let Ok(group) = self.group(py, head.count - done, &mut body) else {
                    return Ok(self.worker.undecodable().map_err(Raised::from)?);
                };
                if let Some(items) = group {
                    if !self.run_group(py, function.bind(py), preamble.mode, head, &items, &mut done, left)? {
                        return Ok(self.worker.hand_back().map_err(Raised::from)?);
                    }
                    continue;
                }
            }
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
            if self.unwanted || !self.goes_on(head, done, left) {
                return Ok(self.worker.hand_back().map_err(Raised::from)?);
            }
        }
        Ok(self.worker.done().map_err(Raised::from)?)
    }

    /// Counts a chunk that has run, the `done`th item its last; false when the rest of the record is to go back.
    fn goes_on(&mut self, head: RecordHead, done: u32, left: &mut u64) -> bool {
        *left = left.saturating_sub(1);
        if done == head.count {
            return true;
        }
        let slow = self.worker.between();
        !(*left == 0 || (slow && head.splittable) || self.unwanted || self.worker.is_heavy())
    }

    /// The items that come next in a record, if they were pickled as one.
    fn group<'py>(&mut self, py: Python<'py>, most: u32, body: &mut &[u8]) -> PyResult<Option<Bound<'py, PyList>>> {
        if values::is_group(body) {
            self.worker.decoding();
        }
        values::decode_group(py, body, most, &self.shelf())
    }

    /// Runs the items of a group; false when the rest of the record is to go back.
    #[allow(clippy::too_many_arguments)]
    fn run_group(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        head: RecordHead,
        items: &Bound<'_, PyList>,
        done: &mut u32,
        left: &mut u64,
    ) -> PyResult<bool> {
        for index in 0..items.len() {
            let value = items.get_item(index)?;
            // The list lets go of what has run.
            items.set_item(index, py.None())?;
            self.item(py, function, mode, Ok(value), false)?;
            *done += 1;
            if !self.goes_on(head, *done, left) {
                return Ok(false);
            }
        }
        Ok(true)
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
        if size > 1 && body.first() == Some(&values::TOGETHER) {
            *body = &body[1..];
            self.worker.decoding();
            let values = match values::decode(py, body, &self.shelf()).and_then(|list| Ok(list.cast_into::<PyList>()?))
            {
                Ok(values) => values,
                Err(_) => return Ok(false),
            };
            for index in 0..size as usize {
                let value = values.get_item(index)?;
                // The list lets go of what has run.
                values.set_item(index, py.None())?;
                self.item(py, function, mode, Ok(value), index + 1 < size as usize)?;
                if self.unwanted {
                    break;
                }
            }
            return Ok(true);
        }
        self.one_by_one(py, function, mode, size, body)?;
        Ok(true)
    }

    /// Rebuilds and runs items that stand one after the other.
    fn one_by_one(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        size: u32,
        body: &mut &[u8],
    ) -> PyResult<()> {
        for index in 0..size {
            let mut bytes = values::skip(body)?;
            if !values::is_simple(bytes) {
                self.worker.decoding();
            }
            let value = values::decode(py, &mut bytes, &self.shelf());
            self.worker.excuse(self.common.spent());
            self.item(py, function, mode, value, index + 1 < size)?;
            if self.unwanted {
                break;
            }
        }
        Ok(())
    }

    /// Runs many plain items: the interpreter's own `map` calls without a tuple of arguments for each. False when the
    /// rest of the record should go back; `done` counts the items.
    fn plain_row(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        row: &Bound<'_, PyAny>,
        count: u32,
        last: bool,
    ) -> PyResult<(u32, bool)> {
        let mut results = self.map.bind(py).call1((function, row))?.cast_into::<PyIterator>()?;
        for done in 1..=count {
            self.worker.running();
            if self.worker.is_shown()
                && let Ok(item) = row.get_item(done as usize - 1)
            {
                self.show(Mode::Map, &item);
            }
            let answer = match &self.around {
                None => results.next(),
                Some((begin, end)) => {
                    let begun = begin.call0(py);
                    let answer = results.next();
                    match begun.and_then(|_| end.call0(py)) {
                        Ok(_) => answer,
                        Err(error) => Some(Err(error)),
                    }
                }
            };
            self.worker.sending();
            match answer {
                Some(Ok(result)) => self.returned(&result)?,
                Some(Err(error)) => self.failed(py, error)?,
                // The iterator took what the function raised for its own end.
                None => self.failed(py, PyStopIteration::new_err(()))?,
            }
            if (done < count || !last) && (self.worker.between() || self.unwanted || self.worker.is_heavy()) {
                return Ok((done, false));
            }
        }
        Ok((count, true))
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
        if self.worker.is_shown()
            && let Ok(value) = &value
        {
            self.show(mode, value);
        }
        let answer = match &self.around {
            None => value.and_then(|value| values::call(function, mode, value)),
            Some((begin, end)) => {
                let begun = begin.call0(py);
                let answer = begun.and(value).and_then(|value| values::call(function, mode, value));
                end.call0(py).and(answer)
            }
        };
        self.worker.sending();
        match answer {
            Ok(result) => self.returned(&result)?,
            Err(error) => self.failed(py, error)?,
        }
        if more {
            self.worker.between();
        }
        Ok(())
    }

    /// Shows what an item is given, as far as that takes no code but ours.
    #[cold]
    fn show(&self, mode: Mode, item: &Bound<'_, PyAny>) {
        let kind = match mode {
            Mode::Apply => "apply",
            Mode::Map => "map",
            Mode::Star => "starmap",
        };
        let py = item.py();
        let text = self.support.bind(py).call_method1("arguments", (kind, item));
        if let Ok(text) = text.and_then(|text| text.extract::<String>()) {
            self.worker.show(&text);
        }
    }

    #[inline]
    fn returned(&mut self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(number) = values::as_int(result) {
            let mut framed = values::framed_int(number);
            return Ok(self.worker.returned_small(&mut framed, false).map_err(Raised::from)?);
        }
        self.returned_slow(result)
    }

    fn returned_slow(&mut self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.sharing > 1 {
            let ((job, first), at) = (self.record, u64::from(self.worker.next_item()));
            // Where the scope is the whole job, none comes after it.
            let sent = self.sent.get_or_insert_with(nothing_sent);
            sent.enter(job, (first + at) / self.sharing, self.sharing < u64::MAX);
            if let Some(mut framed) = sent.at_once(result) {
                let answer = self.worker.returned_small(&mut framed, true);
                if answer.is_err() {
                    self.forget_sent();
                }
                return Ok(answer.map_err(Raised::from)?);
            }
        }
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        // Room for the size that a run has before each result.
        out.push(0);
        let mut room = ResultRoom { worker: &mut self.worker, lent: Vec::new() };
        let scope = Scope::to_parent();
        let encoded = match &mut self.sent {
            Some(sent) if self.sharing > 1 => sent.encode(result, &mut out, &mut room),
            _ => values::encode(result, &mut out, &mut room),
        };
        drop(scope);
        if encoded.is_err() {
            room.take_back();
        }
        // Those in memory that is shared on purpose need nobody's care.
        let parts = !room.lent.is_empty();
        let answer = match encoded {
            Ok(()) => match self.send(&mut out, parts) {
                Ok(()) => Ok(()),
                Err(error) => {
                    // The parent does not hear of the places that it gives.
                    self.forget_sent();
                    self.unsendable(Raised::from(error).into(), result)
                }
            },
            Err(error) => self.unsendable(error, result),
        };
        if out.capacity() > 4 << 20 {
            out = Vec::new();
        }
        self.out = out;
        answer
    }

    #[inline]
    fn send(&mut self, out: &mut [u8], parts: bool) -> procession::Result<()> {
        if parts {
            // What becomes of the blocks of runs that nobody wants is not looked after.
            return self.worker.outcome(FrameKind::Returned, &out[1..]);
        }
        let named = values::is_named(&out[1..]);
        self.worker.returned(out, named)
    }

    #[cold]
    fn unsendable(&mut self, error: PyErr, result: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = result.py();
        let failure = self.support.bind(py).call_method1("unsendable", (traced(py, &error), result))?;
        let failure = failure.cast::<PyBytes>()?.as_bytes();
        Ok(self.worker.outcome(FrameKind::Raised, failure).map_err(Raised::from)?)
    }

    #[cold]
    fn failed(&mut self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        self.unwanted |= is_called_off(self.worker.own_segment());
        let _scope = Scope::to_parent();
        let failure = self.support.bind(py).call_method1("failure", (traced(py, &error),))?;
        let failure = failure.cast::<PyBytes>()?.as_bytes();
        Ok(self.worker.outcome(FrameKind::Raised, failure).map_err(Raised::from)?)
    }

    /// The function for the item with the number `at`: as it was sent, for the first of those that share it.
    fn function(&mut self, py: Python<'_>, preamble: &Preamble<'_>, at: u64) -> PyResult<Py<PyAny>> {
        if let Some(sharers) = preamble.sharers(at) {
            let shared_by = (preamble.function, sharers);
            if std::mem::replace(&mut self.shared_by, shared_by) != shared_by {
                self.forget(py, preamble.function)?;
            }
        }
        if let Some(function) = self.functions.get(&preamble.function) {
            if self.current_id != preamble.function {
                self.current_id = preamble.function;
                self.current.bind(py).set_item(0, function)?;
            }
            return Ok(function.clone_ref(py));
        }
        if self.current_id != 0 {
            // What is large is held in one place only.
            self.current_id = 0;
            self.current.bind(py).set_item(0, py.None())?;
        }
        match &self.large_function {
            Some((id, function)) if *id == preamble.function => return Ok(function.clone_ref(py)),
            Some(_) => {
                self.large_function = None;
                // Its memory is wanted before this record ends, which may take long or much.
                self.worker.tidied().map_err(Raised::from)?;
            }
            None => {}
        }
        let mut read = Vec::new();
        let mut bytes = match preamble.pickled {
            Ok(pickled) => pickled,
            Err((offset, size)) => {
                if !self.worker.read_block(offset, size, &mut read) {
                    return Err(PyRuntimeError::new_err("a function's block lies outside of the pool's segment"));
                }
                &read[..]
            }
        };
        let is_large = values::has_parts(bytes);
        let function = values::decode(py, &mut bytes, &self.shelf())?.unbind();
        if is_large {
            self.large_function = Some((preamble.function, function.clone_ref(py)));
            return Ok(function);
        }
        if self.functions.len() >= FUNCTIONS {
            self.functions.clear();
        }
        self.functions.insert(preamble.function, function.clone_ref(py));
        self.current_id = preamble.function;
        self.current.bind(py).set_item(0, &function)?;
        Ok(function)
    }

    /// Lets go of a function.
    fn forget(&mut self, py: Python<'_>, id: u64) -> PyResult<()> {
        if self.current_id == id {
            self.current_id = 0;
            self.current.bind(py).set_item(0, py.None())?;
        }
        let large = self.large_function.take_if(|(large, _)| *large == id);
        drop((self.functions.remove(&id), large));
        Ok(())
    }

    fn shelf(&self) -> PoolShelf {
        let (segment, holdings) = (self.worker.pool_segment().clone(), self.worker.holdings().clone());
        PoolShelf { segment, holdings, common: self.common.clone() }
    }
}

/// The numbers of a record from its item `done` on.
fn part_of<'py>(py: Python<'py>, first: i64, step: i64, done: u32, count: u32) -> PyResult<Bound<'py, PyAny>> {
    let number = |index: i64| first.wrapping_add(step.wrapping_mul(index)) as isize;
    let (from, to) = (number(done.into()), number(i64::from(done) + i64::from(count)));
    Ok(PyRange::new_with_step(py, from, to, step as isize)?.into_any())
}

/// The next items that are plain, at most `most`, and how many they are.
fn plain_items<'py>(py: Python<'py>, body: &mut &[u8], most: u32) -> PyResult<(Bound<'py, PyAny>, u32)> {
    let mut values = Vec::new();
    while values.len() < most as usize && values::is_simple(body) {
        values.push(values::decode(py, body, &Bare)?);
    }
    let count = values.len() as u32;
    Ok((PyList::new(py, values)?.into_any(), count))
}

fn body_of(record: &[u8]) -> &[u8] {
    RecordHead::decode(record).map_or(&[], |(_, body)| body)
}
