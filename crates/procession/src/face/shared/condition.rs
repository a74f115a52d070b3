//! `Condition`: waiting for what somebody else changes under a lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::lock::{Lock, LockGuard};
use super::{Poisoned, after, in_time, patiently, read_cell, write_cell};
use crate::error::Result;
use crate::sync::{Cell, Waiters};

/// So many waiters have a place of their own; more wait in a crowd, and may wake without a reason.
const PLACES: usize = 64;

/// A place to wait until somebody has changed the value behind a [`Lock`].
///
/// Whoever waits gives the lock up meanwhile. All who use a condition use it with the same lock.
///
/// ```
/// use procession::{Condition, Lock, Process};
///
/// fn open((door, changed): (Lock<bool>, Condition)) {
///     let mut guard = door.lock().unwrap();
///     *guard = true;
///     changed.notify_all(&guard);
/// }
///
/// # fn main() -> procession::Result<()> {
/// let (door, changed) = (Lock::new(false)?, Condition::new()?);
/// let process = Process::spawn(open, (door.clone(), changed.clone()))?;
/// let guard = changed.wait_while(door.lock().unwrap(), |is_open| !*is_open);
/// assert!(*guard);
/// drop(guard);
/// process.join()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Condition {
    waiters: Arc<Waiters>,
}

impl Condition {
    /// A condition that nobody waits for.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let changed = procession::Condition::new()?;
    /// let lock = procession::Lock::new(0)?;
    /// changed.notify_all(&lock.lock().unwrap()); // nobody waits
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Condition> {
        let cell = Cell::create(Waiters::bytes(PLACES))?;
        Ok(Condition { waiters: Arc::new(Waiters::create(cell, 0)) })
    }

    /// Gives the lock up, waits to be notified, and takes the lock again. It may return without a notification:
    /// [`Condition::wait_while`] looks again.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Condition, Lock};
    ///
    /// let (door, changed) = (Lock::new(false)?, Condition::new()?);
    /// let (same_door, same_changed) = (door.clone(), changed.clone());
    /// let opener = std::thread::spawn(move || {
    ///     let mut is_open = same_door.lock().unwrap();
    ///     *is_open = true;
    ///     same_changed.notify_all(&is_open);
    /// });
    /// let mut is_open = door.lock().unwrap();
    /// while !*is_open {
    ///     is_open = changed.wait(is_open);
    /// }
    /// drop(is_open);
    /// opener.join().unwrap();
    /// # Ok(()) }
    /// ```
    pub fn wait<'a, T: Serialize + DeserializeOwned + 'static>(&self, guard: LockGuard<'a, T>) -> LockGuard<'a, T> {
        self.wait_until(guard, None).0
    }

    /// As [`Condition::wait`], at most so long; says whether a notification came.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// use procession::{Condition, Lock};
    ///
    /// let (lock, changed) = (Lock::new(0)?, Condition::new()?);
    /// let (guard, notified) = changed.wait_timeout(lock.lock().unwrap(), Duration::from_millis(10));
    /// assert!(!notified && *guard == 0);
    /// # Ok(()) }
    /// ```
    pub fn wait_timeout<'a, T: Serialize + DeserializeOwned + 'static>(
        &self,
        guard: LockGuard<'a, T>,
        limit: Duration,
    ) -> (LockGuard<'a, T>, bool) {
        self.wait_until(guard, after(limit))
    }

    /// Waits as long as the value behind the lock is such that `holds`.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Condition, Lock};
    ///
    /// let (lock, changed) = (Lock::new(1)?, Condition::new()?);
    /// let guard = changed.wait_while(lock.lock().unwrap(), |apples| *apples == 0);
    /// assert_eq!(*guard, 1);
    /// # Ok(()) }
    /// ```
    pub fn wait_while<'a, T: Serialize + DeserializeOwned + 'static>(
        &self,
        mut guard: LockGuard<'a, T>,
        mut holds: impl FnMut(&T) -> bool,
    ) -> LockGuard<'a, T> {
        while holds(&guard) {
            guard = self.wait(guard);
        }
        guard
    }

    fn wait_until<'a, T: Serialize + DeserializeOwned + 'static>(
        &self,
        guard: LockGuard<'a, T>,
        until: Option<Instant>,
    ) -> (LockGuard<'a, T>, bool) {
        let lock: &Lock<T> = guard.lock;
        let place = self.waiters.enter();
        drop(guard);
        let answer = in_time(patiently(|| self.waiters.wait(&place, until)));
        let came = matches!(answer, Ok(Some(_))) || self.waiters.leave(&place).is_some();
        // The owner before may have died: what is waited for is looked at again anyway.
        (lock.lock().unwrap_or_else(Poisoned::into_inner), came)
    }

    /// Wakes one who waits; the guard shows that the lock is held.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Condition, Lock};
    ///
    /// let (lock, changed) = (Lock::new(0)?, Condition::new()?);
    /// let mut guard = lock.lock().unwrap();
    /// *guard += 1;
    /// changed.notify_one(&guard);
    /// # Ok(()) }
    /// ```
    pub fn notify_one<T: Serialize + DeserializeOwned + 'static>(&self, _: &LockGuard<'_, T>) {
        let _ = self.waiters.wake(1, Waiters::WOKEN);
    }

    /// Wakes all who wait.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let (count, changed) = (procession::Lock::new(0)?, procession::Condition::new()?);
    /// let mut guard = count.lock().unwrap();
    /// *guard += 1;
    /// changed.notify_all(&guard);
    /// # Ok(()) }
    /// ```
    pub fn notify_all<T: Serialize + DeserializeOwned + 'static>(&self, _: &LockGuard<'_, T>) {
        let _ = self.waiters.wake(usize::MAX, Waiters::WOKEN);
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write_cell(None, self.waiters.cell(), serializer)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let cell = read_cell(None, deserializer, Waiters::bytes(1))?;
        Ok(Condition { waiters: Arc::new(Waiters::open(cell, 0)) })
    }
}
