//! Starting and ending processes, and what else is asked of the system.

pub(crate) mod groups;
pub(crate) mod process;
pub(crate) mod system;
