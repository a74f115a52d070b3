//! The crate from outside, with real processes.

mod campaign;
mod examples;
mod pool;
mod process;
mod shared;
