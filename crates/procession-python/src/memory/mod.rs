//! Objects in shared memory: where the large parts of a value lie, and what of them is used where it lies.

pub(crate) mod arrow;
pub(crate) mod buffer;
pub(crate) mod lent;
pub(crate) mod place;
