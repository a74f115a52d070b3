//! A queue of messages that any number of processes put into and get from.
//!
//! It lives in one memory file: words, a table that chains chunks, and the chunks, through which the records run one
//! after the other. Nothing of a message stays in the process that put it, so that one may end at once.
//!
//! One lock guards it, and the next to take the lock sees when its owner died. A message is in when TAIL is written and out when HEAD is,
//! each one store; what else a dead owner may have left half done, `repair` finds by walking from one to the other.

mod bell;
mod chunks;
mod courtesy;
mod get;
mod memory;
mod put;
mod shared_bell;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use crate::channel::neutral::WIRE_VERSION;
use crate::channel::words::sleeps;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Doorbell, file_size, identity, is_alive, memory_file, reserve, wait, wake};
use crate::sync::words::lock::{self, Acquired};
use crate::sync::{look_for_signals, nap};
pub use bell::{QueueBell, bell_threads};
use chunks::ChainPlace;
use courtesy::Courtesy;
pub use get::Oldest;
use memory::QueueMemory;

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
/// Not 0 once somebody has asked for the queue's shared bell; read and written by who has the lock, as the bell is rung and
/// hushed, but for a look before a wait.
const LISTENED: usize = 288;
/// The version of this layout in the low half; in the high half in which form the messages are.
const FORMAT: usize = 296;
/// Changes with every message put; whoever finds the queue empty sleeps on it. Next to it: how many sleep.
const PUTS: usize = 320;
const GETTERS: usize = 324;
/// Changes with every message taken; whoever finds the queue full sleeps on it. Next to it: how many sleep.
const GETS: usize = 384;
const PUTTERS: usize = 388;
/// How many sleep, in any process, only to tell others of the queue: on PUTS while it is empty, else on the word after this one,
/// which changes when the last message is taken.
const WATCHERS: usize = 392;
const EMPTIED: usize = 396;
/// Changes when the last message is reported done; whoever joins the queue sleeps on it. Next to it: how many sleep.
const DONES: usize = 448;
/// How many messages there were that have something outside of the queue.
const NUMBERS: usize = 456;
/// One 32-bit word a chunk: the next of its chain, or of the free ones.
const NEXT: usize = 4096;

/// The forms of messages.
const OWN: u64 = 0;
const NEUTRAL: u64 = 1;

const CHUNK_BYTES: usize = 64 * 1024;
/// A chunk whose memory was given back to the system while it is free.
const GIVEN_BACK: u32 = 1 << 31;
const NONE: u32 = u32::MAX >> 1;
/// How many free chunks keep their memory, 16 MiB, for the next messages.
const KEPT_CHUNKS: u64 = 256;

/// A backlog of so many chunks, 8 MiB, makes those who put large messages give the getters a moment, down to half of it:
/// chunks that are used again are several times faster than fresh memory.
const BACKLOG_CHUNKS: u64 = 128;
const LARGE_BYTES: usize = CHUNK_BYTES;
/// How long a putter waits for the next sign of a getter, and in all.
const SIGN: Duration = Duration::from_millis(5);
const COURTESY: Duration = Duration::from_millis(20);

const RECORD_BYTES: usize = 8;
const ONE_DONE: u64 = 1 << 32;
const MESSAGES: u64 = ONE_DONE - 1;

/// How much memory a queue may take: much, unless files of the process are limited (`ulimit -f`).
const SIZES: [usize; 4] = [16 << 30, 1 << 30, 64 << 20, 4 << 20];

/// A queue between processes.
#[derive(Debug)]
pub struct Queue {
    memory: QueueMemory,
    data: usize,
    chunks: u32,
    courtesy: Courtesy,
    /// A bell that all who have the queue share, if it was made with one.
    bell: Option<Doorbell>,
}

