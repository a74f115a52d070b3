//! The mask of a thread as a number, who decides what SIGTERM and SIGHUP mean, and whose SIGINT counts.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, getpid, kill_process};

use super::SignalGuard;
use crate::error::{Error, Result};

/// Of a thread that sleeps and sends.
const STACK_BYTES: usize = 64 * 1024;
/// How many signals there are.
const SIGNALS: c_int = 64;
/// The two that ask a whole service, container, job or terminal to end.
const TERMINATIONS: [c_int; 2] = [libc::SIGTERM, libc::SIGHUP];

/// The bit of a signal in a mask.
const fn bit(number: c_int) -> u64 {
    1 << (number - 1)
}

/// The signals that the calling thread blocks, as a bit each: that of signal 1 is the lowest.
pub fn signal_mask() -> u64 {
    // SAFETY: the set is plain memory that the call fills; a null pointer changes nothing.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &mut set);
        set
    };
    // SAFETY: reads the set, which was filled.
    (1..=SIGNALS).filter(|number| unsafe { libc::sigismember(&set, *number) } == 1).map(bit).sum()
}

/// Makes `mask` the signals that the calling thread blocks.
pub fn set_signal_mask(mask: u64) {
    // SAFETY: the set is plain memory that the first calls fill; the mask is that of this thread alone.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for number in numbers_in(mask) {
            libc::sigaddset(&mut set, number);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// The numbers of the signals in a mask.
pub(super) fn numbers_in(mask: u64) -> impl Iterator<Item = c_int> {
    (1..=SIGNALS).filter(move |number| mask & bit(*number) != 0)
}

/// The process that is asked first, and the one that asks.
static PARENT: AtomicI32 = AtomicI32::new(0);
static OWN: AtomicI32 = AtomicI32::new(0);

/// Leaves SIGTERM and SIGHUP to `parent` from now on, as far as it has taken them over: it handles, ignores or awaits them.
/// Then they do nothing here, unless they come from `parent` or from this process; otherwise they end it, as usual.
///
/// Whoever stops a service or a container sends them to all of its processes at once, and the parent that drains needs its
/// workers. What the parent does is read when a signal comes. A program that sets a handler of its own undoes this, and a
/// process that is forked from here does not have it.
///
/// # Errors
/// The system's.
pub fn leave_termination_to(parent: i32) -> Result<()> {
    PARENT.store(parent, Ordering::Relaxed);
    OWN.store(getpid().as_raw_nonzero().get(), Ordering::Relaxed);
    for number in TERMINATIONS {
        // SAFETY:
        //   * all zero bytes are a value of this plain C type: an empty mask and no flags;
        //   * the handler has the signature that SA_SIGINFO asks for, and calls nothing that a signal may not interrupt.
        let failure = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_termination as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigaction(number, &action, std::ptr::null_mut())
        };
        if failure != 0 {
            return Err(Error::last_os("sigaction"));
        }
    }
    Ok(())
}

/// Gives SIGTERM and SIGHUP their default meaning.
#[cfg(not(loom))]
pub(crate) fn heed_termination() {
    TERMINATIONS.into_iter().for_each(set_default);
}

fn set_default(number: c_int) {
    // SAFETY: sets a disposition; no handler is involved. The call is one that a handler may make.
    unsafe { libc::signal(number, libc::SIG_DFL) };
}

/// Runs in the middle of anything: makes system calls only, and these by rustix, which leaves `errno` alone.
extern "C" fn on_termination(number: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    let own = getpid().as_raw_nonzero().get();
    let parent = PARENT.load(Ordering::Relaxed);
    // SAFETY: the kernel gives the handler a record that is there until it returns.
    let sender = unsafe { sender_of(info) };
    let is_meant = own != OWN.load(Ordering::Relaxed) || sender == own || sender == parent;
    if is_meant || !has_taken_over(parent, number) {
        set_default(number);
        // Blocked while this runs, so that it comes at the end.
        if let (Some(own), Some(number)) = (Pid::from_raw(own), Signal::from_named_raw(number)) {
            let _ = kill_process(own, number);
        }
    }
}

/// The process that a signal comes from; 0 is the kernel, as when a terminal is closed.
///
/// # Safety
/// `info` is the record that the kernel gave to a handler, which has not returned.
unsafe fn sender_of(info: *const libc::siginfo_t) -> i32 {
    // SAFETY: the record is there; of what a process has sent, its id is part.
    unsafe {
        match (*info).si_code {
            libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => (*info).si_pid(),
            _ => 0,
        }
    }
}

/// Sends this process a signal in a while, from a thread that ends with that.
///
/// # Errors
/// The system's: no thread.
pub fn signal_later(number: i32, pause: Duration) -> Result<()> {
    let _blocked = SignalGuard::block_all(); // the new thread inherits the mask: signals are for the program's threads
    let send = move || {
        std::thread::sleep(pause);
        // SAFETY: a system call that takes numbers.
        unsafe { libc::kill(libc::getpid(), number) };
    };
    match std::thread::Builder::new().stack_size(STACK_BYTES).spawn(send) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::os("a thread to send a signal", e.raw_os_error().unwrap_or(0))),
    }
}

/// The handler of SIGINT that is behind ours: of the interpreter.
static INTERRUPTED: AtomicUsize = AtomicUsize::new(0);

