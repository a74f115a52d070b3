//! What a worker writes of the record that it works on, and what it is asked there.

use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

use super::{
    ALL_ITEMS, Consumer, FIRST_AT, GIVEN_AT, INTERRUPT_AT, INTERRUPTED, ITEM_AT, JOB_AT, PHASE_AT, Producer,
    RETIRED_AT, SINCE_AT, TAKEN_AT, TICKET_AT, TRIMMED_AT, WAITS_TO_START_AT,
};
use crate::channel::badge::word_in;
use crate::channel::slots::Ticket;
use crate::error::Result;
use crate::platform::{self};
use crate::shared_memory::Segment;

/// What a worker is doing, as its ledger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// Starting: imports, unpickling, the initializer.
    Starting = 0,
    /// Nothing.
    Idle = 1,
    /// The worker holds a record and has not begun with it.
    Claimed = 2,
    /// The worker rebuilds the arguments.
    Decoding = 3,
    /// The worker runs an item.
    Running = 4,
    /// The worker ends by itself.
    Leaving = 5,
    /// The worker sends what an item returned or raised.
    Sending = 6,
}

impl Phase {
    /// Whether it has a record.
    pub fn is_working(self) -> bool {
        matches!(self, Phase::Claimed | Phase::Decoding | Phase::Running | Phase::Sending)
    }
}

/// What a worker has written about itself: which record, which item of it, doing what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The record, if the phase is `Claimed`, `Decoding`, `Running` or `Sending`.
    pub ticket: Ticket,
    /// The item within the record.
    pub item: u32,
    /// What it does.
    pub phase: Phase,
}

/// How many bytes of a worker's segment [`glimpse`] looks at.
pub const GLIMPSE_BYTES: usize = TRIMMED_AT;

/// What a worker's ledger says to somebody who looks from outside: of one moment as a rule, and not as what anything depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// What it does.
    pub phase: Phase,
    /// The job that its record is of.
    pub job: u64,
    /// The first item of its record, of those of the job.
    pub first: u64,
    /// The item within the record.
    pub item: u32,
    /// When the item was taken up, or one of the seven before it, by the coarse clock.
    pub since: Duration,
}

impl Glimpse {
    /// The item, of those of the job.
    pub fn current(&self) -> u64 {
        self.first.saturating_add(self.item.into())
    }

    /// Whether it has a record.
    pub fn is_working(&self) -> bool {
        self.phase.is_working()
    }
}

/// What the first [`GLIMPSE_BYTES`] of a worker's segment say; none if they make no sense.
pub fn glimpse(bytes: &[u8]) -> Option<Glimpse> {
    let word = |at: usize| word_in(bytes, at);
    let half = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    Some(Glimpse {
        phase: phase_of(half(PHASE_AT)?)?,
        job: word(JOB_AT)?,
        first: word(FIRST_AT)?,
        item: half(ITEM_AT)?,
        since: Duration::from_nanos(word(TAKEN_AT)?),
    })
}

fn phase_of(number: u32) -> Option<Phase> {
    Some(match number {
        0 => Phase::Starting,
        1 => Phase::Idle,
        2 => Phase::Claimed,
        3 => Phase::Decoding,
        4 => Phase::Running,
        5 => Phase::Leaving,
        6 => Phase::Sending,
        _ => return None,
    })
}

fn name_of(ticket: Ticket, item: u32) -> u64 {
    INTERRUPTED | (ticket & 0x7fff_ffff) << 32 | u64::from(item)
}

/// Whether the worker of `segment` was asked to give up the item that it runs now.
pub fn is_interrupted(segment: &Segment) -> bool {
    let phase = segment.word32(PHASE_AT).load(SeqCst);
    let running = phase == Phase::Running as u32 || phase == Phase::Decoding as u32;
    let (ticket, item) = (segment.word64(TICKET_AT).load(SeqCst), segment.word32(ITEM_AT).load(SeqCst));
    let wanted = segment.word64(INTERRUPT_AT).load(SeqCst);
    running && (wanted == name_of(ticket, item) || wanted == name_of(ticket, ALL_ITEMS))
}

/// Whether the worker of `segment` was asked to give up all that is left of the record that it works on.
pub fn is_called_off(segment: &Segment) -> bool {
    let ticket = segment.word64(TICKET_AT).load(SeqCst);
    segment.word64(INTERRUPT_AT).load(SeqCst) == name_of(ticket, ALL_ITEMS)
}

/// The job and the item that the worker of `segment` works on now; none between items. For the worker's own threads.
pub fn current_item(segment: &Segment) -> Option<(u64, u64)> {
    let phase = segment.word32(PHASE_AT).load(SeqCst);
    let runs = phase == Phase::Running as u32 || phase == Phase::Decoding as u32;
    let item = u64::from(segment.word32(ITEM_AT).load(SeqCst));
    runs.then(|| (segment.word64(JOB_AT).load(Relaxed), segment.word64(FIRST_AT).load(Relaxed) + item))
}

