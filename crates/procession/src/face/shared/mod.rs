//! What processes share: it travels in the argument of a process or a task, its descriptor beside it.

mod barrier;
mod condition;
mod connection;
mod event;
mod guarded;
mod kept;
mod lock;
mod queue;
mod rwlock;
mod semaphore;
mod slice;

pub use barrier::Barrier;
pub use condition::Condition;
pub use connection::{Connection, pipe};
pub use event::Event;
pub use guarded::Poisoned;
pub use lock::{Lock, LockGuard};
pub use queue::Queue;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Permit, Semaphore};
pub use slice::{SharedSlice, SliceGuard};

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};
use crate::function::{attach, fetch, unread, unwritten};
use crate::sync::Cell;

/// Calls `wait` until it is not ended by a signal.
fn patiently<T>(mut wait: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match wait() {
            Err(error) if error.is_interrupted() => {}
            answer => return answer,
        }
    }
}

/// Whether a wait with a deadline succeeded.
fn in_time<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(None),
        answer => answer.map(Some),
    }
}

fn after(limit: Duration) -> Option<Instant> {
    Instant::now().checked_add(limit)
}

/// What stands in the bytes of an argument for a part of shared memory.
#[derive(Serialize, Deserialize)]
struct Place {
    file: u32,
    at: u64,
    size: u64,
}

fn write_file<S: Serializer>(
    file: impl AsFd,
    at: usize,
    size: usize,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let file = attach(file.as_fd()).map_err(unwritten)?;
    Place { file, at: at as u64, size: size as u64 }.serialize(serializer)
}

fn read_file<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<(std::os::fd::OwnedFd, usize, usize), D::Error> {
    let place = Place::deserialize(deserializer)?;
    let file = fetch(place.file).map_err(unread)?;
    Ok((file, place.at as usize, place.size as usize))
}

fn write_cell<S: Serializer>(cell: &Cell, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let (_, at, size) = cell.share().map_err(unwritten)?;
    write_file(cell, at, size, serializer)
}

fn read_cell<'de, D: Deserializer<'de>>(deserializer: D, least: usize) -> std::result::Result<Cell, D::Error> {
    let (file, at, size) = read_file(deserializer)?;
    if size < least {
        let error = Error::new(ErrorKind::Protocol, "too little memory for what it is said to be");
        return Err(unread(error));
    }
    Cell::open(file, at, size).map_err(unread)
}
