//! The room `sync`: cells, locks, semaphores, events, waiter lists and barriers.
//!
//! Python's classes inherit from these, so that acquiring and releasing are no Python calls; they add what the
//! standard library's have besides.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Instant;

use procession::sync::{self, Acquired, Arrival, Place};
use procession::{ErrorKind, Result};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::wait::{deadline, raised, until_done};
