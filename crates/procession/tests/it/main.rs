//! The crate from outside, with real processes.

mod examples;
mod pool;
mod process;
mod shared;
