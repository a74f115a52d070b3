//! Processes: how one is started, and how it notices the end of the one that started it.

mod lifeline;

pub use crate::platform::{FIRST_DESCRIPTOR, duplicate, spawn};
pub use lifeline::hold;
