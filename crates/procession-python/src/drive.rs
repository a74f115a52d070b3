//! Driving a pool: whoever has the duty reads results, hands them to their jobs, and publishes what is next.
//!
//! Locks are held for a few instructions and never while Python code runs: it may call back into the same pool. The
//! duty is no lock: the thread that has it may come back to it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use procession::channel::{BLOCK_HEAD, Spin, give_back};
use procession::platform::{Doorbell, Poller, SignalGuard, monotonic_now};
use procession::pool::{Batch, Death, Driver, Grant, JobId, Waiter};
use procession::shared_memory::{Block, Segment, copy_to, fill};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::codec::{self, Preamble, Room, Shelf};
use crate::error::Raised;
use crate::job::{Answer, Job};

/// The longest sleep: then a look around, in case somebody is stopped or a signal went to another thread.
const LOOK_AROUND: Duration = Duration::from_millis(200);
/// How often ended workers are looked for while results flow.
const LOOK_FOR_DEATHS: Duration = Duration::from_millis(10);
/// The most memory that is kept to encode records in.
const BODY_BYTES: usize = 1 << 20;
/// How long an interrupted item may go on before its worker is killed.
const GRACE_TO_END: Duration = Duration::from_millis(500);
/// How long the thread that drives for nobody leaves the duty to a caller that may come.
const GRACE: Duration = Duration::from_millis(1);

/// What all threads that use a pool share.
pub(crate) struct Inner {
    pub waiter: Arc<Waiter>,
    pub workers: usize,
    /// Python's side: `worker_ended(index, starting, expected) -> str`, `worker_leaves(index)`, `failure(bytes) -> exception`,
    /// `lost(text) -> exception`, `start_driver()`.
    pub support: Py<PyAny>,
    state: Mutex<Shared>,
    duty: Mutex<Duty>,
    batch: Mutex<Vec<Batch>>,
    /// Memory to encode records in, used again and again.
    bodies: Mutex<Vec<Vec<u8>>>,
    followers: Mutex<Vec<Arc<Follower>>>,
    driver_bell: Doorbell,
    driver_armed: AtomicBool,
    wanted: AtomicUsize,
    pub quit: AtomicBool,
}

/// The part of a pool that changes.
pub(crate) struct Shared {
    pub driver: Driver,
    pub jobs: HashMap<JobId, Arc<Job>>,
    /// Jobs whose items come from an iterator that is not exhausted.
    pub lazy: Vec<Arc<Job>>,
    /// Jobs whose items may run for so long only.
    pub limits: HashMap<JobId, Duration>,
    /// Jobs that nobody wants any more, while workers may run them.
    pub called_off: HashSet<JobId>,
    /// Items that were interrupted for running too long.
    pub expired: HashMap<(JobId, u64), Duration>,
    /// Jobs that end when their callback has run.
    pub callbacks: Vec<Arc<Job>>,
    /// How many unfinished jobs have callbacks: nobody may be waiting for these.
    pub expecting: usize,
    /// Why no task can run any more.
    pub broken: Option<Py<PyAny>>,
    pub closed: bool,
    pub stopped: bool,
    pub next_job: JobId,
    pub next_function: u64,
    looked: Instant,
}

#[derive(Default)]
struct Duty {
    holder: Option<ThreadId>,
    depth: usize,
    spin: Spin,
}

struct Follower {
    bell: Doorbell,
    poller: Poller,
}

/// The duty, given up when dropped.
struct OnDuty<'a> {
    inner: &'a Inner,
}

