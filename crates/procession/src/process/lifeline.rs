//! A child never outlives its parent: a thread that waits for the parent's end and then ends this process.

use std::os::fd::{OwnedFd, RawFd};
use std::thread;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::platform::{SignalGuard, duplicate, kill_own_process, wait_readable};

const STACK_BYTES: usize = 64 * 1024;

/// Ties this process to `parent`, a descriptor that becomes readable when the parent has ended (a pidfd of it, or the
/// reading end of a pipe that it alone writes).
///
/// When that happens the process has `grace` to end by itself; then it is killed. This works while the process is
/// stuck in foreign code, because nothing but the thread made here is needed. The thread takes no signal and touches
/// nothing that a fork could leave locked; a forked process does not have it.
///
/// # Errors
/// `InvalidInput` when `parent` is not open, and the system's.
pub fn hold(parent: RawFd, grace: Duration) -> Result<()> {
    let parent = duplicate(parent, 0)?;
    let _blocked = SignalGuard::block_all(); // the new thread inherits the mask
    thread::Builder::new()
        .name("lifeline".into())
        .stack_size(STACK_BYTES)
        .spawn(move || wait_and_end(&parent, grace))
        .map_err(|e| Error::new(ErrorKind::Os, format!("the lifeline's thread: {e}")))?;
    Ok(())
}

fn wait_and_end(parent: &OwnedFd, grace: Duration) {
    loop {
        match wait_readable(parent) {
            Ok(()) => break,
            Err(error) if error.is_interrupted() => {}
            // Somebody closed the descriptor under us: then nothing is known, so nothing is killed.
            Err(_) => return,
        }
    }
    thread::sleep(grace);
    kill_own_process();
}
