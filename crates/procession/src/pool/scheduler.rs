//! Decides what goes into the next record, and what becomes of records when workers finish or die.
//!
//! It starts nothing, reads no clock and uses no thread: it is told what happened and answers what to do. The size of
//! a record follows guided self-scheduling (Polychronopoulos and Kuck, 1987) with the measured time of an item as a
//! second bound.
//!
//! Which job is next is decided in [`lanes`], what records hold beside a worker in [`units`].

mod job;
mod lanes;
mod units;

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;

use self::job::{Again, Job};
pub use self::lanes::LEVELS;
use self::lanes::Lanes;
pub use self::units::Unit;
use self::units::Units;
use crate::channel::Ticket;

/// Names a job of a pool.
pub type JobId = u64;

/// Items that take less do not wait for anything: more workers than there are processors gain nothing.
const QUICK_NS: f64 = 20_000.0;
/// How many functions are remembered with the time that an item takes.
const LEARNED: usize = 256;
/// How much longer than before the items of a record may seem: more is rather a worker that another process kept waiting.
const JUMP: f64 = 3.0;

/// How items make chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Each item stands alone; how many travel together is decided here.
    Adaptive,
    /// This many items always stay together.
    Fixed(u32),
}

impl Chunk {
    fn items(self) -> u64 {
        match self {
            Chunk::Adaptive => 1,
            Chunk::Fixed(items) => u64::from(items.max(1)),
        }
    }
}

/// What a job asks for beside its items.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// How urgent it is, from -[`LEVELS`] to [`LEVELS`]: the more, the earlier.
    pub priority: i32,
    /// In which order its chunks go out, by the numbers of all of them; none: as they stand. For jobs all of whose items are
    /// known.
    pub order: Option<Vec<u32>>,
    /// How many units of which kinds each of its records holds.
    pub needs: Vec<(u8, u16)>,
}

impl Wishes {
    fn is_special(&self) -> bool {
        self.priority != 0 || !self.needs.is_empty()
    }
}

/// What the next record holds: `count` items of `job` from `first`, in chunks of `chunk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The job.
    pub job: JobId,
    /// Its first item.
    pub first: u64,
    /// How many items.
    pub count: u32,
    /// How many of them make a chunk.
    pub chunk: u32,
}

/// What a death did: the items that were lost with the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The job.
    pub job: JobId,
    /// The item that ran when the worker died.
    pub item: u64,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    grant: Grant,
    /// How many of its items have an outcome; they come in order.
    done: u32,
    /// How urgent it was.
    rank: f64,
    /// Since when it lies aside, where no worker finds it.
    aside: Option<Duration>,
}

/// The state of all jobs of a pool.
#[derive(Debug, Default)]
pub struct Scheduler {
    workers: usize,
    jobs: FxHashMap<JobId, Job>,
    /// Jobs with something to give out: those that ask for nothing special, and the others.
    order: VecDeque<JobId>,
    lanes: Lanes,
    /// How many jobs ask for something special, and how many records lie aside.
    special: usize,
    aside: usize,
    units: Units,
    /// The time, as far as it is told; and since when it is, as all that waits is alike.
    now: Duration,
    told: Duration,
    is_untold: bool,
    out: FxHashMap<Ticket, Out>,
    granted: usize,
    /// Measured nanoseconds an item, of functions that were called before.
    learned: FxHashMap<u64, f64>,
}

impl Scheduler {
    /// For a pool of `workers`.
    pub fn new(workers: usize) -> Scheduler {
        Scheduler { workers: workers.max(1), ..Scheduler::default() }
    }

    /// A new job with `available` items so far; `complete` when no more will come. `function` names what it calls: jobs
    /// of the same one learn from each other how long an item takes.
    pub fn submit(&mut self, job: JobId, available: u64, complete: bool, chunk: Chunk, function: u64) {
        self.submit_with(job, available, complete, chunk, function, None);
    }

    /// As [`Scheduler::submit`], for a job that asks for more.
    pub fn submit_with(
        &mut self,
        job: JobId,
        available: u64,
        complete: bool,
        chunk: Chunk,
        function: u64,
        wishes: Option<Box<Wishes>>,
    ) {
        if wishes.as_ref().is_some_and(|wishes| wishes.is_special()) {
            self.is_untold |= !self.is_ranked();
            self.special += 1;
        }
        let mut state = Job {
            available,
            next: 0,
            complete,
            chunk,
            again: VecDeque::new(),
            function,
            mean: self.learned.get(&function).copied().unwrap_or(0.0),
            weight: 0.0,
            last: 0,
            queued: false,
            out: 0,
            wishes,
            at: 0,
            since: Duration::ZERO,
            rank: 0.0,
        };
        if state.mean > 0.0 {
            // No need to feel the way: should these items be slower, a worker gives the rest back.
            state.last = state.by_time().div_ceil(4);
        }
        self.jobs.insert(job, state);
        self.queue(job);
    }

