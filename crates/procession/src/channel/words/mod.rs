//! The protocols of the words of a pool, apart from where the words live: `tests/loom.rs` runs these functions in a model.

pub mod bells;
pub mod claims;
pub mod flow;
pub mod sleeps;
