//! Starting a child that runs this executable: by which method, and what both sides have of each other.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use super::arrive::{CHILD, MARKER};
use super::forkserver;
use super::order::{OrderFile, Progress};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Child};

const THIS_EXECUTABLE: &std::ffi::CStr = c"/proc/self/exe";

/// How a child is started. Either way it is this executable, and nothing of this process's memory is copied.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// use procession::{Pool, StartMethod};
///
/// let pool = Pool::builder().workers(1).start_method(StartMethod::Spawn).build()?;
/// assert_eq!(pool.map(|x: u32| x + 1, [1])?, [2]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartMethod {
    /// By a process of this executable that was started once, never reached `main`, and copies itself: the quickest. It is
    /// started with the first child and ends with this process. A child has the working directory, the environment and
    /// the standard streams of the moment, but limits and priorities of the first.
    Forkserver,
    /// By running the executable anew each time.
    Spawn,
}

/// A started child, and what it leaves.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// This end of a socket for notes with descriptors.
    pub notes: OwnedFd,
    pub(super) file: OrderFile,
}

impl Started {
    /// How far it has come.
    ///
    /// # Errors
    /// The system's.
    pub fn progress(&self) -> Result<Progress> {
        self.file.progress()
    }

    /// The bytes that it left when it returned or failed.
    ///
    /// # Errors
    /// The system's; `Protocol` when there are not as many as it says.
    pub fn outcome(&self) -> Result<Vec<u8>> {
        self.file.outcome()
    }
}

/// Starts this executable again to carry out `order`, with copies of `files`; by whichever method works unless one is given.
/// The child blocks the signals in `mask`.
///
/// # Errors
/// The system's; `InvalidInput` in a child that has not turned to its own order: its program would start children for ever.
pub fn start(how: Option<StartMethod>, order: &[u8], files: &[BorrowedFd<'_>], mask: u64) -> Result<Started> {
    if std::env::var_os(MARKER).is_some() {
        let message = "this process is a child itself and ran past the place where it should have turned to its work: \
                       call procession::init() first thing in main, or use the feature pre-main";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    match how {
        Some(StartMethod::Spawn) => spawn(order, files, mask),
        Some(StartMethod::Forkserver) => forkserver::start(order, files, mask),
        None => match forkserver::start(order, files, mask) {
            // Only then is it not known whether there is a child.
            Err(error) if error.kind() != ErrorKind::TimedOut => spawn(order, files, mask),
            answer => answer,
        },
    }
}

/// Another program than this one, which carries out orders all the same.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub path: CString,
    /// Its arguments; the first is its name.
    pub arguments: Vec<CString>,
    /// Variables of its environment, as `NAME=value`, beside those of this process.
    pub variables: Vec<CString>,
}

/// Starts another program to carry out `order`, with copies of `files`; it blocks the signals in `mask`.
///
/// # Errors
/// As [`start`].
pub fn start_program(program: &Program, order: &[u8], files: &[BorrowedFd<'_>], mask: u64) -> Result<Started> {
    begin(order, files, |role, descriptors| {
        let name = |entry: &CString| entry.as_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
        let others =
            environment().into_iter().filter(|entry| !program.variables.iter().any(|it| name(it) == name(entry)));
        let marker = CString::new(format!("{MARKER}={role}")).ok();
        let environment: Vec<CString> = others.chain(program.variables.iter().cloned()).chain(marker).collect();
        Child::of(platform::spawn(&program.path, &program.arguments, &environment, descriptors, mask)?)
    })
}

fn spawn(order: &[u8], files: &[BorrowedFd<'_>], mask: u64) -> Result<Started> {
    begin(order, files, |role, descriptors| run(role, descriptors, mask))
}

fn begin(order: &[u8], files: &[BorrowedFd<'_>], run: impl FnOnce(&str, &[RawFd]) -> Result<Child>) -> Result<Started> {
    let file = OrderFile::create(order, None)?;
    let (notes, theirs) = platform::note_pair()?;
    let parent = platform::own_pidfd()?;
    let own = [file.descriptor().as_fd(), parent.as_fd(), theirs.as_fd()];
    let descriptors: Vec<RawFd> = own.iter().chain(files).map(AsRawFd::as_raw_fd).collect();
    let child = run(&format!("{CHILD}{}", files.len()), &descriptors)?;
    Ok(Started { child, notes, file })
}

/// Runs this executable with these descriptors, and `role` in its environment; it blocks the signals in `mask`.
pub(super) fn run(role: &str, descriptors: &[RawFd], mask: u64) -> Result<Child> {
    let arguments: Vec<CString> =
        std::env::args_os().take(1).filter_map(|name| CString::new(name.as_bytes()).ok()).collect();
    let marker = CString::new(format!("{MARKER}={role}")).ok();
    let environment: Vec<CString> = environment().into_iter().chain(marker).collect();
    Child::of(platform::spawn(THIS_EXECUTABLE, &arguments, &environment, descriptors, mask)?)
}

/// The environment of this process, as `NAME=value`.
pub(super) fn environment() -> Vec<CString> {
    let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    std::env::vars_os().filter_map(pair).collect()
}
