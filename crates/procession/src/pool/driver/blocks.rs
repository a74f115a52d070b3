//! Blocks of the pool's segment: cut for records, shared by several, freed by the last.

use std::sync::Arc;

use super::Driver;
use crate::channel::Ticket;
use crate::error::Result;
use crate::shared_memory::{Block, Segment};

impl Driver {
    /// The segment that blocks of records lie in.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// A block for `size` bytes of a record: give it to [`Driver::publish`] or [`Driver::release`].
    ///
    /// # Errors
    /// No memory.
    pub fn cut(&mut self, size: usize) -> Result<Block> {
        let block = match self.arena.allocate(size) {
            Err(_) if self.arena.warm_bytes() > 0 => {
                self.arena.trim();
                self.arena.allocate(size)?
            }
            answer => answer?,
        };
        self.users.insert(block.offset, (block, 1));
        Ok(block)
    }

    /// One more user of a block, who will give it to [`Driver::publish`] or [`Driver::release`] too.
    pub fn share(&mut self, block: Block) {
        if let Some((_, users)) = self.users.get_mut(&block.offset) {
            *users += 1;
        }
    }

    /// How many bytes of memory of blocks [`Driver::trim`] would give back once all records are read.
    pub fn warm_bytes(&self) -> usize {
        self.arena.warm_bytes() + self.block_bytes
    }

    /// How many bytes of memory are free to be used again.
    pub fn free_bytes(&self) -> usize {
        self.arena.warm_bytes()
    }

    /// How many bytes of blocks workers still see in place, though their records have ended.
    pub fn kept_bytes(&self) -> usize {
        self.seats.iter().flatten().flat_map(|seat| &seat.kept).map(|block| block.size).sum()
    }

    /// Gives the memory of free blocks back to the system.
    pub fn trim(&mut self) {
        self.arena.trim();
    }

    /// Keeps `bytes` where workers can read them until [`Driver::release`].
    ///
    /// # Errors
    /// No memory.
    pub fn hold(&mut self, bytes: &[u8]) -> Result<Block> {
        let block = self.cut(bytes.len())?;
        match self.segment.write(block.offset, &[bytes]) {
            Ok(()) => Ok(block),
            Err(error) => {
                self.release(block);
                Err(error)
            }
        }
    }

    /// Gives up what [`Driver::hold`], [`Driver::cut`] or [`Driver::share`] gave; the last user frees the block.
    pub fn release(&mut self, block: Block) {
        let Some((_, users)) = self.users.get_mut(&block.offset) else { return };
        *users -= 1;
        if *users == 0 {
            self.users.remove(&block.offset);
            self.arena.free(block);
        }
    }

    pub(super) fn forget_block(&mut self, ticket: Ticket) {
        if let Some((blocks, bytes)) = self.blocks.remove(&ticket) {
            self.block_bytes -= bytes;
            blocks.into_iter().for_each(|block| self.release(block));
        }
    }
}
