//! `RwLock`: many readers or one writer.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::guarded::{GUARDED_AT, Guarded, Poisoned, judged};
use super::{ArrivedPart, after, in_time, kept, patiently, read_file, write_file};
use crate::error::{Error, ErrorKind, Result};
use crate::function::unread;
use crate::platform::{identity, is_alive};
use crate::shared_memory::word32;
use crate::sync::Acquired;
use crate::sync::words::readers::{self, Readers};

// The head: whether a writer is at work; a word that changes when a reader leaves, and next to it how many sleep on it; a
// word for each reader, with its process.
const WRITES_AT: usize = GUARDED_AT;
const LEFT_AT: usize = GUARDED_AT + 8;
const SLEEPERS_AT: usize = GUARDED_AT + 12;
const READERS_AT: usize = GUARDED_AT + 64;
/// The most readers at a time; others wait as behind a writer.
const READERS: usize = 120;
const HEAD_BYTES: usize = 64 + 8 * READERS;

/// A lock between processes that many may hold to read, or one to write, and the value that it guards.
///
/// As a [`Lock`](crate::Lock), but those who only look do not wait for each other. Whoever waits to write keeps new readers
/// out, so a thread that reads must not ask to read again. Up to 120 read at a time. A reader that dies is no
/// longer counted; a writer that dies leaves the value as it was before, and the next who asks gets [`Poisoned`].
///
/// ```
/// use procession::{Pool, RwLock};
///
/// fn look((prices, name): (RwLock<Vec<(String, u32)>>, String)) -> Option<u32> {
///     prices.read().unwrap().iter().find(|(known, _)| *known == name).map(|(_, price)| *price)
/// }
///
/// # fn main() -> procession::Result<()> {
/// let prices = RwLock::new(vec![("tea".to_owned(), 3)])?;
/// prices.write().unwrap().push(("milk".to_owned(), 1));
/// let found = Pool::new(2)?.map(look, ["milk", "salt"].map(|name| (prices.clone(), name.to_owned())))?;
/// assert_eq!(found, [Some(1), None]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RwLock<T> {
    memory: Arc<Guarded>,
    value: PhantomData<fn() -> T>,
}

type Judged<G> = std::result::Result<G, Poisoned<G>>;

impl<T: Serialize + DeserializeOwned + 'static> RwLock<T> {
    /// A free lock around `value`.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let settings = procession::RwLock::new((80, "http".to_string()))?;
    /// assert_eq!(settings.read().unwrap().0, 80);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's; `InvalidInput` for a value that cannot be turned into bytes, or into too many.
    pub fn new(value: T) -> Result<RwLock<T>> {
        let memory = kept::memory_for::<T>(HEAD_BYTES)?;
        kept::write(&memory, HEAD_BYTES, &value)?;
        Ok(RwLock { memory: Arc::new(memory), value: PhantomData })
    }

    /// Waits until nobody writes, and gives the value to be read for as long as the guard lives.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let lock = procession::RwLock::new(1)?;
    /// let (first, second) = (lock.read().unwrap(), lock.read().unwrap());
    /// assert_eq!(*first + *second, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Poisoned`] when the process that was writing ended without giving the lock back; the value is then the last that was
    /// given back.
    ///
    /// # Panics
    /// When the value's bytes are none: another program wrote into the memory.
    pub fn read(&self) -> Judged<RwLockReadGuard<'_, T>> {
        self.read_until(None).expect("a wait without a deadline ends with the lock")
    }

    /// As [`RwLock::read`], but waits at most so long; none when the lock was not to be had.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let lock = procession::RwLock::new(1)?;
    /// let read = lock.read_timeout(std::time::Duration::from_secs(1)).expect("nobody writes");
    /// assert_eq!(*read.unwrap(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`RwLock::read`].
    ///
    /// # Panics
    /// As [`RwLock::read`].
    pub fn read_timeout(&self, limit: Duration) -> Option<Judged<RwLockReadGuard<'_, T>>> {
        in_time(self.read_until(after(limit))).expect("the system lets a process wait")
    }

    /// Waits until nobody reads or writes, and gives the value to be changed for as long as the guard lives.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let lock = procession::RwLock::new(1)?;
    /// *lock.write().unwrap() += 1;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`RwLock::read`].
    ///
    /// # Panics
    /// As [`RwLock::read`].
    pub fn write(&self) -> Judged<RwLockWriteGuard<'_, T>> {
        self.write_until(None).expect("a wait without a deadline ends with the lock")
    }

    /// As [`RwLock::write`], but waits at most so long; none when the lock was not to be had.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let lock = procession::RwLock::new(1)?;
    /// let reader = lock.read().unwrap();
    /// assert!(lock.write_timeout(Duration::from_millis(10)).is_none());
    /// # drop(reader);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`RwLock::read`].
    ///
    /// # Panics
    /// As [`RwLock::read`].
    pub fn write_timeout(&self, limit: Duration) -> Option<Judged<RwLockWriteGuard<'_, T>>> {
        in_time(self.write_until(after(limit))).expect("the system lets a process wait")
    }

    fn read_until(&self, until: Option<Instant>) -> Result<Judged<RwLockReadGuard<'_, T>>> {
        let how = self.enter(until)?;
        let place = loop {
            match readers::free(&*self.memory) {
                Some(place) => break place,
                None => self.wait_for_readers(until, 1)?,
            }
        };
        readers::sit(&*self.memory, place, identity());
        self.memory.unlock();
        let guard = RwLockReadGuard { seat: ReadSeat { memory: &self.memory, place }, value: self.value() };
        Ok(judged(how, guard))
    }

    fn write_until(&self, until: Option<Instant>) -> Result<Judged<RwLockWriteGuard<'_, T>>> {
        let how = self.enter(until)?;
        self.wait_for_readers(until, READERS)?;
        let seat = WriteSeat { memory: &self.memory };
        self.memory.word(WRITES_AT).store(1, Ordering::Release);
        let value = self.value();
        Ok(judged(how, RwLockWriteGuard { seat, value, is_changed: false }))
    }

    fn value(&self) -> T {
        match kept::read(&self.memory, HEAD_BYTES) {
            Ok(value) => value,
            Err(error) => panic!("the value behind a lock cannot be rebuilt: {error}"),
        }
    }

    /// Takes the inner lock, which readers hold for a moment and a writer all the time.
    fn enter(&self, until: Option<Instant>) -> Result<Acquired> {
        let how = self.memory.lock(until)?;
        let wrote = self.memory.word(WRITES_AT).swap(0, Ordering::Acquire) != 0;
        // A reader that died within that moment has changed nothing.
        Ok(if how == Acquired::OwnerDied && wrote { Acquired::OwnerDied } else { Acquired::Free })
    }

    /// Waits until `enough` places of readers are free; gives the inner lock back when that fails.
    fn wait_for_readers(&self, until: Option<Instant>, enough: usize) -> Result<()> {
        let wait = || readers::wait_for(&*self.memory, until, enough, is_alive);
        patiently(wait).inspect_err(|_| self.memory.unlock())
    }
}