/// What the record that the worker of `segment` works on gives its items: until when the one that runs may, and how often they were
/// tried before. For the worker's own threads.
pub fn given(segment: &Segment) -> (Option<Duration>, u32) {
    let word = segment.word64(GIVEN_AT).load(Relaxed);
    let since = Duration::from_nanos(segment.word64(SINCE_AT).load(SeqCst));
    let limit = Duration::from_millis(word & u64::from(u32::MAX));
    ((!limit.is_zero()).then(|| since.saturating_add(limit)), (word >> 32) as u32)
}

impl Consumer {
    /// When the item that runs was started, if the worker notes that: the time of [`platform::monotonic_now`].
    pub fn running_since(&self) -> Duration {
        Duration::from_nanos(self.segment.word64(SINCE_AT).load(SeqCst))
    }

    /// When the item that the worker holds was taken up, at the latest, by the coarse clock, which is looked at for one item of eight at
    /// least: the time of [`platform::monotonic_now`].
    pub fn taken_at(&self) -> Duration {
        Duration::from_nanos(self.segment.word64(TAKEN_AT).load(Relaxed))
    }

    /// Has the worker take no record until [`Consumer::let_start`].
    pub fn keep_waiting(&self) {
        self.segment.word32(WAITS_TO_START_AT).store(1, SeqCst);
    }

    /// Lets the worker take records.
    pub fn let_start(&self) {
        let word = self.segment.word32(WAITS_TO_START_AT);
        if word.swap(0, SeqCst) != 0 {
            platform::wake(word, 1);
        }
    }

    /// Has the worker end before it takes another record; wake it, it may sleep.
    pub fn retire(&self) {
        self.segment.word32(RETIRED_AT).store(1, SeqCst);
    }

    /// Takes [`Consumer::retire`] back; too late if the worker has looked.
    pub fn stay(&self) {
        self.segment.word32(RETIRED_AT).store(0, SeqCst);
    }

    /// Asks the worker to give up `item` of the record `ticket`, should it still run it when it looks.
    pub fn interrupt(&self, ticket: Ticket, item: u32) {
        self.segment.word64(INTERRUPT_AT).store(name_of(ticket, item), SeqCst);
    }

    /// Asks the worker to give up all that is left of the record `ticket`.
    pub fn call_off(&self, ticket: Ticket) {
        self.interrupt(ticket, ALL_ITEMS);
    }

    /// What the worker has written about itself; none if it wrote nonsense.
    pub fn ledger(&self) -> Option<Ledger> {
        let phase = phase_of(self.segment.word32(PHASE_AT).load(SeqCst))?;
        let ticket = self.segment.word64(TICKET_AT).load(SeqCst);
        Some(Ledger { ticket, item: self.segment.word32(ITEM_AT).load(SeqCst), phase })
    }
}

impl Producer {
    /// Writes into the ledger.
    #[inline]
    pub fn note(&self, phase: Phase, ticket: Ticket, item: u32) {
        self.segment.word64(TICKET_AT).store(ticket, Relaxed);
        self.segment.word32(ITEM_AT).store(item, Relaxed);
        self.segment.word32(PHASE_AT).store(phase as u32, Release);
    }

    /// Writes down which items of which job the record holds, and when it was taken up.
    #[inline]
    pub fn note_record(&self, job: u64, first: u64, now: Duration) {
        self.segment.word64(JOB_AT).store(job, Relaxed);
        self.segment.word64(FIRST_AT).store(first, Relaxed);
        self.note_time(now);
    }

    /// Writes down how long an item of the record may run, in milliseconds (0: no limit), and how often they were tried before.
    #[inline]
    pub fn note_given(&self, limit: u32, tries: u16) {
        self.segment.word64(GIVEN_AT).store(u64::from(tries) << 32 | u64::from(limit), Relaxed);
    }

    /// Writes down when the item was taken up that comes next, of the record that it holds.
    #[inline]
    pub fn note_time(&self, now: Duration) {
        self.segment.word64(TAKEN_AT).store(now.as_nanos() as u64, Relaxed);
    }

    /// Whether the worker is to end before it takes another record.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.segment.word32(RETIRED_AT).load(Relaxed) != 0
    }

    /// Whether the worker is to wait before it takes records.
    pub fn waits_to_start(&self) -> bool {
        self.segment.word32(WAITS_TO_START_AT).load(SeqCst) != 0
    }

    /// Sleeps until the worker may take records, at most until `until`.
    ///
    /// # Errors
    /// `TimedOut`, or `Interrupted` when a signal handler ran.
    pub fn wait_to_start(&self, until: Instant) -> Result<()> {
        platform::wait(self.segment.word32(WAITS_TO_START_AT), 1, Some(until))
    }

    /// Writes into the ledger that the item has run.
    #[inline]
    pub fn note_sending(&self) {
        self.segment.word32(PHASE_AT).store(Phase::Sending as u32, Release);
    }

    /// Writes into the ledger that the item starts now.
    pub fn note_start(&self) {
        let now = platform::monotonic_now().as_nanos() as u64;
        self.segment.word64(SINCE_AT).store(now, SeqCst);
    }
}
