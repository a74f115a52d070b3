//! A job: what one call of a Pool method created, its items and their outcomes.
//!
//! A long file: one state, whose every change has to keep to the rule that a job ends once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use procession::pool::{Entry, JobId};
use procession::shared_memory::Block;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};

use crate::collector::Collector;
use crate::common::Common;
use crate::received::Received;
use crate::repeats::Repeats;
use crate::row::Row;
use crate::values::{self, Mode};

/// Outcome of an item: what it returned, or the exception.
pub(crate) type Answer = Result<Py<PyAny>, Py<PyAny>>;

/// An item for messages: its function, the method that made the job, its place in that, the item itself.
pub(crate) type Described = (Option<Py<PyAny>>, &'static str, u64, Option<Py<PyAny>>);

/// A function that a job calls, pickled once.
#[derive(Default)]
pub(crate) struct Function {
    /// Names it among those of its pool.
    pub id: u64,
    /// So many items get it as it was sent, and share what becomes of it; all of them if 0.
    pub share: u64,
    /// The results of so many items, from a multiple of that on, may have objects in common; 0 or 1: none.
    pub sharing: u64,
    /// Its pickle, unless that lies in a block.
    pub pickled: Vec<u8>,
    /// Where a large pickle lies until the job ends.
    pub block: Option<(Block, u64)>,
    /// Where its large parts lie until the job ends.
    pub parts: Vec<Block>,
}

impl Function {
    /// All blocks, which each record of the job uses.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> {
        self.block.iter().map(|(block, _)| *block).chain(self.parts.iter().copied())
    }
}

/// What becomes of the outcomes.
pub(crate) enum Results {
    /// One alone (`apply`).
    One { answer: Option<Answer> },
    /// All of them, in order, at the end (`map`): a list that is filled, a bit for each item that has its outcome, and the
    /// first failure.
    All { answers: Py<PyList>, done: Vec<u64>, failure: Option<(u64, Py<PyAny>)> },
    /// One after the other, in order (`imap`).
    Ordered { next: u64, answers: BTreeMap<u64, Answer> },
    /// One after the other, as they come (`imap_unordered`).
    Unordered { answers: VecDeque<Answer> },
}

/// The part of a job that changes.
pub(crate) struct State {
    /// The items of a map; they stay until it ends.
    pub row: Option<Row>,
    /// So many items of the row, from a multiple of that on, may be pickled as one.
    pub together: u64,
    /// All other items without an outcome, from `base` on; none where an outcome came early.
    pub items: VecDeque<Option<Py<PyAny>>>,
    pub base: u64,
    /// Where more items come from.
    pub source: Option<Py<PyAny>>,
    /// Items taken so far; all of them when `source` is none.
    pub total: u64,
    /// Items with an outcome.
    pub finished: u64,
    /// Outcomes that were read (`imap`).
    pub consumed: u64,
    /// Whether somebody takes items from the source now.
    pub pulling: bool,
    /// Whether an item that was taken last can change.
    pub changing: bool,
    /// Whether nobody can read the outcomes any more.
    pub unread: bool,
    /// Whether somebody has asked for an outcome (`imap`).
    pub asked: bool,
    /// Whether the source is to be closed when nobody takes items from it any more.
    pub closes_source: bool,
    /// Whether items are taken without regard to how many outcomes were read.
    pub unbounded: bool,
    /// Measured bytes of an item with its result; 0 while unknown.
    pub bytes: f64,
    /// Whether a result is among what was measured.
    pub measured: bool,
    pub results: Results,
    /// How often items were tried again, and how many workers they killed.
    pub tries: HashMap<u64, (u32, u32)>,
    pub callbacks: Option<(Py<PyAny>, Py<PyAny>)>,
    /// What the items are given to, for messages about them; until the job ends.
    pub function: Option<Py<PyAny>>,
    /// What is called, once, when an outcome is there to be read.
    pub watchers: Vec<Py<PyAny>>,
    /// Whether somebody waits who does not drive the pool.
    pub watched: bool,
    /// Whether the job has come to its end: outcomes that come later are nobody's.
    pub ended: bool,
}

/// What a call asked for beside the results.
#[derive(Default)]
pub(crate) struct Options {
    /// How long an item may run.
    pub timeout: Option<Duration>,
    /// How often an item is tried again.
    pub retries: u32,
    /// After which exceptions, beside the death of a worker: a class or a tuple of classes.
    pub retry_on: Option<Py<PyAny>>,
    /// What the scheduler is to know, until the job is handed in.
    pub special: Option<Box<procession::pool::Wishes>>,
    /// What is told of outcomes.
    pub collector: Option<Collector>,
}

