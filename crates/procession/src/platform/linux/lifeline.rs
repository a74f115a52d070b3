//! The thread that ends a process after its parent: the kernel's alone, no runtime knows of it.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpid, kill_process};

use super::{SignalGuard, kernel_thread};
use crate::error::{Error, Result};

/// The stack's size: the thread touches a page of it.
const STACK_BYTES: usize = 16 * 1024;

/// The process that has such a thread, in the high half, and that thread. A fork has this word, but not the thread.
static HELD: AtomicU64 = AtomicU64::new(0);

/// The number of the thread that ends this process after its parent; none in a process that is nobody's child, or was
/// forked by other means.
pub fn lifeline_thread() -> Option<u32> {
    let held = HELD.load(Ordering::Relaxed);
    (held >> 32 == u64::from(std::process::id())).then_some(held as u32)
}

/// Starts a thread that waits until `parent` is readable, then `grace_ms`, then kills the process.
///
/// It blocks every signal, allocates nothing, takes no lock and has no thread-local memory: it costs a page, and nothing
/// of it matters to a fork that comes later. A thread of the C library would cost a new process a dozen page faults.
///
/// # Errors
/// The system's, such as no memory for the stack; `parent` is closed then.
pub fn end_after(parent: OwnedFd, grace_ms: u32) -> Result<()> {
    let number = parent.as_raw_fd();
    // Both halves of one pointer-sized argument, so that nothing need be allocated for the thread.
    let argument = ((number as usize) << 32) | grace_ms as usize;
    let _blocked = SignalGuard::block_all(); // the new thread inherits the mask
    let thread = start(argument)?;
    HELD.store(u64::from(std::process::id()) << 32 | u64::from(thread.unsigned_abs()), Ordering::Relaxed);
    keep_here(thread);
    let _ = parent.into_raw_fd(); // the thread's now
    Ok(())
}

fn start(argument: usize) -> Result<c_int> {
    // SAFETY:
    //   * the mapping is new, and the thread's alone: nothing unmaps it but a start that fails;
    //   * its end is aligned as a stack must be, and the stack grows down from there;
    //   * the argument is a number, so nothing must outlive anything;
    //   * `wait_and_kill` uses neither `errno` nor thread-locals, only system calls that rustix makes by itself.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        let stack = libc::mmap(ptr::null_mut(), STACK_BYTES, protection, kind, -1, 0);
        if stack == libc::MAP_FAILED {
            return Err(Error::last_os("mmap"));
        }
        let top = stack.byte_add(STACK_BYTES);
        let thread = kernel_thread::start(wait_and_kill, top, ptr::without_provenance_mut(argument));
        if thread.is_err() {
            libc::munmap(stack, STACK_BYTES);
        }
        thread
    }
}

/// Has a new thread sleep on the processor that runs now: on another one, each page that a new process copies would
/// interrupt that one too.
fn keep_here(thread: c_int) {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: asks for a number only.
    let Ok(here) = usize::try_from(unsafe { libc::sched_getcpu() }) else { return };
    if here >= 8 * size {
        return;
    }
    // SAFETY:
    //   * a set of processors is plain bits, has the size that is said, and `here` lies in it, as was just looked at;
    //   * that the system may refuse changes nothing else.
    unsafe {
        let mut only: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(here, &mut only);
        libc::sched_setaffinity(thread, size, &only);
    }
}

extern "C" fn wait_and_kill(argument: *mut c_void) -> c_int {
    let argument = argument.addr();
    // SAFETY: `end_after` gave this thread the descriptor; if somebody closes it all the same, that is seen below.
    let parent = unsafe { BorrowedFd::borrow_raw((argument >> 32) as c_int) };
    let grace_ms = argument as u32;
    let grace = Timespec { tv_sec: (grace_ms / 1000).into(), tv_nsec: (grace_ms % 1000 * 1_000_000).into() };
    let mut watched = [PollFd::from_borrowed_fd(parent, PollFlags::IN)];
    while !matches!(poll(&mut watched, None), Ok(1..)) {}
    if watched[0].revents().contains(PollFlags::NVAL) {
        // Somebody closed the descriptor under us: then nothing is known, so nothing is killed.
        return 0;
    }
    let _ = poll(&mut [], Some(&grace));
    let _ = kill_process(getpid(), Signal::KILL);
    0
}
