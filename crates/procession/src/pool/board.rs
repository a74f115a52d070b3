//! What a pool shows of itself to whoever looks: a page of words in its segment, between the bells and the slots.
//!
//! The driver's thread writes, nobody waits for it, and no file, call or thread is there for it: a job's entry is filled once,
//! its counts are added to as outcomes are handed out. Who looks reads a copy ([`super::look`]). Entries are used in turn, and one
//! of a job that has not ended is kept: of more such jobs than there are entries the first are shown, as they run first, and the
//! others wait for a place ([`super::overflow`]). Calls of one function, each of which is a job, have an entry in common.
//!
//! A long file: those who write the words and those who read them stand side by side, with their tests.
//!
//! | bytes | what |
//! |---|---|
//! | 0-127 | magic, layout version, version of the program, owner, name, start method, workers, limit of memory, deaths |
//! | 128-8191 | 63 entries: version, first and last job, total, done, failed, retried, started, ended, method, function |

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};
use std::time::Duration;

use super::overflow::{Overflow, Row};
use super::timeline;
use crate::channel::{short, text_in, word_in};
use crate::platform::{coarse_now, identity};
use crate::shared_memory::{Segment, copy_in};

/// Where in a pool's segment the board is.
pub const BOARD_AT: usize = 8192;
/// How many bytes it has.
pub(super) const BOARD_BYTES: usize = 8192;
/// Where the slots begin.
const SLOTS_AT: usize = 16384;
const _: () = assert!(BOARD_AT + BOARD_BYTES <= SLOTS_AT);

const ENTRY_BYTES: usize = 128;
/// How many jobs are shown.
pub const ENTRIES: usize = BOARD_BYTES / ENTRY_BYTES - 1;

/// What it begins with, in memory of this machine's order of bytes.
const MAGIC: u64 = u64::from_ne_bytes(*b"procssn\x01");
/// The version of all that follows the first 24 bytes, here and in workers' segments.
pub const LAYOUT: u32 = 1;
const LAYOUT_AT: usize = 8;
const VERSION_AT: usize = 12;
const VERSION_TEXT: usize = 11;
const OWNER_AT: usize = 24;
const SERIAL_AT: usize = 32;
const MADE_AT: usize = 40;
const MEMORY_AT: usize = 48;
const DEATHS_AT: usize = 56;
const WORKERS_AT: usize = 64;
const METHOD_AT: usize = 72;
const METHOD_TEXT: usize = 11;
const NAME_AT: usize = 84;
const NAME_TEXT: usize = 43;

const FIRST_JOB: usize = 8;
const LAST_JOB: usize = 16;
const TOTAL: usize = 24;
const DONE: usize = 32;
const FAILED: usize = 40;
const RETRIED: usize = 48;
/// How many jobs of it have not ended.
const OPEN: usize = 52;
const STARTED: usize = 56;
const ENDED: usize = 64;
const BY: usize = 72;
const BY_TEXT: usize = 15;
const FUNCTION: usize = 88;
const FUNCTION_TEXT: usize = 39;

/// A total that is not known yet.
const UNKNOWN: u64 = u64::MAX;

/// The entry of a job: none, or the number of the entry among all that were given, and its place on the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry(u64);

/// The place of an entry that had none when it was given.
const LATE: usize = 255;
const _: () = assert!(ENTRIES < LATE);

impl Entry {
    fn new(number: u64, place: usize) -> Entry {
        Entry(number << 8 | place as u64)
    }

    fn number(self) -> u64 {
        self.0 >> 8
    }

    fn place(self) -> usize {
        self.0 as usize & 0xff
    }
}

/// Where an entry at a place begins.
fn at(place: usize) -> usize {
    BOARD_AT + ENTRY_BYTES * (1 + place)
}

/// What a job is called.
#[derive(Clone, Copy, Debug)]
pub struct Title<'a> {
    /// The name of its function.
    pub function: &'a str,
    /// Names the function among those of its pool; calls of the same one have an entry in common.
    pub id: u64,
    /// The method that made it.
    pub method: &'a str,
    /// Whether it is a single call.
    pub is_call: bool,
}

