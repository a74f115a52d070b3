//! The words and bytes of a mapping that other processes change: the only place that turns a mapping into references.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::platform::Mapping;

/// The 32-bit word at `offset`, or none if it is out of bounds or not aligned.
#[inline]
pub fn word32(mapping: &Mapping, offset: usize) -> Option<&AtomicU32> {
    if !offset.is_multiple_of(4) || offset.checked_add(4)? > mapping.size() {
        return None;
    }
    // SAFETY:
    //   * in bounds and aligned: both checked above, and a mapping starts on a page;
    //   * any bit pattern is a u32, and nothing hands out `&mut` to these bytes;
    //   * the mapping outlives `&self`, to which the reference is tied.
    Some(unsafe { &*mapping.start().as_ptr().add(offset).cast::<AtomicU32>() })
}

/// The 64-bit word at `offset`, or none if it is out of bounds or not aligned.
#[inline]
pub fn word64(mapping: &Mapping, offset: usize) -> Option<&AtomicU64> {
    if !offset.is_multiple_of(8) || offset.checked_add(8)? > mapping.size() {
        return None;
    }
    // SAFETY: as in `word32`, with eight bytes.
    Some(unsafe { &*mapping.start().as_ptr().add(offset).cast::<AtomicU64>() })
}

/// C libraries copy more bytes than this by `rep movsb`, and fewer than `MUCH`.
const PIECE_BYTES: usize = 2048;
const MUCH: usize = 4 << 20;
/// Where the target lies less than this behind the source, but for whole pages, some processors (AMD's with `fsrm`) take
/// ten to twenty times longer for that.
const NEAR: usize = 32;

/// Copies `size` bytes, as quickly whatever the two addresses are.
///
/// # Safety
/// As [`std::ptr::copy_nonoverlapping`].
#[inline]
pub unsafe fn copy(from: *const u8, to: *mut u8, size: usize) {
    let behind = (to as usize).wrapping_sub(from as usize) % 4096;
    if size <= PIECE_BYTES || size >= MUCH || behind == 0 || behind >= NEAR {
        // SAFETY: the caller's.
        return unsafe { std::ptr::copy_nonoverlapping(from, to, size) };
    }
    for at in (0..size).step_by(PIECE_BYTES) {
        // SAFETY: a part of the ranges that the caller answers for.
        unsafe { std::ptr::copy_nonoverlapping(from.add(at), to.add(at), PIECE_BYTES.min(size - at)) };
    }
}

/// Adds `bytes` to `into`: see [`copy`].
#[inline]
pub fn append(bytes: &[u8], into: &mut Vec<u8>) {
    into.reserve(bytes.len());
    // SAFETY: there is room for them behind the length: reserved above; they are apart, as nobody else has `into`.
    unsafe {
        copy(bytes.as_ptr(), into.as_mut_ptr().add(into.len()), bytes.len());
        into.set_len(into.len() + bytes.len());
    }
}

/// Copies `bytes` into all of `into`: see [`copy`].
///
/// # Panics
/// When one is longer than the other.
pub fn copy_all(bytes: &[u8], into: &mut [u8]) {
    assert_eq!(bytes.len(), into.len());
    // SAFETY: as long, and apart, as nobody else has `into`.
    unsafe { copy(bytes.as_ptr(), into.as_mut_ptr(), into.len()) }
}

/// Copies `bytes` to `offset`; false, and nothing written, if they do not fit.
#[inline]
pub fn copy_in(mapping: &Mapping, offset: usize, bytes: &[u8]) -> bool {
    match offset.checked_add(bytes.len()) {
        Some(end) if end <= mapping.size() => {}
        _ => return false,
    }
    // SAFETY:
    //   * in bounds: checked above; the ranges cannot overlap, as no safe reference into a mapping exists;
    //   * another process may read at the same time: it takes what it copied as untrusted bytes (`copy_out`).
    unsafe {
        let place = mapping.start().as_ptr().add(offset);
        copy(bytes.as_ptr(), place, bytes.len());
    }
    true
}

/// Adds the `size` bytes at `offset` to `into`; false, and nothing added, if they are out of bounds.
#[inline]
pub fn copy_out(mapping: &Mapping, offset: usize, size: usize, into: &mut Vec<u8>) -> bool {
    match offset.checked_add(size) {
        Some(end) if end <= mapping.size() => {}
        _ => return false,
    }
    into.reserve(size);
    // SAFETY:
    //   * in bounds: checked above; room for `size` bytes after the length: reserved above;
    //   * any bytes are u8; another process may write at the same time, so whoever reads the copy checks what it says.
    unsafe {
        let place = mapping.start().as_ptr().add(offset);
        copy(place, into.as_mut_ptr().add(into.len()), size);
        into.set_len(into.len() + size);
    }
    true
}

