//! Cells: small pieces of shared memory, many behind one descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Mapping, Own, file_key, file_size, forks, identity, memory_file};
use crate::shared_memory::Piece;

/// Cells begin at multiples of a cache line, so that neighbours do not slow each other down.
const LINE_BYTES: usize = 64;
const ARENA_BYTES: usize = 64 * 1024;
const SHARED: u64 = u64::MAX;

/// A memory file and its mapping, which forked children share.
#[derive(Debug)]
struct Arena {
    file: OwnedFd,
    mapping: Arc<Mapping>,
    /// The process that hands out its cells.
    maker: u64,
    rooms: Mutex<Rooms>,
}

#[derive(Debug, Default)]
struct Rooms {
    used: usize,
    /// Cells that no other process has seen, by place and size.
    free: Vec<(usize, usize)>,
}

/// The arena of the next cells; it lives as long as one of its cells, so that nothing stays behind.
static CURRENT: Own<Weak<Arena>> = Own::new(Weak::new);
/// Arenas by what tells their files apart.
type Opened = Vec<((u64, u64), Weak<Arena>)>;

static OPENED: Mutex<Opened> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A piece of shared memory, zero when new. It lives until the last process that holds a part of its arena has let go.
#[derive(Debug)]
pub struct Cell {
    piece: Piece,
    arena: Arc<Arena>,
    place: usize,
    /// The forks behind its process when it was made; [`SHARED`] if another process may know the cell anyway.
    private_since: AtomicU64,
}

impl Cell {
    /// A new cell of at least `size` bytes.
    ///
    /// # Errors
    /// The system's, among them no memory left.
    pub fn create(size: usize) -> Result<Cell> {
        let size = size.max(1).next_multiple_of(LINE_BYTES);
        let mut current = CURRENT.lock();
        if let Some(arena) = current.upgrade().filter(|a| a.maker == identity())
            && let Some(place) = arena.take(size)
        {
            return Ok(Cell::at(arena, place, size, forks().into()).expect("rooms lie within their arena"));
        }
        let arena = Arena::create(size.max(ARENA_BYTES))?;
        let place = arena.take(size).expect("a new arena has room");
        if size < ARENA_BYTES {
            *current = Arc::downgrade(&arena);
        }
        Ok(Cell::at(arena, place, size, forks().into()).expect("rooms lie within their arena"))
    }

    fn at(arena: Arc<Arena>, place: usize, size: usize, private_since: u64) -> Option<Cell> {
        let piece = Piece::new(arena.mapping.clone(), place, size)?;
        Some(Cell { piece, arena, place, private_since: private_since.into() })
    }

    /// The cell of `size` bytes at `place` of the arena behind `file`, which another process passed here.
    ///
    /// The arena is mapped once, however many of its cells come; `file` is closed if it is not needed.
    ///
    /// # Errors
    /// The system's; `InvalidInput` when the place lies outside.
    pub fn open(file: OwnedFd, place: usize, size: usize) -> Result<Cell> {
        let arena = Arena::open(file)?;
        let whole_lines = size > 0 && place.is_multiple_of(LINE_BYTES) && size.is_multiple_of(LINE_BYTES);
        whole_lines
            .then(|| Cell::at(arena, place, size, SHARED))
            .flatten()
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a cell outside of its arena"))
    }

