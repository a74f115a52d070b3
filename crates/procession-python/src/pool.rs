//! A pool in the process that made it, and the handles of its jobs.
//!
//! A long file: the two classes share what a forked child may not touch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::IntoRawFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use procession::platform::{Watched, identity, pid_of};
use procession::pool::{Board, Chunk, Doing, Driver, Entry, Title, Verdict};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyIterator, PyList, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::drive::{Bounds, FunctionRoom, Inner, exception};
use crate::error::{Raised, traced};
use crate::job::{Answer, Described, Function, Job, Next, Options, Results, State};
use crate::naming::Scope;
use crate::reducers::by_value_count;
use crate::report::Report;
use crate::row::Row;
use crate::stateless::{is_named, is_stateless};
use crate::values::{self, Mode};

/// A larger pickle of a function lies in a block and is read by each worker once.
const INLINE_FUNCTION: usize = 1024;
/// How many functions are remembered with their pickles.
const FUNCTIONS: usize = 16;

/// A link to a pool's engine from the process that made it. A forked child leaks its copy instead of dropping it, as
/// threads that it does not have may have locked it.
struct Link<T> {
    owner: u64,
    engine: Mutex<Option<T>>,
}

impl<T: Clone> Link<T> {
    fn new(engine: T) -> Link<T> {
        Link { owner: identity(), engine: Mutex::new(Some(engine)) }
    }

    fn get(&self) -> PyResult<T> {
        if !self.is_ours() {
            return Err(PyRuntimeError::new_err(format!(
                "this pool belongs to process {}: make a Pool in the process that uses it",
                pid_of(self.owner)
            )));
        }
        let engine = self.engine.lock().expect("no panic while locked").clone();
        engine.ok_or_else(|| PyValueError::new_err("Pool not running: it has ended, make a new one"))
    }

    fn take(&self) -> Option<T> {
        if self.is_ours() { self.engine.lock().expect("no panic while locked").take() } else { None }
    }
}

impl<T> Link<T> {
    fn is_ours(&self) -> bool {
        self.owner == identity()
    }
}

impl<T> Drop for Link<T> {
    fn drop(&mut self) {
        if !self.is_ours() {
            std::mem::forget(std::mem::replace(&mut self.engine, Mutex::new(None)));
        }
    }
}

/// A function that was pickled before: the object, the number that workers know it by, its pickle.
type Known = (Py<PyAny>, u64, Vec<u8>);

/// The engine of a pool.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct PoolCore {
    /// All handles lose it together.
    owned: Arc<Link<Arc<Inner>>>,
    known: Arc<Mutex<Vec<Known>>>,
    /// Which handle of a shared pool it is; 0 is the pool itself.
    handle: u64,
}

/// The handle of a job.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct JobCore {
    owned: Link<Weak<Inner>>,
    job: Arc<Job>,
}

fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() => {
            Err(PyValueError::new_err("a timeout must be a number of seconds, not nan"))
        }
        // Beyond a century is for ever.
        Some(seconds) if seconds > 3e9 => Ok(None),
        Some(seconds) => Ok(Some(Instant::now() + Duration::from_secs_f64(seconds.max(0.0)))),
    }
}

/// See `PoolCore.load`.
type Load = (u64, Vec<(usize, u64, bool)>);

