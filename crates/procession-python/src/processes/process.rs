//! Starting programs and copies of this one, signals that wait meanwhile, and the lifeline.

use std::ffi::CString;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use procession::channel::bell_threads;
use procession::platform::{self, SignalGuard};
use procession::process;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::error::raised;

fn c_strings(strings: Vec<Vec<u8>>) -> PyResult<Vec<CString>> {
    let converted = strings.into_iter().map(CString::new).collect::<Result<_, _>>();
    converted.map_err(|_| PyValueError::new_err("embedded null byte"))
}

/// Runs `program` with `arguments`, `environment` (b"NAME=value" each) and copies of `descriptors` as 3, 4, 5 ...;
/// the signals in the mask `blocked` are blocked in it. Returns the process's id; raises OSError when the program cannot be run.
#[pyfunction]
fn spawn_process(
    py: Python<'_>,
    program: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    descriptors: Vec<i32>,
    blocked: u64,
) -> PyResult<i32> {
    let program = CString::new(program).map_err(|_| PyValueError::new_err("embedded null byte"))?;
    let arguments = c_strings(arguments)?;
    let environment = c_strings(environment)?;
    py.detach(|| process::spawn(&program, &arguments, &environment, &descriptors, blocked)).map_err(raised)
}

/// A context that keeps signals from this thread, so that no handler raises between the start of a child and its
/// registration. Handlers of those that came run, and may raise, at its end.
///
/// In native code: a fork has just made all pages of both processes cost something to be written to again.
#[pyclass(unsendable, module = "procession._procession")]
#[derive(Default)]
struct SignalsHeld {
    guard: Option<SignalGuard>,
}

#[pymethods]
impl SignalsHeld {
    #[new]
    fn new() -> SignalsHeld {
        SignalsHeld::default()
    }

    fn __enter__(&mut self) {
        if self.guard.is_none() {
            self.guard = Some(SignalGuard::block_all());
        }
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&mut self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.guard = None;
        py.check_signals()
    }
}

/// The signals that this thread blocks, as a bit each: that of signal 1 is the lowest.
#[pyfunction]
fn signal_mask() -> u64 {
    platform::signal_mask()
}

/// Makes `mask` the signals that this thread blocks.
#[pyfunction]
fn set_signal_mask(mask: u64) {
    platform::set_signal_mask(mask);
}

/// Leaves SIGTERM and SIGHUP to the process `parent`, as far as it handles or ignores them.
#[pyfunction]
fn leave_termination_to(parent: i32) -> PyResult<()> {
    platform::leave_termination_to(parent).map_err(raised)
}

/// Has the handler of SIGINT called for what this process sends to itself only; returns whether that was so before.
#[pyfunction]
fn heed_own_interrupts() -> PyResult<bool> {
    platform::heed_own_interrupts().map_err(raised)
}

/// Calls `fork()`, which copies this process; returns the id of the copy. There `live(*arguments)` is called, and the
/// process ends with the status that it returns, or with 1 if it raises.
///
/// In native code, so that no exception reaches the callers of this function in the copy, whatever is raised when: they
/// are the parent's program.
#[pyfunction]
#[pyo3(signature = (fork, live, *arguments))]
fn fork_to(fork: &Bound<'_, PyAny>, live: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>) -> PyResult<i32> {
    let parent = std::process::id();
    let id = fork.call0().and_then(|id| id.extract());
    if std::process::id() == parent {
        return id;
    }
    let lived = id.and_then(|_: i32| live.call1(arguments)?.extract());
    let status = lived.unwrap_or_else(|error| {
        error.write_unraisable(live.py(), Some(live));
        1
    });
    platform::end_now(status)
}

/// Calls functions with their arguments, which are tuples of both, in groups, which are tuples of those.
///
/// In native code: a child that was just forked copies a page for nearly every object that is looked at in Python.
#[pyfunction]
fn do_all(groups: &Bound<'_, PyTuple>) -> PyResult<()> {
    for group in groups.iter_borrowed() {
        for chore in group.cast::<PyTuple>()?.iter_borrowed() {
            let chore = chore.cast::<PyTuple>()?;
            chore.get_borrowed_item(0)?.call1(chore.get_borrowed_item(1)?.cast::<PyTuple>()?)?;
        }
    }
    Ok(())
}

/// The names of what is looked for in a child that was just forked, which would be made there otherwise.
fn stdin_and_close(py: Python<'_>) -> [&Bound<'_, PyString>; 2] {
    [intern!(py, "stdin"), intern!(py, "close")]
}

