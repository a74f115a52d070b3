//! How a Rust function crosses to another process: as its type.
//!
//! A function item and a closure that captures nothing have types without values to tell apart, so nothing of them needs to be
//! sent but which type it is. For each such type the compiler makes one constant, a [`Crossing`]; its distance from the
//! start of the executable goes to the child, which finds the same constant there and calls through it.

mod attachments;
mod causes;
mod codec;
mod failure;
mod form;
#[cfg(feature = "json")]
mod json;
mod neutral;
#[cfg(feature = "bytemuck")]
mod plain;
mod routines;
mod stateless;

pub(crate) use attachments::{attach, fetch, receiving, sending};
pub(crate) use causes::{unread, unwritten};
pub use codec::Bytes;
pub(crate) use codec::{as_bytes, decode, decode_owned, encode};
pub(crate) use failure::{Failure, guarded, remember_panics};
pub(crate) use form::Form;
#[cfg(feature = "json")]
pub use json::Json;
pub use neutral::Array;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use neutral::decode_neutral;
pub(crate) use neutral::{OWN_NAME, Part, SHARED_NAME, item_of, title};
#[cfg(feature = "bytemuck")]
pub use plain::Plain;
pub(crate) use routines::{Bare, Crossing, Initializer, Routine, WithContext, WithState, arrived};
pub use stateless::Stateless;