/// A worker at one moment; see `PoolCore.survey`.
type WorkerNow = (usize, u32, &'static str, f64, u64, u64, Option<Described>, Option<f64>);

/// A task that runs: see `JobCore.progress`.
type TaskNow = (usize, u32, u64, f64, Option<(f64, Option<f64>, String)>);

/// How far a job is: see `JobCore.progress`.
type Progress = (Option<u64>, u64, u64, u64, Vec<TaskNow>);

/// A tuple: seconds an item may run, how often it is tried again, after which exceptions; and, for some, what is told of
/// outcomes, how urgent the job is, what its records hold, and in which order its chunks go out.
type Wishes = Option<Options>;

impl<'a, 'py> FromPyObject<'a, 'py> for Options {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Options> {
        let wishes = object.cast::<PyTuple>()?;
        let timeout: Option<f64> = wishes.get_item(0)?.extract()?;
        let special = if wishes.len() > 4 {
            let (priority, needs, order) = wishes.get_slice(4, 7).extract()?;
            Some(Box::new(procession::pool::Wishes { priority, order, needs }))
        } else {
            None
        };
        Ok(Options {
            timeout: timeout.map(Duration::from_secs_f64),
            retries: wishes.get_item(1)?.extract()?,
            retry_on: wishes.get_item(2)?.extract()?,
            collector: wishes.iter().nth(3).map(|collector| collector.extract()).transpose()?.flatten(),
            special,
        })
    }
}

fn mode(star: bool) -> Mode {
    if star { Mode::Star } else { Mode::Map }
}

fn give(py: Python<'_>, answer: Answer) -> PyResult<Py<PyAny>> {
    answer.map_err(|failure| PyErr::from_value(failure.into_bound(py)))
}

#[pymethods]
impl PoolCore {
    /// The engine of a pool of `workers`; `support` is called when Python has to do something (see `procession._pool.crew`).
    /// A worker may have `memory` bytes while it runs an item, and become `age` seconds old.
    #[new]
    #[pyo3(signature = (workers, support, memory=None, age=None))]
    fn new(workers: usize, support: Py<PyAny>, memory: Option<u64>, age: Option<f64>) -> PyResult<PoolCore> {
        let driver = Driver::new(workers).map_err(Raised::from)?;
        let bounds = Bounds { memory, age: age.map(Duration::from_secs_f64) };
        let inner = Arc::new(Inner::new(driver, workers, bounds, support)?);
        Ok(PoolCore { owned: Arc::new(Link::new(inner)), known: Arc::default(), handle: 0 })
    }

    /// A handle of the same engine: `close`, `end` and `join` mean the jobs that are handed in by it.
    fn share(&self) -> PyResult<PoolCore> {
        let inner = self.owned.get()?;
        let handle = {
            let mut shared = inner.shared();
            shared.next_handle += 1;
            let handle = shared.next_handle;
            shared.handles.insert(handle, Default::default());
            handle
        };
        Ok(PoolCore { owned: self.owned.clone(), known: self.known.clone(), handle })
    }

    /// Has those who look at the machine's pools find this one: as that of `program`, whose workers are started by `method`.
    fn entitle(&self, program: &str, method: &str) -> PyResult<()> {
        let inner = self.owned.get()?;
        inner.shared().driver.board.entitle(program, method, inner.workers() as usize, inner.bounds.memory);
        Ok(())
    }

    /// Prepares a seat for the worker of `place`: its index and three descriptors for the worker, which the caller closes after
    /// the start.
    #[pyo3(signature = (place=None))]
    fn invite(&self, place: Option<u32>) -> PyResult<(usize, i32, i32, i32)> {
        let invitation = self.owned.get()?.shared().driver.invite(place).map_err(Raised::from)?;
        let raw = |fd: std::os::fd::OwnedFd| fd.into_raw_fd();
        Ok((invitation.index, raw(invitation.pool), raw(invitation.own), raw(invitation.parent)))
    }

    /// What the worker of seat `index` writes about itself.
    fn report(&self, index: usize) -> PyResult<Option<Report>> {
        Ok(self.owned.get()?.shared().driver.report(index).map(Report))
    }

    /// The worker of seat `index` runs as process `pid`, and `sentinel` becomes ready when it ends; it stays open until
    /// `support.worker_ended` was called.
    fn seated(&self, index: usize, sentinel: i32, pid: u32) -> PyResult<()> {
        let sentinel = Watched::Lent(sentinel);
        Ok(self.owned.get()?.shared().driver.seated(index, sentinel, pid).map_err(Raised::from)?)
    }

    /// The worker of seat `index` could not be started.
    fn uninvite(&self, index: usize) -> PyResult<()> {
        self.owned.get()?.shared().driver.uninvite(index);
        Ok(())
    }

    /// Python has taken note of the end of the worker of seat `index`.
    fn vacate(&self, index: usize) -> PyResult<()> {
        self.owned.get()?.shared().driver.vacate(index);
        Ok(())
    }

    /// The worker of seat `index` takes no task until `let_start`.
    fn keep_waiting(&self, index: usize) -> PyResult<()> {
        self.owned.get()?.shared().driver.keep_waiting(index);
        Ok(())
    }

    /// The worker of seat `index` may take tasks.
    fn let_start(&self, index: usize) -> PyResult<()> {
        self.owned.get()?.shared().driver.let_start(index);
        Ok(())
    }

    /// The worker of seat `index` ends before it takes another record.
    fn retire(&self, index: usize) -> PyResult<()> {
        self.owned.get()?.shared().driver.retire(index);
        Ok(())
    }

    /// The worker of seat `index`, which was retired, stays after all; too late if it has looked: then it says that it leaves.
    fn stay(&self, index: usize) -> PyResult<()> {
        self.owned.get()?.shared().driver.stay(index);
        Ok(())
    }

    /// There are to be so many workers from now on.
    fn resize(&self, workers: usize) -> PyResult<()> {
        self.owned.get()?.resize(workers);
        Ok(())
    }

    /// `support.tend()` is called every so many seconds while tasks run, `also_idle` when none do; or no more.
    fn tend_every(&self, seconds: Option<f64>, also_idle: bool) -> PyResult<()> {
        self.owned.get()?.tend_every(seconds.map(Duration::from_secs_f64), also_idle);
        Ok(())
    }

    /// How many tasks wait; of each worker its seat, how many outcomes it has sent, and whether it is ready and has no task.
    fn load(&self) -> PyResult<Load> {
        Ok(self.owned.get()?.shared().driver.load())
    }

    /// The number that the next job gets, unless another thread is faster.
    fn next_job(&self) -> PyResult<u64> {
        Ok(self.owned.get()?.shared().next_job)
    }

    /// What items of `job` and of those after it write to standard output and error, in the worker of seat `index`, goes to
    /// two pipes, which are descriptors of the process `pid`; 0 for one that stays as it is. Job 0: of none.
    fn ask_to_speak(&self, index: usize, job: u64, pid: u32, out: u32, err: u32) -> PyResult<()> {
        if let Some(badge) = self.owned.get()?.shared().driver.badge(index) {
            badge.ask(job, pid, (out, err));
        }
        Ok(())
    }

    /// Whether the worker of seat `index` writes to such pipes just now.
    fn is_speaking(&self, index: usize) -> PyResult<bool> {
        Ok(self.owned.get()?.shared().driver.badge(index).is_some_and(|badge| badge.is_speaking()))
    }

    /// The pool has so many units of each kind, for tasks that hold some while they run.
    fn equip(&self, counts: Vec<u16>) -> PyResult<()> {
        self.owned.get()?.shared().driver.scheduler.equip(&counts);
        Ok(())
    }

    /// How many tasks have an outcome.
    fn outcomes(&self) -> PyResult<u64> {
        let tally = self.owned.get()?.shared().tally;
        Ok(tally.done + tally.failed)
    }

    /// `support.refill()` is called after `delay` seconds, by whoever drives the pool then.
    fn refill_later(&self, delay: f64) -> PyResult<()> {
        self.owned.get()?.set_alarm(Duration::from_secs_f64(delay));
        Ok(())
    }

    /// What goes on: for each worker its seat, pid, activity, age, outcomes, bytes of memory, task and for how long it has
    /// had that; how many tasks wait; how many are done, failed and were tried again; how many workers died.
    fn survey(&self, py: Python<'_>) -> PyResult<(Vec<WorkerNow>, u64, [u64; 4])> {
        let (states, waiting, tally) = self.owned.get()?.survey(py);
        let workers = states.into_iter().map(|(state, task)| {
            let doing = match state.doing {
                Doing::Starting => "starting",
                Doing::Idle => "idle",
                Doing::Working => "working",
                Doing::Leaving => "leaving",
            };
            let since = state.running.map(|(_, _, since)| since.as_secs_f64());
            let age = state.age.as_secs_f64();
            (state.index, state.pid, doing, age, state.served, state.memory.resident, task, since)
        });
        Ok((workers.collect(), waiting, [tally.done, tally.failed, tally.retried, tally.deaths]))
    }

    /// The seats of the workers that have begun and run nothing.
    fn unoccupied(&self) -> PyResult<Vec<usize>> {
        Ok(self.owned.get()?.unoccupied())
    }

    /// `function(*args, **kwds)` in a worker; waits for it.
    #[pyo3(signature = (function, args, kwds, wishes=None, /))]
    fn apply(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyAny>,
        kwds: &Bound<'_, PyAny>,
        wishes: Wishes,
    ) -> PyResult<Py<PyAny>> {
        let inner = self.owned.get()?;
        let job = self.single(py, &inner, function, args, kwds, None, wishes)?;
        complete(py, &inner, &job)
    }

    /// The same, without waiting.
    #[pyo3(signature = (function, args, kwds, callbacks, wishes=None, /))]
    fn apply_async(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyAny>,
        kwds: &Bound<'_, PyAny>,
        callbacks: Option<(Py<PyAny>, Py<PyAny>)>,
        wishes: Wishes,
    ) -> PyResult<JobCore> {
        let inner = self.owned.get()?;
        let job = self.single(py, &inner, function, args, kwds, callbacks, wishes)?;
        handle(py, &inner, job)
    }

    /// `function` on each item in workers; waits for the list of results.
    #[pyo3(signature = (function, items, chunk, star, wishes=None, /))]
    fn map(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        items: &Bound<'_, PyAny>,
        chunk: Option<u32>,
        star: bool,
        wishes: Wishes,
    ) -> PyResult<Py<PyAny>> {
        let inner = self.owned.get()?;
        let job = self.all(py, &inner, function, items, chunk, star, None, wishes)?;
        complete(py, &inner, &job)
    }

    /// The same, without waiting. With `begun`, which only crews of other kinds call, who calls waits at once: no thread is
    /// started for it.
    #[pyo3(signature = (function, items, chunk, star, callbacks, wishes=None, begun=None, /))]
    #[allow(clippy::too_many_arguments)]
    fn map_async(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        items: &Bound<'_, PyAny>,
        chunk: Option<u32>,
        star: bool,
        callbacks: Option<(Py<PyAny>, Py<PyAny>)>,
        wishes: Wishes,
        begun: Option<Py<PyAny>>,
    ) -> PyResult<JobCore> {
        let inner = self.owned.get()?;
        let job = self.all(py, &inner, function, items, chunk, star, callbacks, wishes)?;
        match begun {
            Some(_) => Ok(JobCore { owned: Link::new(Arc::downgrade(&inner)), job }),
            None => handle(py, &inner, job),
        }
    }

    /// `function` on each item, results one by one; takes items as there is room for them.
    #[pyo3(signature = (function, items, chunk, ordered, most, wishes=None, /))]
    #[allow(clippy::too_many_arguments)]
    fn imap(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        items: &Bound<'_, PyIterator>,
        chunk: u32,
        ordered: bool,
        most: Option<u64>,
        wishes: Wishes,
    ) -> PyResult<JobCore> {
        let results = if ordered {
            Results::Ordered { next: 0, answers: BTreeMap::new() }
        } else {
            Results::Unordered { answers: VecDeque::new() }
        };
        let state = State { source: Some(items.clone().into_any().unbind()), ..state(results, Vec::new(), None) };
        let inner = self.owned.get()?;
        let options = wishes.unwrap_or_default();
        let job =
            self.submit(py, &inner, function, Mode::Map, Chunk::Fixed(chunk), chunk.into(), most, state, options)?;
        feed_new(py, &inner, &job)?;
        handle(py, &inner, job)
    }

    /// No more tasks: the workers end when all jobs have.
    fn close(&self) -> PyResult<()> {
        let inner = self.owned.get()?;
        let mut shared = inner.shared();
        if let Some((life, _)) = shared.handles.get_mut(&self.handle) {
            life.close();
        } else if shared.life.close() {
            shared.driver.stop();
        }
        Ok(())
    }

    /// All unfinished jobs fail with the exception `why`, and so do those that are handed in later. A function in its place
    /// is called to make the exception if there is need for it.
    fn break_down(&self, py: Python<'_>, why: Py<PyAny>) -> PyResult<()> {
        self.owned.get()?.break_down(py, why, false);
        Ok(())
    }

    /// The same, and the workers end, unless this is a handle: then what runs of its jobs is interrupted.
    fn end(&self, py: Python<'_>, why: Py<PyAny>) -> PyResult<()> {
        let inner = self.owned.get()?;
        if self.handle == 0 {
            inner.break_down(py, why, true);
        } else {
            inner.end_handle(py, self.handle, why)?;
        }
        Ok(())
    }

    /// Waits until no job is unfinished; false when `timeout` seconds were not enough.
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let inner = self.owned.get()?;
        let is_mine = |job: &Job| self.handle == 0 || job.handle == self.handle;
        // Nobody may be reading: what is bounded by the reader goes on without.
        inner.shared().lazy.iter().filter(|job| is_mine(job)).for_each(|job| job.state().unbounded = true);
        inner.wait(py, deadline(timeout)?, || {
            let shared = inner.shared();
            let at_hand = shared.handles.get(&self.handle).map_or(shared.life.at_hand(), |(life, _)| life.at_hand());
            at_hand == 0 && !shared.callbacks.iter().any(|job| is_mine(job))
        })
    }

    /// Looks once for results and ended workers.
    fn look(&self, py: Python<'_>) -> PyResult<()> {
        self.owned.get()?.look(py)
    }

    /// Runs in a thread of its own: drives the pool when no caller does, and runs callbacks.
    fn drive(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.owned.get()?;
        inner.drive(py)
    }

    /// Ends `drive`.
    fn quit(&self) -> PyResult<()> {
        self.owned.get()?.quit_driver();
        Ok(())
    }

    /// No other thread drives any more, whoever waits: the interpreter ends, and ends them where they call Python.
    fn keep_duty(&self, py: Python<'_>, limit: f64) -> PyResult<()> {
        self.owned.get()?.keep_duty(py, deadline(Some(limit))?);
        Ok(())
    }

    /// Gives up all memory and descriptors: the workers have ended. Runs the callbacks that nobody has run.
    fn release(&self, py: Python<'_>) {
        let known = std::mem::take(&mut *self.known.lock().expect("no panic while locked"));
        drop(known);
        if let Some(inner) = self.owned.take() {
            inner.quit_driver();
            inner.run_callbacks(py);
        }
    }
}

