//! A worker's own segment: its ledger, and the ring that its results go through.
//!
//! The worker alone writes, the parent alone reads: no lock, and nothing that a death could leave half done. A frame
//! counts from the moment `tail` is stored. The ring is mapped twice in a row, so no frame is ever in two pieces.
//! The ledger, the ring and the lent blocks are one segment with one layout, and die together.

mod ledger;
mod lent;
mod report;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::frame::{FRAME_BYTES, Frame, FrameKind, RUN_END};
use super::rows::ROWS_BYTES;
use super::slots::Ticket;
use super::words::flow::{self};
use crate::error::{Error, Result};
use crate::platform::{self, Mapping};
use crate::shared_memory::{Arena, Block, Segment, Span, copy_in, copy_out, word64};

pub use self::ledger::{
    GLIMPSE_BYTES, Glimpse, Ledger, Phase, current_item, given, glimpse, is_called_off, is_interrupted,
};
pub use self::lent::{BLOCK_HEAD, forsake_worker, give_back};
use self::report::report_at;
pub use self::report::{Report, report_place};

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

/// The worker's end.
#[derive(Debug)]
pub struct Producer {
    segment: Arc<Segment>,
    ring: Mapping,
    arena: Arena,
    lent: Vec<LentBlock>,
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
struct LentBlock {
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
}

fn place(payload: &[u8]) -> Option<(usize, usize)> {
    let offset = u64::from_le_bytes(*payload.first_chunk()?);
    let size = u64::from_le_bytes(*payload.get(8..)?.first_chunk()?);
    Some((offset.try_into().ok()?, size.try_into().ok()?))
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

    /// The worker's segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
}

#[cfg(test)]
mod tests;
