//! The ways a task can end without a result.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::function::Failure;
use crate::platform::Ending;

/// Why a task, or the function of a process, gave no result.
///
/// Each names the one task that is to blame; the others of the same pool are not touched by it.
///
/// ```
/// use procession::{Pool, TaskError};
///
/// # fn main() -> procession::Result<()> {
/// fn half(x: u32) -> u32 { if x == 13 { std::process::abort() } else { x / 2 } }
/// let pool = Pool::new(2)?;
/// for (x, answer) in pool.map_each(half, 12..15).into_iter().enumerate() {
///     match answer {
///         Ok(half) => println!("{half}"),
///         Err(TaskError::Crashed { signal, .. }) => assert_eq!((x, signal), (1, 6)),
///         Err(error) => panic!("{error}"),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TaskError {
    /// The function panicked; the process that ran it lives on.
    #[non_exhaustive]
    Panicked {
        /// What it said.
        message: String,
        /// Where, as `file:line:column`; empty when it is not known.
        location: String,
    },
    /// A signal ended the process: a crash, `abort`, an overflow of the stack, or somebody's `kill`.
    #[non_exhaustive]
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// The function ended its process.
    #[non_exhaustive]
    Exited {
        /// The code that it gave.
        code: i32,
    },
    /// It took longer than allowed, and its process was killed.
    TimedOut,
    /// Its process took more memory than allowed, and was killed.
    OverMemory,
    /// It was cancelled, or its pool dropped.
    Cancelled,
    /// The argument or the result could not be turned into bytes, or back.
    #[non_exhaustive]
    Codec {
        /// Which, and why.
        message: String,
    },
    /// The function of a [`PythonPool`](crate::PythonPool) raised an exception.
    #[non_exhaustive]
    Raised {
        /// The exception's class, as Python prints it: `ValueError`, `package.module.OwnError`.
        kind: String,
        /// Its text.
        message: String,
        /// Where it was raised, as Python prints it.
        traceback: String,
    },
    /// No process could be had to run it.
    #[non_exhaustive]
    NoProcess {
        /// Why.
        message: String,
    },
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Panicked { message, location } if location.is_empty() => write!(f, "panicked: {message}"),
            TaskError::Panicked { message, location } => write!(f, "panicked at {location}: {message}"),
            TaskError::Crashed { signal } => match name_of(*signal) {
                Some(name) => write!(f, "the process was ended by signal {signal} ({name})"),
                None => write!(f, "the process was ended by signal {signal}"),
            },
            TaskError::Exited { code } => write!(f, "the function ended its process with code {code}"),
            TaskError::TimedOut => f.write_str("took longer than allowed"),
            TaskError::OverMemory => f.write_str("took more memory than allowed"),
            TaskError::Cancelled => f.write_str("cancelled"),
            TaskError::Codec { message } => f.write_str(message),
            TaskError::Raised { kind, message, .. } if message.is_empty() => f.write_str(kind),
            TaskError::Raised { kind, message, .. } => write!(f, "{kind}: {message}"),
            TaskError::NoProcess { message } => write!(f, "no process could be had: {message}"),
        }
    }
}

impl TaskError {
    /// Of a result that could not be rebuilt.
    pub(super) fn unreadable<R>(reason: String) -> TaskError {
        let name = std::any::type_name::<R>();
        TaskError::Codec { message: format!("a result of type {name} could not be rebuilt: {reason}") }
    }
}

/// What people call the signals that end processes; their numbers are the same wherever Linux runs.
fn name_of(signal: i32) -> Option<&'static str> {
    Some(match signal {
        2 => "SIGINT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT: abort, or a panic that may not unwind",
        8 => "SIGFPE",
        9 => "SIGKILL: somebody's kill, or no memory left",
        11 => "SIGSEGV: bad memory access, or no stack left",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

impl std::error::Error for TaskError {}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> TaskError {
        match failure {
            Failure::Panicked { message, location } => TaskError::Panicked { message, location },
            Failure::Codec { message } => TaskError::Codec { message },
            Failure::Raised { kind, message, traceback } => TaskError::Raised { kind, message, traceback },
        }
    }
}

impl From<Ending> for TaskError {
    fn from(ending: Ending) -> TaskError {
        match ending {
            Ending::Exited(code) => TaskError::Exited { code },
            Ending::Killed(signal) => TaskError::Crashed { signal },
        }
    }
}

impl From<Error> for TaskError {
    fn from(error: Error) -> TaskError {
        TaskError::NoProcess { message: error.to_string() }
    }
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Error {
        let kind = match error {
            TaskError::TimedOut => ErrorKind::TimedOut,
            TaskError::Cancelled => ErrorKind::Closed,
            TaskError::Crashed { .. } | TaskError::Exited { .. } | TaskError::OverMemory => ErrorKind::WorkerDied,
            TaskError::Panicked { .. }
            | TaskError::Codec { .. }
            | TaskError::Raised { .. }
            | TaskError::NoProcess { .. } => ErrorKind::TaskFailed,
        };
        Error::new(kind, error.to_string())
    }
}

/// Why a map gave no results: the first of its items that failed, and how.
///
/// ```
/// use procession::{Pool, TaskError};
///
/// fn half(x: u32) -> u32 { assert!(x != 13, "unlucky"); x / 2 }
///
/// # fn main() -> procession::Result<()> {
/// let failed = Pool::new(2)?.map(half, [4, 13, 8]).unwrap_err();
/// assert_eq!(failed.index, Some(1));
/// assert!(failed.function.ends_with("half") && matches!(failed.error, TaskError::Panicked { .. }));
/// assert!(failed.to_string().contains("half, item 1: panicked at"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapError {
    /// The path of the function.
    pub function: &'static str,
    /// The place of the item among all, from 0 on; none where the failure is that of no item.
    pub index: Option<usize>,
    /// How it failed.
    pub error: TaskError,
}

impl MapError {
    /// Of a call of the function of this name.
    pub(super) fn named(function: &'static str, index: Option<usize>, error: impl Into<TaskError>) -> MapError {
        MapError { function, index, error: error.into() }
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}, item {index}: {}", self.function, self.error),
            None => write!(f, "{}: {}", self.function, self.error),
        }
    }
}

impl std::error::Error for MapError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<MapError> for TaskError {
    fn from(error: MapError) -> TaskError {
        error.error
    }
}

impl From<MapError> for Error {
    fn from(error: MapError) -> Error {
        let text = error.to_string();
        Error::new(Error::from(error.error).kind(), text)
    }
}
