//! A descriptor that is readable while a queue has messages, for programs that wait for many things at once.
//!
//! Whoever puts and gets may have been started long before somebody asks for it, and has no descriptor of the asker's. So
//! nothing is sent: a thread of the asker sleeps on the queue's words, as a getter does, and rings.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::*;
use crate::platform::{Doorbell, SignalGuard};

/// What the thread is called. A fork need not mind it: it holds nothing that a child uses.
const NAME: &str = "procession-bell";
const STACK_BYTES: usize = 128 * 1024;
/// How long a message may lie without having been announced: whoever put it was killed at that very moment.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The process that has such threads, in the high half, and how many. A fork has this word, but not the threads.
static THREADS: AtomicU64 = AtomicU64::new(0);

/// How many threads of this process watch queues.
pub fn bell_threads() -> u32 {
    let threads = THREADS.load(Ordering::Relaxed);
    if threads >> 32 == u64::from(std::process::id()) { threads as u32 } else { 0 }
}

fn count_threads(change: impl Fn(u32) -> u32) {
    let process = u64::from(std::process::id()) << 32;
    let _ = THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
        let here = if now & !MESSAGES == process { now as u32 } else { 0 };
        Some(process | u64::from(change(here)))
    });
}

/// A descriptor that is readable while a queue has messages; nobody takes its rings but the queue's own calls.
#[derive(Debug)]
pub struct QueueBell {
    watched: Arc<WatchedBell>,
    process: u64,
}

#[derive(Debug)]
struct WatchedBell {
    queue: Arc<Queue>,
    bell: Doorbell,
    rings: Mutex<bool>,
    is_over: AtomicBool,
}

impl QueueBell {
    /// Watches the queue from now on, by a thread that ends with this value.
    ///
    /// # Errors
    /// The system's: no descriptor, no thread.
    pub fn new(queue: Arc<Queue>) -> Result<QueueBell> {
        let bell = Doorbell::new()?;
        let watched = Arc::new(WatchedBell { queue, bell, rings: Mutex::new(false), is_over: AtomicBool::new(false) });
        watched.settle();
        let thread = std::thread::Builder::new().name(NAME.into()).stack_size(STACK_BYTES);
        let watch = watched.clone();
        let _blocked = SignalGuard::block_all(); // signals are for the program's threads: the new one inherits the mask
        count_threads(|threads| threads + 1);
        let started = thread.spawn(move || {
            watch.watch();
            drop(watch);
            count_threads(|threads| threads.saturating_sub(1));
        });
        if let Err(e) = started {
            count_threads(|threads| threads.saturating_sub(1));
            return Err(Error::os("a thread to watch a queue", e.raw_os_error().unwrap_or(0)));
        }
        Ok(QueueBell { watched, process: identity() })
    }

    /// Whether it is this process's: a copy that was forked has the descriptor, but nobody who rings for it.
    pub fn is_ours(&self) -> bool {
        self.process == identity()
    }

    /// Has it ring, or be silent, by what is in the queue now; after a put or a get of this process.
    pub fn settle(&self) {
        if self.is_ours() {
            self.watched.settle();
        }
    }
}

impl AsFd for QueueBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.bell.as_fd()
    }
}

impl Drop for QueueBell {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        self.watched.is_over.store(true, Ordering::SeqCst);
        // The thread may be just about to sleep on a word as it saw it before: so both change. Others that sleep there look again.
        for word in [PUTS, EMPTIED].map(|word| self.watched.queue.word32(word)) {
            word.fetch_add(1, Ordering::SeqCst);
            wake(word, i32::MAX as u32);
        }
    }
}

impl WatchedBell {
    /// Rings or hushes as needed; returns whether it rings.
    fn settle(&self) -> bool {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let has_messages = !self.queue.is_empty();
        if has_messages != *rings {
            if has_messages {
                self.bell.ring()
            } else {
                self.bell.hush()
            }
            *rings = has_messages;
        }
        has_messages
    }

    fn watch(&self) {
        let queue = &*self.queue;
        let [puts, getters, watchers, emptied] = [PUTS, GETTERS, WATCHERS, EMPTIED].map(|word| queue.word32(word));
        let is_over = || self.is_over.load(Ordering::SeqCst);
        while !is_over() {
            let until = Some(Instant::now() + LOOK_AGAIN);
            // An error is a limit or a signal, and there is one more look in any case.
            let _ = if self.settle() {
                let ready = || is_over() || queue.seems_empty();
                sleeps::sleep(emptied, watchers, ready, |seen| wait(emptied, seen, until))
            } else {
                let ready = || is_over() || !queue.seems_empty();
                sleeps::watch(puts, getters, watchers, ready, |seen| wait(puts, seen, until))
            };
        }
    }
}
