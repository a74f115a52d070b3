//! Why a value could not be turned into bytes or back: what its parts say is lost in postcard's errors, and a part that panics
//! must not unwind whoever asked, who waits for other values too.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::failure::words_of;

thread_local! {
    /// Whether there is a cause: quicker to ask.
    static IS_KEPT: Cell<bool> = const { Cell::new(false) };
    static CAUSE: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn keep(cause: &impl Display) {
    IS_KEPT.set(true);
    CAUSE.set(Some(cause.to_string()));
}

/// The error of a part that cannot be written down; its words are kept for [`told`].
pub(crate) fn unwritten<E: serde::ser::Error>(cause: impl Display) -> E {
    keep(&cause);
    E::custom(cause)
}

/// The error of a part that cannot be rebuilt; its words are kept for [`told`].
pub(crate) fn unread<E: serde::de::Error>(cause: impl Display) -> E {
    keep(&cause);
    E::custom(cause)
}

/// What `work` gives, or the cause of its failure in words; a panic is one, too.
#[inline]
pub(super) fn told<T>(work: impl FnOnce() -> postcard::Result<T>) -> Result<T, String> {
    if IS_KEPT.get() {
        // A part dropped an earlier error and went on.
        taken();
    }
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(of_error(&error)),
        Err(payload) => Err(of_panic(payload)),
    }
}

/// As [`told`], of a form whose errors keep the words of the parts.
pub(super) fn told_by<T, E: Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(payload) => Err(of_panic(payload)),
    }
}

fn taken() -> Option<String> {
    IS_KEPT.set(false);
    CAUSE.take()
}

#[cold]
fn of_error(error: &postcard::Error) -> String {
    let is_a_parts = matches!(error, postcard::Error::SerdeSerCustom | postcard::Error::SerdeDeCustom);
    is_a_parts.then(taken).flatten().unwrap_or_else(|| error.to_string())
}

#[cold]
fn of_panic(payload: Box<dyn Any + Send>) -> String {
    let (message, location) = words_of(payload);
    let place = if location.is_empty() { location } else { format!(" at {location}") };
    format!("it panicked{place}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_only_for_errors_of_parts() {
        let custom = || Err::<(), _>(unread("too few"));
        assert_eq!(told(custom), Err("too few".into()));
        let other = told(|| Err::<(), _>(postcard::Error::SerdeDeCustom)).unwrap_err();
        assert_ne!(other, "too few");
        let swallowed = told(|| {
            let _: postcard::Error = unwritten("swallowed");
            Err::<(), _>(postcard::Error::DeserializeUnexpectedEnd)
        });
        assert_eq!(swallowed, Err(postcard::Error::DeserializeUnexpectedEnd.to_string()));
        assert_ne!(told(|| Err::<(), _>(postcard::Error::SerdeSerCustom)).unwrap_err(), "swallowed");
    }

    #[test]
    fn a_panic_is_a_cause() {
        assert_eq!(told::<()>(|| panic!("part {}", 7)), Err("it panicked: part 7".into()));
    }
}
