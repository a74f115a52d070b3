//! `CurrentTask`: the task that runs here, as it sees itself.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use super::callee::FOREIGN;
use super::seed::Seed;
use crate::function;

thread_local! {
    static HERE: Here = const {
        Here { crossing: Cell::new(FOREIGN), index: Cell::new(None), begun: Cell::new(0), seed: RefCell::new(Vec::new()) }
    };
}

/// What a worker's thread knows of the record that it works off.
struct Here {
    crossing: Cell<u64>,
    index: Cell<Option<u64>>,
    /// How many tasks have begun.
    begun: Cell<u64>,
    /// The bytes of the seed that the tasks have children of; none without.
    seed: RefCell<Vec<u8>>,
}

/// A record of this function begins, whose tasks have children of a seed.
pub(super) fn begin(crossing: u64, seed: &[u8]) {
    HERE.with(|here| {
        here.crossing.set(crossing);
        let mut known = here.seed.borrow_mut();
        if *known != seed {
            known.clear();
            known.extend_from_slice(seed);
        }
    });
}

/// The item at `index` runs now.
pub(super) fn runs(index: u64) {
    HERE.with(|here| {
        here.index.set(Some(index));
        here.begun.set(here.begun.get() + 1);
    });
}

/// No item runs.
pub(super) fn rests() {
    HERE.with(|here| here.index.set(None));
}

/// How many tasks have begun in this thread, with the one that runs; none where none does.
pub(super) fn begun() -> Option<u64> {
    HERE.with(|here| here.index.get().map(|_| here.begun.get()))
}

/// The task that runs in this thread; a quiet one where none does, so that its function also runs without a pool.
///
/// ```
/// use procession::{Pool, current_task};
///
/// fn place(_: char) -> Option<u64> { current_task().index() }
///
/// # fn main() -> procession::Result<()> {
/// assert_eq!(Pool::new(2)?.map(place, ['a', 'b', 'c'])?, [Some(0), Some(1), Some(2)]);
/// assert_eq!(place('a'), None);
/// # Ok(()) }
/// ```
pub fn current_task() -> CurrentTask {
    HERE.with(|here| {
        let Some(index) = here.index.get() else {
            return CurrentTask { function: "", index: None, seed: OnceLock::new() };
        };
        let seed = Seed::decode(&here.seed.borrow()).map(|seed| seed.child(index));
        let function = function::arrived(here.crossing.get()).map_or("", function::Crossing::name);
        CurrentTask { function, index: Some(index), seed: seed.map_or_else(OnceLock::new, OnceLock::from) }
    })
}

/// A task as it sees itself; from [`current_task`].
#[derive(Clone, Debug)]
pub struct CurrentTask {
    function: &'static str,
    index: Option<u64>,
    /// Made when it is first asked for, where none was given.
    seed: OnceLock<Seed>,
}

impl CurrentTask {
    /// The name of its function, as the compiler has it; empty where no task runs.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// fn me(_: u8) -> String { procession::current_task().function().to_owned() }
    /// assert!(procession::Pool::new(1)?.map(me, [0])?[0].ends_with("::me"));
    /// # Ok(()) }
    /// ```
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// Its place in its map, from 0; that of a task by `submit` is 0. None where no task runs: outside of a pool's workers, and
    /// in threads that a task has started.
    ///
    /// ```
    /// assert_eq!(procession::current_task().index(), None);
    /// ```
    pub fn index(&self) -> Option<u64> {
        self.index
    }

    /// What it draws its random numbers from: the child at its place of the seed that its pool or its call was given
    /// ([`Builder::seed`](crate::Builder::seed), [`Pool::seeded`](crate::Pool::seeded)). It depends on that place alone: not on
    /// how many workers there are, who of them runs it, nor how often it is tried. Without a seed, and where no task
    /// runs, it is one from the system.
    ///
    /// ```
    /// use procession::{Pool, Seed, current_task};
    ///
    /// fn throw(_: u8) -> u64 { current_task().seed().number() % 6 + 1 }
    ///
    /// # fn main() -> procession::Result<()> {
    /// let dice = Pool::new(2)?.seeded(2024).map(throw, [0; 5])?;
    /// assert_eq!(dice, Pool::new(1)?.seeded(2024).map(throw, [0; 5])?);
    /// assert_eq!(dice[3], Seed::from(2024).child(3).number() % 6 + 1);
    /// # Ok(()) }
    /// ```
    pub fn seed(&self) -> Seed {
        self.seed.get_or_init(Seed::random).clone()
    }

    /// The seed that was given.
    pub(super) fn given(&self) -> Option<&Seed> {
        self.seed.get()
    }
}
