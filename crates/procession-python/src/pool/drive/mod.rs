//! Driving a pool: whoever has the duty reads results, hands them to their jobs, and publishes what is next.
//!
//! Locks are held for a few instructions and never while Python code runs: it may call back into the same pool. The
//! duty is no lock: the thread that has it may come back to it.

mod burst;
mod deaths;
mod deliver;
mod ending;
mod feed;
mod follow;
mod green;
mod idle;
mod pen;
mod pull;
mod pump;
mod rooms;
mod shelf;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use procession::channel::Spin;
use procession::platform::{Doorbell, SignalGuard, coarse_now};
use procession::pool::{Batch, Counts, Driver, Heavy, JobId, Life, Verdict, Waiter};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use rustc_hash::{FxHashMap, FxHashSet};

use self::burst::Burst;
use self::deliver::Deliveries;
pub(crate) use self::ending::exception;
use self::follow::Follower;
use self::pen::Pen;
pub(crate) use self::rooms::FunctionRoom;
use crate::error::raised;
use crate::objects::naming::Receiver;
use crate::pool::job::Job;
use crate::wait::is_green;

/// The longest sleep: then a look around, in case somebody is stopped or a signal went to another thread.
const LOOK_AROUND: Duration = Duration::from_millis(200);
/// How often ended workers are looked for while results flow.
const LOOK_FOR_DEATHS: Duration = Duration::from_millis(10);

/// What all threads that use a pool share.
pub(crate) struct Inner {
    pub waiter: Arc<Waiter>,
    workers: AtomicUsize,
    pub bounds: Bounds,
    /// The counts that `procession top` shows of jobs.
    pub counts: Counts,
    /// Python's side, a `Crew`: starts and looks after workers, and makes exceptions; ARCHITECTURE.md lists what it is asked.
    pub support: Py<PyAny>,
    /// The receiver of what is pickled: it knows what workers find in `__main__`.
    receiver: PyOnceLock<Py<Receiver>>,
    state: Mutex<Shared>,
    duty: Mutex<Duty>,
    deliveries: Mutex<Deliveries>,
    /// The right to encode records.
    pen: Pen,
    /// Memory to encode records in, used again and again.
    bodies: Mutex<Vec<Vec<u8>>>,
    /// Large arguments of calls that wait to be sent.
    burst: Burst,
    followers: Mutex<Vec<Arc<Follower>>>,
    driver_bell: Doorbell,
    driver_armed: AtomicBool,
    wanted: AtomicUsize,
    /// How many green threads sleep.
    asleep: AtomicUsize,
    pub quit: AtomicBool,
}

/// The part of a pool that changes.
pub(crate) struct Shared {
    pub driver: Driver,
    pub jobs: FxHashMap<JobId, Arc<Job>>,
    /// Jobs whose items come from an iterator that is not exhausted.
    pub lazy: Vec<Arc<Job>>,
    /// Jobs whose items may run for so long only.
    pub limits: FxHashMap<JobId, Duration>,
    /// Jobs that nobody wants any more, while workers may run them.
    pub called_off: FxHashSet<JobId>,
    /// Items that were interrupted for running too long.
    pub expired: FxHashMap<(JobId, u64), Duration>,
    /// Jobs that end when their callback has run.
    pub callbacks: Vec<Arc<Job>>,
    /// How many unfinished jobs have callbacks: nobody may be waiting for these.
    pub expecting: isize,
    /// Why no task can run any more.
    pub broken: Option<Py<PyAny>>,
    pub life: Life,
    /// The lives of handles that share the pool, and why what they hand in fails.
    pub handles: FxHashMap<u64, (Life, Option<Py<PyAny>>)>,
    pub next_handle: u64,
    pub next_job: JobId,
    pub next_function: u64,
    /// When ended workers were looked for, by the coarse clock.
    looked: Duration,
    /// Workers that were killed for their memory.
    heavy: FxHashMap<usize, Heavy>,
    /// When Python wants to start the workers that are missing.
    alarm: Option<Instant>,
    /// How often Python is asked whether there should be more workers, or fewer.
    tending: Option<Tending>,
    /// How many notes of workers Python was told of.
    notes: u32,
    /// Memory to read what comes in, used again and again. Boxed, as one is moved out and in for each look.
    #[allow(clippy::vec_box)]
    batches: Vec<Box<Batch>>,
    pub tally: Tally,
}

