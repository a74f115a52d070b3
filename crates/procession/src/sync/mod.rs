//! What processes use to wait for each other: locks, semaphores, events, barriers, and the list of waiters behind a condition.
//!
//! Each lives in a cell of shared memory and survives the death of any process; README.md has the states and the reasons.

mod patience;
pub mod words;

#[cfg(not(loom))]
mod arena;
#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod holders;
#[cfg(not(loom))]
mod lock;
#[cfg(not(loom))]
mod rlock;
#[cfg(not(loom))]
mod semaphore;
#[cfg(not(loom))]
mod waiters;

#[cfg(not(loom))]
pub use self::{
    arena::Cell,
    barrier::{Arrival, Barrier},
    event::Event,
    lock::Lock,
    rlock::RLock,
    semaphore::Semaphore,
    waiters::{Place, Waiters},
};
#[cfg(not(loom))]
pub(crate) use patience::{look_for_signals, nap};
pub use words::lock::Acquired;