impl Options {
    /// Whether the failure that came first is the job's, not that of the first item.
    fn by_time(&self) -> bool {
        self.collector.as_ref().is_some_and(|collector| collector.by_time)
    }
}

/// So many bytes of items and results of a lazy job may lie between its source and who reads it, unless these are few items.
const AHEAD_BYTES: f64 = 16e6;

/// An item that has killed so many workers is not tried again.
const MOST_DEATHS: u32 = 2;

/// A job.
pub(crate) struct Job {
    pub id: JobId,
    /// The handle of the pool that it was handed in by.
    pub handle: u64,
    pub mode: Mode,
    pub function: Function,
    /// Items that stay together in a chunk, for lazy jobs.
    pub unit: u64,
    /// The most items taken and not read, for lazy jobs; none: by their size.
    pub most: Option<u64>,
    pub options: Options,
    pub is_done: AtomicBool,
    /// Whether nobody wants it any more: it takes no items and publishes none.
    pub is_given_up: AtomicBool,
    /// The object that several of its items have in common.
    pub common: Common,
    /// Large parts that several of its items have in common.
    pub repeats: Repeats,
    /// Objects that several of its results have in common.
    pub received: Received,
    /// Where it is shown to who looks.
    pub entry: Entry,
    /// How many items have failed, and how often one was tried again.
    pub failed: AtomicU64,
    pub retried: AtomicU64,
    state: Mutex<State>,
}

