//! `wait`: for the first of several processes, tasks, connections and queues.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sealed::Source;

use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Doorbell, Readiness, wait_descriptors};

/// How often those who watch for a waiter look whether it still waits.
const SLICE: Duration = Duration::from_millis(50);

/// What [`wait`] waits for: a [`Process`](crate::Process) that has ended, a [`Task`](crate::Task) that is done, a
/// [`Connection`](crate::Connection) with a message or a closed other end, a [`Queue`](crate::Queue) with a message.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// use procession::{Queue, Waitable, wait};
///
/// let queues: Vec<Queue<u8>> = vec![Queue::new()?, Queue::new()?];
/// queues[1].put(7)?;
/// let all: Vec<&dyn Waitable> = queues.iter().map(|queue| queue as &dyn Waitable).collect();
/// assert_eq!(wait(&all)?, [1]);
/// # Ok(()) }
/// ```
pub trait Waitable: Source {}

impl<T: Source> Waitable for T {}

pub(super) mod sealed {
    use super::{Alarm, Arc, RawFd, Result};

    /// What the face waits for; sealed, so that what it needs may change.
    pub trait Source {
        /// Whether it is ready just now.
        fn is_ready(&self) -> Result<bool>;
        /// A descriptor that is readable when it may be ready; or it rings the alarm then.
        fn watch(&self, alarm: &Arc<Alarm>) -> Result<Option<RawFd>>;
    }
}

/// Rung by what has no descriptor.
#[derive(Debug)]
pub struct Alarm {
    bell: Doorbell,
    is_over: AtomicBool,
}

impl Alarm {
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// Calls `look`, which waits at most until the time given and says whether to ring, as long as somebody waits; in a
    /// thread of its own.
    pub(super) fn look_aside(
        self: &Arc<Self>,
        mut look: impl FnMut(Instant) -> Result<bool> + Send + 'static,
    ) -> Result<()> {
        let alarm = self.clone();
        let watch = move || {
            while !alarm.is_over.load(Ordering::Relaxed) {
                match look(Instant::now() + SLICE) {
                    // Whoever waits looks for himself, and ends this; or somebody else was quicker.
                    Ok(true) => {
                        alarm.ring();
                        std::thread::yield_now();
                    }
                    Ok(false) => {}
                    Err(_) => return alarm.ring(),
                }
            }
        };
        let thread = std::thread::Builder::new().name("procession-wait".into()).spawn(watch);
        thread.map(drop).map_err(|e| Error::os("a thread to wait for a queue", e.raw_os_error().unwrap_or(0)))
    }
}

/// Waits until one of `all` is ready; gives the places of those that are.
///
/// That something is ready tells what a call that would have waited finds now; where others use the same queue or end of a
/// pipe, they may be quicker. Nothing is taken.
///
/// ```
/// use procession::{Pool, Process, Queue, wait};
///
/// # fn main() -> procession::Result<()> {
/// let queue = Queue::new()?;
/// let process = Process::spawn(|queue: Queue<u32>| queue.put(7).unwrap(), queue.clone())?;
/// let pool = Pool::new(1)?;
/// let task = pool.submit(|x: u32| x + 1, 1);
/// let mut left = vec!["queue", "process", "task"];
/// while !left.is_empty() {
///     let known: [(&str, &dyn procession::Waitable); 3] = [("queue", &queue), ("process", &process), ("task", &task)];
///     let wanted: Vec<_> = known.into_iter().filter(|(name, _)| left.contains(name)).collect();
///     let all: Vec<_> = wanted.iter().map(|(_, what)| *what).collect();
///     for place in wait(&all)? {
///         println!("the {} is ready", wanted[place].0);
///         left.retain(|name| *name != wanted[place].0);
///     }
/// }
/// assert_eq!((queue.get()?, task.wait()?), (7, 2));
/// # Ok(()) }
/// ```
///
/// # Errors
/// `InvalidInput` for an empty list, which would never be ready; the system's.
pub fn wait(all: &[&dyn Waitable]) -> Result<Vec<usize>> {
    if all.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "nothing to wait for"));
    }
    wait_until(all, None)
}

/// As [`wait`], at most so long; no places when nothing was ready by then.
///
/// ```
/// use std::time::Duration;
/// use procession::{Queue, wait_timeout};
///
/// # fn main() -> procession::Result<()> {
/// let queue: Queue<u8> = Queue::new()?;
/// assert!(wait_timeout(&[&queue], Duration::from_millis(10))?.is_empty());
/// # Ok(()) }
/// ```
///
/// # Errors
/// The system's.
pub fn wait_timeout(all: &[&dyn Waitable], limit: Duration) -> Result<Vec<usize>> {
    wait_until(all, Instant::now().checked_add(limit))
}

fn ready(all: &[&dyn Waitable]) -> Result<Vec<usize>> {
    let mut places = Vec::new();
    for (place, what) in all.iter().enumerate() {
        if what.is_ready()? {
            places.push(place);
        }
    }
    Ok(places)
}

fn wait_until(all: &[&dyn Waitable], until: Option<Instant>) -> Result<Vec<usize>> {
    let places = ready(all)?;
    if !places.is_empty() || until.is_some_and(|until| until <= Instant::now()) {
        return Ok(places);
    }
    let alarm = Arc::new(Alarm { bell: Doorbell::new()?, is_over: AtomicBool::new(false) });
    let answer = watch(all, &alarm, until);
    alarm.is_over.store(true, Ordering::Relaxed);
    answer
}

fn watch(all: &[&dyn Waitable], alarm: &Arc<Alarm>, until: Option<Instant>) -> Result<Vec<usize>> {
    let mut files = vec![alarm.bell.as_fd().as_raw_fd()];
    for what in all {
        files.extend(what.watch(alarm)?);
    }
    let watched: Vec<_> = files.into_iter().map(|file| (file, Readiness::Read)).collect();
    loop {
        // It may have become ready before it was watched.
        let places = ready(all)?;
        if !places.is_empty() {
            return Ok(places);
        }
        match wait_descriptors(&watched, until, None) {
            Ok(none) if none.is_empty() => return ready(all),
            Err(error) if !error.is_interrupted() => return Err(error),
            _ => alarm.bell.hush(),
        }
    }
}
