//! A queue of messages that any number of processes put into and get from.
//!
//! It lives in one memory file: words, a table that chains chunks, and the chunks, through which the records run one
//! after the other. Nothing of a message stays in the process that put it, so that one may end at once.
//!
//! One lock guards it, and the next to take the lock sees when its owner died. A message is in when TAIL is written and out when HEAD is,
//! each one store; what else a dead owner may have left half done, [`Queue::repair`] finds by walking from one to the other.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Mapping, file_size, identity, is_alive, memory_file, release, reserve, wait, wake};
use crate::shared_memory::{copy_in, copy_to, word32, word64};
use crate::sync::words::lock::{self, Acquired};
use crate::sync::{look_for_signals, nap};

// Offsets of the words; those that different processes write lie on different cache lines.
const LOCK: usize = 0;
const HEAD: usize = 64;
const TAIL: usize = 128;
/// The messages in the low half; in the high half those put and not yet reported done.
const COUNTS: usize = 192;
const FREE: usize = 256;
const FREE_COUNT: usize = 264;
const USED: usize = 272;
const MOST: usize = 280;
/// Changes with every message put; whoever finds the queue empty sleeps on it. Next to it: how many sleep.
const PUTS: usize = 320;
const GETTERS: usize = 324;
/// The same for messages taken and a full queue.
const GETS: usize = 384;
const PUTTERS: usize = 388;
/// The same for the last message reported done.
const DONES: usize = 448;
/// One 32-bit word a chunk: the next of its chain, or of the free ones.
const NEXT: usize = 4096;

const CHUNK_BYTES: usize = 64 * 1024;
/// A chunk whose memory was given back to the system while it is free.
const GIVEN_BACK: u32 = 1 << 31;
const NONE: u32 = u32::MAX >> 1;
/// So many free chunks keep their memory, 16 MiB, for the next messages.
const KEPT_CHUNKS: u64 = 256;

/// A backlog of so many chunks, 8 MiB, makes those who put large messages give the getters a moment, down to half of it:
/// chunks that are used again are several times faster than fresh memory.
const BACKLOG_CHUNKS: u64 = 128;
const LARGE_BYTES: usize = CHUNK_BYTES;
/// How long a putter waits for the next sign of a getter, and in all.
const SIGN_US: u64 = 2_000;
const COURTESY_US: u64 = 10_000;

const RECORD_BYTES: usize = 8;
const ONE_DONE: u64 = 1 << 32;
const MESSAGES: u64 = ONE_DONE - 1;

/// How much memory a queue may take: as address space is plenty, much, unless the process is limited.
const SIZES: [usize; 3] = [16 << 30, 1 << 30, 64 << 20];

/// A place in the chain: a chunk, and an offset in it up to and with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    chunk: u32,
    offset: u32,
}

impl Place {
    fn of(word: u64) -> Place {
        Place { chunk: (word >> 32) as u32, offset: word as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.chunk) << 32 | u64::from(self.offset)
    }
}

/// A queue between processes.
#[derive(Debug)]
pub struct Queue {
    file: OwnedFd,
    mapping: Mapping,
    data: usize,
    chunks: u32,
    /// What GETS was when a putter last waited in vain for getters.
    no_getter_since: AtomicU32,
}

/// The oldest message, for as long as this value lives; nobody else puts or gets meanwhile.
#[derive(Debug)]
pub struct Oldest<'a> {
    queue: &'a Queue,
    start: Place,
    size: usize,
}

/// What came of an attempt that does not wait.
#[derive(Debug)]
pub enum Attempt<T> {
    /// It succeeded.
    Done(T),
    /// The queue is full, or empty.
    Unready,
    /// Somebody else is at the queue just now.
    Busy,
}

impl Queue {
    /// A new queue for up to `most` messages.
    ///
    /// # Errors
    /// The system's.
    pub fn create(most: u32) -> Result<Queue> {
        let mut answer = Err(Error::new(ErrorKind::Os, "no memory for a queue"));
        for size in SIZES {
            answer = memory_file("procession-queue", size, false).and_then(|file| Queue::map(file, size));
            if answer.is_ok() {
                break;
            }
        }
        let queue = answer?;
        reserve(&queue.file, 0, NEXT)?;
        queue.word64(MOST).store(most.into(), Ordering::Relaxed);
        queue.word64(FREE).store(NONE.into(), Ordering::Relaxed);
        let first = Place { chunk: queue.take_chunk()?, offset: 0 };
        queue.word64(HEAD).store(first.word(), Ordering::Relaxed);
        queue.word64(TAIL).store(first.word(), Ordering::Release);
        Ok(queue)
    }

