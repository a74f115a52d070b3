//! What a worker shows of itself to whoever looks: words in the first page of its segment, beside its ledger.
//!
//! Its parent writes which process has which place of which pool; the worker how many items it has worked off, and what its
//! task says of itself. The last value wins: nobody waits, nobody can flood anybody, and who looks only reads. Of what changes
//! in several words, a version tells whether all of it is of one moment: it is odd while they change.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;
use std::time::Duration;

use super::ring::{GLIMPSE_BYTES, Glimpse, glimpse};
use crate::shared_memory::{Segment, copy_in};

/// How many bytes of a worker's segment, from its first on, tell what it does.
pub const SHOWN_BYTES: usize = 512;

const POOL_AT: usize = 256;
const PLACE_AT: usize = 264;
const PID_AT: usize = 268;
const STARTED_AT: usize = 272;
const SERVED_AT: usize = 280;
/// What the parent asks for: output of a job's items through its pipes, the descriptors of which are of the process behind them.
const ASKED_JOB_AT: usize = 288;
const ASKED_PIPES_AT: usize = 296;
const ASKED_PID_AT: usize = 304;
const SPEAKS_AT: usize = 308;
const SAID_AT: usize = 320;
const SAID_TEXT: usize = 32;
const GIVEN_AT: usize = 400;
const GIVEN_TEXT: usize = 64;
/// Behind the version: the job and the item that it is of.
const JOB: usize = 8;
const ITEM: usize = 16;
/// The words of a task: how much is done of how much, and a text behind its length.
const DONE: usize = 24;
const TOTAL: usize = 32;
const SAID: usize = 40;
/// The arguments of a task: a text behind its length.
const GIVEN: usize = 24;

const _: () = assert!(GLIMPSE_BYTES <= POOL_AT && SAID_AT + SAID + 1 + SAID_TEXT <= GIVEN_AT);
const _: () = assert!(GIVEN_AT + GIVEN + 1 + GIVEN_TEXT <= SHOWN_BYTES);

/// How far a task is, by its own words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// How much is done.
    pub done: f64,
    /// How much there is to do; none where the task does not know.
    pub total: Option<f64>,
    /// What it does now.
    pub text: String,
}

/// A worker at one moment, as it shows itself.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The pool, by its number among those of its process.
    pub pool: u64,
    /// Which of the pool's workers it is.
    pub place: u32,
    /// Its process, as its parent calls it.
    pub pid: u32,
    /// When it was started: the time of [`crate::platform::monotonic_now`].
    pub started: Duration,
    /// How many items it has worked off, without those of the record that it has now.
    pub served: u64,
    /// What it does.
    pub now: Glimpse,
    /// How far its task says it is; none where that has said nothing.
    pub said: Option<Said>,
    /// What its task was given, in short; an empty text where that is not known.
    pub given: String,
}

/// The words, for those who write them.
#[derive(Clone, Debug)]
pub struct Badge {
    segment: Arc<Segment>,
}

impl Badge {
    /// Those in a worker's segment.
    pub fn new(segment: Arc<Segment>) -> Badge {
        Badge { segment }
    }

    /// Parent: the segment is that of a worker of `pool`, for its place `place`.
    pub fn assign(&self, pool: u64, place: u32) {
        self.segment.word64(POOL_AT).store(pool, Relaxed);
        self.segment.word32(PLACE_AT).store(place, Relaxed);
    }

    /// Parent: the process `pid` was started for it.
    pub fn seated(&self, pid: u32, now: Duration) {
        self.segment.word64(STARTED_AT).store(now.as_nanos() as u64, Relaxed);
        self.segment.word32(PID_AT).store(pid, Release);
    }

    /// The place that the parent has given it.
    pub fn place(&self) -> u32 {
        self.segment.word32(PLACE_AT).load(Relaxed)
    }

    /// Parent: what items of `job` and those after it write to standard output and error is to go to two pipes, which are these
    /// descriptors of the process `pid`; 0 for one that is to stay as it is. Job 0: of none.
    pub fn ask(&self, job: u64, pid: u32, pipes: (u32, u32)) {
        self.segment.word64(ASKED_JOB_AT).store(0, Release);
        self.segment.word32(ASKED_PID_AT).store(pid, Relaxed);
        self.segment.word64(ASKED_PIPES_AT).store(u64::from(pipes.0) << 32 | u64::from(pipes.1), Relaxed);
        self.segment.word64(ASKED_JOB_AT).store(job, Release);
    }

