//! Taking messages out.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::chunks::{damaged, padded};
use super::*;

/// The oldest message, for as long as this value lives; nobody else puts or gets meanwhile.
#[derive(Debug)]
pub struct Oldest<'a> {
    queue: &'a Queue,
    /// The chunk that its record begins in.
    chunk: u32,
    start: ChainPlace,
    size: usize,
    /// Whether it was taken, and was the last.
    empties: bool,
}

impl Queue {
    fn oldest_locked(&self) -> Result<Option<Oldest<'_>>> {
        if self.seems_empty() {
            return Ok(None);
        }
        let head = self.place(HEAD).ok_or_else(damaged)?;
        let (start, size) = self.record(head).ok_or_else(damaged)?;
        Ok(Some(Oldest { queue: self, chunk: head.chunk, start, size, empties: false }))
    }

    /// The oldest message, without waiting for anything.
    ///
    /// # Errors
    /// `Protocol` when another process wrote nonsense.
    pub fn try_oldest(&self) -> Result<Attempt<Oldest<'_>>> {
        // The second look pays for a fence, which a queue with messages in it need not.
        if self.seems_empty() && self.is_empty() {
            return Ok(Attempt::Unready);
        }
        if !self.try_lock() {
            return Ok(Attempt::Busy);
        }
        match self.oldest_locked() {
            Ok(Some(oldest)) => Ok(Attempt::Done(oldest)),
            other => {
                self.unlock();
                other.map(|_| Attempt::Unready)
            }
        }
    }

    /// The oldest message, if there is one; waits only for others that are at the queue.
    ///
    /// # Errors
    /// `Protocol` when another process wrote nonsense; `Interrupted` when it is time to look for signals: call again.
    pub fn oldest(&self) -> Result<Option<Oldest<'_>>> {
        self.lock()?;
        let answer = self.oldest_locked();
        if !matches!(answer, Ok(Some(_))) {
            self.unlock();
        }
        answer
    }

    /// Waits until there is a message, as far as one can tell.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn wait_for_message(&self, until: Option<Instant>) -> Result<()> {
        self.look_after_bell()?;
        self.sleep(PUTS, GETTERS, until, || !self.seems_empty())
    }

    pub(super) fn sleep(
        &self,
        word: usize,
        sleepers: usize,
        until: Option<Instant>,
        ready: impl Fn() -> bool,
    ) -> Result<()> {
        let (word, sleepers) = (self.word32(word), self.word32(sleepers));
        match sleeps::sleep(word, sleepers, ready, |seen| nap(until, |end| wait(word, seen, end)))? {
            None | Some(true) => Ok(()),
            Some(false) => look_for_signals(),
        }
    }
}

impl Oldest<'_> {
    /// Its bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Copies the bytes from `offset` on; there must be enough.
    ///
    /// # Errors
    /// `Protocol` when another process wrote nonsense.
    #[inline]
    pub fn copy(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        let (queue, start) = (self.queue, self.start);
        // Most lie in one chunk.
        let at = (start.offset as usize).saturating_add(offset);
        if into.len() > CHUNK_BYTES.saturating_sub(at) {
            return self.copy_pieces(offset, into);
        }
        if queue.memory.read(queue.chunk_start(start.chunk) + at, into) { Ok(()) } else { Err(damaged()) }
    }

    fn copy_pieces(&self, offset: usize, mut into: &mut [u8]) -> Result<()> {
        let queue = self.queue;
        let mut place = queue.walk(self.start, offset, |_| {}).ok_or_else(damaged)?;
        while !into.is_empty() {
            place = queue.settled(place).ok_or_else(damaged)?;
            let here = into.len().min(CHUNK_BYTES - place.offset as usize);
            let (now, later) = into.split_at_mut(here);
            if !queue.memory.read(queue.chunk_start(place.chunk) + place.offset as usize, now) {
                return Err(damaged());
            }
            place.offset += here as u32;
            into = later;
        }
        Ok(())
    }

    /// Takes the message out of the queue.
    pub fn take(mut self) {
        let queue = self.queue;
        let Some(end) = queue.walk(self.start, padded(self.size), |_| {}) else { return };
        queue.word64(HEAD).store(end.word(), Ordering::Release);
        self.empties = queue.word64(COUNTS).fetch_sub(1, Ordering::AcqRel) & MESSAGES == 1;
        if let Some(bell) = queue.heard().filter(|_| self.empties) {
            bell.hush();
        }
        let mut chunk = self.chunk;
        // No more than the message can have lain in.
        for _ in 0..padded(self.size) / CHUNK_BYTES + 2 {
            if chunk == end.chunk {
                break;
            }
            let Some(next) = queue.next(chunk).map(|next| next.load(Ordering::Relaxed) & !GIVEN_BACK) else { break };
            queue.free_chunk(chunk);
            chunk = next;
        }
    }
}

impl Drop for Oldest<'_> {
    fn drop(&mut self) {
        let queue = self.queue;
        queue.unlock();
        if sleeps::changed(queue.word32(GETS), queue.word32(PUTTERS)) {
            wake(queue.word32(GETS), 1);
        }
        if self.empties && sleeps::changed_for(queue.word32(EMPTIED), queue.word32(WATCHERS)) {
            wake(queue.word32(EMPTIED), i32::MAX as u32);
        }
    }
}