    /// The queue behind a descriptor that another process passed here.
    ///
    /// # Errors
    /// The system's; `InvalidInput` when the file is too small to be a queue's.
    pub fn open(file: OwnedFd) -> Result<Queue> {
        let size = file_size(&file)?;
        Queue::map(file, size)
    }

    fn map(file: OwnedFd, size: usize) -> Result<Queue> {
        let table = (size / CHUNK_BYTES * 4 + NEXT).next_multiple_of(CHUNK_BYTES);
        let chunks = size.saturating_sub(table) / CHUNK_BYTES;
        if chunks == 0 || chunks >= NONE as usize {
            return Err(Error::new(ErrorKind::InvalidInput, "this is not the memory of a queue"));
        }
        let mapping = Mapping::new(&file, 0, size, true)?;
        Ok(Queue { file, mapping, data: table, chunks: chunks as u32, no_getter_since: AtomicU32::new(u32::MAX) })
    }

    #[inline]
    fn word64(&self, offset: usize) -> &AtomicU64 {
        word64(&self.mapping, offset).expect("a word of the layout lies in its file")
    }

    #[inline]
    fn word32(&self, offset: usize) -> &AtomicU32 {
        word32(&self.mapping, offset).expect("a word of the layout lies in its file")
    }

    // -- the lock -----------------------------------------------------------------------------------------------------

    fn try_lock(&self) -> bool {
        lock::try_acquire(self.word64(LOCK), identity())
    }

    /// Takes the lock; it is never held for long.
    fn lock(&self) -> Result<()> {
        if self.try_lock() {
            return Ok(());
        }
        match lock::acquire_slow(self.word64(LOCK), identity(), None, is_alive)? {
            Acquired::Free => {}
            Acquired::OwnerDied => self.repair(),
        }
        Ok(())
    }

    fn unlock(&self) {
        let _ = lock::release(self.word64(LOCK));
    }

    /// Puts in order what an owner of the lock left when it died: counts the messages, and frees what holds none.
    fn repair(&self) {
        let tail = Place::of(self.word64(TAIL).load(Ordering::Acquire));
        let mut place = Place::of(self.word64(HEAD).load(Ordering::Acquire));
        let used = self.word64(USED).load(Ordering::Relaxed).min(self.chunks.into()) as usize;
        let mut live = vec![false; used];
        let mut messages = 0;
        let mark = |live: &mut [bool], chunk: u32| {
            if let Some(live) = live.get_mut(chunk as usize) {
                *live = true;
            }
        };
        mark(&mut live, place.chunk);
        while place != tail {
            let Some((start, size)) = self.record(place) else { break };
            let Some(end) = self.walk(start, padded(size), |chunk| mark(&mut live, chunk)) else { break };
            // A record may end just where its chunk does.
            mark(&mut live, start.chunk);
            mark(&mut live, end.chunk);
            place = end;
            messages += 1;
        }
        mark(&mut live, tail.chunk);
        self.word64(FREE).store(NONE.into(), Ordering::Relaxed);
        self.word64(FREE_COUNT).store(0, Ordering::Relaxed);
        for (chunk, _) in live.iter().enumerate().filter(|(_, live)| !**live) {
            self.free_chunk(chunk as u32);
        }
        // A message that came in or went out without being counted.
        let counts = self.word64(COUNTS);
        let counted = counts.load(Ordering::Relaxed) & MESSAGES;
        match messages {
            more if more > counted => counts.fetch_add((more - counted) * (ONE_DONE + 1), Ordering::AcqRel),
            fewer => counts.fetch_sub(counted - fewer, Ordering::AcqRel),
        };
    }

    // -- chunks -------------------------------------------------------------------------------------------------------

