//! What a worker calls for each item when its function is one of another language.

use std::sync::Arc;

use crate::error::Result;
use crate::function::Failure;
use crate::shared_memory::View;

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
    /// Calls it with the argument in the neutral form, and adds the result in that form to `into`.
    ///
    /// # Errors
    /// What it raised.
    fn call(&self, argument: &[u8], into: &mut Vec<u8>, desk: &mut dyn Desk) -> std::result::Result<(), Raised>;
}

/// What a call has at hand: the large parts of its argument and its result.
pub trait Desk {
    /// The argument is rebuilt, and the function is called next.
    fn started(&mut self);

    /// The part of the argument of this number, where it lies: nobody else writes there, or reads what is written.
    ///
    /// # Errors
    /// `Protocol` when there is none; the system's.
    fn part(&mut self, number: u32) -> Result<Arc<View>>;

    /// Has `write` fill a part of the result, of `size` bytes; gives its number.
    ///
    /// # Errors
    /// No memory.
    fn put(&mut self, size: usize, write: &mut dyn FnMut(&mut [u8])) -> Result<u32>;
}

/// What finds the function of a worker.
pub(super) type Find<'a> = &'a dyn Fn() -> std::result::Result<Arc<dyn Callee>, Failure>;
