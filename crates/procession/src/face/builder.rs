//! `Builder`: what a pool is to be.

use std::time::Duration;

use super::crew::{Foreign, Terms};
use super::drive::Inner;
use super::pool::Pool;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Initializer, Stateless};
use crate::process::StartMethod;

/// Settings of a [`Pool`] that is to be made; from [`Pool::builder`].
///
/// ```
/// # fn main() -> procession::Result<()> {
/// use std::time::Duration;
/// use procession::{Pool, StartMethod};
///
/// let builder = Pool::builder().workers(2).start_method(StartMethod::Spawn).timeout(Duration::from_secs(10));
/// assert_eq!(builder.build()?.map(|x: u8| x + 1, [1, 2])?, [2, 3]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) terms: Terms,
    /// Why the pool cannot be made.
    failure: Option<Error>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Builder {
            terms: Terms {
                workers,
                start_method: None,
                timeout: None,
                memory: None,
                retries: 0,
                max_tasks: 0,
                retires: false,
                restarts: 8,
                pause: Duration::from_millis(10),
                initializer: None,
                seed: None,
            },
            failure: None,
        }
    }

    /// How many workers there are; as many as this process may use CPUs unless said here.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert_eq!(procession::Pool::builder().workers(3).build()?.workers(), 3);
    /// # Ok(()) }
    /// ```
    pub fn workers(mut self, workers: usize) -> Builder {
        self.terms.workers = workers;
        self
    }

    /// How workers are started; by the forkserver, where that works, unless said here.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Pool, StartMethod};
    ///
    /// let pool = Pool::builder().start_method(StartMethod::Spawn).build()?;
    /// assert_eq!(pool.map(|x: u8| x + 1, [1])?, [2]);
    /// # Ok(()) }
    /// ```
    pub fn start_method(mut self, method: StartMethod) -> Builder {
        self.terms.start_method = Some(method);
        self
    }

    /// How long a task may run, from its start in a worker. One that takes longer is killed with its process and ends with
    /// [`TaskError::TimedOut`](crate::TaskError::TimedOut).
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// use procession::{Pool, TaskError};
    ///
    /// let pool = Pool::builder().workers(1).timeout(Duration::from_millis(50)).build()?;
    /// let endless = pool.submit(|_: u8| -> u8 { loop { std::thread::park() } }, 0);
    /// assert_eq!(endless.wait(), Err(TaskError::TimedOut));
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Builder {
        self.terms.timeout = Some(limit);
        self
    }

    /// How many bytes of memory a worker may take. A task that is running when its process takes more ends with
    /// [`TaskError::OverMemory`](crate::TaskError::OverMemory). The memory is looked at every 10 ms, so a quick task may be above for a moment.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Pool, TaskError};
    ///
    /// fn eat(_: u8) -> usize {
    ///     let mut all = Vec::new();
    ///     loop {
    ///         all.push(vec![1u8; 4 << 20]);
    ///     }
    /// }
    ///
    /// let pool = Pool::builder().workers(1).memory(100 << 20).build()?;
    /// assert_eq!(pool.submit(eat, 0).wait(), Err(TaskError::OverMemory));
    /// # Ok(()) }
    /// ```
    pub fn memory(mut self, bytes: u64) -> Builder {
        self.terms.memory = Some(bytes);
        self
    }

    /// How often a task whose process ended under it is tried again, by a crash, an exit or a limit of time or memory; not
    /// at all unless said here. A panic is an outcome like any other.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Event, Pool};
    ///
    /// fn crash_once(crashed: Event) -> u32 {
    ///     if !crashed.is_set() {
    ///         crashed.set();
    ///         std::process::abort();
    ///     }
    ///     7
    /// }
    ///
    /// let pool = Pool::builder().workers(1).retries(1).build()?;
    /// assert_eq!(pool.submit(crash_once, Event::new()?).wait()?, 7);
    /// # Ok(()) }
    /// ```
    pub fn retries(mut self, times: u32) -> Builder {
        self.terms.retries = times;
        self
    }

    /// After how many tasks a worker is replaced by a fresh one; never unless said here.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().workers(1).max_tasks_per_worker(1).build()?;
    /// let ids = pool.map(|_: u8| std::process::id(), [0, 0])?;
    /// assert_ne!(ids[0], ids[1]);
    /// # Ok(()) }
    /// ```
    pub fn max_tasks_per_worker(mut self, tasks: u64) -> Builder {
        self.terms.max_tasks = tasks;
        self
    }

    /// Whether a panic ends its worker, which a fresh one replaces; it goes on unless said here. For functions that leave
    /// something broken behind when they panic.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().workers(1).retire_after_panic(true).build()?;
    /// let ids: Vec<_> = pool.map_each(|x: u8| if x == 1 { panic!() } else { std::process::id() }, [0, 1, 2]).collect();
    /// assert!(ids[1].is_err());
    /// assert_ne!(ids[0], ids[2]);
    /// # Ok(()) }
    /// ```
    pub fn retire_after_panic(mut self, retire: bool) -> Builder {
        self.terms.retires = retire;
        self
    }

    /// How often in a row a worker that ends before it is ready is replaced; 8 times unless said here. After that no task
    /// can run, and all end as that worker did. A worker that a task ends is always replaced.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Pool, TaskError};
    ///
    /// let pool = Pool::builder().workers(1).initializer(|| std::process::exit(4)).restart_limit(1).build()?;
    /// let outcome = pool.submit(|x: u8| x, 1).wait();
    /// assert!(matches!(outcome, Err(TaskError::Exited { code: 4, .. })));
    /// # Ok(()) }
    /// ```
    pub fn restart_limit(mut self, times: u32) -> Builder {
        self.terms.restarts = times;
        self
    }

    /// How long to wait before a worker that ended before it was ready is replaced; 10 ms unless said here. The pause
    /// doubles with each one in a row, up to a second.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let pool = procession::Pool::builder().restart_pause(Duration::from_millis(100)).build()?;
    /// # drop(pool);
    /// # Ok(()) }
    /// ```
    pub fn restart_pause(mut self, pause: Duration) -> Builder {
        self.terms.pause = pause;
        self
    }

    /// What each worker calls once, before its first task. When that fails, so do all tasks, in the same way.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::sync::OnceLock;
    /// use procession::Pool;
    ///
    /// static GREETING: OnceLock<String> = OnceLock::new();
    ///
    /// let pool = Pool::builder().initializer(|| GREETING.set("hello".into()).unwrap()).build()?;
    /// let greet = |name: String| format!("{} {name}", GREETING.get().unwrap());
    /// assert_eq!(pool.submit(greet, "you".into()).wait()?, "hello you");
    /// # Ok(()) }
    /// ```
    pub fn initializer<I: Fn() + Stateless>(mut self, function: I) -> Builder {
        match Initializer::crossing(function) {
            Ok(distance) => self.terms.initializer = Some(distance),
            Err(error) => self.failure = Some(error),
        }
        self
    }

    /// A pool whose workers are another program.
    pub(super) fn build_foreign(self, foreign: Foreign) -> Result<Pool> {
        self.failure.map_or(Ok(()), Err)?;
        if self.terms.initializer.is_some() {
            let message =
                "an initializer is a Rust function, which Python workers cannot call: have their module do it";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Pool::with_workers(Inner::new(self.terms, Some(foreign))?))
    }

    /// Makes the pool and starts its workers.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert!(procession::Pool::builder().workers(0).build().is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Pool::new`].
    pub fn build(self) -> Result<Pool> {
        self.failure.map_or(Ok(()), Err)?;
        Ok(Pool::with_workers(Inner::new(self.terms, None)?))
    }
}

impl Pool {
    /// A pool of `workers` processes, which start at once; nothing waits for them here.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::new(2)?;
    /// assert_eq!(pool.workers(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for no workers or too many, and in a child that did not turn to its work; the system's.
    pub fn new(workers: usize) -> Result<Pool> {
        Pool::builder().workers(workers).build()
    }

    /// Settings for a pool.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession::{Pool, TaskError};
    ///
    /// fn spin(_: u8) { loop { std::hint::spin_loop() } }
    ///
    /// # fn main() -> procession::Result<()> {
    /// let pool = Pool::builder().workers(1).timeout(Duration::from_millis(100)).memory(200 << 20).build()?;
    /// assert_eq!(pool.submit(spin, 0).wait(), Err(TaskError::TimedOut));
    /// # Ok(()) }
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }
}
