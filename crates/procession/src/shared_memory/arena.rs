//! Blocks cut from a sparse segment by one process.
//!
//! First touch of a page costs more than copying into it, so freed blocks are used again, the last one first; what is
//! free beyond a limit goes back to the system. The largest does not count: small messages beside large ones keep theirs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::windows::{SMALL_BYTES, WINDOW_BYTES, large_from};
use crate::error::{Error, ErrorKind, Result};
use crate::platform;
use crate::shared_memory::Segment;

/// How many free bytes keep their memory, beside the largest block.
const KEEP_BYTES: usize = 128 << 20;
/// How many the largest may have, which is likely to serve the next message of its kind.
const KEEP_ALONE_BYTES: usize = 2 << 30;
/// How many bytes of a block that keeps no memory are copied out of it before theirs goes.
const STRIDE_BYTES: usize = 64 << 20;

/// A piece of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it starts, in bytes from the start of the segment.
    pub offset: usize,
    /// How many bytes of address space it has: what was asked for, rounded up to its size class.
    pub size: usize,
    /// How many of them have memory.
    backed: usize,
}

/// Reads the `size` bytes at `offset` of a block for the last time: `copy` is called with the place in the segment and the
/// number of bytes, one part after the other. The memory of a block that [`Arena::free`] would give back goes with each part, so
/// that a large payload is not there twice; whoever cut the block frees it as ever.
pub fn read_last(segment: &Segment, offset: usize, size: usize, mut copy: impl FnMut(usize, usize)) {
    if size <= KEEP_ALONE_BYTES {
        return copy(offset, size);
    }
    let end = offset + size;
    let page = platform::page_size();
    let mut from = offset;
    while from < end {
        let to = ((from + STRIDE_BYTES) / page * page).min(end);
        copy(from, to - from);
        // Whole pages only: others may have what lies beside.
        let (first, last) = (from.next_multiple_of(page), to / page * page);
        platform::release(segment, first, last.saturating_sub(first));
        from = to;
    }
}

#[derive(Clone, Copy, Debug)]
struct Tops {
    small: usize,
    large: usize,
}

/// The free and used blocks of a segment; private to the process that cuts them.
#[derive(Debug)]
pub struct Arena {
    segment: Arc<Segment>,
    /// Where the place for blocks ends.
    end: usize,
    /// Where the next small block may begin, and the next large one: see `windows.rs`.
    tops: Tops,
    /// Free blocks with memory, by size class; the last freed is the first to be used again.
    warm: BTreeMap<usize, Vec<Block>>,
    /// Free blocks without.
    cold: BTreeMap<usize, Vec<usize>>,
    warm_bytes: usize,
}

impl Arena {
    /// Cuts blocks from `segment`, from `start` on.
    pub fn new(segment: Arc<Segment>, start: usize) -> Arena {
        let end = segment.size();
        Arena::within(segment, start, end)
    }

    /// Cuts blocks from `segment`, between `start` and `end`.
    pub fn within(segment: Arc<Segment>, start: usize, end: usize) -> Arena {
        let small = start.next_multiple_of(platform::page_size());
        let tops = Tops { small, large: large_from(segment.size()).max(small) };
        Arena { segment, end, tops, warm: BTreeMap::new(), cold: BTreeMap::new(), warm_bytes: 0 }
    }

    /// The segment that the blocks lie in.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// A block of at least `size` bytes, which this process has mapped.
    ///
    /// # Errors
    /// When the segment, the machine or this process's address space has no room left; nothing is lost then.
    pub fn allocate(&mut self, size: usize) -> Result<Block> {
        let no_room = || Error::new(ErrorKind::Os, format!("no room for {size} bytes in shared memory"));
        let need = size.max(1).checked_next_multiple_of(platform::page_size()).ok_or_else(no_room)?;
        let class = size_class(need).ok_or_else(no_room)?;
        if let Some(mut block) = self.take_warm(class) {
            if let Err(error) = self.provide(block.offset, block.size, block.backed..need) {
                self.free(block);
                return Err(error);
            }
            block.backed = block.backed.max(need);
            return Ok(block);
        }
        let cold = self.cold.get_mut(&class).and_then(Vec::pop);
        let (offset, tops) = match cold {
            Some(offset) => (offset, self.tops),
            None => self.cut(class).ok_or_else(no_room)?,
        };
        if let Err(error) = self.provide(offset, class, 0..need) {
            if cold.is_some() {
                self.cold.entry(class).or_default().push(offset);
            }
            return Err(error);
        }
        self.tops = tops;
        Ok(Block { offset, size: class, backed: need })
    }

