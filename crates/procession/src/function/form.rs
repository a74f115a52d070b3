//! In which form values cross.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::shared_memory::View;

use super::codec::{decode, decode_owned, encode};
use super::neutral::{Part, decode_apart, decode_neutral, encode_apart, encode_neutral};

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

    /// As [`Form::encode`] of a value that is given away; large rows of numbers become `parts` where the form has them.
    pub(crate) fn encode_apart<T: Serialize + 'static>(
        self,
        value: T,
        into: &mut Vec<u8>,
        parts: &mut Vec<Part>,
    ) -> Result<(), String> {
        match self {
            Form::Own => encode(&value, into),
            Form::Neutral => encode_apart(value, into, parts),
        }
    }

    /// As [`Form::decode`], with the parts beside the bytes.
    pub(crate) fn decode_apart<T: DeserializeOwned + 'static>(
        self,
        bytes: &[u8],
        parts: &[Arc<View>],
    ) -> Result<T, String> {
        match self {
            Form::Own => decode(bytes),
            Form::Neutral => decode_apart(bytes, parts),
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
