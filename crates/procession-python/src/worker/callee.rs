//! A worker of a Rust program's pool: the engine's loop, which calls a Python function.

use std::sync::Arc;

use procession::channel::neutral::Writer;
use procession::foreign::{self, Callee, Desk, Found, Raised};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::{raised, traced};
use crate::shared::neutral;

/// The function of a worker.
struct PythonFunction(Py<PyAny>);

impl Callee for PythonFunction {
    fn call(&self, argument: &[u8], into: &mut Vec<u8>, desk: &mut dyn Desk) -> Result<(), Raised> {
        Python::attach(|py| {
            let argument = neutral::read(py, argument, Some(desk)).map_err(|error| told(py, &error))?;
            desk.started();
            let result = self.0.bind(py).call1((argument,)).map_err(|error| told(py, &error))?;
            neutral::write(&result, &mut Writer::new(into), Some(desk)).map_err(|error| {
                let told = told(py, &error);
                Raised { message: format!("the result cannot be sent: {}", told.message), ..told }
            })
        })
    }
}

/// An exception in words.
fn told(py: Python<'_>, error: &PyErr) -> Raised {
    let value = traced(py, error);
    let class = value.get_type();
    let kind = match (class.module(), class.qualname()) {
        (Ok(module), Ok(name)) if module != "builtins" => format!("{module}.{name}"),
        (_, Ok(name)) => name.to_string(),
        _ => "an exception".into(),
    };
    let message =
        value.str().map_or_else(|_| "its text cannot be had".into(), |text| text.to_string_lossy().into_owned());
    let lines = || -> PyResult<String> {
        let lines = py.import("traceback")?.call_method1("format_exception", (value.clone(),))?;
        Ok(lines.extract::<Vec<String>>()?.concat())
    };
    Raised { kind, message, traceback: lines().unwrap_or_default() }
}

/// Serves the pool of a Rust program that started this process; `find` gives the function of a name. Returns the code that
/// this process is to end with.
#[pyfunction]
fn serve_rust_pool(py: Python<'_>, find: Py<PyAny>) -> PyResult<i32> {
    let found = |name: &str| -> Found {
        Python::attach(|py| {
            let arguments = PyTuple::new(py, [name]).map_err(|error| told(py, &error))?;
            let function = find.bind(py).call1(arguments).map_err(|error| told(py, &error))?;
            Ok(Arc::new(PythonFunction(function.unbind())) as Arc<dyn Callee>)
        })
    };
    py.detach(|| foreign::serve(&found)).map_err(raised)
}

/// What a seed is made of: numbers, and the places of children.
type SeedNumbers = (Vec<u64>, Vec<u64>);

/// The task of a Rust program that runs in this thread: its number among those of this worker, its place, and of its seed, if
/// it has one, the numbers and the places that lead from there to it; None where none runs.
#[pyfunction]
fn rust_task() -> Option<(u64, u64, Option<SeedNumbers>)> {
    foreign::task_here().map(|task| (task.number, task.index, task.seed))
}

/// Adds the room's functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(rust_task, module)?)?;
    module.add_function(wrap_pyfunction!(serve_rust_pool, module)?)
}
