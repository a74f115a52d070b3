//! Whether it pays to look a few more times before sleeping, for two sides that answer each other.
//!
//! On a quiet machine the other side answers within a microsecond or two, and a sleep costs fifty. On a busy one it has
//! to be given the CPU first, and looking only delays that. So looking that has not paid stops, and each time it is
//! tried again in vain the pause is twice as long.

use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_micros(50);
const MOST_CREDIT: u32 = 6;
/// What a look in vain costs; one that paid earns 1.
const PRICE: u32 = 2;
const SHORTEST_PAUSE: u32 = 8;
const LONGEST_PAUSE: u32 = 4096;

/// How eager one side is.
#[derive(Debug)]
pub struct Eagerness {
    credit: u32,
    /// How many waits go by without a look.
    pause: u32,
    next_pause: u32,
}

impl Default for Eagerness {
    fn default() -> Self {
        Eagerness { credit: MOST_CREDIT, pause: 0, next_pause: SHORTEST_PAUSE }
    }
}

impl Eagerness {
    /// Looks whether `ready`, for as long as it has paid lately; says whether it was.
    pub fn look(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        if self.pause > 0 {
            self.pause -= 1;
            return ready();
        }
        let start = Instant::now();
        loop {
            for _ in 0..8 {
                if ready() {
                    self.won();
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > LONGEST {
                self.lost();
                return ready();
            }
        }
    }

    fn won(&mut self) {
        self.credit = (self.credit + 1).min(MOST_CREDIT);
        if self.credit == MOST_CREDIT {
            self.next_pause = SHORTEST_PAUSE;
        }
    }

    fn lost(&mut self) {
        self.credit = self.credit.saturating_sub(PRICE);
        if self.credit == 0 {
            self.pause = self.next_pause;
            self.next_pause = (2 * self.next_pause).min(LONGEST_PAUSE);
            // One more try after the pause.
            self.credit = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_that_does_not_pay_becomes_rare() {
        let mut eager = Eagerness::default();
        let mut long_looks = 0;
        for _ in 0..1_000 {
            let before = eager.pause;
            eager.look(|| false);
            long_looks += u32::from(before == 0);
        }
        assert!(long_looks < 12, "{long_looks}");
    }

    #[test]
    fn looking_that_pays_again_goes_on() {
        let mut eager = Eagerness::default();
        (0..50).for_each(|_| assert!(!eager.look(|| false)));
        while eager.pause > 0 {
            eager.look(|| false);
        }
        (0..20).for_each(|_| assert!(eager.look(|| true)));
        assert_eq!((eager.credit, eager.pause), (MOST_CREDIT, 0));
    }
}
