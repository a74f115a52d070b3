//! A child at its beginning: it takes its order, and ties itself to its parent.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::lifeline;
use super::order::{OrderFile, Progress, file_error};
use super::serve::serve;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, FIRST_DESCRIPTOR};

/// Tells a process that this crate started from any other, until it has turned to its work; the value is its role.
pub(super) const MARKER: &str = "PROCESSION_CHILD";
/// A child; the number of its descriptors follows.
pub(super) const CHILD: &str = "child:";
pub(super) const FORKSERVER: &str = "forkserver";

/// A child's end of what it shares with its parent.
#[derive(Debug)]
pub struct ChildEnd {
    /// What to do.
    pub order: Vec<u8>,
    /// The descriptors that came with it.
    pub files: Vec<OwnedFd>,
    /// This end of a socket for notes with descriptors.
    pub notes: OwnedFd,
    file: OrderFile,
}

/// Turns a child to its order; none in a process that is no child. The child ends from now on when its parent does.
///
/// A forkserver never returns from here, but each child of it does.
///
/// # Errors
/// The system's; `Protocol` when the marker names no role.
pub fn arrive() -> Result<Option<ChildEnd>> {
    let Some(role) = platform::take_variable(MARKER) else { return Ok(None) };
    let role = role.to_string_lossy();
    if role == FORKSERVER {
        let (socket, parent) = (take(FIRST_DESCRIPTOR)?, take(FIRST_DESCRIPTOR + 1)?);
        return serve(socket, parent).map(Some);
    }
    let nonsense = || Error::new(ErrorKind::Protocol, "a child without an order");
    let count: RawFd = role.strip_prefix(CHILD).and_then(|count| count.parse().ok()).ok_or_else(nonsense)?;
    let mut all = (FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + 3 + count).map(take);
    let mut next = || all.next().unwrap_or_else(|| Err(nonsense()));
    let (file, parent, notes) = (OrderFile::open(next()?), next()?, next()?);
    let files = all.collect::<Result<_>>()?;
    ChildEnd::new(file, &parent, notes, files).map(Some)
}

/// Takes over an inherited descriptor, so that programs started from here do not inherit it.
fn take(number: RawFd) -> Result<OwnedFd> {
    let inherited = platform::adopt(number)?;
    inherited.as_fd().try_clone_to_owned().map_err(file_error)
}

impl ChildEnd {
    /// The child has arrived: from now on it ends when `parent` is readable.
    pub(super) fn new(file: OrderFile, parent: &OwnedFd, notes: OwnedFd, files: Vec<OwnedFd>) -> Result<ChildEnd> {
        let order = file.order()?;
        file.set_progress(Progress::Arrived)?;
        lifeline::hold(parent.as_raw_fd(), Duration::ZERO)?;
        platform::ignore_broken_pipes();
        Ok(ChildEnd { order, files, notes, file })
    }

    /// Leaves `outcome` for the parent.
    ///
    /// # Errors
    /// The system's, among them no memory for it.
    pub fn leave(&self, progress: Progress, outcome: &[u8]) -> Result<()> {
        self.file.set_outcome(outcome)?;
        self.file.set_progress(progress)
    }
}