impl Shared {
    /// The verdict on a job that `handle` would hand in now.
    pub(crate) fn look(&self, handle: u64) -> Verdict {
        let own = self.handles.get(&handle).map_or(Verdict::Take, |(life, _)| life.look());
        own.and(self.life.look())
    }

    /// A job of `handle` is handed in.
    pub(crate) fn hand_in(&mut self, handle: u64) -> Verdict {
        let verdict = self.look(handle);
        if verdict != Verdict::Refuse {
            self.life.hand_in();
            if let Some((life, _)) = self.handles.get_mut(&handle) {
                life.hand_in();
            }
        }
        verdict
    }

    /// A job that was handed in by `handle` has ended.
    pub(crate) fn job_ended(&mut self, handle: u64) {
        if let Some((life, _)) = self.handles.get_mut(&handle) {
            life.job_ended();
        }
        if self.life.job_ended() {
            self.driver.stop();
        }
    }

    /// Why a job of `handle` fails as soon as it is handed in.
    pub(crate) fn reason(&self, py: Python<'_>, handle: u64) -> Option<Py<PyAny>> {
        let own = self.handles.get(&handle).and_then(|(_, reason)| reason.as_ref());
        self.broken.as_ref().or(own).map(|why| why.clone_ref(py))
    }
}

/// What has become of the items of a pool, and of its workers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub done: u64,
    pub failed: u64,
    pub retried: u64,
    pub deaths: u64,
}

/// What the workers of a pool may use up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// Bytes of private memory.
    pub memory: Option<u64>,
    /// How old a worker may get.
    pub age: Option<Duration>,
}

/// How often Python is asked about the number of workers, when that was last, and whether also when nothing is to be done.
#[derive(Clone, Copy)]
struct Tending {
    every: Duration,
    last: Instant,
    also_idle: bool,
}

#[derive(Default)]
struct Duty {
    holder: Option<ThreadId>,
    depth: usize,
    spin: Spin,
}

/// A sleep of whoever has the duty.
struct Nap {
    begun: Instant,
    /// When the sleep is over, whatever happens.
    latest: Instant,
}

impl Nap {
    /// When the sleep ends, for a caller who waits until `until` at most.
    fn end(&self, until: Option<Instant>) -> Instant {
        until.map_or(self.latest, |until| until.min(self.latest))
    }
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

/// The thread that asks: the standard library's answer counts references each time.
fn this_thread() -> ThreadId {
    thread_local!(static THIS: ThreadId = std::thread::current().id());
    THIS.with(|id| *id)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while locked")
}

impl Inner {
    /// The receiver of what is pickled for this pool.
    pub(crate) fn receiver(&self, py: Python<'_>) -> PyResult<Py<Receiver>> {
        let receiver = self.receiver.get_or_try_init(py, || {
            Ok::<_, PyErr>(self.support.bind(py).getattr("receiver")?.cast_into::<Receiver>()?.unbind())
        })?;
        Ok(receiver.clone_ref(py))
    }

    pub(crate) fn new(driver: Driver, workers: usize, bounds: Bounds, support: Py<PyAny>) -> PyResult<Inner> {
        Ok(Inner {
            waiter: driver.waiter(),
            counts: driver.board.counts(),
            workers: AtomicUsize::new(workers),
            bounds,
            support,
            receiver: PyOnceLock::new(),
            state: Mutex::new(Shared {
                driver,
                jobs: FxHashMap::default(),
                lazy: Vec::new(),
                limits: FxHashMap::default(),
                called_off: FxHashSet::default(),
                expired: FxHashMap::default(),
                callbacks: Vec::new(),
                expecting: 0,
                broken: None,
                life: Life::default(),
                handles: FxHashMap::default(),
                next_handle: 0,
                next_job: 1,
                next_function: 1,
                looked: coarse_now(),
                heavy: FxHashMap::default(),
                alarm: None,
                tending: None,
                notes: 0,
                batches: Vec::new(),
                tally: Tally::default(),
            }),
            duty: Mutex::default(),
            deliveries: Mutex::default(),
            pen: Pen::default(),
            bodies: Mutex::default(),
            burst: Burst::default(),
            followers: Mutex::default(),
            driver_bell: Doorbell::new().map_err(raised)?,
            driver_armed: AtomicBool::new(false),
            wanted: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            quit: AtomicBool::new(false),
        })
    }

