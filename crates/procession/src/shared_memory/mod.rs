//! What two processes can both see.

mod arena;
mod numbers;
mod segment;
mod view;
mod windows;
mod words;

pub use arena::{Arena, Block, read_last};
pub use numbers::{AnyNumber, Numbers};
pub use segment::{Segment, Span};
pub use view::{GiveBack, Place, View, detach_all, forsake};
pub use words::{Number, append, copy, copy_all, copy_in, copy_out, copy_to, fill, word32, word64};
pub(crate) use words::{NumberRow, Piece, bytes_of, numbers_of};

use crate::error::{Error, ErrorKind};

fn outside() -> Error {
    Error::new(ErrorKind::Protocol, "a block lies outside of its segment")
}
