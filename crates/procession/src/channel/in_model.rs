//! What of this room the model of `tests/loom.rs` tries.

pub mod words;
