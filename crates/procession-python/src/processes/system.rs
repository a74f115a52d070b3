//! Calls of the system that the interpreter may lack, as it has those of the C library it was built against.

use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use procession::platform::{self, Doorbell, Ending, SignalGuard};
use procession::process;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raised;
use crate::wait::{deadline, until_done};

/// A descriptor of the caller's, for a call.
#[derive(Clone, Copy, FromPyObject)]
struct DescriptorNumber(i32);

impl DescriptorNumber {
    fn with<T>(&self, call: impl FnOnce(BorrowedFd<'_>) -> procession::Result<T>) -> PyResult<T> {
        platform::with_borrowed(self.0, call).map_err(raised)
    }
}

/// A descriptor that is readable when the process `pid` has ended. Raises OSError, ProcessLookupError when there is none.
#[pyfunction]
fn open_pidfd(pid: i32) -> PyResult<i32> {
    Ok(platform::pidfd_of(pid).map_err(raised)?.into_raw_fd())
}

/// A descriptor that is readable when this process has ended.
#[pyfunction]
fn own_end() -> PyResult<i32> {
    Ok(platform::own_pidfd().map_err(raised)?.into_raw_fd())
}

/// Whether the system has pidfds; where it refuses them, processes hold the writing ends of pipes.
#[pyfunction]
fn has_pidfds() -> bool {
    platform::has_pidfds()
}

/// A pipe for the child that this thread starts next, which holds its second end while it lives; `end_life` closes this
/// process's.
#[pyfunction]
fn begin_life() -> PyResult<(i32, i32)> {
    let (reader, writer) = platform::begin_life().map_err(raised)?;
    Ok((reader.into_raw_fd(), writer))
}

/// Closes the writing end of a pipe from `begin_life`.
#[pyfunction]
fn end_life(writer: i32) {
    platform::end_life(writer);
}

/// Has this process, and no copy of it, hold the writing end of a pipe that its parent has the other end of.
#[pyfunction]
fn hold_life(writer: i32) -> PyResult<()> {
    platform::hold_life(platform::adopt(writer).map_err(raised)?);
    Ok(())
}

/// Sends a signal to the process of a pidfd; where that is refused, to `pid`, if that is still the one with the `identity`.
/// Raises ProcessLookupError when it is no more.
#[pyfunction]
#[pyo3(signature = (pidfd, number, pid, identity=0))]
fn send_signal(pidfd: DescriptorNumber, number: i32, pid: i32, identity: u64) -> PyResult<()> {
    pidfd.with(|pidfd| platform::send_signal(pidfd, number, pid, identity))
}

/// Waits for the child of a pidfd, or where that is refused for the child `pid`, if that is still the one with the `identity`.
/// Returns its exit status, negative for a signal; None while it runs, without waiting for it. Raises ChildProcessError when
/// somebody else has taken it.
#[pyfunction]
#[pyo3(signature = (pidfd, pid, identity=0))]
fn collect_status(pidfd: DescriptorNumber, pid: i32, identity: u64) -> PyResult<Option<i32>> {
    let ending = pidfd.with(|pidfd| platform::collect(pidfd, pid, identity))?;
    Ok(ending.map(|ending| match ending {
        Ending::Exited(status) => status,
        Ending::Killed(number) => -number,
    }))
}

/// A descriptor of a new memory file. With a size its memory is taken now and it keeps that size, whoever has it; without
/// one it is empty and grows.
#[pyfunction]
#[pyo3(signature = (name, size=0))]
fn memory_file(py: Python<'_>, name: &str, size: usize) -> PyResult<i32> {
    let file = until_done(py, || platform::memory_file(name, size, size > 0))?;
    Ok(file.map_err(raised)?.into_raw_fd())
}

/// Raises OSError, with need and limit, where this process may not make a file of so many bytes.
#[pyfunction]
fn check_file_size(size: usize) -> PyResult<()> {
    platform::check_file_size(size).map_err(raised)
}

/// Takes the memory of the first `size` bytes of a file now.
#[pyfunction]
fn reserve_memory(py: Python<'_>, file: DescriptorNumber, size: usize) -> PyResult<()> {
    if size == 0 {
        return Err(PyValueError::new_err("the memory of 0 bytes cannot be taken"));
    }
    until_done(py, || platform::with_borrowed(file.0, |file| platform::reserve(file, 0, size)))?.map_err(raised)
}

/// A descriptor that is readable once it has been written to: a number of eight bytes. Reading makes it unreadable. It never waits.
#[pyfunction]
fn make_bell() -> PyResult<i32> {
    Ok(OwnedFd::from(Doorbell::new().map_err(raised)?).into_raw_fd())
}

/// A copy of a descriptor whose number is `at_least` or more, closed on exec.
#[pyfunction]
fn duplicate_above(file: i32, at_least: i32) -> PyResult<i32> {
    Ok(platform::duplicate(file, at_least).map_err(raised)?.into_raw_fd())
}

/// A descriptor, or a copy in its place where its number is a standard stream's.
#[pyfunction]
fn above_streams(file: i32) -> PyResult<i32> {
    let file = platform::adopt(file).and_then(platform::above_streams);
    Ok(file.map_err(raised)?.into_raw_fd())
}

/// How many descriptors this process must be allowed to have for `more` of them; 0: it is.
#[pyfunction]
fn lacking_descriptors(more: u64) -> u64 {
    let need = platform::descriptors_for(more);
    if need <= platform::descriptor_limits().0 { 0 } else { need }
}

/// How many descriptors this process may have, and how many it may allow itself.
#[pyfunction]
fn descriptor_limits() -> (u64, u64) {
    platform::descriptor_limits()
}

/// Lets this process have so many descriptors.
#[pyfunction]
fn set_descriptor_limit(most: u64) -> PyResult<()> {
    platform::set_descriptor_limit(most).map_err(raised)
}

/// Has this process make threads by another call where a sandbox refuses the usual one; returns whether that was so. Unless it
/// `may` give up gaining privileges by programs that it runs, that is done only where it has.
#[pyfunction]
fn make_threads_by_clone(may: bool) -> PyResult<bool> {
    platform::make_threads_by_clone(may).map_err(raised)
}

/// One wait for many descriptors; what the system has of it is closed with the last reference.
#[pyclass(frozen, module = "procession._procession")]
struct Poller(platform::Poller);

#[pymethods]
impl Poller {
    #[new]
    fn new() -> PyResult<Poller> {
        Ok(Poller(platform::Poller::new().map_err(raised)?))
    }

