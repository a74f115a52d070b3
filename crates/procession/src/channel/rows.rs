//! Rows of what a worker did when, while that is recorded: a ring with one writer, the worker, and one reader, its parent.
//!
//! They lie in the worker's own segment, behind its ring of frames, and take no memory until something is recorded. A row is one
//! item, or several of one job in a row that were shorter than the resolution. The last row stays open for those that come
//! next and is readable all the same once the worker rests or has died; a full ring has what follows added to it. So nothing that ran is
//! ever left out, and nothing grows.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::badge::word_in;
use super::ring::ROWS_AT;
use crate::error::Result;
use crate::platform::{self, CpuTimes};
use crate::shared_memory::{Segment, copy_in, copy_out};

/// The words of the first page: how to record, how many rows are complete, how many of them were read.
const WANTED_AT: usize = 1024;
const TAIL_AT: usize = 1088;
const HEAD_AT: usize = 1152;
/// How many bytes a row has.
pub const ROW_BYTES: usize = 96;
const ROWS: u64 = 2048;
pub(super) const ROWS_BYTES: usize = ROW_BYTES * ROWS as usize;
const _: () = assert!(ROWS_BYTES.is_multiple_of(64 << 10), "a mapping begins with a page of any machine");
/// The times on a CPU are asked for after so many nanoseconds: that takes one.
const WORTH_ASKING: u64 = 1_000_000;
/// Items that take less have several to a row at once, as the clock would take a large part of their time.
const SHORT: u64 = 1_000;
const STRIDE: u32 = 16;
/// What is not known.
const UNKNOWN: u64 = u64::MAX;

/// What became of the items of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// The items returned.
    #[default]
    Returned = 0,
    /// The items raised.
    Raised = 1,
    /// Their worker died.
    Died = 2,
    /// The items had no outcome when the recording or the pool ended.
    Unfinished = 3,
}

/// Items of one job that a worker ran one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// When the first began, in nanoseconds of [`platform::monotonic_now`].
    pub start: u64,
    /// From then to the end of the last.
    pub span: u64,
    /// How much of that they ran.
    pub busy: u64,
    /// Their job.
    pub job: u64,
    /// The first of them, of those of the job.
    pub first: u64,
    /// The one behind the last of them, which need not be so many further.
    pub next: u64,
    /// How many.
    pub count: u32,
    /// What became of them.
    pub outcome: Outcome,
    /// Nanoseconds on a CPU and in line for one, of this row and those before it that do not know.
    pub cpu: Option<(u64, u64)>,
    /// The bytes of their records.
    pub sent: u64,
    /// The bytes of their results.
    pub returned: u64,
}

