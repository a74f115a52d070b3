//! `Lock`: one process at a time, and the value that it guards.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::guarded::{GUARDED_AT, Guarded, Poisoned, judged};
use super::{after, check_kind, in_time, kept, read_file, write_file};
use crate::channel::neutral::SharedKind;
use crate::error::Result;
use crate::function::unread;
use crate::sync::Acquired;

/// A lock between processes, and the value that it guards.
///
/// The value is turned into bytes when it was changed and back when the lock is taken, so it is meant to be small; for long rows
/// of numbers there is [`SharedSlice`](crate::SharedSlice). `Lock<()>` guards something that is elsewhere, at no cost.
///
/// ```
/// use std::collections::BTreeMap;
/// use procession::{Lock, Pool};
///
/// type Counts = BTreeMap<String, u32>;
///
/// fn count((counts, word): (Lock<Counts>, String)) {
///     *counts.lock().unwrap().entry(word).or_default() += 1;
/// }
///
/// # fn main() -> procession::Result<()> {
/// let counts = Lock::new(Counts::new())?;
/// let words = ["to", "be", "or", "not", "to", "be"];
/// Pool::new(2)?.map(count, words.map(|word| (counts.clone(), word.to_owned())))?;
/// assert_eq!(counts.lock().unwrap()["to"], 2);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Lock<T> {
    memory: Arc<Guarded>,
    value: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned + 'static> Lock<T> {
    /// A free lock around `value`.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let words = procession::Lock::new(vec!["one".to_string()])?;
    /// words.lock().unwrap().push("two".to_string());
    /// assert_eq!(words.lock().unwrap().len(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's; `InvalidInput` for a value that cannot be turned into bytes, or into too many.
    pub fn new(value: T) -> Result<Lock<T>> {
        let memory = kept::memory_for::<T>(0)?;
        kept::write(&memory, 0, &value)?;
        Ok(Lock { memory: Arc::new(memory), value: PhantomData })
    }

    /// Waits for the lock, and gives the value for as long as the guard lives. Not to be asked twice by the same thread.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Lock, Pool};
    ///
    /// fn count(total: Lock<u64>) {
    ///     *total.lock().unwrap() += 1;
    /// }
    ///
    /// let total = Lock::new(0)?;
    /// Pool::new(2)?.map(count, (0..10).map(|_| total.clone()))?;
    /// assert_eq!(*total.lock().unwrap(), 10);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Poisoned`] when the process that had the lock ended without giving it back; the value is then the last that was
    /// given back.
    ///
    /// # Panics
    /// When the value's bytes are none: another program wrote into the memory.
    #[inline]
    pub fn lock(&self) -> std::result::Result<LockGuard<'_, T>, Poisoned<LockGuard<'_, T>>> {
        let how = self.memory.lock(None).expect("a wait without a deadline ends with the lock");
        self.guard(how)
    }

    /// As [`Lock::lock`], but waits at most so long; none when the lock was not to be had.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let lock = procession::Lock::new(1)?;
    /// let guard = lock.lock().unwrap();
    /// assert!(lock.lock_timeout(Duration::from_millis(10)).is_none());
    /// drop(guard);
    /// assert!(lock.lock_timeout(Duration::from_millis(10)).is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Lock::lock`].
    ///
    /// # Panics
    /// As [`Lock::lock`].
    pub fn lock_timeout(
        &self,
        limit: Duration,
    ) -> Option<std::result::Result<LockGuard<'_, T>, Poisoned<LockGuard<'_, T>>>> {
        let how = in_time(self.memory.lock(after(limit))).expect("the system lets a process wait");
        how.map(|how| self.guard(how))
    }

    /// As [`Lock::lock`], but does not wait.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let lock = procession::Lock::new(1)?;
    /// *lock.try_lock().unwrap() += 1;
    /// assert_eq!(*lock.lock().unwrap(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// As [`Lock::lock`].
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        if !self.memory.try_lock() {
            return None;
        }
        self.guard(Acquired::Free).ok()
    }

    #[inline]
    fn guard(&self, how: Acquired) -> std::result::Result<LockGuard<'_, T>, Poisoned<LockGuard<'_, T>>> {
        match kept::read(&self.memory, 0) {
            Ok(value) => judged(how, LockGuard { lock: self, value, is_changed: false }),
            Err(error) => {
                self.memory.unlock();
                panic!("the value behind a lock cannot be rebuilt: {error}");
            }
        }
    }
}

impl<T> Clone for Lock<T> {
    /// Another handle of the same lock.
    fn clone(&self) -> Self {
        Lock { memory: self.memory.clone(), value: PhantomData }
    }
}

/// Whether a lock has no value, so that programs of another language can have it.
const fn is_bare<T>() -> bool {
    size_of::<T>() == 0
}

impl<T> Serialize for Lock<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if is_bare::<T>() {
            return write_file(Some(SharedKind::Lock), &*self.memory, self.memory.base, GUARDED_AT, serializer);
        }
        write_file(None, &*self.memory, 0, self.memory.size(), serializer)
    }
}

impl<'de, T> Deserialize<'de> for Lock<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let place = read_file(deserializer)?;
        let kind = is_bare::<T>().then_some(SharedKind::Lock);
        check_kind(place.kind.map_or(0, |kind| kind as u8), kind)?;
        let memory = if is_bare::<T>() { Guarded::open_at(place.file, place.at) } else { Guarded::open(place.file) };
        Ok(Lock { memory: Arc::new(memory.map_err(unread)?), value: PhantomData })
    }
}

/// The value of a [`Lock`], for whoever has it; dropping it gives the lock back, and the value if it was changed.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let lock = procession::Lock::new(vec![1, 2])?;
/// let mut guard = lock.lock().unwrap();
/// guard.push(3);
/// drop(guard);
/// assert_eq!(*lock.lock().unwrap(), [1, 2, 3]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LockGuard<'a, T: Serialize + DeserializeOwned + 'static> {
    pub(super) lock: &'a Lock<T>,
    value: T,
    is_changed: bool,
}

impl<T: Serialize + DeserializeOwned + 'static> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize + DeserializeOwned + 'static> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        &mut self.value
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Drop for LockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let written = if self.is_changed { kept::write(&self.lock.memory, 0, &self.value) } else { Ok(()) };
        self.lock.memory.unlock();
        if let Err(error) = written
            && !std::thread::panicking()
        {
            panic!("the value behind a lock cannot be kept: {error}");
        }
    }
}
