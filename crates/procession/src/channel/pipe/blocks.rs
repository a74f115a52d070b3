//! The blocks that large messages cross in: the sender's segment, and those of senders that a receiver has mapped.
//!
//! ```text
//! state   | meaning
//! FREE    | the sender may take it
//! TAKEN   | the sender fills it, or its part of a message is on its way, or the receiver copies it
//! AWAITED | as TAKEN, and the sender sleeps on the word
//! ```
//!
//! The sender takes blocks, the receiver gives them back; a few are used again and again, so that their pages are warm.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::platform::{file_key, file_size, is_of_fixed_size, wait, wake};
use crate::shared_memory::{Segment, copy_in, copy_out};

/// A message longer than a block crosses in parts: one is filled while the one before is copied out.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;
pub(super) const BLOCKS: usize = 8;
/// Where the blocks begin; before them lies a word for each, on a cache line of its own.
const BLOCKS_AT: usize = 4096;
const LINE_BYTES: usize = 64;
pub(crate) const SEGMENT_BYTES: usize = BLOCKS_AT + BLOCKS * BLOCK_BYTES;

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const AWAITED: u32 = 2;

/// How many senders' segments a receiver keeps mapped; there are several when processes share the sending end.
const MOST_KNOWN: usize = 4;

fn state(segment: &Segment, block: usize) -> &AtomicU32 {
    segment.word32(block * LINE_BYTES)
}

/// The sender's.
#[derive(Debug)]
pub(super) struct Blocks {
    segment: Segment,
    /// The blocks in the order in which they were sent last.
    order: [usize; BLOCKS],
}

impl Blocks {
    pub(super) fn create() -> Result<Blocks> {
        let segment = Segment::create_inherited("procession-pipe", SEGMENT_BYTES)?;
        Ok(Blocks { segment, order: std::array::from_fn(|block| block) })
    }

    /// A free block.
    pub(super) fn take(&mut self) -> Option<usize> {
        // The first ones first: what was used last is in the cache.
        let free = |block: &usize| {
            let state = state(&self.segment, *block);
            state.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let block = (0..BLOCKS).find(free)?;
        let place = self.order.iter().position(|other| *other == block).expect("every block has its place");
        self.order[place..].rotate_left(1);
        Some(block)
    }

    /// Sleeps until a block may be free, at most so long.
    pub(super) fn wait(&self, limit: Duration) -> Result<()> {
        let oldest = state(&self.segment, self.order[0]);
        let marked = oldest.compare_exchange(TAKEN, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
        if marked.is_ok() || marked == Err(AWAITED) {
            match wait(oldest, AWAITED, Some(Instant::now() + limit)) {
                Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn fill(&self, block: usize, part: &[u8]) {
        let fits = part.len() <= BLOCK_BYTES && copy_in(self.segment.mapping(), BLOCKS_AT + block * BLOCK_BYTES, part);
        assert!(fits, "a part of a message lies in its block");
    }

    /// Gives a block back that was not sent.
    pub(super) fn untake(&self, block: usize) {
        state(&self.segment, block).store(FREE, Ordering::Release);
    }
}

impl AsFd for Blocks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.segment.as_fd()
    }
}

/// The receiver's: segments by what tells their files apart.
#[derive(Debug, Default)]
pub(super) struct KnownSegments(Vec<((u64, u64), Segment)>);

impl KnownSegments {
    /// The place of the segment behind a descriptor that came with a message.
    ///
    /// # Errors
    /// `Protocol` when it is none; the system's.
    pub(super) fn find(&mut self, file: OwnedFd) -> Result<usize> {
        let key = file_key(&file)?;
        if let Some(place) = self.0.iter().position(|(known, _)| *known == key) {
            return Ok(place);
        }
        if file_size(&file)? != SEGMENT_BYTES || !is_of_fixed_size(&file) {
            return Err(damaged());
        }
        let segment = Segment::open_inherited(file)?;
        if self.0.len() == MOST_KNOWN {
            self.0.remove(0);
        }
        self.0.push((key, segment));
        Ok(self.0.len() - 1)
    }

    pub(super) fn get(&self, place: usize) -> &Segment {
        &self.0[place].1
    }
}

/// Adds the first `size` bytes of a block to `into`, and gives the block back.
///
/// # Errors
/// `Protocol` when there is no such block.
pub(super) fn copy(segment: &Segment, block: u32, size: usize, into: &mut Vec<u8>) -> Result<()> {
    let block = block as usize;
    if block >= BLOCKS || !copy_out(segment.mapping(), BLOCKS_AT + block * BLOCK_BYTES, size.min(BLOCK_BYTES), into) {
        return Err(damaged());
    }
    let state = state(segment, block);
    if state.swap(FREE, Ordering::AcqRel) == AWAITED {
        wake(state, 1);
    }
    Ok(())
}

fn damaged() -> Error {
    Error::new(ErrorKind::Protocol, "a large message is not where its head says")
}
