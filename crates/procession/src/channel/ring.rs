//! A worker's own segment: its ledger, and the ring that its results go through.
//!
//! The worker alone writes, the parent alone reads: no lock, and nothing that a death could leave half done. A frame
//! counts from the moment `tail` is stored. The ring is mapped twice in a row, so no frame is ever in two pieces.
//!
//! A long file: ledger, ring and lent blocks are one segment with one layout, and die together.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::platform::{self, Mapping};
use crate::shared_memory::{Arena, Block, Segment, Span, copy_in, copy_out, forsake, word64};

use super::badge::word_in;
use super::frame::{FRAME_BYTES, Frame, FrameKind, RUN_END};
use super::rows::ROWS_BYTES;
use super::slots::Ticket;
use super::words::flow::{self, Loan};

/// The bytes of a ring.
pub const RING_BYTES: usize = 256 << 10;
/// A larger payload goes into a block.
const INLINE_BYTES: usize = RING_BYTES / 8;
/// What the ledger and the words beside it take.
const HEAD_BYTES: usize = 4096;
/// A mapping begins with a page, and there are machines with pages of 64 KiB.
const RING_AT: usize = 64 << 10;
/// Rows of what the worker did when, while that is recorded: see `rows.rs`.
pub(super) const ROWS_AT: usize = RING_AT + RING_BYTES;
const END: usize = ROWS_AT + ROWS_BYTES;
/// What is kept of a worker's last words.
const REPORT_BYTES: usize = 1 << 20;

const TAIL_AT: usize = 0;
const ANNOUNCED_AT: usize = 8;
const HEAD_AT: usize = 64;
const SPACE_AT: usize = 72;
const WAITS_AT: usize = 76;
const TICKET_AT: usize = 128;
const ITEM_AT: usize = 136;
const PHASE_AT: usize = 140;
const SINCE_AT: usize = 144;
const INTERRUPT_AT: usize = 152;
const WAITS_TO_START_AT: usize = 160;
const RETIRED_AT: usize = 164;
const JOB_AT: usize = 168;
const FIRST_AT: usize = 176;
const TAKEN_AT: usize = 184;
/// Set in the interrupt word, so that it is never zero when it names an item.
const INTERRUPTED: u64 = 1 << 63;
/// Stands there for all items of a record.
const ALL_ITEMS: u32 = u32::MAX;
const TRIMMED_AT: usize = 192;
/// What the items of the record may take and have taken: a limit in milliseconds, and in the upper half how often they were tried.
const GIVEN_AT: usize = 200;
/// A lent block starts with a word that says whether it still is; its bytes begin after this many.
pub const BLOCK_HEAD: usize = 64;
/// How many lent blocks are looked at for each that is lent, the latest and others by turns: so the cost does not grow
/// with the number of results that a program holds.
const LOOKS: usize = 16;

/// What a worker is doing, as its ledger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// Starting: imports, unpickling, the initializer.
    Starting = 0,
    /// Nothing.
    Idle = 1,
    /// It holds a record and has not begun with it.
    Claimed = 2,
    /// It rebuilds the arguments.
    Decoding = 3,
    /// It runs an item.
    Running = 4,
    /// It ends by itself.
    Leaving = 5,
    /// It sends what an item returned or raised.
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

/// The worker's end.
#[derive(Debug)]
pub struct Producer {
    segment: Arc<Segment>,
    ring: Mapping,
    arena: Arena,
    lent: Vec<Lent>,
    /// Where the next look at the lent blocks begins.
    look_at: usize,
    tail: u64,
    seen_head: u64,
    /// Whether the last thing in the ring is a run that may grow, and of which kind.
    in_run: bool,
    named: bool,
    /// How many bytes of blocks were ever lent.
    lent_bytes: u64,
}

/// A block that is lent, and where this process sees it.
#[derive(Debug)]
struct Lent {
    block: Block,
    span: Span,
}

/// The parent's end.
#[derive(Debug)]
pub struct Consumer {
    segment: Arc<Segment>,
    ring: Mapping,
    head: u64,
}

