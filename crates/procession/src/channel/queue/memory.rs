//! The memory of a queue: its beginning is mapped with it, the rest in windows, each when a backlog first reaches it.
//!
//! Mapping all of the file at once would cost address space, which batch systems limit (`ulimit -v`), and programs for
//! their own children. Where a window cannot be mapped, its bytes are read and written as those of a file: messages are
//! there all the same.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::platform::{Mapping, read_at, release, reserve, write_at};
use crate::shared_memory::{copy_all, copy_in, copy_to, fill, word32, word64};

use super::{CHUNK_BYTES, RECORD_BYTES};

/// How much is mapped with a queue, and of the rest at once: whole chunks.
pub(super) const WINDOW_BYTES: usize = 32 << 20;

#[derive(Debug)]
pub(super) struct QueueMemory {
    file: OwnedFd,
    size: usize,
    first: Mapping,
    /// By number. Nobody waits for it: in a forked child it may be held by a thread that was not copied.
    windows: Mutex<BTreeMap<usize, Arc<Mapping>>>,
}

impl QueueMemory {
    /// The memory in a file of `size` bytes, of which the first `words` have the queue's words: whole chunks.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(file: OwnedFd, size: usize, words: usize) -> Result<QueueMemory> {
        let first = Mapping::new(&file, 0, size.min(words.max(WINDOW_BYTES)), true)?;
        Ok(QueueMemory { file, size, first, windows: Mutex::default() })
    }

    #[inline]
    pub(super) fn word64(&self, offset: usize) -> &AtomicU64 {
        word64(&self.first, offset).expect("a word of the layout lies in its file")
    }

    #[inline]
    pub(super) fn word32(&self, offset: usize) -> &AtomicU32 {
        word32(&self.first, offset).expect("a word of the layout lies in its file")
    }

    /// The number at an offset, or none if that is no place for one.
    #[inline]
    pub(super) fn number(&self, offset: usize) -> Option<u64> {
        if offset < self.first.size() {
            return Some(word64(&self.first, offset)?.load(Ordering::Relaxed));
        }
        let mut bytes = [0; 8];
        self.read(offset, &mut bytes).then(|| u64::from_ne_bytes(bytes))
    }

    /// Writes bytes that lie in one chunk; false if they are out of bounds.
    #[inline]
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        if offset < self.first.size() {
            return copy_in(&self.first, offset, bytes);
        }
        match self.window(offset) {
            Some((window, offset)) => copy_in(&window, offset, bytes),
            None => self.is_within(offset, bytes.len()) && write_at(&self.file, offset, bytes).is_ok(),
        }
    }

    /// Writes a record of one chunk, of `whole` bytes: its size, two parts and zeros; false if it lies elsewhere than in what
    /// is mapped with the queue. Nobody reads there before the record is in the queue.
    #[inline]
    pub(super) fn write_record(&self, offset: usize, whole: usize, head: &[u8], body: &[u8]) -> bool {
        let size = head.len() + body.len();
        let written = fill(&self.first, offset, whole, |into| {
            let (record, message) = into.split_at_mut(RECORD_BYTES);
            record.copy_from_slice(&(size as u64).to_ne_bytes());
            let (message, padding) = message.split_at_mut(size);
            padding.fill(0);
            let (into_head, into_body) = message.split_at_mut(head.len());
            into_head.copy_from_slice(head);
            if !body.is_empty() {
                copy_all(body, into_body);
            }
        });
        written.is_some()
    }

    /// Reads bytes that lie in one chunk; false if they are out of bounds.
    #[inline]
    pub(super) fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        if offset < self.first.size() {
            return copy_to(&self.first, offset, into);
        }
        match self.window(offset) {
            Some((window, offset)) => copy_to(&window, offset, into),
            None => self.is_within(offset, into.len()) && read_at(&self.file, offset, into).is_ok(),
        }
    }

    /// Takes the memory of the chunk at an offset, and maps it at once rather than page by page.
    ///
    /// # Errors
    /// The system's, when there is none.
    pub(super) fn provide(&self, offset: usize) -> Result<()> {
        reserve(&self.file, offset, CHUNK_BYTES)?;
        if offset < self.first.size() {
            self.first.populate(offset, CHUNK_BYTES);
        } else if let Some((window, offset)) = self.window(offset) {
            window.populate(offset, CHUNK_BYTES);
        }
        Ok(())
    }

    /// Gives the memory of the chunk at an offset back to the system.
    pub(super) fn give_back(&self, offset: usize) {
        release(&self.file, offset, CHUNK_BYTES);
    }

    fn is_within(&self, offset: usize, size: usize) -> bool {
        offset.checked_add(size).is_some_and(|end| end <= self.size)
    }

    /// The window behind the first that has an offset, and where in it that is; none where it cannot be mapped.
    #[cold]
    fn window(&self, offset: usize) -> Option<(Arc<Mapping>, usize)> {
        let behind = offset.checked_sub(self.first.size()).filter(|_| offset < self.size)?;
        let (number, offset) = (behind / WINDOW_BYTES, behind % WINDOW_BYTES);
        let mut windows = self.windows.try_lock().ok()?;
        if let Some(window) = windows.get(&number) {
            return Some((window.clone(), offset));
        }
        let start = self.first.size() + number * WINDOW_BYTES;
        let window = Mapping::new(&self.file, start as u64, WINDOW_BYTES.min(self.size - start), true).ok()?;
        let window = windows.entry(number).or_insert(Arc::new(window));
        Some((window.clone(), offset))
    }

    /// Has no window be mapped, as where there is no address space.
    #[cfg(test)]
    pub(super) fn lack_windows(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Arc<Mapping>>> {
        self.windows.lock().unwrap()
    }
}

impl AsFd for QueueMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
