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

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serializer};

use crate::channel::neutral::{ItemType, SharedKind};
use crate::error::{Error, ErrorKind, Result};
use crate::function::{OWN_NAME, SHARED_NAME, attach, fetch, unread, unwritten};
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

/// What a shared thing is to programs of another language; none if it is nothing to them.
type Kind = Option<SharedKind>;

/// Numbers that are none.
const NO_ITEM: ItemType = ItemType { kind: 0, size: 0 };

/// What stands in the bytes of an argument for a part of shared memory: what it is to programs of another language (or
/// zeros), of what numbers it is made, the number of its descriptor, and where it lies behind that.
type Written = (u8, u8, u8, u32, u64, u64);

/// A part of shared memory that has come.
struct ArrivedPart {
    kind: Kind,
    item: ItemType,
    file: OwnedFd,
    at: usize,
    size: usize,
}

fn write_place<S: Serializer>(
    kind: Kind,
    item: ItemType,
    [file, at, size]: [u64; 3],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let name = if kind.is_some() { SHARED_NAME } else { OWN_NAME };
    let written: Written = (kind.map_or(0, |kind| kind as u8), item.kind, item.size, file as u32, at, size);
    serializer.serialize_newtype_struct(name, &written)
}

fn read_place<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Written, D::Error> {
    struct Parts;
    impl<'de> serde::de::Visitor<'de> for Parts {
        type Value = Written;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("something that processes share")
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> std::result::Result<Written, D::Error> {
            Deserialize::deserialize(inner)
        }
    }
    deserializer.deserialize_newtype_struct(SHARED_NAME, Parts)
}

/// Refuses what is something else to programs of another language.
fn check_kind<E: serde::de::Error>(found: u8, expected: Kind) -> std::result::Result<(), E> {
    let (known, expected) = (SharedKind::of(found), expected.map_or("something of Rust alone", SharedKind::name));
    match known {
        found if found.map_or("something of Rust alone", SharedKind::name) == expected => Ok(()),
        Some(found) => Err(unread(format_args!("{} where {expected} is expected", found.name()))),
        None => Err(unread(format_args!("{expected} is expected"))),
    }
}

fn write_file<S: Serializer>(
    kind: Kind,
    file: impl AsFd,
    at: usize,
    size: usize,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let file = attach(file.as_fd()).map_err(unwritten)?;
    write_place(kind, NO_ITEM, [file.into(), at as u64, size as u64], serializer)
}

fn read_file<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<ArrivedPart, D::Error> {
    let (kind, item, bytes, file, at, size) = read_place(deserializer)?;
    let file = fetch(file).map_err(unread)?;
    let item = ItemType { kind: item, size: bytes };
    Ok(ArrivedPart { kind: SharedKind::of(kind), item, file, at: at as usize, size: size as usize })
}

fn write_cell<S: Serializer>(kind: Kind, cell: &Cell, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let (_, at, size) = cell.share().map_err(unwritten)?;
    write_file(kind, cell, at, size, serializer)
}

fn read_cell<'de, D: Deserializer<'de>>(
    kind: Kind,
    deserializer: D,
    least: usize,
) -> std::result::Result<Cell, D::Error> {
    let place = read_file(deserializer)?;
    check_kind(place.kind.map_or(0, |kind| kind as u8), kind)?;
    if place.size < least {
        let error = Error::new(ErrorKind::Protocol, "too little memory for what it is said to be");
        return Err(unread(error));
    }
    Cell::open(place.file, place.at, place.size).map_err(unread)
}