impl Drop for PoolCore {
    fn drop(&mut self) {
        if self.handle != 0
            && self.owned.is_ours()
            && let Ok(inner) = self.owned.get()
        {
            // Jobs that were handed in by it go on; nobody can hand in more.
            let forgotten = inner.shared().handles.remove(&self.handle);
            drop(forgotten);
        }
    }
}

/// Publishes records, among them the first of a new job, which is given up if that fails: nobody gets its handle.
fn feed_new(py: Python<'_>, inner: &Inner, job: &Arc<Job>) -> PyResult<()> {
    if job.done() {
        return Ok(());
    }
    inner.feed(py).inspect_err(|_| {
        let _ = inner.abandon(py, job, false);
    })
}

fn handle(py: Python<'_>, inner: &Arc<Inner>, job: Arc<Job>) -> PyResult<JobCore> {
    if !job.done() {
        inner.arm_driver(py, false);
    }
    Ok(JobCore { owned: Link::new(Arc::downgrade(inner)), job })
}

/// Waits for a job that nobody else knows.
fn complete(py: Python<'_>, inner: &Inner, job: &Arc<Job>) -> PyResult<Py<PyAny>> {
    if let Err(error) = inner.wait(py, None, || job.done()) {
        // Ctrl-C, or what else a signal handler raises: there is no handle to ask for the results by.
        inner.abandon(py, job, false)?;
        return Err(error);
    }
    give(py, job.value(py))
}

