//! `Barrier`: a number of parties meet, then all go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{after, patiently, read_cell, write_cell};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{self, Arrival, Cell};

/// A place where a number of processes wait until all have come. A party that dies while it waits is not counted.
///
/// ```
/// use procession::{Barrier, Process};
///
/// fn meet(barrier: Barrier) -> bool {
///     barrier.wait().is_ok()
/// }
///
/// # fn main() -> procession::Result<()> {
/// let barrier = Barrier::new(3)?;
/// let others = [Process::spawn(meet, barrier.clone())?, Process::spawn(meet, barrier.clone())?];
/// barrier.wait()?;
/// for other in others {
///     assert!(other.join()?);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Barrier {
    barrier: Arc<sync::Barrier>,
}

impl Barrier {
    /// A barrier for so many parties.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let barrier = procession::Barrier::new(1)?;
    /// barrier.wait()?; // alone, so at once
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for none, or more than Linux can have threads, 4,194,304; the system's.
    pub fn new(parties: u32) -> Result<Barrier> {
        let most = sync::Barrier::MOST;
        if parties == 0 || parties > most {
            return Err(Error::new(ErrorKind::InvalidInput, format!("a barrier has 1 to {most} parties")));
        }
        let cell = Cell::create(sync::Barrier::bytes(parties as usize))?;
        Ok(Barrier { barrier: Arc::new(sync::Barrier::create(cell, parties)) })
    }

    /// Waits for the others; says whether this party was the last to come.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let barrier = procession::Barrier::new(1)?;
    /// assert!(barrier.wait()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Closed` when the barrier is broken.
    pub fn wait(&self) -> Result<bool> {
        self.wait_until(None)
    }

    /// Waits at most so long for the others; a party that gives up breaks the barrier for all.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let barrier = procession::Barrier::new(2)?;
    /// assert!(barrier.wait_timeout(Duration::from_millis(10)).is_err());
    /// assert!(barrier.is_broken());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `TimedOut`, and `Closed` for the others and from then on.
    pub fn wait_timeout(&self, limit: Duration) -> Result<bool> {
        self.wait_until(after(limit))
    }

    fn wait_until(&self, until: Option<Instant>) -> Result<bool> {
        let place = match patiently(|| self.barrier.arrive(until))? {
            Arrival::Last => {
                self.barrier.open();
                return Ok(true);
            }
            Arrival::Waits(_, place) => place,
        };
        match patiently(|| self.barrier.wait(&place, until)) {
            Err(error) if error.kind() == ErrorKind::TimedOut => match self.barrier.leave(&place) {
                Some(answer) => answer.map(|()| false),
                None => {
                    patiently(|| self.barrier.send_away(true))?;
                    Err(error)
                }
            },
            answer => answer.map(|()| false),
        }
    }

    /// How many wait just now.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert_eq!(procession::Barrier::new(2)?.waiting(), 0);
    /// # Ok(()) }
    /// ```
    pub fn waiting(&self) -> usize {
        self.barrier.waiting()
    }

    /// Whether it is broken.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let barrier = procession::Barrier::new(2)?;
    /// assert!(!barrier.is_broken());
    /// # Ok(()) }
    /// ```
    pub fn is_broken(&self) -> bool {
        self.barrier.is_broken()
    }
}

impl Serialize for Barrier {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write_cell(None, self.barrier.cell(), serializer)
    }
}

impl<'de> Deserialize<'de> for Barrier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let cell = read_cell(None, deserializer, sync::Barrier::bytes(1))?;
        Ok(Barrier { barrier: Arc::new(sync::Barrier::open_cell(cell)) })
    }
}
