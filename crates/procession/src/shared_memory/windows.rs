//! The parts of a segment that this process has mapped.
//!
//! A segment that blocks are cut from is a sparse file, larger than the machine's memory: its size costs nothing, but mapping it
//! would cost address space, which batch systems limit (`ulimit -v`) and which emulators have to set up. So its beginning
//! is mapped with it, and the rest in windows, each when somebody first wants bytes of it:
//!
//! ```text
//! 0            WINDOW_BYTES                       large_from(size)                          size
//! | words, ring, small blocks | small blocks | ... | large block | large block   | ... |
//! |        first window       | window       | ... | window      | window        |
//! ```
//!
//! A small block lies in one window with others; a large one has a window of its own, as long as what is wanted of it. A window
//! stays for as long as somebody holds it, and after that until there is no room for another.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::arena::size_class;
use super::outside;
use crate::error::{Error, Result};
use crate::platform::{self, Mapping};

/// How much of a segment is mapped with it, and of the part for small blocks at once.
pub(super) const WINDOW_BYTES: usize = 32 << 20;
/// A block of at most so many bytes lies in a window with others.
pub(super) const SMALL_BYTES: usize = WINDOW_BYTES / 4;

/// Where in a segment of `size` bytes the small blocks end and the large ones begin.
pub(super) fn large_from(size: usize) -> usize {
    if size <= WINDOW_BYTES { size } else { (size / 4).next_multiple_of(WINDOW_BYTES) }
}

/// The windows of a segment beside the first, by where they start.
#[derive(Debug, Default)]
pub(super) struct Windows {
    open: Mutex<OpenWindow>,
}

#[derive(Debug, Default)]
struct OpenWindow {
    windows: BTreeMap<usize, Arc<Mapping>>,
    bytes: usize,
}

impl Windows {
    fn open(&self) -> MutexGuard<'_, OpenWindow> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The window of the `size` bytes at `offset` of `file`, which has `all` bytes, and where they are in it.
    ///
    /// # Errors
    /// `Protocol` unless one window can hold them; the system's when this process may not map them.
    pub(super) fn find(
        &self,
        file: impl AsFd,
        all: usize,
        offset: usize,
        size: usize,
    ) -> Result<(Arc<Mapping>, usize)> {
        let end = offset.checked_add(size).filter(|&end| end <= all).ok_or_else(outside)?;
        let is_small = offset < large_from(all);
        let page = platform::page_size();
        let (start, length) = if is_small {
            let start = offset / WINDOW_BYTES * WINDOW_BYTES;
            (start, WINDOW_BYTES.min(large_from(all) - start))
        } else {
            let start = offset / page * page;
            let wanted = (end - start).max(1);
            (start, size_class(wanted).map_or(wanted, |class| class.min(all - start)))
        };
        if end > start + length {
            return Err(outside());
        }
        let mut open = self.open();
        if let Some((&start, window)) = open.windows.range(..=offset).next_back()
            && end <= start + window.size()
        {
            return Ok((window.clone(), offset - start));
        }
        if open.bytes.saturating_add(length) > platform::machine_bytes() {
            open.close_unused();
        }
        let window = Mapping::new(&file, start as u64, length, false).or_else(|_| {
            open.close_unused();
            Mapping::new(&file, start as u64, length, false)
        });
        match window {
            Ok(window) => {
                let window = Arc::new(window);
                open.bytes += length;
                if let Some(shorter) = open.windows.insert(start, window.clone()) {
                    open.bytes -= shorter.size();
                }
                Ok((window, offset - start))
            }
            // No room for all that others may want: for no more than is wanted now there may be.
            Err(_) => {
                let start = offset / page * page;
                let window = Mapping::new(&file, start as u64, (end - start).max(1), false)
                    .map_err(|error| no_room(size, &error))?;
                Ok((Arc::new(window), offset - start))
            }
        }
    }
}

impl OpenWindow {
    /// Unmaps the windows that nobody holds.
    fn close_unused(&mut self) {
        self.windows.retain(|_, window| Arc::strong_count(window) > 1);
        self.bytes = self.windows.values().map(|window| window.size()).sum();
    }
}

