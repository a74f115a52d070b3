//! The Rust face: processes and pools that run Rust functions, on the same engine as the Python one.

mod child;
mod crew;
mod drive;
mod error;
mod job;
mod pool;
mod process;
mod shared;
mod stream;
mod task;
mod wait;
mod wire;
mod worker;

pub use crate::process::StartMethod;
pub use child::init;
pub use error::TaskError;
pub use pool::{Builder, Pool, With};
pub use process::{ExitStatus, Process};
pub use shared::{
    Barrier, Condition, Connection, Event, Lock, LockGuard, Permit, Poisoned, Queue, RwLock, RwLockReadGuard,
    RwLockWriteGuard, Semaphore, SharedSlice, SliceGuard, pipe,
};
pub use stream::{Imap, ImapUnordered};
pub use task::Task;
pub use wait::{Waitable, wait, wait_timeout};