impl Readers for Guarded {
    fn places(&self) -> usize {
        READERS
    }

    fn place(&self, place: usize) -> &AtomicU64 {
        self.word(READERS_AT + 8 * place)
    }

    fn left(&self) -> &AtomicU32 {
        word32(&self.mapping, LEFT_AT).expect("a word of the head lies in its file")
    }

    fn sleepers(&self) -> &AtomicU32 {
        word32(&self.mapping, SLEEPERS_AT).expect("a word of the head lies in its file")
    }
}

impl<T> Clone for RwLock<T> {
    /// Another handle of the same lock.
    fn clone(&self) -> Self {
        RwLock { memory: self.memory.clone(), value: PhantomData }
    }
}

impl<T> Serialize for RwLock<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write_file(None, &*self.memory, HEAD_BYTES, self.memory.size(), serializer)
    }
}

impl<'de, T> Deserialize<'de> for RwLock<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let ArrivedPart { file, at: head, .. } = read_file(deserializer)?;
        let memory = Guarded::open(file).map_err(unread)?;
        if head != HEAD_BYTES || memory.size() < HEAD_BYTES {
            let error = Error::new(ErrorKind::Protocol, "too little memory for what it is said to be");
            return Err(unread(error));
        }
        Ok(RwLock { memory: Arc::new(memory), value: PhantomData })
    }
}

/// A reader's place, given back when this goes.
#[derive(Debug)]
struct ReadSeat<'a> {
    memory: &'a Guarded,
    place: usize,
}

impl Drop for ReadSeat<'_> {
    fn drop(&mut self) {
        readers::leave(self.memory, self.place);
    }
}

/// A writer's hold, given back when this goes.
#[derive(Debug)]
struct WriteSeat<'a> {
    memory: &'a Guarded,
}

impl Drop for WriteSeat<'_> {
    fn drop(&mut self) {
        self.memory.word(WRITES_AT).store(0, Ordering::Release);
        self.memory.unlock();
    }
}

/// The value of a [`RwLock`], for one of those who read it.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let lock = procession::RwLock::new("text".to_owned())?;
/// let (one, other) = (lock.read().unwrap(), lock.read().unwrap());
/// assert_eq!(one.len() + other.len(), 8);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T> {
    #[allow(dead_code)]
    seat: ReadSeat<'a>,
    value: T,
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The value of a [`RwLock`], for the one who may change it; dropping it gives the lock back, and the value if it was changed.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let lock = procession::RwLock::new(1)?;
/// *lock.write().unwrap() += 1;
/// assert_eq!(*lock.read().unwrap(), 2);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T: Serialize + DeserializeOwned + 'static> {
    seat: WriteSeat<'a>,
    value: T,
    is_changed: bool,
}

impl<T: Serialize + DeserializeOwned + 'static> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize + DeserializeOwned + 'static> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        &mut self.value
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        if self.is_changed
            && let Err(error) = kept::write(self.seat.memory, HEAD_BYTES, &self.value)
            && !std::thread::panicking()
        {
            panic!("the value behind a lock cannot be kept: {error}");
        }
    }
}
