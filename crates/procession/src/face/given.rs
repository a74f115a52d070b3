//! What a program that is no child of a Rust one was given by who started it.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::function::{self, Form};
use crate::process;

/// What a Python program has given to this one, which it started as `procession.neutral.Program(command, value)`: a value, with the
/// queues, locks and shared slices in it.
///
/// To be called once, early: from then on this program ends when the one that started it does, however that happens.
///
/// ```no_run
/// use procession::{Lock, Queue, SharedSlice};
///
/// fn main() -> procession::Result<()> {
///     let (words, lock, numbers): (Queue<String>, Lock<()>, SharedSlice<f64>) = procession::given()?;
///     let _guard = lock.lock().unwrap();
///     words.put(format!("the first number is {}", numbers.to_vec()[0]))
/// }
/// ```
///
/// # Errors
/// `InvalidInput` when this program was given nothing, or has taken it; `Protocol` when that is no `T`, or comes from another
/// version; the system's.
pub fn given<T: DeserializeOwned + 'static>() -> Result<T> {
    let given = process::take_given()?;
    let files = given.files.into_iter().map(Arc::new).collect();
    let value = function::receiving(files, || Form::Neutral.decode(&given.bytes));
    value.map_err(|reason| {
        let name = std::any::type_name::<T>();
        Error::new(ErrorKind::Protocol, format!("what this program was given is no {name}: {reason}"))
    })
}
