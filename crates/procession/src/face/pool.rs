//! `Pool`: worker processes that run tasks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::drive::Inner;
use super::error::{MapError, TaskError};
use super::job::{Answer, Answers, Function, Items, Job, new_job};
use super::outcome::{Mapped, Outcome, rebuild};
use super::seed::Seed;
use super::task::Task;
use super::wire::{Item, Preamble};
use crate::error::Result;
use crate::function::{self, Bare, Form, Part, Stateless, WithState};
use crate::pool::{Chunk, JobId};

/// Worker processes that run tasks, whichever is free the next one.
///
/// A task is a function and an argument. The function crosses as its type, the argument and the result as bytes (see
/// the crate's documentation); what a task does to its process, up to a crash, an endless loop or a flood of memory, ends that task
/// alone, and the worker is replaced.
///
/// Dropping the pool ends it: tasks that have not run are cancelled, those that run are killed.
///
/// ```
/// use procession::Pool;
///
/// fn square(x: u64) -> u64 { x * x }
///
/// # fn main() -> procession::Result<()> {
/// let squares: Vec<u64> = Pool::new(4)?.map(square, 0..4)?;
/// assert_eq!(squares, [0, 1, 4, 9]);
/// # Ok(()) }
/// ```
pub struct Pool {
    pub(super) inner: Arc<Inner>,
    keeper: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
    /// What each call draws from; of a view of the pool, which does not end it.
    seed: Option<Seed>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("terms", &self.inner.terms).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn with_workers(inner: Arc<Inner>) -> Pool {
        Pool { inner, keeper: Arc::default(), seed: None }
    }

    /// The same pool, whose calls each have this seed.
    pub(super) fn view(&self, seed: Seed) -> Pool {
        Pool { inner: self.inner.clone(), keeper: self.keeper.clone(), seed: Some(seed) }
    }

    /// The seed of the next call.
    fn next_seed(&self) -> Option<Seed> {
        self.seed.clone().or_else(|| self.inner.next_seed())
    }

    /// A function that the workers know, for the next call.
    pub(super) fn with_next_seed(&self, function: &Arc<Function>) -> Arc<Function> {
        let Some(seed) = self.next_seed() else { return function.clone() };
        let mut seeded = (**function).clone();
        Preamble::seed(&mut seeded.preamble, &seed.encode());
        Arc::new(seeded)
    }

    /// How many workers it has: those that [`Pool::resize`] has told to end do not count.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert_eq!(procession::Pool::new(3)?.workers(), 3);
    /// # Ok(()) }
    /// ```
    pub fn workers(&self) -> usize {
        self.inner.shared().workers
    }

    /// Has `workers` workers from now on, also in the middle of a map: more are started at once; those that are too many, idle
    /// ones first, end when they have worked off what they have taken up, so that no task is lost or runs twice. Does not
    /// wait for either.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::new(1)?;
    /// let tasks: Vec<_> = (0..100).map(|x: u64| pool.submit(|x| x + 1, x)).collect();
    /// pool.resize(3)?;
    /// assert_eq!(pool.workers(), 3);
    /// pool.resize(2)?;
    /// for (x, task) in tasks.into_iter().enumerate() {
    ///     assert_eq!(task.wait()?, x as u64 + 1);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for no workers or too many, and in a copy of the process that was forked; the system's where no worker
    /// could be started: those that there are stay.
    pub fn resize(&self, workers: usize) -> Result<()> {
        self.inner.resize(workers)
    }