fn refusal() -> PyErr {
    PyValueError::new_err("Pool not running: it was closed, make a new one")
}

fn state(results: Results, items: Vec<Option<Py<PyAny>>>, callbacks: Option<(Py<PyAny>, Py<PyAny>)>) -> State {
    State {
        total: items.len() as u64,
        items: items.into(),
        row: None,
        together: 1,
        base: 0,
        source: None,
        finished: 0,
        consumed: 0,
        pulling: false,
        changing: false,
        unread: false,
        asked: false,
        closes_source: false,
        unbounded: false,
        bytes: 0.0,
        measured: false,
        results,
        tries: HashMap::new(),
        callbacks,
        function: None,
        watchers: Vec::new(),
        watched: false,
        ended: false,
    }
}

fn all_results(py: Python<'_>, count: usize) -> PyResult<Results> {
    let none = PyList::new(py, [py.None()])?;
    let answers = none.as_any().mul(count)?.cast_into::<PyList>()?.unbind();
    Ok(Results::All { answers, done: vec![0; count.div_ceil(64)], failure: None })
}

impl PoolCore {
    #[allow(clippy::too_many_arguments)]
    fn single(
        &self,
        py: Python<'_>,
        inner: &Inner,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyAny>,
        kwds: &Bound<'_, PyAny>,
        callbacks: Option<(Py<PyAny>, Py<PyAny>)>,
        wishes: Wishes,
    ) -> PyResult<Arc<Job>> {
        let args = match args.cast::<PyTuple>() {
            Ok(args) => args.clone(),
            Err(_) => PyTuple::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
        };
        let none = || py.None().into_bound(py);
        let kwds = match kwds.cast::<PyDict>() {
            Ok(kwds) if kwds.is_empty() => none(),
            Ok(kwds) => kwds.clone().into_any(),
            Err(_) if kwds.is_none() => none(),
            Err(_) => {
                let dict = PyDict::new(py);
                dict.call_method1("update", (kwds,))?;
                dict.into_any()
            }
        };
        let item = PyTuple::new(py, [args.into_any(), kwds])?.into_any().unbind();
        let state = state(Results::One { answer: None }, vec![Some(item)], callbacks);
        let options = wishes.unwrap_or_default();
        let job = self.submit(py, inner, function, Mode::Apply, Chunk::Adaptive, 0, None, state, options)?;
        feed_new(py, inner, &job)?;
        Ok(job)
    }

