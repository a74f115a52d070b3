//! A child never outlives its parent: a thread that waits for the parent's end and then ends this process.

use std::os::fd::RawFd;
use std::time::Duration;

use crate::error::Result;
use crate::platform::{duplicate, end_after};

/// Ties this process to `parent`, a descriptor that becomes readable when the parent has ended (a pidfd of it, or the
/// reading end of a pipe that it alone writes).
///
/// When that happens the process has `grace` to end by itself; then it is killed. This works while the process is
/// stuck in foreign code, because nothing but the thread made here is needed. The thread takes no signal and touches
/// nothing that a fork could leave locked; a forked process does not have it.
///
/// # Errors
/// The system's, among them that `parent` is not open.
pub fn hold(parent: RawFd, grace: Duration) -> Result<()> {
    let grace_ms = i32::try_from(grace.as_millis()).unwrap_or(i32::MAX);
    end_after(duplicate(parent, 0)?, grace_ms.unsigned_abs())
}
