//! What all pools of this process do when, in a file, while that is recorded.
//!
//! Workers write rows into rings of their own (`channel/rows.rs`); whoever drives a pool empties those of all pools now and then, and
//! adds what they had to the file. Where nothing is recorded, a pool looks at one word for it. What is kept is bounded by time: once so
//! many rows were written, the resolution doubles, so that a row stands for twice the time. The file is only added to, in
//! blocks that tell their length: it can be read whoever was killed when.
//!
//! A block is `b"PR"`, what it is (u16), the bytes that follow (u32), all in this machine's order:
//!
//! | kind | what follows |
//! |---|---|
//! | 1 rows | process, 0 (u32); rows of 80 bytes: life, job, outcome, count (u32), start, span, busy, first, cpu, in line, sent, returned (u64) |
//! | 2 pool | process, pool (u32), when it was made, workers (u64); "program\0start method" |
//! | 3 job | process, pool, job, 0 (u32), when it began, items (u64); "method\0function" |
//! | 4 life of a worker | process, pool, life, place, its process, 0 (u32), when it was started (u64) |
//! | 5 ready, 6 ended | process, life (u32), when (u64); of an end, whether it was expected (u64) |
//! | 7 memory | process, 0 (u32), when (u64); life (0: the parent), KiB (u32) ... |
//! | 8 message | process, job (u32), item, when (u64); text |
//! | 9 end | process, 0 (u32), when (u64) |
//!
//! A long file: the format stands beside the one place that writes it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::board::{BOARD_AT, BOARD_BYTES, Content, Title, content};
use crate::channel::{
    Badge, GLIMPSE_BYTES, Glimpse, Phase, Row, RowOutcome, RowReader, begin_rows, end_rows, glimpse, wanted_rows,
};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Journal, Own, coarse_now, monotonic_now};
use crate::shared_memory::{Segment, copy_out};

/// How often rings are emptied, and what has been read goes into the file whether it may grow or not.
const DRAIN_EVERY: Duration = Duration::from_millis(10);
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// How often the memory of workers is looked at, until there are so many looks; then half as often, and so on.
const WEIGH_EVERY: Duration = Duration::from_millis(200);
const LOOKS: u32 = 1500;
/// After so many rows the resolution doubles.
const ROWS: u32 = 10_000;
/// How many jobs are told apart; then those of one function count as one.
const JOBS: u32 = 2_000;
/// How many functions are told apart.
const NAMES: usize = 2_000;
const MESSAGES: u32 = 500;
const MESSAGE_BYTES: usize = 400;
const NO_CALL: u64 = u64::MAX;
/// A life is one of another recording, or none.
pub(super) const NO_LIFE: u32 = 0;

/// The number of the recording that goes on; 0: none does.
static RECORDING: AtomicU32 = AtomicU32::new(0);
static RECORDINGS: AtomicU32 = AtomicU32::new(0);
/// The last number of a life, of all recordings: a pool may tell of one of an earlier recording.
static LIVES: AtomicU32 = AtomicU32::new(NO_LIFE);
/// When rings were emptied last, in nanoseconds.
static DRAINED: AtomicU64 = AtomicU64::new(0);
static RECORDER: Own<Option<Recorder>> = Own::new(|| None);

/// Jobs whose rows count as those of one: from the first to the last number, in one pool.
#[derive(Debug)]
struct Jobs {
    first: u64,
    last: u64,
    entry: u32,
    /// Of calls, each of which is a job: the number of the first of these among all of its function; of others `NO_CALL`.
    calls: u64,
}

/// A worker whose rows are read.
#[derive(Debug)]
struct Tap {
    life: u32,
    pool: u64,
    pid: u32,
    rows: RowReader,
    /// The last row, which may grow yet; its job is the entry.
    open: Option<Row>,
    /// The job of the last item that is in a row that was read, and the one behind it, as its worker has them.
    last: (u64, u64),
}

#[derive(Debug)]
struct Recorder {
    recording: u32,
    journal: Journal,
    /// What the file refused, after which nothing more is written.
    error: Option<Error>,
    process: u32,
    resolution: u64,
    /// Rows since the resolution was doubled, and bytes of rows that are not in the file.
    written: u32,
    rows: Vec<u8>,
    flushed: Duration,
    taps: Vec<Tap>,
    jobs: FxHashMap<u64, Vec<Jobs>>,
    /// The entries of functions that are called one by one, and how often they were.
    names: FxHashMap<(u64, String), (u32, u64)>,
    entries: u32,
    weighed: Duration,
    weigh_every: Duration,
    looks: u32,
    messages: u32,
}