impl Consumer {
    /// A new worker's segment, for blocks of at most `most` bytes.
    ///
    /// # Errors
    /// The system's.
    pub fn create(most: usize) -> Result<Consumer> {
        let segment = Segment::create_sparse("procession-worker", END + (64 << 20), most)?;
        platform::reserve(&segment, 0, HEAD_BYTES)?;
        platform::set_position(&segment, report_at(&segment))?;
        let ring = Mapping::mirrored(&segment, RING_AT as u64, RING_BYTES)?;
        Ok(Consumer { segment: Arc::new(segment), ring, head: 0 })
    }

    /// A descriptor of the segment, for the worker.
    ///
    /// # Errors
    /// The system's.
    pub fn descriptor(&self) -> Result<OwnedFd> {
        self.segment.as_fd().try_clone_to_owned().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))
    }

    /// Whether the worker has published something.
    #[inline]
    pub fn is_ready(&self) -> bool {
        flow::published(self.segment.word64(TAIL_AT)) != self.head
    }

    /// Whether `segment`, a worker's, holds something unread that is worth waking up for: for those who have no access
    /// to the consumer.
    #[inline]
    pub fn has_announced(segment: &Segment) -> bool {
        let announced = flow::published(segment.word64(ANNOUNCED_AT));
        // The parent's own word; an old one has its caller look for nothing.
        let head = segment.word64(HEAD_AT).load(Relaxed);
        announced.wrapping_sub(head).cast_signed() > 0
    }

    /// The worker's segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Adds the bytes of all published frames to `into`; false if the worker wrote nonsense into its words.
    pub fn drain(&mut self, into: &mut Vec<u8>) -> bool {
        let tail = flow::published(self.segment.word64(TAIL_AT));
        let size = tail.wrapping_sub(self.head);
        if size == 0 {
            return true;
        }
        if size > RING_BYTES as u64 {
            return false;
        }
        copy_out(&self.ring, self.head as usize % RING_BYTES, size as usize, into);
        self.head = tail;
        let (waits, space) = (self.segment.word32(WAITS_AT), self.segment.word32(SPACE_AT));
        flow::free(self.segment.word64(HEAD_AT), waits, space, tail);
        true
    }

    /// Adds a large payload to `into` and gives its block back; false if its place makes no sense.
    pub fn collect(&self, payload: &[u8], into: &mut Vec<u8>) -> bool {
        let Some((offset, size)) = place(payload) else { return false };
        let Some(start) = offset.checked_add(BLOCK_HEAD) else { return false };
        let copied = self.segment.read(start, size, into).is_ok();
        if let Ok(span) = self.segment.at(offset, BLOCK_HEAD)
            && let Some(lent) = word64(span.mapping(&self.segment), span.offset)
        {
            flow::give_back(lent, false);
        }
        copied
    }

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

