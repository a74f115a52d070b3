//! What came in: outcomes go to their jobs, deaths are taken note of, what runs too long is interrupted.

use std::sync::Arc;
use std::time::Duration;

use procession::channel::{BLOCK_HEAD, forsake_worker, give_back};
use procession::platform::monotonic_now;
use procession::pool::{Batch, Death, JobId};
use procession::shared_memory::{Segment, View};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::Inner;
use crate::buffer::{Kind, copied};
use crate::codec;
use crate::job::{Answer, Job};
use crate::place::{Bare, Shelf, Spot, raised};

/// How long an interrupted item may go on before its worker is killed.
const GRACE_TO_END: Duration = Duration::from_millis(500);

impl Inner {
    /// Interrupts what runs too long or was called off; kills the workers that did not listen.
    pub(super) fn interrupt_overdue(&self, py: Python<'_>) -> PyResult<()> {
        let overdue = {
            let mut shared = self.shared();
            let shared = &mut *shared;
            if shared.limits.is_empty() && shared.called_off.is_empty() {
                return Ok(());
            }
            let scheduler = &shared.driver.scheduler;
            shared.called_off.retain(|job| scheduler.is_out(*job));
            let (limits, called_off) = (&shared.limits, &shared.called_off);
            let limit = |job: JobId, _: u64| {
                if called_off.contains(&job) { Some(Duration::ZERO) } else { limits.get(&job).copied() }
            };
            let overdue = shared.driver.overdue(monotonic_now(), GRACE_TO_END, limit);
            for one in &overdue {
                if let Some(limit) = shared.limits.get(&one.job) {
                    shared.expired.insert((one.job, one.item), *limit);
                }
            }
            overdue
        };
        for one in overdue {
            let method = if one.kill { "kill_worker" } else { "interrupt_worker" };
            self.support.bind(py).call_method1(method, (one.index,))?;
        }
        Ok(())
    }

    /// What becomes of an item's exception: none when it is tried again.
    pub(super) fn judge(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        item: u64,
        failure: Py<PyAny>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let expired = self.shared().expired.remove(&(job.id, item));
        let failure = match expired {
            Some(limit) => {
                let support = self.support.bind(py);
                support.call_method1("expired", (limit.as_secs_f64(), failure))?.unbind()
            }
            None => failure,
        };
        if let Some(retry_on) = &job.options.retry_on
            && failure.bind(py).is_instance(retry_on.bind(py))?
            && job.tries_again(item, false)
        {
            let mut shared = self.shared();
            shared.driver.scheduler.again(job.id, item);
            shared.tally.retried += 1;
            return Ok(None);
        }
        Ok(Some(failure))
    }

    /// The same, but an error on the way, such as Ctrl-C, goes to `interrupt`: the item has its outcome all the same.
    fn verdict(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        item: u64,
        failure: Py<PyAny>,
        interrupt: &mut Option<PyErr>,
    ) -> Option<Py<PyAny>> {
        self.judge(py, job, item, failure.clone_ref(py)).unwrap_or_else(|error| {
            *interrupt = Some(error);
            Some(failure)
        })
    }

    pub(super) fn deliver(&self, py: Python<'_>, batch: &Batch) -> PyResult<()> {
        let mut trash = Vec::new();
        let mut job: Option<Arc<Job>> = None;
        let mut interrupt = None;
        let (mut done, mut failed) = (0, 0);
        for outcome in &batch.outcomes {
            if job.as_ref().is_none_or(|job| job.id != outcome.job) {
                job = self.shared().jobs.get(&outcome.job).cloned();
            }
            let Some(job) = &job else {
                if let Some(segment) = &outcome.segment {
                    // Nobody wants the result: its blocks go back all the same.
                    let shelf = WorkerShelf(Some(segment));
                    let spots = codec::spots_of(&batch.bytes[outcome.payload.clone()]);
                    spots.into_iter().for_each(|spot| shelf.give_back(spot));
                }
                continue;
            };
            let size = outcome.payload.len() / outcome.run.unwrap_or(1) as usize;
            if job.unit > 0 && size > 0 {
                let apart: u64 = match outcome.run {
                    None => codec::spots_of(&batch.bytes[outcome.payload.clone()]).iter().map(Spot::size).sum(),
                    Some(_) => 0,
                };
                let size = (size + apart as usize) as f64;
                let mut state = job.state();
                state.bytes = if state.measured { (state.bytes * 7.0 + size) / 8.0 } else { state.bytes.max(size) };
                state.measured = true;
            }
            let mut bytes = &batch.bytes[outcome.payload.clone()];
            done += if outcome.returned { u64::from(outcome.run.unwrap_or(1)) } else { 0 };
            let last = match outcome.run {
                Some(count) => match job.store_simple_run(py, outcome.item, count, bytes) {
                    Some(last) => last,
                    None => {
                        let mut last = false;
                        for item in outcome.item..outcome.item + u64::from(count) {
                            let Some((size, after)) = bytes.split_first() else { break };
                            let Some((value, after)) = after.split_at_checked(usize::from(*size)) else { break };
                            bytes = after;
                            let answer = self.rebuild(py, value, &Bare, &mut interrupt);
                            last |= job.store(py, item, answer, &mut trash);
                        }
                        last
                    }
                },
                None if outcome.returned => {
                    let shelf = WorkerShelf(outcome.segment.as_ref());
                    let answer = self.rebuild(py, bytes, &shelf, &mut interrupt);
                    job.store(py, outcome.item, answer, &mut trash)
                }
                None => match self.verdict(py, job, outcome.item, self.failure(py, bytes), &mut interrupt) {
                    Some(failure) => {
                        failed += 1;
                        job.store(py, outcome.item, Err(failure), &mut trash)
                    }
                    None => false,
                },
            };
            if last {
                self.finish(py, job);
            }
            if job.unit > 0 {
                self.tell_watchers(py, job);
                self.wake_followers();
            }
        }
        if done + failed > 0 {
            let tally = &mut self.shared().tally;
            tally.done += done;
            tally.failed += failed;
        }
        trash.clear();
        for failure in &batch.init_failed {
            let failure = self.failure(py, &batch.bytes[failure.clone()]);
            self.break_down(py, failure, false);
        }
        // Each of these must be heard of once, whatever a signal handler raises in between.
        for (method, index) in batch
            .ready
            .iter()
            .map(|index| ("worker_ready", index))
            .chain(batch.last.iter().map(|index| ("worker_ends", index)))
        {
            if let Err(error) = self.support.bind(py).call_method1(method, (*index,)) {
                interrupt = Some(error);
            }
        }
        for index in &batch.leaving {
            if let Err(error) = self.support.bind(py).call_method1("worker_leaves", (*index,)) {
                interrupt = Some(error);
            }
        }
        for death in &batch.deaths {
            // What it has sent is rebuilt above.
            forsake_worker(&death.segment);
            if let Err(error) = self.bury(py, death) {
                interrupt = Some(error);
            }
        }
        interrupt.map_or(Ok(()), Err)
    }

