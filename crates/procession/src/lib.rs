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
pub use face::{
    Barrier, Builder, Condition, Connection, Event, ExitStatus, Imap, ImapUnordered, Lock, LockGuard, Permit, Poisoned,
    Pool, Process, Queue, Semaphore, SharedSlice, SliceGuard, Task, TaskError, With, init, pipe,
};
pub use function::Bytes;
pub use shared_memory::Number;
