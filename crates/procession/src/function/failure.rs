//! How a call in a child can fail while the child lives, and how a panic is caught with the place where it happened.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

/// A failure on its way to the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// The function panicked.
    Panicked { message: String, location: String },
    /// The argument or the result could not be turned into bytes or back.
    Codec { message: String },
    /// The function, of another language, raised an exception.
    Raised { kind: String, message: String, traceback: String },
}

impl Failure {
    /// The argument could not be rebuilt.
    pub(crate) fn undecodable<A>(reason: &str) -> Failure {
        let name = std::any::type_name::<A>();
        Failure::Codec { message: format!("an argument of type {name} could not be rebuilt: {reason}") }
    }

    /// The result could not be sent.
    pub(crate) fn unsendable<R>(reason: &str) -> Failure {
        let name = std::any::type_name::<R>();
        Failure::Codec { message: format!("a result of type {name} could not be sent: {reason}") }
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// The failure with these bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Failure {
        let nonsense = |_| Failure::Codec { message: "the child wrote no proper failure".into() };
        postcard::from_bytes(bytes).unwrap_or_else(nonsense)
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// From now on a panic of a guarded call is kept for the parent and not printed.
pub(crate) fn remember_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // A program built to abort will not come back to tell, so it prints.
        if cfg!(panic = "abort") || !GUARDED.with(Cell::get) {
            return before(info);
        }
        let message = message_of(info.payload());
        let location = info.location().map_or_else(String::new, ToString::to_string);
        LAST.with(|last| *last.borrow_mut() = Some((message, location)));
    }));
}

fn message_of(payload: &dyn std::any::Any) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a value that is no text".into())
}

/// Calls `f`; a panic becomes a failure.
pub(crate) fn guarded<T>(f: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let before = GUARDED.replace(true);
    let answer = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(before);
    answer.unwrap_or_else(|payload| {
        let (message, location) = taken(true, payload);
        Err(Failure::Panicked { message, location })
    })
}

/// The message of a panic that was caught, and its place where that is known.
pub(super) fn words_of(payload: Box<dyn std::any::Any + Send>) -> (String, String) {
    taken(GUARDED.get(), payload)
}

fn taken(is_remembered: bool, payload: Box<dyn std::any::Any + Send>) -> (String, String) {
    let last = if is_remembered { LAST.with(|last| last.borrow_mut().take()) } else { None };
    let words = last.unwrap_or_else(|| (message_of(&*payload), String::new()));
    // Its destructor may panic too.
    std::mem::forget(payload);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_back_and_nonsense_is_one_too() {
        let failure = Failure::Panicked { message: "no".into(), location: "a.rs:1:2".into() };
        assert_eq!(Failure::decode(&failure.encode()), failure);
        assert!(matches!(Failure::decode(&[9, 9]), Failure::Codec { .. }));
    }

    #[test]
    fn a_panic_becomes_a_failure() {
        let answer: Result<(), Failure> = guarded(|| panic!("told {}", 7));
        assert!(matches!(answer, Err(Failure::Panicked { message, .. }) if message == "told 7"));
    }
}
