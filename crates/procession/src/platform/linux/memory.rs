//! Memory that several processes see: an anonymous file, mapped by each of them.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::process::above_streams;
use crate::error::{During, Error, ErrorKind, Result};

/// Makes an anonymous file of `size` bytes; `reserve` takes the memory now, so that a full machine is an error here
/// and not a SIGBUS at first touch. Nobody who gets a descriptor of it can change its size, so that what one process has
/// mapped stays there whatever another does; but one of no bytes is to be written like any file, and may grow.
///
/// # Errors
/// The system's, among them no memory left.
pub fn memory_file(name: &str, size: usize, reserve: bool) -> Result<OwnedFd> {
    let name = CString::new(name).map_err(|_| Error::new(ErrorKind::InvalidInput, "a name with a NUL byte"))?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let (file, can_be_sealed) = match rustix::fs::memfd_create(&name, flags) {
        Err(error) if is_refusal(error) => (unnamed_file(error)?, false),
        made => (made.during("memfd_create")?, true),
    };
    let file = above_streams(file)?;
    check_file_size(size)?;
    rustix::fs::ftruncate(&file, size as u64).during("ftruncate")?;
    if reserve {
        self::reserve(&file, 0, size)?;
    }
    if size > 0 && can_be_sealed {
        match rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL) {
            // Only processes that were given a descriptor can reach it: none of them changes its size.
            Err(error) if is_refusal(error) => {}
            sealed => sealed.during("fcntl")?,
        }
    }
    Ok(file)
}

/// Whether this process may make a file of `size` bytes. It is asked beforehand, as the system does not only refuse a larger one:
/// it sends SIGXFSZ, which ends programs that do not ignore it.
///
/// # Errors
/// EFBIG, with need and limit.
pub fn check_file_size(size: usize) -> Result<()> {
    let most = super::descriptors::file_limit();
    if size as u64 <= most {
        return Ok(());
    }
    let failure = Error::os("ftruncate", Errno::FBIG.raw_os_error());
    let message = format!("{size} bytes of shared memory, where a file may have {most}: {failure}");
    Err(failure.with_message(message))
}

/// Whether a call failed because the kernel does not know it, or a sandbox's filter of calls answers in its place: some say
/// ENOSYS, others EPERM, and emulators EINVAL.
pub(super) fn is_refusal(error: Errno) -> bool {
    matches!(error, Errno::NOSYS | Errno::PERM | Errno::INVAL)
}

/// A file without a name, in memory if there is such a directory, for where `memfd_create` is `refused`.
fn unnamed_file(refused: Errno) -> Result<OwnedFd> {
    let own = std::env::temp_dir();
    for directory in [Path::new("/dev/shm"), &own] {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::open(directory, flags | OFlags::TMPFILE, mode) {
            return Ok(file);
        }
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        // Where there was one of that name it is a process's that has just made it, and is about to unlink it.
        for _ in 0..100 {
            let number = SERIAL.fetch_add(1, Ordering::Relaxed);
            let name = directory.join(format!(".procession-{}-{number}", std::process::id()));
            match rustix::fs::open(&name, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode) {
                Ok(file) => {
                    rustix::fs::unlink(&name).during("unlink")?;
                    return Ok(file);
                }
                Err(Errno::EXIST) => {}
                Err(_) => break,
            }
        }
    }
    let failure = Error::os("memfd_create", refused.raw_os_error());
    let message = format!("{failure}; and no file can be made in its place, in /dev/shm or in {}", own.display());
    Err(failure.with_message(message))
}

/// How many bytes a memory file has.
///
/// # Errors
/// The system's.
pub fn file_size(file: impl AsFd) -> Result<usize> {
    Ok(rustix::fs::fstat(file).during("fstat")?.st_size as usize)
}

/// Whether nobody can make a file shorter, so that what is mapped of it stays there; where nothing can be sealed, files are
/// taken on trust.
pub fn is_of_fixed_size(file: impl AsFd) -> bool {
    let is_sealed =
        |file: BorrowedFd<'_>| rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
    static SEALS: OnceLock<bool> = OnceLock::new();
    is_sealed(file.as_fd())
        || !*SEALS
            .get_or_init(|| memory_file("procession-trial", 1, false).map_or(true, |file| is_sealed(file.as_fd())))
}