    /// Worker: the process and its two pipes for what items of `job` write, if it has asked for that.
    #[inline]
    pub fn asked(&self, job: u64) -> Option<(u32, u32, u32)> {
        // None of job 0: there is no such job.
        if job <= self.segment.word64(ASKED_JOB_AT).load(Acquire).wrapping_sub(1) {
            return None;
        }
        let pipes = self.segment.word64(ASKED_PIPES_AT).load(Relaxed);
        Some((self.segment.word32(ASKED_PID_AT).load(Relaxed), (pipes >> 32) as u32, pipes as u32))
    }

    /// Worker: whether it writes to such pipes.
    pub fn speaks(&self, does: bool) {
        self.segment.word32(SPEAKS_AT).store(does.into(), Release);
    }

    /// Whether the worker writes to such pipes.
    pub fn is_speaking(&self) -> bool {
        self.segment.word32(SPEAKS_AT).load(Acquire) != 0
    }

    /// Worker: so many items are worked off.
    #[inline]
    pub fn serve(&self, count: u64) {
        let word = self.segment.word64(SERVED_AT);
        word.store(word.load(Relaxed) + count, Relaxed);
    }

    /// Worker: what the item `item` of `job` says of itself. A longer text is cut. What two threads of a task say at one moment may be
    /// mixed where the interpreter has no lock: who reads it cuts and cleans it.
    pub fn say(&self, job: u64, item: u64, done: f64, total: Option<f64>, text: &str) {
        self.change(SAID_AT, job, item, |at| {
            self.segment.word64(at + DONE).store(done.to_bits(), Relaxed);
            self.segment.word64(at + TOTAL).store(total.unwrap_or(f64::NAN).to_bits(), Relaxed);
            self.write(at + SAID, SAID_TEXT, text);
        });
    }

    /// Worker: what the item `item` of `job` was given. A longer text is cut.
    pub fn give(&self, job: u64, item: u64, text: &str) {
        self.change(GIVEN_AT, job, item, |at| self.write(at + GIVEN, GIVEN_TEXT, text));
    }

    /// What the task that runs has said; none if it has said nothing, or says it just now.
    pub fn said(&self, job: u64, item: u64) -> Option<Said> {
        let mut bytes = Vec::with_capacity(SHOWN_BYTES);
        let version = self.segment.word64(SAID_AT).load(Acquire);
        crate::shared_memory::copy_out(self.segment.mapping(), 0, SHOWN_BYTES, &mut bytes);
        fence(Acquire);
        let is_whole = version.is_multiple_of(2) && self.segment.word64(SAID_AT).load(Relaxed) == version;
        if is_whole { said_in(&bytes, job, item) } else { None }
    }

    fn change(&self, at: usize, job: u64, item: u64, write: impl FnOnce(usize)) {
        let version = self.segment.word64(at);
        let odd = version.load(Relaxed) | 1;
        version.store(odd, Relaxed);
        fence(Release);
        self.segment.word64(at + JOB).store(job, Relaxed);
        self.segment.word64(at + ITEM).store(item, Relaxed);
        write(at);
        version.store(odd.wrapping_add(1), Release);
    }

    fn write(&self, at: usize, most: usize, text: &str) {
        copy_in(self.segment.mapping(), at, &short(text, most));
    }
}

/// The length and the bytes of a text, cut where it is longer than `most` bytes.
pub fn short(text: &str, most: usize) -> Vec<u8> {
    debug_assert!(most <= 255);
    let end = text.floor_char_boundary_at(most);
    [&[end as u8][..], &text.as_bytes()[..end]].concat()
}

/// The text in `bytes` behind its length, without what a terminal would take for an order.
pub fn text_in(bytes: &[u8], most: usize) -> String {
    let Some((length, rest)) = bytes.split_first() else { return String::new() };
    let text = String::from_utf8_lossy(&rest[..usize::from(*length).min(most).min(rest.len())]);
    text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect()
}

/// Whether a character is nothing but a sign on the screen: no order to a terminal, and nothing that turns the direction.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

trait Cut {
    fn floor_char_boundary_at(&self, most: usize) -> usize;
}

impl Cut for str {
    fn floor_char_boundary_at(&self, most: usize) -> usize {
        (0..=most.min(self.len())).rev().find(|end| self.is_char_boundary(*end)).unwrap_or(0)
    }
}