/// Begins to record all pools of this process. With a `head` the file is made anew and begins with it; else it is added to.
///
/// # Errors
/// `InvalidInput` where that goes on already; the system's.
pub fn start(path: &Path, head: Option<&[u8]>, resolution: Duration) -> Result<()> {
    let mut recorder = RECORDER.lock();
    if recorder.is_some() {
        return Err(Error::new(ErrorKind::InvalidInput, "a recording goes on already, of all pools of this process"));
    }
    let recording = RECORDINGS.fetch_add(1, Relaxed).wrapping_add(1).max(1);
    *recorder = Some(Recorder {
        recording,
        journal: Journal::open(path, head)?,
        error: None,
        process: std::process::id(),
        resolution: resolution.as_nanos() as u64,
        written: 0,
        rows: Vec::new(),
        flushed: coarse_now(),
        taps: Vec::new(),
        jobs: FxHashMap::default(),
        names: FxHashMap::default(),
        entries: 0,
        weighed: Duration::ZERO,
        weigh_every: WEIGH_EVERY,
        looks: 0,
        messages: 0,
    });
    RECORDING.store(recording, Relaxed);
    Ok(())
}

/// Ends the recording, with all that has run until now; false where none goes on.
///
/// # Errors
/// The system's, such as that the disk was full: then the file ends there.
pub fn stop() -> Result<bool> {
    let mut recorder = {
        let mut place = RECORDER.lock();
        let Some(recorder) = place.take() else { return Ok(false) };
        // Before another can begin.
        RECORDING.store(0, Relaxed);
        recorder
    };
    for mut tap in std::mem::take(&mut recorder.taps) {
        recorder.close(&mut tap, RowOutcome::Unfinished);
        end_rows(tap.rows.segment());
    }
    recorder.flush();
    recorder.add(9, &[0], &[monotonic_now().as_nanos() as u64], b"");
    recorder.error.map_or(Ok(true), Err)
}

/// The number of the recording that goes on; 0: none does.
#[inline]
pub fn recording() -> u32 {
    RECORDING.load(Relaxed)
}

fn with<T>(act: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
    RECORDER.lock().as_mut().map(act)
}

/// Empties the rings of all workers, if that was not done just now.
#[inline]
pub(super) fn look() {
    let now = coarse_now();
    if (now.as_nanos() as u64).wrapping_sub(DRAINED.load(Relaxed)) >= DRAIN_EVERY.as_nanos() as u64 {
        DRAINED.store(now.as_nanos() as u64, Relaxed);
        with(|recorder| recorder.drain(now));
    }
}

/// The pool whose board is in `segment` is recorded from now on, with the jobs that it has.
pub(super) fn enter(serial: u64, segment: &Segment) {
    let mut bytes = Vec::new();
    copy_out(segment.mapping(), BOARD_AT, BOARD_BYTES, &mut bytes);
    let Some(Content::Pool(board)) = content(&bytes, &bytes) else { return };
    with(|recorder| {
        let text = format!("{}\0{}", board.name, board.method);
        let made = board.made.as_nanos() as u64;
        recorder.add(2, &[serial as u32], &[made, board.workers], text.as_bytes());
        for job in board.jobs.iter().filter(|job| job.ended.is_none()) {
            let is_call = job.jobs.0 != job.jobs.1;
            let title = Title { function: &job.function, id: 0, method: &job.method, is_call };
            // The calls that came last, of very many, may run yet.
            for number in job.jobs.0.max(job.jobs.1.saturating_sub(1 << 12))..=job.jobs.1 {
                if recorder.entry_of(serial, number).is_none() {
                    recorder.job(serial, number, job.total, title);
                }
            }
        }
    });
}

/// A job was handed in.
#[cold]
pub(super) fn begin(serial: u64, job: u64, total: Option<u64>, title: Title<'_>) {
    with(|recorder| recorder.job(serial, job, total, title));
}

/// A worker was started: process `pid`, at `since`, or is there already.
pub(super) fn live(serial: u64, segment: &Arc<Segment>, pid: u32, since: Duration, is_ready: bool) -> u32 {
    with(|recorder| {
        if begin_rows(segment, wanted_rows(recorder.recording, recorder.resolution)).is_err() {
            return NO_LIFE;
        }
        let life = LIVES.fetch_add(1, Relaxed).wrapping_add(1);
        let place = Badge::new(segment.clone()).place();
        let since = since.as_nanos() as u64;
        recorder.add(4, &[serial as u32, life, place, pid, 0], &[since], b"");
        if is_ready {
            recorder.add(5, &[life], &[since], b"");
        }
        let rows = RowReader::new(segment.clone());
        recorder.taps.push(Tap { life, pool: serial, pid, rows, open: None, last: (0, 0) });
        life
    })
    .unwrap_or(NO_LIFE)
}