    /// Where the cell is, for [`Cell::open`] in a process that has the descriptor. The cell counts as shared from now on.
    ///
    /// # Errors
    /// `InvalidInput` when the descriptor no longer is the arena's: somebody else closed it.
    pub fn share(&self) -> Result<(RawFd, usize, usize)> {
        self.private_since.store(SHARED, Ordering::Relaxed);
        let known = file_key(&self.arena.file).ok();
        let mapped =
            locked(&OPENED).iter().any(|(key, a)| Some(*key) == known && a.as_ptr() == Arc::as_ptr(&self.arena));
        if !mapped {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the descriptor of the shared memory was closed by the program",
            ));
        }
        Ok((self.arena.file.as_raw_fd(), self.place, self.size()))
    }

    /// Whether the raw descriptor is the one that the arena of this cell owns.
    pub fn owns_descriptor(file: RawFd) -> bool {
        locked(&OPENED).iter().any(|(_, a)| a.upgrade().is_some_and(|a| a.file.as_raw_fd() == file))
    }

    /// The cell's bytes.
    pub fn size(&self) -> usize {
        self.piece.size()
    }

    /// The 32-bit word at `offset`.
    ///
    /// # Panics
    /// When the offset lies outside of the cell.
    #[inline]
    pub fn word32(&self, offset: usize) -> &AtomicU32 {
        self.piece.word32(offset)
    }

    /// The 64-bit word at `offset`.
    ///
    /// # Panics
    /// When the offset lies outside of the cell.
    #[inline]
    pub fn word64(&self, offset: usize) -> &AtomicU64 {
        self.piece.word64(offset)
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // A cell that another process may know is not used again: nobody tells when that one lets go of it.
        if *self.private_since.get_mut() == u64::from(forks()) && self.arena.maker == identity() {
            self.piece.clear();
            locked(&self.arena.rooms).free.push((self.place, self.size()));
        }
    }
}

impl Arena {
    fn create(size: usize) -> Result<Arc<Arena>> {
        let file = memory_file("procession-sync", size, true)?;
        Arena::map(file, identity())
    }

    fn open(file: OwnedFd) -> Result<Arc<Arena>> {
        let key = file_key(&file)?;
        let known = locked(&OPENED).iter().find(|(k, _)| *k == key).and_then(|(_, a)| a.upgrade());
        match known {
            Some(arena) => {
                // The same number may arrive once for each cell.
                if arena.file.as_raw_fd() == file.as_raw_fd() {
                    let _ = std::os::fd::IntoRawFd::into_raw_fd(file);
                }
                Ok(arena)
            }
            None => Arena::map(file, 0),
        }
    }

    fn map(file: OwnedFd, maker: u64) -> Result<Arc<Arena>> {
        let size = file_size(&file)?;
        let mapping = Arc::new(Mapping::new(&file, 0, size, true)?);
        let key = file_key(&file)?;
        let arena = Arc::new(Arena { file, mapping, maker, rooms: Mutex::default() });
        let mut opened = locked(&OPENED);
        opened.retain(|(_, a)| a.strong_count() > 0);
        opened.push((key, Arc::downgrade(&arena)));
        Ok(arena)
    }

    fn take(&self, size: usize) -> Option<usize> {
        let mut rooms = locked(&self.rooms);
        if let Some(i) = rooms.free.iter().rposition(|&(_, s)| s == size) {
            return Some(rooms.free.swap_remove(i).0);
        }
        let place = rooms.used;
        if place + size > self.mapping.size() {
            return None;
        }
        rooms.used += size;
        Some(place)
    }
}

impl AsFd for Cell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arena.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_found_again_through_its_descriptor() {
        let cell = Cell::create(8).unwrap();
        cell.word32(4).store(7, Ordering::Relaxed);
        let (_, place, size) = cell.share().unwrap();
        let again = Cell::open(cell.as_fd().try_clone_to_owned().unwrap(), place, size).unwrap();
        assert_eq!(again.word32(4).load(Ordering::Relaxed), 7);
        assert!(Arc::ptr_eq(&cell.arena, &again.arena));
        assert!(Cell::open(cell.as_fd().try_clone_to_owned().unwrap(), ARENA_BYTES, 64).is_err());
    }

    #[test]
    fn a_cell_nobody_else_saw_is_used_again_and_zero() {
        let first = Cell::create(4096).unwrap();
        first.word64(0).store(9, Ordering::Relaxed);
        let (arena, place) = (first.arena.clone(), first.place);
        drop(first);
        assert!(locked(&arena.rooms).free.contains(&(place, 4096)));
        let second = Cell::create(4096).unwrap();
        assert_eq!(second.word64(0).load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_shared_cell_is_not_used_again() {
        let cell = Cell::create(2048).unwrap();
        cell.share().unwrap();
        let (arena, place) = (cell.arena.clone(), cell.place);
        drop(cell);
        assert!(!locked(&arena.rooms).free.contains(&(place, 2048)));
    }
}