/// Has `write` fill the `size` bytes at `offset`; none, and nothing called, if they are out of bounds.
///
/// The bytes must be this process's alone for now: cut from its own arena and not published.
#[inline]
pub fn fill<T>(mapping: &Mapping, offset: usize, size: usize, write: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
    match offset.checked_add(size) {
        Some(end) if end <= mapping.size() => {}
        _ => return None,
    }
    // SAFETY:
    //   * in bounds: checked above; any bytes are u8, and mapped memory is never uninitialised;
    //   * nobody else reads or writes them until they are published: the caller has cut them from its own arena;
    //   * the reference ends with `write`.
    let bytes = unsafe { std::slice::from_raw_parts_mut(mapping.start().as_ptr().add(offset), size) };
    Some(write(bytes))
}

/// Copies the bytes at `offset` into all of `into`; false, and nothing copied, if they are out of bounds.
#[inline]
pub fn copy_to(mapping: &Mapping, offset: usize, into: &mut [u8]) -> bool {
    match offset.checked_add(into.len()) {
        Some(end) if end <= mapping.size() => {}
        _ => return false,
    }
    // SAFETY: as in `copy_out`, into memory that is there already.
    unsafe {
        let place = mapping.start().as_ptr().add(offset);
        copy(place, into.as_mut_ptr(), into.len());
    }
    true
}

/// A piece of a mapping, checked once: finding a word in it is one comparison.
#[derive(Debug)]
pub(crate) struct Piece {
    start: NonNull<u8>,
    size: usize,
    /// What `start` points into.
    _mapping: Arc<Mapping>,
}

// SAFETY: `start` points into the mapping, which is `Send` and `Sync`, and is only used to hand out atomics in it.
unsafe impl Send for Piece {}
// SAFETY: as for `Send`.
unsafe impl Sync for Piece {}

impl Piece {
    /// The `size` bytes at `place`; none unless they lie in the mapping, and both numbers are multiples of eight.
    pub(crate) fn new(mapping: Arc<Mapping>, place: usize, size: usize) -> Option<Piece> {
        let end = place.checked_add(size)?;
        if !place.is_multiple_of(8) || !size.is_multiple_of(8) || end > mapping.size() {
            return None;
        }
        // SAFETY: in bounds, checked above.
        let start = unsafe { mapping.start().add(place) };
        Some(Piece { start, size, _mapping: mapping })
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Makes all bytes zero.
    pub(crate) fn clear(&self) {
        (0..self.size).step_by(8).for_each(|offset| self.word64(offset).store(0, Ordering::Relaxed));
    }

    /// The byte at `offset`.
    ///
    /// # Panics
    /// When the offset lies outside.
    #[inline]
    pub(crate) fn word8(&self, offset: usize) -> &AtomicU8 {
        assert!(offset < self.size);
        // SAFETY: as in `word32`, with one byte.
        unsafe { self.start.add(offset).cast::<AtomicU8>().as_ref() }
    }

    /// The 16-bit word at `offset`.
    ///
    /// # Panics
    /// When the offset lies outside or is not aligned.
    #[inline]
    pub(crate) fn word16(&self, offset: usize) -> &AtomicU16 {
        assert!(offset.is_multiple_of(2) && offset < self.size);
        // SAFETY: as in `word32`, with two bytes.
        unsafe { self.start.add(offset).cast::<AtomicU16>().as_ref() }
    }

    /// The 32-bit word at `offset`.
    ///
    /// # Panics
    /// When the offset, which is a constant of the layout, lies outside or is not aligned.
    #[inline]
    pub(crate) fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < self.size);
        // SAFETY:
        //   * in bounds and aligned: `start` and `size` are multiples of eight and lie in the mapping, checked in `new`;
        //   * any bit pattern is a u32, and nothing hands out `&mut` to these bytes;
        //   * the mapping outlives `&self`, to which the reference is tied.
        unsafe { self.start.add(offset).cast::<AtomicU32>().as_ref() }
    }

    /// The 64-bit word at `offset`.
    ///
    /// # Panics
    /// When the offset, which is a constant of the layout, lies outside or is not aligned.
    #[inline]
    pub(crate) fn word64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < self.size);
        // SAFETY: as in `word32`, with eight bytes.
        unsafe { self.start.add(offset).cast::<AtomicU64>().as_ref() }
    }
}

