//! The engine of a pool as Python has it: `PoolCore`, whose methods check arguments, hand in jobs and wait.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;

use procession::platform::Watched;
use procession::pool::{Chunk, Doing, Driver};
use pyo3::prelude::*;
use pyo3::types::PyIterator;

use super::PoolCore;
use super::handle::{JobCore, deadline, give};
use super::link::Link;
use super::submit::{feed_new, state};
use crate::error::raised;
use crate::pool::drive::{Bounds, Inner};
use crate::pool::job::{Described, Job, Results, State, Wishes};
use crate::seeing::report::Report;
use crate::values::Mode;

/// See `PoolCore.load`.
type Load = (u64, Vec<(usize, u64, bool)>);

/// A worker at one moment; see `PoolCore.survey`.
type WorkerNow = (usize, u32, &'static str, f64, u64, u64, Option<Described>, Option<f64>);

#[pymethods]
impl PoolCore {
    /// The engine of a pool of `workers`; `support` is called when Python has to do something (see `procession._pool.crew`).
    /// A worker may have `memory` bytes while it runs an item, and become `age` seconds old.
    #[new]
    #[pyo3(signature = (workers, support, memory=None, age=None))]
    fn new(workers: usize, support: Py<PyAny>, memory: Option<u64>, age: Option<f64>) -> PyResult<PoolCore> {
        let driver = Driver::new(workers).map_err(raised)?;
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
        let invitation = self.owned.get()?.shared().driver.invite(place).map_err(raised)?;
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
        self.owned.get()?.shared().driver.seated(index, sentinel, pid).map_err(raised)
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

    /// Changes how many workers there are to be.
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
        match inner.drive(py) {
            Err(_) if !self.owned.is_ours() => Ok(()), // a green thread, which a fork has a copy of
            answer => answer,
        }
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
