//! `PythonPool`: workers that are Python interpreters.

use std::collections::HashSet;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::function::Form;
use crate::process::Program;

use super::builder::Builder;
use super::callee::FOREIGN;
use super::crew::Foreign;
use super::job::Function;
use super::outcome::{Mapped, Outcome};
use super::pool::Pool;
use super::seed::Seed;
use super::stream::{Imap, ImapUnordered};
use super::task::Task;

/// The variable that names the interpreter.
const INTERPRETER: &str = "PROCESSION_PYTHON";
const BY_DEFAULT: &str = "python3";
const PATH: &str = "PYTHONPATH";
/// What the interpreter runs.
const PROGRAM: &str = "from procession._rust_worker import main; main()";

/// Settings of a [`PythonPool`] that is to be made; from [`Builder::python`].
///
/// ```no_run
/// # fn main() -> procession::Result<()> {
/// let builder = procession::Pool::builder().workers(2).python("statistics:mean");
/// let pool = builder.interpreter("venv/bin/python").path("scripts").argument("-Xdev").build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PythonBuilder {
    pool: Builder,
    function: String,
    interpreter: Option<PathBuf>,
    path: Vec<PathBuf>,
    arguments: Vec<OsString>,
}

impl Builder {
    /// Has the workers be Python interpreters, which call the function of this name, as in `"module:function"` or
    /// `"package.module:Class.method"`: settings of a [`PythonPool`](crate::PythonPool). How workers start is
    /// not asked for then: each is a fresh interpreter, whose module does what an initializer would.
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().workers(2).python("math:sqrt").build()?;
    /// let roots: Vec<f64> = pool.map([9.0, 16.0])?;
    /// assert_eq!(roots, [3.0, 4.0]);
    /// # Ok(()) }
    /// ```
    pub fn python(self, function: &str) -> PythonBuilder {
        let function = function.to_owned();
        PythonBuilder { pool: self, function, interpreter: None, path: Vec::new(), arguments: Vec::new() }
    }
}

impl PythonBuilder {
    /// Which interpreter: a path, such as `venv/bin/python` of a virtual environment, or a name that is looked for on the `PATH`.
    /// What the variable `PROCESSION_PYTHON` says, or else `python3`, unless said here. It has to have the package `procession` of
    /// the version of this crate.
    ///
    /// ```
    /// let builder = procession::Pool::builder().python("math:sqrt").interpreter("no/such/python");
    /// assert!(builder.build().unwrap_err().to_string().contains("no/such/python"));
    /// ```
    pub fn interpreter(mut self, program: impl Into<PathBuf>) -> PythonBuilder {
        self.interpreter = Some(program.into());
        self
    }

    /// A directory that modules are looked for in, before those of `PYTHONPATH`; may be said again for more.
    ///
    /// ```
    /// # let builder =
    /// procession::Pool::builder().python("tasks:parse").path("scripts").path("vendored");
    /// ```
    pub fn path(mut self, directory: impl Into<PathBuf>) -> PythonBuilder {
        self.path.push(directory.into());
        self
    }

    /// An argument for the interpreter, such as `-Xdev` or `-O`; may be said again for more.
    ///
    /// ```
    /// # let builder =
    /// procession::Pool::builder().python("tasks:parse").argument("-W").argument("error");
    /// ```
    pub fn argument(mut self, argument: impl Into<OsString>) -> PythonBuilder {
        self.arguments.push(argument.into());
        self
    }

