//! What processes use to wait for each other: locks, semaphores, events, barriers, and the list of waiters behind a condition.
//!
//! Each lives in a cell of shared memory and survives the death of any process; README.md has the states and the reasons.

mod patience;
pub mod words;

mod arena;
mod barrier;
mod event;
mod holders;
mod lock;
mod rlock;
mod semaphore;
mod waiters;

pub use self::{
    arena::Cell,
    barrier::{Arrival, Barrier},
    event::Event,
    lock::Lock,
    rlock::RLock,
    semaphore::Semaphore,
    waiters::{WaiterPlace, Waiters},
};
pub(crate) use patience::{look_for_signals, nap};
pub use words::lock::Acquired;
