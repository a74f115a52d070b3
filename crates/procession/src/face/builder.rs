//! `Builder`: what a pool is to be.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::function::Initializer;
use crate::process::StartMethod;

use super::crew::Terms;
use super::drive::Inner;
use super::pool::Pool;

/// Settings of a [`Pool`] that is to be made; from [`Pool::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    terms: Terms,
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
            },
            failure: None,
        }
    }

    /// How many workers there are; as many as this process may use CPUs unless said here.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.terms.workers = workers;
        self
    }

    /// How workers are started; by the forkserver, where that works, unless said here.
    pub fn start_method(mut self, method: StartMethod) -> Builder {
        self.terms.start_method = Some(method);
        self
    }

    /// How long a task may run. One that takes longer is killed with its process and ends with [`TaskError::TimedOut`].
    pub fn timeout(mut self, limit: Duration) -> Builder {
        self.terms.timeout = Some(limit);
        self
    }

    /// How many bytes of memory a worker may take. A task that is running when its process takes more ends with
    /// [`TaskError::OverMemory`]. The memory is looked at every 10 ms, so a quick task may be above for a moment.
    pub fn memory(mut self, bytes: u64) -> Builder {
        self.terms.memory = Some(bytes);
        self
    }

    /// How often a task whose process ended under it is tried again; not at all unless said here.
    pub fn retries(mut self, times: u32) -> Builder {
        self.terms.retries = times;
        self
    }

    /// After how many tasks a worker is replaced by a fresh one; never unless said here.
    pub fn max_tasks_per_worker(mut self, tasks: u64) -> Builder {
        self.terms.max_tasks = tasks;
        self
    }

    /// Whether a panic ends its worker, which a fresh one replaces; it goes on unless said here. For functions that leave
    /// something broken behind when they panic.
    pub fn retire_after_panic(mut self, retire: bool) -> Builder {
        self.terms.retires = retire;
        self
    }

    /// How often in a row a worker that ends before it is ready is replaced; 8 times unless said here. After that no task
    /// can run, and all end as that worker did. A worker that a task ends is always replaced.
    pub fn restart_limit(mut self, times: u32) -> Builder {
        self.terms.restarts = times;
        self
    }

    /// How long to wait before a worker that ended before it was ready is replaced; 10 ms unless said here. The pause
    /// doubles with each one in a row, up to a second.
    pub fn restart_pause(mut self, pause: Duration) -> Builder {
        self.terms.pause = pause;
        self
    }

    /// What each worker calls once, before its first task. When that fails, so do all tasks, in the same way.
    pub fn initializer<I: Fn() + Copy + 'static>(mut self, function: I) -> Builder {
        match Initializer::crossing(function) {
            Ok(distance) => self.terms.initializer = Some(distance),
            Err(error) => self.failure = Some(error),
        }
        self
    }

    /// Makes the pool and starts its workers.
    ///
    /// # Errors
    /// As [`Pool::new`].
    pub fn build(self) -> Result<Pool> {
        self.failure.map_or(Ok(()), Err)?;
        Ok(Pool::with_workers(Inner::new(self.terms)?))
    }
}