    /// Makes the pool and starts its workers.
    ///
    /// A function that is not found, or a module that cannot be imported, is the outcome of all tasks, as the exception that it is.
    ///
    /// ```
    /// let builder = procession::Pool::builder().python("no function's name");
    /// assert!(builder.build().unwrap_err().to_string().contains("module:function"));
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a name that is not as `module:function`, an interpreter that is not there, and as
    /// [`Builder::build`](crate::Builder::build).
    pub fn build(self) -> Result<PythonPool> {
        let refused = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        let is_name = |name: &str| {
            let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
            name.split('.').all(is_part)
        };
        if !self.function.split_once(':').is_some_and(|(module, name)| is_name(module) && is_name(name)) {
            return refused(format!(
                "{:?} names no Python function: it has to be as \"module:function\"",
                self.function
            ));
        }
        let Some(interpreter) = self.interpreter_path() else {
            let wanted = self.wanted();
            let wanted = wanted.display();
            return refused(format!(
                "there is no interpreter {wanted}: say which by interpreter(), or by the variable {INTERPRETER}"
            ));
        };
        let c_string = |text: &OsStr| {
            let refused = |_| Error::new(ErrorKind::InvalidInput, "a NUL byte in an argument of the interpreter");
            CString::new(text.as_bytes()).map_err(refused)
        };
        let path = c_string(interpreter.as_os_str())?;
        let given = self.arguments.iter().map(OsString::as_os_str).chain([OsStr::new("-c"), OsStr::new(PROGRAM)]);
        let arguments = [interpreter.as_os_str()].into_iter().chain(given).map(c_string).collect::<Result<_>>()?;
        let mut variables = Vec::new();
        if !self.path.is_empty() {
            let before = std::env::var_os(PATH).filter(|path| !path.is_empty());
            let before = before.iter().flat_map(std::env::split_paths);
            let all = std::env::join_paths(self.path.iter().cloned().chain(before));
            let all =
                all.map_err(|error| Error::new(ErrorKind::InvalidInput, format!("a directory of path(): {error}")))?;
            variables.push(c_string(&[OsStr::new(PATH), &all].join(OsStr::new("=")))?);
        }
        let function = interned(&self.function);
        let foreign = Foreign { program: Program { path, arguments, variables }, function };
        let pool = self.pool.build_foreign(foreign)?;
        let mut known = (*pool.unseeded(FOREIGN, |_| Ok(Vec::new()))?).clone();
        (known.form, known.title) = (Form::Neutral, function);
        Ok(PythonPool { pool, function: Arc::new(known) })
    }

    fn wanted(&self) -> PathBuf {
        let named = || std::env::var_os(INTERPRETER).filter(|name| !name.is_empty()).map(PathBuf::from);
        self.interpreter.clone().or_else(named).unwrap_or_else(|| BY_DEFAULT.into())
    }

    /// The interpreter, if it is there; links are left as they are, as a virtual environment is known by them.
    fn interpreter_path(&self) -> Option<PathBuf> {
        let wanted = self.wanted();
        let is_there = |path: &Path| std::fs::metadata(path).is_ok_and(|it| it.is_file());
        if wanted.components().count() > 1 {
            return is_there(&wanted).then_some(wanted);
        }
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|directory| directory.join(&wanted)).find(|path| is_there(path))
    }
}

/// The name, for as long as the program runs, and once however many pools have it: errors and boards name functions so.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}

/// A pool whose workers are Python interpreters, each of which calls one function; from [`Builder::python`].
///
/// An argument is one value: a tuple or a structure arrives as a tuple or a dict. What else crosses, and how, is documented in
/// docs/wire.md: plain values, [`Array`](crate::Array)s, which are numpy's to Python, and in arguments and results
/// [`Lock<()>`](crate::Lock), [`Semaphore`](crate::Semaphore), [`Event`](crate::Event), [`SharedSlice`](crate::SharedSlice) and
/// queues made by [`Queue::neutral`](crate::Queue::neutral). An exception is
/// [`TaskError::Raised`](crate::TaskError::Raised); all else is as with a [`Pool`]: a worker that dies ends its own task and is replaced.
///
/// ```no_run
/// # fn main() -> procession::Result<()> {
/// use procession::{Array, Pool};
///
/// // In tasks.py: def scaled(argument): array, factor = argument; return array * factor
/// let pool = Pool::builder().workers(2).python("tasks:scaled").path("scripts").build()?;
/// let scaled: Vec<Array<f64>> = pool.map([(Array::from(vec![1.0, 2.0]), 10.0)])?;
/// assert_eq!(scaled[0].items(), [10.0, 20.0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PythonPool {
    pool: Pool,
    function: Arc<Function>,
}