    #[allow(clippy::too_many_arguments)]
    fn all(
        &self,
        py: Python<'_>,
        inner: &Inner,
        function: &Bound<'_, PyAny>,
        items: &Bound<'_, PyAny>,
        chunk: Option<u32>,
        star: bool,
        callbacks: Option<(Py<PyAny>, Py<PyAny>)>,
        wishes: Wishes,
    ) -> PyResult<Arc<Job>> {
        let row = Row::of(items)?;
        let total = row.len(py);
        let chunk = chunk.map_or(Chunk::Adaptive, Chunk::Fixed);
        let together = shared_by(inner, chunk, total as u64);
        let state = state(all_results(py, total)?, Vec::new(), callbacks);
        let state = State { row: Some(row), total: total as u64, together, ..state };
        let options = wishes.unwrap_or_default();
        let job = self.submit(py, inner, function, mode(star), chunk, 0, None, state, options)?;
        feed_new(py, inner, &job)?;
        Ok(job)
    }

    /// Makes a job and hands it in. One that cannot run, or comes to a pool that can run none, has failed already.
    ///
    /// # Errors
    /// The pool was closed. No memory.
    #[allow(clippy::too_many_arguments)]
    fn submit(
        &self,
        py: Python<'_>,
        inner: &Inner,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        chunk: Chunk,
        unit: u64,
        most: Option<u64>,
        mut state: State,
        mut options: Options,
    ) -> PyResult<Arc<Job>> {
        state.function = Some(function.clone().unbind());
        let verdict = inner.shared().look(self.handle);
        let mut failure = None;
        let mut sent = Function::default();
        match verdict {
            Verdict::Refuse => return Err(refusal()),
            Verdict::Fail => {}
            Verdict::Take => match self.function(py, inner, function) {
                Ok(function) => sent = function,
                Err(error) => failure = Some(error.value(py).clone().into_any().unbind()),
            },
        }
        sent.share = if is_stateless(function) { 0 } else { shared_by(inner, chunk, state.total) };
        sent.sharing = sharing(inner, chunk, state.total);
        if state.source.is_none() && state.total == 0 {
            // Nothing to run: it is done, and calls nobody back.
            inner.release(sent.parts);
            (state.function, state.callbacks, sent.parts) = (None, None, Vec::new());
            let job = Job::new(0, self.handle, mode, sent, unit, most, options, state, Entry::default());
            job.is_done.store(true, Ordering::Release);
            return Ok(job);
        }
        let name = name_of(function);
        let title = Title {
            function: name.as_ref().and_then(|name| name.to_str().ok()).unwrap_or("?"),
            id: sent.id,
            method: method_of(mode, &state.results),
            is_call: mode == Mode::Apply,
        };
        let total = state.source.is_none().then_some(state.total);
        let special = options.special.take();
        let (job, verdict) = self.hand_in(inner, chunk, special, failure.is_none(), sent, |id, sent, board| {
            let entry = board.begin(id, total, title);
            Job::new(id, self.handle, mode, sent, unit, most, options, state, entry)
        })?;
        let reason = match verdict {
            Verdict::Take => failure,
            Verdict::Refuse => return Err(refusal()),
            Verdict::Fail => {
                let why = inner.shared().reason(py, self.handle);
                why.map(|why| exception(py, why)).or(failure)
            }
        };
        if let Some(why) = reason {
            inner.fail(py, &job, &why);
        }
        Ok(job)
    }