    /// Where a new block of `class` bytes may lie, and the tops above it: in one window, and if there is a choice with others
    /// of its kind.
    fn cut(&self, class: usize) -> Option<(usize, Tops)> {
        let Tops { small, large } = self.tops;
        let left = small.next_multiple_of(WINDOW_BYTES) - small;
        let at = if class <= left { small } else { small + left };
        let fits = class <= WINDOW_BYTES && at + class <= large_from(self.segment.size()).min(self.end);
        let among_small = fits.then_some((at, Tops { small: at + class, large }));
        let end = large.checked_add(class).filter(|&end| end <= self.end);
        let among_large = end.map(|end| (large, Tops { small, large: end }));
        if class <= SMALL_BYTES { among_small.or(among_large) } else { among_large.or(among_small) }
    }

    /// Maps the `size` bytes at `offset`, and takes the memory of a part of them that has none.
    fn provide(&self, offset: usize, size: usize, part: Range<usize>) -> Result<()> {
        self.segment.at(offset, size)?;
        if part.is_empty() {
            return Ok(());
        }
        platform::reserve(&*self.segment, offset + part.start, part.len())
    }

    /// A free block with memory of a size class, or of one that is a little larger.
    fn take_warm(&mut self, class: usize) -> Option<Block> {
        let (&found, blocks) = self.warm.range_mut(class..=class + class / 4).next()?;
        let block = blocks.pop()?;
        if blocks.is_empty() {
            self.warm.remove(&found);
        }
        self.warm_bytes -= block.backed;
        Some(block)
    }

    /// Takes a block back.
    pub fn free(&mut self, block: Block) {
        let largest = self.warm.last_key_value().and_then(|(_, blocks)| blocks.last());
        let largest = largest.map_or(0, |block| block.backed).max(block.backed);
        let beside = self.warm_bytes + block.backed - largest;
        if beside > KEEP_BYTES || block.backed > KEEP_ALONE_BYTES {
            platform::release(&*self.segment, block.offset, block.backed);
            self.cold.entry(block.size).or_default().push(block.offset);
        } else {
            self.warm_bytes += block.backed;
            self.warm.entry(block.size).or_default().push(block);
        }
    }

    /// Takes a block back whose memory is gone already.
    pub fn free_cold(&mut self, block: Block) {
        self.cold.entry(block.size).or_default().push(block.offset);
    }

    /// How many bytes of free blocks have memory.
    pub fn warm_bytes(&self) -> usize {
        self.warm_bytes
    }

    /// Gives the memory of all free blocks back to the system.
    pub fn trim(&mut self) {
        for block in std::mem::take(&mut self.warm).into_values().flatten() {
            platform::release(&*self.segment, block.offset, block.backed);
            self.cold.entry(block.size).or_default().push(block.offset);
        }
        self.warm_bytes = 0;
    }
}