impl PythonPool {
    /// As [`Pool::map`].
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().python("math:factorial").build()?;
    /// let results: Vec<u64> = pool.map([3, 4])?;
    /// assert_eq!(results, [6, 24]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The failure, with the function and the place of the item; of several, that of the first item.
    pub fn map<A, R, I>(&self, items: I) -> Mapped<R>
    where
        A: Serialize + 'static,
        R: DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        self.pool.map_named(self.function.title, self.known(), items)
    }

    /// As [`Pool::map_each`].
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().python("math:sqrt").build()?;
    /// let outcomes: Vec<Result<f64, _>> = pool.map_each([4.0, -1.0]).collect();
    /// assert_eq!(outcomes[0], Ok(2.0));
    /// assert!(outcomes[1].as_ref().unwrap_err().to_string().starts_with("ValueError: "));
    /// # Ok(()) }
    /// ```
    pub fn map_each<A, R, I>(&self, items: I) -> std::vec::IntoIter<Outcome<R>>
    where
        A: Serialize + 'static,
        R: DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        self.pool.each(self.pool.with_next_seed(&self.function), items)
    }

    /// As [`Pool::imap`].
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().python("math:isqrt").build()?;
    /// assert_eq!(pool.imap(0..).nth(1000), Some(Ok(31)));
    /// # Ok(()) }
    /// ```
    pub fn imap<A, R, I>(&self, items: I) -> Imap<'_, I::IntoIter, R>
    where
        A: Serialize + 'static,
        R: DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        Imap::new(&self.pool, self.known(), items.into_iter())
    }

    /// As [`Pool::imap_unordered`].
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().python("math:isqrt").build()?;
    /// for (number, root) in pool.imap_unordered([9, 16]) {
    ///     assert_eq!(root, Ok(3 + number));
    /// }
    /// # Ok(()) }
    /// ```
    pub fn imap_unordered<A, R, I>(&self, items: I) -> ImapUnordered<'_, I::IntoIter, R>
    where
        A: Serialize + 'static,
        R: DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        ImapUnordered::new(&self.pool, self.known(), items.into_iter())
    }

    /// As [`Pool::submit`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = procession::Pool::builder().python("math:sqrt").build()?;
    /// let root: f64 = pool.submit(2.25).wait()?;
    /// assert_eq!(root, 1.5);
    /// # Ok(()) }
    /// ```
    pub fn submit<A, R>(&self, argument: A) -> Task<R>
    where
        A: Serialize + 'static,
        R: DeserializeOwned + 'static,
    {
        match self.known() {
            Ok(function) => self.pool.submit_to(function, argument),
            Err(error) => Task::failed(error.into()),
        }
    }

    /// As [`Pool::workers`].
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// assert_eq!(procession::Pool::builder().workers(3).python("math:sqrt").build()?.workers(), 3);
    /// # Ok(()) }
    /// ```
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// As [`Pool::resize`].
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().workers(1).python("math:sqrt").build()?;
    /// pool.resize(3)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Pool::resize`].
    pub fn resize(&self, workers: usize) -> Result<()> {
        self.pool.resize(workers)
    }

    /// As [`Pool::process_ids`].
    ///
    /// ```no_run
    /// # fn main() -> procession::Result<()> {
    /// let pool = procession::Pool::builder().workers(3).python("math:sqrt").build()?;
    /// assert_eq!(pool.process_ids().len(), 3);
    /// # Ok(()) }
    /// ```
    pub fn process_ids(&self) -> Vec<u32> {
        self.pool.process_ids()
    }

    fn known(&self) -> Result<Arc<Function>> {
        self.pool.inner.check_ours()?;
        Ok(self.pool.with_next_seed(&self.function))
    }

    /// The same pool, whose calls each have this seed.
    pub(super) fn view(&self, seed: Seed) -> PythonPool {
        PythonPool { pool: self.pool.view(seed), function: self.function.clone() }
    }
}
