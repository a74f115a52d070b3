//! In which form values cross.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{decode, decode_owned, encode};
use super::neutral::{decode_neutral, encode_neutral};

/// How values become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As programs of this language alone read them.
    Own,
    /// As programs of every language do.
    Neutral,
}

impl Form {
    /// Adds the bytes of `value` to `into`.
    #[inline]
    pub(crate) fn encode<T: Serialize + 'static>(self, value: &T, into: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Form::Own => encode(value, into),
            Form::Neutral => encode_neutral(value, into),
        }
    }

    /// The value whose bytes these are, all of them.
    #[inline]
    pub(crate) fn decode<T: DeserializeOwned + 'static>(self, bytes: &[u8]) -> Result<T, String> {
        match self {
            Form::Own => decode(bytes),
            Form::Neutral => decode_neutral(bytes),
        }
    }

    /// As [`Form::decode`]; bytes that are the value themselves are not copied.
    #[inline]
    pub(crate) fn decode_owned<T: DeserializeOwned + 'static>(self, bytes: Vec<u8>) -> Result<T, String> {
        match self {
            Form::Own => decode_owned(bytes),
            Form::Neutral => decode_neutral(&bytes),
        }
    }
}
