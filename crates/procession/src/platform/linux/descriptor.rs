//! Descriptors that arrive as numbers.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::error::{During, Error, ErrorKind, Result};

/// Becomes the owner of the open descriptor `number`, which a parent left here for this process; it is closed on exec.
///
/// # Errors
/// `InvalidInput` for a number that is not an open descriptor.
pub fn take_descriptor(number: RawFd) -> Result<OwnedFd> {
    if number < 0 {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{number} is not a descriptor")));
    }
    // SAFETY: the number is not negative; the call below says whether it is open, and nothing else uses the borrow.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC).during("fcntl")?;
    // SAFETY:
    //   * open: checked just now;
    //   * nobody else owns it: the parent passes each number once, for this purpose alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A descriptor of this process's own for what `number`, which stays with its owner, stands for.
///
/// # Errors
/// `InvalidInput` for a number that is negative, else the system's.
pub fn copy_descriptor(number: RawFd) -> Result<OwnedFd> {
    if number < 0 {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{number} is not a descriptor")));
    }
    // SAFETY: the number is not negative; the call below says whether it is open, and nothing else uses the borrow.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, 0).during("dup")
}