    /// More items of a job have come.
    pub fn extend(&mut self, job: JobId, more: u64, complete: bool) {
        if let Some(state) = self.jobs.get_mut(&job) {
            state.available += more;
            state.complete |= complete;
            self.queue(job);
        }
    }

    /// Forgets a job; what is out of it comes back as nothing.
    pub fn cancel(&mut self, job: JobId) {
        let Some(state) = self.jobs.remove(&job) else { return };
        if state.is_special() {
            self.special -= 1;
            self.lanes.remove(job);
        } else if state.queued {
            self.order.retain(|queued| *queued != job);
        }
    }

    /// The records of a job that are out.
    pub fn records_of(&self, job: JobId) -> Vec<Ticket> {
        self.out.iter().filter(|(_, out)| out.grant.job == job).map(|(ticket, _)| *ticket).collect()
    }

    /// Items of a job that are known and not given out.
    pub fn waiting(&self, job: JobId) -> u64 {
        let again = |state: &Job| state.again.iter().map(|a| a.count).sum::<u64>();
        self.jobs.get(&job).map_or(0, |state| state.available - state.next + again(state))
    }

    /// Whether items were granted that are neither published nor withdrawn yet: they may be being encoded.
    pub fn is_granting(&self) -> bool {
        self.granted > 0
    }

    fn queue(&mut self, job: JobId) {
        let Some(state) = self.jobs.get_mut(&job) else { return };
        if !state.queued && state.has_next() {
            state.queued = true;
            state.since = self.now;
            match &state.wishes {
                Some(wishes) if wishes.is_special() => self.lanes.push(wishes, job),
                _ => self.order.push_back(job),
            }
        }
    }

    /// Changes how many workers there are to be.
    pub fn resize(&mut self, workers: usize) {
        self.workers = workers.max(1);
    }

    /// For how many workers records are made.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// How many records are out.
    pub fn out(&self) -> usize {
        self.out.len() + self.granted
    }

    /// What to publish next: jobs take turns, a record each. None while enough is out, or nothing waits.
    ///
    /// Each grant ends in [`Scheduler::published`] or [`Scheduler::withdrawn`].
    pub fn grant(&mut self) -> Option<Grant> {
        let enough = self.has_enough();
        let turns = self.order.len();
        for _ in 0..turns {
            let job = self.order.pop_front()?;
            if enough && !self.jobs.get(&job)?.is_single() {
                self.order.push_back(job);
                continue;
            }
            return self.grant_of(job);
        }
        None
    }

    /// Whether some job has items that wait, or may have records that do.
    pub fn is_waited_for(&self) -> bool {
        !self.order.is_empty() || self.is_ranked()
    }

    fn has_enough(&self) -> bool {
        self.out() - self.aside >= 4 * self.workers + 4
    }

    #[inline]
    fn grant_of(&mut self, job: JobId) -> Option<Grant> {
        let workers = self.workers as u64;
        let state = self.jobs.get_mut(&job)?;
        let grant = state.take(job, workers);
        state.out += 1;
        self.granted += 1;
        state.queued = false;
        self.queue(job);
        Some(grant)
    }

    /// The grant is out as `ticket`.
    pub fn published(&mut self, grant: Grant, ticket: Ticket) {
        self.granted -= 1;
        let rank = if self.is_ranked() { self.jobs.get(&grant.job).map_or(0.0, |state| state.rank) } else { 0.0 };
        self.out.insert(ticket, Out { grant, done: 0, rank, aside: None });
    }

    /// The grant needs `bytes` of memory of its own.
    pub fn weigh(&mut self, grant: &Grant, bytes: usize) {
        if let Some(state) = self.jobs.get_mut(&grant.job) {
            state.weight = bytes as f64 / f64::from(grant.count.max(1));
        }
    }

    /// The grant could not be published; the first `failed` items are dealt with, the rest waits again.
    pub fn withdrawn(&mut self, grant: Grant, failed: u32) {
        self.granted -= 1;
        self.put_back(grant, failed, false);
    }

    /// The grant could not be sent because of `count` items from `first` on: a single one is dealt with, several wait to
    /// go one by one; those around wait again.
    pub fn withdrawn_around(&mut self, grant: Grant, first: u32, count: u32) {
        self.granted -= 1;
        let after = first + count;
        let part = |from: u32, to: u32| Grant { first: grant.first + u64::from(from), count: to - from, ..grant };
        let parts = [(part(after, grant.count), false), (part(first, after), true), (part(0, first), false)];
        if let Some(state) = self.jobs.get_mut(&grant.job) {
            state.out += 2;
        }
        for (part, guilty) in parts {
            let dealt_with = if guilty && count == 1 { 1 } else { 0 };
            self.put_back(part, dealt_with, guilty);
        }
    }

