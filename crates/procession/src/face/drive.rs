//! Driving a pool: whoever waits reads results, hands them to their jobs, publishes what is next and watches the limits.
//!
//! Everything is under one lock, which nobody holds who sleeps and under which no code of a user runs. One thread at
//! a time drives, and the others wait for it to ring. A thread of the pool's own drives for tasks that nobody waits for.
//!
//! A long file: the state under that lock, and the duty, which every change of it has to keep.

mod deaths;
mod deliver;
mod feed;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::crew::{Crew, Foreign, Terms};
use super::error::TaskError;
use super::job::{Function, Job};
use super::seed::Seed;
use crate::channel::{MAX_WORKERS, Spin};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{identity, pid_of};
use crate::pool::{Batch, Chunk, Driver, JobId, Life, Stage, Title, Verdict, Waiter};
use crate::process::StartMethod;

/// The longest sleep: then a look around, in case somebody is stopped.
const LOOK_AROUND: Duration = Duration::from_millis(200);
/// How often limits are looked at.
const SAMPLE: Duration = Duration::from_millis(10);
/// How often ended workers are looked for while results flow.
const LOOK_FOR_DEATHS: Duration = Duration::from_millis(10);
/// How long notes that found no room wait.
const NOTES_AGAIN: Duration = Duration::from_millis(2);
/// How long the pool's own thread leaves the driving to callers.
const GRACE: Duration = Duration::from_millis(5);
/// How long an item may go on that nobody wants any more: most take less than a new worker.
const GRACE_TO_END: Duration = Duration::from_millis(50);
/// How long workers get to end by themselves when their pool is dropped.
const END_LIMIT: Duration = Duration::from_secs(1);

/// What all threads that use a pool share.
pub(super) struct Inner {
    pub terms: Terms,
    /// The process that has the workers. One that is forked from it has a copy that serves nobody: it may be locked by a
    /// thread that is not there, and what the workers share with it is its parent's.
    owner: u64,
    shared: Mutex<Shared>,
    /// Rung when a job is done, and when somebody stops driving.
    changed: Condvar,
    /// Rung when tasks come that nobody waits for.
    keeper_bell: Condvar,
    waiter: Arc<Waiter>,
    /// How many calls have had a child of the pool's seed.
    seeded: AtomicU64,
}

/// The part of a pool that changes.
pub(super) struct Shared {
    pub driver: Driver,
    pub crew: Crew,
    /// How many workers there are to be.
    pub workers: usize,
    pub jobs: FxHashMap<JobId, Job>,
    /// Why no task can run any more.
    pub broken: Option<TaskError>,
    pub life: Life,
    /// Jobs that nobody waits for.
    pub detached: usize,
    /// Jobs that nobody wants any more while workers run their items, and until when these may end by themselves.
    called_off: Vec<(JobId, Instant)>,
    keeper_parked: bool,
    /// Those to be woken when nothing is locked: what they do is not ours.
    woken: Vec<Waker>,
    next_id: u64,
    driving: bool,
    followers: usize,
    spin: Spin,
    batch: Batch,
    scratch: Vec<u8>,
    looked: Instant,
    sampled: Instant,
    false_starts: u32,
    missing: usize,
    start_again_at: Instant,
}

impl Inner {
    /// A pool with its workers on their way.
    pub(super) fn new(terms: Terms, foreign: Option<Foreign>) -> Result<Arc<Inner>> {
        check_workers(terms.workers)?;
        let mut driver = Driver::new(terms.workers)?;
        let program = std::env::args_os().next().unwrap_or_default();
        let program = std::path::Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
        let spawns = foreign.is_some() || terms.start_method == Some(StartMethod::Spawn);
        let method = if spawns { "spawn" } else { "forkserver" };
        driver.board.entitle(&program, method, terms.workers, terms.memory);
        let mut crew = Crew::of(foreign);
        for _ in 0..terms.workers {
            if let Err(error) = crew.start(&mut driver, &terms) {
                crew.members.values().for_each(|member| member.started.child.kill());
                crew.members.values().for_each(reap);
                return Err(error);
            }
        }
        let now = Instant::now();
        let waiter = driver.waiter();
        let shared = Shared {
            driver,
            crew,
            workers: terms.workers,
            jobs: FxHashMap::default(),
            broken: None,
            life: Life::default(),
            detached: 0,
            called_off: Vec::new(),
            keeper_parked: true,
            woken: Vec::new(),
            next_id: 1,
            driving: false,
            followers: 0,
            spin: Spin::new(),
            batch: Batch::default(),
            scratch: Vec::new(),
            looked: now,
            sampled: now,
            false_starts: 0,
            missing: 0,
            start_again_at: now,
        };
        let (changed, keeper_bell) = (Condvar::new(), Condvar::new());
        let (owner, shared, seeded) = (identity(), Mutex::new(shared), AtomicU64::new(0));
        Ok(Arc::new(Inner { terms, owner, shared, changed, keeper_bell, waiter, seeded }))
    }