impl Row {
    /// When it ended.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.span)
    }

    fn encode(&self) -> [u8; ROW_BYTES] {
        let (ran, in_line) = self.cpu.unwrap_or((UNKNOWN, UNKNOWN));
        let kind = u64::from(self.count) | u64::from(self.outcome as u32) << 32;
        let (sent, returned) = (self.sent, self.returned);
        let words =
            [self.start, self.span, self.busy, self.job, self.first, kind, ran, in_line, sent, returned, self.next];
        let mut bytes = [0; ROW_BYTES];
        for (at, word) in words.into_iter().enumerate() {
            bytes[8 * at..8 * at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The row that a worker wrote; none where it makes no sense.
    fn decode(bytes: &[u8]) -> Option<Row> {
        let word = |at: usize| word_in(bytes, 8 * at);
        let (kind, ran, in_line) = (word(5)?, word(6)?, word(7)?);
        let outcome = match kind >> 32 {
            0 => Outcome::Returned,
            1 => Outcome::Raised,
            _ => return None,
        };
        let row = Row {
            start: word(0)?,
            span: word(1)?,
            busy: word(2)?.min(word(1)?),
            job: word(3)?,
            first: word(4)?,
            count: kind as u32,
            outcome,
            cpu: (ran != UNKNOWN).then_some((ran, in_line)),
            sent: word(8)?,
            returned: word(9)?,
            next: word(10)?,
        };
        (row.count > 0).then_some(row)
    }

    /// Adds one that comes after it, if both are of one kind, shorter than `resolution`, and nothing of that length is between them.
    pub fn merge(&mut self, next: &Row, resolution: u64) -> bool {
        let short = self.busy < resolution && next.busy < resolution;
        let near = next.start.saturating_sub(self.end()) < resolution;
        let fits = short && near && self.job == next.job && self.outcome == next.outcome;
        if fits {
            self.absorb(next);
        }
        fits
    }

    /// Adds one that comes after it, whatever it is of.
    pub fn absorb(&mut self, next: &Row) {
        self.span = next.end().saturating_sub(self.start);
        self.busy = self.busy.saturating_add(next.busy);
        self.count = self.count.saturating_add(next.count);
        self.next = next.next;
        self.sent = self.sent.saturating_add(next.sent);
        self.returned = self.returned.saturating_add(next.returned);
        self.cpu = match (self.cpu, next.cpu) {
            (Some(before), Some(after)) => Some((before.0.saturating_add(after.0), before.1.saturating_add(after.1))),
            (before, after) => after.or(before),
        };
    }
}

/// How rows are wanted: a number of the recording, and the resolution in microseconds. 0: not at all.
pub fn wanted_rows(recording: u32, resolution: u64) -> u64 {
    u64::from(recording) << 32 | (resolution / 1000).clamp(1, u64::from(u32::MAX))
}

/// Parent: has the worker of `segment` write rows, as [`wanted_rows`] says.
///
/// # Errors
/// No memory for them.
pub fn begin_rows(segment: &Segment, wanted: u64) -> Result<()> {
    if segment.word64(WANTED_AT).load(Relaxed) >> 32 != wanted >> 32 {
        platform::reserve(segment, ROWS_AT, ROWS_BYTES)?;
    }
    segment.word64(WANTED_AT).store(wanted, Release);
    Ok(())
}

/// Parent: has it write no more.
pub fn end_rows(segment: &Segment) {
    segment.word64(WANTED_AT).store(0, Release);
}

fn place_of(row: u64) -> usize {
    ROWS_AT + (row % ROWS) as usize * ROW_BYTES
}

/// The worker's end.
#[derive(Debug)]
pub struct RowWriter {
    segment: Arc<Segment>,
    wanted: u64,
    resolution: u64,
    /// How many rows are complete; the next is the open one.
    tail: u64,
    open: Row,
    /// Where the next row begins, and what of the record and of the bytes that were sent is in rows.
    mark: u64,
    job: u64,
    first: u64,
    counted: u32,
    sent: u64,
    returned: u64,
    /// The times on a CPU when they were last asked for, and when.
    times: Option<CpuTimes>,
    used: (u64, u64),
    asked: u64,
}

impl RowWriter {
    /// How the parent of the worker of `segment` wants rows; 0: not at all.
    #[inline]
    pub fn wanted(segment: &Segment) -> u64 {
        segment.word64(WANTED_AT).load(Relaxed)
    }

    /// Begins to write rows as they are wanted; for the thread that runs the items.
    pub fn new(segment: Arc<Segment>) -> RowWriter {
        let wanted = segment.word64(WANTED_AT).load(Acquire);
        let tail = segment.word64(TAIL_AT).load(Relaxed);
        let times = CpuTimes::of_this_thread();
        let used = times.as_ref().and_then(CpuTimes::read).unwrap_or_default();
        let mut writer = RowWriter {
            segment,
            wanted,
            resolution: 0,
            tail,
            open: Row::default(),
            mark: 0,
            job: 0,
            first: 0,
            counted: 0,
            sent: 0,
            returned: 0,
            times,
            used,
            asked: now(),
        };
        writer.follow(wanted);
        writer.show();
        writer
    }

    /// Heeds a change of how rows are wanted; false where that is not of this recording any more.
    pub fn follow(&mut self, wanted: u64) -> bool {
        let same = wanted >> 32 == self.wanted >> 32;
        self.resolution = (wanted & u64::from(u32::MAX)) * 1000;
        self.wanted = wanted;
        same
    }

    /// How rows are written: see [`wanted_rows`].
    pub fn follows(&self) -> u64 {
        self.wanted
    }

    /// A record of `sent` bytes was taken up. `returned` is how many bytes of results were ever written.
    pub fn begin(&mut self, job: u64, first: u64, sent: usize, returned: u64) {
        (self.mark, self.job, self.first, self.counted) = (now(), job, first, 0);
        (self.sent, self.returned) = (sent as u64, returned);
    }

    /// The first `done` items of the record have returned, and `returned` bytes were ever written; says how many more to run
    /// before the next call.
    #[inline]
    pub fn mark(&mut self, done: u32, returned: u64) -> u32 {
        let (now, count) = (now(), done.saturating_sub(self.counted));
        let took = now.saturating_sub(self.mark);
        self.add(count, took, Outcome::Returned, returned, now);
        match count {
            0 => 1,
            _ if took / u64::from(count) < SHORT => (count * 2).min(STRIDE),
            _ => 1,
        }
    }

    /// The item behind the first `done` of the record has raised.
    #[cold]
    pub fn raised(&mut self, done: u32, returned: u64) {
        let now = now();
        let before = u64::from(done.saturating_sub(self.counted));
        if before > 0 {
            // The items before it are short, as the clock was not read between them.
            let took = now.saturating_sub(self.mark) * before / (before + 1);
            let took = took.min(before * SHORT);
            self.add(before as u32, took, Outcome::Returned, self.returned, self.mark + took);
        }
        self.add(1, now.saturating_sub(self.mark), Outcome::Raised, returned, now);
    }

    #[inline]
    fn add(&mut self, count: u32, took: u64, outcome: Outcome, returned: u64, now: u64) {
        if count == 0 {
            return;
        }
        let mut row = Row {
            start: self.mark,
            span: took,
            busy: took,
            job: self.job,
            first: self.first + u64::from(self.counted),
            next: self.first + u64::from(self.counted + count),
            count,
            outcome,
            cpu: None,
            sent: std::mem::take(&mut self.sent),
            returned: returned.wrapping_sub(self.returned),
        };
        (self.mark, self.returned) = (now, returned);
        self.counted += count;
        if now.saturating_sub(self.asked) >= WORTH_ASKING {
            row.cpu = self.ask(now);
        }
        self.put(&row);
    }

    fn put(&mut self, row: &Row) {
        // One that failed stands alone.
        let resolution = if row.outcome == Outcome::Returned { self.resolution } else { 0 };
        if self.open.count == 0 {
            self.open = *row;
        } else if !self.open.merge(row, resolution) {
            let read = self.segment.word64(HEAD_AT).load(Acquire);
            if self.tail.wrapping_sub(read) < ROWS - 1 {
                self.tail += 1;
                self.segment.word64(TAIL_AT).store(self.tail, Release);
                self.open = *row;
            } else {
                self.open.absorb(row);
            }
        }
        self.show();
    }

    /// Writes the open row where it can be read, before the ledger says that the worker rests.
    #[inline]
    fn show(&self) {
        copy_in(self.segment.mapping(), place_of(self.tail), &self.open.encode());
    }

    #[cold]
    fn ask(&mut self, now: u64) -> Option<(u64, u64)> {
        let used = self.times.as_ref()?.read()?;
        let before = std::mem::replace(&mut self.used, used);
        self.asked = now;
        Some((used.0.saturating_sub(before.0), used.1.saturating_sub(before.1)))
    }
}

#[inline]
fn now() -> u64 {
    platform::monotonic_now().as_nanos() as u64
}

/// The parent's end.
#[derive(Debug)]
pub struct RowReader {
    segment: Arc<Segment>,
    head: u64,
    /// The start of the last row that was read.
    last: u64,
    bytes: Vec<u8>,
}

impl RowReader {
    /// That of the worker of `segment`: what it has written until now is left out.
    pub fn new(segment: Arc<Segment>) -> RowReader {
        let head = segment.word64(TAIL_AT).load(Acquire);
        segment.word64(HEAD_AT).store(head, Release);
        RowReader { segment, head, last: now(), bytes: Vec::new() }
    }

    /// The worker's segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Gives `each` the rows that are complete; and at the end, when it is called for the last time, the open one: whoever writes
    /// there just now is not waited for.
    pub fn drain(&mut self, is_last: bool, mut each: impl FnMut(Row)) {
        let tail = self.segment.word64(TAIL_AT).load(Acquire);
        if tail.wrapping_sub(self.head) > ROWS {
            // The worker wrote nonsense.
            self.head = tail;
        }
        while self.head != tail {
            if let Some(row) = self.read(self.head) {
                each(row);
            }
            self.head = self.head.wrapping_add(1);
        }
        self.segment.word64(HEAD_AT).store(self.head, Release);
        if is_last && let Some(row) = self.read(tail) {
            each(row);
        }
    }

    fn read(&mut self, row: u64) -> Option<Row> {
        self.bytes.clear();
        copy_out(self.segment.mapping(), place_of(row), ROW_BYTES, &mut self.bytes);
        // Rows do not go back, and there is nothing of another recording.
        let row = Row::decode(&self.bytes).filter(|row| row.start >= self.last && row.end() <= now())?;
        self.last = row.start;
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_memory::Segment;

    fn ends(resolution: u64) -> (RowWriter, RowReader) {
        let segment = Arc::new(Segment::create("test", ROWS_AT + ROWS_BYTES, false).unwrap());
        begin_rows(&segment, wanted_rows(1, resolution)).unwrap();
        (RowWriter::new(segment.clone()), RowReader::new(segment))
    }

    fn rows_of(reader: &mut RowReader) -> Vec<Row> {
        let mut rows = Vec::new();
        reader.drain(true, |row| rows.push(row));
        rows
    }

    fn row(start: u64, busy: u64) -> Row {
        Row { start, span: busy, busy, job: 1, count: 1, ..Row::default() }
    }

    #[test]
    fn short_items_of_a_job_have_a_row_in_common_and_failed_ones_their_own() {
        let (mut writer, mut reader) = ends(10_000_000_000);
        writer.begin(4, 10, 100, 0);
        writer.mark(1, 5);
        writer.mark(3, 25);
        writer.raised(3, 65);
        writer.raised(4, 65);
        writer.mark(6, 70);
        let rows = rows_of(&mut reader);
        let told: Vec<_> = rows.iter().map(|row| (row.job, row.first, row.count, row.outcome)).collect();
        assert_eq!((told[0], rows[0].next), ((4, 10, 3, Outcome::Returned), 13));
        assert!(told[1..3].iter().all(|row| row.3 == Outcome::Raised) && told.last().unwrap().1 == 15);
        assert_eq!((rows[0].sent, rows[0].returned, rows[1].returned), (100, 25, 40));
        assert_eq!(rows.iter().map(|row| row.count).sum::<u32>(), 6);
        assert!(rows.windows(2).all(|pair| pair[0].end() <= pair[1].start));
    }

    #[test]
    fn what_comes_when_the_ring_is_full_is_added_to_the_last_row() {
        let (mut writer, mut reader) = ends(1000);
        for job in 0..10 * ROWS {
            writer.begin(job, 0, 1, 0);
            writer.mark(1, 0);
        }
        let rows = rows_of(&mut reader);
        assert_eq!(rows.len() as u64, ROWS);
        assert_eq!(rows.iter().map(|row| u64::from(row.count)).sum::<u64>(), 10 * ROWS);
        writer.begin(7, 0, 1, 0);
        writer.mark(1, 0);
        assert_eq!(rows_of(&mut reader).last().unwrap().job, 7);
    }

    #[test]
    fn rows_are_merged_where_nothing_long_is_in_or_between_them() {
        let mut first = row(0, 10);
        assert!(first.merge(&row(15, 10), 100));
        assert_eq!((first.span, first.busy, first.count), (25, 20, 2));
        assert!(!first.merge(&row(30, 100), 100));
        assert!(!first.merge(&row(125, 10), 100));
        assert!(!first.merge(&Row { job: 2, ..row(30, 10) }, 100));
        assert!(!first.merge(&Row { outcome: Outcome::Raised, ..row(30, 10) }, 100));
        first.cpu = Some((1, 2));
        first.absorb(&Row { cpu: Some((3, 4)), ..row(200, 300) });
        assert_eq!((first.span, first.busy, first.cpu), (500, 320, Some((4, 6))));
        // Whatever a worker has written.
        first.absorb(&Row { cpu: Some((5, u64::MAX)), ..row(500, 1) });
        assert_eq!(first.cpu, Some((9, u64::MAX)));
    }

    #[test]
    fn nonsense_is_left_out() {
        let (_, mut reader) = ends(1000);
        let segment = reader.segment().clone();
        for (row, bytes) in [row(u64::MAX, 5), row(1, u64::MAX), Row { count: 0, ..row(1, 1) }].iter().enumerate() {
            copy_in(segment.mapping(), place_of(row as u64), &bytes.encode());
        }
        segment.word64(TAIL_AT).store(3, Relaxed);
        assert!(rows_of(&mut reader).is_empty());
        segment.word64(TAIL_AT).store(u64::MAX / 2, Relaxed);
        assert!(rows_of(&mut reader).is_empty());
    }

    #[test]
    fn another_recording_begins_anew() {
        let (mut writer, _) = ends(1000);
        assert!(writer.follow(wanted_rows(1, 2000)));
        assert!(!writer.follow(wanted_rows(2, 2000)));
        assert_eq!(writer.follows(), wanted_rows(2, 2000));
    }
}
