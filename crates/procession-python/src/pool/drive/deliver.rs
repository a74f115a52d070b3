//! What came in: outcomes go to their jobs, deaths are taken note of, what runs too long is interrupted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use procession::channel::forsake_worker;
use procession::platform::monotonic_now;
use procession::pool::{Batch, JobId, Outcome, timeline};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::shelf::WorkerShelf;
use super::{Inner, lock};
use crate::error::is_interrupt;
use crate::memory::place::{Shelf, Spot};
use crate::pool::job::{Answer, Job};
use crate::values;

/// How long an interrupted item may go on before its worker is killed.
const GRACE_TO_END: Duration = Duration::from_millis(500);

impl Inner {
    /// Interrupts what runs too long or was called off; kills the workers that did not listen.
    pub(super) fn interrupt_overdue(&self, py: Python<'_>) -> PyResult<()> {
        let overdue = {
            let mut shared = self.shared();
            let shared = &mut *shared;
            if !shared.may_interrupt() {
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

    /// The failure that an item's exception becomes; none when the item is tried again.
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
            self.retried(job);
            return Ok(None);
        }
        Ok(Some(failure))
    }

    /// The same, but an error on the way, such as Ctrl-C, goes to `interrupt`: the item has its outcome all the same.
    pub(super) fn verdict(
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

    pub(super) fn deliver(&self, py: Python<'_>, batch: &Batch) -> Delivery {
        let mut told = Delivered::default();
        let outermost = self.begin_delivery(batch);
        for outcome in &batch.outcomes {
            let bytes = &batch.bytes[outcome.payload.clone()];
            let named = is_named(outcome, bytes);
            if named && self.is_ahead(outcome.job) {
                lock(&self.deliveries).parked.push_back((outcome.clone(), bytes.to_vec()));
                continue;
            }
            self.deliver_one(py, outcome, bytes, &mut told);
            if named {
                self.delivered();
            }
        }
        // Outcomes that came while an object was rebuilt, before those in front of them.
        while let Some((outcome, bytes)) = self.next_parked(outermost, told.news.is_empty()) {
            self.deliver_one(py, &outcome, &bytes, &mut told);
        }
        if !told.news.is_empty() {
            self.tell(py, &mut told);
            lock(&self.deliveries).open.pop();
        }
        let Delivered { mut trash, mut interrupt, done, failed, .. } = told;
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
            // The worker's results are rebuilt above, unless they wait for the object that is rebuilt now.
            if outermost {
                forsake_worker(&death.segment);
            }
            if let Err(error) = self.bury(py, death) {
                interrupt = Some(error);
            }
        }
        Delivery { done, failed, answer: interrupt.map_or(Ok(()), Err) }
    }

    fn deliver_one(&self, py: Python<'_>, outcome: &Outcome, bytes: &[u8], told: &mut Delivered) {
        if told.job.as_ref().is_none_or(|job| job.id != outcome.job) {
            self.tell(py, told);
            told.job = self.shared().jobs.get(&outcome.job).cloned();
        }
        let Delivered { job, news, trash, interrupt, done, failed } = told;
        let Some(job) = job else {
            return give_blocks_back(outcome, bytes);
        };
        weigh(job, outcome, bytes);
        if outcome.returned {
            let count = u64::from(outcome.run.unwrap_or(1));
            *done += count;
            self.counts.done(job.entry, count);
        }
        let tells = job.tells();
        let mut store = |item: u64, answer: Answer, trash: &mut Vec<Py<PyAny>>| match answer {
            Ok(value) if tells => {
                news.push((item, value));
                false
            }
            answer => job.store(py, item, answer, trash),
        };
        let shelf = WorkerShelf { segment: outcome.segment.as_ref(), received: Some(&job.received) };
        let run = |count| if tells { None } else { self.store_run(py, job, outcome, count, bytes) };
        let last = match outcome.run {
            Some(count) => match run(count) {
                Some(last) => last,
                None => {
                    let mut last = false;
                    for (item, value) in (outcome.item..outcome.item + u64::from(count)).zip(framed(bytes)) {
                        let answer = self.rebuild(py, value, &shelf, interrupt);
                        last |= store(item, answer, trash);
                    }
                    last
                }
            },
            None if outcome.returned => {
                let answer = self.rebuild(py, bytes, &shelf, interrupt);
                store(outcome.item, answer, trash)
            }
            None => {
                let failure = self.told(py, job, outcome.item, bytes, interrupt);
                match self.verdict(py, job, outcome.item, failure, interrupt) {
                    Some(failure) => {
                        *failed += 1;
                        self.failed(job);
                        let answer = job.answer_to(py, outcome.item, failure, interrupt);
                        job.store(py, outcome.item, answer, trash)
                    }
                    None => false,
                }
            }
        };
        self.settle(py, last, told);
    }

    /// Tells of new outcomes of the job that was told, its last ones if `last`.
    fn settle(&self, py: Python<'_>, last: bool, told: &Delivered) {
        let Some(job) = &told.job else { return };
        if last {
            self.finish(py, job);
        }
        if job.unit > 0 {
            self.tell_watchers(py, job);
            self.wake_followers();
        }
    }

    /// Tells of the results of a job that have come, and stores them: who reads them knows that they are kept. Where they
    /// cannot be, the job fails.
    fn tell(&self, py: Python<'_>, told: &mut Delivered) {
        let news = std::mem::take(&mut told.news);
        let Some(job) = told.job.clone().filter(|_| !news.is_empty()) else { return };
        if let Err(error) = job.tell(py, &news) {
            if !is_interrupt(py, &error) {
                told.trash.extend(news.into_iter().map(|(_, value)| value));
                return self.fail(py, &job, &error.value(py).clone().into_any().unbind());
            }
            told.interrupt = Some(error);
        }
        let mut last = false;
        for (item, value) in news {
            last |= job.store(py, item, Ok(value), &mut told.trash);
        }
        self.settle(py, last, told);
    }

    /// Stores the results of a run, if no code but the interpreter's own runs for that: whether they were the last.
    fn store_run(&self, py: Python<'_>, job: &Job, outcome: &Outcome, count: u32, bytes: &[u8]) -> Option<bool> {
        if is_named(outcome, bytes) {
            let shelf = WorkerShelf { segment: outcome.segment.as_ref(), received: None };
            return job.store_run_again(py, shelf.worker(), outcome.item, count, bytes);
        }
        job.store_simple_run(py, outcome.item, count, bytes)
    }

    /// Notes which jobs have outcomes in a batch that must be rebuilt in their order; whether this is not within another delivery.
    fn begin_delivery(&self, batch: &Batch) -> bool {
        let named = |outcome: &&Outcome| is_named(outcome, &batch.bytes[outcome.payload.clone()]);
        let jobs = batch.outcomes.iter().filter(named).map(|outcome| outcome.job).collect();
        let open = &mut lock(&self.deliveries).open;
        open.push(jobs);
        open.len() == 1
    }

    /// Whether outcomes of a job that came before this one wait for the object that is rebuilt now, whose code has come back
    /// here.
    fn is_ahead(&self, job: JobId) -> bool {
        let deliveries = lock(&self.deliveries);
        let before = deliveries.open.split_last().map_or(&[][..], |(_, before)| before);
        let is_parked = || deliveries.parked.iter().any(|(parked, _)| parked.job == job);
        !before.is_empty() && (before.iter().any(|jobs| jobs.contains(&job)) || is_parked())
    }

    /// One that must be rebuilt in its order has been.
    fn delivered(&self) {
        if let Some(jobs) = lock(&self.deliveries).open.last_mut() {
            jobs.pop_front();
        }
    }

    /// The next outcome that waited, for the outermost delivery; what comes of its job meanwhile waits, too. Where there is none, the
    /// delivery ends if it `closes`.
    fn next_parked(&self, outermost: bool, closes: bool) -> Option<(Outcome, Vec<u8>)> {
        let mut deliveries = lock(&self.deliveries);
        let next = if outermost { deliveries.parked.pop_front() } else { None };
        match &next {
            Some((outcome, _)) => {
                if let Some(jobs) = deliveries.open.last_mut() {
                    jobs.clear();
                    jobs.push_back(outcome.job);
                }
            }
            None if closes => drop(deliveries.open.pop()),
            None => {}
        }
        next
    }

    /// Counts an item that has failed, for who looks.
    pub(super) fn failed(&self, job: &Job) {
        job.failed.fetch_add(1, Relaxed);
        self.counts.failed(job.entry);
    }

    /// Counts an item that is tried again, for who looks.
    pub(super) fn retried(&self, job: &Job) {
        job.retried.fetch_add(1, Relaxed);
        self.counts.retried(job.entry);
    }

    pub(super) fn rebuild(
        &self,
        py: Python<'_>,
        mut bytes: &[u8],
        shelf: &dyn Shelf,
        interrupt: &mut Option<PyErr>,
    ) -> Answer {
        match values::decode(py, &mut bytes, shelf) {
            Ok(value) => Ok(value.unbind()),
            Err(error) => {
                let failure = error.value(py).clone().unbind().into_any();
                if is_interrupt(py, &error) {
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

    /// What an item has raised, which a recording is told.
    fn told(&self, py: Python<'_>, job: &Job, item: u64, bytes: &[u8], interrupt: &mut Option<PyErr>) -> Py<PyAny> {
        let failure = self.failure(py, bytes);
        if timeline::recording() != 0 {
            self.explain(py, job, item, failure.bind(py), interrupt);
        }
        failure
    }

    #[cold]
    fn explain(&self, py: Python<'_>, job: &Job, item: u64, failure: &Bound<'_, PyAny>, interrupt: &mut Option<PyErr>) {
        let name = failure.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
        // Runs code of the program, where Ctrl-C may come.
        let text = failure.str().map(|text| text.to_string_lossy().into_owned()).unwrap_or_else(|error| {
            if is_interrupt(py, &error) {
                *interrupt = Some(error);
            }
            String::new()
        });
        let line = text.lines().next().unwrap_or("");
        self.counts.explain(job.id, item, &if line.is_empty() { name } else { format!("{name}: {line}") });
    }
}

/// What a delivery came to: how many items have returned and failed, and what a signal handler has raised.
pub(super) struct Delivery {
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) answer: PyResult<()>,
}

/// What has been delivered.
#[derive(Default)]
struct Delivered {
    job: Option<Arc<Job>>,
    /// Results of the job that somebody is to be told of before they count.
    news: Vec<(u64, Py<PyAny>)>,
    trash: Vec<Py<PyAny>>,
    interrupt: Option<PyErr>,
    done: u64,
    failed: u64,
}

/// What is being delivered: rebuilding an object may run code that waits for the pool and so delivers what comes next.
#[derive(Default)]
pub(super) struct Deliveries {
    /// For each batch the jobs of those outcomes that are still to be rebuilt in their order.
    open: Vec<VecDeque<JobId>>,
    /// Outcomes that came before those in front of them were rebuilt.
    parked: VecDeque<(Outcome, Vec<u8>)>,
}

/// The values of a run, each behind its size.
fn framed(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (size, after) = bytes.split_first()?;
        let (value, after) = after.split_at_checked(usize::from(*size))?;
        bytes = after;
        Some(value)
    })
}

/// Gives the blocks of a result that nobody wants back all the same.
fn give_blocks_back(outcome: &Outcome, bytes: &[u8]) {
    if let (Some(segment), None) = (&outcome.segment, outcome.run) {
        let shelf = WorkerShelf { segment: Some(segment), received: None };
        values::spots_of(bytes).into_iter().for_each(|spot| shelf.give_back(spot));
    }
}

/// Measures the results of a lazy job, whose bytes say how many items may be taken ahead.
fn weigh(job: &Job, outcome: &Outcome, bytes: &[u8]) {
    let size = outcome.payload.len() / outcome.run.unwrap_or(1) as usize;
    if job.unit == 0 || size == 0 {
        return;
    }
    let apart: u64 = match outcome.run {
        None => values::spots_of(bytes).iter().map(Spot::size).sum(),
        Some(_) => 0,
    };
    let size = (size + apart as usize) as f64;
    let mut state = job.state();
    state.bytes = if state.measured { (state.bytes * 7.0 + size) / 8.0 } else { state.bytes.max(size) };
    state.measured = true;
}

/// Whether an outcome must be rebuilt after all that came before it.
fn is_named(outcome: &Outcome, bytes: &[u8]) -> bool {
    // A run has only such results, or none: the first tells.
    let first = if outcome.run.is_some() { bytes.get(1..).unwrap_or_default() } else { bytes };
    outcome.returned && values::is_named(first)
}
