//! Whether to look again and again for an answer or to sleep until it comes: whichever was quicker lately.
//!
//! On a quiet machine the other side answers within a microsecond or two, and to be woken on another core takes fifty. On a
//! busy one a sleeper is woken at once on the core that the other side leaves, and looking only keeps that core. Neither can be
//! told beforehand, so both are timed, and the slower one is tried again now and then.

use std::time::{Duration, Instant};

/// The longest look.
pub(super) const LONGEST: Duration = Duration::from_micros(50);
/// Longer waits tell nothing more.
const MOST_NS: u32 = 100_000;
/// Looking that takes no longer needs no comparison.
const GOOD_NS: u32 = 4_000;
/// How many waits in a row the slower way is tried: the other side may have to find out as well.
const TRIES: u32 = 4;
/// How many waits go by before it is tried again; twice as many each time in vain.
const SHORTEST_PAUSE: u32 = 32;
const LONGEST_PAUSE: u32 = 2048;

/// How one side waits for the other.
#[derive(Debug)]
pub struct Habit {
    /// What waits took, on average.
    looked_ns: u32,
    slept_ns: u32,
    left: u32,
    pause: u32,
}

impl Default for Habit {
    fn default() -> Self {
        Habit { looked_ns: 0, slept_ns: LONGEST.as_nanos() as u32, left: SHORTEST_PAUSE, pause: SHORTEST_PAUSE }
    }
}

impl Habit {
    /// Waits until `look` gives something, by looking or by calling `sleep`, which says what it gives when it was woken.
    pub fn wait<T>(&mut self, mut look: impl FnMut() -> Option<T>, sleep: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        if !self.is_to_look() {
            let answer = sleep();
            self.took(false, begun.elapsed());
            return answer;
        }
        loop {
            for _ in 0..8 {
                if let Some(answer) = look() {
                    self.took(true, begun.elapsed());
                    return answer;
                }
                std::hint::spin_loop();
            }
            if begun.elapsed() > LONGEST {
                let answer = sleep();
                self.took(true, begun.elapsed());
                return answer;
            }
        }
    }

    fn looking_is_quicker(&self) -> bool {
        self.looked_ns < self.slept_ns - self.slept_ns / 4
    }

    /// Whether to look this time.
    pub(super) fn is_to_look(&mut self) -> bool {
        let looks = self.looking_is_quicker();
        if looks && self.looked_ns < GOOD_NS {
            return true;
        }
        self.left = self.left.saturating_sub(1);
        // The last waits before the next pause go the other way.
        looks != (self.left < TRIES)
    }

    /// Notes what a wait took.
    pub(super) fn took(&mut self, looked: bool, time: Duration) {
        let time = u32::try_from(time.as_nanos()).unwrap_or(MOST_NS).min(MOST_NS);
        let was_quicker = self.looking_is_quicker();
        // The way in use is known by many waits, of which one may have been cut off; the other by a few tries.
        let weight = if looked == was_quicker { 8 } else { 2 };
        let average = if looked { &mut self.looked_ns } else { &mut self.slept_ns };
        *average = *average - *average / weight + time / weight;
        if self.looking_is_quicker() != was_quicker {
            self.pause = SHORTEST_PAUSE;
            self.left = self.pause;
        } else if self.left == 0 {
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
            self.left = self.pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_in_vain_becomes_rare() {
        let (mut habit, mut looks) = (Habit::default(), 0);
        for _ in 0..4_000 {
            let mut looked = 0;
            habit.wait(
                || {
                    looked = 1;
                    None
                },
                || (),
            );
            looks += looked;
        }
        assert!(looks < 60, "{looks}");
    }

    #[test]
    fn looking_that_is_quicker_goes_on() {
        let mut habit = Habit::default();
        (0..50).for_each(|_| habit.took(true, Duration::from_millis(1)));
        assert!(!habit.looking_is_quicker());
        (0..50).for_each(|_| habit.took(true, Duration::from_nanos(800)));
        assert!((0..5_000).all(|_| habit.is_to_look()));
    }

    #[test]
    fn neither_way_is_forgotten() {
        let mut habit = Habit::default();
        let mut ways = [0, 0];
        for _ in 0..10_000 {
            let looks = habit.is_to_look();
            ways[usize::from(looks)] += 1;
            habit.took(looks, Duration::from_micros(if looks { 30 } else { 10 }));
        }
        assert!(ways[1] > 3 && ways[1] < 200, "{ways:?}");
    }
}
