//! A segment: an anonymous memory file and its mapping in this process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::error::Result;
use crate::platform::{Mapping, file_size, memory_file};
use crate::shared_memory::words;

/// Memory shared by the processes that hold its descriptor; the kernel frees it with the last of them.
#[derive(Debug)]
pub struct Segment {
    file: OwnedFd,
    mapping: Mapping,
}

impl Segment {
    /// A new segment of `size` zero bytes, taken now (`reserve`) or at first touch.
    ///
    /// # Errors
    /// The system's.
    pub fn create(name: &str, size: usize, reserve: bool) -> Result<Segment> {
        let file = memory_file(name, size, reserve)?;
        let mapping = Mapping::new(&file, 0, size, false)?;
        Ok(Segment { file, mapping })
    }

    /// A new segment of `size` zero bytes, taken now, that a child which is forked has mapped too.
    ///
    /// # Errors
    /// The system's.
    pub fn create_inherited(name: &str, size: usize) -> Result<Segment> {
        let file = memory_file(name, size, true)?;
        let mapping = Mapping::new(&file, 0, size, true)?;
        Ok(Segment { file, mapping })
    }

    /// The segment behind a descriptor that another process passed here, for children that are forked too.
    ///
    /// # Errors
    /// The system's.
    pub fn open_inherited(file: OwnedFd) -> Result<Segment> {
        let size = file_size(&file)?;
        let mapping = Mapping::new(&file, 0, size, true)?;
        Ok(Segment { file, mapping })
    }

    /// A new segment of as many bytes as this process may map, at most `most` and at least `least`, none of them
    /// taken yet: a place to cut blocks from.
    ///
    /// # Errors
    /// The system's, when not even `least` bytes can be had.
    pub fn create_sparse(name: &str, least: usize, most: usize) -> Result<Segment> {
        let mut size = most;
        loop {
            match Segment::create(name, size, false) {
                Err(_) if size / 4 > least => size /= 4,
                Err(_) if size > least => size = least,
                answer => return answer,
            }
        }
    }

    /// The segment behind a descriptor that another process passed here.
    ///
    /// # Errors
    /// The system's.
    pub fn open(file: OwnedFd) -> Result<Segment> {
        let size = file_size(&file)?;
        let mapping = Mapping::new(&file, 0, size, false)?;
        Ok(Segment { file, mapping })
    }

    /// Its bytes.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
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
