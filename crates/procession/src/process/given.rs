//! What a program is given by one of another language that started it: a value, and what processes share in it.
//!
//! The variable [`GIVEN`] says how many descriptors the program has from [`FIRST_DESCRIPTOR`] on: a file, a pidfd of the parent
//! (or what stands for one), those of the value, and perhaps one that is held while the program lives.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::channel::neutral::WIRE_VERSION;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, FIRST_DESCRIPTOR};

use super::lifeline;
use super::order::file_error;

/// The variable's name.
pub const GIVEN: &str = "PROCESSION_GIVEN";

/// The file: a mark, the version, how many descriptors the value has, and the value in the neutral form.
const MARK: [u8; 8] = *b"procgive";
const HEAD_BYTES: usize = 16;

/// What was given.
#[derive(Debug)]
pub struct Given {
    /// The value, in the neutral form.
    pub bytes: Vec<u8>,
    /// Its descriptors.
    pub files: Vec<OwnedFd>,
}

/// The bytes of the file for a value with so many descriptors.
pub fn given_bytes(value: &[u8], files: u32) -> Vec<u8> {
    [&MARK[..], &WIRE_VERSION.to_le_bytes(), &files.to_le_bytes(), value].concat()
}

/// Takes what this program was given; the first time only. From then on it ends when its parent does.
///
/// # Errors
/// `InvalidInput` when it was given nothing, or that was taken; `Protocol` when its parent speaks another version; the system's.
pub fn take_given() -> Result<Given> {
    let Some(count) = platform::take_variable(GIVEN) else {
        let message =
            "this program was given nothing: it was not started as a procession.neutral.Program, or has taken it";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    };
    let nonsense = || Error::new(ErrorKind::Protocol, "what this program was given is damaged");
    let count: RawFd = count.to_string_lossy().parse().ok().filter(|count| *count >= 2).ok_or_else(nonsense)?;
    let mut all = Vec::new();
    for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + count {
        // A copy, so that programs started from here do not inherit it.
        all.push(platform::adopt(number)?.as_fd().try_clone_to_owned().map_err(file_error)?);
    }
    let mut files = all.split_off(2);
    let (Some(parent), Some(file)) = (all.pop(), all.pop()) else { return Err(nonsense()) };
    let mut bytes = vec![0; platform::file_size(&file)?];
    File::from(file).read_exact_at(&mut bytes, 0).map_err(file_error)?;
    let (head, value) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(nonsense)?;
    let word = |at: usize| head[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or(0);
    if head[..8] != MARK || word(12) as usize > files.len() {
        return Err(nonsense());
    }
    check_version(word(8))?;
    lifeline::hold(parent.as_raw_fd(), Duration::ZERO)?;
    files.split_off(word(12) as usize).into_iter().for_each(std::mem::forget);
    Ok(Given { bytes: value.to_vec(), files })
}

/// Refuses a parent that shares by another version.
pub(crate) fn check_version(theirs: u32) -> Result<()> {
    if theirs == WIRE_VERSION {
        return Ok(());
    }
    let message = format!(
        "the program that started this one has version {theirs} of what programs share, this one has version \
         {WIRE_VERSION}: install the same version of procession for both"
    );
    Err(Error::new(ErrorKind::Protocol, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_of_another_version_is_refused_in_words() {
        assert!(check_version(WIRE_VERSION).is_ok());
        let text = check_version(WIRE_VERSION + 1).unwrap_err().to_string();
        let both = [WIRE_VERSION, WIRE_VERSION + 1].map(|version| format!("version {version}"));
        assert!(both.iter().all(|version| text.contains(version)), "{text}");
    }

    #[test]
    fn a_program_that_was_given_nothing_says_so() {
        assert_eq!(take_given().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
