//! A child by its pidfd: its number may be given to another process, the pidfd never is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal, waitid};

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
    ending: Mutex<Option<Ending>>,
}

impl Child {
    /// The child with the number `pid`, which has not been waited for.
    ///
    /// # Errors
    /// The system's, among them that there is none.
    pub fn of(pid: i32) -> Result<Child> {
        let known = Pid::from_raw(pid).ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a process has the id 0"))?;
        let pidfd = pidfd_open(known, PidfdFlags::empty()).during("pidfd_open")?;
        Ok(Child { id: pid as u32, pidfd, ending: Mutex::new(None) })
    }

    /// The child with the number `pid` and this pidfd.
    pub(crate) fn with(pid: i32, pidfd: OwnedFd) -> Child {
        Child { id: pid as u32, pidfd, ending: Mutex::new(None) }
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
    /// The system's, among them that somebody else has waited for it: then how it ended is not known.
    pub fn ending(&self) -> Result<Option<Ending>> {
        let mut ending = self.ending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ending.is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let Some(status) = waitid(WaitId::PidFd(self.pidfd.as_fd()), options).during("waitid")? else {
                return Ok(None);
            };
            let code = status.exit_status().map(Ending::Exited);
            *ending = code.or_else(|| status.terminating_signal().map(Ending::Killed));
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

/// A descriptor that is readable when this process has ended.
///
/// # Errors
/// The system's.
pub fn own_pidfd() -> Result<OwnedFd> {
    pidfd_open(getpid(), PidfdFlags::empty()).during("pidfd_open")
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
