//! A segment: an anonymous memory file, and what of it this process has mapped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::windows::{WINDOW_BYTES, Windows};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Mapping, file_size, memory_file, read_at};
use crate::shared_memory::words;

/// Memory shared by the processes that hold its descriptor; the kernel frees it with the last of them.
#[derive(Debug)]
pub struct Segment {
    file: OwnedFd,
    size: usize,
    mapping: Mapping,
    windows: Windows,
}

/// Bytes of a segment that this process has mapped: they stay where they are for as long as this value, and the segment,
/// live.
#[derive(Clone, Debug)]
pub struct Span {
    /// None for what is mapped with the segment.
    window: Option<Arc<Mapping>>,
    /// Where they begin in [`Span::mapping`].
    pub offset: usize,
}

impl Span {
    /// The mapping that they lie in, of the segment that they are of.
    #[inline]
    pub fn mapping<'a>(&'a self, segment: &'a Segment) -> &'a Mapping {
        self.window.as_deref().unwrap_or(&segment.mapping)
    }
}

impl Segment {
    /// A new segment of `size` zero bytes, taken now (`reserve`) or at first touch.
    ///
    /// # Errors
    /// The system's.
    pub fn create(name: &str, size: usize, reserve: bool) -> Result<Segment> {
        Segment::mapped(memory_file(name, size, reserve)?, size, size, false)
    }

    /// A new segment of `size` zero bytes, taken now, that a child which is forked has mapped too.
    ///
    /// # Errors
    /// The system's.
    pub fn create_inherited(name: &str, size: usize) -> Result<Segment> {
        Segment::mapped(memory_file(name, size, true)?, size, size, true)
    }

    /// The segment behind a descriptor that another process passed here, for children that are forked too.
    ///
    /// # Errors
    /// The system's.
    pub fn open_inherited(file: OwnedFd) -> Result<Segment> {
        let size = file_size(&file)?;
        Segment::mapped(file, size, size, true)
    }

    /// A new segment of as many bytes as a file of this process may have, at most `most` and at least `least`, none of them
    /// taken yet, and only the first mapped: a place to cut blocks from.
    ///
    /// # Errors
    /// The system's, when not even `least` bytes can be had.
    pub fn create_sparse(name: &str, least: usize, most: usize) -> Result<Segment> {
        let mut size = most;
        loop {
            match memory_file(name, size, false) {
                Err(_) if size / 4 > least => size /= 4,
                Err(_) if size > least => size = least,
                file => return Segment::mapped(file?, size, size.min(WINDOW_BYTES), false),
            }
        }
    }

    /// The segment behind a descriptor that another process passed here.
    ///
    /// # Errors
    /// The system's.
    pub fn open(file: OwnedFd) -> Result<Segment> {
        let size = file_size(&file)?;
        Segment::mapped(file, size, size.min(WINDOW_BYTES), false)
    }

    #[cfg(test)]
    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }

    fn mapped(file: OwnedFd, size: usize, first: usize, inherited: bool) -> Result<Segment> {
        let mapping = Mapping::new(&file, 0, first, inherited)?;
        Ok(Segment { file, size, mapping, windows: Windows::default() })
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Those of its bytes that are mapped with it, from the first on: the words of its layout, and small blocks. What another
    /// process names is found by [`Segment::at`].
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The `size` bytes at `offset`, which lie in one block.
    ///
    /// # Errors
    /// `Protocol` when they lie outside, or where no block does; the system's when this process may not map them.
    #[inline]
    pub fn at(&self, offset: usize, size: usize) -> Result<Span> {
        if offset.checked_add(size).is_some_and(|end| end <= self.mapping.size()) {
            return Ok(Span { window: None, offset });
        }
        let (window, offset) = self.windows.find(&self.file, self.size, offset, size)?;
        Ok(Span { window: Some(window), offset })
    }

    /// Writes `parts`, one after the other, from `offset` on, into one block.
    ///
    /// # Errors
    /// Those of [`Segment::at`]; nothing is written then.
    pub fn write(&self, offset: usize, parts: &[&[u8]]) -> Result<()> {
        let span = self.at(offset, parts.iter().map(|part| part.len()).sum())?;
        let mut at = span.offset;
        for part in parts {
            words::copy_in(span.mapping(self), at, part);
            at += part.len();
        }
        Ok(())
    }

    /// Adds the `size` bytes at `offset` to `into`, whether or not they can be mapped.
    ///
    /// # Errors
    /// `Protocol` when they lie outside, or where no block does; no memory for them.
    pub fn read(&self, offset: usize, size: usize, into: &mut Vec<u8>) -> Result<()> {
        let span = self.at(offset, size);
        if span.as_ref().is_err_and(|error| error.kind() == ErrorKind::Protocol) {
            return span.map(drop);
        }
        into.try_reserve(size).map_err(|_| Error::new(ErrorKind::Os, format!("no memory for {size} bytes")))?;
        if let Ok(span) = span {
            words::copy_out(span.mapping(self), span.offset, size, into);
            return Ok(());
        }
        let start = into.len();
        into.resize(start + size, 0);
        read_at(&self.file, offset, &mut into[start..]).inspect_err(|_| into.truncate(start))
    }

    /// The 32-bit word at `offset`.
    ///
    /// # Panics
    /// When the offset, which is a constant of the layout, lies outside.
    #[inline]
    pub fn word32(&self, offset: usize) -> &AtomicU32 {
        words::word32(&self.mapping, offset).expect("a word of the layout lies in its segment")
    }

    /// The 64-bit word at `offset`.
    ///
    /// # Panics
    /// When the offset, which is a constant of the layout, lies outside.
    #[inline]
    pub fn word64(&self, offset: usize) -> &AtomicU64 {
        words::word64(&self.mapping, offset).expect("a word of the layout lies in its segment")
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