/// Has the handler of SIGINT that there is now called for a SIGINT of this process's own only; returns whether that was so before.
///
/// Ctrl-C reaches every process of a terminal, and so its parent, who decides what it means here; what a process sends to
/// itself is meant for itself. A handler that the program sets by the system's means takes the place of this.
///
/// # Errors
/// The system's.
pub fn heed_own_interrupts() -> Result<bool> {
    let ours = on_interrupt as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    // SAFETY:
    //   * all zero bytes are a value of this plain C type, which the first call fills;
    //   * the handler has the signature that SA_SIGINFO asks for;
    //   * only a handler of the simple kind is put behind it: one function of a number.
    let failure = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGINT, std::ptr::null(), &mut action);
        if action.sa_sigaction == ours {
            return Ok(true);
        }
        let is_simple = action.sa_flags & libc::SA_SIGINFO == 0;
        if !is_simple || [libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction) {
            return Ok(false);
        }
        INTERRUPTED.store(action.sa_sigaction, Ordering::Relaxed);
        action.sa_sigaction = ours;
        action.sa_flags |= libc::SA_SIGINFO;
        libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut())
    };
    if failure == 0 { Ok(false) } else { Err(Error::last_os("sigaction")) }
}

/// Runs in the middle of anything, and makes one system call that leaves `errno` alone.
extern "C" fn on_interrupt(number: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    let behind = INTERRUPTED.load(Ordering::Relaxed);
    // SAFETY: the kernel gives the handler a record that is there until it returns.
    let sender = unsafe { sender_of(info) };
    if behind != 0 && sender == getpid().as_raw_nonzero().get() {
        // SAFETY: it was the handler before this one, of the kind that takes a number; handlers are not taken away.
        let behind = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(behind) };
        behind(number);
    }
}

/// Whether a process does anything else on a signal than to end. What cannot be read counts as taken over: should
/// the process end, so does this one.
fn has_taken_over(process: i32, number: c_int) -> bool {
    let mut path = [0; 24];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path_of_status(process, &mut path), flags, Mode::empty()) else { return true };
    let mut text = [0; 4096];
    let mut size = 0;
    while let Ok(read @ 1..) = rustix::io::read(&file, &mut text[size..]) {
        size += read;
    }
    takes_over(&text[..size], number).unwrap_or(true)
}

/// `/proc/PROCESS/status`, in room of the caller's: nothing may be allocated.
fn path_of_status(process: i32, room: &mut [u8; 24]) -> &[u8] {
    let mut digits = [0; 10];
    let (mut at, mut rest) = (digits.len(), process.unsigned_abs());
    while at == digits.len() || rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut size = 0;
    for part in [b"/proc/".as_slice(), &digits[at..], b"/status"] {
        room[size..size + part.len()].copy_from_slice(part);
        size += part.len();
    }
    &room[..size]
}

/// The same of the text of such a file; none if it says nothing of it.
fn takes_over(status: &[u8], number: c_int) -> Option<bool> {
    let mask = |name: &[u8]| {
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(std::str::from_utf8(line.trim_ascii()).ok()?, 16).ok()
    };
    let (blocked, ignored, caught) = (mask(b"SigBlk:")?, mask(b"SigIgn:")?, mask(b"SigCgt:")?);
    // Whoever blocks everything does so for a moment, and not to wait for this.
    let awaited = if blocked & bit(libc::SIGSEGV) == 0 { blocked } else { 0 };
    Some((ignored | caught | awaited) & bit(number) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_a_thread_is_a_number() {
        let before = signal_mask();
        let mask = bit(libc::SIGUSR1) | bit(libc::SIGRTMAX());
        set_signal_mask(mask);
        assert_eq!(signal_mask(), mask);
        set_signal_mask(before);
        assert_eq!(signal_mask(), before);
    }

    #[test]
    fn who_ignores_interrupts_or_dies_of_them_still_does() {
        // Of another thread's making there may be a handler; a test process has none.
        assert!(!heed_own_interrupts().unwrap());
        assert!(!heed_own_interrupts().unwrap());
    }

    #[test]
    fn a_process_takes_a_signal_over_by_handling_ignoring_or_awaiting_it() {
        let status = |blocked: u64, ignored: u64, caught: u64| {
            format!("Name:\tx\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\nCapInh:\t0\n")
        };
        let takes = |text: String| takes_over(text.as_bytes(), libc::SIGTERM);
        let term = bit(libc::SIGTERM);
        assert_eq!(takes(status(0, 0, 0)), Some(false));
        assert_eq!(takes(status(term, 0, 0)), Some(true));
        assert_eq!(takes(status(u64::MAX, 0, 0)), Some(false));
        assert_eq!(takes(status(0, term, 0)), Some(true));
        assert_eq!(takes(status(0, !term, term)), Some(true));
        assert_eq!(takes("Name:\tx\n".into()), None);
    }

    #[test]
    fn the_file_about_a_process_has_its_number_in_its_name() {
        for number in [1, 70, i32::MAX] {
            let expected = format!("/proc/{number}/status");
            assert_eq!(path_of_status(number, &mut [0; 24]), expected.as_bytes());
        }
        assert!(!has_taken_over(getpid().as_raw_nonzero().get(), libc::SIGXCPU));
    }
}