    /// Whether this is the process that has the workers.
    pub(super) fn is_ours(&self) -> bool {
        self.owner == identity()
    }

    /// Refuses what a copy of that process asks for.
    ///
    /// # Errors
    /// `InvalidInput` in any other process.
    pub(super) fn check_ours(&self) -> Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        let owner = pid_of(self.owner);
        let message = format!("this pool belongs to process {owner}: make a Pool in the process that uses it");
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    /// The seed of the next call, where the pool has one.
    pub(super) fn next_seed(&self) -> Option<Seed> {
        Some(self.terms.seed.as_ref()?.child(self.seeded.fetch_add(1, Relaxed)))
    }

    /// The part that changes; no code of a user runs while it is held.
    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` or the deadline, driving the pool meanwhile or letting the thread that does so ring; says whether
    /// it became ready.
    pub(super) fn wait(&self, until: Option<Instant>, mut ready: impl FnMut(&mut Shared) -> bool) -> bool {
        let mut shared = self.shared();
        loop {
            if ready(&mut shared) {
                return true;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return false;
            }
            if shared.driving {
                shared = self.follow(shared, until);
                continue;
            }
            shared.driving = true;
            let (back, was_ready) = self.lead(shared, until, &mut ready);
            shared = back;
            shared.driving = false;
            if shared.followers > 0 {
                self.changed.notify_all();
            }
            if was_ready {
                return true;
            }
        }
    }

    fn follow<'a>(&self, mut shared: MutexGuard<'a, Shared>, until: Option<Instant>) -> MutexGuard<'a, Shared> {
        shared.followers += 1;
        let left = until.map_or(GRACE * 4, |until| until.saturating_duration_since(Instant::now()).min(GRACE * 4));
        let (mut shared, _) = self.changed.wait_timeout(shared, left).unwrap_or_else(PoisonError::into_inner);
        shared.followers -= 1;
        shared
    }

    fn lead<'a>(
        &'a self,
        mut shared: MutexGuard<'a, Shared>,
        until: Option<Instant>,
        ready: &mut impl FnMut(&mut Shared) -> bool,
    ) -> (MutexGuard<'a, Shared>, bool) {
        loop {
            let progress = self.pump(&mut shared);
            shared = self.wake_tasks(shared);
            if ready(&mut shared) {
                return (shared, true);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return (shared, false);
            }
            if progress {
                if shared.followers > 0 {
                    self.changed.notify_all();
                }
                continue;
            }
            let glance = shared.driver.glance();
            let mut spin = std::mem::take(&mut shared.spin);
            drop(shared);
            let found = spin.until(|| glance.is_ready());
            shared = self.shared();
            if !found && shared.driver.about_to_sleep() {
                let asleep = Instant::now();
                let longest = shared.driver.patience(self.longest_sleep(&shared));
                let latest = asleep + longest;
                drop(shared);
                // A signal handler that ran changes nothing here: what waits goes on waiting.
                let _ = self.waiter.sleep(Some(until.map_or(latest, |until| until.min(latest))), None);
                shared = self.shared();
                spin.slept(asleep.elapsed());
                shared.looked = asleep - LOOK_FOR_DEATHS;
                if asleep.elapsed() >= longest.min(LOOK_AROUND) {
                    shared.driver.nudge();
                }
            }
            shared.spin = spin;
        }
    }

    /// Wakes the futures that are done.
    pub(super) fn wake_tasks<'a>(&'a self, mut shared: MutexGuard<'a, Shared>) -> MutexGuard<'a, Shared> {
        if shared.woken.is_empty() {
            return shared;
        }
        let woken = std::mem::take(&mut shared.woken);
        drop(shared);
        woken.into_iter().for_each(Waker::wake);
        self.shared()
    }

    fn longest_sleep(&self, shared: &Shared) -> Duration {
        if shared.crew.has_unsent() {
            NOTES_AGAIN
        } else if self.terms.timeout.is_some()
            || self.terms.memory.is_some()
            || shared.missing > 0
            || !shared.called_off.is_empty()
        {
            SAMPLE
        } else {
            LOOK_AROUND
        }
    }

    /// Reads what came in, hands it to the jobs, publishes what is next; says whether anything came in.
    fn pump(&self, shared: &mut Shared) -> bool {
        let mut batch = std::mem::take(&mut shared.batch);
        shared.driver.read(&mut batch);
        let now = Instant::now();
        if now - shared.looked >= LOOK_FOR_DEATHS {
            shared.looked = now;
            shared.driver.look_for_deaths(&mut batch);
            shared.crew.take_notes();
        }
        let progress = !batch.is_empty();
        if progress {
            shared.deliver(&batch, &self.terms);
        }
        batch.clear();
        shared.batch = batch;
        if (self.terms.timeout.is_some() || self.terms.memory.is_some()) && now - shared.sampled >= SAMPLE / 2 {
            shared.sampled = now;
            shared.crew.enforce(&mut shared.driver, &self.terms);
        }
        if !shared.called_off.is_empty() {
            shared.stop_called_off(now);
        }
        if shared.crew.has_unsent() {
            shared.crew.send_notes();
        }
        if shared.missing > 0 && now >= shared.start_again_at && shared.life.needs_workers() {
            shared.missing -= 1;
            shared.replace(&self.terms);
        }
        shared.feed();
        progress
    }

    /// Has so many workers from now on: see `Pool::resize`.
    pub(super) fn resize(&self, workers: usize) -> Result<()> {
        check_workers(workers)?;
        self.check_ours()?;
        let mut shared = self.shared();
        let before = std::mem::replace(&mut shared.workers, workers);
        let shared = &mut *shared;
        shared.driver.resize(workers);
        shared.crew.resize(&shared.driver, workers);
        while shared.life.needs_workers() && shared.crew.staying() < workers {
            if let Err(error) = shared.crew.start(&mut shared.driver, &self.terms) {
                if shared.crew.staying() >= before {
                    shared.workers = shared.crew.staying();
                    shared.driver.resize(shared.workers);
                }
                return Err(error);
            }
        }
        shared.feed();
        self.waiter.wake();
        Ok(())
    }

    /// Adds a job and publishes what there is room for.
    pub(super) fn submit(&self, mut job: Job, complete: bool, chunk: Chunk) -> JobId {
        let mut shared = self.shared();
        let id = shared.new_id();
        let detached = job.is_detached;
        job.is_timed = self.terms.timeout.is_some();
        shared.driver.scheduler.submit(id, job.total, complete, chunk, job.function.name());
        let (function, method) = (last_part(job.function.title), job.method);
        let title = Title { function, id: job.function.crossing, method, is_call: detached };
        job.entry = shared.driver.board.begin(id, complete.then_some(job.total), title);
        shared.jobs.insert(id, job);
        shared.detached += usize::from(detached);
        let verdict = shared.life.hand_in();
        shared.fail_unless(verdict, id);
        shared.feed();
        if shared.detached > 0 && std::mem::take(&mut shared.keeper_parked) {
            self.keeper_bell.notify_one();
        }
        id
    }

    /// The life of the pool's own thread: drives when tasks are out and nobody else does.
    pub(super) fn keep(&self) {
        let mut shared = self.shared();
        loop {
            while !shared.has_loose_ends() && !shared.has_ended() {
                shared.keeper_parked = true;
                shared = self.keeper_bell.wait(shared).unwrap_or_else(PoisonError::into_inner);
            }
            if shared.has_ended() {
                return;
            }
            shared.keeper_parked = false;
            let (back, _) = self.keeper_bell.wait_timeout(shared, GRACE).unwrap_or_else(PoisonError::into_inner);
            shared = back;
            if shared.driving || shared.has_ended() || !shared.has_loose_ends() {
                continue;
            }
            drop(shared);
            // Gives way as soon as a caller waits: that one gets its answer sooner when it drives itself.
            let soon = Some(Instant::now() + LOOK_AROUND);
            self.wait(soon, |shared| shared.followers > 0 || shared.has_ended() || !shared.has_loose_ends());
            shared = self.shared();
        }
    }

    /// Ends the pool: what has not run is cancelled, what runs is killed, the workers end.
    pub(super) fn close(&self) {
        let mut shared = self.shared();
        if shared.has_ended() {
            return;
        }
        let stop = shared.life.end();
        let jobs: Vec<JobId> = shared.jobs.keys().copied().collect();
        let busy = !shared.called_off.is_empty()
            || jobs.iter().any(|job| shared.jobs.get(job).is_some_and(|job| !job.is_done()));
        jobs.into_iter().for_each(|job| shared.fail(job, &TaskError::Cancelled));
        if stop {
            shared.driver.stop();
        }
        if busy {
            shared.crew.members.values().for_each(|member| member.started.child.kill());
        }
        drop(self.wake_tasks(shared));
        self.waiter.wake();
        self.keeper_bell.notify_all();
        self.changed.notify_all();
        let gone = |shared: &mut Shared| shared.crew.members.is_empty();
        if !self.wait(Some(Instant::now() + END_LIMIT), gone) {
            self.shared().crew.members.values().for_each(|member| member.started.child.kill());
            self.wait(Some(Instant::now() + END_LIMIT), gone);
        }
    }

    /// A job that nobody asks for any more, and whether workers still run its items, which somebody has to see to.
    pub(super) fn forget(&self, job: JobId) -> (Option<Job>, bool) {
        let mut shared = self.shared();
        let forgotten = shared.forget(job);
        let runs_on = !shared.called_off.is_empty();
        if runs_on && std::mem::take(&mut shared.keeper_parked) {
            self.keeper_bell.notify_one();
        }
        (forgotten, runs_on)
    }
}

/// A name without as much of the path before it as makes it too long to be shown.
fn last_part(name: &str) -> &str {
    const SHOWN: usize = 39;
    let parts = name.match_indices("::").map(|(at, _)| &name[at + 2..]);
    std::iter::once(name).chain(parts).find(|part| part.len() <= SHOWN).unwrap_or(name)
}

fn check_workers(workers: usize) -> Result<()> {
    if workers > 0 && workers <= MAX_WORKERS {
        return Ok(());
    }
    let message = format!("a pool has 1 to {MAX_WORKERS} workers, not {workers}");
    Err(Error::new(ErrorKind::InvalidInput, message))
}

fn reap(member: &super::crew::Member) {
    let until = Instant::now() + END_LIMIT;
    while matches!(member.started.child.ending(), Ok(None)) && Instant::now() < until {
        std::thread::yield_now();
    }
}

impl Shared {
    /// A number that this pool has not used yet.
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Whether there is something to drive for that nobody waits for.
    fn has_loose_ends(&self) -> bool {
        self.detached > 0 || !self.called_off.is_empty()
    }

    /// Ends the workers that still run what nobody wants any more.
    fn stop_called_off(&mut self, now: Instant) {
        let (driver, crew) = (&self.driver, &mut self.crew);
        self.called_off.retain(|(job, _)| driver.scheduler.is_out(*job));
        for (job, _) in self.called_off.iter().filter(|(_, until)| *until <= now) {
            crew.kill_runners(driver, *job, &TaskError::Cancelled);
        }
    }

    /// Whether the pool was dropped.
    fn has_ended(&self) -> bool {
        self.life.stage() == Stage::Ended
    }

    /// Fails the job unless it may run: whoever ended the pool did not know of it.
    pub(super) fn fail_unless(&mut self, verdict: Verdict, id: JobId) {
        if verdict != Verdict::Take {
            let error = self.broken.clone().unwrap_or(TaskError::Cancelled);
            self.fail(id, &error);
        }
    }

    /// A job has all its outcomes, or has failed for good.
    fn finish(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        self.woken.extend(job.waker.take());
        if job.done < job.total {
            self.driver.cancel(id);
        } else if job.is_detached {
            self.driver.scheduler.cancel(id);
        }
        if std::mem::take(&mut job.is_detached) {
            self.detached -= 1;
        }
        if job.is_abandoned {
            self.forget(id);
        }
    }

    /// All outcomes that a job lacks become `error`.
    pub(super) fn fail(&mut self, id: JobId, error: &TaskError) {
        self.driver.cancel(id);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.fail_rest(error);
        }
        self.finish(id);
    }

    /// Takes a job away, with what it kept in the workers.
    pub(super) fn forget(&mut self, id: JobId) -> Option<Job> {
        let mut job = self.jobs.remove(&id)?;
        self.driver.board.counts().end(job.entry);
        // Nobody closes such a pool and waits: it is dropped.
        self.life.job_ended();
        match job.done == job.total {
            true => self.driver.scheduler.cancel(id),
            false => {
                self.driver.cancel(id);
                if self.driver.scheduler.is_out(id) {
                    self.called_off.push((id, Instant::now() + GRACE_TO_END));
                }
            }
        }
        if std::mem::take(&mut job.is_detached) {
            self.detached -= 1;
        }
        std::mem::take(&mut job.files).into_iter().for_each(|file| self.crew.forget_file(file));
        self.release(job.function.clone(), 2);
        Some(job)
    }

    /// Gives up what a function keeps when this is one of its last `users`.
    pub(super) fn release(&mut self, function: Arc<Function>, users: usize) {
        if Arc::strong_count(&function) > users {
            return;
        }
        if let Some(block) = function.block {
            self.driver.release(block);
        }
        function.files.iter().for_each(|file| self.crew.forget_file(*file));
    }
}
