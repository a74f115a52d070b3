//! Who sleeps, who polls, and how they are woken.
//!
//! A side that is awake is not woken. Each worker has one bit in `sleeping` and one in `polling`, so that the parent can
//! take back what a dead worker had set; a count could not be mended. The order that loses no wake-up: the sleeper sets
//! its bit, then looks for work once more; the publisher publishes, then looks for bits.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, fence};
use std::time::Instant;

use super::slots::MAX_WORKERS;
use super::words::bells as words;
use crate::error::Result;
use crate::shared_memory::Segment;

const PARENT_SLEEPS_AT: usize = 192;
const STOP_AT: usize = 196;
const NOTES_AT: usize = 200;
const SLEEPING_AT: usize = 256;
const POLLING_AT: usize = 512;
const BELLS_AT: usize = 4096;
const WORDS: usize = MAX_WORKERS / 64;

/// The sleeping and polling workers of a pool, and whether its parent sleeps.
#[derive(Clone, Debug)]
pub struct Bells {
    segment: Arc<Segment>,
}

impl Bells {
    /// The bells in a pool's `segment`.
    pub fn new(segment: Arc<Segment>) -> Bells {
        Bells { segment }
    }

    fn bit(&self, base: usize, worker: usize) -> (&AtomicU64, u64) {
        (self.segment.word64(base + worker / 64 * 8), 1 << (worker % 64))
    }

    /// Worker: says that it polls, or no longer does.
    pub fn set_polling(&self, worker: usize, polls: bool) {
        let (bits, bit) = self.bit(POLLING_AT, worker);
        if polls {
            bits.fetch_or(bit, SeqCst)
        } else {
            bits.fetch_and(!bit, SeqCst)
        };
    }

    /// Worker: sleeps until it is woken, unless `ready` finds something to do after the bit is set.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `Interrupted` when a signal handler ran.
    pub fn sleep(&self, worker: usize, until: Option<Instant>, ready: impl FnOnce() -> bool) -> Result<()> {
        let (bits, bit) = self.bit(SLEEPING_AT, worker);
        words::sleep(self.segment.word32(BELLS_AT + worker * 4), bits, bit, until, ready)
    }

    /// Parent, after publishing: wakes one sleeper unless those that poll will take all that is to be claimed, which `ready` counts
    /// and is no more than `most`. No worker sits beyond the first `seats`.
    ///
    /// Workers write what is looked at here: each look takes it out of the cache of one that is about to take the record up. So it
    /// begins with what changes least.
    #[inline]
    pub fn wake_one(&self, seats: usize, most: u64, ready: impl FnOnce() -> u64) {
        fence(SeqCst);
        let words = seats.div_ceil(64).min(WORDS);
        if self.counts(SLEEPING_AT).take(words).all(|sleepers| sleepers == 0) {
            return;
        }
        let polling = self.counts(POLLING_AT).take(words).map(u64::from).sum();
        if most <= polling || ready() <= polling {
            return;
        }
        self.wake_any();
    }

    /// Parent: wakes one sleeper, if there is one that it knows of: [`Bells::wake_one`] is for who has just published.
    pub fn wake_any(&self) -> bool {
        for index in 0..WORDS {
            if let Some(bit) = words::take_one(self.segment.word64(SLEEPING_AT + index * 8)) {
                self.ring(index * 64 + bit as usize);
                return true;
            }
        }
        false
    }

    /// Parent: wakes every sleeper, once: with many of them the first sleep again before the last is woken.
    pub fn wake_all(&self) {
        fence(SeqCst);
        for index in 0..WORDS {
            let mut sleepers = self.segment.word64(SLEEPING_AT + index * 8).swap(0, SeqCst);
            while sleepers != 0 {
                self.ring(index * 64 + sleepers.trailing_zeros() as usize);
                sleepers &= sleepers - 1;
            }
        }
    }

    /// Parent: wakes a worker, whether it sleeps or is about to.
    pub fn wake(&self, worker: usize) {
        fence(SeqCst);
        self.ring(worker);
    }

    fn ring(&self, worker: usize) {
        words::ring(self.segment.word32(BELLS_AT + worker * 4));
    }

    /// Parent: how many workers sleep, about: it is not known of those who go to sleep just now. Whoever relies on that
    /// number alone looks again before long.
    pub fn sleepers(&self) -> usize {
        self.counts(SLEEPING_AT).sum::<u32>() as usize
    }

    /// How many bits each word has, of which most are empty: few pools have more than 64 workers.
    fn counts(&self, base: usize) -> impl Iterator<Item = u32> {
        (0..WORDS).map(move |index| match self.segment.word64(base + index * 8).load(Relaxed) {
            0 => 0,
            bits => bits.count_ones(),
        })
    }

    /// Parent: takes back what a dead worker had set.
    pub fn forget(&self, worker: usize) {
        for base in [SLEEPING_AT, POLLING_AT] {
            let (bits, bit) = self.bit(base, worker);
            bits.fetch_and(!bit, SeqCst);
        }
    }

    /// Parent: says that it is about to sleep; look at the rings once more after this.
    pub fn parent_sleeps(&self) {
        words::about_to_sleep(self.segment.word32(PARENT_SLEEPS_AT));
    }

    /// Parent: says that it is awake.
    pub fn parent_awake(&self) {
        words::awake(self.segment.word32(PARENT_SLEEPS_AT));
    }

    /// Worker, after publishing: whether the parent has to be woken, by the one who asks.
    #[inline]
    pub fn take_parent_wake(&self) -> bool {
        words::take_wake(self.segment.word32(PARENT_SLEEPS_AT))
    }

    /// Worker: one more note was sent to the parent beside the rings.
    pub fn note_sent(&self) {
        self.segment.word32(NOTES_AT).fetch_add(1, SeqCst);
    }

    /// Parent: how many notes were sent, modulo 2^32. The number carries nothing; what it misses, the wake-up that follows
    /// each note tells, or the fence of [`Bells::parent_sleeps`] shows.
    #[inline]
    pub fn notes(&self) -> u32 {
        self.segment.word32(NOTES_AT).load(Relaxed)
    }

    /// Parent: tells all workers to end when they find nothing to do.
    pub fn stop(&self) {
        self.segment.word32(STOP_AT).store(1, SeqCst);
        self.wake_all();
    }

    /// Worker: whether to end when there is nothing to do.
    pub fn is_stopped(&self) -> bool {
        self.segment.word32(STOP_AT).load(SeqCst) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::slots::Slots;

    #[test]
    fn all_sleepers_are_woken_once() {
        let bells = Bells::new(Arc::new(Segment::create("test", Slots::END, true).unwrap()));
        let sleepers = [0, 63, 64, 200];
        std::thread::scope(|scope| {
            for worker in sleepers {
                let bells = bells.clone();
                scope.spawn(move || bells.sleep(worker, None, || false).unwrap());
            }
            while bells.sleepers() < sleepers.len() {
                std::thread::yield_now();
            }
            bells.wake_all();
        });
        let rung = |worker: usize| bells.segment.word32(BELLS_AT + worker * 4).load(SeqCst);
        assert!(sleepers.into_iter().all(|worker| rung(worker) == 1) && rung(1) == 0);
        assert_eq!(bells.sleepers(), 0);
    }
}