    /// Whether more workers than are awake for it would gain the job nothing: its items are short, and more of its records
    /// than there are processors are out.
    pub fn is_served(&self, job: JobId, processors: usize) -> bool {
        let quick = |state: &Job| state.mean > 0.0 && state.mean < QUICK_NS;
        self.jobs.get(&job).is_some_and(|state| state.out > processors && quick(state))
    }

    /// Which item of which job has its outcome now, the first of `count`; none if the record is not known.
    #[inline]
    pub fn finished(&mut self, ticket: Ticket, item: u32, count: u32) -> Option<(JobId, u64)> {
        let out = self.out.get_mut(&ticket)?;
        if item != out.done || count > out.grant.count - item {
            return None;
        }
        out.done += count;
        Some((out.grant.job, out.grant.first + u64::from(item)))
    }

    /// The job and the item behind `item` of the record `ticket`, if that has no outcome.
    pub fn running(&self, ticket: Ticket, item: u32) -> Option<(JobId, u64)> {
        let out = self.out.get(&ticket)?;
        let runs = item >= out.done && item < out.grant.count;
        runs.then(|| (out.grant.job, out.grant.first + u64::from(item)))
    }

    /// How many items are known that have no outcome.
    pub fn pending(&self) -> u64 {
        let waiting: u64 = self.jobs.keys().map(|job| self.waiting(*job)).sum();
        let wanted = self.out.values().filter(|out| self.jobs.contains_key(&out.grant.job));
        waiting + wanted.map(|out| u64::from(out.grant.count - out.done)).sum::<u64>()
    }

    /// Whether a record of the job is out.
    pub fn is_out(&self, job: JobId) -> bool {
        self.out.values().any(|out| out.grant.job == job)
    }

    /// An item that had an outcome goes out once more, alone.
    pub fn again(&mut self, job: JobId, item: u64) {
        if let Some(state) = self.jobs.get_mut(&job) {
            state.again.push_back(Again { first: item, count: 1, alone: true });
            self.queue(job);
        }
    }

    /// A record is worked off, but for its items from `from` on, which wait again; it took `nanos`.
    pub fn done(&mut self, ticket: Ticket, from: u32, nanos: u64) {
        let Some(out) = self.take_out(ticket) else { return };
        if let Some(state) = self.jobs.get_mut(&out.grant.job) {
            let slow = from < out.grant.count;
            if out.done > 0 {
                let mean = (nanos as f64 / f64::from(out.done)).max(1.0);
                // What gives items back has found out that the mean was wrong.
                let is_first = state.mean == 0.0;
                state.mean = if is_first || slow { mean } else { (state.mean + mean.min(JUMP * state.mean)) / 2.0 };
                if self.learned.len() >= LEARNED && !self.learned.contains_key(&state.function) {
                    self.learned.clear();
                }
                self.learned.insert(state.function, state.mean);
            }
            if slow {
                state.last = (state.by_time() / 4).max(1);
            }
        }
        self.put_back(out.grant, from.max(out.done), false);
    }

    /// The items of a record go out again one by one.
    pub fn separate(&mut self, ticket: Ticket) {
        if let Some(out) = self.take_out(ticket) {
            self.put_back(out.grant, out.done, true);
        }
    }

    /// A worker died that held `ticket`: `item` is the one it ran, if any; `decoding` when it was rebuilding the items.
    ///
    /// What has no outcome and did not run waits again; what ran is lost.
    pub fn died(&mut self, ticket: Ticket, item: Option<u32>, decoding: bool) -> Option<Lost> {
        let out = self.take_out(ticket)?;
        let alone = decoding && out.grant.count - out.done > 1;
        let ran = match item {
            Some(item) if !alone && item == out.done && item < out.grant.count => Some(item),
            _ => None,
        };
        let from = ran.map_or(out.done, |item| item + 1);
        self.put_back(out.grant, from, alone);
        let lost = |item| Lost { job: out.grant.job, item: out.grant.first + u64::from(item) };
        ran.map(lost)
    }

    fn take_out(&mut self, ticket: Ticket) -> Option<Out> {
        let out = self.out.remove(&ticket)?;
        self.aside -= usize::from(out.aside.is_some());
        Some(out)
    }

    fn put_back(&mut self, grant: Grant, from: u32, alone: bool) {
        self.units.give_back(&grant);
        let Some(state) = self.jobs.get_mut(&grant.job) else { return };
        state.out -= 1;
        if from < grant.count {
            let first = grant.first + u64::from(from);
            state.again.push_front(Again { first, count: u64::from(grant.count - from), alone });
        }
        self.queue(grant.job);
    }
}

#[cfg(test)]
mod tests;