fn no_room(size: usize, error: &Error) -> Error {
    let message = format!("no address space for {size} bytes of shared memory, look at `ulimit -v`: {error}");
    error.with_message(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::shared_memory::Segment;
    use std::os::fd::AsFd;

    const ALL: usize = 1 << 40;

    fn sparse() -> Segment {
        Segment::create_sparse("test", WINDOW_BYTES, ALL).unwrap()
    }

    fn is_refused(segment: &Segment, offset: usize, size: usize) -> bool {
        segment.at(offset, size).is_err_and(|error| error.kind() == ErrorKind::Protocol)
    }

    #[test]
    fn of_a_sparse_segment_only_the_beginning_and_what_is_wanted_is_mapped() {
        let segment = sparse();
        assert_eq!((segment.size(), segment.mapping().size()), (ALL, WINDOW_BYTES));
        assert_eq!(segment.windows().open().bytes, 0);
        segment.at(WINDOW_BYTES - 8, 8).unwrap();
        assert_eq!(segment.windows().open().bytes, 0);
        segment.at(3 * WINDOW_BYTES + 64, 8).unwrap();
        assert_eq!(segment.windows().open().bytes, WINDOW_BYTES);
        segment.at(large_from(ALL), 40 << 20).unwrap();
        assert_eq!(segment.windows().open().bytes, WINDOW_BYTES + (40 << 20));
    }

    #[test]
    fn bytes_that_lie_in_no_window_are_refused() {
        let segment = sparse();
        for border in [WINDOW_BYTES, 2 * WINDOW_BYTES, 9 * WINDOW_BYTES, large_from(ALL), ALL] {
            assert!(segment.at(border - 8, 8).is_ok());
            assert!(is_refused(&segment, border - 8, 9));
        }
        assert!(
            is_refused(&segment, ALL, 1) && is_refused(&segment, usize::MAX, 2) && is_refused(&segment, 0, usize::MAX)
        );
        assert!(is_refused(&segment, WINDOW_BYTES, WINDOW_BYTES + 1));
    }

    #[test]
    fn what_one_process_writes_another_reads_in_every_kind_of_window() {
        let ours = sparse();
        let theirs = Segment::open(ours.as_fd().try_clone_to_owned().unwrap()).unwrap();
        for offset in [64, WINDOW_BYTES - 4, WINDOW_BYTES, 7 * WINDOW_BYTES - 4, large_from(ALL) + 64, ALL - 4] {
            ours.write(offset, &[b"ab", b"", b"cd"]).unwrap();
            let mut out = vec![b'>'];
            theirs.read(offset, 4, &mut out).unwrap();
            assert_eq!(out, b">abcd");
        }
        let mut out = vec![b'>'];
        assert!(theirs.read(WINDOW_BYTES - 1, 2, &mut out).is_err());
        assert_eq!(out, b">");
    }

    #[test]
    fn a_window_stays_where_it_is_for_as_long_as_somebody_holds_it() {
        let segment = sparse();
        let place = large_from(ALL) + (1 << 30);
        let short = segment.at(place, 100).unwrap();
        let address = short.mapping(&segment).address(short.offset).unwrap();
        let long = segment.at(place, 20 << 20).unwrap();
        assert_ne!(long.mapping(&segment).address(long.offset), Some(address));
        segment.windows().open().close_unused();
        assert_eq!(segment.windows().open().bytes, 20 << 20);
        segment.write(place + 60, &[b"ab"]).unwrap();
        let mut out = [0; 2];
        assert!(crate::shared_memory::copy_to(short.mapping(&segment), short.offset + 60, &mut out));
        assert_eq!(&out, b"ab");
        drop(long);
        segment.windows().open().close_unused();
        assert_eq!(segment.windows().open().bytes, 0);
    }

    #[test]
    fn windows_that_nobody_holds_are_unmapped_when_there_are_more_than_memory() {
        let segment = sparse();
        let size = platform::machine_bytes() / 4;
        for block in 0..20 {
            segment.at(large_from(ALL) + block * 2 * size, size).unwrap();
            assert!(segment.windows().open().bytes <= 2 * platform::machine_bytes());
        }
        assert!(segment.windows().open().windows.len() < 10);
    }
}
