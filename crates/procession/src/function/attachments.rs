//! Descriptors that travel beside the bytes of a value: those of queues, locks and shared memory within an argument, a result or
//! a message.
//!
//! While a value is encoded its parts leave their descriptors here and write down which it is, counted from zero; while it is
//! rebuilt they fetch them by that number.

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
    /// Puts back what was there before, after a panic too.
    struct Before(Option<Vec<OwnedFd>>);
    impl Drop for Before {
        fn drop(&mut self) {
            SENT.set(self.0.take());
        }
    }
    let _before = Before(SENT.replace(Some(Vec::new())));
    let answer = encode();
    (answer, SENT.take().unwrap_or_default())
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
    /// Puts back what was there before, after a panic too.
    struct Before(Vec<Arc<OwnedFd>>);
    impl Drop for Before {
        fn drop(&mut self) {
            RECEIVED.set(std::mem::take(&mut self.0));
        }
    }
    let _before = Before(RECEIVED.replace(files));
    decode()
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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_panic_leaves_nothing_at_hand() {
        let file: Arc<OwnedFd> = Arc::new(std::io::stderr().as_fd().try_clone_to_owned().unwrap());
        let copy = file.clone();
        assert!(catch_unwind(|| receiving(vec![copy], || panic!("while it is rebuilt"))).is_err());
        assert!(fetch(0).is_err() && Arc::strong_count(&file) == 1);
        assert!(catch_unwind(|| sending(|| panic!("while it is encoded"))).is_err());
        assert!(attach(file.as_fd()).is_err());
    }
}
