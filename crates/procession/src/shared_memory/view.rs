//! Bytes of a segment that are used in place, for as long as somebody holds them.
//!
//! Whoever lends a block wants it back: a view gives it back when it is dropped. What a process holds outlives the lender,
//! as the memory is freed with its last mapping, and stays as it is in a child that is forked: see [`detach_all`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{outside, words};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Mapping};
use crate::shared_memory::{Segment, Span};

/// Called once, when a view is dropped.
pub type GiveBack = Box<dyn FnOnce() + Send + Sync>;

/// Where a view's bytes are mapped.
enum Backing {
    /// In the mapping of a segment, whose lender has lent the pages to this process alone; `span` are those pages.
    Lent { segment: Arc<Segment>, pages: Range<usize>, span: Span, detached: AtomicBool },
    /// In a mapping of its own, copy-on-write: others read the same block.
    Copied { pages: Mapping, detached: AtomicBool },
    /// A whole segment that processes share on purpose: all see what one writes.
    Shared { segment: Segment, inode: u64 },
}

/// Bytes of a segment, used in place.
pub struct View {
    /// Always there, until the view is dropped.
    backing: Option<Backing>,
    address: usize,
    size: usize,
    /// The process that made it: a child that was forked since has no part in giving back.
    owner: u64,
    give_back: Option<GiveBack>,
}

/// Where bytes of a shared view lie, for other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// A process that has the segment open.
    pub process: u32,
    /// The number of its descriptor there.
    pub descriptor: u32,
    /// The segment's own number, to be sure that it is the one meant.
    pub inode: u64,
    /// Where the bytes begin.
    pub offset: u64,
    /// How many there are.
    pub size: u64,
}

/// The views of this process, by their addresses.
static LIVE: Mutex<BTreeMap<usize, Weak<View>>> = Mutex::new(BTreeMap::new());
/// How many of them are shared ones: most programs have none.
static SHARED: AtomicUsize = AtomicUsize::new(0);

fn live() -> MutexGuard<'static, BTreeMap<usize, Weak<View>>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn views() -> Vec<Arc<View>> {
    // The caller drops them, when the lock is free again.
    live().values().filter_map(Weak::upgrade).collect()
}

/// The whole pages around bytes of a segment.
fn pages_around(segment: &Segment, offset: usize, size: usize) -> Result<Range<usize>> {
    let end = offset.checked_add(size).filter(|&end| end <= segment.size()).ok_or_else(outside)?;
    let page = platform::page_size();
    Ok(offset / page * page..end.next_multiple_of(page).min(segment.size()))
}

