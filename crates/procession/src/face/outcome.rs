//! Answers of workers as the results of those who asked.

use serde::de::DeserializeOwned;

use super::error::{MapError, TaskError};
use super::job::Answer;
use crate::function::{self, Form};

/// What a task's argument and result can be: bytes and back.
pub(super) type Outcome<R> = std::result::Result<R, TaskError>;
/// The results of a map.
pub(super) type Mapped<R> = std::result::Result<Vec<R>, MapError>;

/// The result within an answer.
pub(super) fn rebuild<R: DeserializeOwned + 'static>(form: Form, answer: Option<Answer>) -> Outcome<R> {
    let value = match answer {
        None => return Err(TaskError::Cancelled),
        Some(Answer::Failed(error)) => return Err(*error),
        Some(Answer::Small(size, bytes)) => form.decode(&bytes[..usize::from(size)]),
        Some(Answer::Large(bytes)) => form.decode_owned(bytes),
        Some(Answer::Attached(bytes, more)) => {
            function::receiving(more.files, || form.decode_apart(&bytes, &more.parts))
        }
    };
    value.map_err(TaskError::unreadable::<R>)
}