    /// Puts a job that `make` makes where those look who end the pool; unless it is refused. Those may have come while its
    /// function was pickled, without the lock: so this looks again.
    fn hand_in(
        &self,
        inner: &Inner,
        chunk: Chunk,
        special: Option<Box<procession::pool::Wishes>>,
        can_run: bool,
        mut sent: Function,
        make: impl FnOnce(u64, Function, &mut Board) -> Arc<Job>,
    ) -> PyResult<(Arc<Job>, Verdict)> {
        let mut guard = inner.shared();
        let shared = &mut *guard;
        if sent.pickled.len() > INLINE_FUNCTION {
            let size = sent.pickled.len() as u64;
            match shared.driver.hold(&sent.pickled) {
                Ok(block) => sent.block = Some((block, size)),
                Err(error) => {
                    sent.blocks().for_each(|block| shared.driver.release(block));
                    return Err(Raised::from(error).into());
                }
            }
            sent.pickled = Vec::new();
        }
        let id = shared.next_job;
        shared.next_job += 1;
        let job = make(id, sent, &mut shared.driver.board);
        let verdict = shared.hand_in(self.handle);
        if verdict == Verdict::Refuse {
            job.function.blocks().for_each(|block| shared.driver.release(block));
            return Ok((job, verdict));
        }
        shared.jobs.insert(id, job.clone());
        if let Some(timeout) = job.options.timeout {
            shared.limits.insert(id, timeout);
        }
        let (total, complete, expects) = {
            let state = job.state();
            (state.total, state.source.is_none(), state.callbacks.is_some())
        };
        shared.expecting += isize::from(expects);
        if can_run && verdict == Verdict::Take {
            shared.driver.tell_time();
            shared.driver.scheduler.submit_with(id, total, complete, chunk, job.function.id, special);
            if !complete {
                shared.lazy.push(job.clone());
            }
        }
        Ok((job, verdict))
    }

