//! What several items or results of a job have in common, so that it travels once.

pub(crate) mod again;
pub(crate) mod common;
pub(crate) mod received;
pub(crate) mod repeats;
pub(crate) mod snapshot;
