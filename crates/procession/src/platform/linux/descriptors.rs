//! Waiting for a few descriptors, none of which is worth an epoll set.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Doorbell, SignalGuard, duplicate};
use crate::error::{During, Error, Result};

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Something to read, or the other side is gone.
    Read,
    /// Room to write, or the other side is gone.
    Write,
}

/// Waits until one of `files` is ready or `until` comes; gives the places of those ready, none at the deadline.
///
/// Signals are let through, as the mask before `guard` says, while the wait sleeps.
///
/// # Errors
/// `Interrupted` when a signal handler ran; `EBADF` for a descriptor that is not open.
pub fn wait_descriptors(
    files: &[(RawFd, Readiness)],
    until: Option<Instant>,
    guard: Option<&SignalGuard>,
) -> Result<Vec<usize>> {
    let mut set: Vec<libc::pollfd> = files
        .iter()
        .map(|&(fd, what)| libc::pollfd {
            fd,
            events: if what == Readiness::Read { libc::POLLIN } else { libc::POLLOUT },
            revents: 0,
        })
        .collect();
    let left = until.map(|until| {
        let left = until.saturating_duration_since(Instant::now());
        let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        libc::timespec { tv_sec: tv_sec as _, tv_nsec: i64::from(left.subsec_nanos()) as _ }
    });
    let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mask = guard.map_or(std::ptr::null(), SignalGuard::mask_before);
    // SAFETY: `set` has the length that is given; `left` and `mask` are null or point to values that outlive the call.
    let count = unsafe { libc::ppoll(set.as_mut_ptr(), set.len() as libc::nfds_t, left, mask) };
    if count < 0 {
        return Err(Error::last_os("poll"));
    }
    if set.iter().any(|one| one.revents & libc::POLLNVAL != 0) {
        return Err(Error::os("poll", libc::EBADF));
    }
    Ok(set.iter().enumerate().filter(|(_, one)| one.revents != 0).map(|(place, _)| place).collect())
}

/// What tells a file from all others, whatever its descriptors' numbers: its device and its number there.
///
/// # Errors
/// The system's.
pub fn file_key(file: impl AsFd) -> Result<(u64, u64)> {
    let stat = rustix::fs::fstat(file).during("fstat")?;
    Ok((stat.st_dev, stat.st_ino))
}

/// An empty file, whose descriptor has a number if that is free, and else any other.
///
/// # Errors
/// The system's.
pub fn open_nothing(number: RawFd) -> Result<OwnedFd> {
    let file = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).during("open")?;
    if number <= file.as_raw_fd() {
        return Ok(file);
    }
    // The lowest free number from there on: only one that is wanted, and free, is that one.
    match duplicate(file.as_raw_fd(), number) {
        Ok(copy) if copy.as_raw_fd() == number => Ok(copy),
        _ => Ok(file),
    }
}

/// Takes over a descriptor that the interpreter handed out as a number.
///
/// # Errors
/// `EBADF` when it is not open.
pub fn adopt(file: RawFd) -> Result<OwnedFd> {
    // SAFETY: fcntl with F_GETFD only asks.
    if file < 0 || unsafe { libc::fcntl(file, libc::F_GETFD) } < 0 {
        return Err(Error::os("fcntl", libc::EBADF));
    }
    // SAFETY: it is open, as was just seen, and the caller says that nobody else will close it. A caller that is wrong
    // closes somebody's descriptor, which is what `os.close` in Python allows too, and touches no memory.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Calls with a descriptor that the interpreter handed out as a number, and keeps.
///
/// # Errors
/// Those of `call`; `EBADF` for a negative number.
pub fn with_borrowed<T>(file: RawFd, call: impl FnOnce(BorrowedFd<'_>) -> Result<T>) -> Result<T> {
    if file < 0 {
        return Err(Error::os("fcntl", libc::EBADF));
    }
    // SAFETY: it is no -1. The caller keeps it open for the call; should it be closed all the same, the calls of the
    // system that it is for answer EBADF, and no memory is touched.
    call(unsafe { BorrowedFd::borrow_raw(file) })
}

/// A descriptor that is watched: one's own, or one that somebody else keeps open for as long.
#[derive(Debug)]
pub enum Watched {
    /// Closed with this value.
    Own(OwnedFd),
    /// The number of somebody else's.
    Lent(RawFd),
}

impl Watched {
    /// Calls with the descriptor.
    ///
    /// # Errors
    /// Those of `call`.
    pub fn with<T>(&self, call: impl FnOnce(BorrowedFd<'_>) -> Result<T>) -> Result<T> {
        match self {
            Watched::Own(file) => call(file.as_fd()),
            Watched::Lent(number) => with_borrowed(*number, call),
        }
    }
}

/// A limit of this process and how far it may raise it, by a call of the C library; where a sandbox's filter refuses that
/// there is no limit that is known. rustix takes it for granted that such a call cannot fail.
fn limits(call: impl FnOnce(&mut libc::rlimit) -> libc::c_int) -> (u64, u64) {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    if call(&mut limits) == 0 { (limits.rlim_cur, limits.rlim_max) } else { (u64::MAX, u64::MAX) }
}

/// How many descriptors this process may have, and how many it may allow itself.
pub fn descriptor_limits() -> (u64, u64) {
    // SAFETY: writes to the two numbers given.
    limits(|limits| unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limits) })
}

/// How large a file may be that this process makes.
pub(super) fn file_limit() -> u64 {
    // SAFETY: writes to the two numbers given.
    limits(|limits| unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limits) }).0
}

/// Lets this process have so many descriptors.
///
/// # Errors
/// The system's, among them that it may not allow itself so many.
pub fn set_descriptor_limit(most: u64) -> Result<()> {
    let maximum = Some(descriptor_limits().1).filter(|maximum| *maximum != u64::MAX);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).during("setrlimit")
}

/// How many descriptors this process must be allowed to have, so that there is room for `more`; close to it, as only the
/// lowest free number is looked at.
pub fn descriptors_for(more: u64) -> u64 {
    let lowest = Doorbell::new().map(|bell| bell.as_raw_fd().unsigned_abs().into());
    lowest.unwrap_or_else(|_| descriptor_limits().0).saturating_add(more)
}
