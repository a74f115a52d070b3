//! What a call of a pool's method becomes: a job, handed in with its items and its function.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use procession::pool::{Board, Chunk, Entry, Title, Verdict};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use rustc_hash::FxHashMap;

use super::PoolCore;
use super::functions::name_of;
use crate::error::raised;
use crate::pool::drive::{Inner, exception};
use crate::pool::job::{Function, Job, Options, Results, State, Wishes};
use crate::pool::row::MapItems;
use crate::pool::stateless::is_stateless;
use crate::values::Mode;

/// A larger pickle of a function lies in a block and is read by each worker once.
const INLINE_FUNCTION: usize = 1024;

/// A closed pool takes nothing.
pub(super) fn refusal() -> PyErr {
    PyValueError::new_err("Pool not running: it was closed, make a new one")
}

/// The state of a new job.
pub(super) fn state(
    results: Results,
    items: Vec<Option<Py<PyAny>>>,
    callbacks: Option<(Py<PyAny>, Py<PyAny>)>,
) -> State {
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
        tries: FxHashMap::default(),
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

fn mode(star: bool) -> Mode {
    if star { Mode::Star } else { Mode::Map }
}

/// Publishes records, among them the first of a new job, which is given up if that fails: nobody gets its handle.
pub(super) fn feed_new(py: Python<'_>, inner: &Inner, job: &Arc<Job>) -> PyResult<()> {
    if job.done() {
        return Ok(());
    }
    inner.feed(py).inspect_err(|_| {
        let _ = inner.abandon(py, job, false);
    })
}

impl PoolCore {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn single(
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
    pub(super) fn all(
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
        let row = MapItems::of(items)?;
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
    pub(super) fn submit(
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
        (sent.share, sent.sharing) = shares(inner, function, chunk, state.total);
        if state.source.is_none() && state.total == 0 {
            // Nothing to run: it is done, and calls nobody back.
            inner.release(sent.parts);
            (state.function, state.callbacks, sent.parts) = (None, None, Vec::new());
            let job = Job::new(0, self.handle, mode, sent, unit, most, options, state, Entry::default());
            job.is_done.store(true, Ordering::Release);
            return Ok(job);
        }
        let name = if sent.name.is_empty() { name_of(function) } else { sent.name.clone() };
        let title = Title {
            function: &name,
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
                    return Err(raised(error));
                }
            }
            sent.pickled = Arc::default();
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

/// How many items share a function, and how many results may have objects in common.
fn shares(inner: &Inner, function: &Bound<'_, PyAny>, chunk: Chunk, total: u64) -> (u64, u64) {
    let share = if is_stateless(function) { 0 } else { shared_by(inner, chunk, total) };
    (share, sharing(inner, chunk, total))
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
