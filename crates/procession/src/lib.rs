//! Process-based parallelism that does not hang, does not copy and needs no tuning: the engine.

pub mod error;
pub mod platform;
pub mod shared_memory;

pub use error::{Error, ErrorKind, Result};