impl Job {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        id: JobId,
        handle: u64,
        mode: Mode,
        function: Function,
        unit: u64,
        most: Option<u64>,
        options: Options,
        state: State,
        entry: Entry,
    ) -> Arc<Job> {
        Arc::new(Job {
            id,
            handle,
            mode,
            function,
            unit,
            most,
            options,
            is_done: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            common: Common::default(),
            repeats: Repeats::default(),
            received: Received::default(),
            entry,
            failed: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            state: Mutex::new(state),
        })
    }

    /// The part that changes. Hold it for a few instructions only: no Python code may run meanwhile, nor any object be
    /// dropped.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while a job is locked")
    }

    pub(crate) fn done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    pub(crate) fn given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// Stores an outcome, unless the item has one: the first counts. True when it was the last. What must be dropped outside
    /// of the lock goes to `trash`.
    pub(crate) fn store(&self, py: Python<'_>, item: u64, answer: Answer, trash: &mut Vec<Py<PyAny>>) -> bool {
        let mut state = self.state();
        let state = &mut *state;
        if !state.lacks(item) {
            trash.push(answer.unwrap_or_else(|failure| failure));
            return false;
        }
        if let Some(place) = item.checked_sub(state.base).and_then(|at| state.items.get_mut(at as usize)) {
            trash.extend(place.take());
            while state.items.front().is_some_and(Option::is_none) {
                state.items.pop_front();
                state.base += 1;
            }
        }
        state.finished += 1;
        let unread = state.unread;
        match &mut state.results {
            _ if unread => {
                state.consumed += 1;
                trash.push(answer.unwrap_or_else(|failure| failure));
            }
            Results::One { answer: place } => *place = Some(answer),
            Results::All { answers, done, failure } => {
                mark_done(done, item, 1);
                match answer {
                    // The place held None: nothing is dropped that could run code.
                    Ok(answer) => drop(answers.bind(py).set_item(item as usize, answer)),
                    Err(error) => match failure {
                        Some((first, _)) if *first < item || self.options.by_time() => trash.push(error),
                        _ => trash.extend(failure.replace((item, error)).map(|(_, later)| later)),
                    },
                }
            }
            Results::Ordered { answers, .. } => {
                trash.extend(answers.insert(item, answer).map(|a| a.unwrap_or_else(|e| e)))
            }
            Results::Unordered { answers } => answers.push_back(answer),
        }
        state.source.is_none() && state.finished == state.total
    }

    /// Stores the results of items in a row, whose bytes need no Python code to be rebuilt; none if that is not so, else
    /// whether they were the last.
    ///
    /// The items themselves stay until the job ends: small results have small items, as a rule.
    pub(crate) fn store_simple_run(&self, py: Python<'_>, first: u64, count: u32, mut bytes: &[u8]) -> Option<bool> {
        if !values::is_simple_run(bytes) {
            return None;
        }
        self.store_run(py, first, count, || values::take_framed(py, &mut bytes))
    }

    /// Stores the results of a run of items all of which are objects that results before them have had, from a worker that is
    /// named by a number; none, and nothing done, if it is no such run, or not that easily done. True when they were the
    /// last.
    pub(crate) fn store_run_again(
        &self,
        py: Python<'_>,
        worker: usize,
        first: u64,
        count: u32,
        bytes: &[u8],
    ) -> Option<bool> {
        let objects = self.received.run(py, worker, bytes).filter(|objects| objects.len() == count as usize)?;
        let mut objects = objects.into_iter();
        self.store_run(py, first, count, || objects.next())
    }

    /// Stores the results of items in a row, as `next` gives them; none if it lacks one, or an item has a result already; else
    /// whether they were the last.
    fn store_run<'py>(
        &self,
        py: Python<'py>,
        first: u64,
        count: u32,
        mut next: impl FnMut() -> Option<Bound<'py, PyAny>>,
    ) -> Option<bool> {
        let mut state = self.state();
        let state = &mut *state;
        if state.ended {
            return Some(false);
        }
        let Results::All { answers, done, .. } = &mut state.results else { return None };
        if are_any_done(done, first, u64::from(count)) {
            return None;
        }
        let answers = answers.bind(py);
        for index in first as usize..first as usize + count as usize {
            answers.set_item(index, next()?).ok()?;
        }
        mark_done(done, first, u64::from(count));
        state.finished += u64::from(count);
        Some(state.source.is_none() && state.finished == state.total)
    }

    /// Counts a failure of an item; whether it is to be tried again.
    pub(crate) fn tries_again(&self, item: u64, died: bool) -> bool {
        if self.options.retries == 0 {
            return false;
        }
        let mut state = self.state();
        let (tries, deaths) = state.tries.entry(item).or_default();
        *tries += 1;
        *deaths += u32::from(died);
        *tries <= self.options.retries && *deaths < MOST_DEATHS
    }

    /// How often an item was tried before.
    pub(crate) fn tries_of(&self, item: u64) -> u32 {
        if self.options.retries == 0 { 0 } else { self.state().tries.get(&item).map_or(0, |(tries, _)| *tries) }
    }

    /// The function and the arguments of an item, for messages about it: as many as are known still.
    pub(crate) fn describe(&self, py: Python<'_>, item: u64) -> Described {
        let function = self.state().function.as_ref().map(|function| function.clone_ref(py));
        let kind = match self.mode {
            Mode::Apply => "apply",
            Mode::Map => "map",
            Mode::Star => "starmap",
        };
        (function, kind, item, self.items(py, item, 1).pop())
    }

    /// Nothing more comes of the job: what has no outcome fails with `why`. Of a lazy job, whose other items nobody takes any
    /// more, one outcome does, behind those that came in order. Gives what must be dropped outside of the lock.
    pub(crate) fn give_up(&self, py: Python<'_>, why: &Py<PyAny>) -> (Option<Py<PyAny>>, Vec<Py<PyAny>>) {
        let mut state = self.state();
        if state.ended {
            return (None, Vec::new());
        }
        let source = state.source.take();
        let mut trash = Vec::new();
        if source.is_none() && state.finished == state.total {
            return (source, trash);
        }
        state.fail_rest(why.clone_ref(py), self.options.by_time(), &mut trash);
        (source, trash)
    }

    /// Ends the job, once: gives what it holds that only a job at hand needs, unless it had ended before.
    pub(crate) fn end(&self) -> Option<Ended> {
        let mut state = self.state();
        if std::mem::replace(&mut state.ended, true) {
            return None;
        }
        Some(Ended {
            expecting: isize::from(state.callbacks.is_some()) + isize::from(state.watched),
            has_callbacks: state.callbacks.is_some(),
            _items: std::mem::take(&mut state.items),
            _row: state.row.take(),
            _function: state.function.take(),
        })
    }

    /// The items from `first` on, at most `count`; fewer when some have their outcomes.
    pub(crate) fn items(&self, py: Python<'_>, first: u64, count: u32) -> Vec<Py<PyAny>> {
        let state = self.state();
        let range = first..first + u64::from(count);
        if let Some(row) = &state.row {
            return range.filter_map(|item| row.get(py, item)).collect();
        }
        let at = |item: u64| state.items.get(item.checked_sub(state.base)? as usize)?.as_ref();
        range.filter_map(at).map(|item| item.clone_ref(py)).collect()
    }

    /// Adds the items from `first` on by their short codes; false if one has none, or has its outcome already.
    pub(crate) fn encode_simple(&self, py: Python<'_>, first: u64, count: u32, out: &mut Vec<u8>) -> bool {
        // The job is not locked meanwhile: whatever makes an object may have garbage collected, which runs any code.
        let row = self.state().row.as_ref().map(|row| row.clone_ref(py));
        if let Some(row) = row {
            return row.encode_simple(py, first, count, self.mode == Mode::Map, out);
        }
        let items = self.items(py, first, count);
        items.len() == count as usize && items.iter().all(|item| values::encode_simple(item.bind(py), out))
    }

    /// Whether none of the items has been tried before.
    pub(crate) fn are_new(&self, first: u64, count: u32) -> bool {
        let mut items = first..first + u64::from(count);
        self.options.retries == 0 || {
            let state = self.state();
            state.tries.is_empty() || items.all(|item| !state.tries.contains_key(&item))
        }
    }

    /// Whether it is a map: its items were all there when it began.
    pub(crate) fn has_row(&self) -> bool {
        self.state().row.is_some()
    }

    /// Which of those that may be pickled as one the item belongs to.
    pub(crate) fn sharers(&self, item: u64) -> u64 {
        item / self.state().together
    }

    /// How many items from `item` on may be pickled as one.
    pub(crate) fn group_at(&self, item: u64) -> u32 {
        let together = self.state().together;
        u32::try_from(together - item % together).unwrap_or(u32::MAX)
    }

    /// How many more items may be taken from the source now.
    pub(crate) fn room(&self, workers: u64) -> u64 {
        let state = self.state();
        if state.source.is_none() || state.pulling || self.given_up() {
            return 0;
        }
        let few = 4 * workers + 4;
        if state.unbounded {
            return (few.max(1024) / self.unit).max(1) * self.unit;
        }
        let most = match (self.most, state.bytes) {
            (Some(most), _) => most,
            (None, 0.0) => few,
            // Small items may have large results.
            (None, bytes) => {
                ((AHEAD_BYTES / bytes) as u64).clamp(few.min(2 * workers + 2), if state.measured { 8192 } else { few })
            }
        };
        let ahead = state.total - state.consumed;
        let most = most.max(self.unit);
        // Whole chunks, and not one item at a time.
        let room = most.saturating_sub(ahead) / self.unit * self.unit;
        if room * 4 >= most || ahead <= few { room } else { 0 }
    }

    /// Lets go of all that a job holds, of which nothing will be stored, taken or published any more; what is to be dropped when nothing
    /// is locked, and the source if that is to be closed now: whoever takes items from it just then will close it.
    pub(crate) fn let_go(&self, closes_source: bool) -> (impl Sized, Option<Py<PyAny>>) {
        self.is_given_up.store(true, Ordering::Release);
        let mut state = self.state();
        state.unread = true;
        let source = if state.pulling { None } else { state.source.take() };
        state.closes_source = closes_source;
        let none = Results::Unordered { answers: VecDeque::new() };
        let held = (
            std::mem::replace(&mut state.results, none),
            std::mem::take(&mut state.items),
            state.row.take(),
            state.function.take(),
            state.callbacks.take(),
        );
        match closes_source {
            true => ((held, None), source),
            false => ((held, source), None),
        }
    }

    /// Nobody can read the outcomes of a lazy job any more.
    pub(crate) fn abandon_reader(&self) {
        let answers = {
            let mut state = self.state();
            state.unread = true;
            let taken = match &mut state.results {
                Results::Ordered { answers, .. } => std::mem::take(answers).into_values().collect::<Vec<_>>(),
                Results::Unordered { answers } => std::mem::take(answers).into_iter().collect(),
                Results::One { .. } | Results::All { .. } => Vec::new(),
            };
            state.consumed += taken.len() as u64;
            taken
        };
        drop(answers);
    }

    /// The next outcome of a lazy job; none when it is not there yet.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.state();
        let state = &mut *state;
        state.asked = true;
        if self.given_up() {
            return Next::End;
        }
        let answer = match &mut state.results {
            Results::Ordered { next, answers } => {
                let answer = answers.remove(next);
                *next += u64::from(answer.is_some());
                answer
            }
            Results::Unordered { answers } => answers.pop_front(),
            Results::One { .. } | Results::All { .. } => None,
        };
        match answer {
            Some(answer) => {
                state.consumed += 1;
                Next::Answer(answer)
            }
            None if state.source.is_none() && state.consumed == state.total => Next::End,
            None => Next::Later,
        }
    }

    /// What a job that is done gives: its value, or its failure.
    pub(crate) fn value(&self, py: Python<'_>) -> Answer {
        let state = self.state();
        match &state.results {
            Results::One { answer: Some(Ok(value)) } => Ok(value.clone_ref(py)),
            Results::One { answer: Some(Err(failure)) } | Results::All { failure: Some((_, failure)), .. } => {
                Err(failure.clone_ref(py))
            }
            Results::All { answers, failure: None, .. } => Ok(answers.clone_ref(py).into_any()),
            _ => Ok(py.None()),
        }
    }

    /// Shows the garbage collector what a job that is done holds.
    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        if let Some((callback, error_callback)) = &state.callbacks {
            visit.call(callback)?;
            visit.call(error_callback)?;
        }
        state.watchers.iter().try_for_each(|watcher| visit.call(watcher))?;
        let each = |answer: &Answer| match answer {
            Ok(object) | Err(object) => visit.call(object),
        };
        match &state.results {
            Results::One { answer } => answer.iter().try_for_each(each),
            Results::All { answers, failure, .. } => {
                visit.call(answers)?;
                failure.iter().try_for_each(|(_, failure)| visit.call(failure))
            }
            Results::Ordered { answers, .. } => answers.values().try_for_each(each),
            Results::Unordered { answers } => answers.iter().try_for_each(each),
        }
    }

    /// Lets go of what a job that is done holds.
    pub(crate) fn clear(&self) {
        let empty = Results::Unordered { answers: VecDeque::new() };
        let held = {
            let mut state = self.state();
            let results = std::mem::replace(&mut state.results, empty);
            (results, state.callbacks.take(), std::mem::take(&mut state.watchers))
        };
        drop(held);
    }

    /// Whether a job that is done has no failure.
    pub(crate) fn is_successful(&self) -> bool {
        let failed = |results: &Results| match results {
            Results::One { answer } => matches!(answer, Some(Err(_))),
            Results::All { failure, .. } => failure.is_some(),
            Results::Ordered { .. } | Results::Unordered { .. } => false,
        };
        !failed(&self.state().results)
    }
}