/// The board of a pool, for its driver.
#[derive(Debug)]
pub struct Board {
    counts: Counts,
    serial: u64,
    given: u64,
    /// The place whose turn it is.
    next: usize,
    /// The function that was called last by a call of its own, and the entry of such calls.
    calls: (u64, Entry),
}

/// What is added to the entries of jobs, by one thread at a time.
#[derive(Clone, Debug)]
pub struct Counts {
    segment: Arc<Segment>,
    serial: u64,
    overflow: Arc<Overflow>,
}

impl Board {
    /// Makes the board of a pool, which is on `segment`.
    pub fn new(segment: Arc<Segment>) -> Board {
        static POOLS: AtomicU64 = AtomicU64::new(0);
        let serial = 1 + POOLS.fetch_add(1, Relaxed);
        let counts = Counts { segment, serial, overflow: Arc::default() };
        Board { counts, serial, given: 0, next: 0, calls: (0, Entry::default()) }
    }

    /// The number of the pool among those of this process.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// Says whose pool it is: the name of the program, the start method, how many workers it is to have, and how many bytes
    /// of memory each may have. From then on it can be found.
    pub fn entitle(&self, program: &str, method: &str, workers: usize, memory: Option<u64>) {
        let segment = &self.counts.segment;
        let word = |at: usize, value: u64| segment.word64(BOARD_AT + at).store(value, Relaxed);
        segment.word32(BOARD_AT + LAYOUT_AT).store(LAYOUT, Relaxed);
        self.write(BOARD_AT + VERSION_AT, VERSION_TEXT, env!("CARGO_PKG_VERSION"));
        word(OWNER_AT, identity());
        word(SERIAL_AT, self.serial);
        word(MADE_AT, coarse_now().as_nanos() as u64);
        word(MEMORY_AT, memory.unwrap_or(0));
        word(WORKERS_AT, workers as u64);
        self.write(BOARD_AT + METHOD_AT, METHOD_TEXT, method);
        self.write(BOARD_AT + NAME_AT, NAME_TEXT, program);
        segment.word64(BOARD_AT).store(MAGIC, Release);
    }

    /// Shows how many workers there are to be.
    pub fn resize(&self, workers: usize) {
        self.counts.segment.word64(BOARD_AT + WORKERS_AT).store(workers as u64, Relaxed);
    }

    /// Gives a job of `total` items an entry; none: that is not known yet.
    pub fn begin(&mut self, job: u64, total: Option<u64>, title: Title<'_>) -> Entry {
        if timeline::recording() != 0 {
            timeline::begin(self.serial, job, total, title);
        }
        let (function, entry) = self.calls;
        if title.is_call && function == title.id && self.counts.join(entry, job) {
            return entry;
        }
        self.given += 1;
        let row = Row {
            number: self.given,
            jobs: (job, job),
            total,
            done: 0,
            failed: 0,
            retried: 0,
            open: 1,
            started: coarse_now().as_nanos() as u64,
            method: title.method.into(),
            function: title.function.into(),
        };
        let place = self.place(row);
        let entry = Entry::new(self.given, place);
        if title.is_call {
            self.calls = (title.id, entry);
        }
        entry
    }

    /// Has a new entry stand at the next place whose jobs have all ended, or wait for one.
    fn place(&mut self, row: Row<'_>) -> usize {
        let counts = &self.counts;
        let mut places = counts.overflow.places();
        let has_ended = |place: &usize| counts.segment.word32(at(*place) + OPEN).load(Relaxed) == 0;
        if counts.overflow.is_empty()
            && let Some(place) = (self.next..ENTRIES).chain(0..self.next).find(has_ended)
        {
            counts.fill(place, &row);
            self.next = (place + 1) % ENTRIES;
            return place;
        }
        places.push(row);
        LATE
    }

    /// What is added to while jobs run.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    fn write(&self, at: usize, most: usize, text: &str) {
        self.counts.write(at, most, text);
    }
}

