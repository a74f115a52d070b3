//! Reading values.

use super::{
    APART, ARRAY, BYTES, DICT, FALSE, FLOAT, INT, ItemType, LIST, MOST_DEPTH, MOST_DIMENSIONS, NONE, SHARED, SharedAt,
    SharedKind, TEXT, TRUE, TUPLE, WIDE,
};
use crate::error::{Error, ErrorKind, Result};

/// A value, or the beginning of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    /// Nothing.
    None,
    /// A truth.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list of so many values, which come next; [`Reader::leave`] comes behind them.
    List(u64),
    /// A tuple, likewise.
    Tuple(u64),
    /// A dict of so many pairs, likewise: each key, then its value.
    Dict(u64),
    /// An array.
    Array {
        /// What its items are.
        item: ItemType,
        /// Whether they lie in the order of Fortran, not of C.
        is_fortran: bool,
        /// How many there are in each dimension.
        shape: Vec<u64>,
        /// Their bytes.
        items: &'a [u8],
    },
    /// An array whose items lie apart.
    Apart {
        /// What its items are.
        item: ItemType,
        /// Whether they lie in the order of Fortran, not of C.
        is_fortran: bool,
        /// How many there are in each dimension.
        shape: Vec<u64>,
        /// Which of the parts beside the value they are.
        part: u32,
        /// How many bytes they have.
        size: usize,
    },
    /// A shared thing.
    Shared(SharedAt),
}

impl Token<'_> {
    /// In words, for who expected another.
    pub fn name(&self) -> &'static str {
        match self {
            Token::None => "None",
            Token::Bool(_) => "a bool",
            Token::Int(_) => "an int",
            Token::Float(_) => "a float",
            Token::Text(_) => "a text",
            Token::Bytes(_) => "bytes",
            Token::List(_) => "a list",
            Token::Tuple(_) => "a tuple",
            Token::Dict(_) => "a dict",
            Token::Array { .. } | Token::Apart { .. } => "an array",
            Token::Shared(at) => at.kind.name(),
        }
    }
}

/// Takes values in the neutral form from bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

fn wrong(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

impl<'a> Reader<'a> {
    /// Takes from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, depth: 0 }
    }

    /// The next value, or its beginning.
    ///
    /// # Errors
    /// `Protocol` for bytes that are no value, or are cut off.
    pub fn token(&mut self) -> Result<Token<'a>> {
        let [tag] = self.array()?;
        Ok(match tag {
            NONE => Token::None,
            FALSE | TRUE => Token::Bool(tag == TRUE),
            INT => Token::Int(i64::from_le_bytes(self.array()?).into()),
            WIDE => Token::Int(i128::from_le_bytes(self.array()?)),
            FLOAT => Token::Float(f64::from_le_bytes(self.array()?)),
            TEXT => {
                let size = self.size()?;
                Token::Text(std::str::from_utf8(self.take(size)?).map_err(|_| wrong("a text that is not UTF-8"))?)
            }
            BYTES => {
                let size = self.size()?;
                Token::Bytes(self.take(size)?)
            }
            LIST => Token::List(self.enter(1)?),
            TUPLE => Token::Tuple(self.enter(1)?),
            DICT => Token::Dict(self.enter(2)?),
            ARRAY => {
                let (item, is_fortran, shape, size) = self.array_head()?;
                Token::Array { item, is_fortran, shape, items: self.take(size)? }
            }
            APART => {
                let (item, is_fortran, shape, size) = self.array_head()?;
                Token::Apart { item, is_fortran, shape, part: u32::from_le_bytes(self.array()?), size }
            }
            SHARED => Token::Shared(self.shared()?),
            _ => return Err(wrong("a value with an unknown tag")),
        })
    }

    /// What the next value is, which stays.
    ///
    /// # Errors
    /// As [`Reader::token`].
    pub fn peek(&self) -> Result<Token<'a>> {
        self.clone().token()
    }

    /// All values of a list, tuple or dict were taken.
    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Nothing comes any more.
    ///
    /// # Errors
    /// `Protocol` when something does.
    pub fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(wrong("bytes behind a value")) }
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or_else(|| wrong("a value that is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| wrong("a value that is cut off"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn word(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn size(&mut self) -> Result<usize> {
        usize::try_from(self.word()?).map_err(|_| wrong("a value that is cut off"))
    }

    /// A count of entries, each of so many values, of a byte at least.
    fn enter(&mut self, each: u64) -> Result<u64> {
        let count = self.word()?;
        if count.checked_mul(each).is_none_or(|values| values > self.rest.len() as u64) {
            return Err(wrong("a value that is cut off"));
        }
        if self.depth == MOST_DEPTH {
            return Err(wrong("a value that is nested too deep"));
        }
        self.depth += 1;
        Ok(count)
    }

    /// What an array's items are, whether they lie in the order of Fortran, their shape and their bytes.
    fn array_head(&mut self) -> Result<(ItemType, bool, Vec<u64>, usize)> {
        let [kind, size, order, dimensions] = self.array()?;
        let item = ItemType { kind, size };
        if !item.is_known() || order > 1 || usize::from(dimensions) > MOST_DIMENSIONS {
            return Err(wrong("an array of an unknown kind"));
        }
        let shape = (0..dimensions).map(|_| self.word()).collect::<Result<Vec<_>>>()?;
        // Of lengths one of which is zero the others are still to be such that an array can have them.
        let bytes = shape.iter().filter(|length| **length > 0).try_fold(u64::from(size), |all, l| all.checked_mul(*l));
        let bytes = bytes.filter(|bytes| *bytes <= i64::MAX as u64).ok_or_else(|| wrong("an array that is cut off"))?;
        let bytes = if shape.contains(&0) { 0 } else { bytes };
        let bytes = usize::try_from(bytes).map_err(|_| wrong("an array that is cut off"))?;
        Ok((item, order == 1, shape, bytes))
    }

    fn shared(&mut self) -> Result<SharedAt> {
        let [kind, item, size] = self.array()?;
        let kind = SharedKind::of(kind).ok_or_else(|| wrong("a shared thing of an unknown kind"))?;
        let item = ItemType { kind: item, size };
        if kind == SharedKind::Slice && !item.is_known() {
            return Err(wrong("a shared slice of unknown numbers"));
        }
        let file = u32::from_le_bytes(self.array()?);
        Ok(SharedAt { kind, item, file, at: self.word()?, size: self.word()? })
    }
}