/// A type of which any bytes are a value: the plain numbers, and with the feature `bytemuck` whatever is `bytemuck::Pod`.
///
/// ```
/// use procession::{Number, SharedSlice};
///
/// fn last<T: Number>(numbers: &SharedSlice<T>) -> Option<T> {
///     numbers.lock().unwrap().last().copied()
/// }
///
/// # fn main() -> procession::Result<()> {
/// assert_eq!(last(&SharedSlice::from_slice(&[1.5, 2.5])?), Some(2.5));
/// # Ok(()) }
/// ```
pub trait Number: sealed::Sealed + Copy + Send + Sync + 'static {}

mod sealed {
    /// Keeps [`super::Number`] to the types of this file.
    pub trait Sealed {}
}

#[cfg(feature = "bytemuck")]
impl<T: bytemuck::Pod + Send + Sync> sealed::Sealed for T {}
#[cfg(feature = "bytemuck")]
impl<T: bytemuck::Pod + Send + Sync> Number for T {}

#[cfg(not(feature = "bytemuck"))]
macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl sealed::Sealed for $number {}
        impl Number for $number {}
    )*};
}
#[cfg(not(feature = "bytemuck"))]
numbers!(u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, usize, isize, f32, f64);

/// The bytes of numbers, as they lie in memory.
pub(crate) fn bytes_of<T: Number>(numbers: &[T]) -> &[u8] {
    // SAFETY: the bytes are those of the slice, whose borrow they keep; the trait is sealed to the plain numbers and to
    // `bytemuck::Pod`, which has no padding, so each of them is set.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// The numbers whose bytes, as they lie in memory, these are; of a last number that is cut off nothing.
pub(crate) fn numbers_of<T: Number>(bytes: &[u8]) -> Vec<T> {
    let count = bytes.len() / size_of::<T>().max(1);
    let mut numbers: Vec<T> = Vec::with_capacity(count);
    // SAFETY: room for `count` numbers is reserved, apart from `bytes`, which has at least as many; any bytes are a number, as
    // in `NumberRow::get`; all of them are set before the length is.
    unsafe {
        copy(bytes.as_ptr(), numbers.as_mut_ptr().cast(), count * size_of::<T>());
        numbers.set_len(count);
    }
    numbers
}

/// The `size` bytes at `offset`, or none if they are out of bounds.
///
/// Only for bytes of a block that was lent to this process, and for no longer than that: its lender writes there no more.
pub(crate) fn lent(mapping: &Mapping, offset: usize, size: usize) -> Option<&[u8]> {
    let fits = offset.checked_add(size).is_some_and(|end| end <= mapping.size());
    // SAFETY:
    //   * in bounds: checked above; any bytes are u8, and the mapping outlives the reference, which is tied to it;
    //   * nobody writes meanwhile: the caller was lent the block. A process that writes there all the same can break that, as
    //     it could write to this process's memory.
    fits.then(|| unsafe { std::slice::from_raw_parts(mapping.start().as_ptr().add(offset), size) })
}

/// A row of numbers in a mapping, for whoever keeps all others away from it meanwhile: the one that holds its lock.
#[derive(Debug)]
pub(crate) struct NumberRow<T> {
    mapping: Arc<Mapping>,
    offset: usize,
    count: usize,
    number: PhantomData<T>,
}

impl<T: Number> NumberRow<T> {
    /// The `count` numbers at `offset`, or none if they are out of bounds or not aligned.
    ///
    /// Only while the lock that guards them is held, and one at a time.
    pub(crate) fn new(mapping: Arc<Mapping>, offset: usize, count: usize) -> Option<NumberRow<T>> {
        let end = offset.checked_add(count.checked_mul(size_of::<T>())?)?;
        let fits = offset.is_multiple_of(align_of::<T>()) && end <= mapping.size();
        fits.then_some(NumberRow { mapping, offset, count, number: PhantomData })
    }

    /// Them.
    pub(crate) fn get(&self) -> &[T] {
        // SAFETY:
        //   * in bounds and aligned: checked in `new`, and a mapping starts on a page; it lives as long as `self`;
        //   * any bytes are a `T`: the trait is sealed to the plain numbers and to `bytemuck::Pod`, which promises that;
        //   * nobody writes meanwhile: whoever made this row holds the lock, `get_mut` needs `&mut self`. A process that
        //     maps the memory by other means than this crate can break that, as it could write to this process's memory.
        unsafe { std::slice::from_raw_parts(self.mapping.start().as_ptr().add(self.offset).cast(), self.count) }
    }

    /// Them, to be changed.
    pub(crate) fn get_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `get`; and nobody reads meanwhile, for the same reason.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.start().as_ptr().add(self.offset).cast(), self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::memory_file;

    fn page() -> Mapping {
        Mapping::new(memory_file("test", 4096, true).unwrap(), 0, 4096, false).unwrap()
    }

    #[test]
    fn bytes_are_copied_whole_wherever_they_lie() {
        let bytes: Vec<u8> = (0..30_000u32).map(|n| (n % 251) as u8).collect();
        let here = Mapping::new(memory_file("test", 32_768, true).unwrap(), 0, 32_768, false).unwrap();
        for (from, size) in [(0, 0), (1, 2048), (7, 2049), (64, 9000), (4090, 20_000)] {
            for to in (from..from + 40).chain([4096 + from]) {
                let (part, mut out, mut same) = (&bytes[from..from + size], vec![1], vec![0; size]);
                assert!(copy_in(&here, to, part) && copy_out(&here, to, size, &mut out));
                assert!(copy_to(&here, to, &mut same));
                assert!(out[0] == 1 && &out[1..] == part && same == part);
                out.clear();
                append(part, &mut out);
                copy_all(&out, &mut same);
                assert_eq!(same, part);
            }
        }
    }

    #[test]
    fn words_out_of_bounds_or_askew_do_not_exist() {
        let m = page();
        assert!(word32(&m, 4092).is_some());
        assert!(word32(&m, 4096).is_none());
        assert!(word32(&m, 2).is_none());
        assert!(word64(&m, 4092).is_none());
        assert!(word64(&m, usize::MAX - 7).is_none());
    }

    #[test]
    fn a_piece_lies_in_its_mapping_and_its_words_in_it() {
        let m = Arc::new(page());
        for (place, size) in [(4, 64), (0, 60), (4096, 8), (usize::MAX - 7, 8), (8, usize::MAX - 7)] {
            assert!(Piece::new(m.clone(), place, size).is_none(), "{place} {size}");
        }
        let piece = Piece::new(m.clone(), 4032, 64).unwrap();
        piece.word64(56).store(7, Ordering::Relaxed);
        assert_eq!(word64(&m, 4088).unwrap().load(Ordering::Relaxed), 7);
        piece.clear();
        assert_eq!(piece.word32(56).load(Ordering::Relaxed), 0);
        assert!(std::panic::catch_unwind(|| piece.word64(64).load(Ordering::Relaxed)).is_err());
        assert!(std::panic::catch_unwind(|| piece.word32(2).load(Ordering::Relaxed)).is_err());
    }

    #[test]
    fn bytes_come_back_and_never_leave_the_mapping() {
        let m = page();
        assert!(copy_in(&m, 4090, b"abcdef"));
        assert!(!copy_in(&m, 4091, b"abcdef"));
        let mut out = vec![b'>'];
        assert!(copy_out(&m, 4090, 6, &mut out));
        assert!(!copy_out(&m, 4091, 6, &mut out));
        assert_eq!(out, b">abcdef");
    }

    #[test]
    fn a_mirrored_mapping_shows_the_same_bytes_twice() {
        let file = memory_file("test", 4096, true).unwrap();
        let m = Mapping::mirrored(&file, 0, 4096).unwrap();
        assert!(copy_in(&m, 4094, b"wrap"));
        let mut out = Vec::new();
        assert!(copy_out(&m, 0, 2, &mut out));
        assert_eq!(out, b"ap");
    }

    fn bytes_at(mapping: &Mapping, offset: usize) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(copy_out(mapping, offset, 2, &mut out));
        out
    }

    #[test]
    fn detached_pages_keep_their_bytes_until_they_are_attached_again() {
        let file = memory_file("test", 3 * 4096, true).unwrap();
        let here = Mapping::new(&file, 0, 3 * 4096, false).unwrap();
        let there = Mapping::new(&file, 0, 3 * 4096, false).unwrap();
        assert!(copy_in(&there, 4096, b"ab") && copy_in(&there, 8192, b"xy"));
        here.detach(&file, 4096, 4096).unwrap();
        assert!(copy_in(&there, 4096, b"cd") && copy_in(&there, 8192, b"zz"));
        assert_eq!((bytes_at(&here, 4096), bytes_at(&here, 8192)), (b"ab".to_vec(), b"zz".to_vec()));
        here.attach(&file, 4096, 4096).unwrap();
        assert_eq!(bytes_at(&here, 4096), b"cd");
        assert!(here.detach(&file, 4096, 3 * 4096).is_err() && here.detach(&file, 1, 4096).is_err());
    }

    #[test]
    fn a_private_mapping_sees_the_file_and_is_not_seen() {
        let file = memory_file("test", 4096, true).unwrap();
        let there = Mapping::new(&file, 0, 4096, false).unwrap();
        assert!(copy_in(&there, 0, b"ab"));
        let mine = Mapping::private(&file, 0, 4096).unwrap();
        assert_eq!(bytes_at(&mine, 0), b"ab");
        assert!(copy_in(&mine, 0, b"cd"));
        assert_eq!(bytes_at(&there, 0), b"ab");
    }
}
