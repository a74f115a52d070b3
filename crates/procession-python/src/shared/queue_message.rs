//! What a queue carries: exact numbers, texts and bytes as they are, anything else as a pickle.

use procession::channel::Oldest;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};

use crate::error::raised;
use crate::fast::int_of;
use crate::objects::numeric::{self, Numeric};
use crate::shared::pickle::{Pickle, pickled, unpickled};

/// The first byte of a message: what follows.
const PICKLE: u8 = 0;
const BYTES: u8 = 1;
const INT: u8 = 2;
const TEXT: u8 = 3;
const FLOAT: u8 = 4;
const NONE: u8 = 5;
const TRUE: u8 = 6;
const FALSE: u8 = 7;
const ARRAY: u8 = 8;
const NUMBER: u8 = 9;

/// From this size on a message is copied detached from the interpreter.
pub(super) const LARGE_BYTES: usize = 64 * 1024;

/// A message on its way in: the kind, a number where the kind has one, and bytes that Python keeps.
pub(crate) struct Message<'py> {
    head: [u8; 9],
    head_bytes: usize,
    body: QueueBody<'py>,
}

enum QueueBody<'py> {
    None,
    Python(Bound<'py, PyBytes>),
    Pickle(Pickle),
}

impl<'py> Message<'py> {
    fn new(kind: u8, number: Option<[u8; 8]>, body: QueueBody<'py>) -> Message<'py> {
        let mut head = [kind; 9];
        let head_bytes = number.map_or(1, |number| {
            head[1..].copy_from_slice(&number);
            9
        });
        Message { head, head_bytes, body }
    }

    /// Bytes that were made before.
    pub(crate) fn made(bytes: Pickle) -> Message<'py> {
        Message { head: [0; 9], head_bytes: 0, body: QueueBody::Pickle(bytes) }
    }

    /// That of an exact number, text or bytes, of None and truths: made without running the program's code.
    pub(super) fn short(value: &Bound<'py, PyAny>) -> Option<Message<'py>> {
        if value.is_exact_instance_of::<PyInt>() {
            if let Some(number) = int_of(value) {
                return Some(Message::new(INT, Some(number.to_le_bytes()), QueueBody::None));
            }
        } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            return Some(Message::new(BYTES, None, QueueBody::Python(bytes.clone())));
        } else if let Ok(text) = value.cast_exact::<PyString>() {
            // A lone surrogate has no UTF-8: pickle knows what to do.
            if let Ok(bytes) = text.encode_utf8() {
                return Some(Message::new(TEXT, None, QueueBody::Python(bytes)));
            }
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            return Some(Message::new(FLOAT, Some(number.value().to_le_bytes()), QueueBody::None));
        } else if value.is_none() {
            return Some(Message::new(NONE, None, QueueBody::None));
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            return Some(Message::new(if truth.is_true() { TRUE } else { FALSE }, None, QueueBody::None));
        }
        None
    }

    pub(crate) fn of(value: &Bound<'py, PyAny>) -> PyResult<Message<'py>> {
        if let Some(message) = Message::short(value) {
            return Ok(message);
        }
        if let Some(kind) = numeric::kind_of(value) {
            let mut code = Pickle::new();
            let (kind, is_encoded) = match kind {
                Numeric::Array => (ARRAY, numeric::encode_array(value, &mut code)),
                Numeric::Number => (NUMBER, numeric::encode_number(value, &mut code)),
                Numeric::Boolean(is_true) => {
                    code.extend_from_slice(&numeric::boolean(is_true));
                    (NUMBER, true)
                }
            };
            if is_encoded {
                return Ok(Message::new(kind, None, QueueBody::Pickle(code)));
            }
        }
        Ok(Message::new(PICKLE, None, QueueBody::Pickle(pickled(value)?)))
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes]
    }

    pub(super) fn body(&self) -> &[u8] {
        match &self.body {
            QueueBody::None => &[],
            QueueBody::Python(bytes) => bytes.as_bytes(),
            QueueBody::Pickle(bytes) => bytes,
        }
    }
}

/// A message that has come out.
pub(crate) enum TakenMessage<'py> {
    Value(Bound<'py, PyAny>),
    Pickle(Bound<'py, PyBytes>),
    /// What numpy makes something of.
    Code(u8, Bound<'py, PyBytes>),
}

impl<'py> TakenMessage<'py> {
    pub(super) fn from(py: Python<'py>, oldest: Oldest<'_>) -> PyResult<TakenMessage<'py>> {
        // A kind, and for most of them nothing more than a number.
        let mut code = [0; 9];
        let damaged = || PyOSError::new_err("a message of the queue is damaged");
        if oldest.size() == 0 {
            oldest.take();
            return Err(damaged());
        }
        oldest.copy(0, &mut code[..oldest.size().min(9)]).map_err(raised)?;
        let [kind, number @ ..] = code;
        let number = || if oldest.size() == 9 { Ok(number) } else { Err(damaged()) };
        let taken = match kind {
            INT => TakenMessage::Value(i64::from_le_bytes(number()?).into_pyobject(py)?.into_any()),
            FLOAT => TakenMessage::Value(f64::from_le_bytes(number()?).into_pyobject(py)?.into_any()),
            NONE => TakenMessage::Value(py.None().into_bound(py)),
            TRUE | FALSE => TakenMessage::Value(PyBool::new(py, kind == TRUE).to_owned().into_any()),
            PICKLE => TakenMessage::Pickle(body(py, &oldest)?),
            ARRAY | NUMBER => TakenMessage::Code(kind, body(py, &oldest)?),
            BYTES => TakenMessage::Value(body(py, &oldest)?.into_any()),
            TEXT => {
                let bytes = body(py, &oldest)?;
                TakenMessage::Value(PyString::from_bytes(py, bytes.as_bytes())?.into_any())
            }
            _ => {
                oldest.take();
                return Err(damaged());
            }
        };
        oldest.take();
        Ok(taken)
    }

    /// The object; unpickling runs the program's code and comes after everything else.
    pub(crate) fn object(self) -> PyResult<Bound<'py, PyAny>> {
        match self {
            TakenMessage::Value(value) => Ok(value),
            TakenMessage::Pickle(pickle) => unpickled(pickle.as_any()),
            TakenMessage::Code(ARRAY, code) => numeric::decode_array(code.py(), code.as_bytes()),
            TakenMessage::Code(_, code) => numeric::decode_number(code.py(), code.as_bytes()),
        }
    }
}

fn body<'py>(py: Python<'py>, oldest: &Oldest<'_>) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, oldest.size() - 1, |into| {
        let copied = if into.len() < LARGE_BYTES { oldest.copy(1, into) } else { py.detach(|| oldest.copy(1, into)) };
        copied.map_err(raised)
    })
}
