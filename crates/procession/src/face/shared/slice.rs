//! `SharedSlice`: numbers that several processes see.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::guarded::{GUARDED_AT, Guarded, Poisoned, judged};
use super::{after, check_kind, in_time, read_file, write_file, write_place};
use crate::channel::neutral::SharedKind;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{attach, item_of, title, unread, unwritten};
use crate::shared_memory::{Number, NumberRow};
use crate::sync::Acquired;

/// A slice of numbers in memory that several processes see, and the lock that goes with it.
///
/// It travels in the argument of a process or a task by reference: nothing is copied, however long it is. The memory
/// goes with the last process that has it.
///
/// ```
/// use procession::{Pool, SharedSlice};
///
/// fn add((slice, more): (SharedSlice<u64>, u64)) {
///     for number in slice.lock().unwrap().iter_mut() {
///         *number += more;
///     }
/// }
///
/// # fn main() -> procession::Result<()> {
/// let slice = SharedSlice::from_slice(&[1u64, 2, 3])?;
/// Pool::new(2)?.map(add, (0..10).map(|_| (slice.clone(), 1)))?;
/// assert_eq!(slice.lock().unwrap()[..], [11, 12, 13]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SharedSlice<T> {
    memory: Arc<Guarded>,
    number: PhantomData<fn() -> T>,
}

impl<T: Number> SharedSlice<T> {
    /// A slice of `len` zeros.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let slice = procession::SharedSlice::<f32>::new(1000)?;
    /// assert_eq!((slice.len(), slice.lock().unwrap()[999]), (1000, 0.0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's, among them no memory.
    pub fn new(len: usize) -> Result<SharedSlice<T>> {
        if align_of::<T>() > GUARDED_AT {
            let message = format!("items aligned to {} bytes; {GUARDED_AT} are the most", align_of::<T>());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let memory = Guarded::create(len.saturating_mul(size_of::<T>()), true)?;
        Ok(SharedSlice { memory: Arc::new(memory), number: PhantomData })
    }

    /// A copy of `numbers`.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let slice = procession::SharedSlice::from_slice(&[1u16, 2])?;
    /// assert_eq!(slice.to_vec(), [1, 2]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`SharedSlice::new`].
    pub fn from_slice(numbers: &[T]) -> Result<SharedSlice<T>> {
        let slice = SharedSlice::new(numbers.len())?;
        slice.locked(None)?.1.copy_from_slice(numbers);
        Ok(slice)
    }

    /// How many numbers there are.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert_eq!(procession::SharedSlice::<f32>::new(1000)?.len(), 1000);
    /// # Ok(()) }
    /// ```
    pub fn len(&self) -> usize {
        self.memory.size() / size_of::<T>().max(1)
    }

    /// Whether there are none.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert!(procession::SharedSlice::<u8>::new(0)?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the lock, and gives the numbers for as long as the guard lives. Not to be asked twice by the same thread.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let slice = procession::SharedSlice::<u32>::new(3)?;
    /// slice.lock().unwrap()[1] = 5;
    /// assert_eq!(slice.to_vec(), [0, 5, 0]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Poisoned`] when the process that had the lock ended without giving it back.
    ///
    /// # Panics
    /// When the system refuses the wait, which it has no reason to.
    pub fn lock(&self) -> std::result::Result<SliceGuard<'_, T>, Poisoned<SliceGuard<'_, T>>> {
        let (how, guard) = self.locked(None).expect("a wait without a deadline ends with the lock");
        judged(how, guard)
    }

    /// As [`SharedSlice::lock`], but waits at most so long; none when the lock was not to be had.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let slice = procession::SharedSlice::<u8>::new(1)?;
    /// let guard = slice.lock().unwrap();
    /// assert!(slice.lock_timeout(Duration::from_millis(10)).is_none());
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`SharedSlice::lock`].
    ///
    /// # Panics
    /// As [`SharedSlice::lock`].
    pub fn lock_timeout(
        &self,
        limit: Duration,
    ) -> Option<std::result::Result<SliceGuard<'_, T>, Poisoned<SliceGuard<'_, T>>>> {
        let locked = in_time(self.locked(after(limit))).expect("the system lets a process wait");
        locked.map(|(how, guard)| judged(how, guard))
    }

    /// The numbers, copied under the lock, whatever became of its owners.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert_eq!(procession::SharedSlice::<u8>::new(2)?.to_vec(), [0, 0]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// As [`SharedSlice::lock`].
    pub fn to_vec(&self) -> Vec<T> {
        self.lock().unwrap_or_else(Poisoned::into_inner).to_vec()
    }

    fn locked(&self, until: Option<std::time::Instant>) -> Result<(Acquired, SliceGuard<'_, T>)> {
        let how = self.memory.lock(until)?;
        let row = NumberRow::new(self.memory.mapping.clone(), GUARDED_AT, self.len());
        let row = row.expect("the length was computed from the size");
        Ok((how, SliceGuard { memory: &self.memory, row }))
    }
}

impl<T> Clone for SharedSlice<T> {
    /// Another handle of the same memory.
    fn clone(&self) -> Self {
        SharedSlice { memory: self.memory.clone(), number: PhantomData }
    }
}

impl<T: Number> Serialize for SharedSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let (size, item) = (self.memory.size(), item_of::<T>());
        let Some(item) = item else { return write_file(None, &*self.memory, size_of::<T>(), size, serializer) };
        let file = attach(self.memory.as_fd()).map_err(unwritten)?;
        write_place(Some(SharedKind::Slice), item, [file.into(), 0, size as u64], serializer)
    }
}

impl<'de, T: Number> Deserialize<'de> for SharedSlice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let place = read_file(deserializer)?;
        let item = item_of::<T>();
        check_kind(place.kind.map_or(0, |kind| kind as u8), item.map(|_| SharedKind::Slice))?;
        if let Some(expected) = item
            && place.item != expected
        {
            let (found, expected) = (title(place.item), title(expected));
            return Err(unread(format_args!("a shared slice of {found} where one of {expected} is expected")));
        }
        let memory = Guarded::open(place.file).map_err(unread)?;
        let other = item.is_none() && place.at != size_of::<T>();
        if other || align_of::<T>() > GUARDED_AT || place.size != memory.size() {
            return Err(unread("a shared slice of other numbers"));
        }
        Ok(SharedSlice { memory: Arc::new(memory), number: PhantomData })
    }
}

/// The numbers of a [`SharedSlice`], for whoever has its lock; dropping it gives the lock back.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let numbers = procession::SharedSlice::from_slice(&[3, 1, 2])?;
/// let mut guard = numbers.lock().unwrap();
/// guard.sort();
/// assert_eq!(guard[..], [1, 2, 3]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SliceGuard<'a, T: Number> {
    memory: &'a Guarded,
    row: NumberRow<T>,
}

impl<T: Number> Deref for SliceGuard<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.row.get()
    }
}

impl<T: Number> DerefMut for SliceGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.row.get_mut()
    }
}

impl<T: Number> Drop for SliceGuard<'_, T> {
    fn drop(&mut self) {
        self.memory.unlock();
    }
}
