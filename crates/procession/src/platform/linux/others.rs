//! Looking at other processes: which there are, what they have open, how they use the machine. Nothing of it changes or stops them.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::clock::ticks_a_second;
use super::memory_of;
use crate::error::{Error, ErrorKind, Result};

/// What the kernel says of a process to everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Its user.
    pub user: u32,
    /// Its numbers: the one here, then those in each container that it is within.
    pub numbers: Vec<u32>,
    /// Which signals it has handlers for: signal 1 is the lowest bit.
    pub caught: u64,
}

/// What a process uses of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// A letter: R runs or is in line, S waits, D waits in the disk, T is stopped, Z has ended.
    pub state: u8,
    /// The time of all its threads on a CPU.
    pub cpu: Duration,
    /// The time of its first thread on a CPU.
    pub ran: Duration,
    /// The time of its first thread in line for one.
    pub in_line: Duration,
    /// The bytes of memory that it has at hand.
    pub resident: u64,
}

/// The numbers of all processes that can be seen.
pub fn processes() -> Vec<u32> {
    numbers_in("/proc")
}

fn numbers_in(folder: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The memory files that a process has open: their descriptors there, and the names that they were given. None where it is not
/// to be looked at by this one.
///
/// # Errors
/// The system's, among them that it has ended.
pub fn memory_files_of(pid: u32) -> Result<Option<Vec<(u32, String)>>> {
    let folder = format!("/proc/{pid}/fd");
    let failed = |error: std::io::Error| Error::os("readdir", error.raw_os_error().unwrap_or(0));
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(None),
        answer => answer.map_err(failed)?,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        // A descriptor that is closed meanwhile is none.
        let Ok(target) = rustix::fs::readlink(format!("{folder}/{}", name.to_string_lossy()), Vec::new()) else {
            continue;
        };
        let target = target.to_string_lossy();
        let Some(label) = target.strip_prefix("/memfd:") else { continue };
        if let Some(number) = name.to_str().and_then(|name| name.parse().ok()) {
            found.push((number, label.trim_end_matches(" (deleted)").to_owned()));
        }
    }
    Ok(Some(found))
}

/// The memory file that process `pid` has open as `number`, to be read only.
///
/// # Errors
/// The system's: the process is gone, has closed it, or is not to be looked at by this one.
pub fn look_into(pid: u32, number: u32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/fd/{number}");
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    opened.map_err(|error| Error::os("open", error.raw_os_error()))
}

/// Where the next write of process `pid` to its descriptor `number` begins that gives no place.
///
/// # Errors
/// The system's, as of [`look_into`].
pub fn position_of(pid: u32, number: u32) -> Result<u64> {
    let text = text_of(&format!("/proc/{pid}/fdinfo/{number}"))?;
    let position = text.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok());
    position.ok_or_else(|| Error::new(ErrorKind::Protocol, "a descriptor without a position"))
}

fn text_of(path: &str) -> Result<String> {
    let failed = |error: std::io::Error| Error::os("read", error.raw_os_error().unwrap_or(0));
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(1 << 16).read_to_end(&mut bytes).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the kernel says of process `pid`; none when it has ended.
pub fn traits_of(pid: u32) -> Option<Traits> {
    let text = text_of(&format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let numbers =
        field("NSpid:").map_or_else(|| vec![pid], |all| all.split_ascii_whitespace().flat_map(str::parse).collect());
    Some(Traits {
        user: field("Uid:")?.split_ascii_whitespace().next()?.parse().ok()?,
        numbers,
        caught: u64::from_str_radix(field("SigCgt:")?.trim(), 16).ok()?,
    })
}

/// The process here that has this number in the container of `neighbour`; none if there is none that can be seen.
pub fn process_within(neighbour: u32, number: u32) -> Option<u32> {
    let container = |pid: u32| rustix::fs::readlink(format!("/proc/{pid}/ns/pid"), Vec::new()).ok();
    let its = container(neighbour)?;
    let is_it = |pid: &u32| traits_of(*pid).is_some_and(|traits| traits.numbers.last() == Some(&number));
    processes().into_iter().filter(|pid| container(*pid).as_ref() == Some(&its)).find(is_it)
}

/// The user of this process.
pub fn own_user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// What process `pid` uses; nothing when it has ended.
pub fn usage_of(pid: u32) -> Usage {
    let stat = text_of(&format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, tail)) = stat.rsplit_once(')') else { return Usage::default() };
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let schedstat = text_of(&format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let mut times = schedstat.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0));
    let mut next = || Duration::from_nanos(times.next().unwrap_or(0));
    let (ran, in_line) = (next(), next());
    let second = ticks_a_second();
    Usage {
        state: fields.first().and_then(|field| field.bytes().next()).unwrap_or(b'Z'),
        cpu: Duration::from_secs_f64((ticks(11) + ticks(12)) as f64 / second as f64),
        ran,
        in_line,
        resident: memory_of(pid).resident,
    }
}

/// Gives the calling thread a name, of which the system keeps fifteen bytes: what `ps` shows where it is a process's first.
pub fn name_thread(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::super::{memory_file, read_at, set_position};
    use super::*;

    #[test]
    fn a_memory_file_is_found_and_read_and_not_changed() {
        let file = memory_file("procession-look", 4096, true).unwrap();
        set_position(&file, 77).unwrap();
        let (me, number) = (std::process::id(), file.as_raw_fd() as u32);
        assert!(processes().contains(&me));
        assert!(memory_files_of(me).unwrap().unwrap().contains(&(number, "procession-look".to_owned())));
        let copy = look_into(me, number).unwrap();
        assert!(read_at(&copy, 0, &mut [0; 64]).is_ok());
        assert!(rustix::io::pwrite(&copy, b"x", 0).is_err());
        assert_eq!(position_of(me, number).unwrap(), 77);
        assert!(memory_files_of(u32::MAX >> 1).is_err() && look_into(me, 1 << 20).is_err());
    }

    #[test]
    fn of_this_process_much_is_known_and_of_none_nothing() {
        let me = std::process::id();
        let traits = traits_of(me).unwrap();
        assert_eq!((traits.user, traits.numbers[0]), (own_user(), me));
        assert_eq!(process_within(me, *traits.numbers.last().unwrap()), Some(me));
        let usage = usage_of(me);
        assert!(usage.resident > 0 && usage.state.is_ascii_uppercase());
        assert_eq!((traits_of(u32::MAX >> 1), usage_of(u32::MAX >> 1)), (None, Usage::default()));
    }
}