/// What the first [`SHOWN_BYTES`] of a worker's segment say, read twice, one after the other; none if they make no sense.
pub fn shown(first: &[u8], second: &[u8]) -> Option<Shown> {
    let now = glimpse(first)?;
    let word = |at: usize| word_in(first, at);
    let is_whole = |at: usize| Some(word_in(second, at)? == word(at)? && word(at)? % 2 == 0);
    let said = if is_whole(SAID_AT)? { said_in(first, now.job, now.current()) } else { None };
    let given_to = (word(GIVEN_AT + JOB)?, word(GIVEN_AT + ITEM)?);
    let is_given = is_whole(GIVEN_AT)? && word(GIVEN_AT)? > 0 && given_to == (now.job, now.current());
    let given = if is_given { text_in(first.get(GIVEN_AT + GIVEN..)?, GIVEN_TEXT) } else { String::new() };
    Some(Shown {
        pool: word(POOL_AT)?,
        place: word(PLACE_AT)? as u32,
        pid: (word(PLACE_AT)? >> 32) as u32,
        started: Duration::from_nanos(word(STARTED_AT)?),
        served: word(SERVED_AT)?,
        now,
        said,
        given,
    })
}

fn said_in(bytes: &[u8], job: u64, item: u64) -> Option<Said> {
    let word = |at: usize| word_in(bytes, SAID_AT + at);
    if word(0)? == 0 || (word(JOB)?, word(ITEM)?) != (job, item) {
        return None;
    }
    let number = |at: usize| Some(f64::from_bits(word(at)?)).filter(|number| number.is_finite());
    let text = text_in(bytes.get(SAID_AT + SAID..)?, SAID_TEXT);
    Some(Said { done: number(DONE).unwrap_or(0.0), total: number(TOTAL), text })
}

/// The word at `at` of bytes that another process wrote; none behind their end.
pub fn word_in(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn badge() -> Badge {
        Badge::new(Arc::new(Segment::create("test", 4096, true).unwrap()))
    }

    fn bytes_of(badge: &Badge) -> Vec<u8> {
        let mut bytes = Vec::new();
        crate::shared_memory::copy_out(badge.segment.mapping(), 0, SHOWN_BYTES, &mut bytes);
        bytes
    }

    #[test]
    fn what_is_written_is_shown() {
        let badge = badge();
        badge.assign(3, 5);
        badge.seated(77, Duration::from_nanos(9));
        badge.serve(2);
        badge.serve(40);
        let bytes = bytes_of(&badge);
        let shown = shown(&bytes, &bytes).unwrap();
        assert_eq!((shown.pool, shown.place, shown.pid, shown.served), (3, 5, 77, 42));
        assert_eq!((shown.started, shown.said, shown.given), (Duration::from_nanos(9), None, String::new()));
        assert_eq!(badge.place(), 5);
    }

    #[test]
    fn the_items_of_a_job_and_later_ones_are_asked_to_speak() {
        let badge = badge();
        badge.ask(7, 99, (5, 0));
        assert_eq!((badge.asked(7), badge.asked(6), badge.is_speaking()), (Some((99, 5, 0)), None, false));
        assert!(badge.asked(8).is_some());
        badge.speaks(true);
        assert!(badge.is_speaking());
        badge.ask(0, 0, (0, 0));
        assert_eq!(badge.asked(7), None);
    }

    #[test]
    fn what_a_task_says_is_of_that_task_alone() {
        let badge = badge();
        assert_eq!(badge.said(0, 0), None);
        badge.say(0, 0, 2.5, Some(10.0), "loss 0.3");
        badge.give(0, 0, "'a.png'");
        let said = Said { done: 2.5, total: Some(10.0), text: "loss 0.3".into() };
        assert_eq!(badge.said(0, 0), Some(said.clone()));
        assert_eq!((badge.said(0, 1), badge.said(1, 0)), (None, None));
        let bytes = bytes_of(&badge);
        let whole = shown(&bytes, &bytes).unwrap();
        assert_eq!((whole.said, whole.given.as_str()), (Some(said), "'a.png'"));
        badge.say(0, 0, f64::INFINITY, None, "");
        assert_eq!(badge.said(0, 0), Some(Said::default()));
    }

    #[test]
    fn what_changed_between_two_looks_is_not_shown() {
        let badge = badge();
        badge.say(0, 0, 1.0, None, "one");
        let first = bytes_of(&badge);
        badge.say(0, 0, 2.0, None, "two");
        assert_eq!(shown(&first, &bytes_of(&badge)).unwrap().said, None);
    }

    #[test]
    fn texts_are_cut_between_characters_and_give_no_orders() {
        assert_eq!(short("aäb", 2), [1, b'a']);
        assert_eq!(text_in(&short("aäb", 3), 3), "aä");
        assert_eq!(text_in(&short("\x1b]0;x\x07\u{9b}\u{202e}", 60), 60), "\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(text_in(&[200, b'a', 0xff], 64), "a\u{fffd}");
        assert_eq!(text_in(&[], 64), "");
    }
}
