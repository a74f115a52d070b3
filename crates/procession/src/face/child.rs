//! What a child does instead of `main`.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::worker;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{self, Failure};
use crate::platform;
use crate::process::{self, ChildEnd, Progress};

/// An order starts with one of these.
pub(super) const CALL: u8 = 1;
pub(super) const WORK: u8 = 2;
/// For a function of another language: a version and the function's name come before what `WORK` has.
pub(super) const WORK_FOR: u8 = 3;

/// The code of a child whose function panicked, as that of a program whose `main` does.
const PANICKED: i32 = 101;

#[cfg(feature = "pre-main")]
crate::platform::before_main!(turn_to_work);

#[cfg(feature = "pre-main")]
extern "C" fn turn_to_work() {
    init();
}

/// Lets a child of this program turn to its work; does nothing in any other process.
///
/// With the feature `pre-main`, which is on by default, nobody needs to call this: children turn to their work before
/// `main` is reached. Without the feature it stands first in `main`; whatever is before it runs in each child again.
///
/// ```
/// procession::init();
/// // the program
/// ```
pub fn init() {
    let answer = match process::arrive() {
        Ok(None) => return,
        Ok(Some(arrival)) => carry_out(&arrival),
        Err(error) => Err(error),
    };
    match answer {
        Ok(code) => std::process::exit(code),
        Err(error) => {
            eprintln!("procession: {error}");
            std::process::exit(1);
        }
    }
}

fn carry_out(arrival: &ChildEnd) -> Result<i32> {
    function::remember_panics();
    match arrival.order.split_first() {
        Some((&CALL, order)) => call(arrival, order),
        Some((&WORK, order)) => worker::work(arrival, order, None),
        _ => Err(Error::new(ErrorKind::Protocol, "an order of an unknown kind")),
    }
}

/// Leaves a result, the descriptors before the bytes: where those are, these are.
fn leave(arrival: &ChildEnd, result: &[u8], files: &[OwnedFd]) -> Result<()> {
    for some in files.chunks(platform::MOST_FILES) {
        let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
        if !platform::send_note(&arrival.notes, &[0], &some)? {
            return Err(Error::new(ErrorKind::Os, "too many descriptors are on their way"));
        }
    }
    arrival.leave(Progress::Returned, result)
}

fn call(arrival: &ChildEnd, order: &[u8]) -> Result<i32> {
    let nonsense = || Error::new(ErrorKind::Protocol, "an order without a function");
    let (distance, argument) = order.split_first_chunk().ok_or_else(nonsense)?;
    let crossing = function::arrived(u64::from_le_bytes(*distance)).ok_or_else(nonsense)?;
    let copies = arrival.files.iter().map(|file| file.try_clone().map(Arc::new));
    let files = copies.collect::<std::io::Result<Vec<_>>>();
    let files = files.map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))?;
    let mut result = Vec::new();
    let answer = function::receiving(files, || {
        function::guarded(|| crossing.prepare(&[])?.run(argument, &mut result, &mut || ()))
    });
    let answer = match answer {
        Ok(files) => leave(arrival, &result, &files).map_err(|error| {
            let message = format!("the result could not be sent: {error}");
            Failure::Codec { message }
        }),
        Err(failure) => Err(failure),
    };
    match answer {
        Ok(()) => Ok(0),
        Err(failure) => {
            arrival.leave(Progress::Failed, &failure.encode())?;
            Ok(if matches!(failure, Failure::Panicked { .. }) { PANICKED } else { 1 })
        }
    }
}
