//! What a worker may use up: memory, years; and what each of them is doing, for whoever asks.

use std::time::{Duration, Instant};

use super::driver::{Driver, Seat, key};
use super::scheduler::JobId;
use crate::channel::{Badge, Phase, Said};
use crate::platform::{self, MemoryUse};

/// A worker that has more memory than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heavy {
    /// Its seat.
    pub index: usize,
    /// The job whose item it runs.
    pub job: JobId,
    /// That item.
    pub item: u64,
    /// Its private memory, in bytes.
    pub bytes: u64,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// The worker is not ready for records.
    Starting,
    /// Nothing.
    Idle,
    /// The worker works on a record.
    Working,
    /// The worker ends.
    Leaving,
}

/// A worker at one moment.
#[derive(Clone, Copy, Debug)]
pub struct WorkerState {
    /// Its seat.
    pub index: usize,
    /// Its process.
    pub pid: u32,
    /// What it does.
    pub doing: Doing,
    /// How long ago it was started.
    pub age: Duration,
    /// How many items have their outcome from it.
    pub served: u64,
    /// Its memory.
    pub memory: MemoryUse,
    /// The item that it runs, and for how long it has had the record that this is of.
    pub running: Option<(JobId, u64, Duration)>,
}

/// An item that a worker runs.
#[derive(Clone, Debug)]
pub struct TaskState {
    /// The seat of its worker.
    pub index: usize,
    /// The place of that among the workers of the pool.
    pub place: u32,
    /// Its number in its job.
    pub item: u64,
    /// For how long its worker has had it, by the coarse clock.
    pub since: Duration,
    /// How far it says it is.
    pub said: Option<Said>,
}

impl Driver {
    /// The items of a job that run just now.
    pub fn tasks_of(&self, job: JobId) -> Vec<TaskState> {
        let now = platform::monotonic_now();
        let seats = self.seats.iter().enumerate().filter_map(|(index, seat)| Some((index, seat.as_ref()?)));
        let task = |(index, seat): (usize, &Seat)| {
            let (_, of, item) = self.running(index)?;
            if of != job {
                return None;
            }
            let badge = Badge::new(seat.ring.segment().clone());
            let since = now.saturating_sub(seat.ring.taken_at());
            Some(TaskState { index, place: badge.place(), item, since, said: badge.said(job, item) })
        };
        seats.filter_map(task).collect()
    }

    /// What the worker of seat `index` shows.
    pub fn badge(&self, index: usize) -> Option<Badge> {
        Some(Badge::new(self.seats.get(index)?.as_ref()?.ring.segment().clone()))
    }

    /// The workers that run an item and have more than `limit` bytes of private memory.
    pub fn heavy(&self, limit: u64) -> Vec<Heavy> {
        let mut all = Vec::new();
        for (index, seat) in self.seats.iter().enumerate() {
            let Some(pid) = seat.as_ref().map(|seat| seat.pid).filter(|pid| *pid != 0) else { continue };
            let Some(before) = self.running(index) else { continue };
            let bytes = platform::memory_of(pid).private;
            // What was weighed belongs to the item if that ran before and after.
            if bytes > limit && self.running(index) == Some(before) {
                all.push(Heavy { index, job: before.1, item: before.2, bytes });
            }
        }
        all
    }

    /// The workers that became ready more than `most` ago, each of them once.
    pub fn aged(&mut self, now: Instant, most: Duration) -> Vec<usize> {
        let mut all = Vec::new();
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            if seat.ready && !seat.leaving && !seat.aged && now.saturating_duration_since(seat.ready_since) >= most {
                seat.aged = true;
                all.push(index);
            }
        }
        all
    }

    /// Has the worker of seat `index` take no record until [`Driver::let_start`].
    pub fn keep_waiting(&self, index: usize) {
        if let Some(seat) = self.seats.get(index).and_then(Option::as_ref) {
            seat.ring.keep_waiting();
        }
    }

    /// Lets the worker of seat `index` take records.
    pub fn let_start(&self, index: usize) {
        if let Some(seat) = self.seats.get(index).and_then(Option::as_ref) {
            seat.ring.let_start();
        }
    }

    /// Has the worker of seat `index` end before it takes another record.
    pub fn retire(&self, index: usize) {
        if let Some(seat) = self.seats.get(index).and_then(Option::as_ref) {
            seat.ring.retire();
            self.wake_worker(index);
        }
    }

    /// Has the worker of seat `index` stay after all, unless it has seen that it was to end: then it says that it leaves.
    pub fn stay(&self, index: usize) {
        if let Some(seat) = self.seats.get(index).and_then(Option::as_ref) {
            seat.ring.stay();
        }
    }

    /// Changes how many workers there are to be; the caller adds or ends them.
    pub fn resize(&mut self, workers: usize) {
        self.scheduler.resize(workers);
        self.board.resize(workers);
    }

    /// The seats whose workers have begun and hold no record: once the pool has ended these leave by themselves.
    pub fn unoccupied(&self) -> Vec<usize> {
        let free = |phase| matches!(phase, Phase::Idle | Phase::Leaving);
        let is_free = |seat: &Seat| seat.ring.ledger().is_some_and(|ledger| free(ledger.phase));
        let seats = self.seats.iter().enumerate();
        seats.filter_map(|(index, seat)| seat.as_ref().is_some_and(is_free).then_some(index)).collect()
    }

    /// How many items wait; of each worker its seat, how many outcomes it has sent, and whether it is ready and holds no
    /// record.
    pub fn load(&self) -> (u64, Vec<(usize, u64, bool)>) {
        let idle = self.unoccupied();
        let seats = self.seats.iter().enumerate();
        let workers: Vec<_> = seats
            .filter_map(|(index, seat)| {
                seat.as_ref().map(|seat| (index, seat.served, seat.ready && idle.binary_search(&index).is_ok()))
            })
            .collect();
        let busy = workers.iter().filter(|(_, _, is_idle)| !is_idle).count() as u64;
        (self.scheduler.pending().saturating_sub(busy), workers)
    }

    /// What the workers do just now.
    pub fn states(&self) -> Vec<WorkerState> {
        let now = (Instant::now(), platform::monotonic_now());
        let mut all = Vec::new();
        for (index, seat) in self.seats.iter().enumerate() {
            let Some(seat) = seat.as_ref().filter(|seat| seat.pid != 0) else { continue };
            // One look at the ledger for both: whoever works has a task, and whoever has none is idle.
            let ledger = seat.ring.ledger();
            let held = ledger.filter(|ledger| ledger.phase.is_working());
            let running = held.and_then(|held| self.scheduler.running(key(held.ticket), held.item));
            // A record is claimed before it is said when.
            let new = held.is_some_and(|held| held.phase == Phase::Claimed);
            let since = now.1.saturating_sub(seat.ring.taken_at());
            let doing = match ledger.map(|ledger| ledger.phase) {
                _ if seat.leaving => Doing::Leaving,
                Some(Phase::Leaving) => Doing::Leaving,
                _ if running.is_some() => Doing::Working,
                Some(Phase::Starting) => Doing::Starting,
                _ => Doing::Idle,
            };
            all.push(WorkerState {
                index,
                pid: seat.pid,
                doing,
                age: now.0.saturating_duration_since(seat.since),
                served: seat.served,
                memory: platform::memory_of(seat.pid),
                running: running.map(|(job, item)| (job, item, if new { Duration::ZERO } else { since })),
            });
        }
        all
    }
}
