//! Polling for a short adaptive time before sleeping.
//!
//! A wake-up across cores costs some 50 us, a polling hand-over a tenth of one: whoever has just run dry polls first.
//! Polling that has lately won nothing, or that lost its time slice to others, stops, and is tried again now and then.

use std::time::{Duration, Instant};

/// The longest poll.
const LONGEST: Duration = Duration::from_micros(60);
/// A gap in a poll that shows that somebody else got the CPU.
const LOST_SLICE: Duration = Duration::from_micros(500);
/// After how many waits without polling it is tried again.
const RETRY_AFTER: u32 = 16;

/// How long one side polls, by what polling has lately won.
#[derive(Debug)]
pub struct Spin {
    budget: Duration,
    pause: u32,
    misses: u32,
}

impl Default for Spin {
    fn default() -> Self {
        Spin::new()
    }
}

impl Spin {
    /// A fresh one, willing to poll.
    pub fn new() -> Spin {
        Spin { budget: LONGEST, pause: 0, misses: 0 }
    }

    /// Polls `ready` for as long as it pays; says whether it became true.
    pub fn until(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        if ready() {
            return true;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        let start = Instant::now();
        let mut last = start;
        loop {
            for _ in 0..24 {
                if ready() {
                    self.misses = 0;
                    return true;
                }
                std::hint::spin_loop();
            }
            let now = Instant::now();
            if now - last > LOST_SLICE {
                self.pause = 4 * RETRY_AFTER;
                return ready();
            }
            last = now;
            if now - start > self.budget {
                self.misses += 1;
                if self.misses >= 3 {
                    self.pause = RETRY_AFTER.min(self.misses);
                }
                return false;
            }
        }
    }

    /// Tells that a sleep was short: polling would have won.
    pub fn slept(&mut self, time: Duration) {
        if time < 2 * LONGEST {
            self.pause = self.pause.min(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_that_wins_nothing_pauses_and_comes_back() {
        let mut spin = Spin::new();
        for _ in 0..3 {
            assert!(!spin.until(|| false));
        }
        assert!(spin.pause > 0);
        for _ in 0..RETRY_AFTER {
            spin.until(|| false);
        }
        assert!(spin.until(|| true));
    }
}
