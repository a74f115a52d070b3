//! Decides what goes into the next record, and what becomes of records when workers finish or die.
//!
//! It starts nothing, reads no clock and uses no thread: it is told what happened and answers what to do. The size of
//! a record follows guided self-scheduling (Polychronopoulos and Kuck, 1987) with the measured time of an item as a
//! second bound.
//!
//! A long file: half of it is the simulation that drives the decisions through deaths.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::channel::Ticket;

/// Names a job of a pool.
pub type JobId = u64;

/// How much work a record may hold, in nanoseconds of measured time.
const RECORD_NS: f64 = 2_000_000.0;
/// How many bytes of its own it may hold: what is piled up in fresh memory is slower than what goes through used memory.
const RECORD_BYTES: f64 = (1 << 20) as f64;
/// Items that take less do not wait for anything: more workers than there are processors gain nothing.
const QUICK_NS: f64 = 20_000.0;
/// Of how many functions it is remembered how long an item takes.
const LEARNED: usize = 256;
/// The most items of a record.
const MAX_ITEMS: u64 = 4096;

/// How items make chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Each item stands alone; how many travel together is decided here.
    Adaptive,
    /// So many items always stay together.
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

#[derive(Debug)]
struct Job {
    available: u64,
    next: u64,
    complete: bool,
    chunk: Chunk,
    again: VecDeque<Again>,
    /// What it calls.
    function: u64,
    /// Measured nanoseconds an item; 0 while unknown.
    mean: f64,
    /// Bytes of its own that an item of the last record needed.
    weight: f64,
    /// Chunks in the last record.
    last: u64,
    /// Whether the job waits in `order`.
    queued: bool,
    /// Records that are out.
    out: usize,
}

/// Items that came back.
#[derive(Clone, Copy, Debug)]
struct Again {
    first: u64,
    count: u64,
    alone: bool,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    grant: Grant,
    /// How many of its items have an outcome; they come in order.
    done: u32,
}

