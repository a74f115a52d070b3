//! The forkserver: a process of this executable that never reaches `main`, has one thread, and copies itself for each child.
//!
//! A copy is a child of the forkserver's parent, not of the forkserver: the parent waits for it as for any other, and
//! it outlives the forkserver. What it is to do comes with the request.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::parent_id;

use super::arrive::ChildEnd;
use super::order::OrderFile;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Readiness, Sibling, SignalGuard};

/// What the descriptors of a request are: a bit each for the standard streams and the working directory, which may be
/// missing; the order and the socket for notes come before them, those for the child after. The signals that the child
/// blocks follow, as a mask of eight bytes.
pub(super) const DIRECTORY: usize = 3;

/// The answer to a request: the id of the child, with its pidfd; or 0, the number of a failed system call's error (0: it
/// was not the system), and what was wrong.
pub(super) const WORD_BYTES: usize = 4;

/// Serves until the parent ends or closes its end of the socket; then this process ends. Returns in each child.
pub(super) fn serve(socket: OwnedFd, parent: OwnedFd) -> Result<ChildEnd> {
    platform::fill_standard_streams();
    platform::ignore_interrupts();
    platform::leave_termination_to(parent_id() as i32)?;
    loop {
        let watched = [&socket, &parent].map(|file| (file.as_raw_fd(), Readiness::Read));
        match platform::wait_descriptors(&watched, None, None) {
            Ok(ready) if ready.contains(&1) => std::process::exit(0),
            Err(error) if !error.is_interrupted() => return Err(error),
            _ => {}
        }
        let (note, files) = match platform::receive_note_now(&socket) {
            Ok(Some(request)) => request,
            Ok(None) => continue,
            Err(error) if error.is_interrupted() => continue,
            Err(error) if error.kind() == ErrorKind::Closed => std::process::exit(0),
            Err(error) => return Err(error),
        };
        // A signal for the child that comes before it has its mask does not get lost.
        let held = SignalGuard::block_all();
        match platform::fork_sibling() {
            Ok(Sibling::This) => {
                std::mem::forget(held);
                return begin(socket, &parent, &note, files);
            }
            Ok(Sibling::Other(id, pidfd)) => {
                platform::send_note(&socket, &id.to_ne_bytes(), &[pidfd.as_fd()])?;
            }
            Err(error) => {
                let text = error.to_string();
                let text = &text.as_bytes()[..text.len().min(platform::NOTE_BYTES - 2 * WORD_BYTES)];
                let head = [0, error.errno().unwrap_or(0)].map(i32::to_ne_bytes).concat();
                platform::send_note(&socket, &[&head, text].concat(), &[])?;
            }
        }
        drop(held);
    }
}

/// What a child does first.
fn begin(socket: OwnedFd, parent: &OwnedFd, note: &[u8], files: Vec<OwnedFd>) -> Result<ChildEnd> {
    let nonsense = || Error::new(ErrorKind::Protocol, "a request that is too short");
    let (given, rest) = note.split_first().ok_or_else(nonsense)?;
    let mask = u64::from_ne_bytes(*rest.first_chunk().ok_or_else(nonsense)?);
    let mut files = files.into_iter();
    let mut next = || files.next().ok_or_else(|| Error::new(ErrorKind::Protocol, "a request without its descriptors"));
    let file = OrderFile::open(next()?);
    file.set_id(std::process::id())?;
    // When all copies of this end are closed, each child has said that it is there, or is no more.
    drop(socket);
    platform::heed_interrupts();
    platform::heed_termination();
    platform::set_signal_mask(mask);
    let notes = next()?;
    let mut one = |place: usize| if given & 1 << place != 0 { next().map(Some) } else { Ok(None) };
    platform::take_standard_streams([one(0)?, one(1)?, one(2)?])?;
    if let Some(directory) = one(DIRECTORY)? {
        platform::enter_directory(directory)?;
    }
    if let Some(environment) = file.environment()? {
        platform::set_environment(&environment);
    }
    ChildEnd::new(file, parent, notes, files.collect())
}