impl Counts {
    fn write(&self, at: usize, most: usize, text: &str) {
        copy_in(self.segment.mapping(), at, &short(text, most));
    }

    /// Has an entry stand at a place.
    fn fill(&self, place: usize, row: &Row<'_>) {
        let (segment, at) = (&self.segment, at(place));
        segment.word64(at).store(2 * row.number - 1, Relaxed);
        fence(Release);
        let word = |field: usize, value: u64| segment.word64(at + field).store(value, Relaxed);
        word(FIRST_JOB, row.jobs.0);
        word(LAST_JOB, row.jobs.1);
        word(TOTAL, row.total.unwrap_or(UNKNOWN));
        word(DONE, row.done);
        word(FAILED, row.failed);
        word(ENDED, 0);
        segment.word32(at + RETRIED).store(row.retried, Relaxed);
        segment.word32(at + OPEN).store(row.open, Relaxed);
        word(STARTED, row.started);
        self.write(at + BY, BY_TEXT, &row.method);
        self.write(at + FUNCTION, FUNCTION_TEXT, &row.function);
        segment.word64(at).store(2 * row.number, Release);
    }

    /// Adds a call to an entry of calls; says whether that is still there.
    fn join(&self, entry: Entry, job: u64) -> bool {
        let Some(at) = self.at(entry) else {
            return self.change(entry, |row| {
                row.total = row.total.map(|total| total + 1);
                row.jobs.1 = job;
                row.open += 1;
            });
        };
        let total = self.segment.word64(at + TOTAL);
        total.store(total.load(Relaxed).wrapping_add(1), Relaxed);
        self.segment.word64(at + LAST_JOB).store(job, Relaxed);
        if self.segment.word32(at + OPEN).fetch_add(1, Relaxed) == 0 {
            self.segment.word64(at + ENDED).store(0, Relaxed);
        }
        true
    }

    /// Where an entry begins; none if there is none, or it waits, or was given away since.
    #[inline]
    fn at(&self, entry: Entry) -> Option<usize> {
        let is_at = |at: &usize| self.segment.word64(*at).load(Relaxed) == 2 * entry.number();
        match entry.place() {
            _ if entry.number() == 0 => None,
            LATE => self.late(entry),
            place => Some(at(place)).filter(is_at),
        }
    }

    #[cold]
    fn late(&self, entry: Entry) -> Option<usize> {
        (0..ENTRIES).map(at).find(|at| self.segment.word64(*at).load(Relaxed) == 2 * entry.number())
    }