/// What came of an attempt that does not wait.
#[derive(Debug)]
pub enum Attempt<T> {
    /// The call succeeded.
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
        Queue::create_of(most, OWN)
    }

    /// Sets how many messages there may be, which is less than before: for who made it, before anybody else has it.
    pub fn limit(&self, most: u32) {
        self.word64(MOST).store(most.into(), Ordering::Relaxed);
    }

    /// As [`Queue::create`], of messages in the neutral form: those of [`Queue::create`] are in that of whoever puts them.
    ///
    /// # Errors
    /// The system's.
    pub fn create_neutral(most: u32) -> Result<Queue> {
        Queue::create_of(most, NEUTRAL)
    }

    fn create_of(most: u32, form: u64) -> Result<Queue> {
        let mut answer = Err(Error::new(ErrorKind::Os, "no memory for a queue"));
        for size in SIZES {
            answer = memory_file("procession-queue", size, false).and_then(|file| Queue::map(file, size));
            if answer.is_ok() {
                break;
            }
        }
        let queue = answer?;
        reserve(&queue, 0, NEXT)?;
        queue.word64(MOST).store(most.into(), Ordering::Relaxed);
        queue.word64(FORMAT).store(u64::from(WIRE_VERSION) | form << 32, Ordering::Relaxed);
        queue.word64(FREE).store(NONE.into(), Ordering::Relaxed);
        let first = ChainPlace { chunk: queue.take_chunk()?, offset: 0 };
        queue.word64(HEAD).store(first.word(), Ordering::Relaxed);
        queue.word64(TAIL).store(first.word(), Ordering::Release);
        Ok(queue)
    }

    /// The queue behind a descriptor that another process passed here.
    ///
    /// # Errors
    /// The system's; `InvalidInput` when the file is too small to be a queue's; `Protocol` when the queue was made by another
    /// version.
    pub fn open(file: OwnedFd) -> Result<Queue> {
        let size = file_size(&file)?;
        let queue = Queue::map(file, size)?;
        let format = queue.word64(FORMAT).load(Ordering::Acquire);
        if format as u32 != WIRE_VERSION || format >> 32 > NEUTRAL {
            let theirs = format as u32;
            let message = format!(
                "a queue of version {theirs} of what programs share, where this program's procession has version \
                 {WIRE_VERSION}: both need the same"
            );
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        Ok(queue)
    }

    /// Whether its messages are in the neutral form, for programs of every language.
    pub fn is_neutral(&self) -> bool {
        self.word64(FORMAT).load(Ordering::Relaxed) >> 32 == NEUTRAL
    }

    fn map(file: OwnedFd, size: usize) -> Result<Queue> {
        let table = (size / CHUNK_BYTES * 4 + NEXT).next_multiple_of(CHUNK_BYTES);
        let chunks = size.saturating_sub(table) / CHUNK_BYTES;
        if chunks == 0 || chunks >= NONE as usize {
            return Err(Error::new(ErrorKind::InvalidInput, "this is not the memory of a queue"));
        }
        let memory = QueueMemory::new(file, size, table)?;
        Ok(Queue { memory, data: table, chunks: chunks as u32, courtesy: Courtesy::default(), bell: None })
    }

    #[inline]
    fn word64(&self, offset: usize) -> &AtomicU64 {
        self.memory.word64(offset)
    }

    #[inline]
    fn word32(&self, offset: usize) -> &AtomicU32 {
        self.memory.word32(offset)
    }

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

    /// How many messages are in the queue, at a moment after all that the caller wrote before: programs put nothing into
    /// a queue that is not empty, and whoever then takes the message must see what they wrote.
    #[inline]
    pub fn len(&self) -> usize {
        fence(Ordering::SeqCst);
        self.count()
    }

    /// As [`Queue::len`], for those who hold the lock or look again.
    #[inline]
    fn count(&self) -> usize {
        (self.word64(COUNTS).load(Ordering::Acquire) & MESSAGES) as usize
    }

    /// Whether no message is in the queue.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another message.
    pub fn is_full(&self) -> bool {
        fence(Ordering::SeqCst);
        self.has_no_room()
    }

    /// As [`Queue::is_empty`], for those who look again before they say so: the look may be an old one.
    #[inline]
    pub fn seems_empty(&self) -> bool {
        self.count() == 0
    }

    /// As [`Queue::is_full`], for those who hold the lock or look again. The most there may be
    /// changes no more once others have the queue.
    #[inline]
    fn has_no_room(&self) -> bool {
        self.count() as u64 >= self.word64(MOST).load(Ordering::Relaxed)
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
        self.memory.as_fd()
    }
}

#[cfg(test)]
mod tests;
