//! Looking at the pools of this machine, for `procession top`.

use std::sync::Mutex;
use std::time::Duration;

use procession::channel::Phase;
use procession::pool::{self, JobView, PoolView, WorkerView};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::error::raised;

/// Pools, the processes with pools of another version and that, and how many processes could not be looked at.
type Around<'py> = (Bound<'py, PyList>, Vec<(u32, String)>, usize);

/// Looks again and again at the pools of all processes that this one may look at.
#[pyclass(frozen, module = "procession._procession")]
struct Look {
    look: Mutex<pool::Look>,
}

#[pymethods]
impl Look {
    #[new]
    fn new() -> Look {
        Look { look: Mutex::default() }
    }

    /// What is there now: a list of pools, each a dict; a list of the processes with pools of another version, and that; how many
    /// processes of this user could not be looked at. Takes some milliseconds, detached from the interpreter.
    fn around<'py>(&self, py: Python<'py>) -> PyResult<Around<'py>> {
        let seen = py.detach(|| self.look.lock().expect("no panic while it looks").around());
        let pools = PyList::empty(py);
        for pool in &seen.pools {
            pools.append(pool_of(py, pool)?)?;
        }
        Ok((pools, seen.others, seen.hidden))
    }
}

fn pool_of<'py>(py: Python<'py>, pool: &PoolView) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let board = &pool.board;
    dict.set_item("pid", pool.pid)?;
    dict.set_item("serial", board.serial)?;
    dict.set_item("program", &board.name)?;
    dict.set_item("start_method", &board.method)?;
    dict.set_item("processes", board.workers)?;
    dict.set_item("max_memory", (board.memory > 0).then_some(board.memory))?;
    dict.set_item("deaths", board.deaths)?;
    dict.set_item("age", pool.age.as_secs_f64())?;
    let (jobs, workers) = (PyList::empty(py), PyList::empty(py));
    let made = board.made;
    for job in &board.jobs {
        let dict = PyDict::new(py);
        dict.set_item("function", &job.function)?;
        dict.set_item("method", &job.method)?;
        dict.set_item("total", job.total)?;
        dict.set_item("done", job.done)?;
        dict.set_item("failed", job.failed)?;
        dict.set_item("retried", job.retried)?;
        // By the clock of this machine, of which only differences mean something.
        let now = made + pool.age;
        dict.set_item("age", now.saturating_sub(job.started).as_secs_f64())?;
        dict.set_item("ended", job.ended.map(|ended| now.saturating_sub(ended).as_secs_f64()))?;
        jobs.append(dict)?;
    }
    for worker in &pool.workers {
        workers.append(worker_of(py, &board.jobs, worker)?)?;
    }
    dict.set_item("jobs", jobs)?;
    dict.set_item("workers", workers)?;
    Ok(dict)
}

fn worker_of<'py>(py: Python<'py>, jobs: &[JobView], worker: &WorkerView) -> PyResult<Bound<'py, PyDict>> {
    let (shown, usage) = (&worker.shown, &worker.usage);
    let dict = PyDict::new(py);
    dict.set_item("place", shown.place)?;
    dict.set_item("pid", worker.pid)?;
    dict.set_item("state", state_of(worker))?;
    dict.set_item("age", worker.age.as_secs_f64())?;
    let begun = if shown.now.is_working() { u64::from(shown.now.item) } else { 0 };
    dict.set_item("done", shown.served.saturating_add(begun))?;
    dict.set_item("cpu_seconds", usage.cpu.as_secs_f64())?;
    dict.set_item("ran_seconds", usage.ran.as_secs_f64())?;
    dict.set_item("in_line_seconds", usage.in_line.as_secs_f64())?;
    dict.set_item("kernel_state", char::from(usage.state).to_string())?;
    dict.set_item("rss", usage.resident)?;
    dict.set_item("number", worker.number)?;
    if !shown.now.is_working() {
        dict.set_item("task", py.None())?;
        return Ok(dict);
    }
    let task = PyDict::new(py);
    let number = shown.now.job;
    let exactly = jobs.iter().rev().find(|job| job.jobs == (number, number));
    let job = exactly.or_else(|| jobs.iter().rev().find(|job| (job.jobs.0..=job.jobs.1).contains(&number)));
    task.set_item("function", job.map(|job| &job.function))?;
    // A call is named by its number among all that the pool was given.
    let is_call = job.is_some_and(|job| matches!(&job.method[..], "apply" | "submit"));
    task.set_item("index", if is_call { number.saturating_sub(1) } else { shown.now.current() })?;
    task.set_item("arguments", &shown.given)?;
    task.set_item("seconds", worker.busy.as_secs_f64())?;
    let said = shown.said.as_ref();
    task.set_item("progress", said.map(|said| (said.done, said.total, &said.text)))?;
    dict.set_item("task", task)?;
    Ok(dict)
}

fn state_of(worker: &WorkerView) -> &'static str {
    match worker.shown.now.phase {
        _ if worker.pid == 0 => "starting",
        _ if worker.usage.state == b'Z' => "ended",
        Phase::Starting => "starting",
        Phase::Leaving => "leaving",
        Phase::Idle => "idle",
        Phase::Claimed | Phase::Decoding | Phase::Running | Phase::Sending => "running",
    }
}

/// The Python stacks of a worker of another process's pool, which it writes for `signal`; None when nothing came in time.
///
/// `owner` is the process that has the pool, `number` the descriptor of the worker's segment there. Waits until then, detached from
/// the interpreter; what a signal handler raises ends it.
#[pyfunction]
fn stacks_of<'py>(
    py: Python<'py>,
    owner: u32,
    number: u32,
    worker: u32,
    signal: u8,
    limit: f64,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let limit = Duration::from_secs_f64(limit.clamp(0.0, 3600.0));
    let mut interrupt = Ok(());
    let mut go_on = || {
        interrupt = Python::attach(|py| py.check_signals());
        interrupt.is_ok()
    };
    let bytes = py.detach(|| pool::stacks(owner, number, worker, signal, limit, &mut go_on));
    interrupt?;
    let bytes = bytes.map_err(raised)?;
    Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Look>()?;
    module.add_function(wrap_pyfunction!(stacks_of, module)?)
}
