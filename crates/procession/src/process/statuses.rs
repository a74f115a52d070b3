//! Where a forkserver tells how children ended: a page of words that belongs to the process which asked for them, an entry each.
//!
//! | word | means | changed by |
//! |---|---|---|
//! | 0 | nobody's | whoever asks, when it takes an entry |
//! | 1 | its child runs | the forkserver, when the child has ended; whoever asks, when nobody will look at it |
//! | 2 | its child may run, and nobody looks at it | the forkserver, when the child has ended: nobody's again |
//! | top bit | how the child ended, below it | whoever asked, having read it: nobody's again |
//!
//! Neither side has a descriptor for each child. A forkserver that dies leaves words that stay 1: who waits looks after it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Mapping, file_size, is_of_fixed_size, memory_file};
use crate::primitive::{AtomicU32, Ordering, wait, wake};
use crate::shared_memory::word32;

const BYTES: usize = 4096;
const WORD_BYTES: usize = 4;
/// How many children a page has room for.
pub const ENTRIES: usize = BYTES / WORD_BYTES;

const FREE: u32 = 0;
const RUNNING: u32 = 1;
const UNWATCHED: u32 = 2;
const ENDED: u32 = 1 << 31;

/// A page of entries.
#[derive(Debug)]
pub struct Statuses {
    page: Mapping,
    /// None where it was passed: what is mapped needs no descriptor.
    file: Option<OwnedFd>,
}

impl Statuses {
    /// A page with no entry taken.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Statuses> {
        let file = memory_file("procession-statuses", BYTES, true)?;
        Ok(Statuses { page: Mapping::new(&file, 0, BYTES, true)?, file: Some(file) })
    }

    /// The page behind a descriptor that another process passed here.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for what is none.
    pub fn open(file: OwnedFd) -> Result<Statuses> {
        if !is_of_fixed_size(&file) || file_size(&file)? != BYTES {
            return Err(Error::new(ErrorKind::InvalidInput, "a descriptor that is of no page of statuses"));
        }
        Ok(Statuses { page: Mapping::new(file, 0, BYTES, true)?, file: None })
    }

    /// The descriptor to be passed to a forkserver; none where it was.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    fn word(&self, entry: usize) -> Result<&AtomicU32> {
        let nonsense = || Error::new(ErrorKind::InvalidInput, format!("no entry has the number {entry}"));
        entry.checked_mul(WORD_BYTES).and_then(|offset| word32(&self.page, offset)).ok_or_else(nonsense)
    }

    /// Takes an entry for a child that is asked for; none where all are taken.
    pub fn take(&self) -> Option<usize> {
        let take = |word: &AtomicU32| word.compare_exchange(FREE, RUNNING, Ordering::Relaxed, Ordering::Relaxed);
        (0..ENTRIES).find(|entry| self.word(*entry).is_ok_and(|word| take(word).is_ok()))
    }

    /// Gives an entry back that nobody will write to, or whose status was read.
    ///
    /// # Errors
    /// `InvalidInput` for a number that no entry has.
    pub fn give_back(&self, entry: usize) -> Result<()> {
        self.word(entry)?.store(FREE, Ordering::Relaxed);
        Ok(())
    }

    /// Leaves an entry to the forkserver, which gives it back when its child has ended.
    ///
    /// # Errors
    /// `InvalidInput` for a number that no entry has.
    pub fn leave(&self, entry: usize) -> Result<()> {
        let word = self.word(entry)?;
        if word.compare_exchange(RUNNING, UNWATCHED, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            word.store(FREE, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Tells how the child of an entry ended, and wakes who waits for that.
    ///
    /// # Errors
    /// `InvalidInput` for a number that no entry has.
    pub fn tell(&self, entry: usize, status: i16) -> Result<()> {
        let word = self.word(entry)?;
        let ended = ENDED | u32::from(status.cast_unsigned());
        match word.compare_exchange(RUNNING, ended, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => {
                wake(word, u32::MAX >> 1);
            }
            Err(UNWATCHED) => word.store(FREE, Ordering::Relaxed),
            Err(_) => {}
        }
        Ok(())
    }

    /// Waits until it is told how the child of an entry ended, at most until `until`; none then.
    ///
    /// # Errors
    /// `Interrupted` when a signal handler ran; `InvalidInput` for a number that no entry has.
    pub fn wait(&self, entry: usize, until: Instant) -> Result<Option<i16>> {
        let word = self.word(entry)?;
        loop {
            let found = word.load(Ordering::Acquire);
            if found & ENDED != 0 {
                return Ok(Some((found as u16).cast_signed()));
            }
            match wait(word, found, Some(until)) {
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(None),
                woken => woken?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn opened(page: &Statuses) -> Statuses {
        Statuses::open(page.descriptor().unwrap().try_clone_to_owned().unwrap()).unwrap()
    }

    #[test]
    fn whoever_waits_is_told_how_the_child_ended() {
        let ours = Statuses::new().unwrap();
        let theirs = opened(&ours);
        for status in [0, 3, 255, -9, -15] {
            let entry = ours.take().unwrap();
            assert_eq!(ours.wait(entry, Instant::now()).unwrap(), None);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| ours.wait(entry, soon()));
                theirs.tell(entry, status).unwrap();
                assert_eq!(waiting.join().unwrap().unwrap(), Some(status));
            });
            ours.give_back(entry).unwrap();
        }
        assert_eq!(ours.take(), Some(0));
    }

    #[test]
    fn an_entry_that_nobody_looks_at_is_free_when_its_child_has_ended() {
        let ours = Statuses::new().unwrap();
        let theirs = opened(&ours);
        let entries: Vec<usize> = std::iter::from_fn(|| ours.take()).collect();
        assert_eq!(entries, (0..ENTRIES).collect::<Vec<_>>());
        ours.leave(7).unwrap();
        assert_eq!(ours.take(), None);
        theirs.tell(7, 0).unwrap();
        assert_eq!(ours.take(), Some(7));
        theirs.tell(9, 0).unwrap();
        ours.leave(9).unwrap();
        assert_eq!(ours.take(), Some(9));
    }

    #[test]
    fn nonsense_is_refused() {
        let pipe = OwnedFd::from(std::io::pipe().unwrap().0);
        for file in [memory_file("test", 4095, false).unwrap(), memory_file("test", 0, false).unwrap(), pipe] {
            assert!(Statuses::open(file).is_err());
        }
        let page = Statuses::new().unwrap();
        assert!(page.tell(ENTRIES, 0).is_err() && page.wait(usize::MAX, soon()).is_err());
        // No process has asked for that entry.
        page.tell(3, 7).unwrap();
        assert_eq!(page.take(), Some(0));
    }
}