impl Lent {
    /// The word that says whether it is lent still.
    fn word<'a>(&'a self, segment: &'a Segment) -> &'a AtomicU64 {
        word64(self.span.mapping(segment), self.span.offset).expect("a block that was cut here starts with a word")
    }
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

fn place(payload: &[u8]) -> Option<(usize, usize)> {
    let offset = u64::from_le_bytes(*payload.first_chunk()?);
    let size = u64::from_le_bytes(*payload.get(8..)?.first_chunk()?);
    Some((offset.try_into().ok()?, size.try_into().ok()?))
}

/// Gives the lent block at `offset` of a worker's segment, which has `size` bytes after its head, back.
///
/// Its memory stays, for the worker to use again, unless it has nothing to do and has given up its own.
pub fn give_back(segment: &Segment, offset: usize, size: usize) {
    let Ok(span) = segment.at(offset, BLOCK_HEAD) else { return };
    let Some(lent) = word64(span.mapping(segment), span.offset) else { return };
    let end = (offset + BLOCK_HEAD).saturating_add(size).min(segment.size());
    let second = (offset + 1).next_multiple_of(platform::page_size());
    if segment.word32(TRIMMED_AT).load(Acquire) == 0 {
        return flow::give_back(lent, false);
    }
    if end > second {
        platform::release(segment, second, end - second);
    }
    flow::give_back(lent, true);
}

/// The worker of `segment` has ended: its memory goes back to the system, but for the blocks that this process still
/// sees in place.
pub fn forsake_worker(segment: &Arc<Segment>) {
    forsake(segment, RING_AT, report_at(segment));
}

/// Where in a worker's segment its last words begin.
fn report_at(segment: &Segment) -> usize {
    report_place(segment.size()).start
}

/// Where in a worker's segment of `size` bytes its last words are.
pub fn report_place(size: usize) -> std::ops::Range<usize> {
    let start = size.saturating_sub(REPORT_BYTES) / REPORT_BYTES * REPORT_BYTES;
    start..(start + REPORT_BYTES).min(size)
}

/// What a worker writes about itself beside its work, by signal handlers that know a descriptor and nothing else: the end of
/// its segment, where its descriptor writes. The place where the next write begins is that of all copies of the descriptor.
#[derive(Clone, Debug)]
pub struct Report {
    segment: Arc<Segment>,
}

impl Report {
    /// That of the worker whose segment it is.
    pub fn of(segment: Arc<Segment>) -> Report {
        Report { segment }
    }

    /// Has the next write begin at the beginning again.
    ///
    /// # Errors
    /// The system's.
    pub fn rewind(&self) -> Result<()> {
        platform::set_position(&*self.segment, report_at(&self.segment))
    }

    /// How many bytes were written since.
    pub fn size(&self) -> usize {
        let end = usize::try_from(platform::position(&*self.segment)).unwrap_or(0);
        end.saturating_sub(report_at(&self.segment)).min(REPORT_BYTES)
    }

    /// These bytes.
    ///
    /// # Errors
    /// The system's.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.size()];
        platform::read_at(&*self.segment, report_at(&self.segment), &mut bytes)?;
        Ok(bytes)
    }

    /// A descriptor to write by.
    ///
    /// # Errors
    /// The system's.
    pub fn descriptor(&self) -> Result<OwnedFd> {
        self.segment.as_fd().try_clone_to_owned().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))
    }
}