/// Takes the memory of `size` bytes of a memory file from `offset` now, so that none left is an error and not a SIGBUS. It
/// is memory that nobody has written to: where the kernel refuses to allocate, zeros are written.
///
/// # Errors
/// The system's, among them no memory left.
pub fn reserve(file: impl AsFd, offset: usize, size: usize) -> Result<()> {
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), offset as u64, size as u64) {
        Err(error) if is_refusal(error) || error == Errno::OPNOTSUPP => write_zeros(file, offset, size),
        answer => answer.during("fallocate"),
    }
}

/// Takes memory that nobody uses yet by writing to it.
fn write_zeros(file: impl AsFd, offset: usize, size: usize) -> Result<()> {
    const ZEROS: &[u8] = &[0; 64 << 10];
    let mut done = 0;
    while done < size {
        let now = ZEROS.len().min(size - done);
        write_at(&file, offset + done, &ZEROS[..now])?;
        done += now;
    }
    Ok(())
}

/// Writes all of `bytes` into a memory file from `offset` on, without a mapping of them.
///
/// # Errors
/// The system's, among them no memory left.
pub fn write_at(file: impl AsFd, offset: usize, bytes: &[u8]) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(&file, &bytes[done..], (offset + done) as u64) {
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).during("pwrite"),
        }
    }
    Ok(())
}

/// Reads the bytes of a memory file from `offset` on into all of `into`, without a mapping of them.
///
/// # Errors
/// The system's; `Protocol` when the file ends before.
pub fn read_at(file: impl AsFd, offset: usize, into: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < into.len() {
        match rustix::io::pread(&file, &mut into[done..], (offset + done) as u64) {
            Ok(0) => return Err(Error::new(ErrorKind::Protocol, "a memory file ends early")),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).during("pread"),
        }
    }
    Ok(())
}

/// Where the next write to a file will begin that gives no place; all copies of a descriptor have that in common.
pub fn position(file: impl AsFd) -> u64 {
    rustix::fs::tell(file).unwrap_or(0)
}

/// Has the next write that gives no place begin at `offset`.
///
/// # Errors
/// The system's.
pub fn set_position(file: impl AsFd, offset: usize) -> Result<()> {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(offset as u64)).during("lseek").map(drop)
}

/// How many bytes a page of this machine has.
pub fn page_size() -> usize {
    #[cfg(test)]
    if FAKED_PAGE.get() > 0 {
        return FAKED_PAGE.get();
    }
    static BYTES: AtomicUsize = AtomicUsize::new(0);
    let known = BYTES.load(Ordering::Relaxed);
    if known > 0 {
        return known;
    }
    // The C library is asked: a tool that runs a program itself, as valgrind does, answers it, but lets the kernel answer rustix.
    // SAFETY: asks for a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    BYTES.store(bytes, Ordering::Relaxed);
    bytes
}

#[cfg(test)]
thread_local! {
    /// What a test takes the size of a page for: a multiple of what it is.
    pub(crate) static FAKED_PAGE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many bytes of memory the machine has.
pub fn machine_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        // SAFETY: asks for a number.
        let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
        usize::try_from(pages).map_or(usize::MAX, |pages| pages.saturating_mul(page_size()))
    })
}

/// Gives the memory of `size` bytes of a memory file from `offset` back; they read as zero from then on.
pub fn release(file: impl AsFd, offset: usize, size: usize) {
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let _ = rustix::fs::fallocate(file, how, offset as u64, size as u64);
}

/// Fewer bytes than this are not worth a system call.
const HUGE_PAGES_BYTES: usize = 4 << 20;

/// Asks for huge pages behind private memory that is about to be filled, if there is much of it: each of its pages is
/// otherwise a fault of its own, which costs more than the copy does.
pub fn prefer_huge_pages(address: usize, size: usize) {
    if size < HUGE_PAGES_BYTES {
        return;
    }
    let page = page_size();
    let (start, end) = (address.next_multiple_of(page), (address + size) / page * page);
    // SAFETY: the advice changes what pages the system takes for these addresses, never what they hold or whether they
    // are there; where nothing is mapped, it is an error, and it is no loss if it is not followed.
    let _ = unsafe { rustix::mm::madvise(start as *mut _, end - start, Advice::LinuxHugepage) };
}

