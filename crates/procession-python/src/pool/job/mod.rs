//! A job: what one call of a Pool method created, its items and their outcomes.
//! Its state keeps to one rule, whoever changes it: a job ends once.

mod collector;
mod items;
mod options;
mod read;
mod state;
mod store;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use procession::pool::{Entry, JobId};
use procession::shared_memory::Block;
use pyo3::prelude::*;

use crate::in_common::common::Common;
use crate::in_common::received::Received;
use crate::in_common::repeats::Repeats;
use crate::values::Mode;

pub(crate) use self::options::{Options, Wishes};
pub(crate) use self::read::NextOutcome;
pub(crate) use self::state::{Answer, Ended, Results, State};

/// An item for messages: its function, the method that made the job, its place in that, the item itself.
pub(crate) type Described = (Option<Py<PyAny>>, &'static str, u64, Option<Py<PyAny>>);

/// A function that a job calls, pickled once.
#[derive(Default)]
pub(crate) struct Function {
    /// Names it among those of its pool.
    pub id: u64,
    /// How many items call one rebuilt function, and see what the calls before have left in it; 0: all items.
    pub share: u64,
    /// The results of so many items, from a multiple of that on, may have objects in common; 0 or 1: none.
    pub sharing: u64,
    /// Its pickle, unless that lies in a block.
    pub pickled: Arc<[u8]>,
    /// Its name, for who looks.
    pub name: Arc<str>,
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
}
