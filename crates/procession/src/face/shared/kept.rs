//! A value kept as bytes behind a lock.

use std::sync::atomic::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::guarded::{GUARDED_AT, Guarded};
use crate::error::{Error, ErrorKind, Result};
use crate::function::{decode, encode};
use crate::platform::reserve;
use crate::shared_memory::{copy_in, copy_out};

/// The value's bytes lie in one of two halves, so that a process that dies while it writes leaves the value before. The
/// word says which half, in its highest bit, and how many bytes.
const PLACE_AT: usize = 8;
const SECOND_HALF: u64 = 1 << 63;
/// The most bytes of a value; memory is taken only for what is there.
const HALF_BYTES: usize = 64 << 20;

/// Memory for a value of this type, behind `head` bytes for whoever guards it; the value is written next.
pub(super) fn memory_for<T>(head: usize) -> Result<Guarded> {
    let memory = Guarded::create(head + if size_of::<T>() == 0 { 0 } else { 2 * HALF_BYTES }, false)?;
    reserve(&memory, 0, GUARDED_AT + head)?;
    Ok(memory)
}

/// The value; for whoever has the lock.
#[inline]
pub(super) fn read<T: DeserializeOwned + 'static>(memory: &Guarded, head: usize) -> std::result::Result<T, String> {
    if size_of::<T>() == 0 {
        return decode(&[]);
    }
    let word = memory.word(PLACE_AT).load(Ordering::Acquire);
    let (half, size) = ((word & SECOND_HALF != 0) as usize, (word & !SECOND_HALF) as usize);
    let mut bytes = Vec::new();
    let start = GUARDED_AT + head + half * HALF_BYTES;
    if size > HALF_BYTES || !copy_out(&memory.mapping, start, size, &mut bytes) {
        return Err("it lies outside of its memory".into());
    }
    decode(&bytes)
}

/// Keeps another value; for whoever has the lock.
///
/// # Errors
/// `InvalidInput` for a value that cannot be turned into bytes, or into too many; the system's.
pub(super) fn write<T: Serialize + 'static>(memory: &Guarded, head: usize, value: &T) -> Result<()> {
    if size_of::<T>() == 0 {
        return Ok(());
    }
    let mut bytes = Vec::new();
    encode(value, &mut bytes).map_err(|reason| Error::new(ErrorKind::InvalidInput, reason))?;
    if bytes.len() > HALF_BYTES {
        let message = format!("a value of {} bytes behind a lock, which are too many", bytes.len());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let place = memory.word(PLACE_AT);
    let other = !place.load(Ordering::Relaxed) & SECOND_HALF;
    let offset = GUARDED_AT + head + (other != 0) as usize * HALF_BYTES;
    reserve(memory, offset, bytes.len().max(1))?;
    copy_in(&memory.mapping, offset, &bytes);
    place.store(other | bytes.len() as u64, Ordering::Release);
    Ok(())
}
