//! The one error type of the engine.

use std::fmt;

/// What an [`Error`] is about; match on it to decide what to do next.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// use procession::ErrorKind;
///
/// let (left, right) = procession::pipe::<u8, u8>()?;
/// drop(left);
/// match right.recv() {
///     Err(error) if error.kind() == ErrorKind::Closed => println!("the other side has ended"),
///     answer => println!("{}", answer?),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A wait reached its deadline.
    TimedOut,
    /// A signal arrived while waiting; the caller decides whether to go on.
    Interrupted,
    /// The other side, or this object, is closed.
    Closed,
    /// A task failed.
    TaskFailed,
    /// A process ended that was still needed.
    WorkerDied,
    /// A value is out of the range that the call accepts.
    InvalidInput,
    /// What arrived does not follow the protocol.
    Protocol,
    /// An operating system call failed.
    Os,
}

/// An error of the engine: a kind, a sentence, and the system's error number where there is one.
///
/// ```
/// use procession::{ErrorKind, Pool};
///
/// let error = Pool::new(0).err().unwrap();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert!(error.to_string().contains("a pool has 1 to"), "{error}");
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    errno: Option<i32>,
}

/// What a system call's failure says beside the system's reason, where the reason is no fault of the caller.
const REFUSED: &str = "; the kernel, or a sandbox's filter of system calls, refuses this call: have it allowed there \
                       (docs/sandboxes.md names what is needed)";

/// The same, of a file that is too large.
const TOO_LARGE: &str = "; the size of files is limited here (`ulimit -f`, RLIMIT_FSIZE), and what processes share lies in \
                         files, of memory: have that limit raised (docs/sandboxes.md says how much is needed)";

/// Calls that the system itself never refuses to a user who may make the others.
const NEVER_FORBIDDEN: [&str; 9] = [
    "pidfd_open",
    "memfd_create",
    "eventfd",
    "epoll_create",
    "epoll_ctl",
    "epoll_pwait",
    "clone3",
    "posix_spawn",
    "clone",
];

/// Whether `errno` says that a call is not there at all.
fn is_refused(what: &str, errno: i32) -> bool {
    use rustix::io::Errno;
    errno == Errno::NOSYS.raw_os_error() || (errno == Errno::PERM.raw_os_error() && NEVER_FORBIDDEN.contains(&what))
}

/// The result of an engine call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` that says `message`.
    ///
    /// ```
    /// use procession::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::InvalidInput, "no such number");
    /// assert_eq!(error.to_string(), "no such number");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), errno: None }
    }

    /// The failure of the system call `what`.
    ///
    /// ```
    /// let error = procession::Error::os("open", 2);
    /// assert_eq!(error.errno(), Some(2));
    /// ```
    pub fn os(what: &str, errno: i32) -> Error {
        let kind = if errno == rustix::io::Errno::INTR.raw_os_error() { ErrorKind::Interrupted } else { ErrorKind::Os };
        let reason = std::io::Error::from_raw_os_error(errno);
        let advice = match errno {
            _ if errno == rustix::io::Errno::FBIG.raw_os_error() => TOO_LARGE,
            _ if is_refused(what, errno) => REFUSED,
            _ => "",
        };
        Error { kind, message: format!("{what}: {reason}{advice}"), errno: Some(errno) }
    }

    /// The same failure, said in other words.
    pub(crate) fn with_message(&self, message: String) -> Error {
        Error { message, ..self.clone() }
    }

    /// The failure of the system call `what`, the last one of this thread.
    pub(crate) fn last_os(what: &str) -> Error {
        Error::os(what, std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// What the error is about.
    ///
    /// ```
    /// use procession::{ErrorKind, Pool};
    ///
    /// assert_eq!(Pool::new(0).unwrap_err().kind(), ErrorKind::InvalidInput);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The system's error number, if a system call failed.
    ///
    /// ```
    /// assert_eq!(procession::Pool::new(0).unwrap_err().errno(), None);
    /// ```
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// Whether a signal ended a wait.
    ///
    /// ```
    /// assert!(!procession::Pool::new(0).unwrap_err().is_interrupted());
    /// ```
    pub fn is_interrupted(&self) -> bool {
        self.kind == ErrorKind::Interrupted
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Adds the name of the system call that failed.
pub(crate) trait During<T> {
    /// Converts a system error into an [`Error`] that names `what`.
    fn during(self, what: &str) -> Result<T>;
}

impl<T> During<T> for rustix::io::Result<T> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|e| Error::os(what, e.raw_os_error()))
    }
}
