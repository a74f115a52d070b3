//! What two processes can both see.

mod arena;
mod segment;
mod view;
mod words;

pub use arena::{Arena, Block};
pub use segment::Segment;
pub use view::{GiveBack, Place, View, detach_all, forsake};
pub(crate) use words::Row;
pub use words::{Number, copy_in, copy_out, copy_to, fill, word32, word64};
