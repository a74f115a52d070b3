//! What a platform supplies, and the table that picks the files.
//!
//! * `Mapping`: bytes that several processes see; `memory_file` makes the file behind one.
//! * `wait`, `wake`: sleep on a shared 32-bit word until another process changes it; `wait_low`, `wake_low`: on half of a 64-bit one.
//! * `identity`, `is_alive`: who this process is, and whether the one that wrote its identity into a word still runs.
//! * `wait_descriptors`: one wait for a few descriptors; `Stream`: reading and writing one; `adopt`: taking over its number.
//! * `Doorbell`: a descriptor that wakes a sleeper; `Poller`: one wait for many descriptors, which no signal can slip past.
//! * `spawn`: another program in a new process, with exactly the descriptors listed; `duplicate` copies a descriptor;
//!   `end_now` ends this process.
//! * `Child`: another process by its pidfd; `pidfd_of`, `send_signal`, `collect`: the same without a value of ours; `send_note`, `receive_note`: descriptors on their way to it.
//! * `MemoryGroups`: groups of processes with a limit of memory that the system holds, where it lets this user make them.
//! * `fork_sibling`: a copy of this process that is a child of its parent; what such a copy takes over from there.
//! * `signal_mask`, `set_signal_mask`: what this thread blocks; `signal_later`: a signal to this process after a pause; `leave_termination_to`: who decides what SIGTERM means;
//!   `heed_own_interrupts`: whose SIGINT counts.
//! * `processors`: how many there are; `make_threads_by_clone`: threads where a sandbox refuses what they are made by.
//! * `processes`, `memory_files_of`, `look_into`, `position_of`, `traits_of`, `usage_of`: looking at other processes; `name_thread`: how this one is shown.
//! * `Mark`: a constant that another process of the same executable finds again; `before_main`: code that runs first.
//!
//! Everything above this room reaches the operating system through these names only.

#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod imp;
#[cfg(not(target_os = "linux"))]
#[path = "unsupported.rs"]
mod imp;

// `lifeline` hands two numbers of 32 bits to a thread in one word.
#[cfg(not(target_pointer_width = "64"))]
compile_error!("procession needs 64-bit addresses: see README.md, \"Install\"");

pub use imp::*;
