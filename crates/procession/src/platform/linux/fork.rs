//! A copy of this process that is a child of this one's parent, and what such a copy takes over from there.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::fs::{Mode, OFlags};

use super::identity::forked_in_child;
use crate::error::{During, Error, ErrorKind, Result};

/// As in `linux/sched.h`; the crate libc has it for few targets.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Which of the two processes this is after [`fork_sibling`].
#[derive(Debug)]
pub(crate) enum Sibling {
    /// The new one.
    This,
    /// The old one, with the id and a pidfd of the new one.
    Other(i32, OwnedFd),
}

/// Where the number of this thread is kept.
struct ThreadNumber {
    /// By the C library.
    kept: *mut c_int,
    /// What the kernel clears when the thread ends.
    cleared: *mut c_int,
}

impl ThreadNumber {
    /// The places for this thread; `None` when the C library is one that is not known.
    fn of_this_thread() -> Option<ThreadNumber> {
        let mut cleared: *mut c_int = ptr::null_mut();
        // SAFETY: writes one pointer to the address given.
        if unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, ptr::from_mut(&mut cleared)) } != 0 || cleared.is_null() {
            return None;
        }
        let number = rustix::thread::gettid().as_raw_nonzero().get();
        // SAFETY: the C library gave the kernel this address, of memory that is there while the thread runs.
        if unsafe { *cleared } == number {
            return Some(ThreadNumber { kept: cleared, cleared }); // glibc
        }
        if cfg!(target_env = "musl") {
            // There the kernel clears the lock of the list of threads, and the number lies in the head of the thread's
            // record, behind some pointers. One word alone may have its value, else it is not known which it is.
            // SAFETY: a number, for which nothing is asked of this thread.
            let record: *mut c_int = unsafe { libc::pthread_self() } as usize as *mut c_int;
            // SAFETY: the handle points to the record, which is longer than that and this thread's own.
            let head: [c_int; 16] = unsafe { record.cast::<[c_int; 16]>().read() };
            let mut found = head.iter().zip(0..).filter(|(word, _)| **word == number);
            if let (Some((_, place)), None) = (found.next(), found.next()) {
                return Some(ThreadNumber { kept: record.wrapping_add(place), cleared });
            }
        }
        None
    }

    /// Writes the number of a thread that has just become the only one of a new process, if the kernel has not.
    ///
    /// # Safety
    /// This thread is the copy of the one that asked for the places, in a process of its own.
    unsafe fn renew(&self) {
        if self.kept != self.cleared {
            // SAFETY: as for this function; the first call returns the number and notes what it is given.
            unsafe { *self.kept = libc::syscall(libc::SYS_set_tid_address, self.cleared) as c_int };
        }
    }
}

/// Copies this process, which has one thread; the copy is a child of this one's parent, which waits for it and gets its signal.
///
/// The C library's `fork` cannot do that, so what it does beside the system call for a process with one thread is done here: it gives
/// the thread its new number, and the kernel its list of robust mutexes. Handlers of `pthread_atfork` do not run.
///
/// # Errors
/// `InvalidInput` when there is another thread, which could hold a lock that nobody in the copy gives back, or a C library
/// that is not known; the system's.
pub(crate) fn fork_sibling() -> Result<Sibling> {
    let threads = super::identity::threads().ok_or_else(|| Error::last_os("stat /proc/self/task"))?;
    if threads != 1 {
        let message = format!("a process with {threads} threads cannot be copied: one may hold a lock");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let number = ThreadNumber::of_this_thread().ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "this C library does not say where it keeps the number of a thread")
    })?;
    let (mut robust, mut robust_size): (*mut libc::c_void, usize) = (ptr::null_mut(), 0);
    let mut pidfd: c_int = -1;
    let mut flags = libc::CLONE_PARENT | libc::CLONE_PIDFD;
    if number.kept == number.cleared {
        flags |= libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID; // the kernel writes it
    }
    let arguments = CloneArguments {
        flags: flags as u64,
        pidfd: ptr::from_mut(&mut pidfd).addr() as u64,
        child_tid: number.kept.addr() as u64,
        ..CloneArguments::default()
    };
    // SAFETY:
    //   * the first call writes a pointer and a size to the locals given, and the last gives the kernel the same again;
    //   * without CLONE_VM the new process has its own copy of all memory, stacks included, and goes on from here;
    //   * there is no other thread, so nothing in the copy is locked or half changed by somebody who is not there;
    //   * the new number is written to where the C library keeps it in the new process, the pidfd to `pidfd` in this one.
    let id = unsafe {
        libc::syscall(libc::SYS_get_robust_list, 0, &mut robust, &mut robust_size);
        let id = libc::syscall(libc::SYS_clone3, &arguments, size_of::<CloneArguments>());
        if id == 0 {
            number.renew();
            if !robust.is_null() {
                libc::syscall(libc::SYS_set_robust_list, robust, robust_size);
            }
        }
        id
    };
    match id {
        0 => {
            forked_in_child();
            Ok(Sibling::This)
        }
        // SAFETY: the kernel has just made this descriptor and nobody else knows its number.
        1.. => Ok(Sibling::Other(id as i32, unsafe { OwnedFd::from_raw_fd(pidfd) })),
        _ => Err(Error::last_os("clone3")),
    }
}

/// The standard streams, but those that are closed.
pub(crate) fn standard_streams() -> [Option<BorrowedFd<'static>>; 3] {
    let all = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    all.map(|stream| rustix::io::fcntl_getfd(stream).is_ok().then_some(stream))
}

/// Opens something harmless in the place of standard streams that are closed, so that no other file gets their numbers.
pub(crate) fn fill_standard_streams() {
    for number in standard_streams().iter().zip(0..).filter(|(stream, _)| stream.is_none()).map(|(_, number)| number) {
        // SAFETY: opens a file, which gets the lowest free number and stays open.
        let file: RawFd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        if file > number {
            // SAFETY: closes what was just opened.
            unsafe { libc::close(file) };
        }
    }
}

/// Makes `streams` the standard streams; closes those that are none.
///
/// # Errors
/// The system's.
pub(crate) fn take_standard_streams(streams: [Option<OwnedFd>; 3]) -> Result<()> {
    for (number, stream) in (0..).zip(streams) {
        match stream {
            // SAFETY: both numbers are of this process, and who reads or writes the number does so by its meaning.
            Some(stream) if unsafe { libc::dup2(stream.as_raw_fd(), number) } < 0 => {
                return Err(Error::last_os("dup2"));
            }
            Some(_) => {}
            // SAFETY: as above.
            None => drop(unsafe { libc::close(number) }),
        }
    }
    Ok(())
}

/// The working directory, to be entered by another process; none if it cannot be opened.
pub(crate) fn working_directory() -> Option<OwnedFd> {
    rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Enters a directory from [`working_directory`].
///
/// # Errors
/// The system's.
pub(crate) fn enter_directory(directory: impl AsFd) -> Result<()> {
    rustix::process::fchdir(directory).during("fchdir")
}

/// Lets Ctrl-C, which goes to all processes of a terminal, be for others; [`heed_interrupts`] undoes it.
pub(crate) fn ignore_interrupts() {
    // SAFETY: sets a disposition; no handler is involved.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
}

/// Gives Ctrl-C its default meaning.
pub(crate) fn heed_interrupts() {
    // SAFETY: sets a disposition; no handler is involved.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
}
