//! Memory that several processes see: an anonymous file, mapped by each of them.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::error::{During, Error, ErrorKind, Result};

/// Makes an anonymous file of `size` bytes; `reserve` takes the memory now, so that a full machine is an error here
/// and not a SIGBUS at first touch.
///
/// # Errors
/// The system's, among them no memory left.
pub fn memory_file(name: &str, size: usize, reserve: bool) -> Result<OwnedFd> {
    let name = CString::new(name).map_err(|_| Error::new(ErrorKind::InvalidInput, "a name with a NUL byte"))?;
    let file = rustix::fs::memfd_create(&name, MemfdFlags::CLOEXEC).during("memfd_create")?;
    rustix::fs::ftruncate(&file, size as u64).during("ftruncate")?;
    if reserve {
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size as u64).during("fallocate")?;
    }
    Ok(file)
}

/// How many bytes a memory file has.
///
/// # Errors
/// The system's.
pub fn file_size(file: impl AsFd) -> Result<usize> {
    Ok(rustix::fs::fstat(file).during("fstat")?.st_size as usize)
}

/// Takes the memory of `size` bytes of a memory file from `offset` now, so that none left is an error and not a SIGBUS.
///
/// # Errors
/// The system's, among them no memory left.
pub fn reserve(file: impl AsFd, offset: usize, size: usize) -> Result<()> {
    rustix::fs::fallocate(file, FallocateFlags::empty(), offset as u64, size as u64).during("fallocate")
}

/// Gives the memory of `size` bytes of a memory file from `offset` back; they read as zero from then on.
pub fn release(file: impl AsFd, offset: usize, size: usize) {
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let _ = rustix::fs::fallocate(file, how, offset as u64, size as u64);
}

/// A shared mapping of a file, for as long as this value lives.
///
/// A process that is forked does not have it (`MADV_DONTFORK`): each process maps what it needs itself.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY:
//   * the bytes are reached only through atomics or by copies that treat them as changing at any time (words.rs);
//   * the mapping itself never moves or shrinks while the value lives.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `size` bytes of `file` from `offset`.
    ///
    /// # Errors
    /// The system's, or `InvalidInput` for an empty range.
    pub fn new(file: impl AsFd, offset: u64, size: usize, inherited: bool) -> Result<Mapping> {
        if size == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "a mapping needs at least one byte"));
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: the kernel picks an unused place, so no memory in use is touched.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), size, access, flags, file, offset) };
        let start = NonNull::new(start.during("mmap")?.cast()).expect("mmap never gives address zero");
        let mapping = Mapping { start, size };
        if !inherited {
            mapping.keep_from_children()?;
        }
        // A sparse mapping has no place in a core dump; where the advice is unknown, nothing is lost.
        // SAFETY: DONTDUMP changes what a core dump holds, not the memory.
        let _ = unsafe { rustix::mm::madvise(mapping.start.as_ptr().cast(), size, Advice::LinuxDontDump) };
        Ok(mapping)
    }

    /// Maps the same `size` bytes of `file` from `offset` twice, one copy after the other, so that a range that
    /// wraps around the end of a ring is one piece.
    ///
    /// # Errors
    /// The system's, or `InvalidInput` unless `size` and `offset` are multiples of the page size.
    pub fn mirrored(file: impl AsFd, offset: u64, size: usize) -> Result<Mapping> {
        let page = rustix::param::page_size();
        if size == 0 || !size.is_multiple_of(page) || !offset.is_multiple_of(page as u64) {
            return Err(Error::new(ErrorKind::InvalidInput, "a mirrored mapping is made of whole pages"));
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let none = ProtFlags::empty();
        let hold = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel picks an unused place, so no memory in use is touched.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), 2 * size, none, hold) }.during("mmap")?;
        let start = NonNull::new(start.cast::<u8>()).expect("mmap never gives address zero");
        let mapping = Mapping { start, size: 2 * size };
        let fixed = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
        for copy in 0..2 {
            // SAFETY: replaces one half of the range that was just reserved, which nobody else knows.
            unsafe {
                let place = mapping.start.as_ptr().add(copy * size).cast();
                rustix::mm::mmap(place, size, access, fixed, &file, offset).during("mmap")?;
            }
        }
        mapping.keep_from_children()?;
        Ok(mapping)
    }

    fn keep_from_children(&self) -> Result<()> {
        // SAFETY: DONTFORK changes what a later fork copies, not the memory of this process.
        unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.size, Advice::LinuxDontFork) }.during("madvise")
    }

    /// The first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes are mapped.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by this value and every reference into it is tied to its lifetime.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.size) };
    }
}
