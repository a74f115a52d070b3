//! Who a process is, so that another can tell whether it still lives.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use rustix::process::Pid;

/// The bits of a process's number within its identity: Linux numbers stay below 2^22.
const PID_BITS: u32 = 22;
const PID_MASK: u64 = (1 << PID_BITS) - 1;

static IDENTITY: AtomicU64 = AtomicU64::new(0);
/// How many forks lie behind this process: those of its ancestors, and its own.
static FORKS: AtomicU32 = AtomicU32::new(0);
static WATCHES_FORK: AtomicBool = AtomicBool::new(false);

extern "C" fn forked_in_parent() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// To be called in a process that was just forked, unless the C library does so.
pub(super) extern "C" fn forked_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    IDENTITY.store(0, Ordering::Relaxed);
    super::life::forked();
}

/// This process: its number in the low 22 bits, its start time in the high half, bits 22 to 31 zero.
///
/// A number is given out again after its process ended; number and start time together are not.
#[inline]
pub fn identity() -> u64 {
    match IDENTITY.load(Ordering::Relaxed) {
        0 => find_identity(),
        known => known,
    }
}

#[cold]
fn find_identity() -> u64 {
    watch_fork();
    let me = identity_of(rustix::process::getpid().as_raw_nonzero().get() as u32);
    IDENTITY.store(me, Ordering::Relaxed);
    me
}

pub(super) fn watch_fork() {
    // Not marked before it is done: a thread that finds the mark relies on the handlers, and forks perhaps. Two that do it
    // at once count forks twice, which is as good.
    if !WATCHES_FORK.load(Ordering::Acquire) {
        // SAFETY: the handlers only change atomics, which is allowed between fork and exec; they are never unloaded,
        // as an extension module stays in its process.
        unsafe { libc::pthread_atfork(None, Some(forked_in_parent), Some(forked_in_child)) };
        WATCHES_FORK.store(true, Ordering::Release);
    }
}

/// The [`identity`] of the process that has this number now.
pub fn identity_of(pid: u32) -> u64 {
    let pid = u64::from(pid) & PID_MASK;
    pid | stat_of(pid).map_or(0, |stat| u64::from(stat.start)) << 32
}

/// A number that changes in parent and child with every fork; what was made before has been seen by two processes.
#[inline]
pub fn forks() -> u32 {
    if IDENTITY.load(Ordering::Relaxed) == 0 {
        find_identity();
    }
    FORKS.load(Ordering::Relaxed)
}

/// How many threads this process has; none where the system does not tell.
pub fn threads() -> Option<u64> {
    std::fs::metadata("/proc/self/task").ok()?.nlink().checked_sub(2)
}

/// The calling thread's number, unique among the threads of the process that live, and never zero.
#[inline]
pub fn thread_id() -> u64 {
    // The C library's name of the thread is one load; the kernel's would be a call, or a thread-local that fork changes.
    // SAFETY: the function only reads what every thread has.
    unsafe { libc::pthread_self() as u64 }
}

/// The number of the process with this [`identity`].
pub fn pid_of(identity: u64) -> u32 {
    (identity & PID_MASK) as u32
}

/// Whether the process with this [`identity`] still runs. A zombie does not.
pub fn is_alive(identity: u64) -> bool {
    let pid = u64::from(pid_of(identity));
    let start = (identity >> 32) as u32;
    match stat_of(pid) {
        Some(stat) => !stat.ended && (start == 0 || stat.start == start),
        // Perhaps /proc is missing or hides others' processes: only the kernel's own word counts then.
        None => match Pid::from_raw(pid as i32) {
            Some(pid) => rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH),
            None => false,
        },
    }
}

struct Stat {
    ended: bool,
    start: u32,
}

fn stat_of(pid: u64) -> Option<Stat> {
    // The whole line is shorter than this, and comes in one read.
    let mut text = [0; 1024];
    let read = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut text).ok()?;
    let text = &text[..read];
    // The command's name, in parentheses, may hold anything; what follows the last one are plain numbers.
    let tail = &text[text.iter().rposition(|&b| b == b')')? + 1..];
    let fields: Vec<&str> = std::str::from_utf8(tail).ok()?.split_ascii_whitespace().collect();
    let threads: u32 = fields.get(17)?.parse().ok()?;
    let start: u64 = fields.get(19)?.parse().ok()?;
    // The first thread of a process may end before the others.
    let ended = matches!(*fields.first()?, "X" | "x") || (*fields.first()? == "Z" && threads <= 1);
    Some(Stat { ended, start: start as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_a_recycled_number_is_not_it() {
        assert!(is_alive(identity()));
        assert!(!is_alive(identity() ^ 1 << 32));
        assert_ne!(thread_id(), 0);
        assert_eq!(identity() as u32 >> PID_BITS, 0);
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = u64::from(child.id());
        let who = pid | u64::from(stat_of(pid).unwrap().start) << 32;
        assert!(is_alive(who));
        child.kill().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_alive(who) && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        assert!(!is_alive(who));
        child.wait().unwrap();
        assert!(!is_alive(who));
    }
}
