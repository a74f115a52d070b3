//! Linux: memfd, futex, eventfd, epoll, pidfd, posix_spawn.

mod doorbell;
mod futex;
mod memory;
mod poller;
mod process;

pub use doorbell::Doorbell;
pub use futex::{wait, wake};
pub use memory::{Mapping, file_size, memory_file, release, reserve};
pub use poller::{Poller, Ready, SignalGuard};
pub use process::{FIRST_DESCRIPTOR, duplicate, kill_own_process, spawn, wait_readable};
