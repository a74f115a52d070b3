//! The Rust face: processes and pools that run Rust functions, on the same engine as the Python one.

mod builder;
mod callee;
mod child;
mod crew;
mod current;
mod desk;
mod drive;
mod error;
pub mod foreign;
mod given;
mod job;
mod outcome;
mod pool;
mod process;
mod python;
mod recording;
mod seed;
mod seeded;
mod shared;
mod stream;
mod task;
mod wait;
mod wire;
mod with;
mod worker;

pub use crate::process::StartMethod;
pub use builder::Builder;
pub use child::init;
pub use current::{CurrentTask, current_task};
pub use error::{MapError, TaskError};
pub use given::given;
pub use pool::Pool;
pub use process::{ExitStatus, Process};
pub use python::{PythonBuilder, PythonPool};
pub use recording::{Recording, recording};
pub use seed::Seed;
pub use seeded::Seeded;
pub use shared::{
    Barrier, Condition, Connection, Event, Lock, LockGuard, Permit, Poisoned, Queue, RwLock, RwLockReadGuard,
    RwLockWriteGuard, Semaphore, SharedSlice, SliceGuard, pipe,
};
pub use stream::{Imap, ImapUnordered};
pub use task::Task;
pub use wait::{Waitable, wait, wait_timeout};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use wire::{Item, Preamble, decode_body};
pub use with::With;