    /// A function as it is sent, with the blocks of its large parts; what is a plain function or class is remembered.
    fn function(&self, py: Python<'_>, inner: &Inner, function: &Bound<'_, PyAny>) -> PyResult<Function> {
        let lasting = is_named(function);
        if lasting {
            let known = self.known.lock().expect("no panic while locked");
            if let Some((_, id, pickled)) = known.iter().find(|(other, _, _)| other.is(function)) {
                return Ok(Function { id: *id, pickled: pickled.clone(), ..Function::default() });
            }
        }
        if !function.is_callable() {
            let kind = function.get_type().name()?;
            return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                "'{kind}' object is not callable: a pool needs a function"
            )));
        }
        let mut pickled = Vec::new();
        let support = inner.support.bind(py);
        let mut room = FunctionRoom { inner, blocks: Vec::new() };
        // Whether it goes by value, or what is pickled in its place, so that it brings along what the worker is to know.
        let answer = support.call_method1("needs_value", (function,))?;
        let sent = if answer.is_instance_of::<PyBool>() { function } else { &answer };
        let by_value = by_value_count();
        let encoded = {
            let _scope = Scope::to(inner.receiver(py)?);
            values::encode_pickle(sent, &mut pickled, &mut room)
        };
        if let Err(error) = encoded {
            inner.release(std::mem::take(&mut room.blocks));
            let error = support.call_method1("explained", (traced(py, &error), function))?;
            return Err(PyErr::from_value(error));
        }
        // What it consists of may change between two jobs, when it goes by value.
        let stays = lasting && by_value_count() == by_value;
        let id = {
            let mut shared = inner.shared();
            shared.next_function += 1;
            shared.next_function
        };
        if stays && room.blocks.is_empty() {
            let mut known = self.known.lock().expect("no panic while locked");
            let old = if known.len() == FUNCTIONS { Some(known.remove(0)) } else { None };
            known.push((function.clone().unbind(), id, pickled.clone()));
            drop(known);
            drop(old);
        }
        Ok(Function { id, pickled, parts: room.blocks, ..Function::default() })
    }
}

/// The name of a function for who looks: that of what a partial or a method calls. None where it has none.
fn name_of<'py>(function: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
    let py = function.py();
    let called = function.getattr_opt(intern!(py, "__qualname__")).ok().flatten();
    let called = match called {
        Some(name) => Some(name),
        None => {
            let inner = function.getattr_opt(intern!(py, "func")).ok().flatten();
            let inner = inner.unwrap_or_else(|| function.get_type().into_any());
            inner.getattr_opt(intern!(py, "__qualname__")).ok().flatten()
        }
    };
    called?.cast_into::<PyString>().ok()
}

/// The method of a pool that makes such jobs.
fn method_of(mode: Mode, results: &Results) -> &'static str {
    match (mode, results) {
        (Mode::Apply, _) | (_, Results::One { .. }) => "apply",
        (Mode::Star, Results::All { .. }) => "starmap",
        (_, Results::All { .. }) => "map",
        (_, Results::Ordered { .. }) => "imap",
        (_, Results::Unordered { .. }) => "imap_unordered",
    }
}

/// How many results, one after the other, may have objects in common: those of a chunk. Where nobody said, all those of a
/// job whose items the standard library would not send one by one: each worker gets a part of each of its chunks, so this
/// way no more copies are made than there.
fn sharing(inner: &Inner, chunk: Chunk, total: u64) -> u64 {
    match (chunk, shared_by(inner, chunk, total)) {
        (Chunk::Adaptive, together) if together > 1 => u64::MAX,
        (_, together) => together,
    }
}

/// How many items share a function that can change, one after the other, and may be pickled as one: those of a chunk, as
/// large as the standard library's would be where nobody said.
fn shared_by(inner: &Inner, chunk: Chunk, total: u64) -> u64 {
    match chunk {
        Chunk::Fixed(items) => items.into(),
        Chunk::Adaptive => total.div_ceil(4 * inner.workers().max(1)),
    }
    .max(1)
}

#[pymethods]
impl JobCore {
    /// Whether the job is done.
    fn ready(&self, py: Python<'_>) -> PyResult<bool> {
        if !self.job.done() {
            self.engine()?.look(py)?;
        }
        Ok(self.job.done())
    }

    /// Whether the job, which is done, has no failure.
    fn successful(&self) -> bool {
        self.job.is_successful()
    }

    /// Gives the job up: what has not started does not start, what runs is interrupted, and what has no outcome fails
    /// with the exception `why`. False when the job was done.
    fn cancel(&self, py: Python<'_>, why: Py<PyAny>) -> PyResult<bool> {
        if self.job.done() {
            return Ok(false);
        }
        let engine = self.engine()?;
        engine.call_off(py, &self.job, &why)?;
        Ok(true)
    }

