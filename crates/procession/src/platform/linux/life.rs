//! Where the system has no pidfds: a pipe whose writing end a process holds open while it lives.
//!
//! A copy that is forked has that end, too, and would stand for its parent: so it closes there all that it does not hold
//! itself. Other programs never have one.
#![allow(unsafe_code)]

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use super::identity::{thread_id, watch_fork};
use super::own::Own;
use super::process::above_streams;
use crate::error::{During, Error, Result};

/// Whether there are pidfds: not yet known, yes, no.
static PIDFDS: AtomicU8 = AtomicU8::new(0);
const THERE: u8 = 1;
const REFUSED: u8 = 2;

/// How many writing ends may be open at a time: one of each parent of this process, one for its own children, and one for
/// each thread that starts a process just now.
const MOST: usize = 64;
/// Their numbers, -1 for none; of those that a child will hold, the thread that forks it, 0 for this process's own.
static ENDS: [(AtomicI32, AtomicU64); MOST] = [const { (AtomicI32::new(-1), AtomicU64::new(0)) }; MOST];

/// Whether the system has pidfds.
pub fn has_pidfds() -> bool {
    match PIDFDS.load(Ordering::Relaxed) {
        0 => open(getpid()).is_ok() || PIDFDS.load(Ordering::Relaxed) != REFUSED,
        known => known == THERE,
    }
}

/// A pidfd of a process; notes whether the system has such.
pub(super) fn open(pid: Pid) -> Result<OwnedFd> {
    let answer = pidfd_open(pid, PidfdFlags::empty());
    match answer {
        Ok(_) => PIDFDS.store(THERE, Ordering::Relaxed),
        Err(Errno::NOSYS | Errno::PERM) => PIDFDS.store(REFUSED, Ordering::Relaxed),
        // An emulator's answer: this process can be asked for.
        Err(Errno::INVAL) if pid == getpid() => PIDFDS.store(REFUSED, Ordering::Relaxed),
        Err(_) => {}
    }
    above_streams(answer.during("pidfd_open")?)
}

/// A pipe whose writing end the child will hold that this thread is about to start; [`end_life`] closes this process's.
///
/// # Errors
/// The system's.
pub fn begin_life() -> Result<(OwnedFd, i32)> {
    let (reader, writer) = ends()?;
    Ok((reader, enter(writer, thread_id())))
}

/// Closes a writing end that is the child's.
pub fn end_life(writer: i32) {
    let mine = ENDS.iter().find(|(number, _)| number.load(Ordering::Relaxed) == writer);
    if mine.is_none_or(|(number, _)| number.compare_exchange(writer, -1, Ordering::AcqRel, Ordering::Relaxed).is_ok()) {
        // SAFETY: the number is of an end that `begin_life` made, and no longer in the table, so nobody else closes it.
        unsafe { libc::close(writer) };
    }
}

/// Has this process hold the end that its parent passed it.
pub fn hold_life(writer: OwnedFd) {
    let _ = rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::CLOEXEC);
    enter(writer, 0);
}

/// What [`super::own_pidfd`] gives where there are no pidfds.
pub(super) fn own_life() -> Result<OwnedFd> {
    static OWN: Own<Option<OwnedFd>> = Own::new(|| None);
    let mut own = OWN.lock();
    if own.is_none() {
        let (reader, writer) = ends()?;
        enter(writer, 0);
        *own = Some(reader);
    }
    let copy = own.as_ref().expect("it was just made").try_clone();
    above_streams(copy.map_err(|error| Error::os("dup", error.raw_os_error().unwrap_or(0)))?)
}

fn ends() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).during("pipe2")?;
    Ok((above_streams(reader)?, above_streams(writer)?))
}

/// Notes an end. One too many stays open in the copies of this process, which then seem to be it.
fn enter(writer: OwnedFd, thread: u64) -> i32 {
    watch_fork();
    let writer = writer.into_raw_fd();
    for (number, holder) in &ENDS {
        if number.compare_exchange(-1, writer, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            holder.store(thread, Ordering::Release);
            break;
        }
    }
    writer
}

/// To be called in a process that was just forked: keeps the end that was made for it, and closes the others.
pub(super) fn forked() {
    if PIDFDS.load(Ordering::Relaxed) != REFUSED {
        return;
    }
    let me = thread_id();
    for (number, holder) in &ENDS {
        let writer = number.load(Ordering::Relaxed);
        if writer < 0 {
            continue;
        }
        if holder.swap(0, Ordering::Relaxed) != me {
            number.store(-1, Ordering::Relaxed);
            // SAFETY: the number is of an end in the table, which alone owns it.
            unsafe { libc::close(writer) };
        }
    }
}
