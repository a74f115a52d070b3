//! How a function is named between two processes of the same executable, and how a child is caught before `main`.
//!
//! A `Mark` is a constant of the executable. Its distance from the place where the executable was loaded is the same in
//! every process that runs it, whatever the addresses are.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ops::Range;
use std::sync::OnceLock;

const MAGIC: u64 = 0x70_72_6f_63_a5_5e_10_4e;

/// A constant that can be found again by its distance from the start of the executable.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Mark<T: 'static> {
    magic: u64,
    size: usize,
    value: T,
}

impl<T> Mark<T> {
    /// A mark around `value`; meant for constants that are promoted to statics.
    pub(crate) const fn new(value: T) -> Mark<T> {
        Mark { magic: MAGIC, size: size_of::<T>(), value }
    }

    /// What is marked.
    pub(crate) fn value(&self) -> &T {
        &self.value
    }
}

/// Where the executable was loaded, and which of its bytes can be read.
#[derive(Debug)]
struct Executable {
    base: usize,
    parts: Vec<Range<usize>>,
}

unsafe extern "C" fn first_object(info: *mut libc::dl_phdr_info, _: usize, into: *mut libc::c_void) -> c_int {
    // SAFETY:
    //   * the loader calls this with a valid `info` and with the `into` of `executable`, which outlives the call;
    //   * `dlpi_phdr` points to `dlpi_phnum` headers, which stay while the executable runs.
    unsafe {
        let into = &mut *into.cast::<Executable>();
        let info = &*info;
        into.base = info.dlpi_addr as usize;
        for header in std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) {
            if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_R != 0 {
                let start = into.base.wrapping_add(header.p_vaddr as usize);
                into.parts.push(start..start.saturating_add(header.p_memsz as usize));
            }
        }
    }
    // The first object is the executable itself; the others are of no interest.
    1
}

fn executable() -> &'static Executable {
    static KNOWN: OnceLock<Executable> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let mut found = Executable { base: 0, parts: Vec::new() };
        // SAFETY: `first_object` treats its last argument as the `Executable` that it is, during this call only.
        unsafe { libc::dl_iterate_phdr(Some(first_object), std::ptr::from_mut(&mut found).cast()) };
        found
    })
}

fn holds(start: usize, size: usize) -> bool {
    let Some(end) = start.checked_add(size) else { return false };
    executable().parts.iter().any(|part| part.start <= start && end <= part.end)
}

/// The distance of a mark from the start of the executable; none if it belongs to a library that was loaded.
pub(crate) fn distance_of<T>(mark: &'static Mark<T>) -> Option<u64> {
    let place = std::ptr::from_ref(mark) as usize;
    holds(place, size_of::<Mark<T>>()).then(|| place.wrapping_sub(executable().base) as u64)
}

/// The mark at a distance that [`distance_of`] gave in another process of the same executable, or none.
///
/// Use it with one type of mark only: the magic number tells marks from other bytes, not marks from each other.
pub(crate) fn mark_at<T: 'static>(distance: u64) -> Option<&'static Mark<T>> {
    let place = executable().base.wrapping_add(usize::try_from(distance).ok()?);
    if !place.is_multiple_of(align_of::<Mark<T>>()) || !holds(place, size_of::<Mark<T>>()) {
        return None;
    }
    let start = place as *const Mark<T>;
    // SAFETY:
    //   * readable, in bounds and aligned: checked above, and the parts of an executable are never unmapped;
    //   * `magic` and `size`, which lead a mark (`repr(C)`), are plain numbers.
    let (magic, size) = unsafe { ((*start).magic, (*start).size) };
    if magic != MAGIC || size != size_of::<T>() {
        return None;
    }
    // SAFETY: as above; these bytes are a mark by their magic number, and marks are constants.
    Some(unsafe { &*start })
}

/// A value of a type without bytes, such as that of a function, which crosses as its type alone.
///
/// For code that is only reached through a mark that was sent by a process that had such a value.
pub(crate) fn conjure<F: Copy + 'static>() -> F {
    const {
        assert!(
            size_of::<F>() == 0,
            "procession: this closure captures variables, and only a function's type crosses to another process; \
             pass what it needs as its argument, or to every call with `Pool::with`"
        );
    }
    // SAFETY:
    //   * the value has no bytes: asserted above; a dangling aligned pointer may be read for none;
    //   * such a value exists: the parent had one, which it gave to make the mark; and `F` is `Copy`, so another is allowed.
    unsafe { std::ptr::NonNull::<F>::dangling().read() }
}

/// Takes the variable `name` out of the environment.
pub(crate) fn take_variable(name: &str) -> Option<std::ffi::OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: the one caller is the start of a child, which has one thread.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

/// What Rust's runtime does before `main` and a child that never gets there misses: writing to a pipe that nobody reads
/// is an error, and no signal.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: sets a disposition; no handler is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Runs the function named, `extern "C" fn()`, when the executable has been loaded, before `main`.
#[cfg(feature = "pre-main")]
macro_rules! before_main {
    ($function:path) => {
        #[used]
        #[allow(unsafe_code)]
        // SAFETY: the section holds pointers to functions of this type, each called once; the executable's libraries
        // are initialised by then, Rust's own arguments too, as their entry has a priority and this one has none.
        #[unsafe(link_section = ".init_array")]
        static BEFORE_MAIN: extern "C" fn() = $function;
    };
}
#[cfg(feature = "pre-main")]
pub(crate) use before_main;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &Mark<u32> = &Mark::new(7);

    #[test]
    fn a_mark_is_found_again_by_its_distance() {
        let distance = distance_of(ONE).unwrap();
        assert_eq!(mark_at::<u32>(distance).map(|mark| *mark.value()), Some(7));
    }

    #[test]
    fn other_places_are_no_marks() {
        let distance = distance_of(ONE).unwrap();
        for wrong in [distance + 8, distance + 1, 0, u64::MAX, 1 << 40] {
            assert!(mark_at::<u32>(wrong).is_none());
        }
        assert!(mark_at::<u64>(distance).is_none() || size_of::<u64>() == size_of::<u32>());
    }

    #[test]
    fn memory_of_the_heap_is_not_the_executable() {
        let mark: &'static Mark<u32> = Box::leak(Box::new(Mark::new(1)));
        assert!(distance_of(mark).is_none());
    }
}