    /// Changes the row of an entry that waits; says whether it does.
    #[cold]
    fn change(&self, entry: Entry, change: impl FnOnce(&mut Row<'static>)) -> bool {
        entry.place() == LATE && self.overflow.change(entry.number(), change)
    }

    /// Counts items of a job that have returned.
    #[inline]
    pub fn done(&self, entry: Entry, count: u64) {
        match self.at(entry) {
            Some(at) => self.add(at + DONE, count),
            None => _ = self.change(entry, |row| row.done += count),
        }
    }

    /// An item of a job has failed.
    pub fn failed(&self, entry: Entry) {
        match self.at(entry) {
            Some(at) => self.add(at + FAILED, 1),
            None => _ = self.change(entry, |row| row.failed += 1),
        }
    }

    /// An item of a job is tried once more.
    pub fn retried(&self, entry: Entry) {
        match self.at(entry) {
            Some(at) => _ = self.segment.word32(at + RETRIED).fetch_add(1, Relaxed),
            None => _ = self.change(entry, |row| row.retried += 1),
        }
    }

    /// All items of a job are known: so many.
    pub fn complete(&self, entry: Entry, total: u64) {
        match self.at(entry) {
            Some(at) => self.segment.word64(at + TOTAL).store(total, Relaxed),
            None => _ = self.change(entry, |row| row.total = Some(total)),
        }
    }

    /// A job has ended, with or without outcomes of all its items.
    pub fn end(&self, entry: Entry) {
        let Some(at) = self.at(entry) else {
            self.change(entry, |row| row.open -= 1);
            return;
        };
        if self.segment.word32(at + OPEN).fetch_sub(1, Relaxed) == 1 {
            self.segment.word64(at + ENDED).store(coarse_now().as_nanos() as u64, Relaxed);
            if !self.overflow.is_empty() {
                self.admit(at);
            }
        }
    }

    /// Gives the place at `at` to the entry that has waited longest, unless somebody has it again.
    #[cold]
    fn admit(&self, at: usize) {
        let mut places = self.overflow.places();
        if self.segment.word32(at + OPEN).load(Relaxed) == 0
            && let Some(row) = places.pop()
        {
            self.fill((at - BOARD_AT) / ENTRY_BYTES - 1, &row);
        }
    }

    #[inline]
    fn add(&self, at: usize, count: u64) {
        let word = self.segment.word64(at);
        word.store(word.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Why an item of a job has failed, in a line: for a recording.
    pub fn explain(&self, job: u64, item: u64, text: &str) {
        timeline::explain(self.serial, job, item, text);
    }

    /// A worker has died.
    pub fn died(&self) {
        let word = self.segment.word64(BOARD_AT + DEATHS_AT);
        word.store(word.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// A board as it was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The process that has the pool.
    pub owner: u64,
    /// Its number among those of its process.
    pub serial: u64,
    /// The name of the program.
    pub name: String,
    /// How its workers are started.
    pub method: String,
    /// How many it is to have.
    pub workers: u64,
    /// How many bytes of memory each may have; 0: no limit.
    pub memory: u64,
    /// How many have died.
    pub deaths: u64,
    /// When it was made.
    pub made: Duration,
    /// Its jobs, in the order in which they were handed in.
    pub jobs: Vec<Job>,
}

/// A job, or calls of one function, as a board says.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The numbers of the first and the last job that it stands for.
    pub jobs: (u64, u64),
    /// The name of the function.
    pub function: String,
    /// The method that made it.
    pub method: String,
    /// How many items there are; none where that is not known yet.
    pub total: Option<u64>,
    /// How many have returned.
    pub done: u64,
    /// How many have failed.
    pub failed: u64,
    /// How often one was tried again.
    pub retried: u64,
    /// When it was handed in.
    pub started: Duration,
    /// When it ended, if it has.
    pub ended: Option<Duration>,
}

/// What is on a board.
#[derive(Clone, Debug)]
pub enum Content {
    /// A pool.
    Pool(Box<Read>),
    /// A pool of another layout: its version of procession.
    Other(String),
}

/// What the bytes of a board say, read twice, one after the other; none if it is none.
pub fn content(first: &[u8], second: &[u8]) -> Option<Content> {
    let word = |at: usize| word_in(first, at);
    let text = |at: usize, most: usize| Some(text_in(first.get(at..)?, most));
    if word(0)? != MAGIC {
        return None;
    }
    if word(LAYOUT_AT)? as u32 != LAYOUT {
        return Some(Content::Other(text(VERSION_AT, VERSION_TEXT)?));
    }
    let mut entries: Vec<(u64, Job)> =
        (1..=ENTRIES).filter_map(|entry| read_entry(first, second, entry * ENTRY_BYTES)).collect();
    entries.sort_by_key(|(version, _)| *version);
    Some(Content::Pool(Box::new(Read {
        owner: word(OWNER_AT)?,
        serial: word(SERIAL_AT)?,
        name: text(NAME_AT, NAME_TEXT)?,
        method: text(METHOD_AT, METHOD_TEXT)?,
        workers: word(WORKERS_AT)?,
        memory: word(MEMORY_AT)?,
        deaths: word(DEATHS_AT)?,
        made: Duration::from_nanos(word(MADE_AT)?),
        jobs: entries.into_iter().map(|(_, job)| job).collect(),
    })))
}

fn read_entry(first: &[u8], second: &[u8], at: usize) -> Option<(u64, Job)> {
    let version = word_in(first, at)?;
    // One that was given away while it was read is seen the next time.
    if version == 0 || version % 2 == 1 || word_in(second, at)? != version {
        return None;
    }
    let word = |field: usize| word_in(first, at + field);
    let ended = word(ENDED)?;
    let job = Job {
        jobs: (word(FIRST_JOB)?, word(LAST_JOB)?),
        function: text_in(first.get(at + FUNCTION..)?, FUNCTION_TEXT),
        method: text_in(first.get(at + BY..)?, BY_TEXT),
        total: Some(word(TOTAL)?).filter(|total| *total != UNKNOWN),
        done: word(DONE)?,
        failed: word(FAILED)?,
        retried: u64::from(word(RETRIED)? as u32),
        started: Duration::from_nanos(word(STARTED)?),
        ended: (ended > 0).then(|| Duration::from_nanos(ended)),
    };
    Some((version, job))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(Arc::new(Segment::create("test", SLOTS_AT, true).unwrap()))
    }

    fn bytes_of(board: &Board) -> Vec<u8> {
        let mut bytes = Vec::new();
        crate::shared_memory::copy_out(board.counts.segment.mapping(), BOARD_AT, BOARD_BYTES, &mut bytes);
        bytes
    }

    fn read(board: &Board) -> Read {
        let bytes = bytes_of(board);
        match content(&bytes, &bytes) {
            Some(Content::Pool(read)) => *read,
            other => panic!("{other:?}"),
        }
    }

    fn map(function: &str) -> Title<'_> {
        Title { function, id: 1, method: "map", is_call: false }
    }

    #[test]
    fn what_is_not_entitled_is_no_pool() {
        let bytes = bytes_of(&board());
        assert!(content(&bytes, &bytes).is_none());
        assert!(content(&[], &[]).is_none());
    }

    #[test]
    fn a_job_is_shown_with_its_counts() {
        let mut board = board();
        board.entitle("a.py", "spawn", 4, Some(1 << 30));
        let entry = board.begin(7, Some(10), map("work"));
        let counts = board.counts();
        counts.done(entry, 3);
        counts.failed(entry);
        counts.retried(entry);
        counts.died();
        let read = read(&board);
        assert_eq!((read.name.as_str(), read.method.as_str(), read.workers), ("a.py", "spawn", 4));
        assert_eq!((read.memory, read.deaths, read.owner), (1 << 30, 1, identity()));
        let job = &read.jobs[0];
        assert_eq!((job.jobs, job.function.as_str(), job.method.as_str()), ((7, 7), "work", "map"));
        assert_eq!((job.total, job.done, job.failed, job.retried, job.ended), (Some(10), 3, 1, 1, None));
    }

    #[test]
    fn a_job_whose_length_is_not_known_gets_it_later() {
        let mut board = board();
        board.entitle("a.py", "spawn", 4, None);
        let entry = board.begin(1, None, map("work"));
        assert_eq!(read(&board).jobs[0].total, None);
        board.counts().complete(entry, 12);
        board.counts().end(entry);
        let job = read(&board).jobs.remove(0);
        assert_eq!((job.total, job.ended.is_some()), (Some(12), true));
    }

    #[test]
    fn calls_of_one_function_have_a_row_in_common() {
        let mut board = board();
        board.entitle("a.py", "spawn", 4, None);
        let call = |id: u64| Title { function: "train", id, method: "apply_async", is_call: true };
        let entries: Vec<Entry> = (1..=5).map(|job| board.begin(job, Some(1), call(9))).collect();
        assert!(entries.iter().all(|entry| *entry == entries[0]));
        assert_ne!(board.begin(6, Some(1), call(8)), entries[0]);
        board.counts().end(entries[0]);
        let jobs = read(&board).jobs;
        assert_eq!((jobs[0].jobs, jobs[0].total, jobs[1].total), ((1, 5), Some(5), Some(1)));
        assert_eq!(jobs[0].ended, None);
        entries[1..].iter().for_each(|entry| board.counts().end(*entry));
        assert!(read(&board).jobs[0].ended.is_some());
    }

    #[test]
    fn the_latest_rows_are_shown_and_what_comes_late_is_nobody_elses() {
        let mut board = board();
        board.entitle("a.py", "spawn", 4, None);
        let old = board.begin(1, Some(1), map("old"));
        board.counts().end(old);
        for job in 2..=ENTRIES as u64 + 1 {
            let entry = board.begin(job, Some(1), map("new"));
            board.counts().end(entry);
        }
        board.counts().done(old, 5);
        board.counts().end(old);
        let jobs = read(&board).jobs;
        assert_eq!((jobs.len(), jobs[0].jobs.0, jobs[ENTRIES - 1].jobs.0), (ENTRIES, 2, ENTRIES as u64 + 1));
        assert!(jobs.iter().all(|job| job.done == 0 && job.ended.is_some() && job.function == "new"));
    }

    #[test]
    fn rows_of_jobs_that_have_not_ended_are_kept_and_others_wait_for_them() {
        let mut board = board();
        board.entitle("a.py", "spawn", 4, None);
        let counts = board.counts();
        let many = ENTRIES as u64;
        let call =
            |id: u64| Title { function: if id == 1 { "odd" } else { "even" }, id, method: "apply", is_call: true };
        let first: Vec<Entry> = (1..=many).map(|job| board.begin(job, Some(1), call(1 + job % 2))).collect();
        let late = board.begin(many + 1, None, map("late"));
        let calls: Vec<Entry> = (2..=4).map(|job| board.begin(many + job, Some(1), call(7))).collect();
        let cancelled = board.begin(many + 5, Some(1), map("cancelled"));
        let last = board.begin(many + 6, Some(1), map("last"));
        assert_eq!((calls[0], calls[1]), (calls[1], calls[2]));
        let shown = |board: &Board| read(board).jobs.into_iter().map(|job| job.jobs).collect::<Vec<_>>();
        assert_eq!(shown(&board), (1..=many).map(|job| (job, job)).collect::<Vec<_>>());
        counts.complete(late, 9);
        counts.done(late, 2);
        counts.failed(late);
        counts.retried(late);
        counts.end(cancelled);
        counts.end(calls[0]);
        (first[..3].iter()).for_each(|entry| counts.end(*entry));
        counts.done(late, 3);
        let jobs = read(&board).jobs;
        let (found, rest) = (&jobs[ENTRIES - 3..], &jobs[..ENTRIES - 3]);
        assert!(rest.iter().all(|job| job.ended.is_none()) && rest[0].jobs.0 == 4);
        assert_eq!((found[0].function.as_str(), found[0].total, found[0].done), ("late", Some(9), 5));
        assert_eq!((found[0].failed, found[0].retried, found[0].ended), (1, 1, None));
        assert_eq!((found[1].jobs, found[1].total, found[1].ended), ((many + 2, many + 4), Some(3), None));
        assert_eq!((found[2].function.as_str(), found[2].jobs.0), ("last", many + 6));
        // With no row that waits entries are used in turn again, without those of jobs that have not ended.
        counts.end(last);
        board.begin(many + 7, Some(1), map("next"));
        let jobs = shown(&board);
        assert_eq!((jobs[0].0, jobs[ENTRIES - 1].0, jobs.len()), (4, many + 7, ENTRIES));
        assert!(!jobs.contains(&(many + 6, many + 6)) && jobs.contains(&(many + 1, many + 1)));
    }

    #[test]
    fn a_row_that_is_given_away_meanwhile_and_another_layout_are_not_misread() {
        let mut board = board();
        board.entitle("a.py", "spawn", 4, None);
        board.begin(1, Some(1), map("one"));
        let first = bytes_of(&board);
        board.begin(2, Some(1), map("two"));
        let Some(Content::Pool(read)) = content(&first, &bytes_of(&board)) else { panic!() };
        assert_eq!(read.jobs.len(), 1);
        board.counts.segment.word32(BOARD_AT + LAYOUT_AT).store(LAYOUT + 1, Relaxed);
        let bytes = bytes_of(&board);
        let Some(Content::Other(version)) = content(&bytes, &bytes) else { panic!() };
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }
}
