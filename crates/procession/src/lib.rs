//! Process-based parallelism that does not hang, does not copy and needs no tuning: the engine.

#[cfg(not(loom))]
pub mod channel;
pub mod error;
mod face;
mod function;
pub mod platform;
#[cfg(not(loom))]
pub mod pool;
pub mod primitive;
#[cfg(not(loom))]
pub mod process;
pub mod shared_memory;
pub mod sync;

pub use error::{Error, ErrorKind, Result};
pub use face::{Builder, ExitStatus, Imap, ImapUnordered, Pool, Process, Task, TaskError, With, init};
pub use function::Bytes;
