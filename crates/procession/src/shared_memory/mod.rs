//! What two processes can both see.

mod segment;
mod words;

pub use segment::Segment;
pub use words::{copy_in, copy_out, word32, word64};
