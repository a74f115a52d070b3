//! Whether who puts large messages gives the getters a moment: chunks that are used again are several times faster than fresh
//! memory, but a getter that is slow, or is none, is not worth waiting for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What a used chunk saves: taking, clearing and mapping fresh memory, and giving it back later.
const SAVED_BY_CHUNK: Duration = Duration::from_micros(30);
/// A wait of up to so many times what it saved was worth it: the getter, not the putter, is what the messages wait for then.
const PATIENCE: u32 = 8;
/// How many messages go without a wait after one that was not worth it; the number is multiplied after each further one.
const FIRST_PAUSE: u32 = 8;
const MOST_VAIN: u32 = 4;

/// What one process has seen of a queue's getters.
#[derive(Debug)]
pub(super) struct Courtesy {
    /// How many messages still go without a wait.
    pause: AtomicU32,
    /// How many waits in a row were not worth it.
    vain: AtomicU32,
    /// What GETS was when a putter last waited in vain for getters.
    no_getter_since: AtomicU32,
}

impl Default for Courtesy {
    fn default() -> Self {
        Courtesy { pause: 0.into(), vain: 0.into(), no_getter_since: u32::MAX.into() }
    }
}

impl Courtesy {
    /// Whether this message's putter waits; `gets` is what GETS is.
    pub(super) fn is_due(&self, gets: u32) -> bool {
        if gets == self.no_getter_since.load(Ordering::Relaxed) {
            return false;
        }
        let one_less = |pause: u32| pause.checked_sub(1);
        self.pause.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
    }

    /// Nobody got anything for as long as a putter waits for a sign: `gets` stood still.
    pub(super) fn no_sign(&self, gets: u32) {
        self.no_getter_since.store(gets, Ordering::Relaxed);
    }

    /// A wait is over, in which the backlog became so many chunks shorter.
    pub(super) fn waited(&self, time: Duration, chunks: u64) {
        let chunks = u32::try_from(chunks).unwrap_or(u32::MAX);
        if time <= SAVED_BY_CHUNK.saturating_mul(PATIENCE).saturating_mul(chunks) {
            self.vain.store(0, Ordering::Relaxed);
            return;
        }
        let vain = self.vain.fetch_add(1, Ordering::Relaxed).min(MOST_VAIN);
        self.pause.store(FIRST_PAUSE.pow(vain + 1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_that_are_not_worth_it_become_rare_and_one_that_is_brings_them_back() {
        let courtesy = Courtesy::default();
        let waits = (0..10_000u32).filter(|gets| {
            let due = courtesy.is_due(*gets);
            if due {
                courtesy.waited(Duration::from_millis(5), 1);
            }
            due
        });
        assert_eq!(waits.count(), 5);
        while !courtesy.is_due(0) {}
        courtesy.waited(Duration::from_micros(100), 16);
        assert!((0..100).all(|gets| courtesy.is_due(gets)));
    }

    #[test]
    fn nobody_is_waited_for_who_gets_nothing() {
        let courtesy = Courtesy::default();
        courtesy.no_sign(7);
        assert!(!courtesy.is_due(7) && courtesy.is_due(8));
    }
}