impl Producer {
    /// The worker's end of the segment behind `descriptor`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(descriptor: OwnedFd) -> Result<Producer> {
        let segment = Arc::new(Segment::open(descriptor)?);
        let ring = Mapping::mirrored(&*segment, RING_AT as u64, RING_BYTES)?;
        let arena = Arena::within(segment.clone(), END, report_at(&segment));
        Ok(Producer {
            segment,
            ring,
            arena,
            lent: Vec::new(),
            look_at: 0,
            tail: 0,
            seen_head: 0,
            in_run: false,
            named: false,
            lent_bytes: 0,
        })
    }

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

    /// Writes a frame; it counts after [`Producer::publish`]. Waits while the ring is full: `stuck` is called now and
    /// then, to wake the parent and to give up by an error.
    ///
    /// # Errors
    /// What `stuck` says, or no memory for a large payload.
    #[inline]
    pub fn write(
        &mut self,
        kind: FrameKind,
        ticket: Ticket,
        item: u32,
        payload: &[u8],
        stuck: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut place = [0; 16];
        let large = payload.len() > INLINE_BYTES;
        let payload = if large {
            let (offset, size) = self.lend(payload)?;
            place[..8].copy_from_slice(&(offset as u64).to_le_bytes());
            place[8..].copy_from_slice(&(size as u64).to_le_bytes());
            &place[..]
        } else {
            payload
        };
        // One byte more, for the end of a run.
        let size = FRAME_BYTES + payload.len();
        self.make_room(size + 1, stuck)?;
        if self.in_run {
            copy_in(&self.ring, self.tail as usize % RING_BYTES, &[RUN_END]);
            self.tail += 1;
            self.in_run = false;
        }
        let at = self.tail as usize % RING_BYTES;
        let head = Frame { kind, large, ticket: ticket as u32, item, size: payload.len() as u32 };
        copy_in(&self.ring, at, &head.encode());
        copy_in(&self.ring, at + FRAME_BYTES, payload);
        self.tail += size as u64;
        Ok(())
    }

    /// Writes a small result into a run: `framed` is a byte with its size, less than [`RUN_END`], and the result. It
    /// counts after [`Producer::publish`]. A run has either only results that are `named`, which name what was in others, or
    /// none.
    ///
    /// # Errors
    /// What `stuck` says.
    #[inline]
    pub fn write_small(
        &mut self,
        ticket: Ticket,
        item: u32,
        framed: &[u8],
        named: bool,
        stuck: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        debug_assert!(framed.len() <= usize::from(RUN_END));
        if !self.in_run || self.named != named {
            self.write(FrameKind::Run, ticket, item, &[], stuck)?;
            (self.in_run, self.named) = (true, named);
        }
        self.make_room(framed.len() + 1, stuck)?;
        copy_in(&self.ring, self.tail as usize % RING_BYTES, framed);
        self.tail += framed.len() as u64;
        Ok(())
    }

    /// As [`Producer::write_small`] in a run that goes on; false, and nothing written, if it does not, or without room.
    #[inline]
    pub fn write_small_quickly<const N: usize>(&mut self, framed: &[u8; N], named: bool) -> bool {
        if !self.in_run || self.named != named || self.tail + N as u64 + 1 > self.seen_head + RING_BYTES as u64 {
            return false;
        }
        copy_in(&self.ring, self.tail as usize % RING_BYTES, framed);
        self.tail += N as u64;
        true
    }

    #[inline]
    fn make_room(&mut self, size: usize, stuck: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        if self.tail + size as u64 > self.seen_head + RING_BYTES as u64 {
            self.wait_for_space(size, stuck)?;
        }
        Ok(())
    }

    /// How many bytes were ever written, those in blocks included.
    #[inline]
    pub fn written(&self) -> u64 {
        self.tail.wrapping_add(self.lent_bytes)
    }

    /// Makes all that was written count.
    #[inline]
    pub fn publish(&self) {
        flow::publish(self.segment.word64(TAIL_AT), self.tail);
    }

    /// Tells those who poll that what was published is worth reading now.
    #[inline]
    pub fn announce(&self) {
        flow::publish(self.segment.word64(ANNOUNCED_AT), self.tail);
    }

    #[cold]
    fn wait_for_space(&mut self, size: usize, stuck: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.publish();
        self.announce();
        let fits = |producer: &mut Producer| {
            producer.seen_head = flow::freed(producer.segment.word64(HEAD_AT));
            producer.tail + size as u64 <= producer.seen_head + RING_BYTES as u64
        };
        while !fits(self) {
            let segment = self.segment.clone();
            let (waits, space) = (segment.word32(WAITS_AT), segment.word32(SPACE_AT));
            let until = Some(Instant::now() + Duration::from_millis(20));
            flow::wait_for_space(waits, space, until, || fits(self), &mut *stuck)?;
        }
        Ok(())
    }

    /// Copies a large payload into a block that the parent gives back.
    fn lend(&mut self, payload: &[u8]) -> Result<(usize, usize)> {
        let offset = self.lend_block(payload.len())?;
        self.segment.write(offset + BLOCK_HEAD, &[payload]).inspect_err(|_| self.unlend(offset))?;
        Ok((offset, payload.len()))
    }

    /// The worker's segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// A block for `size` bytes, from [`BLOCK_HEAD`] bytes after the offset that this gives, for the parent to give back.
    ///
    /// # Errors
    /// No memory.
    pub fn lend_block(&mut self, size: usize) -> Result<usize> {
        self.take_back(LOOKS);
        self.lent_bytes = self.lent_bytes.wrapping_add(size as u64);
        let size = size.checked_add(BLOCK_HEAD).unwrap_or(size);
        let block = match self.arena.allocate(size) {
            Ok(block) => block,
            Err(_) => {
                // No memory: what has come back meanwhile may do.
                self.take_back(usize::MAX);
                self.arena.trim();
                self.arena.allocate(size)?
            }
        };
        let lent = match self.segment.at(block.offset, block.size) {
            Ok(span) => Lent { block, span },
            Err(error) => {
                self.arena.free(block);
                return Err(error);
            }
        };
        flow::lend(lent.word(&self.segment));
        self.lent.push(lent);
        Ok(block.offset)
    }

    /// Takes a block back that was lent and whose offset nobody has been told.
    pub fn unlend(&mut self, offset: usize) {
        if let Some(index) = self.lent.iter().rposition(|lent| lent.block.offset == offset) {
            let lent = self.lent.swap_remove(index);
            self.arena.free(lent.block);
        }
    }

    /// Takes back what was given back, as far as `looks` of the latest and as many others show.
    fn take_back(&mut self, looks: usize) {
        let mut left = looks;
        let mut index = self.lent.len();
        while index > 0 && left > 0 {
            index -= 1;
            left -= 1;
            self.take_back_at(index);
        }
        let mut left = looks.min(self.lent.len());
        while left > 0 && !self.lent.is_empty() {
            left -= 1;
            if self.look_at >= self.lent.len() {
                self.look_at = 0;
            }
            if !self.take_back_at(self.look_at) {
                self.look_at += 1;
            }
        }
    }

    fn take_back_at(&mut self, index: usize) -> bool {
        let (block, word) = (self.lent[index].block, self.lent[index].word(&self.segment));
        match flow::loan(word) {
            Loan::Lent => return false,
            Loan::BackCold => self.arena.free_cold(block),
            Loan::Back => self.arena.free(block),
        }
        self.lent.swap_remove(index);
        true
    }

    /// Whether free blocks have memory that [`Producer::trim`] would give back.
    pub fn is_warm(&self) -> bool {
        self.arena.warm_bytes() > 0 || !self.lent.is_empty()
    }

    /// Gives the memory of free blocks back to the system, and has the parent do so with what it gives back, until
    /// [`Producer::resume`].
    pub fn trim(&mut self) {
        self.segment.word32(TRIMMED_AT).store(1, SeqCst);
        self.take_back(usize::MAX);
        self.arena.trim();
    }

    /// There is something to do again.
    pub fn resume(&self) {
        self.segment.word32(TRIMMED_AT).store(0, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Producer, Consumer) {
        let consumer = Consumer::create(1 << 30).unwrap();
        (Producer::open(consumer.descriptor().unwrap()).unwrap(), consumer)
    }

    fn never() -> Result<()> {
        panic!("the ring has room")
    }

    #[test]
    fn rings_blocks_and_views_work_on_pages_of_64_kib() {
        use crate::shared_memory::View;
        platform::FAKED_PAGE.set(64 << 10);
        let (mut p, mut c) = pair();
        let payload = vec![7u8; 100_000];
        for _ in 0..10 {
            p.write(FrameKind::Returned, 1, 0, b"small", &mut never).unwrap();
            p.write(FrameKind::Returned, 1, 0, &payload, &mut never).unwrap();
            p.publish();
            let mut bytes = Vec::new();
            assert!(c.drain(&mut bytes));
            let (_, small, rest) = Frame::decode(&bytes).unwrap();
            let (frame, place, _) = Frame::decode(rest).unwrap();
            let mut out = Vec::new();
            assert!(frame.large && c.collect(place, &mut out));
            assert_eq!((small, out == payload), (&b"small"[..], true));
        }
        let offset = p.arena.allocate(5).unwrap().offset;
        assert!(offset.is_multiple_of(64 << 10));
        let view = View::lent(c.segment().clone(), offset, 5, Box::new(|| ())).unwrap();
        crate::shared_memory::detach_all().unwrap();
        drop(view);
        platform::FAKED_PAGE.set(0);
    }

    #[test]
    fn frames_count_once_published() {
        let (mut p, mut c) = pair();
        p.write(FrameKind::Returned, 5, 1, b"one", &mut never).unwrap();
        assert!(!c.is_ready());
        p.publish();
        assert!(c.is_ready());
        let mut bytes = Vec::new();
        assert!(c.drain(&mut bytes));
        let (frame, payload, rest) = Frame::decode(&bytes).unwrap();
        assert_eq!((frame.kind, frame.ticket, frame.item, payload), (FrameKind::Returned, 5, 1, &b"one"[..]));
        assert!(rest.is_empty());
    }

    #[test]
    fn large_payloads_go_through_blocks_that_come_back() {
        let (mut p, mut c) = pair();
        let payload = vec![7u8; 1 << 20];
        for _ in 0..50 {
            p.write(FrameKind::Returned, 1, 0, &payload, &mut never).unwrap();
            p.publish();
            let mut bytes = Vec::new();
            assert!(c.drain(&mut bytes));
            let (frame, place, _) = Frame::decode(&bytes).unwrap();
            assert!(frame.large);
            let mut out = Vec::new();
            assert!(c.collect(place, &mut out));
            assert_eq!(out, payload);
        }
        assert_eq!(p.lent.len(), 1);
    }

    #[test]
    fn a_full_ring_waits_until_the_parent_has_read() {
        let (mut p, mut c) = pair();
        let payload = vec![1u8; 20_000];
        let total = 200;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..total {
                    p.write(FrameKind::Returned, 1, 0, &payload, &mut || Ok(())).unwrap();
                    p.publish();
                }
            });
            let mut bytes = Vec::new();
            while bytes.len() < total * (20_000 + FRAME_BYTES) {
                assert!(c.drain(&mut bytes));
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn nonsense_in_the_words_is_noticed() {
        let (p, mut c) = pair();
        p.segment.word64(TAIL_AT).store(u64::MAX / 2, SeqCst);
        assert!(!c.drain(&mut Vec::new()));
        p.segment.word32(PHASE_AT).store(99, SeqCst);
        assert_eq!(c.ledger(), None);
        assert!(!c.collect(&[0xff; 16], &mut Vec::new()));
    }

    #[test]
    fn what_the_parent_gives_back_to_an_idle_worker_has_no_memory_and_serves_again() {
        let (mut p, c) = pair();
        let size = 3 << 20;
        let first = p.lend_block(size).unwrap();
        p.trim();
        assert!(copy_in(c.segment().mapping(), first + 2 * platform::page_size(), b"x"));
        give_back(c.segment(), first, size);
        p.resume();
        assert_eq!(p.lend_block(size).unwrap(), first);
        let mut out = Vec::new();
        assert!(copy_out(p.segment.mapping(), first + 2 * platform::page_size(), 1, &mut out));
        assert_eq!(out, b"\0");
    }

    #[test]
    fn a_block_far_from_the_beginning_comes_back_too() {
        let (mut p, c) = pair();
        let held = p.lend_block(100 << 20).unwrap();
        let (small, large) = (p.lend_block(7 << 20).unwrap(), p.lend_block(90 << 20).unwrap());
        for (offset, size) in [(small, 7 << 20), (large, 90 << 20)] {
            assert_eq!(p.lent.iter().filter(|lent| lent.block.offset == offset).count(), 1);
            give_back(c.segment(), offset, size);
            assert_eq!(p.lend_block(size).unwrap(), offset);
            give_back(c.segment(), offset, size);
        }
        give_back(c.segment(), held, 100 << 20);
        p.take_back(usize::MAX);
        assert_eq!(p.lent.len(), 0);
    }

    #[test]
    fn many_results_that_are_held_do_not_keep_others_from_being_used_again() {
        let (mut p, c) = pair();
        let held: Vec<usize> = (0..200).map(|_| p.lend_block(100).unwrap()).collect();
        for _ in 0..500 {
            let offset = p.lend_block(100).unwrap();
            give_back(c.segment(), offset, 100);
        }
        assert_eq!(p.lent.len(), 201);
        held.iter().for_each(|offset| give_back(c.segment(), *offset, 100));
        for _ in 0..100 {
            let offset = p.lend_block(100).unwrap();
            give_back(c.segment(), offset, 100);
        }
        assert_eq!(p.lent.len(), 1);
    }
}