/// What a job held until its end.
pub(crate) struct Ended {
    /// How often it was counted among those that nobody may wait for.
    pub expecting: isize,
    pub has_callbacks: bool,
    _items: VecDeque<Option<Py<PyAny>>>,
    _row: Option<Row>,
    _function: Option<Py<PyAny>>,
}

impl State {
    /// Whether the item is known and has no outcome.
    fn lacks(&self, item: u64) -> bool {
        if self.ended {
            return false;
        }
        match &self.results {
            Results::All { done, .. } => !are_any_done(done, item, 1),
            _ => item.checked_sub(self.base).is_some_and(|at| self.items.get(at as usize).is_some_and(Option::is_some)),
        }
    }

    fn fail_rest(&mut self, why: Py<PyAny>, by_time: bool, trash: &mut Vec<Py<PyAny>>) {
        let unread = self.unread;
        match &mut self.results {
            Results::One { answer } => *answer = Some(Err(why)),
            Results::All { done, failure, .. } => {
                let missing = (0..self.total).find(|item| !are_any_done(done, *item, 1)).unwrap_or(0);
                mark_done(done, 0, self.total);
                match failure {
                    Some((first, _)) if *first < missing || by_time => trash.push(why),
                    _ => trash.extend(failure.replace((missing, why)).map(|(_, later)| later)),
                }
            }
            _ if unread => trash.push(why),
            Results::Ordered { next, answers } => {
                let mut last = *next;
                while answers.contains_key(&last) {
                    last += 1;
                }
                trash.extend(answers.split_off(&last).into_values().map(|answer| answer.unwrap_or_else(|e| e)));
                answers.insert(last, Err(why));
                self.total = last + 1;
            }
            Results::Unordered { answers } => {
                answers.push_back(Err(why));
                self.total = self.consumed + answers.len() as u64;
            }
        }
        self.finished = self.total;
        if unread {
            self.consumed = self.total;
        }
    }
}

fn are_any_done(done: &[u64], first: u64, count: u64) -> bool {
    let (mut item, end) = (first, first + count);
    while item < end {
        let bit = item % 64;
        let bits = (64 - bit).min(end - item);
        if done[item as usize / 64] & ((u64::MAX >> (64 - bits)) << bit) != 0 {
            return true;
        }
        item += bits;
    }
    false
}

fn mark_done(done: &mut [u64], first: u64, count: u64) {
    let (mut item, end) = (first, first + count);
    while item < end {
        let bit = item % 64;
        let bits = (64 - bit).min(end - item);
        done[item as usize / 64] |= (u64::MAX >> (64 - bits)) << bit;
        item += bits;
    }
}

/// What a lazy job has for its reader.
pub(crate) enum Next {
    /// An outcome.
    Answer(Answer),
    /// Nothing yet.
    Later,
    /// Nothing any more.
    End,
}
