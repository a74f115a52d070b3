//! Sleeping on the low half of a 64-bit word: the kernel compares 32 bits, the protocols here need more.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Instant;

use crate::error::Result;

fn low_half(word: &AtomicU64) -> &AtomicU32 {
    let start = std::ptr::from_ref(word).cast::<AtomicU32>();
    let half = if cfg!(target_endian = "little") { 0 } else { 1 };
    // SAFETY:
    //   * in bounds and aligned: four of the eight aligned bytes that the reference covers;
    //   * the reference is only handed to the kernel as an address, nothing here loads or stores through it.
    unsafe { &*start.add(half) }
}

/// Sleeps while the low half of `word` is that of `expected`; otherwise as [`super::wait`].
///
/// # Errors
/// Those of [`super::wait`].
pub fn wait_low(word: &AtomicU64, expected: u64, until: Option<Instant>) -> Result<()> {
    super::wait(low_half(word), expected as u32, until)
}

/// Wakes up to `count` sleepers of [`wait_low`]; says how many there were.
pub fn wake_low(word: &AtomicU64, count: u32) -> u32 {
    super::wake(low_half(word), count)
}