    /// How many workers there are to be.
    pub(crate) fn workers(&self) -> u64 {
        self.workers.load(Ordering::Relaxed) as u64
    }

    /// Changes how many workers there are to be; Python starts and ends them.
    pub(crate) fn resize(&self, workers: usize) {
        self.workers.store(workers, Ordering::Relaxed);
        self.shared().driver.resize(workers);
        self.waiter.wake();
    }

    /// The part that changes; see the rules at the head of this file.
    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.state)
    }

    fn take_duty(&self) -> Option<OnDuty<'_>> {
        let me = this_thread();
        let mut duty = lock(&self.duty);
        match duty.holder {
            Some(holder) if holder != me => return None,
            _ => duty.holder = Some(me),
        }
        duty.depth += 1;
        Some(OnDuty { inner: self })
    }

    /// Takes the duty for good, as soon as the thread that has it gives it up.
    pub(crate) fn keep_duty(&self, py: Python<'_>, until: Option<Instant>) {
        loop {
            if let Some(duty) = self.take_duty() {
                return std::mem::forget(duty);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return;
            }
            self.waiter.wake();
            py.detach(|| std::thread::sleep(Duration::from_millis(1)));
        }
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
                    self.wake_green();
                    return Ok(true);
                }
                if past(until) {
                    self.wake_green();
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
        if is_green(py) {
            return self.sleep_green(py, until);
        }
        let guard = SignalGuard::block_all();
        // A signal that came before the guard is seen here, one that comes later ends the wait.
        py.check_signals()?;
        let Some(nap) = self.lie_down() else { return Ok(()) };
        let answer = py.detach(|| self.waiter.sleep(Some(nap.end(until)), Some(&guard)));
        drop(guard);
        lock(&self.duty).spin.slept(nap.begun.elapsed());
        self.rise(py, &nap)?;
        match answer {
            Err(error) if !error.is_interrupted() => Err(raised(error)),
            _ => py.check_signals(),
        }
    }

    /// Begins a sleep; none where there is something to do.
    fn lie_down(&self) -> Option<Nap> {
        {
            let mut shared = self.shared();
            if !shared.driver.about_to_sleep() || shared.driver.notes() != shared.notes {
                return None;
            }
        }
        let begun = Instant::now();
        let longest = self.look_around();
        Some(Nap { begun, latest: begun + self.shared().driver.patience(longest) })
    }

    /// Sees to what may have come to be during a sleep.
    fn rise(&self, py: Python<'_>, nap: &Nap) -> PyResult<()> {
        {
            let mut shared = self.shared();
            // After any sleep: it may have been a death that ended it.
            shared.looked = Duration::ZERO;
            if Instant::now() >= nap.latest {
                shared.driver.nudge();
            }
        }
        if nap.begun.elapsed() >= LOOK_AROUND {
            // A worker that could not be replaced when it ended may be now.
            self.support.bind(py).call_method0("refill")?;
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
        let most = shortest.map_or(LOOK_AROUND, |limit| (*limit / 20).clamp(Duration::from_millis(1), LOOK_AROUND / 4));
        let alarm = shared.alarm.map_or(most, |at| at.saturating_duration_since(Instant::now()));
        let tending = shared.tending.map_or(most, |tending| tending.every);
        let weighing = if self.bounds.memory.is_some() { watch::WEIGH_EVERY } else { most };
        most.min(alarm).min(weighing).min(tending)
    }
}
