//! Linux: memfd, futex, eventfd, epoll, pidfd, posix_spawn.

mod cgroup;
mod child;
mod clock;
mod descriptors;
mod doorbell;
mod environment;
mod exec;
#[cfg(not(loom))]
mod executable;
#[cfg(not(loom))]
mod fork;
mod futex;
mod half;
mod identity;
mod journal;
mod kernel_thread;
mod life;
mod lifeline;
mod memory;
mod oom;
mod others;
mod own;
mod poller;
mod process;
mod processors;
mod random;
mod rights;
mod signals;
mod stream;
mod thread_calls;

pub use cgroup::{MemoryGroup, MemoryGroups, enter_group};
pub use child::{Child, Ending, MemoryUse, collect, memory_of, own_pidfd, pidfd_of, send_signal};
pub use clock::{coarse_now, local_now, monotonic_now};
pub use descriptors::{
    Readiness, Watched, adopt, descriptor_limits, descriptors_for, file_key, open_nothing, set_descriptor_limit,
    wait_descriptors, with_borrowed,
};
pub use doorbell::Doorbell;
pub use environment::change_environment;
#[cfg(not(loom))]
pub(crate) use environment::set_environment;
#[cfg(all(feature = "pre-main", not(loom)))]
pub(crate) use executable::before_main;
#[cfg(not(loom))]
pub(crate) use executable::{Mark, conjure, distance_of, ignore_broken_pipes, mark_at, take_variable};
#[cfg(not(loom))]
pub(crate) use fork::{
    Sibling, enter_directory, fill_standard_streams, fork_sibling, heed_interrupts, ignore_interrupts,
    standard_streams, take_standard_streams, working_directory,
};
pub use futex::{wait, wake};
pub use half::{wait_low, wake_low};
pub use identity::{forks, identity, identity_of, is_alive, pid_of, thread_id, threads};
pub use journal::{CpuTimes, Journal};
pub use life::{begin_life, end_life, has_pidfds, hold_life};
pub use lifeline::{end_after, lifeline_thread};
#[cfg(test)]
pub(crate) use memory::FAKED_PAGE;
pub use memory::{
    Mapping, check_file_size, file_size, is_of_fixed_size, machine_bytes, memory_file, memory_file_of, page_size,
    position, prefer_huge_pages, read_at, release, reserve, set_position, write_at,
};
pub use oom::offer_to_oom_killer;
pub use others::{
    Traits, Usage, look_into, memory_files_of, name_thread, own_user, position_of, process_within, processes,
    traits_of, usage_of,
};
pub(crate) use own::Own;
pub use poller::{Poller, Ready, SignalGuard};
pub use process::{FIRST_DESCRIPTOR, above_streams, duplicate, end_now, spawn};
pub use processors::processors;
pub use random::random_bytes;
pub use rights::{
    MOST_FILES, NOTE_BYTES, note_pair, peek, receive_beside, receive_note, receive_note_now, send_beside, send_note,
    stream_pair,
};
#[cfg(not(loom))]
pub(crate) use signals::heed_termination;
pub use signals::{heed_own_interrupts, leave_termination_to, set_signal_mask, signal_later, signal_mask};
pub use stream::Stream;
pub use thread_calls::make_threads_by_clone;
