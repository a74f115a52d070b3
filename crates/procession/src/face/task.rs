//! `Task`: what to wait for when a task was submitted.

use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::drive::Inner;
use super::error::TaskError;
use super::job::{Answers, Job};
use super::outcome::{Outcome, rebuild};
use super::wait::{Alarm, sealed::Source};
use crate::function::Form;
use crate::pool::JobId;

/// A task that was submitted; from [`Pool::submit`](crate::Pool::submit). Dropping it lets the task run on.
///
/// ```
/// use procession::Pool;
///
/// # fn main() -> procession::Result<()> {
/// let pool = Pool::new(2)?;
/// let tasks: Vec<_> = ["one", "three"].map(|word| pool.submit(|word: String| word.len(), word.to_owned())).into();
/// let sizes: Result<Vec<usize>, _> = tasks.into_iter().map(|task| task.wait()).collect();
/// assert_eq!(sizes?, [3, 5]);
/// # Ok(()) }
/// ```
///
/// With the feature `async` it is a future as well, for any executor: `let size = task.await?`.
#[must_use = "a task's outcome is known to whoever waits for it"]
pub struct Task<R> {
    state: State,
    result: PhantomData<fn() -> R>,
}

enum State {
    Sent { inner: Arc<Inner>, job: JobId, form: Form },
    Failed(TaskError),
}

impl<R> std::fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

impl<R: DeserializeOwned + 'static> Task<R> {
    pub(super) fn new(inner: Arc<Inner>, job: JobId, form: Form) -> Task<R> {
        Task { state: State::Sent { inner, job, form }, result: PhantomData }
    }

    pub(super) fn failed(error: TaskError) -> Task<R> {
        Task { state: State::Failed(error), result: PhantomData }
    }

    /// Waits for the outcome.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = procession::Pool::new(1)?;
    /// let task = pool.submit(|x: u32| x + 1, 41);
    /// assert_eq!(task.wait()?, 42);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// How the task failed.
    pub fn wait(self) -> Outcome<R> {
        self.wait_until(None).unwrap_or_else(|_| unreachable!("a wait without a deadline ends with the task"))
    }

    /// Waits at most so long for the outcome; gives the task back when there is none by then.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// use procession::{Event, Pool};
    ///
    /// let (pool, go) = (Pool::new(1)?, Event::new()?);
    /// let task = pool.submit(|go: Event| go.wait(), go.clone());
    /// let task = task.wait_timeout(Duration::from_millis(10)).unwrap_err();
    /// go.set();
    /// task.wait()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The task itself.
    pub fn wait_timeout(self, limit: Duration) -> Result<Outcome<R>, Task<R>> {
        self.wait_until(Instant::now().checked_add(limit))
    }

    fn wait_until(self, until: Option<Instant>) -> Result<Outcome<R>, Task<R>> {
        let (inner, job, form) = match &self.state {
            State::Failed(error) => return Ok(Err(error.clone())),
            State::Sent { inner, job, form } => (inner, *job, *form),
        };
        if let Err(error) = inner.check_ours() {
            return Ok(Err(error.into()));
        }
        if !inner.wait(until, |shared| shared.jobs.get(&job).is_none_or(Job::is_done)) {
            return Err(self);
        }
        Ok(taken(inner, job, form))
    }

    /// Whether the outcome is there.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Event, Pool};
    ///
    /// let (pool, go) = (Pool::new(1)?, Event::new()?);
    /// let task = pool.submit(|go: Event| go.wait(), go.clone());
    /// assert!(!task.is_done());
    /// go.set();
    /// task.wait()?;
    /// # Ok(()) }
    /// ```
    pub fn is_done(&self) -> bool {
        self.is_ready().unwrap_or(false)
    }

    /// Ends the task: one that has not started does not start, one that runs is killed with its process, which is
    /// replaced. Its outcome is [`TaskError::Cancelled`], unless it was done before; says whether it was not.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Pool, TaskError};
    ///
    /// let pool = Pool::new(1)?;
    /// let task = pool.submit(|_: u8| -> u8 { loop { std::thread::park() } }, 0);
    /// assert!(task.cancel());
    /// assert_eq!(task.wait(), Err(TaskError::Cancelled));
    /// # Ok(()) }
    /// ```
    pub fn cancel(&self) -> bool {
        let State::Sent { inner, job, .. } = &self.state else { return false };
        if !inner.is_ours() {
            return false;
        }
        let mut guard = inner.shared();
        let shared = &mut *guard;
        if shared.jobs.get(job).is_none_or(Job::is_done) {
            return false;
        }
        shared.crew.kill_runners(&shared.driver, *job, &TaskError::Cancelled);
        shared.fail(*job, &TaskError::Cancelled);
        drop(inner.wake_tasks(guard));
        true
    }
}

impl<R> Source for Task<R> {
    fn is_ready(&self) -> crate::Result<bool> {
        Ok(match &self.state {
            State::Failed(_) => true,
            State::Sent { inner, .. } if !inner.is_ours() => true,
            // Nobody may be driving: look once.
            State::Sent { inner, job, .. } => {
                inner.wait(Some(Instant::now()), |shared| shared.jobs.get(job).is_none_or(Job::is_done))
            }
        })
    }

    fn watch(&self, alarm: &Arc<Alarm>) -> crate::Result<Option<RawFd>> {
        let State::Sent { inner, job, .. } = &self.state else { return Ok(None) };
        inner.check_ours()?;
        if let Some(job) = inner.shared().jobs.get_mut(job) {
            job.waker = Some(Waker::from(Arc::new(Ring(alarm.clone()))));
        }
        Ok(None)
    }
}

struct Ring(Arc<Alarm>);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }
}

fn taken<R: DeserializeOwned + 'static>(inner: &Inner, job: JobId, form: Form) -> Outcome<R> {
    let answer = match inner.forget(job).0.map(|job| job.answers) {
        Some(Answers::Ordered { mut answers, .. }) => answers.pop_front().flatten(),
        _ => None,
    };
    rebuild(form, answer)
}

/// The outcome, for any executor: the pool's own thread drives meanwhile. Not to be polled after it was ready.
#[cfg(feature = "async")]
impl<R: DeserializeOwned + 'static> Future for Task<R> {
    type Output = Outcome<R>;

    fn poll(self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Outcome<R>> {
        use std::task::Poll;
        let (inner, job, form) = match &self.state {
            State::Failed(error) => return Poll::Ready(Err(error.clone())),
            State::Sent { inner, job, form } => (inner, *job, *form),
        };
        if let Err(error) = inner.check_ours() {
            return Poll::Ready(Err(error.into()));
        }
        let mut shared = inner.shared();
        match shared.jobs.get_mut(&job).filter(|job| !job.is_done()) {
            Some(job) => {
                job.waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => {
                drop(shared);
                Poll::Ready(taken(inner, job, form))
            }
        }
    }
}

impl<R> Drop for Task<R> {
    fn drop(&mut self) {
        if let State::Sent { inner, job, .. } = &self.state
            && inner.is_ours()
        {
            let mut shared = inner.shared();
            // What runs on is forgotten when it is done.
            if shared.jobs.get(job).is_some_and(Job::is_done) {
                shared.forget(*job);
            } else if let Some(job) = shared.jobs.get_mut(job) {
                job.is_abandoned = true;
            }
        }
    }
}
