//! The protocols of the words, apart from where the words live: `tests/loom.rs` runs these functions in a model.

pub mod event;
pub mod lock;
pub mod permits;
pub mod place;
pub mod readers;
pub mod rlock;
