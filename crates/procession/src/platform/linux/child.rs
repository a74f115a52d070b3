//! A child by its pidfd: its number may be given to another process, the pidfd never is.
//!
//! Where the system refuses a call with a pidfd, it is made with the number, which nobody else is given until the child was
//! waited for.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, waitid};

use super::identity::{identity, identity_of, is_alive, pid_of};
use super::life::{self, has_pidfds};
use super::{Doorbell, Readiness, page_size, wait_descriptors};
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
    /// Who it is, where there are no pidfds; else 0.
    own: u64,
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
        match pidfd_of(pid) {
            Err(_) if !has_pidfds() => Ok(Child { own: identity_of(pid as u32), ..Child::with(pid, bell_of(pid)?) }),
            pidfd => Ok(Child::with(pid, pidfd?)),
        }
    }

    /// The child with the number `pid` and this pidfd.
    pub(crate) fn with(pid: i32, pidfd: OwnedFd) -> Child {
        Child { id: pid as u32, pidfd, own: 0, parent: identity(), ending: Mutex::new(None) }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Kills it.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Asks it to end, with SIGTERM.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    fn signal(&self, number: i32) {
        let ending = self.ending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ending.is_none() && self.parent == identity() {
            let _ = send_signal(&self.pidfd, number, self.id as i32, self.own);
        }
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
            *ending = collect(&self.pidfd, self.id as i32, self.own)?;
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
    life::open(known.ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("no process has the id {pid}")))?)
}

/// What stands for a pidfd of a child where there are none: a bell that a thread rings, which waits for its end.
fn bell_of(pid: i32) -> Result<OwnedFd> {
    let child = Pid::from_raw(pid).ok_or_else(|| Error::new(ErrorKind::InvalidInput, "no process has the id 0"))?;
    let bell = OwnedFd::from(Doorbell::new()?);
    let copy = bell.try_clone().map_err(|error| Error::os("dup", error.raw_os_error().unwrap_or(0)))?;
    let wait = move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(child), options), Err(Errno::INTR)) {}
        Doorbell::from_fd(copy).ring();
    };
    let thread = std::thread::Builder::new().name("child's end".into()).stack_size(64 << 10);
    thread.spawn(wait).map_err(|error| Error::os("clone", error.raw_os_error().unwrap_or(0)))?;
    Ok(bell)
}

/// Sends the signal `number` to the process of a pidfd; where that is refused, to the process `pid`, if it has not ended and is
/// still the one whose `identity()` is `own` (0: not known).
///
/// # Errors
/// The system's, among them that the process has ended.
pub fn send_signal(pidfd: impl AsFd, number: i32, pid: i32, own: u64) -> Result<()> {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: reads the two numbers and no memory, as what would tell more of the signal is null.
    let answer =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), number, nothing, 0u32) };
    if answer >= 0 {
        return Ok(());
    }
    let failure = Error::last_os("pidfd_send_signal");
    // EBADF: what stands for a pidfd where there are none.
    if pid <= 0 || !matches!(failure.errno(), Some(libc::ENOSYS | libc::EPERM | libc::EBADF | libc::EINVAL)) {
        return Err(failure);
    }
    let ended =
        wait_descriptors(&[(pidfd.as_fd().as_raw_fd(), Readiness::Read)], Some(std::time::Instant::now()), None)?;
    let is_there = is_running(pid) || (is_known(own) && is_alive(own));
    let is_gone = !ended.is_empty() && !is_there;
    if is_gone || !is_its_own(&pidfd, pid, own) {
        return Err(Error::os("kill", libc::ESRCH));
    }
    // SAFETY: sends a signal; the process has not ended, as was just seen, so the number is its own.
    if unsafe { libc::kill(pid, number) } < 0 { Err(Error::last_os("kill")) } else { Ok(()) }
}

/// Waits for the child of a pidfd, which gives its status once: how it ended, none while it runs. Where that is refused, for
/// the child `pid`, if it is still the one whose `identity()` is `own` (0: not known).
///
/// # Errors
/// The system's, among them that somebody else has waited for it.
pub fn collect(pidfd: impl AsFd, pid: i32, own: u64) -> Result<Option<Ending>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = match waitid(WaitId::PidFd(pidfd.as_fd()), options) {
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::BADF) if pid > 0 => {
            let is_there = is_its_own(&pidfd, pid, own);
            return if is_there { collect_by_number(pid) } else { Err(Error::os("waitpid", libc::ECHILD)) };
        }
        status => status.during("waitid")?,
    };
    let Some(status) = status else { return Ok(None) };
    let code = status.exit_status().map(Ending::Exited);
    Ok(code.or_else(|| status.terminating_signal().map(Ending::Killed)))
}

/// Whether an identity tells who a process is, and not its number alone.
fn is_known(own: u64) -> bool {
    pid_of(own) > 0 && own >> 32 > 0
}

/// Whether the number of a process is still its own: where somebody else has waited for it, another may have got it.
fn is_its_own(pidfd: impl AsFd, pid: i32, own: u64) -> bool {
    if is_known(own) {
        return identity_of(pid as u32) == own;
    }
    // A pidfd says -1 of a process that was waited for; what stands for one says nothing.
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd()));
    told.map_or(true, |told| !told.lines().any(|line| line == "Pid:\t-1"))
}

/// Whether `pid` is a child of this process that has not ended.
fn is_running(pid: i32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Pid::from_raw(pid).is_some_and(|child| matches!(waitid(WaitId::Pid(child), options), Ok(None)))
}

fn collect_by_number(pid: i32) -> Result<Option<Ending>> {
    let mut status = 0;
    // SAFETY: writes one number, which outlives the call.
    match unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } {
        0 => Ok(None),
        1.. if libc::WIFEXITED(status) => Ok(Some(Ending::Exited(libc::WEXITSTATUS(status)))),
        1.. => Ok(Some(Ending::Killed(libc::WTERMSIG(status)))),
        _ => Err(Error::last_os("waitpid")),
    }
}

/// A descriptor that is readable when this process has ended.
///
/// # Errors
/// The system's.
pub fn own_pidfd() -> Result<OwnedFd> {
    match life::open(getpid()) {
        Err(_) if !has_pidfds() => life::own_life(),
        pidfd => pidfd,
    }
}

/// What memory a process has at hand, in bytes; nothing when it has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryUse {
    /// All of it.
    pub resident: u64,
    /// What is not of files and not shared memory.
    pub private: u64,
}

/// The memory of the process `id`.
pub fn memory_of(id: u32) -> MemoryUse {
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
    let page = page_size() as u64;
    let mut sizes = statm.split_ascii_whitespace().skip(1).map(|pages| pages.parse::<u64>().unwrap_or(0) * page);
    let (resident, shared) = (sizes.next().unwrap_or(0), sizes.next().unwrap_or(0));
    MemoryUse { resident, private: resident.saturating_sub(shared) }
}
