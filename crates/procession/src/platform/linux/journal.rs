//! A file that several processes add to, and what the system counts of a thread's time.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

/// A file that is only added to: what was added stays, whoever dies when.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// The file of that name, which begins with `head`; with none it is there already, and is added to.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, head: Option<&[u8]>) -> Result<Journal> {
        let failed = |error: std::io::Error| Error::os("open", error.raw_os_error().unwrap_or(0));
        if let Some(head) = head {
            std::fs::write(path, head).map_err(failed)?;
        }
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        Ok(Journal { file })
    }

    /// Adds `bytes`, behind what others have added meanwhile.
    ///
    /// # Errors
    /// The system's, such as that the disk is full.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::os("write", error.raw_os_error().unwrap_or(0)))
    }
}

/// The times of the thread that opened it: on a CPU, and in line for one.
#[derive(Debug)]
pub struct CpuTimes {
    file: File,
}

impl CpuTimes {
    /// Those of this thread; none where the system does not count them.
    pub fn of_this_thread() -> Option<CpuTimes> {
        let times = CpuTimes { file: File::open("/proc/thread-self/schedstat").ok()? };
        times.read().is_some_and(|(ran, _)| ran > 0).then_some(times)
    }

    /// Both up to now, in nanoseconds. Takes a microsecond.
    pub fn read(&self) -> Option<(u64, u64)> {
        let mut bytes = [0; 64];
        let size = self.file.read_at(&mut bytes, 0).ok()?;
        let mut numbers = std::str::from_utf8(&bytes[..size]).ok()?.split_ascii_whitespace();
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_add_stands_in_a_row_behind_the_head() {
        let path = std::env::temp_dir().join(format!("procession-journal-{}", std::process::id()));
        let mut first = Journal::open(&path, Some(b"head\n")).unwrap();
        let mut second = Journal::open(&path, None).unwrap();
        first.add(b"a").unwrap();
        second.add(b"b").unwrap();
        first.add(b"c").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"head\nabc");
        std::fs::remove_file(&path).unwrap();
        assert!(Journal::open(&path, None).is_err());
    }

    #[test]
    fn a_thread_that_computes_uses_time_on_a_cpu() {
        // Some systems do not count.
        let Some(times) = CpuTimes::of_this_thread() else { return };
        let (before, _) = times.read().unwrap();
        while times.read().unwrap().0 == before {
            std::hint::black_box((0..10_000u64).sum::<u64>());
        }
    }
}
