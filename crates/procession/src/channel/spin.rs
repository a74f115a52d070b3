//! Polling for a short adaptive time before sleeping.
//!
//! A wake-up across cores costs some 50 us, a polling hand-over a tenth of one: whoever has just run dry polls first, as long as
//! that is the quicker way.

use std::time::{Duration, Instant};

use super::habit::{Habit, LONGEST};

/// How long one side polls, by what polling and sleeping took lately.
#[derive(Debug, Default)]
pub struct Spin {
    habit: Habit,
    /// When a poll began that found nothing.
    polled: Option<Instant>,
}

impl Spin {
    /// A fresh one, willing to poll.
    pub fn new() -> Spin {
        Spin::default()
    }

    /// Polls `ready` for as long as it pays; says whether it became true.
    pub fn until(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        if ready() {
            return true;
        }
        self.polled = None;
        if !self.habit.is_to_look() {
            return false;
        }
        let start = Instant::now();
        loop {
            for _ in 0..24 {
                if ready() {
                    self.habit.took(true, start.elapsed());
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > LONGEST {
                self.polled = Some(start);
                return false;
            }
        }
    }

    /// Tells how long the sleep took that followed.
    pub fn slept(&mut self, time: Duration) {
        match self.polled.take() {
            Some(start) => self.habit.took(true, start.elapsed()),
            None => self.habit.took(false, time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_that_wins_nothing_pauses_and_comes_back() {
        let mut spin = Spin::new();
        let mut polled = 0;
        for _ in 0..1_000 {
            let (mut looks, start) = (0, Instant::now());
            let ready = || {
                looks += 1;
                false
            };
            assert!(!spin.until(ready));
            polled += u32::from(looks > 1);
            spin.slept(start.elapsed());
        }
        assert!((5..100).contains(&polled), "{polled}");
        assert!(spin.until(|| true));
    }
}
