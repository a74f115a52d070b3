//! Descriptors that travel beside the bytes of a value: those of queues, locks and shared memory within an argument, a result or
//! a message.
//!
//! While a value is encoded its parts leave their descriptors here and write down which it is, counted from zero; while it is
//! rebuilt they fetch them by that number. Neither unwinds past here: what a part panics with is an error of the codec by then.

use std::cell::RefCell;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

thread_local! {
    static SENT: RefCell<Option<Vec<OwnedFd>>> = const { RefCell::new(None) };
    static RECEIVED: RefCell<Vec<Arc<OwnedFd>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `encode`, and gives the descriptors that were attached meanwhile.
pub(crate) fn sending<T>(encode: impl FnOnce() -> T) -> (T, Vec<OwnedFd>) {
    let before = SENT.replace(Some(Vec::new()));
    let answer = encode();
    (answer, SENT.replace(before).unwrap_or_default())
}

/// Attaches a copy of `file` to the value that is being encoded; gives its number there.
///
/// # Errors
/// `InvalidInput` when the value is not on its way to another process; the system's.
pub(crate) fn attach(file: BorrowedFd<'_>) -> Result<u32> {
    SENT.with_borrow_mut(|sent| {
        let Some(sent) = sent else {
            let message = "what processes share travels in arguments, results and messages, and nowhere else";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        let copy = file.try_clone_to_owned().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))?;
        sent.push(copy);
        Ok(sent.len() as u32 - 1)
    })
}

/// Calls `decode` with these descriptors at hand.
pub(crate) fn receiving<T>(files: Vec<Arc<OwnedFd>>, decode: impl FnOnce() -> T) -> T {
    let before = RECEIVED.replace(files);
    let answer = decode();
    RECEIVED.set(before);
    answer
}

/// A copy of the descriptor that was attached under this number.
///
/// # Errors
/// `Protocol` when there is none; the system's.
pub(crate) fn fetch(number: u32) -> Result<OwnedFd> {
    RECEIVED.with_borrow(|files| {
        let missing = || Error::new(ErrorKind::Protocol, "a descriptor is missing that belongs to this value");
        let file = files.get(number as usize).ok_or_else(missing)?;
        file.try_clone().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))
    })
}