impl Drop for OnDuty<'_> {
    fn drop(&mut self) {
        let mut duty = lock(&self.inner.duty);
        duty.depth -= 1;
        if duty.depth == 0 {
            duty.holder = None;
            drop(duty);
            if let Some(follower) = lock(&self.inner.followers).first() {
                follower.bell.ring();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while locked")
}

impl Inner {
    pub(crate) fn new(driver: Driver, workers: usize, support: Py<PyAny>) -> PyResult<Inner> {
        Ok(Inner {
            waiter: driver.waiter(),
            workers,
            support,
            state: Mutex::new(Shared {
                driver,
                jobs: HashMap::new(),
                lazy: Vec::new(),
                limits: HashMap::new(),
                called_off: HashSet::new(),
                expired: HashMap::new(),
                callbacks: Vec::new(),
                expecting: 0,
                broken: None,
                closed: false,
                stopped: false,
                next_job: 1,
                next_function: 1,
                looked: Instant::now(),
            }),
            duty: Mutex::default(),
            batch: Mutex::default(),
            bodies: Mutex::default(),
            followers: Mutex::default(),
            driver_bell: Doorbell::new().map_err(Raised::from)?,
            driver_armed: AtomicBool::new(false),
            wanted: AtomicUsize::new(0),
            quit: AtomicBool::new(false),
        })
    }

    /// The part that changes; see the rules at the head of this file.
    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.state)
    }

    fn take_duty(&self) -> Option<OnDuty<'_>> {
        let me = std::thread::current().id();
        let mut duty = lock(&self.duty);
        match duty.holder {
            Some(holder) if holder != me => return None,
            _ => duty.holder = Some(me),
        }
        duty.depth += 1;
        Some(OnDuty { inner: self })
    }

    /// Waits until `ready` or the deadline; says whether it became ready. Drives the pool meanwhile, or lets the thread
    /// that does so wake it.
    ///
    /// Blocks detached from the interpreter; a signal handler that raises ends it.
    pub(crate) fn wait(
        &self,
        py: Python<'_>,
        until: Option<Instant>,
        mut ready: impl FnMut() -> bool,
    ) -> PyResult<bool> {
        let past = |until: Option<Instant>| until.is_some_and(|until| Instant::now() >= until);
        loop {
            if ready() {
                return Ok(true);
            }
            let Some(_duty) = self.take_duty() else {
                if past(until) {
                    return Ok(false);
                }
                self.follow(py, until)?;
                continue;
            };
            loop {
                let progress = self.pump(py)?;
                if ready() {
                    return Ok(true);
                }
                if past(until) {
                    return Ok(false);
                }
                if progress {
                    py.check_signals()?;
                } else if !self.poll(py) {
                    self.sleep(py, until)?;
                }
            }
        }
    }

    /// Polls for results for a short time; says whether some came.
    fn poll(&self, py: Python<'_>) -> bool {
        let glance = self.shared().driver.glance();
        let mut spin = std::mem::take(&mut lock(&self.duty).spin);
        let found = py.detach(|| spin.until(|| glance.is_ready()));
        lock(&self.duty).spin = spin;
        found
    }

    fn sleep(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<()> {
        let guard = SignalGuard::block_all();
        // A signal that came before the guard is seen here, one that comes later ends the wait.
        py.check_signals()?;
        if !self.shared().driver.about_to_sleep() {
            return Ok(());
        }
        let asleep = Instant::now();
        let latest = asleep + self.look_around();
        let until = until.map_or(latest, |until| until.min(latest));
        let answer = py.detach(|| self.waiter.sleep(Some(until), Some(&guard)));
        drop(guard);
        lock(&self.duty).spin.slept(asleep.elapsed());
        {
            let mut shared = self.shared();
            // After any sleep: it may have been a death that ended it.
            shared.looked = asleep - LOOK_FOR_DEATHS;
            if Instant::now() >= latest {
                shared.driver.nudge();
            }
        }
        if asleep.elapsed() >= LOOK_AROUND {
            // A worker that could not be replaced when it ended may be now.
            self.support.bind(py).call_method0("refill")?;
        }
        match answer {
            Err(error) if !error.is_interrupted() => Err(Raised::from(error).into()),
            _ => py.check_signals(),
        }
    }

    /// Waits for the thread that has the duty to ring, or to give the duty up.
    fn follow(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<()> {
        let bell = Doorbell::new().map_err(Raised::from)?;
        let poller = Poller::new().map_err(Raised::from)?;
        poller.add(&bell, 0).map_err(Raised::from)?;
        let follower = Arc::new(Follower { bell, poller });
        lock(&self.followers).push(follower.clone());
        self.wanted.fetch_add(1, Ordering::SeqCst);
        // The thread that drives for nobody gives way to a caller.
        self.waiter.wake();
        let guard = SignalGuard::block_all();
        let latest = Instant::now() + LOOK_AROUND / 4;
        let until = until.map_or(latest, |until| until.min(latest));
        let answer = match py.check_signals() {
            Ok(()) => py.detach(|| follower.poller.wait(Some(until), Some(&guard), &mut Vec::new())),
            Err(error) => {
                self.unfollow(&follower);
                return Err(error);
            }
        };
        drop(guard);
        self.unfollow(&follower);
        match answer {
            Err(error) if !error.is_interrupted() => Err(Raised::from(error).into()),
            _ => py.check_signals(),
        }
    }

    fn unfollow(&self, follower: &Arc<Follower>) {
        self.wanted.fetch_sub(1, Ordering::SeqCst);
        lock(&self.followers).retain(|other| !Arc::ptr_eq(other, follower));
    }

    /// Wakes everybody who waits for a job.
    pub(crate) fn wake_followers(&self) {
        for follower in lock(&self.followers).iter() {
            follower.bell.ring();
        }
    }

    /// Looks once at what came in and publishes what is next, if nobody else is about to.
    pub(crate) fn look(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(_duty) = self.take_duty() {
            self.pump(py)?;
        }
        Ok(())
    }

    /// Reads what came in, hands it to the jobs, publishes what is next; says whether anything came in.
    fn pump(&self, py: Python<'_>) -> PyResult<bool> {
        let mut batch = lock(&self.batch).pop().unwrap_or_default();
        {
            let mut shared = self.shared();
            shared.driver.read(&mut batch);
            let now = Instant::now();
            if now - shared.looked >= LOOK_FOR_DEATHS {
                shared.looked = now;
                shared.driver.look_for_deaths(&mut batch);
            }
        }
        self.interrupt_overdue(py)?;
        let progress = !batch.is_empty();
        let answer = if progress { self.deliver(py, &batch) } else { Ok(()) };
        batch.clear();
        lock(&self.batch).push(batch);
        answer?;
        self.feed(py)?;
        Ok(progress)
    }

    /// Interrupts what runs too long or was called off; kills the workers that did not listen.
    fn interrupt_overdue(&self, py: Python<'_>) -> PyResult<()> {
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

    /// How long to sleep at most.
    fn look_around(&self) -> Duration {
        let shared = self.shared();
        if !shared.called_off.is_empty() {
            return LOOK_AROUND / 20;
        }
        let shortest = shared.limits.values().min();
        shortest.map_or(LOOK_AROUND, |limit| (*limit / 20).clamp(Duration::from_millis(1), LOOK_AROUND / 4))
    }

    /// What becomes of an item's exception: none when it is tried again.
    fn judge(&self, py: Python<'_>, job: &Arc<Job>, item: u64, failure: Py<PyAny>) -> PyResult<Option<Py<PyAny>>> {
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
            self.shared().driver.scheduler.again(job.id, item);
            return Ok(None);
        }
        Ok(Some(failure))
    }

    fn deliver(&self, py: Python<'_>, batch: &Batch) -> PyResult<()> {
        let mut trash = Vec::new();
        let mut job: Option<Arc<Job>> = None;
        let mut interrupt = None;
        for outcome in &batch.outcomes {
            if job.as_ref().is_none_or(|job| job.id != outcome.job) {
                job = self.shared().jobs.get(&outcome.job).cloned();
            }
            let Some(job) = &job else {
                if let Some(segment) = &outcome.segment {
                    // Nobody wants the result: its blocks go back all the same.
                    let blocks = codec::blocks_of(&batch.bytes[outcome.payload.clone()]);
                    blocks.into_iter().for_each(|offset| give_back(segment, offset as usize));
                }
                continue;
            };
            let size = outcome.payload.len() / outcome.run.unwrap_or(1) as usize;
            if job.unit > 0 && size > 0 {
                let mut state = job.state();
                state.bytes = if state.bytes == 0.0 { size as f64 } else { (state.bytes * 7.0 + size as f64) / 8.0 };
            }
            let mut bytes = &batch.bytes[outcome.payload.clone()];
            let last = match outcome.run {
                Some(count) => match job.store_simple_run(py, outcome.item, count, bytes) {
                    Some(last) => last,
                    None => {
                        let mut last = false;
                        for item in outcome.item..outcome.item + u64::from(count) {
                            let Some((size, after)) = bytes.split_first() else { break };
                            let Some((value, after)) = after.split_at_checked(usize::from(*size)) else { break };
                            bytes = after;
                            let answer = self.rebuild(py, value, &codec::Bare, &mut interrupt);
                            last |= job.store(py, item, answer, &mut trash);
                        }
                        last
                    }
                },
                None if outcome.returned => {
                    let shelf = WorkerShelf(outcome.segment.as_deref());
                    let answer = self.rebuild(py, bytes, &shelf, &mut interrupt);
                    job.store(py, outcome.item, answer, &mut trash)
                }
                None => match self.judge(py, job, outcome.item, self.failure(py, bytes))? {
                    Some(failure) => job.store(py, outcome.item, Err(failure), &mut trash),
                    None => false,
                },
            };
            if last {
                self.finish(py, job);
            }
            if job.unit > 0 {
                self.wake_followers();
            }
        }
        trash.clear();
        for failure in &batch.init_failed {
            let failure = self.failure(py, &batch.bytes[failure.clone()]);
            self.break_down(py, failure);
        }
        // Each of these must be heard of once, whatever a signal handler raises in between.
        for index in &batch.leaving {
            if let Err(error) = self.support.bind(py).call_method1("worker_leaves", (*index,)) {
                interrupt = Some(error);
            }
        }
        for death in &batch.deaths {
            if let Err(error) = self.bury(py, death) {
                interrupt = Some(error);
            }
        }
        interrupt.map_or(Ok(()), Err)
    }

    fn rebuild(&self, py: Python<'_>, mut bytes: &[u8], shelf: &dyn Shelf, interrupt: &mut Option<PyErr>) -> Answer {
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

    fn failure(&self, py: Python<'_>, bytes: &[u8]) -> Py<PyAny> {
        let rebuilt = self.support.bind(py).call_method1("rebuild", (PyBytes::new(py, bytes),));
        rebuilt.unwrap_or_else(|error| error.value(py).clone().into_any()).unbind()
    }

    fn bury(&self, py: Python<'_>, death: &Death) -> PyResult<()> {
        let support = self.support.bind(py);
        let text = support.call_method1("worker_ended", (death.index, death.starting, death.expected));
        let (text, interrupt) = match text {
            Ok(text) => (text, None),
            Err(error) => (PyString::new(py, "its worker ended").into_any(), Some(error)),
        };
        let mut trash = Vec::new();
        for lost in &death.lost {
            let Some(job) = self.shared().jobs.get(&lost.job).cloned() else { continue };
            let expired = self.shared().expired.contains_key(&(lost.job, lost.item));
            if !expired && job.tries_again(lost.item, true) {
                self.shared().driver.scheduler.again(lost.job, lost.item);
                continue;
            }
            let failure = support.call_method1("lost", (&text, lost.item))?.unbind();
            let Some(failure) = self.judge(py, &job, lost.item, failure)? else { continue };
            if job.store(py, lost.item, Err(failure), &mut trash) {
                self.finish(py, &job);
            }
        }
        self.wake_followers();
        interrupt.map_or(Ok(()), Err)
    }

    /// A job has all its outcomes.
    pub(crate) fn finish(&self, py: Python<'_>, job: &Arc<Job>) {
        let (callbacks, items) = {
            let mut state = job.state();
            (state.callbacks.is_some(), (std::mem::take(&mut state.items), state.list.take()))
        };
        drop(items);
        let forgotten = {
            let mut shared = self.shared();
            let forgotten = shared.jobs.remove(&job.id);
            shared.driver.scheduler.cancel(job.id);
            shared.limits.remove(&job.id);
            if let Some((block, _)) = job.function.block {
                shared.driver.release(block);
            }
            shared.lazy.retain(|lazy| lazy.id != job.id);
            if callbacks {
                shared.expecting -= 1;
                shared.callbacks.push(job.clone());
            }
            if shared.closed && !shared.stopped && shared.jobs.is_empty() {
                shared.stopped = true;
                shared.driver.stop();
            }
            forgotten
        };
        drop(forgotten);
        if callbacks {
            self.arm_driver(py, true);
        } else {
            job.is_done.store(true, Ordering::Release);
            self.wake_followers();
        }
    }

    /// No task can run any more: everything that waits fails with `why`.
    pub(crate) fn break_down(&self, py: Python<'_>, why: Py<PyAny>) {
        let (jobs, before) = {
            let mut shared = self.shared();
            let jobs: Vec<Arc<Job>> = shared.jobs.values().cloned().collect();
            (jobs, if shared.broken.is_none() { shared.broken.replace(why.clone_ref(py)) } else { None })
        };
        drop(before);
        for job in jobs {
            self.fail(py, &job, &why);
        }
    }

    /// Gives a job up: what runs is interrupted, and what has no outcome fails with `why`.
    pub(crate) fn call_off(&self, py: Python<'_>, job: &Arc<Job>, why: &Py<PyAny>) {
        self.shared().called_off.insert(job.id);
        self.fail(py, job, why);
        self.arm_driver(py, true);
        self.waiter.wake();
    }

    /// Nobody waits for a job any more: what has not started does not start.
    pub(crate) fn abandon(&self, job: &Arc<Job>) {
        let forgotten = {
            let mut shared = self.shared();
            shared.driver.scheduler.cancel(job.id);
            shared.jobs.remove(&job.id)
        };
        drop(forgotten);
    }

    /// All outcomes that a job has not got become `why`.
    pub(crate) fn fail(&self, py: Python<'_>, job: &Arc<Job>, why: &Py<PyAny>) {
        let source = job.state().source.take();
        let missing = job.missing();
        drop(source);
        let mut trash = Vec::new();
        let mut last = missing.is_empty();
        for item in missing {
            last |= job.store(py, item, Err(why.clone_ref(py)), &mut trash);
        }
        if last && !job.done() {
            self.finish(py, job);
        }
    }

    /// Publishes records as long as the scheduler grants some.
    pub(crate) fn feed(&self, py: Python<'_>) -> PyResult<()> {
        let lazy: Vec<Arc<Job>> = {
            let shared = self.shared();
            if shared.lazy.is_empty() { Vec::new() } else { shared.lazy.clone() }
        };
        for job in lazy {
            self.pull(py, &job)?;
        }
        let mut body = lock(&self.bodies).pop().unwrap_or_default();
        self.publish_all(py, &mut body);
        if body.capacity() <= BODY_BYTES {
            lock(&self.bodies).push(body);
        }
        Ok(())
    }

    /// Publishes records, encoded in `body`, as long as the scheduler grants some and there is room.
    fn publish_all(&self, py: Python<'_>, body: &mut Vec<u8>) {
        loop {
            let (grant, job) = {
                let mut shared = self.shared();
                let Some(grant) = shared.driver.grant() else { return };
                (grant, shared.jobs.get(&grant.job).cloned())
            };
            let Some(job) = job else {
                self.shared().driver.scheduler.withdrawn(grant, grant.count);
                continue;
            };
            body.clear();
            if !self.publish(py, &job, grant, body) {
                return;
            }
        }
    }

    /// Encodes and publishes a grant; false when there is no room now.
    fn publish(&self, py: Python<'_>, job: &Arc<Job>, grant: Grant, body: &mut Vec<u8>) -> bool {
        let pickled = match &job.function.block {
            None => Ok(&job.function.pickled[..]),
            Some((block, size)) => Err((block.offset as u64, *size)),
        };
        Preamble { function: job.function.id, mode: job.mode, pickled }.encode(body);
        let start = body.len();
        if grant.chunk == 1 && job.encode_simple(py, grant.first, grant.count, body) {
            return self.send(py, job, grant, body, start, Vec::new());
        }
        body.truncate(start);
        let items = job.items(py, grant.first, grant.count);
        if items.len() != grant.count as usize {
            // Outcomes came in another way meanwhile: the job has failed.
            self.shared().driver.scheduler.withdrawn(grant, grant.count);
            return true;
        }
        let mut room = RecordRoom { inner: self, blocks: Vec::new() };
        for (index, chunk) in items.chunks(grant.chunk as usize).enumerate() {
            let encoded = match chunk {
                [item] => codec::encode(item.bind(py), body, &mut room),
                chunk => codec::encode_chunk(py, &bound(py, chunk), body, &mut room),
            };
            let Err(error) = encoded else { continue };
            let first = index as u32 * grant.chunk;
            match self.by_value(py, chunk, &error, body) {
                Ok(()) => continue,
                Err(error) => {
                    let blocks = std::mem::take(&mut room.blocks);
                    let mut shared = self.shared();
                    blocks.into_iter().for_each(|block| shared.driver.release(block));
                    drop(shared);
                    return self.unsendable(py, job, grant, first, chunk.len() as u32, error);
                }
            }
        }
        let blocks = room.blocks;
        self.send(py, job, grant, body, start, blocks)
    }

    /// Publishes the encoded items of a grant, which begin at `start` of `body`.
    fn send(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        grant: Grant,
        body: &[u8],
        start: usize,
        blocks: Vec<Block>,
    ) -> bool {
        if job.unit > 0 {
            let apart: usize = blocks.iter().map(|block| block.size).sum();
            let mean = (body.len() - start + apart) as f64 / f64::from(grant.count);
            let mut state = job.state();
            state.bytes = state.bytes.max(mean);
        }
        let answer = self.shared().driver.publish(grant, job.options.timeout.is_some(), body, blocks);
        match answer {
            Ok(published) => published,
            Err(error) => self.unsendable(py, job, grant, 0, grant.count, Raised::from(error).into()),
        }
    }

    /// Pickles the items of a chunk by value, after plain pickling failed with `error`.
    fn by_value(&self, py: Python<'_>, chunk: &[Py<PyAny>], error: &PyErr, body: &mut Vec<u8>) -> PyResult<()> {
        let support = self.support.bind(py);
        let value = |object: &Bound<'_, PyAny>, body: &mut Vec<u8>| -> PyResult<()> {
            let pickled = support.call_method1("by_value", (object, error.value(py)))?;
            codec::encode_pickled(pickled.cast::<PyBytes>()?.as_bytes(), body);
            Ok(())
        };
        if let [item] = chunk {
            return value(item.bind(py), body);
        }
        let start = body.len();
        body.push(codec::TOGETHER);
        let list = pyo3::types::PyList::new(py, chunk)?;
        let answer = value(list.as_any(), body);
        if answer.is_err() {
            body.truncate(start);
        }
        answer
    }

    /// Items of a grant cannot be sent: `count` from `first` fail, or go alone if they are several; those around wait again.
    fn unsendable(&self, py: Python<'_>, job: &Arc<Job>, grant: Grant, first: u32, count: u32, error: PyErr) -> bool {
        {
            let mut shared = self.shared();
            shared.driver.scheduler.withdrawn_around(grant, first, count);
        }
        if count == 1 {
            let failure = error.value(py).clone().into_any().unbind();
            let mut trash = Vec::new();
            if job.store(py, grant.first + u64::from(first), Err(failure), &mut trash) {
                self.finish(py, job);
            }
        }
        true
    }

    /// Takes items from the source of a lazy job, as many as there is room for.
    pub(crate) fn pull(&self, py: Python<'_>, job: &Arc<Job>) -> PyResult<()> {
        let room = job.room(self.workers as u64);
        if room == 0 {
            return Ok(());
        }
        let source = {
            let mut state = job.state();
            match &state.source {
                Some(source) if !state.pulling => {
                    let source = source.clone_ref(py);
                    state.pulling = true;
                    source
                }
                _ => return Ok(()),
            }
        };
        let mut taken = Vec::new();
        let mut end = None;
        let source = source.bind(py);
        for _ in 0..room {
            match source.cast::<pyo3::types::PyIterator>().map(|iterator| iterator.clone().next()) {
                Ok(Some(Ok(item))) => taken.push(Some(item.unbind())),
                Ok(Some(Err(error))) => {
                    end = Some(Some(error));
                    break;
                }
                _ => {
                    end = Some(None);
                    break;
                }
            }
        }
        let complete = end.is_some();
        let failure = end.flatten();
        if failure.is_some() {
            // The failure stands in the place of the chunk that could not be filled.
            let whole = (job.state().total + taken.len() as u64) / job.unit * job.unit;
            let whole = whole.saturating_sub(job.state().total) as usize;
            drop(taken.split_off(whole.min(taken.len())));
        }
        let more = taken.len() as u64;
        let (over, dropped) = {
            let mut state = job.state();
            state.pulling = false;
            state.items.extend(taken);
            state.total += more + u64::from(failure.is_some());
            state.items.extend(failure.iter().map(|_| Some(py.None())));
            let dropped = if complete { state.source.take() } else { None };
            (complete && state.finished == state.total, dropped)
        };
        drop(dropped);
        let last = {
            let mut shared = self.shared();
            shared.driver.scheduler.extend(job.id, more, complete);
            if complete {
                shared.lazy.retain(|lazy| lazy.id != job.id);
            }
            job.state().total - 1
        };
        if let Some(error) = failure {
            let mut trash = Vec::new();
            let failure = error.value(py).clone().into_any().unbind();
            if job.store(py, last, Err(failure), &mut trash) {
                self.finish(py, job);
            }
            self.wake_followers();
        } else if over {
            self.finish(py, job);
        }
        Ok(())
    }

    /// Sees to it that a thread drives the pool when no caller does; `now`: it has something to do at once.
    pub(crate) fn arm_driver(&self, py: Python<'_>, now: bool) {
        if !self.driver_armed.swap(true, Ordering::SeqCst) {
            if let Err(error) = self.support.bind(py).call_method0("start_driver") {
                error.write_unraisable(py, None);
            }
            self.driver_bell.ring();
        } else if now {
            self.driver_bell.ring();
        }
    }

    /// The thread that drives when no caller does: runs callbacks, and has the duty while jobs are unfinished.
    pub(crate) fn drive(&self, py: Python<'_>) -> PyResult<()> {
        let guard = SignalGuard::block_all();
        let poller = Poller::new().map_err(Raised::from)?;
        poller.add(&self.driver_bell, 0).map_err(Raised::from)?;
        while !self.quit.load(Ordering::SeqCst) {
            self.run_callbacks(py);
            let (busy, expecting) = {
                let shared = self.shared();
                let busy = !shared.jobs.is_empty() || !shared.callbacks.is_empty() || !shared.called_off.is_empty();
                (busy, shared.expecting > 0)
            };
            self.driver_armed.store(busy, Ordering::SeqCst);
            // Who gave a callback is not going to wait: nothing to leave the duty for.
            if expecting
                && self.wanted.load(Ordering::SeqCst) == 0
                && let Some(_duty) = self.take_duty()
            {
                self.drive_for_nobody(py)?;
                continue;
            }
            let until = busy.then(|| Instant::now() + GRACE);
            let mut rang = Vec::new();
            let _ = py.detach(|| poller.wait(until, None, &mut rang));
            self.driver_bell.hush();
            if !rang.is_empty() {
                continue;
            }
            if busy && let Some(_duty) = self.take_duty() {
                self.drive_for_nobody(py)?;
            } else if busy {
                // A caller drives: look again in a while.
                let _ = py.detach(|| poller.wait(Some(Instant::now() + 20 * GRACE), None, &mut Vec::new()));
                self.driver_bell.hush();
            }
        }
        drop(guard);
        Ok(())
    }

    fn drive_for_nobody(&self, py: Python<'_>) -> PyResult<()> {
        while !self.quit.load(Ordering::SeqCst) && self.wanted.load(Ordering::SeqCst) == 0 {
            let progress = self.pump(py)?;
            let shared = self.shared();
            if !shared.callbacks.is_empty() || (shared.jobs.is_empty() && shared.called_off.is_empty()) {
                return Ok(());
            }
            drop(shared);
            if !progress {
                self.sleep(py, None)?;
            }
        }
        Ok(())
    }

    fn run_callbacks(&self, py: Python<'_>) {
        loop {
            let job = {
                let mut shared = self.shared();
                if shared.callbacks.is_empty() { None } else { Some(shared.callbacks.remove(0)) }
            };
            let Some(job) = job else { return };
            let callbacks = job.state().callbacks.take();
            let answer = job.value(py);
            if let Some((callback, error_callback)) = callbacks {
                let (call, value) = match answer {
                    Ok(value) => (callback, value),
                    Err(failure) => (error_callback, failure),
                };
                if !call.is_none(py)
                    && let Err(error) = call.call1(py, (value,))
                {
                    error.write_unraisable(py, Some(call.bind(py)));
                }
            }
            job.is_done.store(true, Ordering::Release);
            self.waiter.wake();
            self.wake_followers();
        }
    }

    /// Ends the thread that drives.
    pub(crate) fn quit_driver(&self) {
        self.quit.store(true, Ordering::SeqCst);
        self.driver_bell.ring();
        self.waiter.wake();
    }
}

fn bound<'py>(py: Python<'py>, items: &[Py<PyAny>]) -> Vec<Bound<'py, PyAny>> {
    items.iter().map(|item| item.bind(py).clone()).collect()
}

