//! A job as the scheduler knows it: what of it waits, and how much goes into its next record.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Chunk, Grant, JobId, Wishes};

/// How much work a record may hold, in nanoseconds of measured time.
pub(super) const RECORD_NS: f64 = 2_000_000.0;
/// How much it holds at least, if each worker gets some: less costs more to send than it gains at the end of a job.
const LEAST_NS: f64 = 50_000.0;
/// How many bytes of its own it may hold: what is piled up in fresh memory is slower than what goes through used memory.
const RECORD_BYTES: f64 = (1 << 20) as f64;
/// The most items of a record.
const MAX_ITEMS: u64 = 4096;

#[derive(Debug)]
pub(super) struct Job {
    pub(super) available: u64,
    pub(super) next: u64,
    pub(super) complete: bool,
    pub(super) chunk: Chunk,
    pub(super) again: VecDeque<Again>,
    /// What it calls.
    pub(super) function: u64,
    /// Measured nanoseconds an item; 0 while unknown.
    pub(super) mean: f64,
    /// Bytes of its own that an item of the last record needed.
    pub(super) weight: f64,
    /// Chunks in the last record.
    pub(super) last: u64,
    /// Whether the job waits in `order`.
    pub(super) queued: bool,
    /// Records that are out.
    pub(super) out: usize,
    /// What it asks for; none for most.
    pub(super) wishes: Option<Box<Wishes>>,
    /// How many of the chunks in `order` went out.
    pub(super) at: usize,
    /// Since when it waits for its next record, by the scheduler's time.
    pub(super) since: Duration,
    /// How urgent its last record was.
    pub(super) rank: f64,
}

/// Items that came back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) alone: bool,
}

impl Job {
    pub(super) fn has_next(&self) -> bool {
        self.next < self.available || !self.again.is_empty()
    }

    pub(super) fn is_special(&self) -> bool {
        self.wishes.as_ref().is_some_and(|wishes| wishes.is_special())
    }

    pub(super) fn priority(&self) -> i32 {
        self.wishes.as_ref().map_or(0, |wishes| wishes.priority)
    }

    pub(super) fn is_single(&self) -> bool {
        self.complete && self.available == 1
    }

    /// How many chunks a record may hold by the time that they take.
    pub(super) fn by_time(&self) -> u64 {
        if self.mean == 0.0 { 1 } else { (RECORD_NS / (self.mean * self.chunk.items() as f64)) as u64 }
    }

    /// How many chunks it holds at least.
    fn least(&self) -> u64 {
        if self.mean == 0.0 { 1 } else { (LEAST_NS / (self.mean * self.chunk.items() as f64)) as u64 }
    }

    /// How many chunks it may hold by the memory that they need.
    pub(super) fn by_weight(&self) -> u64 {
        (RECORD_BYTES / (self.weight * self.chunk.items() as f64)) as u64
    }

    /// How many items the next record may hold, of `waiting` that stand in a row.
    pub(super) fn batch(&self, waiting: u64, workers: u64) -> u64 {
        let unit = self.chunk.items();
        let chunks = waiting.div_ceil(unit);
        let share = if self.complete {
            (chunks / (2 * workers)).max(self.least().min(self.available.div_ceil(unit * workers)))
        } else {
            chunks.div_ceil(workers)
        };
        let chunks = share.min(self.by_time()).min(self.by_weight()).min(4 * self.last).max(1);
        let most = (MAX_ITEMS / unit).max(1);
        chunks.min(most) * unit
    }

    pub(super) fn take(&mut self, job: JobId, workers: u64) -> Grant {
        let unit = self.chunk.items();
        if let Some(again) = self.again.pop_front() {
            let size = if again.alone { 1 } else { self.batch(again.count, workers) };
            let count = size.min(again.count);
            if count < again.count {
                self.again.push_front(Again { first: again.first + count, count: again.count - count, ..again });
            }
            let chunk = if again.alone { 1 } else { unit };
            return Grant { job, first: again.first, count: count as u32, chunk: chunk as u32 };
        }
        let waiting = self.available - self.next;
        let most = self.batch(waiting, workers).min(waiting);
        let (first, count) = match self.wishes.as_ref().and_then(|wishes| wishes.order.as_ref()) {
            None => (self.next, most),
            Some(order) => {
                // Chunks that stand in a row may go together.
                let rest = order.get(self.at..).unwrap_or_default();
                let begin = rest.first().copied().unwrap_or_default();
                let together = rest.iter().zip(begin..).take_while(|(chunk, next)| *chunk == next).count() as u64;
                let chunks = together.min((most / unit).max(1));
                self.at += chunks as usize;
                let first = u64::from(begin) * unit;
                (first, (chunks * unit).min(self.available.saturating_sub(first)))
            }
        };
        self.next += count;
        self.last = count.div_ceil(unit);
        Grant { job, first, count: count as u32, chunk: unit as u32 }
    }
}
