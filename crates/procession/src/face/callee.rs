//! What a worker calls for each item when its function is one of another language.

use std::sync::Arc;

use crate::function::{self, Failure, Ran, Routine};

/// Stands in records where a Rust function's place in its executable would.
pub(super) const FOREIGN: u64 = u64::MAX;

/// What a function of another language failed with.
#[derive(Clone, Debug, Default)]
pub struct Raised {
    /// The class of the exception.
    pub kind: String,
    /// Its text.
    pub message: String,
    /// Where it was raised.
    pub traceback: String,
}

impl From<Raised> for Failure {
    fn from(Raised { kind, message, traceback }: Raised) -> Failure {
        Failure::Raised { kind, message, traceback }
    }
}

/// A function of another language.
pub trait Callee {
    /// Calls it with the argument in the neutral form, and adds the result in that form to `into`; tells `started` just before.
    ///
    /// # Errors
    /// What it raised.
    fn call(&self, argument: &[u8], into: &mut Vec<u8>, started: &mut dyn FnMut()) -> std::result::Result<(), Raised>;
}

/// What finds the function of a worker.
pub(super) type Find<'a> = &'a dyn Fn() -> std::result::Result<Arc<dyn Callee>, Failure>;

/// A call of a function of another language.
pub(super) struct Called(pub Arc<dyn Callee>);

impl Routine for Called {
    fn run(&mut self, argument: &[u8], into: &mut Vec<u8>, started: &mut dyn FnMut()) -> Ran {
        let (answer, files) = function::sending(|| self.0.call(argument, into, started));
        answer?;
        Ok(files)
    }
}
