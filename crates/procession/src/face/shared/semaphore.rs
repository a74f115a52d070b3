//! `Semaphore`: a number of permits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{after, in_time, patiently, read_cell, write_cell};
use crate::channel::neutral::SharedKind;
use crate::error::Result;
use crate::sync::{self, Cell};

/// Permits that processes take and give back: so many at a time.
///
/// ```
/// use procession::{Pool, Semaphore};
///
/// fn guarded(two_at_a_time: Semaphore) {
///     let _permit = two_at_a_time.acquire();
/// }
///
/// # fn main() -> procession::Result<()> {
/// let semaphore = Semaphore::new(2)?;
/// Pool::new(3)?.map(guarded, (0..9).map(|_| semaphore.clone()))?;
/// assert_eq!(semaphore.permits(), 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    semaphore: Arc<sync::Semaphore>,
}

impl Semaphore {
    /// A semaphore with so many permits.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert_eq!(procession::Semaphore::new(3)?.permits(), 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for more than 2^31 - 1; the system's.
    pub fn new(permits: u32) -> Result<Semaphore> {
        let cell = Cell::create(sync::Semaphore::BYTES)?;
        let semaphore = sync::Semaphore::create(cell, permits, sync::Semaphore::MOST)?;
        Ok(Semaphore { semaphore: Arc::new(semaphore) })
    }

    /// Waits for a permit; dropping it gives it back.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let semaphore = procession::Semaphore::new(1)?;
    /// let permit = semaphore.acquire();
    /// assert_eq!(semaphore.permits(), 0);
    /// drop(permit);
    /// assert_eq!(semaphore.permits(), 1);
    /// # Ok(()) }
    /// ```
    pub fn acquire(&self) -> Permit<'_> {
        let _ = self.acquire_until(None);
        Permit { semaphore: self }
    }

    /// Waits at most so long for a permit.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let permits = procession::Semaphore::new(1)?;
    /// let permit = permits.acquire();
    /// assert!(permits.acquire_timeout(Duration::from_millis(10)).is_none());
    /// # drop(permit);
    /// # Ok(()) }
    /// ```
    pub fn acquire_timeout(&self, limit: Duration) -> Option<Permit<'_>> {
        let taken = in_time(self.acquire_until(after(limit)));
        matches!(taken, Ok(Some(()))).then(|| Permit { semaphore: self })
    }

    /// A permit, if one is left.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let permits = procession::Semaphore::new(1)?;
    /// let permit = permits.try_acquire().unwrap();
    /// assert!(permits.try_acquire().is_none());
    /// drop(permit);
    /// assert_eq!(permits.permits(), 1);
    /// # Ok(()) }
    /// ```
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.semaphore.try_acquire().then(|| Permit { semaphore: self })
    }

    fn acquire_until(&self, until: Option<Instant>) -> Result<()> {
        patiently(|| self.semaphore.acquire(until))
    }

    /// Adds a permit, for whoever waits.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let semaphore = procession::Semaphore::new(0)?;
    /// semaphore.release()?;
    /// drop(semaphore.acquire());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` when there are as many as may be.
    pub fn release(&self) -> Result<()> {
        self.semaphore.release()
    }

    /// How many permits are left just now.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert_eq!(procession::Semaphore::new(2)?.permits(), 2);
    /// # Ok(()) }
    /// ```
    pub fn permits(&self) -> u32 {
        self.semaphore.permits()
    }
}

impl Serialize for Semaphore {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write_cell(Some(SharedKind::Semaphore), self.semaphore.cell(), serializer)
    }
}

impl<'de> Deserialize<'de> for Semaphore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let cell = read_cell(Some(SharedKind::Semaphore), deserializer, sync::Semaphore::BYTES)?;
        Ok(Semaphore { semaphore: Arc::new(sync::Semaphore::open(cell)) })
    }
}

/// A permit of a [`Semaphore`], given back when it is dropped.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let semaphore = procession::Semaphore::new(1)?;
/// let permit = semaphore.acquire();
/// assert!(semaphore.try_acquire().is_none());
/// drop(permit);
/// assert!(semaphore.try_acquire().is_some());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a permit that is not kept is given back at once"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Keeps the permit from coming back: somebody else calls [`Semaphore::release`] for it.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let semaphore = procession::Semaphore::new(1)?;
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.permits(), 0);
    /// semaphore.release()?;
    /// # Ok(()) }
    /// ```
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let _ = self.semaphore.release();
    }
}
