//! Blocks that a worker lends to the parent: large results, until the parent gives them back.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, SeqCst};

use super::report::report_at;
use super::{LentBlock, Producer, RING_AT, TRIMMED_AT};
use crate::channel::words::flow::{self, Loan};
use crate::error::Result;
use crate::platform::{self};
use crate::shared_memory::{Segment, forsake, word64};

/// A lent block starts with a word that says whether it still is; its bytes begin after this many.
pub const BLOCK_HEAD: usize = 64;
/// How many lent blocks are looked at for each that is lent, the latest and others by turns: so the cost does not grow
/// with the number of results that a program holds.
const LOOKS: usize = 16;

impl LentBlock {
    /// The word that says whether it is lent still.
    fn word<'a>(&'a self, segment: &'a Segment) -> &'a AtomicU64 {
        word64(self.span.mapping(segment), self.span.offset).expect("a block that was cut here starts with a word")
    }
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

impl Producer {
    /// Copies a large payload into a block that the parent gives back.
    pub(super) fn lend(&mut self, payload: &[u8]) -> Result<(usize, usize)> {
        let offset = self.lend_block(payload.len())?;
        self.segment.write(offset + BLOCK_HEAD, &[payload]).inspect_err(|_| self.unlend(offset))?;
        Ok((offset, payload.len()))
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
            Ok(span) => LentBlock { block, span },
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
    pub(super) fn take_back(&mut self, looks: usize) {
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

    pub(super) fn take_back_at(&mut self, index: usize) -> bool {
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