/// The large parts of a record, in blocks that belong to it.
struct RecordRoom<'a> {
    inner: &'a Inner,
    blocks: Vec<Block>,
}

impl Room for RecordRoom<'_> {
    fn put(&mut self, size: usize, write: &mut dyn FnMut(&mut [u8]) -> PyResult<()>) -> PyResult<u64> {
        let (block, segment) = {
            let mut shared = self.inner.shared();
            (shared.driver.cut(size).map_err(Raised::from)?, shared.driver.segment().clone())
        };
        self.blocks.push(block);
        let written = fill(segment.mapping(), block.offset, size, write);
        written.unwrap_or_else(|| Err(PyRuntimeError::new_err("a block lies outside of its segment")))?;
        Ok(block.offset as u64)
    }
}

/// The large parts of a result, in its worker's segment; each goes back when it is read.
struct WorkerShelf<'a>(Option<&'a Segment>);

impl Shelf for WorkerShelf<'_> {
    fn get(&self, offset: u64, into: &mut [u8]) -> bool {
        let Some(segment) = self.0 else { return false };
        let Some(start) = usize::try_from(offset).ok().and_then(|at| at.checked_add(BLOCK_HEAD)) else { return false };
        let copied = copy_to(segment.mapping(), start, into);
        give_back(segment, offset as usize);
        copied
    }
}
