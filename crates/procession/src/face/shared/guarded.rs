//! Memory behind a lock that is a word in it.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::patiently;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Mapping, file_size, identity, is_alive, memory_file};
use crate::shared_memory::word64;
use crate::sync::Acquired;
use crate::sync::words::lock as words;

const LOCK_AT: usize = 0;
/// Where what is guarded begins; the words before are the lock and what its owner notes.
pub(super) const GUARDED_AT: usize = 64;

/// A memory file with a lock at its beginning.
#[derive(Debug)]
pub(super) struct Guarded {
    file: OwnedFd,
    pub mapping: Arc<Mapping>,
    /// Where in the file the lock is; of all that this program makes at its beginning.
    pub base: usize,
}

impl Guarded {
    /// A new one for `size` bytes, which are zero; `reserve` takes the memory now.
    pub(super) fn create(size: usize, reserve: bool) -> Result<Guarded> {
        let too_much = || Error::new(ErrorKind::InvalidInput, "more than can be addressed");
        let size = size.checked_add(GUARDED_AT).filter(|size| *size < 1 << 46).ok_or_else(too_much)?;
        Guarded::map(memory_file("procession-shared", size, reserve)?, size, 0)
    }

    /// That behind a descriptor from another process.
    pub(super) fn open(file: OwnedFd) -> Result<Guarded> {
        Guarded::open_at(file, 0)
    }

    /// That whose lock is at `base` of the memory behind a descriptor from another process.
    pub(super) fn open_at(file: OwnedFd, base: usize) -> Result<Guarded> {
        let size = file_size(&file)?;
        if size.checked_sub(GUARDED_AT).is_none_or(|most| base > most) || !base.is_multiple_of(GUARDED_AT) {
            return Err(Error::new(ErrorKind::Protocol, "too little memory for what it is said to be"));
        }
        Guarded::map(file, size, base)
    }

    fn map(file: OwnedFd, size: usize, base: usize) -> Result<Guarded> {
        let mapping = Arc::new(Mapping::new(&file, 0, size, true)?);
        Ok(Guarded { file, mapping, base })
    }

    /// How many bytes are guarded.
    pub(super) fn size(&self) -> usize {
        self.mapping.size() - GUARDED_AT - self.base
    }

    /// A word of the head, or of what is guarded.
    #[inline]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        word64(&self.mapping, self.base + offset).expect("a word of the head lies in its file")
    }

    /// Takes the lock if it is free.
    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        words::try_acquire(self.word(LOCK_AT), identity())
    }

    /// Takes the lock, at the latest at `until`.
    #[inline]
    pub(super) fn lock(&self, until: Option<Instant>) -> Result<Acquired> {
        if self.try_lock() {
            return Ok(Acquired::Free);
        }
        patiently(|| words::acquire_slow(self.word(LOCK_AT), identity(), until, is_alive))
    }

    #[inline]
    pub(super) fn unlock(&self) {
        let _ = words::release(self.word(LOCK_AT));
    }
}

impl AsFd for Guarded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The process that held the lock ended without giving it back, so that what it guards may be half changed.
///
/// The lock is held all the same; whoever can judge or mend the state goes on with [`Poisoned::into_inner`].
///
/// ```
/// # fn main() -> procession::Result<()> {
/// use procession::{Event, Lock, Poisoned, Process};
///
/// fn hold((lock, held): (Lock<u32>, Event)) {
///     let _guard = lock.lock().unwrap();
///     held.set();
///     loop {
///         std::thread::park();
///     }
/// }
///
/// let (lock, held) = (Lock::new(7)?, Event::new()?);
/// let process = Process::spawn(hold, (lock.clone(), held.clone()))?;
/// held.wait();
/// process.kill();
/// let guard = lock.lock().unwrap_or_else(Poisoned::into_inner);
/// assert_eq!(*guard, 7);
/// # Ok(()) }
/// ```
pub struct Poisoned<G> {
    guard: G,
}

impl<G> Poisoned<G> {
    pub(super) fn new(guard: G) -> Poisoned<G> {
        Poisoned { guard }
    }

    /// The guard.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Lock, Poisoned};
    ///
    /// let lock = Lock::new(7)?;
    /// // Whether or not its last owner was killed:
    /// let guard = lock.lock().unwrap_or_else(Poisoned::into_inner);
    /// assert_eq!(*guard, 7);
    /// # Ok(()) }
    /// ```
    pub fn into_inner(self) -> G {
        self.guard
    }
}

impl<G> fmt::Debug for Poisoned<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Poisoned")
    }
}

impl<G> fmt::Display for Poisoned<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process that held the lock ended without giving it back")
    }
}

impl<G> std::error::Error for Poisoned<G> {}

/// What a lock answers: the guard, with a warning when the owner before died.
pub(super) fn judged<G>(how: Acquired, guard: G) -> std::result::Result<G, Poisoned<G>> {
    match how {
        Acquired::Free => Ok(guard),
        Acquired::OwnerDied => Err(Poisoned::new(guard)),
    }
}
