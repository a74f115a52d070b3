//! What of this room the model of `tests/loom.rs` tries.

mod patience;
pub mod words;

pub use words::lock::Acquired;
