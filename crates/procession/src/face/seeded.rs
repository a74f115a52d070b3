//! `Seeded`: a pool whose calls have a seed.

use std::marker::PhantomData;
use std::ops::Deref;

use super::builder::Builder;
use super::pool::Pool;
use super::python::PythonPool;
use super::seed::Seed;

/// A [`Pool`] or [`PythonPool`] whose calls each have the same seed; from [`Pool::seeded`]. It has all methods of the pool.
///
/// ```
/// use procession::{Pool, current_task};
///
/// # fn main() -> procession::Result<()> {
/// let pool = Pool::new(2)?;
/// let seeded = pool.seeded(7);
/// let draw = |_: u8| current_task().seed().number();
/// let mut drawn = seeded.imap(draw, [0; 3]);
/// let first = drawn.next().unwrap()?;
/// assert_eq!(first, seeded.submit(draw, 0).wait()?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Seeded<'p, P = Pool> {
    pool: P,
    whole: PhantomData<&'p P>,
}

impl<P> Deref for Seeded<'_, P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.pool
    }
}

impl Pool {
    /// The pool, with a seed for each call: the task at place *i* of a map has the child *i* of it as
    /// [`current_task().seed()`](crate::CurrentTask::seed). Two calls with the same seed draw the same numbers.
    ///
    /// In Python it is `pool.map(f, items, seed=2024)`, and the seeds have the same words there.
    ///
    /// ```
    /// use procession::{Pool, current_task};
    ///
    /// # fn main() -> procession::Result<()> {
    /// let (one, three) = (Pool::new(1)?, Pool::new(3)?);
    /// let draw = |_: u8| current_task().seed().number();
    /// assert_eq!(one.seeded(2024).map(draw, [0; 20])?, three.seeded(2024).map(draw, [0; 20])?);
    /// # Ok(()) }
    /// ```
    pub fn seeded(&self, seed: impl Into<Seed>) -> Seeded<'_> {
        Seeded { pool: self.view(seed.into()), whole: PhantomData }
    }
}

impl PythonPool {
    /// As [`Pool::seeded`]: tasks find what they draw from in `procession.current_task()`, as `rng` and `random`, seeded as those of
    /// Python's own pools are.
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// // In dice.py: def roll(_): return int(current_task().rng.integers(1, 7))
    /// let pool = procession::Pool::builder().workers(2).python("dice:roll").build()?;
    /// let rolled: Vec<u8> = pool.seeded(2024).map([(), ()])?;
    /// let again: Vec<u8> = pool.seeded(2024).map([(), ()])?;
    /// assert_eq!(rolled, again);
    /// # Ok(()) }
    /// ```
    pub fn seeded(&self, seed: impl Into<Seed>) -> Seeded<'_, PythonPool> {
        Seeded { pool: self.view(seed.into()), whole: PhantomData }
    }
}

impl Builder {
    /// A seed for all calls of the pool: the first call has its first child, the second the next one, and so on, in the order in
    /// which they are made; and each task of a call has the child of that at its place, as
    /// [`current_task().seed()`](crate::CurrentTask::seed). [`Pool::seeded`] gives a call one of its own.
    ///
    /// ```
    /// use procession::{Pool, Seed, current_task};
    ///
    /// # fn main() -> procession::Result<()> {
    /// let pool = Pool::builder().workers(2).seed(2024).build()?;
    /// let draw = |_: u8| current_task().seed().number();
    /// assert_eq!(pool.map(draw, [0, 0])?[1], Seed::from(2024).child(0).child(1).number());
    /// assert_eq!(pool.map(draw, [0, 0])?[1], Seed::from(2024).child(1).child(1).number());
    /// # Ok(()) }
    /// ```
    pub fn seed(mut self, seed: impl Into<Seed>) -> Builder {
        self.terms.seed = Some(seed.into());
        self
    }
}
