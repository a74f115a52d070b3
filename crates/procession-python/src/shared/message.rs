//! Pickles on their way through pipes and queues: made in memory that is used again, and the plainest of them without the pickler.
//!
//! What goes through a pipe is always a pickle, as the other side may be a connection of the standard library's. That of large
//! `bytes` is sent from where they are, between a few bytes of ours, and received where they will be: each copy of them and each page
//! of fresh memory costs as much as the pipe does. That of an array of numbers is written here, without what numpy's own does for
//! arrays of any kind.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::objects::numeric;
use crate::shared::pickle::{Pickle, pickled};

/// `bytes` from this size on are sent from where they are.
const IN_PLACE: usize = 2 << 10;
/// Messages from this size on are looked at before they are received, as they may be those of `bytes`.
pub(crate) const LOOK_FROM: usize = 16 << 10;
/// The most bytes of a message before its `bytes`: protocol, frame, opcode and size.
pub(crate) const PREFIX: usize = 2 + 9 + 9;

const PROTOCOL: [u8; 2] = [0x80, 5];
const FRAME: u8 = 0x95;
const BINBYTES: u8 = b'B';
const BINBYTES8: u8 = 0x8e;
const MEMOIZE: u8 = 0x94;
const STOP: u8 = b'.';

/// The pickle of an object in parts, as a pipe sends it.
pub(crate) enum MessageParts<'py> {
    Pickle(Pickle),
    /// The beginning, of so many bytes, of the pickle of `bytes`, and these.
    Around([u8; PREFIX], usize, Bound<'py, PyBytes>),
}

impl<'py> MessageParts<'py> {
    pub(crate) fn of(value: &Bound<'py, PyAny>) -> PyResult<MessageParts<'py>> {
        if let Ok(bytes) = value.cast_exact::<PyBytes>()
            && bytes.as_bytes().len() >= IN_PLACE
        {
            let size = bytes.as_bytes().len();
            let mut prefix = [0; PREFIX];
            prefix[..2].copy_from_slice(&PROTOCOL);
            let used = match u32::try_from(size) {
                Ok(size) => {
                    prefix[2] = BINBYTES;
                    prefix[3..7].copy_from_slice(&size.to_le_bytes());
                    7
                }
                Err(_) => {
                    prefix[2] = BINBYTES8;
                    prefix[3..11].copy_from_slice(&(size as u64).to_le_bytes());
                    11
                }
            };
            return Ok(MessageParts::Around(prefix, used, bytes.clone()));
        }
        let mut pickle = Pickle::new();
        if !numeric::pickle_array(value, &mut pickle) && !numeric::pickle_number(value, &mut pickle) {
            pickle.clear();
            pickle = pickled(value)?;
        }
        Ok(MessageParts::Pickle(pickle))
    }

    pub(crate) fn slices(&self) -> [&[u8]; 3] {
        match self {
            MessageParts::Pickle(pickle) => [pickle, &[], &[]],
            MessageParts::Around(prefix, used, bytes) => [&prefix[..*used], bytes.as_bytes(), &[STOP]],
        }
    }
}

/// If a message of `size` bytes that begins so is the pickle of `bytes`, as far as one can tell from its beginning: where they begin,
/// and how many they are.
pub(crate) fn bytes_within(beginning: &[u8; PREFIX], size: usize) -> Option<(usize, usize)> {
    let [0x80, 3..=5, rest @ ..] = beginning.as_slice() else { return None };
    let rest = if rest[0] == FRAME { &rest[9..] } else { rest };
    let (count, header) = match rest {
        [BINBYTES, word @ ..] => (u32::from_le_bytes(*word.first_chunk()?) as usize, 5),
        [BINBYTES8, word @ ..] => (usize::try_from(u64::from_le_bytes(*word.first_chunk()?)).ok()?, 9),
        _ => return None,
    };
    let start = PREFIX - rest.len() + header;
    let tail = size.checked_sub(start)?.checked_sub(count)?;
    (1..=2).contains(&tail).then_some((start, count))
}

/// Whether the pickle of `bytes` ends so behind them.
pub(crate) fn is_end(tail: &[u8]) -> bool {
    matches!(tail, [STOP] | [MEMOIZE, STOP])
}