    fn next(&self, chunk: u32) -> Option<&AtomicU32> {
        (chunk < self.chunks).then(|| self.word32(NEXT + 4 * chunk as usize))
    }

    fn chunk_start(&self, chunk: u32) -> usize {
        self.data + chunk as usize * CHUNK_BYTES
    }

    /// A chunk with its memory; the lock is held.
    fn take_chunk(&self) -> Result<u32> {
        let free = self.word64(FREE).load(Ordering::Relaxed) as u32;
        let chunk = free & !GIVEN_BACK;
        if let Some(next) = self.next(chunk) {
            if free & GIVEN_BACK != 0 {
                reserve(&self.file, self.chunk_start(chunk), CHUNK_BYTES)?;
            }
            self.word64(FREE).store(next.load(Ordering::Relaxed).into(), Ordering::Relaxed);
            self.word64(FREE_COUNT).fetch_sub(1, Ordering::Relaxed);
            return Ok(chunk);
        }
        let used = self.word64(USED).load(Ordering::Relaxed);
        if used >= self.chunks.into() {
            return Err(Error::os("put", rustix::io::Errno::NOMEM.raw_os_error()));
        }
        let chunk = used as u32;
        reserve(&self.file, self.chunk_start(chunk), CHUNK_BYTES)?;
        self.word64(USED).store(used + 1, Ordering::Relaxed);
        Ok(chunk)
    }

    /// Gives a chunk back; the lock is held.
    fn free_chunk(&self, chunk: u32) {
        let Some(next) = self.next(chunk) else { return };
        let before = self.word64(FREE).load(Ordering::Relaxed) as u32;
        next.store(before, Ordering::Relaxed);
        let many = self.word64(FREE_COUNT).fetch_add(1, Ordering::Relaxed) >= KEPT_CHUNKS;
        if many {
            release(&self.file, self.chunk_start(chunk), CHUNK_BYTES);
        }
        self.word64(FREE).store((if many { chunk | GIVEN_BACK } else { chunk }).into(), Ordering::Relaxed);
    }

    /// The place where bytes at `place` really begin: that after the end of a chunk is the next one's start.
    fn settled(&self, place: Place) -> Option<Place> {
        match place.offset as usize {
            ..CHUNK_BYTES => Some(place),
            _ => {
                let chunk = self.next(place.chunk)?.load(Ordering::Relaxed) & !GIVEN_BACK;
                (chunk < self.chunks).then_some(Place { chunk, offset: 0 })
            }
        }
    }

    /// The place `bytes` further on; tells `left` each chunk that lies behind then.
    fn walk(&self, mut place: Place, mut bytes: usize, mut left: impl FnMut(u32)) -> Option<Place> {
        loop {
            let here = (CHUNK_BYTES - place.offset as usize).min(bytes);
            place.offset += here as u32;
            bytes -= here;
            if bytes == 0 {
                return Some(place);
            }
            left(place.chunk);
            place = self.settled(place)?;
        }
    }

    /// The record at `place`: where its message begins, and its size.
    fn record(&self, place: Place) -> Option<(Place, usize)> {
        let place = self.settled(place)?;
        let size =
            word64(&self.mapping, self.chunk_start(place.chunk) + place.offset as usize)?.load(Ordering::Relaxed);
        let size = usize::try_from(size).ok().filter(|&size| size <= self.mapping.size())?;
        Some((Place { offset: place.offset + RECORD_BYTES as u32, ..place }, size))
    }