    pub(super) fn rebuild(
        &self,
        py: Python<'_>,
        mut bytes: &[u8],
        shelf: &dyn Shelf,
        interrupt: &mut Option<PyErr>,
    ) -> Answer {
        match codec::decode(py, &mut bytes, shelf) {
            Ok(value) => Ok(value.unbind()),
            Err(error) => {
                let failure = error.value(py).clone().unbind().into_any();
                if error.is_instance_of::<PyKeyboardInterrupt>(py) {
                    *interrupt = Some(error);
                }
                Err(failure)
            }
        }
    }

    pub(super) fn failure(&self, py: Python<'_>, bytes: &[u8]) -> Py<PyAny> {
        let rebuilt = self.support.bind(py).call_method1("rebuild", (PyBytes::new(py, bytes),));
        rebuilt.unwrap_or_else(|error| error.value(py).clone().into_any()).unbind()
    }

    pub(super) fn bury(&self, py: Python<'_>, death: &Death) -> PyResult<()> {
        let support = self.support.bind(py);
        let text = support.call_method1("worker_ended", (death.index, death.starting, death.expected, death.idle));
        let (text, mut interrupt) = match text {
            Ok(text) => (text, None),
            Err(error) => (PyString::new(py, "its worker ended").into_any(), Some(error)),
        };
        let heavy = {
            let mut shared = self.shared();
            shared.tally.deaths += u64::from(!death.expected);
            shared.heavy.remove(&death.index)
        };
        let mut trash = Vec::new();
        for lost in &death.lost {
            let Some(job) = self.shared().jobs.get(&lost.job).cloned() else { continue };
            if heavy.is_some_and(|heavy| (heavy.job, heavy.item) != (lost.job, lost.item)) {
                // The guilty one had just ended: this one is innocent.
                self.shared().driver.scheduler.again(lost.job, lost.item);
                continue;
            }
            let expired = self.shared().expired.contains_key(&(lost.job, lost.item));
            if !expired && job.tries_again(lost.item, true) {
                let mut shared = self.shared();
                shared.driver.scheduler.again(lost.job, lost.item);
                shared.tally.retried += 1;
                continue;
            }
            let bytes = heavy.map(|heavy| heavy.bytes);
            let failure = match support.call_method1("lost", (&text, job.describe(py, lost.item), bytes)) {
                Ok(failure) => failure.unbind(),
                Err(error) => {
                    let failure = error.value(py).clone().into_any().unbind();
                    interrupt = Some(error);
                    failure
                }
            };
            let Some(failure) = self.verdict(py, &job, lost.item, failure, &mut interrupt) else { continue };
            self.shared().tally.failed += 1;
            if job.store(py, lost.item, Err(failure), &mut trash) {
                self.finish(py, &job);
            }
        }
        self.wake_followers();
        interrupt.map_or(Ok(()), Err)
    }
}

/// The large parts of a result, in its worker's segment; each goes back when nobody looks at it any more.
struct WorkerShelf<'a>(Option<&'a Arc<Segment>>);

impl WorkerShelf<'_> {
    fn give_back(&self, spot: Spot) {
        if let (Some(segment), Spot::Block { offset, size }) = (self.0, spot) {
            give_back(segment, offset as usize, size as usize);
        }
    }
}

impl Shelf for WorkerShelf<'_> {
    fn view(&self, spot: Spot) -> PyResult<Arc<View>> {
        let (Some(segment), Spot::Block { offset, size }) = (self.0, spot) else { return Bare.view(spot) };
        let (offset, size) = (offset as usize, size as usize);
        let its = segment.clone();
        let go_back = Box::new(move || give_back(&its, offset, size));
        View::lent(segment.clone(), offset.saturating_add(BLOCK_HEAD), size, go_back).map_err(raised)
    }

    fn copy<'py>(&self, py: Python<'py>, spot: Spot, kind: Kind) -> Option<PyResult<Bound<'py, PyAny>>> {
        let (Some(segment), Spot::Block { offset, size }) = (self.0, spot) else { return None };
        let start = (offset as usize).saturating_add(BLOCK_HEAD);
        let copied = copied(py, segment, start, size as usize, kind, true);
        self.give_back(spot);
        copied
    }
}
