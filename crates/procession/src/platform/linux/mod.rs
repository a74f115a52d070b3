//! Linux: memfd, futex, eventfd, epoll, pidfd, posix_spawn.

mod clock;
mod descriptors;
mod doorbell;
mod futex;
mod half;
mod identity;
mod lifeline;
mod memory;
mod poller;
mod process;
mod stream;

pub use clock::coarse_now;
pub use descriptors::{Readiness, adopt, file_key, wait_descriptors};
pub use doorbell::Doorbell;
pub use futex::{wait, wake};
pub use half::{wait_low, wake_low};
pub use identity::{forks, identity, is_alive, thread_id};
pub use lifeline::end_after;
pub use memory::{Mapping, file_size, memory_file, release, reserve};
pub use poller::{Poller, Ready, SignalGuard};
pub use process::{FIRST_DESCRIPTOR, duplicate, spawn};
pub use stream::Stream;
