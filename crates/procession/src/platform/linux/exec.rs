//! Starting another program by copying this process, where the C library's way to do it is refused.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use rustix::pipe::PipeFlags;

use super::process::{FIRST_DESCRIPTOR, duplicate, end_now};
use super::signals::numbers_in;
use crate::error::{During, Error, Result};

/// As [`super::spawn`]; `copies` are the descriptors, above the numbers that the program gets them by, and the arrays end with a
/// null pointer.
pub(super) fn spawn(
    program: &CStr,
    arguments: &[*mut c_char],
    environment: &[*mut c_char],
    copies: &[RawFd],
    blocked: u64,
) -> Result<i32> {
    let end = FIRST_DESCRIPTOR + copies.len() as RawFd;
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).during("pipe2")?;
    let failure = duplicate(writer.as_raw_fd(), end)?;
    drop(writer);
    let highest = copies.iter().copied().chain([failure.as_raw_fd()]).max().unwrap_or(end);
    let _held = super::SignalGuard::block_all(); // until the copy has no handler of this program
    // SAFETY: the copy calls nothing but `become_program`, which only makes system calls until it ends.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => {
            let number = failure.as_raw_fd();
            // SAFETY: the strings and arrays live, and end, as the caller says; the copy has its own of them.
            let error = unsafe { become_program(program, arguments, environment, copies, number, highest, blocked) };
            let bytes = error.to_ne_bytes();
            // SAFETY: writes four bytes of a local.
            unsafe { libc::write(number, bytes.as_ptr().cast(), bytes.len()) };
            end_now(127)
        }
        1.. => {
            drop(failure);
            let mut error = [0; 4];
            // The writing end is closed when the program runs.
            if let Ok(4) = rustix::io::retry_on_intr(|| rustix::io::read(&reader, &mut error)) {
                // SAFETY: waits for the copy, which ends just now.
                unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
                return Err(Error::os("execve", i32::from_ne_bytes(error)));
            }
            Ok(pid)
        }
        _ => Err(Error::last_os("fork")),
    }
}

/// Gives this process, a copy with one thread, what the program gets, and runs it; returns the error's number.
///
/// # Safety
/// The arrays end with a null pointer and all strings with a NUL byte.
unsafe fn become_program(
    program: &CStr,
    arguments: &[*mut c_char],
    environment: &[*mut c_char],
    copies: &[RawFd],
    failure: RawFd,
    highest: RawFd,
    blocked: u64,
) -> c_int {
    // SAFETY: system calls with numbers, locals and what the caller has vouched for; nothing is allocated or locked.
    unsafe {
        for (number, copy) in (FIRST_DESCRIPTOR..).zip(copies) {
            if libc::dup2(*copy, number) < 0 {
                return last_error();
            }
        }
        close_others(FIRST_DESCRIPTOR + copies.len() as RawFd, failure, highest);
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL); // an error for the few that have no disposition
        }
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut mask);
        for signal in numbers_in(blocked) {
            libc::sigaddset(&mut mask, signal);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &mask, ptr::null_mut());
        libc::execve(program.as_ptr(), arguments.as_ptr().cast(), environment.as_ptr().cast());
        last_error()
    }
}

/// Closes all descriptors from `first` on but one, as far as this process may have them.
///
/// # Safety
/// None of them is used after this, but that one.
unsafe fn close_others(first: RawFd, kept: RawFd, highest: RawFd) {
    // SAFETY: closing what is not open is an error that changes nothing.
    unsafe {
        if kept > first {
            close_range(first, kept - 1, highest);
        }
        close_range(kept + 1, RawFd::MAX, highest);
    }
}

/// # Safety
/// None of these descriptors is used any more.
unsafe fn close_range(first: RawFd, last: RawFd, highest: RawFd) {
    /// What is looked at where the system does not close them at once: beyond these, those without O_CLOEXEC slip through.
    const MOST: RawFd = 1 << 16;
    // SAFETY: the caller uses none of them.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) < 0 {
            for number in first..=last.min(MOST.max(highest)) {
                libc::close(number);
            }
        }
    }
}

fn last_error() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
