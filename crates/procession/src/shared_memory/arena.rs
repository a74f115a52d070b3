//! Blocks cut from a sparse segment by one process.
//!
//! First touch of a page costs more than copying into it, so freed blocks are used again, the last one first; what is
//! free beyond a limit goes back to the system.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::platform;
use crate::shared_memory::Segment;

/// How many free bytes keep their memory.
const KEEP_BYTES: usize = 128 << 20;
const PAGE: usize = 4096;

/// A piece of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it starts, in bytes from the start of the segment.
    pub offset: usize,
    /// How many bytes it has: what was asked for, rounded up to its size class.
    pub size: usize,
}

/// The free and used blocks of a segment; private to the process that cuts them.
#[derive(Debug)]
pub struct Arena {
    segment: Arc<Segment>,
    top: usize,
    warm: BTreeMap<usize, Vec<usize>>,
    cold: BTreeMap<usize, Vec<usize>>,
    warm_bytes: usize,
}

impl Arena {
    /// Cuts blocks from `segment`, from `start` on.
    pub fn new(segment: Arc<Segment>, start: usize) -> Arena {
        let top = start.next_multiple_of(PAGE);
        Arena { segment, top, warm: BTreeMap::new(), cold: BTreeMap::new(), warm_bytes: 0 }
    }

    /// The segment that the blocks lie in.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// A block of at least `size` bytes.
    ///
    /// # Errors
    /// When the segment or the machine has no room left.
    pub fn allocate(&mut self, size: usize) -> Result<Block> {
        let size = size_class(size);
        if let Some(offset) = self.warm.get_mut(&size).and_then(Vec::pop) {
            self.warm_bytes -= size;
            return Ok(Block { offset, size });
        }
        let cold = self.cold.get_mut(&size).and_then(Vec::pop);
        let offset = cold.unwrap_or(self.top);
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.segment.mapping().size());
        if !fits {
            return Err(Error::new(ErrorKind::Os, format!("no room for {size} bytes in shared memory")));
        }
        if let Err(error) = platform::reserve(&*self.segment, offset, size) {
            if cold.is_some() {
                self.cold.entry(size).or_default().push(offset);
            }
            return Err(error);
        }
        if cold.is_none() {
            self.top += size;
        }
        Ok(Block { offset, size })
    }

    /// Takes a block back.
    pub fn free(&mut self, block: Block) {
        if self.warm_bytes + block.size > KEEP_BYTES {
            platform::release(&*self.segment, block.offset, block.size);
            self.cold.entry(block.size).or_default().push(block.offset);
        } else {
            self.warm_bytes += block.size;
            self.warm.entry(block.size).or_default().push(block.offset);
        }
    }
}

/// Whole pages, in four steps between powers of two: at most a quarter is wasted.
fn size_class(size: usize) -> usize {
    let size = size.max(1).next_multiple_of(PAGE);
    let step = (size.next_power_of_two() / 8).max(PAGE);
    size.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena() -> Arena {
        Arena::new(Arc::new(Segment::create_sparse("test", 1 << 20, 1 << 30).unwrap()), 100)
    }

    #[test]
    fn a_freed_block_is_used_again_first() {
        let mut a = arena();
        let first = a.allocate(5000).unwrap();
        let second = a.allocate(5000).unwrap();
        assert_ne!(first.offset, second.offset);
        a.free(first);
        assert_eq!(a.allocate(6000).unwrap(), first);
    }

    #[test]
    fn blocks_beyond_the_limit_give_their_memory_back_and_serve_again() {
        let mut a = arena();
        let blocks: Vec<Block> = (0..9).map(|_| a.allocate(20 << 20).unwrap()).collect();
        blocks.iter().for_each(|b| a.free(*b));
        assert!(a.warm_bytes <= KEEP_BYTES);
        let again: Vec<Block> = (0..9).map(|_| a.allocate(20 << 20).unwrap()).collect();
        assert_eq!(a.top, blocks.iter().map(|b| b.offset + b.size).max().unwrap());
        assert_eq!(again.len(), 9);
    }

    #[test]
    fn more_than_there_is_is_an_error_and_loses_nothing() {
        let mut a = arena();
        assert!(a.allocate(2 << 30).is_err());
        assert!(a.allocate(10).is_ok());
    }

    #[test]
    fn a_size_class_wastes_at_most_a_quarter() {
        for size in (1..200).map(|n| n * 7001) {
            let class = size_class(size);
            assert!(class >= size && class <= (size + PAGE) * 5 / 4, "{size} -> {class}");
        }
    }
}
