//! `Recording`: what pools did, in a file that `procession report` reads.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::error::Result;
use crate::platform::{self, local_now, monotonic_now};
use crate::pool::timeline;

/// What a file begins with; `python/procession/_report/file.py` reads it.
const HEAD: &str = "procession recording 1 ";
/// Shorter tasks that follow each other are one row.
const RESOLUTION: Duration = Duration::from_micros(100);

/// Records what all pools of this process do, to the file `path`, until what it gives is dropped: who ran what when, what failed
/// and why. `procession report PATH --open`, of the Python package, shows it as a page, and `--trace` makes a trace of it.
///
/// Workers note when they ran what, at some 20 ns a task; there is no thread and no process for it. Pools that were made
/// before count, too. After any kill what the file has until then can be read.
///
/// ```
/// use procession::Pool;
///
/// fn square(x: u64) -> u64 { x * x }
///
/// # fn main() -> procession::Result<()> {
/// # let path = std::env::temp_dir().join(format!("doc-{}.procession", std::process::id()));
/// let recording = procession::recording(&path)?; // "squares.procession"
/// Pool::new(2)?.map(square, 0..1000)?;
/// recording.stop()?;
/// # assert!(std::fs::metadata(&path).unwrap().len() > 300);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok(()) }
/// ```
///
/// # Errors
/// `InvalidInput` where a recording goes on already; the system's, where the file cannot be written.
pub fn recording(path: impl AsRef<Path>) -> Result<Recording> {
    timeline::start(path.as_ref(), Some(head().as_bytes()), RESOLUTION)?;
    Ok(Recording { goes_on: true })
}

/// A recording that goes on; from [`recording`]. Dropping it ends it.
#[must_use = "it ends when it is dropped"]
#[derive(Debug)]
pub struct Recording {
    goes_on: bool,
}

impl Recording {
    /// Ends it; tasks that still run are shown as unfinished.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// # let path = std::env::temp_dir().join(format!("doc-stop-{}.procession", std::process::id()));
    /// let recording = procession::recording(&path)?;
    /// assert!(procession::recording("another").unwrap_err().to_string().contains("goes on already"));
    /// recording.stop()?;
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's, as when the disk was full: what the file has until then can be read.
    pub fn stop(mut self) -> Result<()> {
        self.goes_on = false;
        timeline::stop().map(drop)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.goes_on {
            let _ = timeline::stop();
        }
    }
}

/// The line that tells of the program and the machine.
fn head() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or_else(|_| platform::processors(), std::num::NonZero::get);
    let mut head = format!("{HEAD}{{\"program\": {}", quoted(&program));
    let texts = [
        ("when", local_now()),
        ("procession", env!("CARGO_PKG_VERSION").into()),
        ("language", "Rust".into()),
        ("system", format!("Linux {}", release.trim_end())),
    ];
    for (name, text) in texts {
        let _ = write!(head, ", \"{name}\": {}", quoted(&text));
    }
    let _ = writeln!(head, ", \"begun\": {}, \"cpus\": {cpus}}}", monotonic_now().as_nanos());
    head
}

/// A text as JSON has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            ..' ' => drop(write!(quoted, "\\u{:04x}", letter as u32)),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_one_line_whatever_the_program_is_called() {
        assert_eq!(quoted("a \"b\\c\"\n\u{1}é"), "\"a \\\"b\\\\c\\\"\\u000a\\u0001é\"");
        let head = head();
        assert!(head.starts_with(HEAD) && head.ends_with("}\n") && head.lines().count() == 1);
    }
}