    /// Watches a descriptor for being readable.
    fn add(&self, file: DescriptorNumber) -> PyResult<()> {
        file.with(|known| self.0.add(known, file.0 as u64))
    }

    /// The number of a descriptor that is readable while one that is watched is.
    fn fileno(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Stops watching a descriptor, which must still be open.
    fn remove(&self, file: DescriptorNumber) -> PyResult<()> {
        file.with(|file| {
            self.0.remove(file);
            Ok(())
        })
    }

    /// Waits until descriptors are readable, at most so many seconds; returns which. Signal handlers run meanwhile.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<i32>> {
        let until = deadline(timeout)?;
        loop {
            let guard = SignalGuard::block_all();
            // Whatever comes from now on ends the wait; its handler runs below.
            py.check_signals()?;
            let mut found = Vec::new();
            let waited = py.detach(|| self.0.wait(until, Some(&guard), &mut found));
            drop(guard);
            match waited {
                Err(error) if error.is_interrupted() => py.check_signals()?,
                waited => {
                    waited.map_err(raised)?;
                    return Ok(found.into_iter().map(|token| token as i32).collect());
                }
            }
        }
    }
}

/// A descriptor that is closed with the last reference to this, in the process that made this.
#[pyclass(frozen, module = "procession._procession")]
struct Held {
    file: Mutex<Option<OwnedFd>>,
    owner: u64,
}

#[pymethods]
impl Held {
    #[new]
    fn new(descriptor: i32) -> PyResult<Held> {
        let file = platform::adopt(descriptor).map_err(raised)?;
        Ok(Held { file: Mutex::new(Some(file)), owner: platform::identity() })
    }

