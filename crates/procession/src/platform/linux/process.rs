//! Starting another program with exactly the descriptors it is meant to have; ending this one.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

#[cfg(not(loom))]
use super::fork::fill_standard_streams;
use super::signals::numbers_in;
use crate::error::{Error, Result};

/// The first number that [`spawn`] gives to a listed descriptor; 0, 1 and 2 are the standard streams.
pub const FIRST_DESCRIPTOR: RawFd = 3;

type AddCloseFrom = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int;

/// `file`, but with a number that is no standard stream's: in a program that has closed some of these, whatever writes to
/// them would write into it, and children would take it for theirs. From then on something harmless has their numbers.
///
/// # Errors
/// The system's.
pub fn above_streams(file: OwnedFd) -> Result<OwnedFd> {
    if file.as_raw_fd() >= FIRST_DESCRIPTOR {
        return Ok(file);
    }
    let copy = duplicate(file.as_raw_fd(), FIRST_DESCRIPTOR)?;
    drop(file);
    #[cfg(not(loom))]
    fill_standard_streams();
    Ok(copy)
}

/// A copy of `file` whose number is `at_least` or more, and no standard stream's, closed on exec.
///
/// # Errors
/// The system's, among them that `file` is not open.
pub fn duplicate(file: RawFd, at_least: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC reads no memory; a number that is not open is an error of the call.
    let copy = unsafe { libc::fcntl(file, libc::F_DUPFD_CLOEXEC, at_least.max(FIRST_DESCRIPTOR)) };
    if copy < 0 {
        return Err(Error::last_os("fcntl(F_DUPFD_CLOEXEC)"));
    }
    // SAFETY: the kernel has just made this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Runs `program` in a new process and gives its id.
///
/// Its descriptors are the standard streams and copies of `descriptors`, numbered from [`FIRST_DESCRIPTOR`] in the order
/// given; every other one is closed. Signals have their default dispositions, and those in the mask `blocked` are
/// blocked: see [`super::signal_mask`]. A program that is not yet ready for some can let them through later.
///
/// # Errors
/// The system's, among them that the program is not there or may not be run.
pub fn spawn(
    program: &CStr,
    arguments: &[CString],
    environment: &[CString],
    descriptors: &[RawFd],
    blocked: u64,
) -> Result<i32> {
    let end = FIRST_DESCRIPTOR + descriptors.len() as RawFd;
    // Above all numbers that the child gets, so that no copy made there overwrites one that is still to be made.
    let copies = descriptors.iter().map(|file| duplicate(*file, end)).collect::<Result<Vec<_>>>()?;
    let mut actions = Actions::new()?;
    for (number, copy) in (FIRST_DESCRIPTOR..).zip(&copies) {
        actions.place(copy.as_raw_fd(), number)?;
    }
    actions.close_from(end)?;
    let attributes = Attributes::new(blocked)?;
    let arguments = terminated(arguments);
    let environment = terminated(environment);
    let mut pid = 0;
    // SAFETY:
    //   * `program` ends with a NUL, both arrays end with a null pointer, and all strings outlive the call;
    //   * the actions and attributes were initialised by their constructors and are not changed by the call.
    let failure = unsafe {
        libc::posix_spawn(
            &mut pid,
            program.as_ptr(),
            &actions.0,
            &attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    if failure == libc::EPERM {
        // The C library starts programs by clone3, which filters of before 2020 refuse in this way; nothing was started.
        let numbers: Vec<RawFd> = copies.iter().map(AsRawFd::as_raw_fd).collect();
        return super::exec::spawn(program, &arguments, &environment, &numbers, blocked);
    }
    checked("posix_spawn", failure)?;
    Ok(pid)
}

/// Ends this process with `status`, of which the system keeps the lowest eight bits; nothing else runs here.
pub fn end_now(status: i32) -> ! {
    // SAFETY: does not return, and runs no handler of the C library: what others registered is the parent's in a copy of it.
    unsafe { libc::_exit(status) }
}

fn checked(what: &str, failure: c_int) -> Result<()> {
    if failure == 0 { Ok(()) } else { Err(Error::os(what, failure)) }
}

fn terminated(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|s| s.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// What the new process does to its descriptors before it runs the program.
struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> Result<Actions> {
        // SAFETY: all zero bytes are a value of this plain C type, and `init` gives it its meaning.
        let mut actions = Actions(unsafe { std::mem::zeroed() });
        // SAFETY: the pointer is to memory of the right type that lives through the call.
        checked("posix_spawn_file_actions_init", unsafe { libc::posix_spawn_file_actions_init(&mut actions.0) })?;
        Ok(actions)
    }

    fn place(&mut self, from: RawFd, to: RawFd) -> Result<()> {
        // SAFETY: the actions were initialised in `new`.
        let failure = unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, from, to) };
        checked("posix_spawn_file_actions_adddup2", failure)
    }

    fn close_from(&mut self, first: RawFd) -> Result<()> {
        // SAFETY: the name ends with a NUL.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"posix_spawn_file_actions_addclosefrom_np".as_ptr()) };
        if !found.is_null() {
            // SAFETY: glibc documents this type for the name; the actions were initialised in `new`.
            let failure = unsafe { std::mem::transmute::<*mut libc::c_void, AddCloseFrom>(found)(&mut self.0, first) };
            return checked("posix_spawn_file_actions_addclosefrom_np", failure);
        }
        // Before glibc 2.34, and on musl: close what is open now. Only what another thread opens meanwhile without
        // O_CLOEXEC slips through.
        for number in open_descriptors().into_iter().filter(|n| *n >= first) {
            // SAFETY: the actions were initialised in `new`; closing what is not open is no error there.
            let failure = unsafe { libc::posix_spawn_file_actions_addclose(&mut self.0, number) };
            checked("posix_spawn_file_actions_addclose", failure)?;
        }
        Ok(())
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

fn open_descriptors() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Default dispositions for all signals, and the mask.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(blocked: u64) -> Result<Attributes> {
        // SAFETY: all zero bytes are a value of these plain C types, and the calls below give them their meaning.
        let (mut attributes, mut all, mut mask) =
            unsafe { (Attributes(std::mem::zeroed()), std::mem::zeroed(), std::mem::zeroed()) };
        // SAFETY: every pointer is to a local of the right type that lives through its call.
        unsafe {
            checked("posix_spawnattr_init", libc::posix_spawnattr_init(&mut attributes.0))?;
            libc::sigfillset(&mut all);
            libc::sigemptyset(&mut mask);
            for signal in numbers_in(blocked) {
                libc::sigaddset(&mut mask, signal);
            }
            checked("posix_spawnattr_setsigdefault", libc::posix_spawnattr_setsigdefault(&mut attributes.0, &all))?;
            checked("posix_spawnattr_setsigmask", libc::posix_spawnattr_setsigmask(&mut attributes.0, &mask))?;
            let flags = (libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK) as libc::c_short;
            checked("posix_spawnattr_setflags", libc::posix_spawnattr_setflags(&mut attributes.0, flags))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}