/// A mapping of a file, for as long as this value lives.
///
/// A process that is forked does not have a shared one (`MADV_DONTFORK`), unless it is made for that: each process maps
/// what it needs itself.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    size: usize,
    /// Where in its file it begins.
    from: u64,
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
        let mapping = Mapping { start, size, from: offset };
        if !inherited {
            mapping.keep_from_children(0, size)?;
        }
        // A sparse mapping has no place in a core dump; where the advice is unknown, nothing is lost.
        // SAFETY: DONTDUMP changes what a core dump holds, not the memory.
        let _ = unsafe { rustix::mm::madvise(mapping.start.as_ptr().cast(), size, Advice::LinuxDontDump) };
        Ok(mapping)
    }

    /// Maps `size` bytes of `file` from `offset` copy-on-write: what is written here nobody else sees, and a child that
    /// is forked has it too.
    ///
    /// # Errors
    /// The system's, or `InvalidInput` for an empty range.
    pub fn private(file: impl AsFd, offset: u64, size: usize) -> Result<Mapping> {
        if size == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "a mapping needs at least one byte"));
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel picks an unused place, so no memory in use is touched.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), size, access, flags, file, offset) };
        let start = NonNull::new(start.during("mmap")?.cast()).expect("mmap never gives address zero");
        Ok(Mapping { start, size, from: offset })
    }

    /// Makes whole pages of a shared mapping of `file`, from `offset` in the mapping, this process's own: same place, same bytes,
    /// but what happens to the file is not seen any more, nor by others what is written here; a child that is forked
    /// has them too.
    ///
    /// Other threads may read and write them meanwhile.
    ///
    /// # Errors
    /// The system's; the pages are shared as before, or already copy-on-write.
    pub fn detach(&self, file: impl AsFd, offset: usize, size: usize) -> Result<()> {
        self.remap(file, offset, size, MapFlags::PRIVATE)?;
        self.own_pages(offset, size)
    }

    /// Undoes [`Mapping::detach`]: the pages show the file's bytes again.
    ///
    /// # Errors
    /// The system's.
    pub fn attach(&self, file: impl AsFd, offset: usize, size: usize) -> Result<()> {
        self.remap(file, offset, size, MapFlags::SHARED)?;
        self.keep_from_children(offset, size)?;
        // SAFETY: in this mapping; it changes what a core dump holds, not the memory of this process.
        let _ = unsafe { rustix::mm::madvise(self.start.as_ptr().add(offset).cast(), size, Advice::LinuxDontDump) };
        Ok(())
    }

    fn remap(&self, file: impl AsFd, offset: usize, size: usize, how: MapFlags) -> Result<()> {
        self.check_pages(offset, size)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = how | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY:
        //   * the range lies in this mapping: checked above; the kernel replaces it in one step, and threads that touch
        //     it meanwhile wait: it is never unmapped;
        //   * it stays readable and writable, so every reference into it stays valid.
        unsafe {
            let place = self.start.as_ptr().add(offset).cast();
            rustix::mm::mmap(place, size, access, flags, file, self.from + offset as u64).during("mmap")?;
        }
        Ok(())
    }

    /// Has the kernel copy all pages of a range that is mapped copy-on-write now, so that none depends on the file.
    ///
    /// # Errors
    /// The system's, among them no memory left.
    pub fn own_pages(&self, offset: usize, size: usize) -> Result<()> {
        self.check_pages(offset, size)?;
        let start = self.start.as_ptr();
        // SAFETY: the range lies in this mapping; its pages are copied, their bytes stay as they are.
        let populated = unsafe { rustix::mm::madvise(start.add(offset).cast(), size, Advice::LinuxPopulateWrite) };
        match populated {
            Err(rustix::io::Errno::INVAL) => {}
            other => return other.during("madvise"),
        }
        // A kernel before 5.14: a write that changes nothing copies a page just as well.
        for at in (offset..offset + size).step_by(page_size()) {
            // SAFETY: in bounds: checked above; the byte is changed by nobody but in one indivisible step here.
            unsafe { &*start.add(at).cast::<AtomicU8>() }.fetch_or(0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Maps pages that are in the file already, all at once, where the kernel can do that; else each comes when it is touched.
    pub fn populate(&self, offset: usize, size: usize) {
        if self.check_pages(offset, size).is_ok() {
            // SAFETY: the pages are within this mapping, and stay what they are.
            let _ = unsafe {
                rustix::mm::madvise(self.start.as_ptr().add(offset).cast(), size, Advice::LinuxPopulateWrite)
            };
        }
    }

    fn check_pages(&self, offset: usize, size: usize) -> Result<()> {
        let page = page_size();
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.size);
        if size == 0 || !fits || !size.is_multiple_of(page) || !offset.is_multiple_of(page) {
            return Err(Error::new(ErrorKind::InvalidInput, "only whole pages of a mapping can be remapped"));
        }
        Ok(())
    }

    /// Maps the same `size` bytes of `file` from `offset` twice, one copy after the other, so that a range that
    /// wraps around the end of a ring is one piece.
    ///
    /// # Errors
    /// The system's, or `InvalidInput` unless `size` and `offset` are multiples of the page size.
    pub fn mirrored(file: impl AsFd, offset: u64, size: usize) -> Result<Mapping> {
        let page = page_size();
        if size == 0 || !size.is_multiple_of(page) || !offset.is_multiple_of(page as u64) {
            return Err(Error::new(ErrorKind::InvalidInput, "a mirrored mapping is made of whole pages"));
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let none = ProtFlags::empty();
        let hold = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel picks an unused place, so no memory in use is touched.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), 2 * size, none, hold) }.during("mmap")?;
        let start = NonNull::new(start.cast::<u8>()).expect("mmap never gives address zero");
        let mapping = Mapping { start, size: 2 * size, from: offset };
        let fixed = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
        for copy in 0..2 {
            // SAFETY: replaces one half of the range that was just reserved, which nobody else knows.
            unsafe {
                let place = mapping.start.as_ptr().add(copy * size).cast();
                rustix::mm::mmap(place, size, access, fixed, &file, offset).during("mmap")?;
            }
        }
        mapping.keep_from_children(0, 2 * size)?;
        Ok(mapping)
    }

    fn keep_from_children(&self, offset: usize, size: usize) -> Result<()> {
        let start = self.start.as_ptr();
        // SAFETY: the range lies in this mapping; DONTFORK changes what a later fork copies, not the memory of this process.
        match unsafe { rustix::mm::madvise(start.add(offset).cast(), size, Advice::LinuxDontFork) } {
            // An emulator or a sandbox that does not know it: a child that is forked has a mapping that it does not use, and
            // the memory is there until that child ends, too.
            Err(error) if is_refusal(error) => Ok(()),
            answer => answer.during("madvise"),
        }
    }

    /// The first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Where the byte at `offset` lies in this process, for as long as this value lives; none if it is out of bounds.
    pub fn address(&self, offset: usize) -> Option<usize> {
        (offset <= self.size).then(|| self.start.as_ptr() as usize + offset)
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

/// The memory file that process `pid` has open as `number`.
///
/// # Errors
/// The system's: the process is gone, has closed it, or is none of this user's.
pub fn memory_file_of(pid: u32, number: u32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/fd/{number}");
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).during("open")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_file_is_found_by_process_and_number() {
        use std::os::fd::AsRawFd;
        let file = memory_file("test", 4096, true).unwrap();
        let again = memory_file_of(std::process::id(), file.as_raw_fd() as u32).unwrap();
        assert_eq!(file_size(&again).unwrap(), 4096);
        assert!(memory_file_of(std::process::id(), 1 << 20).is_err());
    }

    #[test]
    fn nobody_can_change_the_size_of_a_memory_file() {
        let file = memory_file("test", 4096, true).unwrap();
        assert!(is_of_fixed_size(&file));
        for size in [0, 4095, 4097] {
            assert!(rustix::fs::ftruncate(&file, size).is_err());
        }
        release(&file, 0, 4096);
        assert!(reserve(&file, 0, 4096).is_ok());
        assert!(reserve(&file, 0, 4097).is_err());
    }
}