    /// Calls `function` with each item in the workers, and gives the results in the order of the items.
    ///
    /// The first failure ends it: what has not run by then does not run, and what runs is ended, with its worker if it takes
    /// long.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Pool, TaskError};
    ///
    /// fn root(x: i32) -> i32 {
    ///     if x < 0 { panic!("{x} has no root") }
    ///     x.isqrt()
    /// }
    ///
    /// let pool = Pool::new(2)?;
    /// assert_eq!(pool.map(root, [16, 25])?, [4, 5]);
    /// let failed = pool.map(root, [16, -1, 25]).unwrap_err();
    /// assert_eq!(failed.index, Some(1));
    /// assert!(matches!(failed.error, TaskError::Panicked { message, .. } if message == "-1 has no root"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The failure, with the function and the place of the item; of several, that of the first item.
    pub fn map<F, A, R, I>(&self, function: F, items: I) -> Mapped<R>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        self.map_all::<F, _, _, _>(self.bare(function), items)
    }

    /// As [`Pool::map`], but a failure is the outcome of its item alone: one `Result` for each, in order.
    ///
    /// ```
    /// use procession::{Pool, TaskError};
    ///
    /// # fn main() -> procession::Result<()> {
    /// let outcomes = Pool::new(2)?.map_each(|x: u32| 10 / x, [5, 0, 2]);
    /// let outcomes: Vec<_> = outcomes.map(|outcome| outcome.ok()).collect();
    /// assert_eq!(outcomes, [Some(2), None, Some(5)]);
    /// # Ok(()) }
    /// ```
    pub fn map_each<F, A, R, I>(&self, function: F, items: I) -> std::vec::IntoIter<Outcome<R>>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        match self.bare(function) {
            Ok(function) => self.each(function, items),
            Err(error) => {
                let error = TaskError::from(error);
                items.into_iter().map(|_| Err(error.clone())).collect::<Vec<_>>().into_iter()
            }
        }
    }

    /// As [`Pool::map`], with a state that each worker makes for itself when its first task of this call comes, and keeps
    /// for the others. A worker lets go of it some calls later: it has the states and contexts of its last four.
    ///
    /// The state never crosses to another process, so it may be anything: a connection, a model, a handle of a C library.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use procession::Pool;
    ///
    /// fn seen(counts: &mut HashMap<char, u32>, letter: char) -> char {
    ///     *counts.entry(letter).or_default() += 1;
    ///     letter.to_ascii_uppercase()
    /// }
    ///
    /// # fn main() -> procession::Result<()> {
    /// let letters: Vec<char> = Pool::new(2)?.map_init(HashMap::new, seen, "abc".chars())?;
    /// assert_eq!(letters, ['A', 'B', 'C']);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The first failure, of the function or of making the state.
    pub fn map_init<N, S, F, A, R, I>(&self, make_state: N, function: F, items: I) -> Mapped<R>
    where
        N: Fn() -> S + Stateless,
        S: 'static,
        F: Fn(&mut S, A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        let function = WithState::crossing(make_state, function).and_then(|it| self.function(it, |_| Ok(Vec::new())));
        self.map_all::<F, _, _, _>(function, items)
    }

    /// Lets the workers run `function` with `argument`, and gives what to wait for.
    ///
    /// A failure to send it is the outcome of the task.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let pool = procession::Pool::new(2)?;
    /// let tasks: Vec<_> = (0..3).map(|x: u64| pool.submit(|x| x * x, x)).collect();
    /// let mut total = 0;
    /// for task in tasks {
    ///     total += task.wait()?;
    /// }
    /// assert_eq!(total, 5);
    /// # Ok(()) }
    /// ```
    pub fn submit<F, A, R>(&self, function: F, argument: A) -> Task<R>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        let function = self.bare(function);
        let function = match function {
            Ok(function) => function,
            Err(error) => return Task::failed(error.into()),
        };
        self.submit_to(function, argument)
    }

    /// As [`Pool::submit`], for a function that the workers know.
    pub(super) fn submit_to<A, R>(&self, function: Arc<Function>, argument: A) -> Task<R>
    where
        A: Serialize + 'static,
        R: DeserializeOwned + 'static,
    {
        self.start_keeper();
        let form = function.form;
        let mut bytes = Vec::new();
        let (mut files, mut parts) = (Vec::new(), Vec::new());
        if let Err(message) = self.encode(form, argument, &mut bytes, &mut files, &mut parts) {
            return Task::failed(TaskError::Codec { message: format!("the argument cannot be sent: {message}") });
        }
        let ends = vec![bytes.len()];
        let mut job = new_job(function, Items::Row { bytes, ends }, 1, files);
        if !parts.is_empty() {
            job.parts.insert(0, parts);
        }
        job.is_detached = true;
        job.method = "submit";
        Task::new(self.inner.clone(), self.inner.submit(job, true, Chunk::Adaptive), form)
    }

    /// The ids of the worker processes just now.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::new(2)?;
    /// let id = pool.submit(|_: u8| std::process::id(), 0).wait()?;
    /// assert!(pool.process_ids().contains(&id));
    /// # Ok(()) }
    /// ```
    pub fn process_ids(&self) -> Vec<u32> {
        if !self.inner.is_ours() {
            return Vec::new();
        }
        self.inner.shared().crew.members.values().map(|member| member.started.child.id()).collect()
    }

    /// Takes a job away; what runs of it and is not done is ended.
    pub(super) fn forget(&self, job: JobId) -> Option<Job> {
        let (forgotten, runs_on) = self.inner.forget(job);
        if runs_on {
            self.start_keeper();
        }
        forgotten
    }

    fn start_keeper(&self) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_none() {
            let inner = self.inner.clone();
            let thread = std::thread::Builder::new().name("procession".into()).spawn(move || inner.keep());
            // Without the thread tasks go on whenever somebody waits for one.
            *keeper = thread.ok();
        }
    }

    /// A function that has nothing with it, as the workers know it, for the next call.
    pub(super) fn bare<F, A, R>(&self, function: F) -> Result<Arc<Function>>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        self.function(Bare::crossing(function)?, |_| Ok(Vec::new()))
    }

    /// A function as the workers know it, for the next call; `context` gives the bytes that are kept for them.
    pub(super) fn function(
        &self,
        crossing: u64,
        context: impl FnOnce(&mut Vec<u64>) -> Result<Vec<u8>>,
    ) -> Result<Arc<Function>> {
        self.unseeded(crossing, context).map(|function| self.with_next_seed(&function))
    }

    /// As [`Pool::function`], for whoever adds the seed.
    pub(super) fn unseeded(
        &self,
        crossing: u64,
        context: impl FnOnce(&mut Vec<u64>) -> Result<Vec<u8>>,
    ) -> Result<Arc<Function>> {
        self.inner.check_ours()?;
        let mut files = Vec::new();
        let context = context(&mut files)?;
        let mut shared = self.inner.shared();
        let block = if context.is_empty() { None } else { Some(shared.driver.hold(&context)?) };
        let preamble = Preamble {
            crossing,
            routine: shared.new_id(),
            context_at: block.map_or(0, |block| block.offset as u64),
            context_size: context.len() as u64,
            seed: &[],
        };
        drop(shared);
        let mut bytes = Vec::new();
        preamble.encode(&mut bytes);
        let title = function::arrived(crossing).map_or("", function::Crossing::name);
        Ok(Arc::new(Function { preamble: bytes, block, files, title, form: Form::Own, crossing }))
    }

    /// Adds a value to `into` as an item; the numbers of its descriptors go to `files` too, and what stays apart to `parts`.
    pub(super) fn encode<T: Serialize + 'static>(
        &self,
        form: Form,
        value: T,
        into: &mut Vec<u8>,
        files: &mut Vec<u64>,
        parts: &mut Vec<Part>,
    ) -> std::result::Result<(), String> {
        Item::encode(into, |into| {
            let (encoded, attached) = function::sending(|| form.encode_apart(value, into, parts));
            encoded?;
            if attached.is_empty() {
                return Ok(Vec::new());
            }
            let mut shared = self.inner.shared();
            let mut numbers = Vec::new();
            for file in attached {
                let number = shared.crew.know_file(file).map_err(|error| error.to_string())?;
                files.push(number);
                numbers.push(number);
            }
            Ok(numbers)
        })
    }

    /// Calls a function for all items; each has an outcome of its own.
    pub(super) fn each<A, R, I>(&self, function: Arc<Function>, items: I) -> std::vec::IntoIter<Outcome<R>>
    where
        A: Serialize + 'static,
        R: DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        let form = function.form;
        let answers = self.run_all(function, items, false).into_iter();
        answers.map(|answer| rebuild(form, answer)).collect::<Vec<_>>().into_iter()
    }

    /// Calls a function for all items, which is `F` to its user.
    pub(super) fn map_all<F, A, R, I>(&self, function: Result<Arc<Function>>, items: I) -> Mapped<R>
    where
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        self.map_named(std::any::type_name::<F>(), function, items)
    }

    /// As [`Pool::map_all`], of a function of this name.
    pub(super) fn map_named<A, R, I>(&self, name: &'static str, function: Result<Arc<Function>>, items: I) -> Mapped<R>
    where
        A: Serialize + 'static,
        R: DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        let function = function.map_err(|error| MapError::named(name, None, error))?;
        let form = function.form;
        let answers = self.run_all(function, items, true);
        let failure = |answer: &Option<Answer>| answer.as_ref().and_then(Answer::failure).cloned();
        let failed = answers.iter().enumerate().find_map(|(index, answer)| Some((index, failure(answer)?)));
        if let Some((index, failure)) = failed {
            return Err(MapError::named(name, Some(index), failure));
        }
        let rebuilt = answers.into_iter().enumerate();
        let rebuilt =
            rebuilt.map(|(index, answer)| rebuild(form, answer).map_err(|e| MapError::named(name, Some(index), e)));
        rebuilt.collect()
    }

    /// Runs all items and waits; where the first failure ends it, answers are missing.
    pub(super) fn run_all<A, I>(&self, function: Arc<Function>, items: I, is_strict: bool) -> Vec<Option<Answer>>
    where
        A: Serialize + 'static,
        I: IntoIterator<Item = A>,
    {
        let (mut bytes, mut ends, mut files) = (Vec::new(), Vec::new(), Vec::new());
        let mut parts = HashMap::new();
        for item in items {
            let mut apart = Vec::new();
            if let Err(message) = self.encode(function.form, item, &mut bytes, &mut files, &mut apart) {
                Item::encode_failure(&mut bytes, &format!("the argument cannot be sent: {message}"));
            } else if !apart.is_empty() {
                parts.insert(ends.len() as u64, apart);
            }
            ends.push(bytes.len());
        }
        let total = ends.len() as u64;
        let mut job = new_job(function, Items::Row { bytes, ends }, total, files);
        job.is_strict = is_strict;
        job.parts = parts;
        let id = self.inner.submit(job, true, Chunk::Adaptive);
        self.inner.wait(None, |shared| shared.jobs.get(&id).is_none_or(Job::is_done));
        match self.forget(id).map(|job| job.answers) {
            Some(Answers::Ordered { answers, .. }) => answers.into(),
            _ => Vec::new(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.seed.is_some() {
            return;
        }
        if !self.inner.is_ours() {
            // A copy in a process that was forked: all of it stays, as its parts may be locked or half changed, and its
            // thread is not there to be waited for.
            std::mem::forget(self.inner.clone());
            std::mem::forget(self.keeper.clone());
            return;
        }
        self.inner.close();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            let _ = keeper.join();
        }
    }
}
