//! Processes instead of threads: functions that run beside each other, isolated from each other.
//!
//! A thread that crashes takes the program with it, one that hangs cannot be stopped, and one that eats memory eats
//! everybody's. A process can be killed, limited and replaced. This crate makes processes as easy to use as threads:
//!
//! ```
//! use procession::Pool;
//!
//! fn square(x: u64) -> u64 { x * x }
//!
//! # fn main() -> procession::Result<()> {
//! let squares: Vec<u64> = Pool::new(4)?.map(square, 0..4)?;
//! assert_eq!(squares, [0, 1, 4, 9]);
//! # Ok(()) }
//! ```
//!
//! It runs on Linux. Arguments and results are what [serde](https://serde.rs) can turn into bytes and back; types of your
//! own derive `Serialize` and `Deserialize` (`cargo add serde --features derive`).
//!
//! # When to use it
//!
//! * for C libraries that are not thread-safe, or keep global state: one copy a process;
//! * for input that may crash, hang or blow up whoever reads it: only the guilty task fails, with a [`TaskError`] that
//!   says how;
//! * for hard limits of time and memory: [`Builder::timeout`], [`Builder::memory`];
//! * for one context a process, of a GPU or a database: [`Pool::map_init`].
//!
//! For safe Rust code that only wants all cores, threads (rayon) are cheaper: nothing has to be turned into bytes.
//!
//! # What there is
//!
//! | | |
//! |---|---|
//! | [`Process`] | a function in a process of its own: `spawn`, `join`, `kill` |
//! | [`Pool`] | workers that run tasks: [`map`](Pool::map), [`map_each`](Pool::map_each), [`imap`](Pool::imap), [`imap_unordered`](Pool::imap_unordered), [`submit`](Pool::submit) |
//! | [`PythonPool`] | workers that are Python interpreters; [`given`] is for a program that Python starts |
//! | [`wait`] | the first of several processes, tasks, connections and queues |
//! | [`Queue`], [`pipe`] and [`Connection`] | messages between processes |
//! | [`SharedSlice`] | numbers that several processes see |
//! | [`Lock`], [`RwLock`], [`Semaphore`], [`Event`], [`Barrier`], [`Condition`] | waiting for each other |
//!
//! What is shared travels in the argument of a process or a task:
//!
//! ```
//! use procession::{Process, Queue, SharedSlice};
//!
//! fn sum((numbers, answer): (SharedSlice<f64>, Queue<f64>)) {
//!     answer.put(numbers.lock().unwrap().iter().sum()).unwrap();
//! }
//!
//! # fn main() -> procession::Result<()> {
//! let (numbers, answer) = (SharedSlice::from_slice(&[0.5, 1.5])?, Queue::new()?);
//! let process = Process::spawn(sum, (numbers.clone(), answer.clone()))?;
//! assert_eq!(answer.get()?, 2.0);
//! process.join()?;
//! # Ok(()) }
//! ```
//!
//! # How a function gets into another process
//!
//! A child is this executable, started anew; nothing of the parent is forked, so its threads and locks do no harm. What may be
//! forked is a process of this executable that never got to `main` and has one thread: see [`StartMethod`]. Of a function only its *type* crosses: the compiler makes one constant for each function that is used here, its place in the executable
//! is sent, and the child finds the same constant there. So a function is a `fn` or a closure that captures nothing;
//! one that captures does not compile, and says why ([`Stateless`]). What it needs is its argument, or a context
//! ([`Pool::with`]), or a state that each worker makes for itself ([`Pool::map_init`]).
//!
//! Arguments and results cross as bytes, by [`serde`](https://serde.rs): `Serialize` and `DeserializeOwned`, no `Send`. A `Vec<u8>` or a
//! `Vec` of plain numbers that is the whole argument or result is copied as it is; within tuples and structures [`Bytes`] does
//! the same. [`SharedSlice`] is not copied at all.
//!
//! # Before `main`
//!
//! A child must turn to its work instead of running `main` again. With the feature `pre-main`, which is on by default, this
//! happens before `main` is reached, in tests too. Without the feature, [`init`] stands first in `main`. A program that has
//! neither gets an error from the first call, not children without end.
//!
//! Constructors of the program that run before `main` may not have run in a child.
//!
//! # What ends when
//!
//! A child ends when its parent does, however that happens. A panic in a function is caught, and is the outcome of its task
//! with its message and place; in programs built with `panic = "abort"` it is a crash. A dropped [`Pool`] cancels what has
//! not run, kills what runs and leaves no process. A dropped [`Process`] lets it run on.
//!
//! # Features
//!
//! | feature | | |
//! |---|---|---|
//! | `pre-main` | on by default | children turn to their work before `main` |
//! | `async` | | a [`Task`] is a `Future`, of any executor |
//! | `json` | | `Json<T>`, for values of types that must be told what comes, such as untagged enums |
//! | `bytemuck` | | `Plain<T>`, and [`SharedSlice`], of structures of numbers |
//!
//! # The engine
//!
//! What is shown here is a face of the engine that the Python package of the same name has, too. Its modules move bytes and
//! decide who runs what; they are public for that package alone, change more often, and are documented in the source.

#[doc(hidden)]
#[cfg_attr(loom, path = "channel/in_model.rs")]
pub mod channel;
pub mod error;
#[cfg(not(loom))]
mod face;
#[cfg(not(loom))]
mod function;
#[cfg(all(not(loom), any(test, feature = "fuzzing")))]
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod platform;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod pool;
#[doc(hidden)]
pub mod primitive;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod shared_memory;
#[doc(hidden)]
#[cfg_attr(loom, path = "sync/in_model.rs")]
pub mod sync;

pub use error::{Error, ErrorKind, Result};
#[cfg(not(loom))]
#[doc(hidden)]
pub use face::foreign;
#[cfg(not(loom))]
pub use face::{
    Barrier, Builder, Condition, Connection, CurrentTask, Event, ExitStatus, Imap, ImapUnordered, Lock, LockGuard,
    MapError, Permit, Poisoned, Pool, Process, PythonBuilder, PythonPool, Queue, Recording, RwLock, RwLockReadGuard,
    RwLockWriteGuard, Seed, Seeded, Semaphore, SharedSlice, SliceGuard, StartMethod, Task, TaskError, Waitable, With,
    current_task, given, init, pipe, recording, wait, wait_timeout,
};
#[cfg(all(feature = "json", not(loom)))]
pub use function::Json;
#[cfg(all(feature = "bytemuck", not(loom)))]
pub use function::Plain;
#[cfg(not(loom))]
pub use function::{Array, Bytes, Stateless};
pub use shared_memory::Number;