/// A worker is ready for records.
pub(super) fn ready(life: u32) {
    with(|recorder| recorder.add(5, &[life], &[monotonic_now().as_nanos() as u64], b""));
}

/// A worker has ended, `is_expected` to, or died; the item that it ran is lost with it, or nobody wants it any more.
pub(super) fn ended(life: u32, is_expected: bool, is_lost: bool) {
    with(|recorder| {
        let Some(at) = recorder.taps.iter().position(|tap| tap.life == life) else { return };
        let mut tap = recorder.taps.swap_remove(at);
        recorder.close(&mut tap, if is_lost { RowOutcome::Died } else { RowOutcome::Unfinished });
        let now = monotonic_now().as_nanos() as u64;
        recorder.add(6, &[life], &[now, is_expected.into()], b"");
    });
}

/// Why the item `item` of a job has failed, in a line.
pub(super) fn explain(serial: u64, job: u64, item: u64, text: &str) {
    with(|recorder| {
        if recorder.messages < MESSAGES {
            recorder.messages += 1;
            let (entry, before) = recorder.entry_of(serial, job).unwrap_or((0, 0));
            let end = (0..=MESSAGE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            let now = monotonic_now().as_nanos() as u64;
            recorder.add(8, &[entry], &[before.saturating_add(item), now], &text.as_bytes()[..end]);
        }
    });
}

impl Recorder {
    /// Adds a block.
    fn add(&mut self, kind: u16, halves: &[u32], words: &[u64], rest: &[u8]) {
        let size = 4 * (1 + halves.len()) + 8 * words.len() + rest.len();
        let mut block = Vec::with_capacity(8 + size);
        block.extend_from_slice(b"PR");
        block.extend_from_slice(&kind.to_ne_bytes());
        block.extend_from_slice(&(size as u32).to_ne_bytes());
        block.extend_from_slice(&self.process.to_ne_bytes());
        halves.iter().for_each(|half| block.extend_from_slice(&half.to_ne_bytes()));
        words.iter().for_each(|word| block.extend_from_slice(&word.to_ne_bytes()));
        block.extend_from_slice(rest);
        if self.error.is_none() {
            self.error = self.journal.add(&block).err();
        }
    }

    fn flush(&mut self) {
        if !self.rows.is_empty() {
            let rows = std::mem::take(&mut self.rows);
            self.add(1, &[0], &[], &rows);
        }
    }

    /// The entry that the rows of a job are of, and the number there of its first item.
    fn entry_of(&self, serial: u64, job: u64) -> Option<(u32, u64)> {
        let jobs = self.jobs.get(&serial)?;
        let after = jobs.partition_point(|jobs| jobs.first <= job);
        let found = jobs.get(after.checked_sub(1)?).filter(|jobs| job <= jobs.last)?;
        Some((found.entry, if found.calls == NO_CALL { 0 } else { found.calls + (job - found.first) }))
    }

    /// Gives a job an entry: one of its own, or that of its function.
    fn job(&mut self, serial: u64, job: u64, total: Option<u64>, title: Title<'_>) {
        let key = (serial, format!("{}\0{}", title.method, title.function));
        let is_shared = title.is_call || self.entries >= JOBS;
        if is_shared && let Some((entry, calls)) = self.names.get_mut(&key) {
            let (entry, before) = (*entry, *calls);
            *calls += 1;
            return self.note(serial, job, entry, if title.is_call { before } else { NO_CALL });
        }
        if is_shared && self.names.len() >= NAMES {
            return self.note(serial, job, self.entries, NO_CALL);
        }
        self.entries += 1;
        let entry = self.entries;
        let now = monotonic_now().as_nanos() as u64;
        let total = total.filter(|_| !title.is_call).unwrap_or(u64::MAX);
        self.add(3, &[serial as u32, entry, 0], &[now, total], key.1.as_bytes());
        if is_shared {
            self.names.insert(key, (entry, 1));
        }
        self.note(serial, job, entry, if title.is_call { 0 } else { NO_CALL });
    }

    fn note(&mut self, serial: u64, job: u64, entry: u32, calls: u64) {
        let jobs = self.jobs.entry(serial).or_default();
        let at = jobs.partition_point(|jobs| jobs.first <= job);
        let before = at.checked_sub(1).map(|before| &mut jobs[before]);
        match before.filter(|before| before.entry == entry && job == before.last + 1) {
            Some(before) if (calls == NO_CALL) == (before.calls == NO_CALL) => before.last = job,
            _ => jobs.insert(at, Jobs { first: job, last: job, entry, calls }),
        }
        // Of very many calls of several functions by turns the oldest are forgotten: they have run.
        if jobs.len() > 1 << 16 {
            jobs.drain(..1 << 15);
        }
    }

    fn drain(&mut self, now: Duration) {
        let mut taps = std::mem::take(&mut self.taps);
        taps.iter_mut().for_each(|tap| self.drain_one(tap, false));
        let is_late = now.saturating_sub(self.flushed) >= FLUSH_EVERY;
        if is_late {
            self.flushed = now;
            taps.iter_mut().for_each(|tap| self.put_open(tap));
        }
        if is_late || self.rows.len() > 64 << 10 {
            self.flush();
        }
        if self.written >= ROWS {
            self.written = 0;
            self.resolution = self.resolution.saturating_mul(2);
            for tap in &taps {
                let _ = begin_rows(tap.rows.segment(), wanted_rows(self.recording, self.resolution));
            }
        }
        self.taps = taps;
        if now.saturating_sub(self.weighed) >= self.weigh_every {
            self.weigh(now);
        }
    }

    fn drain_one(&mut self, tap: &mut Tap, is_last: bool) {
        let mut read = Vec::new();
        tap.rows.drain(is_last, |row| read.push(row));
        for row in read {
            let (entry, before) = self.entry_of(tap.pool, row.job).unwrap_or((0, 0));
            tap.last = (row.job, row.next);
            self.grow(tap, Row { job: entry.into(), first: row.first.saturating_add(before), ..row });
        }
    }

    /// Adds a row to the one before it, or puts that where it goes into the file.
    fn grow(&mut self, tap: &mut Tap, row: Row) {
        // One that failed stands alone, unless there are very many.
        let resolution = if row.outcome == RowOutcome::Returned { self.resolution } else { self.resolution / 1024 };
        if !tap.open.as_mut().is_some_and(|open| open.merge(&row, resolution)) {
            self.put_open(tap);
            tap.open = Some(row);
        }
    }

    fn put_open(&mut self, tap: &mut Tap) {
        let Some(row) = tap.open.take() else { return };
        let (ran, in_line) = row.cpu.unwrap_or((u64::MAX, u64::MAX));
        for half in [tap.life, row.job as u32, row.outcome as u32, row.count] {
            self.rows.extend_from_slice(&half.to_ne_bytes());
        }
        for word in [row.start, row.span, row.busy, row.first, ran, in_line, row.sent, row.returned] {
            self.rows.extend_from_slice(&word.to_ne_bytes());
        }
        self.written += 1;
    }

    /// All that a worker has to tell, with the item that it is at or was at when it died.
    fn close(&mut self, tap: &mut Tap, outcome: RowOutcome) {
        let mut bytes = Vec::new();
        copy_out(tap.rows.segment().mapping(), 0, GLIMPSE_BYTES, &mut bytes);
        let glimpse = glimpse(&bytes).filter(Glimpse::is_working);
        self.drain_one(tap, true);
        if let Some(glimpse) = glimpse.filter(|glimpse| glimpse.phase != Phase::Claimed) {
            self.cut_off(tap, glimpse.job, glimpse.current(), glimpse.since, outcome);
        }
        self.put_open(tap);
    }

    /// An item that has no end.
    fn cut_off(&mut self, tap: &mut Tap, job: u64, item: u64, since: Duration, outcome: RowOutcome) {
        if tap.last == (job, item.saturating_add(1)) {
            // The item has ended, and its worker has not said so yet, or only while this was found out.
            return;
        }
        let end = monotonic_now().as_nanos() as u64;
        let idle = tap.open.as_ref().map_or(0, Row::end);
        let start = (since.as_nanos() as u64).max(idle).min(end);
        let (entry, before) = self.entry_of(tap.pool, job).unwrap_or((0, 0));
        let (busy, first) = (end - start, before.saturating_add(item));
        self.put_open(tap);
        tap.open = Some(Row { start, span: busy, busy, job: entry.into(), first, count: 1, outcome, ..Row::default() });
    }

    fn weigh(&mut self, now: Duration) {
        self.weighed = now;
        self.looks += 1;
        if self.looks == LOOKS {
            (self.looks, self.weigh_every) = (0, self.weigh_every * 2);
        }
        let mut sizes = Vec::new();
        let own = [(0, self.process)];
        for (life, pid) in own.into_iter().chain(self.taps.iter().map(|tap| (tap.life, tap.pid))) {
            let size = platform::memory_of(pid).private >> 10;
            sizes.extend_from_slice(&life.to_ne_bytes());
            sizes.extend_from_slice(&(size.min(u64::from(u32::MAX)) as u32).to_ne_bytes());
        }
        self.add(7, &[0], &[now.as_nanos() as u64], &sizes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::RowWriter;
    use crate::pool::Board;

    fn map<'a>(function: &'a str) -> Title<'a> {
        Title { function, id: 1, method: "map", is_call: false }
    }

    fn call<'a>(function: &'a str) -> Title<'a> {
        Title { function, id: 1, method: "apply", is_call: true }
    }

    fn kinds(path: &Path) -> Vec<(u16, Vec<u8>)> {
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.strip_prefix(b"head\n").unwrap();
        let mut blocks = Vec::new();
        while let Some((head, after)) = rest.split_at_checked(8) {
            assert_eq!(&head[..2], b"PR");
            let size = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]) as usize;
            blocks.push((u16::from_ne_bytes([head[2], head[3]]), after[..size].to_vec()));
            rest = &after[size..];
        }
        blocks
    }

    /// All in one test: a process has one recording at a time.
    #[test]
    fn what_pools_do_is_in_the_file() {
        let path = std::env::temp_dir().join(format!("procession-timeline-{}", std::process::id()));
        start(&path, Some(b"head\n"), Duration::from_micros(100)).unwrap();
        assert!(start(&path, Some(b"head\n"), Duration::from_micros(100)).is_err());
        let board_segment = Arc::new(Segment::create("test", BOARD_AT + BOARD_BYTES, true).unwrap());
        let mut board = Board::new(board_segment.clone());
        board.entitle("a.py", "spawn", 2, None);
        let serial = board.serial();
        board.begin(4, Some(9), map("work"));
        enter(serial, &board_segment);
        for job in 5..8 {
            board.begin(job, Some(1), call("train"));
        }
        let ring = Arc::new(Segment::create("test", 1 << 20, false).unwrap());
        let life = live(serial, &ring, std::process::id(), monotonic_now(), false);
        ready(life);
        let mut writer = RowWriter::new(ring);
        writer.begin(4, 3, 10, 0);
        writer.mark(1, 5);
        writer.begin(6, 0, 10, 5);
        writer.raised(0, 8);
        board.counts().explain(6, 0, "ValueError: no");
        ended(life, false, false);
        assert!(stop().unwrap());
        assert!(!stop().unwrap());
        let blocks = kinds(&path);
        start(&path, Some(b"head\n"), Duration::from_micros(100)).unwrap();
        let ring = Arc::new(Segment::create("test", 1 << 20, false).unwrap());
        let next = live(serial, &ring, std::process::id(), monotonic_now(), false);
        ended(life, false, false);
        ended(next, true, false);
        assert!(stop().unwrap());
        let second = kinds(&path);
        let ends: Vec<_> = second.iter().filter(|block| block.0 == 6).map(|block| halves(&block.1)).collect();
        let ends: Vec<_> = ends.iter().map(|end| (end[1], end[4])).collect();
        assert_eq!(ends, [(next, 1)], "not that of a worker of the recording before");
        std::fs::remove_file(&path).unwrap();
        let of =
            |kind: u16| blocks.iter().filter(|block| block.0 == kind).map(|block| &block.1[..]).collect::<Vec<_>>();
        assert_eq!(of(2)[0][24..], b"a.py\0spawn"[..]);
        assert_eq!(of(3).iter().map(|job| &job[32..]).collect::<Vec<_>>(), [&b"map\0work"[..], b"apply\0train"]);
        assert_eq!((of(4).len(), of(5).len(), of(6).len(), of(9).len()), (1, 1, 1, 1));
        // The second call of its function.
        let message = of(8)[0];
        assert_eq!((&message[24..], message[8]), (&b"ValueError: no"[..], 1));
        let rows: Vec<Vec<u32>> = of(1).iter().flat_map(|block| block[8..].chunks(80)).map(halves).collect();
        assert_eq!(
            rows.iter().map(|row| (row[1], row[2], row[3], row[10])).collect::<Vec<_>>(),
            [(1, 0, 1, 3), (2, 1, 1, 1)]
        );
    }

    fn halves(row: &[u8]) -> Vec<u32> {
        row.chunks(4).map(|half| u32::from_ne_bytes(half.try_into().unwrap())).collect()
    }
}
