//! What is looked at now and then: the memory of workers, their age, and whether some are to be started.

use std::time::{Duration, Instant};

use procession::pool::{JobId, TaskState, WorkerState};
use pyo3::prelude::*;

use super::{Inner, Tally};
use crate::pool::job::Described;

/// How often the memory of workers is looked at while they may run something.
pub(super) const WEIGH_EVERY: Duration = Duration::from_millis(20);

impl Inner {
    /// Kills the workers that have too much memory, has those replaced that are too old, and those started that are due.
    pub(super) fn watch(&self, py: Python<'_>) -> PyResult<()> {
        let (heavy, aged, due) = {
            let mut shared = self.shared();
            let now = Instant::now();
            let due = shared.alarm.is_some_and(|at| at <= now);
            if due {
                shared.alarm = None;
            }
            let mut heavy = self.bounds.memory.map_or_else(Vec::new, |limit| shared.driver.heavy(limit));
            heavy.retain(|one| shared.heavy.insert(one.index, *one).is_none());
            let aged = self.bounds.age.map_or_else(Vec::new, |most| shared.driver.aged(now, most));
            (heavy, aged, due)
        };
        let support = self.support.bind(py);
        let mut interrupt = None;
        let mut call = |method: &str, index: usize| {
            if let Err(error) = support.call_method1(method, (index,)) {
                interrupt = Some(error);
            }
        };
        heavy.iter().for_each(|one| call("kill_worker", one.index));
        aged.iter().for_each(|index| call("worker_ages", *index));
        if due && let Err(error) = support.call_method0("refill") {
            interrupt = Some(error);
        }
        interrupt.map_or(Ok(()), Err)?;
        self.tend(py)
    }

    /// Asks Python whether there should be more workers, or fewer, if it wants to be asked now.
    pub(super) fn tend(&self, py: Python<'_>) -> PyResult<()> {
        let now = Instant::now();
        {
            let mut shared = self.shared();
            let Some(tending) = &mut shared.tending else { return Ok(()) };
            if now - tending.last < tending.every {
                return Ok(());
            }
            tending.last = now;
        }
        self.support.bind(py).call_method0("tend").map(drop)
    }

    /// Has Python asked so from now on: every so often while tasks run, and with `also_idle` when none do, by the thread that
    /// drives.
    pub(crate) fn tend_every(&self, every: Option<Duration>, also_idle: bool) {
        let last = Instant::now();
        self.shared().tending = every.map(|every| super::Tending { every, last, also_idle });
        self.driver_bell.ring();
    }

    /// Has Python read what workers have sent beside their rings.
    pub(crate) fn hear(&self, py: Python<'_>) -> PyResult<()> {
        self.support.bind(py).call_method0("hear").map(drop)
    }

    /// Has `refill` called after `delay`, by whoever drives then.
    pub(crate) fn set_alarm(&self, delay: Duration) {
        let at = Instant::now() + delay;
        let mut shared = self.shared();
        shared.alarm = Some(shared.alarm.map_or(at, |before| before.min(at)));
    }

    /// The seats of the workers that have begun and run nothing.
    pub(crate) fn unoccupied(&self) -> Vec<usize> {
        self.shared().driver.unoccupied()
    }

    /// What runs of a job.
    pub(crate) fn tasks_of(&self, job: JobId) -> Vec<TaskState> {
        self.shared().driver.tasks_of(job)
    }

    /// What the workers do, with the items that they run; how many items wait; what has become of the others.
    pub(crate) fn survey(&self, py: Python<'_>) -> (Vec<(WorkerState, Option<Described>)>, u64, Tally) {
        let (states, jobs, pending, tally) = {
            let shared = self.shared();
            let states = shared.driver.states();
            let job = |state: &WorkerState| state.running.and_then(|(job, _, _)| shared.jobs.get(&job).cloned());
            let jobs: Vec<_> = states.iter().map(job).collect();
            (states, jobs, shared.driver.scheduler.pending(), shared.tally)
        };
        let running = jobs.iter().flatten().count() as u64;
        let described = states.into_iter().zip(jobs).map(|(state, job)| {
            let item = state.running.map_or(0, |(_, item, _)| item);
            (state, job.map(|job| job.describe(py, item)))
        });
        (described.collect(), pending.saturating_sub(running), tally)
    }
}