    /// Closes it now; does nothing the second time.
    fn close(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.owner != platform::identity() {
            // The number may be another file's in a copy of the process.
            file.map(IntoRawFd::into_raw_fd);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.close();
    }
}

/// A page of words in which a forkserver tells how children ended: a new one, or the one behind a descriptor, which is closed.
#[pyclass(frozen, module = "procession._procession")]
struct Statuses(process::Statuses);

#[pymethods]
impl Statuses {
    #[new]
    #[pyo3(signature = (descriptor=None))]
    fn new(descriptor: Option<i32>) -> PyResult<Statuses> {
        let made = match descriptor {
            None => process::Statuses::new(),
            Some(number) => platform::adopt(number).and_then(process::Statuses::open),
        };
        Ok(Statuses(made.map_err(raised)?))
    }

    /// How many children a page has room for.
    #[classattr]
    const ENTRIES: usize = process::ENTRIES;

    /// The descriptor to be passed to a forkserver.
    fn fileno(&self) -> PyResult<i32> {
        let file = self.0.descriptor().ok_or_else(|| PyValueError::new_err("this page was passed here"))?;
        Ok(file.as_raw_fd())
    }

    /// Takes an entry for a child; None where all are taken.
    fn take(&self) -> Option<usize> {
        self.0.take()
    }

    /// Gives an entry back that nobody will write to, or whose status was read.
    fn give_back(&self, entry: usize) -> PyResult<()> {
        self.0.give_back(entry).map_err(raised)
    }

    /// Has the forkserver give an entry back when its child has ended.
    fn leave(&self, entry: usize) -> PyResult<()> {
        self.0.leave(entry).map_err(raised)
    }

    /// Tells how the child of an entry ended.
    fn tell(&self, entry: usize, status: i16) -> PyResult<()> {
        self.0.tell(entry, status).map_err(raised)
    }

    /// Waits at most so many seconds for how the child of an entry ended; None then. Signal handlers run meanwhile.
    fn wait(&self, py: Python<'_>, entry: usize, timeout: &Bound<'_, PyAny>) -> PyResult<Option<i16>> {
        let until = deadline(Some(timeout))?.ok_or_else(|| PyValueError::new_err("a wait needs a limit"))?;
        until_done(py, || self.0.wait(entry, until))?.map_err(raised)
    }
}

/// Adds this room's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Poller>()?;
    module.add("ONE_RING", PyBytes::new(module.py(), &1u64.to_ne_bytes()))?;
    module.add_class::<Held>()?;
    module.add_class::<Statuses>()?;
    module.add_function(wrap_pyfunction!(open_pidfd, module)?)?;
    module.add_function(wrap_pyfunction!(own_end, module)?)?;
    module.add_function(wrap_pyfunction!(has_pidfds, module)?)?;
    module.add_function(wrap_pyfunction!(begin_life, module)?)?;
    module.add_function(wrap_pyfunction!(end_life, module)?)?;
    module.add_function(wrap_pyfunction!(hold_life, module)?)?;
    module.add_function(wrap_pyfunction!(send_signal, module)?)?;
    module.add_function(wrap_pyfunction!(collect_status, module)?)?;
    module.add_function(wrap_pyfunction!(memory_file, module)?)?;
    module.add_function(wrap_pyfunction!(check_file_size, module)?)?;
    module.add_function(wrap_pyfunction!(reserve_memory, module)?)?;
    module.add_function(wrap_pyfunction!(make_bell, module)?)?;
    module.add_function(wrap_pyfunction!(lacking_descriptors, module)?)?;
    module.add_function(wrap_pyfunction!(descriptor_limits, module)?)?;
    module.add_function(wrap_pyfunction!(set_descriptor_limit, module)?)?;
    module.add_function(wrap_pyfunction!(above_streams, module)?)?;
    module.add_function(wrap_pyfunction!(make_threads_by_clone, module)?)?;
    module.add_function(wrap_pyfunction!(duplicate_above, module)?)
}
