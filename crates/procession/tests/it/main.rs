//! The crate from outside, with real processes.

mod pool;
mod process;
mod shared;