/// Whole pages, in steps of a sixteenth to a thirty-second: address space is wasted, memory is not. None when there is
/// no such size.
pub(super) fn size_class(size: usize) -> Option<usize> {
    let step = (size.checked_next_power_of_two()? / 32).max(platform::page_size());
    size.checked_next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Mapping;
    use crate::shared_memory;

    const PAGE: usize = 4096;

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
        assert!(a.warm_bytes - (20 << 20) <= KEEP_BYTES);
        let again: Vec<Block> = (0..9).map(|_| a.allocate(20 << 20).unwrap()).collect();
        assert_eq!(a.tops.large, blocks.iter().map(|b| b.offset + b.size).max().unwrap());
        assert_eq!(again.len(), 9);
    }

    #[test]
    fn a_large_free_block_leaves_small_ones_their_memory() {
        let mut a = arena();
        let (large, small, second) =
            (a.allocate(200 << 20).unwrap(), a.allocate(PAGE).unwrap(), a.allocate(150 << 20).unwrap());
        a.free(large);
        a.free(small);
        assert_eq!(a.warm_bytes(), (200 << 20) + PAGE);
        a.free(second);
        assert_eq!(a.warm_bytes(), (200 << 20) + PAGE);
    }

    #[test]
    fn more_than_there_is_is_an_error_and_loses_nothing() {
        let mut a = arena();
        assert!(a.allocate(2 << 30).is_err());
        assert!(a.allocate(10).is_ok());
    }

    #[test]
    fn trimmed_blocks_give_their_memory_back_and_serve_again() {
        let mut a = arena();
        let block = a.allocate(5 << 20).unwrap();
        a.free(block);
        assert_eq!(a.warm_bytes(), 5 << 20);
        a.trim();
        assert_eq!(a.warm_bytes(), 0);
        assert_eq!(a.allocate(5 << 20).unwrap().offset, block.offset);
    }

    #[test]
    fn what_is_read_last_gives_its_memory_back_part_by_part_if_the_block_would() {
        let size = KEEP_ALONE_BYTES + 3 * PAGE + 5;
        let segment = Segment::create_sparse("test", PAGE, 2 * size).unwrap();
        let whole = Mapping::new(&segment, 0, segment.size(), false).unwrap();
        let (first, last) = (PAGE + 64, size - 1);
        // A few bytes are enough: what is sparse has memory where it was written.
        for place in [first - 1, first, size / 2, first + last, first + last + PAGE] {
            shared_memory::copy_in(&whole, place, &[7]);
        }
        let mut parts = Vec::new();
        read_last(&segment, first, size, |from, count| parts.push((from, count)));
        assert_eq!(parts.iter().map(|part| part.1).sum::<usize>(), size);
        assert!(parts.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0));
        let byte = |place| {
            let mut byte = [0];
            shared_memory::copy_to(&whole, place, &mut byte);
            byte[0]
        };
        assert_eq!((byte(first - 1), byte(size / 2), byte(first + last + PAGE)), (7, 0, 7));
    }

    #[test]
    fn what_may_serve_again_keeps_its_memory_when_it_is_read() {
        let segment = Segment::create_sparse("test", PAGE, 1 << 20).unwrap();
        shared_memory::copy_in(segment.mapping(), PAGE, &[7; PAGE]);
        let mut parts = Vec::new();
        read_last(&segment, PAGE, PAGE, |from, count| parts.push((from, count)));
        let mut byte = [0];
        shared_memory::copy_to(segment.mapping(), PAGE, &mut byte);
        assert_eq!((parts, byte), (vec![(PAGE, PAGE)], [7]));
    }

    #[test]
    fn a_block_has_memory_for_what_was_asked_and_grows_when_used_again() {
        let mut a = arena();
        let asked = (16 << 20) + 64;
        let first = a.allocate(asked).unwrap();
        assert_eq!(first.backed, asked.next_multiple_of(PAGE));
        a.free(first);
        let again = a.allocate(first.size).unwrap();
        assert_eq!((again.offset, again.backed), (first.offset, first.size));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]
        #[test]
        fn no_block_crosses_a_border_and_no_two_overlap(
            bits in 16..41u32, start in 0..600_000usize, sizes in proptest::collection::vec((0..34u32, 0..1usize << 33), 1..120),
        ) {
            let segment = Arc::new(Segment::create_sparse("test", PAGE, 1 << bits).unwrap());
            let mut a = Arena::new(segment.clone(), start);
            let mut blocks: Vec<Range<usize>> = Vec::new();
            for (most, size) in sizes {
                let need = (size % (1 << most) % (1 << bits)).max(1).next_multiple_of(PAGE);
                let class = size_class(need).unwrap();
                let Some((offset, tops)) = a.cut(class) else { continue };
                a.tops = tops;
                segment.at(offset, class).unwrap();
                blocks.push(offset..offset + class);
            }
            blocks.sort_by_key(|block| block.start);
            proptest::prop_assert!(blocks.first().is_none_or(|block| block.start >= start));
            proptest::prop_assert!(blocks.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }

    #[test]
    fn blocks_beyond_the_first_window_are_mapped_and_serve_again() {
        let mut a = Arena::new(Arc::new(Segment::create_sparse("test", 1 << 20, 1 << 40).unwrap()), 100);
        let blocks: Vec<Block> = (0..12).map(|n| a.allocate((3 + n) << 20).unwrap()).collect();
        for block in &blocks {
            a.segment().write(block.offset + block.size - 2, &[b"ab"]).unwrap();
        }
        blocks.iter().for_each(|block| a.free(*block));
        let again: Vec<Block> = (0..12).map(|n| a.allocate((3 + n) << 20).unwrap()).collect();
        assert!(again.iter().all(|block| blocks.contains(block)));
    }

    #[test]
    fn a_size_class_wastes_at_most_a_sixteenth_and_a_page() {
        for size in (1..200).map(|n| (n * 7001usize).next_multiple_of(PAGE)) {
            let class = size_class(size).unwrap();
            assert!(class >= size && class <= (size + PAGE) * 17 / 16, "{size} -> {class}");
        }
        assert_eq!(size_class(usize::MAX / PAGE * PAGE), None);
    }
}