/// The state of all jobs of a pool.
#[derive(Debug, Default)]
pub struct Scheduler {
    workers: usize,
    jobs: FxHashMap<JobId, Job>,
    order: VecDeque<JobId>,
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
        if self.jobs.remove(&job).is_some_and(|state| state.queued) {
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
            self.order.push_back(job);
        }
    }

    /// There are to be so many workers from now on.
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
        let enough = self.out() >= 4 * self.workers + 4;
        let turns = self.order.len();
        for _ in 0..turns {
            let job = self.order.pop_front()?;
            let workers = self.workers as u64;
            let state = self.jobs.get_mut(&job)?;
            if enough && !state.is_single() {
                self.order.push_back(job);
                continue;
            }
            let grant = state.take(job, workers);
            state.out += 1;
            self.granted += 1;
            state.queued = false;
            self.queue(job);
            return Some(grant);
        }
        None
    }

    /// The grant is out as `ticket`.
    pub fn published(&mut self, grant: Grant, ticket: Ticket) {
        self.granted -= 1;
        self.out.insert(ticket, Out { grant, done: 0 });
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
        let Some(out) = self.out.remove(&ticket) else { return };
        if let Some(state) = self.jobs.get_mut(&out.grant.job) {
            let slow = from < out.grant.count;
            if out.done > 0 {
                let mean = (nanos as f64 / f64::from(out.done)).max(1.0);
                // What gives items back has found out that the mean was wrong.
                state.mean = if state.mean == 0.0 || slow { mean } else { (state.mean + mean) / 2.0 };
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
        if let Some(out) = self.out.remove(&ticket) {
            self.put_back(out.grant, out.done, true);
        }
    }

    /// A worker died that held `ticket`: `item` is the one it ran, if any; `decoding` when it was rebuilding the items.
    ///
    /// What has no outcome and did not run waits again; what ran is lost.
    pub fn died(&mut self, ticket: Ticket, item: Option<u32>, decoding: bool) -> Option<Lost> {
        let out = self.out.remove(&ticket)?;
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

    fn put_back(&mut self, grant: Grant, from: u32, alone: bool) {
        let Some(state) = self.jobs.get_mut(&grant.job) else { return };
        state.out -= 1;
        if from < grant.count {
            let first = grant.first + u64::from(from);
            state.again.push_front(Again { first, count: u64::from(grant.count - from), alone });
        }
        self.queue(grant.job);
    }
}

impl Job {
    fn has_next(&self) -> bool {
        self.next < self.available || !self.again.is_empty()
    }

    fn is_single(&self) -> bool {
        self.complete && self.available == 1
    }

    /// How many chunks a record may hold by the time that they take.
    fn by_time(&self) -> u64 {
        if self.mean == 0.0 { 1 } else { (RECORD_NS / (self.mean * self.chunk.items() as f64)) as u64 }
    }

    /// How many chunks it may hold by the memory that they need.
    fn by_weight(&self) -> u64 {
        (RECORD_BYTES / (self.weight * self.chunk.items() as f64)) as u64
    }

    /// How many items the next record may hold, of `waiting` that stand in a row.
    fn batch(&self, waiting: u64, workers: u64) -> u64 {
        let unit = self.chunk.items();
        let chunks = waiting.div_ceil(unit);
        let share = if self.complete { chunks / (2 * workers) } else { chunks.div_ceil(workers) };
        let chunks = share.min(self.by_time()).min(self.by_weight()).min(4 * self.last).max(1);
        let most = (MAX_ITEMS / unit).max(1);
        chunks.min(most) * unit
    }

    fn take(&mut self, job: JobId, workers: u64) -> Grant {
        let unit = self.chunk.items();
        if let Some(again) = self.again.pop_front() {
            let size = if again.alone { 1 } else { self.batch(again.count, workers) };
            let count = size.min(again.count);
            if count < again.count {
                self.again.push_front(Again { first: again.first + count, count: again.count - count, ..again });
            }
            let chunk = if again.alone { 1 } else { unit };
            return Grant { job, first: again.first, count: count as u32, chunk: chunk as u32 };
        }
        let waiting = self.available - self.next;
        let count = self.batch(waiting, workers).min(waiting);
        let first = self.next;
        self.next += count;
        self.last = count.div_ceil(unit);
        Grant { job, first, count: count as u32, chunk: unit as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn submit(items: u64, chunk: Chunk) -> Scheduler {
        let mut s = Scheduler::new(2);
        s.submit(1, items, true, chunk, 1);
        s
    }

    /// The sizes of all records, of items that take 100 ns and so many bytes each as `weight` says of a record's first.
    fn record_sizes(mut s: Scheduler, weight: impl Fn(u64) -> usize) -> Vec<u32> {
        let mut sizes = Vec::new();
        while let Some(grant) = s.grant() {
            let ticket = sizes.len() as Ticket;
            s.weigh(&grant, grant.count as usize * weight(grant.first));
            s.published(grant, ticket);
            for item in 0..grant.count {
                s.finished(ticket, item, 1);
            }
            s.done(ticket, grant.count, u64::from(grant.count) * 100);
            sizes.push(grant.count);
        }
        sizes
    }

    #[test]
    fn records_start_small_grow_with_quick_items_and_shrink_towards_the_end() {
        let sizes = record_sizes(submit(10_000, Chunk::Adaptive), |_| 0);
        assert_eq!(sizes[0], 1);
        assert!(sizes.iter().any(|size| *size > 1000), "{sizes:?}");
        assert_eq!(*sizes.last().unwrap(), 1);
        assert_eq!(sizes.iter().sum::<u32>(), 10_000);
    }

    #[test]
    fn heavy_items_make_small_records() {
        let sizes = record_sizes(submit(10_000, Chunk::Adaptive), |_| 10_000);
        assert_eq!(*sizes.iter().max().unwrap(), (1 << 20) / 10_000);
        assert_eq!(sizes.iter().sum::<u32>(), 10_000);
    }

    #[test]
    fn a_heavy_item_does_not_make_the_records_of_light_ones_small() {
        let sizes = record_sizes(submit(10_000, Chunk::Adaptive), |first| if first == 0 { 1 << 30 } else { 0 });
        assert!(sizes.iter().any(|size| *size > 1000), "{sizes:?}");
    }

    #[test]
    fn a_job_is_served_when_its_items_are_quick_and_each_processor_has_a_record() {
        for (nanos, served) in [(QUICK_NS as u64 - 1, true), (QUICK_NS as u64 + 1, false)] {
            let mut s = Scheduler::new(64);
            s.submit(1, 1, true, Chunk::Adaptive, 7);
            let grant = s.grant().unwrap();
            s.published(grant, 0);
            s.finished(0, 0, 1);
            s.done(0, 1, nanos);
            s.submit(2, 100_000, true, Chunk::Adaptive, 7);
            s.submit(3, 100_000, true, Chunk::Adaptive, 8);
            for ticket in 1..=6 {
                let grant = s.grant().unwrap();
                s.published(grant, ticket);
            }
            assert_eq!((s.is_served(2, 2), s.is_served(2, 3), s.is_served(3, 2)), (served, false, false));
        }
    }

    #[test]
    fn slow_items_travel_alone() {
        let mut s = submit(100, Chunk::Adaptive);
        for ticket in 0..100 {
            let grant = s.grant().unwrap();
            assert_eq!(grant.count, 1);
            s.published(grant, ticket);
            s.finished(ticket, 0, 1);
            s.done(ticket, 1, RECORD_NS as u64);
        }
    }

    #[test]
    fn a_fixed_chunk_is_never_cut() {
        let mut s = submit(103, Chunk::Fixed(10));
        let mut ticket = 0;
        while let Some(grant) = s.grant() {
            assert!(grant.count % 10 == 0 || grant.first + u64::from(grant.count) == 103);
            s.published(grant, ticket);
            (0..grant.count).for_each(|item| assert!(s.finished(ticket, item, 1).is_some()));
            s.done(ticket, grant.count, 1000);
            ticket += 1;
        }
    }

    #[test]
    fn the_item_that_ran_is_lost_and_the_rest_waits_again() {
        let mut s = submit(8, Chunk::Fixed(8));
        let grant = s.grant().unwrap();
        s.published(grant, 0);
        s.finished(0, 0, 1);
        assert_eq!(s.died(0, Some(1), false), Some(Lost { job: 1, item: 1 }));
        assert_eq!(s.waiting(1), 6);
    }

    #[test]
    fn a_record_that_kills_while_decoded_is_taken_apart_first() {
        let mut s = submit(4, Chunk::Fixed(4));
        let grant = s.grant().unwrap();
        s.published(grant, 0);
        assert_eq!(s.died(0, Some(0), true), None);
        let grant = s.grant().unwrap();
        assert_eq!((grant.first, grant.count, grant.chunk), (0, 1, 1));
        s.published(grant, 1);
        assert_eq!(s.died(1, Some(0), true), Some(Lost { job: 1, item: 0 }));
    }

    #[test]
    fn records_suit_the_workers_that_there_are() {
        let mut s = submit(1000, Chunk::Adaptive);
        let out = |s: &mut Scheduler| std::iter::from_fn(|| s.grant()).count();
        assert_eq!(out(&mut s), 4 * 2 + 4);
        s.resize(10);
        assert_eq!(out(&mut s), 4 * (10 - 2));
        s.resize(1);
        assert_eq!(out(&mut s), 0);
    }

    #[test]
    fn jobs_take_turns() {
        let mut s = Scheduler::new(2);
        s.submit(1, 100, true, Chunk::Adaptive, 1);
        s.submit(2, 100, true, Chunk::Adaptive, 2);
        let jobs: Vec<JobId> = (0..4).map(|_| s.grant().unwrap().job).collect();
        assert_eq!(jobs, [1, 2, 1, 2]);
    }

    #[test]
    fn a_job_learns_from_the_last_one_of_its_function() {
        let mut s = Scheduler::new(2);
        s.submit(1, 1, true, Chunk::Adaptive, 7);
        let grant = s.grant().unwrap();
        s.published(grant, 0);
        s.finished(0, 0, 1);
        s.done(0, 1, 10_000);
        s.submit(2, 1000, true, Chunk::Adaptive, 7);
        s.submit(3, 1000, true, Chunk::Adaptive, 8);
        assert_eq!([s.grant().unwrap().count, s.grant().unwrap().count], [200, 1]);
    }

    /// What a simulated worker does next with the record it holds.
    #[derive(Clone, Debug)]
    enum Step {
        Finish,
        Die { running: bool, decoding: bool },
        HandBack,
        Separate,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Finish),
            1 => (any::<bool>(), any::<bool>()).prop_map(|(running, decoding)| Step::Die { running, decoding }),
            1 => Just(Step::HandBack),
            1 => Just(Step::Separate),
        ]
    }

    proptest! {
        #[test]
        fn every_item_gets_exactly_one_outcome(
            items in 0u64..300,
            chunk in prop_oneof![Just(Chunk::Adaptive), (1u32..40).prop_map(Chunk::Fixed)],
            workers in 1usize..5,
            steps in proptest::collection::vec((step(), 0u32..50, 1u64..1_000_000), 1..60),
        ) {
            let mut s = Scheduler::new(workers);
            s.submit(9, items / 2, false, chunk, 1);
            s.extend(9, items - items / 2, true);
            let mut outcomes = vec![0u32; items as usize];
            let mut held: VecDeque<(Ticket, Grant)> = VecDeque::new();
            let mut ticket = 0;
            let mut script = steps.into_iter().chain(std::iter::repeat((Step::Finish, u32::MAX, 1000)));
            loop {
                while let Some(grant) = s.grant() {
                    s.published(grant, ticket);
                    held.push_back((ticket, grant));
                    ticket += 1;
                }
                let Some((ticket, grant)) = held.pop_front() else { break };
                let (step, upto, nanos) = script.next().unwrap();
                let upto = upto.min(grant.count);
                let ran = if matches!(step, Step::Die { decoding: true, .. } | Step::Separate) { 0 } else { upto };
                for item in 0..ran {
                    let (_, index) = s.finished(ticket, item, 1).unwrap();
                    outcomes[index as usize] += 1;
                }
                match step {
                    Step::Finish if ran == grant.count => s.done(ticket, grant.count, nanos),
                    Step::Finish | Step::HandBack => s.done(ticket, ran, nanos),
                    Step::Separate => s.separate(ticket),
                    Step::Die { running, decoding } => {
                        let item = (running || decoding).then_some(ran);
                        if let Some(lost) = s.died(ticket, item, decoding) {
                            outcomes[lost.item as usize] += 1;
                        }
                    }
                }
            }
            prop_assert!(outcomes.iter().all(|n| *n == 1), "{:?}", outcomes);
            prop_assert_eq!(s.out(), 0);
        }
    }
}
