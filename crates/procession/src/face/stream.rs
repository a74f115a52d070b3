//! `imap` and `imap_unordered`: results of an iterator that is never ahead of the workers by much.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::TaskError;
use super::job::{Answer, Answers, Function, Items, Job, new_job};
use super::outcome::{Outcome, rebuild};
use super::pool::Pool;
use super::wire::Item;
use crate::error::Result;
use crate::function::{Form, Stateless};
use crate::pool::{Chunk, JobId};

/// The most items that are out, and the most bytes.
const MOST_ITEMS: usize = 16 << 10;
const MOST_BYTES: usize = 16 << 20;

/// The common part of both iterators.
struct LazyResults<'p, I> {
    pool: &'p Pool,
    form: Form,
    job: std::result::Result<JobId, TaskError>,
    /// None when it is exhausted.
    items: Option<I>,
    /// How many items may be out; grows while workers run dry.
    window: usize,
    out: usize,
    /// The mean size of an item.
    bytes: usize,
}

impl<I: Iterator> LazyResults<'_, I>
where
    I::Item: Serialize + 'static,
{
    fn new(pool: &Pool, function: Result<Arc<Function>>, items: I, is_ordered: bool) -> LazyResults<'_, I> {
        let form = function.as_ref().map_or(Form::Own, |function| function.form);
        let job = function.map(|function| {
            let mut job = new_job(function, Items::Each { base: 0, items: VecDeque::new() }, 0, Vec::new());
            job.method = if is_ordered { "imap" } else { "imap_unordered" };
            if !is_ordered {
                job.answers = Answers::Unordered { answers: VecDeque::new() };
            }
            pool.inner.submit(job, false, Chunk::Adaptive)
        });
        let job = job.map_err(TaskError::from);
        LazyResults { pool, form, job, items: Some(items), window: 0, out: 0, bytes: 0 }
    }

    /// Takes items from the iterator as long as there is room for them.
    fn refill(&mut self, id: JobId) {
        let Some(items) = &mut self.items else { return };
        let room = |stream: usize, bytes: usize| stream.min(MOST_BYTES / bytes.max(1)).max(1);
        let (mut encoded, mut files, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        // Of those there are by now.
        let window = self.window.max(2 * self.pool.workers());
        while self.out < room(window, self.bytes) {
            let Some(item) = items.next() else {
                self.items = None;
                break;
            };
            let (mut bytes, mut apart) = (Vec::new(), Vec::new());
            if let Err(message) = self.pool.encode(self.form, item, &mut bytes, &mut files, &mut apart) {
                Item::encode_failure(&mut bytes, &format!("the argument cannot be sent: {message}"));
                apart.clear();
            }
            let size = bytes.len() + apart.iter().map(|part| part.bytes().len()).sum::<usize>();
            self.bytes = if self.bytes == 0 { size } else { (7 * self.bytes + size) / 8 };
            if !apart.is_empty() {
                parts.push((encoded.len() as u64, apart));
            }
            encoded.push(bytes);
            self.out += 1;
        }
        let mut shared = self.pool.inner.shared();
        // Again: the pool may have come to its end while the items were encoded, without the lock.
        let verdict = shared.life.look();
        let count = encoded.len();
        if let Some(job) = shared.jobs.get_mut(&id) {
            job.parts.extend(parts.into_iter().map(|(item, parts)| (job.total + item, parts)));
            job.total += count as u64;
            job.files.append(&mut files);
            if let Answers::Ordered { answers, .. } = &mut job.answers {
                answers.extend((0..count).map(|_| None));
            }
            if let Items::Each { items, .. } = &mut job.items {
                items.extend(encoded.into_iter().map(Some));
            }
        }
        shared.driver.scheduler.extend(id, count as u64, self.items.is_none());
        if self.items.is_none()
            && let Some(job) = shared.jobs.get(&id)
        {
            shared.driver.board.counts().complete(job.entry, job.total);
        }
        shared.fail_unless(verdict, id);
        shared.feed();
    }

    /// The next outcome, with the number of its item.
    fn next(&mut self) -> Option<(u64, Option<Answer>)> {
        if let Err(error) = self.pool.inner.check_ours() {
            self.job = Err(error.into());
        }
        let id = match &self.job {
            Ok(id) => *id,
            Err(error) => {
                let error = error.clone();
                self.items.as_mut()?.next()?;
                return Some((self.next_failed(), Some(Answer::failed(error))));
            }
        };
        if let Some(answer) = self.take(id) {
            return Some(answer);
        }
        self.refill(id);
        if self.out == 0 {
            return None;
        }
        self.pool.inner.wait(None, |shared| shared.jobs.get(&id).is_none_or(Job::has_answer));
        self.take(id)
    }

    fn next_failed(&mut self) -> u64 {
        self.out += 1;
        self.out as u64 - 1
    }

    /// Takes an answer that is there; and looks after the workers, so that they do not run dry meanwhile.
    fn take(&mut self, id: JobId) -> Option<(u64, Option<Answer>)> {
        let mut shared = self.pool.inner.shared();
        let waiting = shared.driver.scheduler.waiting(id);
        let job = shared.jobs.get_mut(&id)?;
        let answer = match &mut job.answers {
            Answers::Ordered { base, answers } => {
                answers.front()?.as_ref()?;
                *base += 1;
                (*base - 1, answers.pop_front().flatten())
            }
            Answers::Unordered { answers } => answers.pop_front().map(|(item, answer)| (item, Some(answer)))?,
        };
        drop(shared);
        self.out -= 1;
        if waiting == 0 && self.items.is_some() {
            self.window = (self.window.max(self.pool.workers()) * 2).min(MOST_ITEMS);
            self.refill(id);
        }
        Some(answer)
    }
}

