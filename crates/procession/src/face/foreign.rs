//! Functions of another language: what the binding of that language does for a Rust program's pool, and for what it is given.
//!
//! The worker's loop is the same as that of Rust workers; the binding supplies what is called for each item.

use std::os::fd::OwnedFd;
use std::sync::Arc;

pub use super::callee::{Callee, Desk, Raised};
use super::child::WORK_FOR;
use super::current;
use super::seed::Seed;
use super::worker;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{self, Failure};
use crate::process::{self, Progress, check_version};

/// The function of a name, or what was raised while it was looked for.
pub type Found = std::result::Result<Arc<dyn Callee>, Raised>;

/// Serves the pool of a Rust program that started this process, with the function that `find` finds by its name; returns the
/// code that this process is to end with.
///
/// # Errors
/// `InvalidInput` when no such program started this process; `Protocol` for one of another version; the system's.
pub fn serve(find: &dyn Fn(&str) -> Found) -> Result<i32> {
    let Some(arrival) = process::arrive()? else {
        return Err(Error::new(ErrorKind::InvalidInput, "this process was not started by a pool of a Rust program"));
    };
    let nonsense = || Error::new(ErrorKind::Protocol, "an order of an unknown kind");
    let order = arrival.order.strip_prefix(&[WORK_FOR]).ok_or_else(nonsense)?;
    let (version, rest) = order.split_first_chunk().ok_or_else(nonsense)?;
    if let Err(error) = check_version(u32::from_le_bytes(*version)) {
        arrival.leave(Progress::Failed, error.to_string().as_bytes())?;
        return Err(error);
    }
    let (size, rest) = rest.split_first_chunk().ok_or_else(nonsense)?;
    let (name, order) = rest.split_at_checked(u64::from_le_bytes(*size) as usize).ok_or_else(nonsense)?;
    let name = std::str::from_utf8(name).map_err(|_| nonsense())?;
    worker::work(&arrival, order, Some(&|| find(name).map_err(Failure::from)))
}

/// A task of a Rust program's pool, as its worker knows it.
#[derive(Clone, Debug)]
pub struct TaskHere {
    /// How many tasks its worker has begun by now: no other task of it has this number.
    pub number: u64,
    /// Its place in its map.
    pub index: u64,
    /// What its seed was made of, and the places that lead from there to it; none without a seed.
    pub seed: Option<(Vec<u64>, Vec<u64>)>,
}

/// The task that runs in this thread; none where none does.
pub fn task_here() -> Option<TaskHere> {
    let task = current::current_task();
    let seed = task.given().map(Seed::numbers).map(|(entropy, key)| (entropy.to_vec(), key.to_vec()));
    Some(TaskHere { number: current::begun()?, index: task.index()?, seed })
}

/// A copy of the descriptor of this number among those of the value that is being rebuilt.
///
/// # Errors
/// `Protocol` when there is none; the system's.
pub fn fetch(number: u32) -> Result<OwnedFd> {
    function::fetch(number)
}

/// Attaches a copy of `file` to the value that is being written down; gives its number there.
///
/// # Errors
/// `InvalidInput` when the value is not on its way to another process; the system's.
pub fn attach(file: std::os::fd::BorrowedFd<'_>) -> Result<u32> {
    function::attach(file)
}

/// Calls `read` with these descriptors at hand.
pub fn receiving<T>(files: Vec<Arc<OwnedFd>>, read: impl FnOnce() -> T) -> T {
    function::receiving(files, read)
}

/// Calls `write`, and gives the descriptors that were attached meanwhile.
pub fn sending<T>(write: impl FnOnce() -> T) -> (T, Vec<OwnedFd>) {
    function::sending(write)
}
