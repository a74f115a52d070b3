//! The thread that ends a process after its parent: made without Rust's or C's runtime having anything to do in it.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;

use super::SignalGuard;
use crate::error::{Error, Result};

const STACK_BYTES: usize = 64 * 1024;
const MOST_STACK_BYTES: usize = 8 * 1024 * 1024;

/// Starts a thread that waits until `parent` is readable, then `grace_ms`, then kills the process.
///
/// It blocks every signal, allocates nothing and takes no lock: it costs a few page faults, and nothing of it matters
/// to a fork that comes later.
///
/// # Errors
/// The system's, such as no memory for the stack; `parent` is closed then.
pub fn end_after(parent: OwnedFd, grace_ms: u32) -> Result<()> {
    let number = parent.as_raw_fd();
    // Both halves of one pointer-sized argument, so that nothing need be allocated for the thread.
    let argument = ((number as usize) << 32) | grace_ms as usize;
    let _blocked = SignalGuard::block_all(); // the new thread inherits the mask
    let mut stack = STACK_BYTES;
    loop {
        match start(stack, argument) {
            0 => break,
            // Libraries with much thread-local memory need more: it is cut out of the stack.
            libc::EINVAL if stack < MOST_STACK_BYTES => stack *= 2,
            failure => return Err(Error::os("pthread_create", failure)),
        }
    }
    let _ = parent.into_raw_fd(); // the thread's now
    Ok(())
}

fn start(stack: usize, argument: usize) -> c_int {
    // SAFETY:
    //   * the attributes are initialised by the first call, used by the others, and destroyed by the last;
    //   * `wait_and_kill` has the signature asked for, and its argument is a number, so nothing must outlive anything.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        let mut thread: libc::pthread_t = std::mem::zeroed();
        libc::pthread_attr_init(&mut attributes);
        libc::pthread_attr_setdetachstate(&mut attributes, libc::PTHREAD_CREATE_DETACHED);
        let mut failure = libc::pthread_attr_setstacksize(&mut attributes, stack);
        if failure == 0 {
            failure = stay_here(&mut attributes);
        }
        if failure == 0 {
            failure =
                libc::pthread_create(&mut thread, &attributes, wait_and_kill, ptr::without_provenance_mut(argument));
        }
        libc::pthread_attr_destroy(&mut attributes);
        failure
    }
}

/// Has the thread sleep on the processor that runs now: on another one, each page that the new process copies would
/// interrupt that one too.
#[cfg(target_env = "gnu")]
fn stay_here(attributes: &mut libc::pthread_attr_t) -> c_int {
    // SAFETY: asks for a number only.
    let Ok(here) = usize::try_from(unsafe { libc::sched_getcpu() }) else { return 0 };
    if here >= 8 * size_of::<libc::cpu_set_t>() {
        return 0;
    }
    // SAFETY:
    //   * a set of processors is plain bits, and `here` lies in it, as was just looked at;
    //   * the attributes are initialised, and the set has the size that is said.
    unsafe {
        let mut only: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(here, &mut only);
        libc::pthread_attr_setaffinity_np(attributes, size_of::<libc::cpu_set_t>(), &only)
    }
}

#[cfg(not(target_env = "gnu"))]
fn stay_here(_attributes: &mut libc::pthread_attr_t) -> c_int {
    0
}

extern "C" fn wait_and_kill(argument: *mut c_void) -> *mut c_void {
    let argument = argument.addr();
    // SAFETY: `end_after` gave this thread the descriptor.
    let parent = unsafe { OwnedFd::from_raw_fd((argument >> 32) as c_int) };
    let grace_ms = (argument & 0xffff_ffff) as c_int;
    let mut watched = libc::pollfd { fd: parent.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one initialised entry, as the count says.
    while unsafe { libc::poll(&mut watched, 1, -1) } <= 0 {}
    if watched.revents & libc::POLLNVAL != 0 {
        // Somebody closed the descriptor under us: then nothing is known, so nothing is killed.
        let _ = parent.into_raw_fd();
        return ptr::null_mut();
    }
    // SAFETY: no entries are read; a signal of our own process needs no more.
    unsafe {
        libc::poll(ptr::null_mut(), 0, grace_ms);
        libc::kill(libc::getpid(), libc::SIGKILL);
    }
    ptr::null_mut()
}