    /// Has `watcher` called once, by another thread, when there is an outcome to be read; false if there is one already.
    fn watch(&self, py: Python<'_>, watcher: Py<PyAny>) -> PyResult<bool> {
        Ok(!self.job.done() && self.engine()?.add_watcher(py, &self.job, watcher))
    }

    /// Whether workers may run items of it: also of one that was given up, until these have ended.
    fn is_out(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(engine) = self.engine_of_ours() else { return Ok(false) };
        engine.look(py)?;
        Ok(engine.shared().driver.scheduler.is_out(self.job.id))
    }

    /// Whether the job is done; does not look for results.
    fn done(&self) -> bool {
        self.job.done()
    }

    /// How many items have their outcome, and how many are known: all of them, unless more are to be taken.
    fn counts(&self) -> (u64, u64) {
        let state = self.job.state();
        (state.finished, state.total)
    }

    /// How far the job is: how many items there are, if that is known, how many have their outcome, how many of these have
    /// failed, how often one was tried again; and of what runs the worker's seat and place, the item, since when, and what it says.
    fn progress(&self) -> Progress {
        let (total, finished) = {
            let state = self.job.state();
            (state.source.is_none().then_some(state.total), state.finished)
        };
        let tasks = match self.engine_of_ours() {
            Some(engine) if !self.job.done() => engine.tasks_of(self.job.id),
            _ => Vec::new(),
        };
        let tasks = tasks.into_iter().map(|task| {
            let said = task.said.map(|said| (said.done, said.total, said.text));
            (task.index, task.place, task.item, task.since.as_secs_f64(), said)
        });
        let (failed, retried) = (&self.job.failed, &self.job.retried);
        (total, finished, failed.load(Ordering::Relaxed), retried.load(Ordering::Relaxed), tasks.collect())
    }

    /// Waits for the job to end, whether or not anybody reads its outcomes.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.job.state().unbounded = true;
        self.wait(py, None).map(drop)
    }

    /// Waits for the job; false when `timeout` seconds were not enough.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        if self.job.done() {
            return Ok(true);
        }
        let until = deadline(timeout)?;
        self.engine()?.wait(py, until, || self.job.done())
    }

    /// Ends a lazy job: it takes no more items, what runs is interrupted, there are no more outcomes. Its source is closed
    /// if it is a generator, at once or by the thread that takes an item from it just now.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.engine_of_ours() {
            Some(engine) => engine.abandon(py, &self.job, true),
            None => {
                drop(self.job.let_go(false));
                Ok(())
            }
        }
    }

    /// Nobody can read the outcomes of a lazy job any more: it ends if somebody has, and goes on without a reader if it was
    /// made for what its function does.
    fn forsake(&self, py: Python<'_>) -> PyResult<()> {
        if self.job.done() {
            return Ok(());
        }
        match self.engine_of_ours() {
            Some(engine) if self.job.state().asked => engine.abandon(py, &self.job, false),
            Some(_) => {
                self.job.abandon_reader();
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // An exception holds frames, and they hold this handle: the collector must see the way. What the engine still
        // knows is not garbage.
        if Arc::strong_count(&self.job) == 1 { self.job.visit(&visit) } else { Ok(()) }
    }

    fn __clear__(&self) {
        self.job.clear();
    }

    /// The value of the job, which is done, or its exception.
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        give(py, self.job.value(py))
    }

    /// The next outcome of a lazy job: its value, or its exception; none when `timeout` seconds were not enough.
    ///
    /// Raises StopIteration at the end.
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<(Py<PyAny>,)>> {
        let mut found = self.job.next();
        if matches!(found, Next::Later) {
            let inner = self.engine()?;
            inner.pull(py, &self.job)?;
            inner.wait(py, deadline(timeout)?, || {
                found = self.job.next();
                !matches!(found, Next::Later)
            })?;
        }
        match found {
            Next::Answer(answer) => Ok(Some((give(py, answer)?,))),
            Next::Later => Ok(None),
            Next::End => Err(PyStopIteration::new_err(())),
        }
    }
}

impl JobCore {
    /// The engine, unless it has ended or belongs to the parent of this process.
    fn engine_of_ours(&self) -> Option<Arc<Inner>> {
        self.owned.get().ok()?.upgrade()
    }

    fn engine(&self) -> PyResult<Arc<Inner>> {
        let engine = self.owned.get()?.upgrade();
        engine.ok_or_else(|| PyValueError::new_err("Pool not running: it has ended, make a new one"))
    }
}
