//! What is seen of pools from outside: boards, recordings, and what a worker writes about itself.

pub(crate) mod look;
pub(crate) mod report;
pub(crate) mod timeline;
