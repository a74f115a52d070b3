//! A child that runs this executable again, and the file between it and its parent: an order one way, an outcome back.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Child, FIRST_DESCRIPTOR};

use super::lifeline;

/// Tells a child of this crate from any other process, until it has turned to its work: the number of its order's descriptor.
const MARKER: &str = "PROCESSION_CHILD";
const THIS_EXECUTABLE: &std::ffi::CStr = c"/proc/self/exe";

/// The file's head: how far the child is, the size of the order, the size of the outcome, how many descriptors came.
const HEAD_BYTES: usize = 32;
const STATE_AT: u64 = 0;
const OUTCOME_SIZE_AT: u64 = 16;

/// How far a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Progress {
    /// It has not turned to its order.
    Started = 0,
    /// It has.
    Arrived = 1,
    /// Its function returned.
    Returned = 2,
    /// Its function failed.
    Failed = 3,
}

/// A started child, and what it leaves.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    file: File,
    outcome_at: u64,
}

/// A child's end of the file.
#[derive(Debug)]
pub struct Arrival {
    /// What to do.
    pub order: Vec<u8>,
    /// The descriptors that came with it.
    pub files: Vec<OwnedFd>,
    file: File,
}

fn file_error(error: std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno) => Error::os("the child's file", errno),
        None => Error::new(ErrorKind::Protocol, format!("the child's file: {error}")),
    }
}

/// Starts this executable again to carry out `order`, with copies of `files`.
///
/// # Errors
/// The system's; `InvalidInput` in a child that has not turned to its own order: its program would start children for ever.
pub fn start(order: &[u8], files: &[RawFd]) -> Result<Started> {
    if std::env::var_os(MARKER).is_some() {
        let message = "this process is a child itself and ran past the place where it should have turned to its work: \
                       call procession::init() first thing in main, or use the feature pre-main";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let file = File::from(platform::memory_file("procession-order", 0, false)?);
    let mut head = Vec::with_capacity(HEAD_BYTES + order.len());
    for word in [Progress::Started as u64, order.len() as u64, 0, files.len() as u64] {
        head.extend_from_slice(&word.to_ne_bytes());
    }
    head.extend_from_slice(order);
    file.write_all_at(&head, 0).map_err(file_error)?;
    let parent = platform::own_pidfd()?;
    let descriptors: Vec<RawFd> =
        [file.as_raw_fd(), parent.as_raw_fd()].into_iter().chain(files.iter().copied()).collect();
    let pid = platform::spawn(THIS_EXECUTABLE, &arguments(), &environment(), &descriptors, &[])?;
    Ok(Started { child: Child::of(pid)?, file, outcome_at: head.len() as u64 })
}

fn arguments() -> Vec<CString> {
    std::env::args_os().take(1).filter_map(|name| CString::new(name.as_bytes()).ok()).collect()
}

fn environment() -> Vec<CString> {
    let marker = CString::new(format!("{MARKER}={FIRST_DESCRIPTOR}")).ok();
    let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    std::env::vars_os().filter_map(pair).chain(marker).collect()
}

impl Started {
    fn word(&self, at: u64) -> Result<u64> {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, at).map_err(file_error)?;
        Ok(u64::from_ne_bytes(word))
    }

    /// How far it has come.
    ///
    /// # Errors
    /// The system's.
    pub fn progress(&self) -> Result<Progress> {
        let known = [Progress::Started, Progress::Arrived, Progress::Returned, Progress::Failed];
        let state = self.word(STATE_AT)?;
        let nonsense = || Error::new(ErrorKind::Protocol, "the child's file says nothing known");
        known.into_iter().find(|progress| *progress as u64 == state).ok_or_else(nonsense)
    }

    /// The bytes that it left when it returned or failed.
    ///
    /// # Errors
    /// The system's; `Protocol` when there are not as many as it says.
    pub fn outcome(&self) -> Result<Vec<u8>> {
        let size = self.word(OUTCOME_SIZE_AT)?;
        let there = platform::file_size(&self.file)? as u64;
        if size > there.saturating_sub(self.outcome_at) {
            return Err(Error::new(ErrorKind::Protocol, "the child's outcome is cut off"));
        }
        let mut outcome = vec![0; size as usize];
        self.file.read_exact_at(&mut outcome, self.outcome_at).map_err(file_error)?;
        Ok(outcome)
    }
}

/// Turns a child to its order; none in any other process. The child ends from now on when its parent does.
///
/// # Errors
/// The system's; `Protocol` when the marker names no order.
pub fn arrive() -> Result<Option<Arrival>> {
    let Some(number) = platform::take_variable(MARKER) else { return Ok(None) };
    let nonsense = || Error::new(ErrorKind::Protocol, "a child without an order");
    let first: RawFd = number.to_str().and_then(|number| number.parse().ok()).ok_or_else(nonsense)?;
    let file = File::from(take(first)?);
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0).map_err(file_error)?;
    let word = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let (size, count) = (word(8) as usize, word(24));
    if size > platform::file_size(&file)? {
        return Err(nonsense());
    }
    let mut order = vec![0; size];
    file.read_exact_at(&mut order, HEAD_BYTES as u64).map_err(file_error)?;
    let parent = take(first + 1)?;
    let files = (0..count).map(|index| take(first + 2 + index as RawFd)).collect::<Result<Vec<_>>>()?;
    let arrival = Arrival { order, files, file };
    arrival.tell(Progress::Arrived)?;
    lifeline::hold(parent.as_raw_fd(), Duration::ZERO)?;
    platform::ignore_broken_pipes();
    Ok(Some(arrival))
}

/// Takes over an inherited descriptor, so that programs started from here do not inherit it.
fn take(number: RawFd) -> Result<OwnedFd> {
    let inherited = platform::adopt(number)?;
    inherited.as_fd().try_clone_to_owned().map_err(file_error)
}

impl Arrival {
    fn tell(&self, progress: Progress) -> Result<()> {
        self.file.write_all_at(&(progress as u64).to_ne_bytes(), STATE_AT).map_err(file_error)
    }

    /// Leaves `outcome` for the parent.
    ///
    /// # Errors
    /// The system's, among them no memory for it.
    pub fn leave(&self, progress: Progress, outcome: &[u8]) -> Result<()> {
        self.file.write_all_at(outcome, (HEAD_BYTES + self.order.len()) as u64).map_err(file_error)?;
        self.file.write_all_at(&(outcome.len() as u64).to_ne_bytes(), OUTCOME_SIZE_AT).map_err(file_error)?;
        self.tell(progress)
    }
}