    /// Writes `bytes` from `place` on, chaining chunks as needed.
    fn write(&self, mut place: Place, mut bytes: &[u8]) -> Result<Place> {
        while !bytes.is_empty() {
            if place.offset as usize == CHUNK_BYTES {
                let chunk = self.take_chunk()?;
                self.next(place.chunk).expect("a chunk in use lies in the file").store(chunk, Ordering::Relaxed);
                place = Place { chunk, offset: 0 };
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - place.offset as usize));
            if !copy_in(&self.mapping, self.chunk_start(place.chunk) + place.offset as usize, now) {
                return Err(Error::new(ErrorKind::Protocol, "the queue's memory is damaged"));
            }
            place.offset += now.len() as u32;
            bytes = later;
        }
        Ok(place)
    }

    // -- putting ------------------------------------------------------------------------------------------------------

    /// Puts a message made of two parts, if there is room; the lock is held.
    fn put_locked(&self, head: &[u8], body: &[u8]) -> Result<bool> {
        if self.len() as u64 >= self.word64(MOST).load(Ordering::Relaxed) {
            return Ok(false);
        }
        let before = Place::of(self.word64(TAIL).load(Ordering::Relaxed));
        let size = head.len() + body.len();
        let padding = &[0; RECORD_BYTES][..padded(size) - size];
        let record = (size as u64).to_ne_bytes();
        let end = [&record[..], head, body, padding].iter().try_fold(before, |place, part| self.write(place, part));
        match end {
            Ok(end) => {
                self.word64(TAIL).store(end.word(), Ordering::Release);
                self.word64(COUNTS).fetch_add(ONE_DONE + 1, Ordering::AcqRel);
                Ok(true)
            }
            Err(e) => {
                // What was chained for this message is as if its writer had died.
                self.repair();
                Err(e)
            }
        }
    }

    fn announce_put(&self) {
        self.word32(PUTS).fetch_add(1, Ordering::SeqCst);
        if self.word32(GETTERS).load(Ordering::SeqCst) > 0 {
            wake(self.word32(PUTS), 1);
        }
    }

    /// Puts a message, made of two parts, without waiting for anything.
    ///
    /// # Errors
    /// The system's, when there is no memory for it.
    pub fn try_put(&self, head: &[u8], body: &[u8]) -> Result<Attempt<()>> {
        if !self.try_lock() {
            return Ok(Attempt::Busy);
        }
        let put = self.put_locked(head, body);
        self.unlock();
        if !put? {
            return Ok(Attempt::Unready);
        }
        self.announce_put();
        Ok(Attempt::Done(()))
    }

    /// Puts a message, made of two parts, if there is room; waits only for others that are at the queue.
    ///
    /// # Errors
    /// The system's; `Interrupted` when it is time to look for signals: call again.
    pub fn put(&self, head: &[u8], body: &[u8]) -> Result<bool> {
        self.lock()?;
        let put = self.put_locked(head, body);
        self.unlock();
        if put.as_ref().is_ok_and(|put| *put) {
            self.announce_put();
            if head.len() + body.len() >= LARGE_BYTES {
                self.let_getters_catch_up();
            }
        }
        put
    }

    fn backlog(&self) -> u64 {
        self.word64(USED).load(Ordering::Relaxed).saturating_sub(self.word64(FREE_COUNT).load(Ordering::Relaxed))
    }

    /// Waits a little while getters work on a large backlog. Where nobody gets, this waits once and then no more.
    fn let_getters_catch_up(&self) {
        if self.backlog() < BACKLOG_CHUNKS {
            return;
        }
        let gets = self.word32(GETS);
        let end = Instant::now() + Duration::from_micros(COURTESY_US);
        let mut seen = gets.load(Ordering::Acquire);
        while seen != self.no_getter_since.load(Ordering::Relaxed)
            && self.backlog() > BACKLOG_CHUNKS / 2
            && Instant::now() < end
        {
            self.word32(PUTTERS).fetch_add(1, Ordering::SeqCst);
            let sign = wait(gets, seen, Some(Instant::now() + Duration::from_micros(SIGN_US)));
            self.word32(PUTTERS).fetch_sub(1, Ordering::SeqCst);
            let now = gets.load(Ordering::Acquire);
            if now == seen {
                if sign.is_err() {
                    self.no_getter_since.store(seen, Ordering::Relaxed);
                }
                return;
            }
            seen = now;
        }
    }

    /// Waits until there is room, as far as one can tell.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn wait_for_room(&self, until: Option<Instant>) -> Result<()> {
        self.sleep(GETS, PUTTERS, until, || !self.is_full())
    }

    // -- getting ------------------------------------------------------------------------------------------------------

    fn oldest_locked(&self) -> Result<Option<Oldest<'_>>> {
        if self.is_empty() {
            return Ok(None);
        }
        let head = Place::of(self.word64(HEAD).load(Ordering::Relaxed));
        let damaged = || Error::new(ErrorKind::Protocol, "the queue's memory is damaged");
        let (start, size) = self.record(head).ok_or_else(damaged)?;
        Ok(Some(Oldest { queue: self, start, size }))
    }

    /// The oldest message, without waiting for anything.
    ///
    /// # Errors
    /// `Protocol` when another process wrote nonsense.
    pub fn try_oldest(&self) -> Result<Attempt<Oldest<'_>>> {
        if self.is_empty() {
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
        self.sleep(PUTS, GETTERS, until, || !self.is_empty())
    }

    fn sleep(&self, word: usize, sleepers: usize, until: Option<Instant>, ready: impl Fn() -> bool) -> Result<()> {
        let (word, sleepers) = (self.word32(word), self.word32(sleepers));
        let seen = word.load(Ordering::SeqCst);
        if ready() {
            return Ok(());
        }
        // Whoever changes the word looks here afterwards; the kernel compares the word once more.
        sleepers.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let answer = if ready() { Ok(true) } else { nap(until, |end| wait(word, seen, end)) };
        sleepers.fetch_sub(1, Ordering::SeqCst);
        match answer {
            Ok(true) => Ok(()),
            Ok(false) => look_for_signals(),
            Err(e) => Err(e),
        }
    }

    // -- counting -----------------------------------------------------------------------------------------------------

    /// How many messages are in the queue.
    #[inline]
    pub fn len(&self) -> usize {
        (self.word64(COUNTS).load(Ordering::Acquire) & MESSAGES) as usize
    }

    /// Whether no message is in the queue.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another message.
    pub fn is_full(&self) -> bool {
        self.len() as u64 >= self.word64(MOST).load(Ordering::Relaxed)
    }

    /// Reports one message as done.
    ///
    /// # Errors
    /// `InvalidInput` when all were reported already.
    pub fn report_done(&self) -> Result<()> {
        let one_less = |counts: u64| (counts >= ONE_DONE).then(|| counts - ONE_DONE);
        match self.word64(COUNTS).fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less) {
            Err(_) => Err(Error::new(ErrorKind::InvalidInput, "task_done() called too many times")),
            Ok(before) => {
                if before < 2 * ONE_DONE {
                    self.word32(DONES).fetch_add(1, Ordering::SeqCst);
                    wake(self.word32(DONES), i32::MAX as u32);
                }
                Ok(())
            }
        }
    }

    /// Waits until every message put is reported done.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn wait_until_done(&self, until: Option<Instant>) -> Result<()> {
        loop {
            let seen = self.word32(DONES).load(Ordering::SeqCst);
            if self.word64(COUNTS).load(Ordering::Acquire) < ONE_DONE {
                return Ok(());
            }
            if !nap(until, |end| wait(self.word32(DONES), seen, end))? {
                return look_for_signals();
            }
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
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
    pub fn copy(&self, offset: usize, mut into: &mut [u8]) -> Result<()> {
        let damaged = || Error::new(ErrorKind::Protocol, "the queue's memory is damaged");
        let queue = self.queue;
        let mut place = queue.walk(self.start, offset, |_| {}).ok_or_else(damaged)?;
        while !into.is_empty() {
            place = queue.settled(place).ok_or_else(damaged)?;
            let here = into.len().min(CHUNK_BYTES - place.offset as usize);
            let (now, later) = into.split_at_mut(here);
            if !copy_to(&queue.mapping, queue.chunk_start(place.chunk) + place.offset as usize, now) {
                return Err(damaged());
            }
            place.offset += here as u32;
            into = later;
        }
        Ok(())
    }

    /// Takes the message out of the queue.
    pub fn take(self) {
        let queue = self.queue;
        let head = Place::of(queue.word64(HEAD).load(Ordering::Relaxed));
        let Some(end) = queue.walk(self.start, padded(self.size), |_| {}) else { return };
        queue.word64(HEAD).store(end.word(), Ordering::Release);
        queue.word64(COUNTS).fetch_sub(1, Ordering::AcqRel);
        let mut chunk = head.chunk;
        while chunk != end.chunk {
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
        queue.word32(GETS).fetch_add(1, Ordering::SeqCst);
        if queue.word32(PUTTERS).load(Ordering::SeqCst) > 0 {
            wake(queue.word32(GETS), 1);
        }
    }
}

fn padded(size: usize) -> usize {
    size.next_multiple_of(RECORD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(queue: &Queue) -> Option<Vec<u8>> {
        let oldest = queue.oldest().unwrap()?;
        let mut message = vec![0; oldest.size()];
        oldest.copy(0, &mut message).unwrap();
        oldest.take();
        Some(message)
    }

    #[test]
    fn messages_of_all_sizes_come_out_in_order() {
        let queue = Queue::create(u32::MAX).unwrap();
        let sizes = [0, 1, 7, 8, 9, CHUNK_BYTES - 8, CHUNK_BYTES, CHUNK_BYTES + 1, 1_000_000, 3];
        for round in 0..5u8 {
            for size in sizes {
                assert!(queue.put(&[round], &vec![round; size]).unwrap());
            }
            assert_eq!(queue.len(), sizes.len());
            for size in sizes {
                assert_eq!(get(&queue).unwrap(), vec![round; size + 1]);
            }
            assert!(get(&queue).is_none());
        }
        assert!(queue.word64(USED).load(Ordering::Relaxed) < 25, "chunks are used again");
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let queue = Queue::create(1).unwrap();
        assert!(queue.put(b"a", b"").unwrap());
        assert!(!queue.put(b"b", b"").unwrap());
        assert!(queue.is_full());
        let soon = Some(Instant::now());
        assert_eq!(queue.wait_for_room(soon).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(get(&queue).unwrap(), b"a");
        assert_eq!(queue.wait_for_message(soon).unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn what_a_dead_owner_left_half_done_is_put_in_order() {
        let queue = Queue::create(u32::MAX).unwrap();
        for i in 0..3u8 {
            queue.put(&[i], &vec![i; CHUNK_BYTES]).unwrap();
        }
        // A message half written, one chunk taken for it; another whose count is missing.
        let chunk = queue.take_chunk().unwrap();
        queue.word64(COUNTS).fetch_sub(ONE_DONE + 1, Ordering::Relaxed);
        queue.word64(LOCK).store(identity() ^ 1 << 32, Ordering::Relaxed);
        while queue.lock().is_err() {}
        queue.unlock();
        assert_eq!(queue.len(), 3);
        for i in 0..3u8 {
            assert_eq!(get(&queue).unwrap(), vec![i; CHUNK_BYTES + 1]);
            queue.report_done().unwrap();
        }
        assert!(queue.report_done().is_err());
        assert!((0..10).any(|_| queue.take_chunk().unwrap() == chunk), "the lost chunk is free again");
    }

    #[test]
    fn records_that_fill_their_chunks_survive_a_repair() {
        let queue = Queue::create(u32::MAX).unwrap();
        let sizes = [2 * CHUNK_BYTES - 2 * RECORD_BYTES, CHUNK_BYTES, 3 * CHUNK_BYTES - RECORD_BYTES, 5];
        for size in sizes {
            queue.put(b"", &vec![size as u8; size]).unwrap();
        }
        queue.repair();
        for _ in 0..20 {
            let _ = queue.take_chunk().unwrap();
        }
        for size in sizes {
            assert_eq!(get(&queue).unwrap(), vec![size as u8; size]);
        }
    }

    #[test]
    fn many_threads_lose_nothing() {
        let queue = Queue::create(100).unwrap();
        let sum = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for i in 0..2_000u64 {
                        while !matches!(queue.put(&i.to_ne_bytes(), b""), Ok(true)) {
                            let _ = queue.wait_for_room(None);
                        }
                    }
                });
                scope.spawn(|| {
                    let mut taken = 0;
                    while taken < 2_000 {
                        if let Ok(Some(oldest)) = queue.oldest() {
                            let mut bytes = [0; 8];
                            oldest.copy(0, &mut bytes).unwrap();
                            oldest.take();
                            sum.fetch_add(u64::from_ne_bytes(bytes), Ordering::Relaxed);
                            taken += 1;
                        } else {
                            let _ = queue.wait_for_message(None);
                        }
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 3 * 1_999_000);
        assert!(queue.is_empty());
    }
}