impl<I> Drop for LazyResults<'_, I> {
    fn drop(&mut self) {
        if let Ok(job) = self.job
            && self.pool.inner.is_ours()
        {
            self.pool.forget(job);
        }
    }
}

/// Results in the order of the items; from [`Pool::imap`].
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let pool = procession::Pool::new(2)?;
/// let mut doubled = pool.imap(|x: u64| 2 * x, 0..);
/// assert_eq!(doubled.next(), Some(Ok(0)));
/// assert_eq!(doubled.next(), Some(Ok(2)));
/// # Ok(()) }
/// ```
pub struct Imap<'p, I, R> {
    stream: LazyResults<'p, I>,
    result: PhantomData<fn() -> R>,
}

/// Results as they come, each with the number of its item; from [`Pool::imap_unordered`].
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let pool = procession::Pool::new(2)?;
/// let mut sizes: Vec<(usize, usize)> = Vec::new();
/// for (number, size) in pool.imap_unordered(|word: String| word.len(), ["to".into(), "be".into()]) {
///     sizes.push((number, size?));
/// }
/// sizes.sort();
/// assert_eq!(sizes, [(0, 2), (1, 2)]);
/// # Ok(()) }
/// ```
pub struct ImapUnordered<'p, I, R> {
    stream: LazyResults<'p, I>,
    result: PhantomData<fn() -> R>,
}

macro_rules! iterator {
    ($name:ident, $item:ty, $ordered:expr, $give:expr) => {
        impl<'p, I: Iterator, R> $name<'p, I, R>
        where
            I::Item: Serialize + 'static,
        {
            pub(super) fn new(pool: &'p Pool, function: Result<Arc<Function>>, items: I) -> Self {
                $name { stream: LazyResults::new(pool, function, items, $ordered), result: PhantomData }
            }
        }

        impl<I: Iterator, R: DeserializeOwned + 'static> Iterator for $name<'_, I, R>
        where
            I::Item: Serialize + 'static,
        {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                let (number, answer) = self.stream.next()?;
                Some($give(number, rebuild(self.stream.form, answer)))
            }
        }

        impl<I, R> std::fmt::Debug for $name<'_, I, R> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("out", &self.stream.out).finish_non_exhaustive()
            }
        }
    };
}

iterator!(Imap, Outcome<R>, true, |_, result| result);
iterator!(ImapUnordered, (usize, Outcome<R>), false, |number: u64, result| (number as usize, result));

impl Pool {
    /// Calls `function` with each item, as the results are asked for: an iterator over them in the order of the items.
    ///
    /// It takes from `items` only as much as keeps the workers busy, however many there are, and never holds more than that.
    /// Dropping the iterator ends it: what has not run does not run, and what runs is ended, with its worker if it takes long.
    ///
    /// ```
    /// use procession::Pool;
    ///
    /// # fn main() -> procession::Result<()> {
    /// let pool = Pool::new(2)?;
    /// let mut squares = pool.imap(|x: u64| x * x, 0..);
    /// assert_eq!(squares.nth(1000), Some(Ok(1_000_000)));
    /// # Ok(()) }
    /// ```
    pub fn imap<F, A, R, I>(&self, function: F, items: I) -> Imap<'_, I::IntoIter, R>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        Imap::new(self, self.bare(function), items.into_iter())
    }

    /// As [`Pool::imap`], but each result comes as soon as it is there, with the number of its item.
    ///
    /// ```
    /// use procession::Pool;
    ///
    /// # fn main() -> procession::Result<()> {
    /// let pool = Pool::new(2)?;
    /// let mut sum = 0;
    /// for (number, result) in pool.imap_unordered(|text: String| text.len(), ["a".into(), "bcd".into()]) {
    ///     println!("item {number} gave {result:?}");
    ///     sum += result?;
    /// }
    /// assert_eq!(sum, 4);
    /// # Ok(()) }
    /// ```
    pub fn imap_unordered<F, A, R, I>(&self, function: F, items: I) -> ImapUnordered<'_, I::IntoIter, R>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        ImapUnordered::new(self, self.bare(function), items.into_iter())
    }
}
