//! A child by its pidfd: its number may be given to another process, the pidfd never is.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal, waitid};

use super::identity::{identity, pid_of};
use super::process::above_streams;
use crate::error::{During, Error, ErrorKind, Result};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// A child of this process.
#[derive(Debug)]
pub struct Child {
    id: u32,
    pidfd: OwnedFd,
    /// Whose child it is: a copy of that process can neither wait for it nor learn how it ended.
    parent: u64,
    ending: Mutex<Option<Ending>>,
}

impl Child {
    /// The child with the number `pid`, which has not been waited for.
    ///
    /// # Errors
    /// The system's, among them that there is none.
    pub fn of(pid: i32) -> Result<Child> {
        Ok(Child::with(pid, pidfd_of(pid)?))
    }

    /// The child with the number `pid` and this pidfd.
    pub(crate) fn with(pid: i32, pidfd: OwnedFd) -> Child {
        Child { id: pid as u32, pidfd, parent: identity(), ending: Mutex::new(None) }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Kills it.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Asks it to end, with SIGTERM.
    pub fn terminate(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
    }

    /// How it ended; none while it runs. Asking does not wait.
    ///
    /// # Errors
    /// The system's, among them that somebody else has waited for it: then how it ended is not known. `InvalidInput` in a
    /// process that was forked from its parent.
    pub fn ending(&self) -> Result<Option<Ending>> {
        if self.parent != identity() {
            let (child, parent) = (self.id, pid_of(self.parent));
            let message = format!("process {child} is a child of process {parent}: how it ends is known there only");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut ending = self.ending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ending.is_none() {
            *ending = collect(&self.pidfd)?;
        }
        Ok(*ending)
    }
}

impl AsFd for Child {
    /// The pidfd, which is readable when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// A descriptor that is readable when the process `pid` has ended.
///
/// # Errors
/// The system's, among them that there is none; `InvalidInput` for a number that no process has.
pub fn pidfd_of(pid: i32) -> Result<OwnedFd> {
    let known = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
    let known = known.ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("no process has the id {pid}")))?;
    above_streams(pidfd_open(known, PidfdFlags::empty()).during("pidfd_open")?)
}

/// Sends the signal `number` to the process of a pidfd.
///
/// # Errors
/// The system's, among them that the process has ended and been waited for.
pub fn send_signal(pidfd: impl AsFd, number: i32) -> Result<()> {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: reads the two numbers and no memory, as what would tell more of the signal is null.
    let answer =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), number, nothing, 0u32) };
    if answer < 0 { Err(Error::last_os("pidfd_send_signal")) } else { Ok(()) }
}

/// Waits for the child of a pidfd, which gives its status once: how it ended, none while it runs.
///
/// # Errors
/// The system's, among them that somebody else has waited for it.
pub fn collect(pidfd: impl AsFd) -> Result<Option<Ending>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let Some(status) = waitid(WaitId::PidFd(pidfd.as_fd()), options).during("waitid")? else { return Ok(None) };
    let code = status.exit_status().map(Ending::Exited);
    Ok(code.or_else(|| status.terminating_signal().map(Ending::Killed)))
}

/// A descriptor that is readable when this process has ended.
///
/// # Errors
/// The system's.
pub fn own_pidfd() -> Result<OwnedFd> {
    above_streams(pidfd_open(getpid(), PidfdFlags::empty()).during("pidfd_open")?)
}

/// What memory a process has at hand, in bytes; nothing when it has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All of it.
    pub resident: u64,
    /// What is not of files and not shared memory.
    pub private: u64,
}

/// The memory of the process `id`.
pub fn memory_of(id: u32) -> Memory {
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
    let page = rustix::param::page_size() as u64;
    let mut sizes = statm.split_ascii_whitespace().skip(1).map(|pages| pages.parse::<u64>().unwrap_or(0) * page);
    let (resident, shared) = (sizes.next().unwrap_or(0), sizes.next().unwrap_or(0));
    Memory { resident, private: resident.saturating_sub(shared) }
}