impl View {
    /// The `size` bytes at `offset`, of pages that were lent to this process alone: it may write there.
    ///
    /// # Errors
    /// `Protocol` when they lie outside, the system's when they cannot be mapped; they are given back then.
    pub fn lent(segment: Arc<Segment>, offset: usize, size: usize, give_back: GiveBack) -> Result<Arc<View>> {
        let place = pages_around(&segment, offset, size).and_then(|pages| {
            let span = segment.at(pages.start, pages.len())?;
            let start = span.offset + (offset - pages.start);
            let address = span.mapping(&segment).address(start).ok_or_else(outside)?;
            Ok((pages, span, address))
        });
        match place {
            Ok((pages, span, address)) => {
                let backing = Backing::Lent { segment, pages, span, detached: AtomicBool::new(false) };
                Ok(View::new(backing, address, size, Some(give_back)))
            }
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// The `size` bytes at `offset`, which others read too; what this process writes there nobody else sees.
    ///
    /// # Errors
    /// The system's; `Protocol` when they lie outside; they are given back then.
    pub fn copied(segment: &Segment, offset: usize, size: usize, give_back: GiveBack) -> Result<Arc<View>> {
        let mapped = pages_around(segment, offset, size).and_then(|range| {
            let pages = Mapping::private(segment, range.start as u64, range.len())?;
            let address = pages.address(offset - range.start).ok_or_else(outside)?;
            Ok((pages, address))
        });
        match mapped {
            Ok((pages, address)) => {
                let backing = Backing::Copied { pages, detached: AtomicBool::new(false) };
                Ok(View::new(backing, address, size, Some(give_back)))
            }
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// A new segment of `size` zero bytes that processes share on purpose.
    ///
    /// # Errors
    /// The system's.
    pub fn create(size: usize) -> Result<Arc<View>> {
        View::of_segment(Segment::create_inherited("procession-shared", size)?)
    }

    /// The shared segment behind a descriptor; the view that this process has of it already, if any.
    ///
    /// # Errors
    /// The system's.
    pub fn attach(file: OwnedFd) -> Result<Arc<View>> {
        match View::of_inode(platform::file_key(&file)?.1) {
            Some(view) => Ok(view),
            None => View::of_segment(Segment::open_inherited(file)?),
        }
    }

    /// The shared view that `place` is in; the bytes begin [`Place::offset`] after its own beginning.
    ///
    /// # Errors
    /// The system's, when the process that had it has not any more; `Protocol` when the bytes lie outside.
    pub fn find(place: &Place) -> Result<Arc<View>> {
        let view = match View::of_inode(place.inode) {
            Some(view) => view,
            None => View::attach(platform::memory_file_of(place.process, place.descriptor)?)?,
        };
        match &view.backing {
            Some(Backing::Shared { inode, .. }) if *inode == place.inode => {}
            _ => return Err(Error::new(ErrorKind::Protocol, "the shared memory is not there any more")),
        }
        let end = place.offset.checked_add(place.size);
        if end.is_some_and(|end| end <= view.size as u64) { Ok(view) } else { Err(outside()) }
    }

    /// The shared view that `size` bytes of this process's memory at `address` lie in, and where others find them.
    pub fn around(address: usize, size: usize) -> Option<(Arc<View>, Place)> {
        if SHARED.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let view = live().range(..=address).next_back().and_then(|(_, view)| view.upgrade())?;
        let offset = address - view.address;
        let fits = offset.checked_add(size).is_some_and(|end| end <= view.size);
        let Some(Backing::Shared { segment, inode }) = view.backing.as_ref().filter(|_| fits) else { return None };
        let descriptor = u32::try_from(segment.as_fd().as_raw_fd()).ok()?;
        let process = std::process::id();
        let place = Place { process, descriptor, inode: *inode, offset: offset as u64, size: size as u64 };
        Some((view, place))
    }

    /// The view of this process that `size` bytes of its memory at `address` lie in, and where there, so that it may write to them
    /// and nobody else sees that: what is shared is mapped once more, copy-on-write. None where they lie in no view.
    ///
    /// # Errors
    /// The system's.
    pub fn own(address: usize, size: usize) -> Result<Option<(Arc<View>, usize)>> {
        let nearest = live().range(..=address).next_back().and_then(|(_, view)| view.upgrade());
        let Some(view) = nearest else { return Ok(None) };
        let offset = address - view.address;
        if offset.checked_add(size).is_none_or(|end| end > view.size) {
            return Ok(None);
        }
        match &view.backing {
            Some(Backing::Shared { segment, .. }) => {
                View::copied(segment, offset, size, Box::new(|| ())).map(|copy| Some((copy, 0)))
            }
            _ => Ok(Some((view, offset))),
        }
    }

    /// Whether this process has any shared view.
    pub fn any_shared() -> bool {
        SHARED.load(Ordering::Relaxed) > 0
    }

    fn of_segment(segment: Segment) -> Result<Arc<View>> {
        let inode = platform::file_key(&segment)?.1;
        let size = segment.mapping().size();
        let address = segment.mapping().address(0).ok_or_else(outside)?;
        SHARED.fetch_add(1, Ordering::Relaxed);
        Ok(View::new(Backing::Shared { segment, inode }, address, size, None))
    }

    fn of_inode(wanted: u64) -> Option<Arc<View>> {
        if SHARED.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let is_it = |view: &Arc<View>| matches!(&view.backing, Some(Backing::Shared { inode, .. }) if *inode == wanted);
        views().into_iter().find(is_it)
    }

    fn new(backing: Backing, address: usize, size: usize, give_back: Option<GiveBack>) -> Arc<View> {
        let owner = platform::identity();
        let view = Arc::new(View { backing: Some(backing), address, size, owner, give_back });
        live().insert(address, Arc::downgrade(&view));
        view
    }

    /// Where the bytes are, for as long as this value lives.
    pub fn address(&self) -> usize {
        self.address
    }

    /// How many bytes there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The bytes of a lent view.
    pub(crate) fn lent_bytes(&self) -> Option<&[u8]> {
        match &self.backing {
            Some(Backing::Lent { segment, pages, span, .. }) => {
                let mapping = span.mapping(segment);
                let before = self.address.checked_sub(mapping.address(span.offset)?)?;
                let fits = before.checked_add(self.size).is_some_and(|end| end <= pages.len());
                fits.then(|| words::lent(mapping, span.offset + before, self.size))?
            }
            _ => None,
        }
    }

    /// The descriptor of the segment of a shared view.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.backing {
            Some(Backing::Shared { segment, .. }) => Some(segment.as_fd()),
            _ => None,
        }
    }

    fn detach(&self) -> Result<()> {
        match &self.backing {
            Some(Backing::Lent { segment, pages, span, detached }) if !detached.load(Ordering::Relaxed) => {
                span.mapping(segment).detach(&**segment, span.offset, pages.len())?;
                detached.store(true, Ordering::Relaxed);
            }
            Some(Backing::Copied { pages, detached }) if !detached.load(Ordering::Relaxed) => {
                pages.own_pages(0, pages.size())?;
                detached.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let backing = self.backing.take();
        let give_back = self.give_back.take();
        let inherited = self.owner != platform::identity();
        if inherited && !matches!(backing, Some(Backing::Shared { .. })) {
            // In a child that was forked the pages are its own, and what else the segment maps in the parent is not
            // mapped here.
            std::mem::forget((backing, give_back));
            return;
        }
        {
            let mut live = live();
            // A later view at the same address stays.
            if live.get(&self.address).is_some_and(|view| view.strong_count() == 0) {
                live.remove(&self.address);
            }
        }
        match &backing {
            Some(Backing::Lent { segment, pages, span, detached })
                if detached.load(Ordering::Relaxed)
                    && span.mapping(segment).attach(&**segment, span.offset, pages.len()).is_err() =>
            {
                // The block is of no use for this process any more: it is never given back.
                std::mem::forget(give_back);
                return;
            }
            Some(Backing::Shared { .. }) => {
                SHARED.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        if let Some(give_back) = give_back {
            give_back();
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("address", &self.address).field("size", &self.size).finish_non_exhaustive()
    }
}

/// Makes all that this process sees in place its own, so that a child that is forked next keeps it, whatever happens to
/// the blocks: call it before each fork. What processes share on purpose stays shared.
///
/// # Errors
/// The system's, the first: most likely no memory left.
pub fn detach_all() -> Result<()> {
    views().into_iter().map(|view| view.detach()).fold(Ok(()), Result::and)
}

/// Gives the memory of a segment back to the system from `start` to `end`, but for what this process still sees in place: its
/// lender has ended.
pub fn forsake(segment: &Arc<Segment>, start: usize, end: usize) {
    let mut kept: Vec<Range<usize>> = Vec::new();
    for view in views() {
        if let Some(Backing::Lent { segment: its, pages, .. }) = &view.backing
            && Arc::ptr_eq(its, segment)
        {
            kept.push(pages.clone());
        }
    }
    kept.sort_by_key(|pages| pages.start);
    let mut from = start;
    for pages in kept {
        if pages.start > from {
            platform::release(&**segment, from, pages.start - from);
        }
        from = from.max(pages.end);
    }
    if end > from {
        platform::release(&**segment, from, end - from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_memory::{copy_in, copy_out};
    use std::sync::atomic::AtomicU32;

    const PAGE: usize = 4096;

    fn segment() -> Arc<Segment> {
        Arc::new(Segment::create("test", 16 * PAGE, true).unwrap())
    }

    fn text(segment: &Segment, offset: usize) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(copy_out(segment.mapping(), offset, 2, &mut out));
        out
    }

    #[test]
    fn a_view_gives_back_once_when_the_last_holder_drops_it() {
        let given = Arc::new(AtomicU32::new(0));
        let count = given.clone();
        let give_back = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let view = View::lent(segment(), 2 * PAGE + 64, 5000, give_back).unwrap();
        let second = view.clone();
        drop(view);
        assert_eq!(given.load(Ordering::Relaxed), 0);
        drop(second);
        assert_eq!(given.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_view_outside_of_its_segment_does_not_exist() {
        assert!(View::lent(segment(), 15 * PAGE, PAGE + 1, Box::new(|| ())).is_err());
        assert!(View::copied(&segment(), usize::MAX, 2, Box::new(|| ())).is_err());
    }

    #[test]
    fn what_is_owned_is_written_for_this_process_alone() {
        let shared = View::create(3 * PAGE).unwrap();
        let Some(Backing::Shared { segment, .. }) = &shared.backing else { panic!() };
        assert!(copy_in(segment.mapping(), PAGE + 8, b"ab"));
        let (own, offset) = View::own(shared.address() + PAGE + 8, 100).unwrap().unwrap();
        let Some(Backing::Copied { pages, .. }) = &own.backing else { panic!() };
        assert_eq!((offset, own.size()), (0, 100));
        assert!(copy_in(pages, 8, b"cd"));
        assert_eq!(text(segment, PAGE + 8), b"ab");
        let (again, offset) = View::own(own.address() + 4, 10).unwrap().unwrap();
        assert!(Arc::ptr_eq(&again, &own) && offset == 4);
        assert!(View::own(shared.address() + PAGE, 3 * PAGE).unwrap().is_none());
    }

    #[test]
    fn what_is_detached_no_longer_follows_the_segment_until_it_is_dropped() {
        let segment = segment();
        assert!(copy_in(segment.mapping(), 2 * PAGE, b"ab"));
        let view = View::lent(segment.clone(), 2 * PAGE, 100, Box::new(|| ())).unwrap();
        view.detach().unwrap();
        let elsewhere = Mapping::new(&*segment, 0, 16 * PAGE, false).unwrap();
        assert!(copy_in(&elsewhere, 2 * PAGE, b"cd"));
        assert_eq!(text(&segment, 2 * PAGE), b"ab");
        drop(view);
        assert_eq!(text(&segment, 2 * PAGE), b"cd");
    }

    #[test]
    fn a_view_far_from_the_beginning_is_detached_and_attached_like_any_other() {
        let size = 1 << 40;
        let segment = Arc::new(Segment::create_sparse("test", PAGE, size).unwrap());
        let read = |offset| {
            let mut out = Vec::new();
            segment.read(offset, 2, &mut out).unwrap();
            out
        };
        for block in [200 << 20, size - (64 << 20)] {
            segment.write(block + 64, &[b"ab"]).unwrap();
            let view = View::lent(segment.clone(), block + 64, 3 << 20, Box::new(|| ())).unwrap();
            view.detach().unwrap();
            let elsewhere = Mapping::new(&*segment, block as u64, PAGE, false).unwrap();
            assert!(copy_in(&elsewhere, 64, b"cd"));
            assert_eq!(read(block + 64), b"ab");
            drop(view);
            assert_eq!(read(block + 64), b"cd");
            let copied = View::copied(&segment, block + 64, 2, Box::new(|| ())).unwrap();
            assert_eq!(copied.size(), 2);
        }
    }

    #[test]
    fn a_shared_view_is_found_by_address_and_by_place() {
        let view = View::create(3 * PAGE).unwrap();
        let (found, place) = View::around(view.address() + 10, 20).unwrap();
        assert!(Arc::ptr_eq(&found, &view) && (place.offset, place.size) == (10, 20));
        assert!(Arc::ptr_eq(&View::find(&place).unwrap(), &view));
        assert!(View::around(view.address() + 10, 3 * PAGE).is_none());
        assert!(View::find(&Place { inode: place.inode + 1, ..place }).is_err());
        assert!(View::find(&Place { size: u64::MAX, ..place }).is_err());
    }

    #[test]
    fn of_a_forsaken_segment_only_what_is_seen_stays() {
        let segment = segment();
        for page in 0..16 {
            assert!(copy_in(segment.mapping(), page * PAGE, b"ab"));
        }
        let _view = View::lent(segment.clone(), 5 * PAGE + 64, 100, Box::new(|| ())).unwrap();
        forsake(&segment, PAGE, segment.size());
        let kept: Vec<usize> = (0..16).filter(|page| text(&segment, page * PAGE) == b"ab").collect();
        assert_eq!(kept, [0, 5]);
    }
}