/// Closes `sys.stdin` and opens an empty file. Where a `number` is free, the file gets that and `stream`, which is of that
/// number, becomes `sys.stdin`; else `otherwise` is called with the number that it has, and sees to it from then on.
#[pyfunction]
fn empty_stdin(
    sys: &Bound<'_, PyAny>,
    stream: &Bound<'_, PyAny>,
    number: i32,
    otherwise: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let [name, close] = stdin_and_close(sys.py());
    let refused =
        |error: &PyErr| error.is_instance_of::<PyOSError>(sys.py()) || error.is_instance_of::<PyValueError>(sys.py());
    if let Err(error) = sys.getattr(name)?.call_method0(close)
        && !refused(&error)
    {
        return Err(error);
    }
    // Without a descriptor left there is no stdin.
    let Ok(file) = platform::open_nothing(number) else { return Ok(()) };
    let found = file.into_raw_fd();
    if found == number { sys.setattr(name, stream) } else { otherwise.call1((found,)).map(drop) }
}

/// How many threads this process has beside this one, `known` others, the one of the lifeline and those behind bells.
#[pyfunction]
fn unknown_threads(known: u64) -> u64 {
    let few = 1 + u64::from(platform::lifeline_thread().is_some()) + u64::from(bell_threads());
    platform::threads().unwrap_or(0).saturating_sub(few + known)
}

/// Makes this process more eligible, by `more` of 1000, to be ended when the system has no memory left.
#[pyfunction]
fn offer_to_oom_killer(more: i32) {
    platform::offer_to_oom_killer(more);
}

/// Sets variables, or removes those without a value, in a process that has just begun; names and values were encoded.
#[pyfunction]
fn set_variables(changes: &Bound<'_, PyDict>) -> PyResult<()> {
    let mut pairs = Vec::with_capacity(changes.len());
    for (name, value) in changes {
        pairs.push((name.cast_into::<PyBytes>()?, value.extract::<Option<Bound<'_, PyBytes>>>()?));
    }
    let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_ref().map(|value| value.as_bytes())));
    platform::change_environment(&pairs.collect::<Vec<_>>());
    Ok(())
}

/// Ends this process `grace_ms` after `parent`, a pidfd of its parent, becomes readable. Before that, a `mask` is made the
/// signals that this thread blocks.
#[pyfunction]
#[pyo3(signature = (parent, grace_ms, mask=None))]
fn hold_lifeline(parent: i32, grace_ms: u64, mask: Option<u64>) -> PyResult<()> {
    if let Some(mask) = mask {
        platform::set_signal_mask(mask);
    }
    process::hold(parent, Duration::from_millis(grace_ms)).map_err(raised)
}

/// The number of the thread that `hold_lifeline` gave this very process, None without one.
#[pyfunction]
fn lifeline_thread() -> Option<u32> {
    platform::lifeline_thread()
}

/// Who a process is: a number that never comes again while the machine runs.
#[pyfunction]
fn identity_of(pid: u32) -> u64 {
    platform::identity_of(pid)
}

/// Whether the process with this identity still runs; a zombie does not.
#[pyfunction]
fn is_alive(identity: u64) -> bool {
    platform::is_alive(identity)
}

/// Adds this room's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    stdin_and_close(module.py());
    module.add_class::<SignalsHeld>()?;
    module.add_function(wrap_pyfunction!(spawn_process, module)?)?;
    module.add_function(wrap_pyfunction!(signal_mask, module)?)?;
    module.add_function(wrap_pyfunction!(set_signal_mask, module)?)?;
    module.add_function(wrap_pyfunction!(leave_termination_to, module)?)?;
    module.add_function(wrap_pyfunction!(heed_own_interrupts, module)?)?;
    module.add_function(wrap_pyfunction!(fork_to, module)?)?;
    module.add_function(wrap_pyfunction!(do_all, module)?)?;
    module.add_function(wrap_pyfunction!(empty_stdin, module)?)?;
    module.add_function(wrap_pyfunction!(unknown_threads, module)?)?;
    module.add_function(wrap_pyfunction!(offer_to_oom_killer, module)?)?;
    module.add_function(wrap_pyfunction!(set_variables, module)?)?;
    module.add_function(wrap_pyfunction!(lifeline_thread, module)?)?;
    module.add_function(wrap_pyfunction!(identity_of, module)?)?;
    module.add_function(wrap_pyfunction!(is_alive, module)?)?;
    module.add_function(wrap_pyfunction!(hold_lifeline, module)?)
}
