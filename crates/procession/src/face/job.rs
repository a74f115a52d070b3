//! A job of a pool: its encoded items, and its answers until somebody takes them. Bytes only; types come in above.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use super::error::TaskError;
use crate::function::{Form, Part};
use crate::pool::{Entry, Grant};
use crate::shared_memory::{Block, View};

/// The bytes of a result that need no memory of their own.
const SMALL_BYTES: usize = 22;

/// A function as the workers of a pool know it.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// What leads every record.
    pub preamble: Vec<u8>,
    /// Where its context is kept.
    pub block: Option<Block>,
    /// The descriptors of its context.
    pub files: Vec<u64>,
    /// Its name, and what names it among those of this program.
    pub title: &'static str,
    /// In which form arguments and results cross.
    pub form: Form,
    pub crossing: u64,
}

impl Function {
    /// A number that tells it from others.
    pub fn name(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.preamble.hash(&mut hasher);
        hasher.finish()
    }
}

/// What is beside the bytes of a result: descriptors, and parts in blocks of its worker, which go back with them.
#[derive(Debug)]
pub(super) struct Attached {
    pub files: Vec<Arc<OwnedFd>>,
    pub parts: Vec<Arc<View>>,
}

/// What came of an item.
#[derive(Debug)]
pub(super) enum Answer {
    Small(u8, [u8; SMALL_BYTES]),
    Large(Vec<u8>),
    /// With more beside it.
    Attached(Vec<u8>, Box<Attached>),
    Failed(Box<TaskError>),
}

impl Answer {
    pub(super) fn returned(bytes: &[u8]) -> Answer {
        if bytes.len() > SMALL_BYTES {
            return Answer::Large(bytes.to_vec());
        }
        let mut small = [0; SMALL_BYTES];
        small[..bytes.len()].copy_from_slice(bytes);
        Answer::Small(bytes.len() as u8, small)
    }

    pub(super) fn failed(error: TaskError) -> Answer {
        Answer::Failed(Box::new(error))
    }

    /// How it failed, if it did.
    pub(super) fn failure(&self) -> Option<&TaskError> {
        match self {
            Answer::Failed(error) => Some(error),
            Answer::Small(..) | Answer::Large(_) | Answer::Attached(..) => None,
        }
    }
}

/// How items are kept until they have their outcomes: a task may have to be sent again.
#[derive(Debug)]
pub(super) enum Items {
    /// All in a row; where each ends.
    Row { bytes: Vec<u8>, ends: Vec<usize> },
    /// Each by itself, gone when it is done; the first is item `base`.
    Each { base: u64, items: VecDeque<Option<Vec<u8>>> },
}

/// In which order answers are taken.
#[derive(Debug)]
pub(super) enum Answers {
    /// In the order of the items, the first of them item `base`.
    Ordered { base: u64, answers: VecDeque<Option<Answer>> },
    /// As they come.
    Unordered { answers: VecDeque<(u64, Answer)> },
}

/// A job.
#[derive(Debug)]
pub(super) struct Job {
    pub function: Arc<Function>,
    pub items: Items,
    pub answers: Answers,
    /// How many items there are so far, and how many have their outcome.
    pub total: u64,
    pub done: u64,
    /// Whether the first failure ends it.
    pub is_strict: bool,
    pub has_failed: bool,
    /// The descriptors of its items.
    pub files: Vec<u64>,
    /// The parts of items that have not all of them in their bytes, until their outcomes are there.
    pub parts: HashMap<u64, Vec<Part>>,
    /// How often an item was sent again.
    pub retried: HashMap<u64, u32>,
    /// Whether its tasks have a limit of time.
    pub is_timed: bool,
    /// Whether nobody drives the pool for it.
    pub is_detached: bool,
    /// Who is to be woken when it is done.
    pub waker: Option<Waker>,
    /// Whether nobody will ask for its answers.
    pub is_abandoned: bool,
    /// The method that made it.
    pub method: &'static str,
    /// Where it is shown to who looks.
    pub entry: Entry,
    /// How many items have failed.
    pub failed: u64,
}

impl Job {
    /// Whether nothing will come any more of what is known.
    pub(super) fn is_done(&self) -> bool {
        self.done == self.total || (self.is_strict && self.has_failed)
    }

    /// Whether its next answer is there, or none will come.
    pub(super) fn has_answer(&self) -> bool {
        match &self.answers {
            Answers::Ordered { answers, .. } => answers.front().is_none_or(Option::is_some),
            Answers::Unordered { answers } => !answers.is_empty() || self.is_done(),
        }
    }

    /// Notes the outcome of an item; the first one counts.
    pub(super) fn store(&mut self, item: u64, answer: Answer) {
        let failed = matches!(answer, Answer::Failed(_));
        match &mut self.answers {
            Answers::Ordered { base, answers } => {
                let place = item.checked_sub(*base).and_then(|index| answers.get_mut(index as usize));
                match place {
                    Some(place @ None) => *place = Some(answer),
                    _ => return,
                }
            }
            Answers::Unordered { answers } => answers.push_back((item, answer)),
        }
        self.done += 1;
        self.has_failed |= failed;
        self.failed += u64::from(failed);
        if !self.parts.is_empty() {
            self.parts.remove(&item);
        }
        if let Items::Each { base, items } = &mut self.items {
            if let Some(bytes) = item.checked_sub(*base).and_then(|index| items.get_mut(index as usize)) {
                *bytes = None;
            }
            while let Some(None) = items.front() {
                items.pop_front();
                *base += 1;
            }
        }
    }

    /// The items of a grant, in a row; `scratch` is used when they do not lie so. None when they are not all there.
    pub(super) fn row<'a>(&'a self, grant: &Grant, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let end = grant.first + u64::from(grant.count);
        match &self.items {
            Items::Row { bytes, ends } => {
                let start = if grant.first == 0 { 0 } else { ends[grant.first as usize - 1] };
                bytes.get(start..*ends.get(end as usize - 1)?)
            }
            Items::Each { base, items } => {
                scratch.clear();
                for item in grant.first..end {
                    scratch.extend_from_slice(items.get(item.checked_sub(*base)? as usize)?.as_ref()?);
                }
                Some(scratch)
            }
        }
    }

    /// The items without an outcome get this one.
    pub(super) fn fail_rest(&mut self, error: &TaskError) {
        match &mut self.answers {
            Answers::Ordered { answers, .. } => {
                let rest = answers.iter_mut().filter(|answer| answer.is_none());
                rest.for_each(|answer| *answer = Some(Answer::failed(error.clone())));
            }
            Answers::Unordered { answers } => {
                if let Items::Each { base, items } = &self.items {
                    let rest = items.iter().enumerate().filter(|(_, item)| item.is_some());
                    answers.extend(rest.map(|(index, _)| (base + index as u64, Answer::failed(error.clone()))));
                }
            }
        }
        if let Items::Each { base, items } = &mut self.items {
            *base += items.len() as u64;
            items.clear();
        }
        self.parts.clear();
        self.done = self.total;
        self.has_failed = true;
    }
}

/// A job of items, of which `total` are known.
pub(super) fn new_job(function: Arc<Function>, items: Items, total: u64, files: Vec<u64>) -> Job {
    let answers = (0..total).map(|_| None).collect();
    Job {
        function,
        items,
        answers: Answers::Ordered { base: 0, answers },
        total,
        done: 0,
        is_strict: false,
        has_failed: false,
        files,
        parts: HashMap::new(),
        retried: Default::default(),
        is_timed: false,
        is_detached: false,
        waker: None,
        is_abandoned: false,
        method: "map",
        entry: Entry::default(),
        failed: 0,
    }
}
