//! Where rebuilt values come from: their bytes, and the parts beside them.

use std::sync::Arc;

use serde::de::Error as _;

use super::Failed;
use crate::channel::neutral::{ItemType, Reader, Token};
use crate::shared_memory::View;

/// Takes values, and the items of arrays that lie apart.
pub(super) struct Source<'de> {
    reader: Reader<'de>,
    parts: &'de [Arc<View>],
}

impl<'de> Source<'de> {
    pub(super) fn new(bytes: &'de [u8], parts: &'de [Arc<View>]) -> Source<'de> {
        Source { reader: Reader::new(bytes), parts }
    }

    /// As [`Reader::token`], but that an array has its items wherever they lie.
    #[inline(always)]
    pub(super) fn token(&mut self) -> Result<Token<'de>, Failed> {
        match self.reader.token()? {
            Token::Apart { item, is_fortran, shape, part, size } => self.whole(item, is_fortran, shape, part, size),
            token => Ok(token),
        }
    }

    /// As [`Reader::peek`], likewise.
    pub(super) fn peek(&self) -> Result<Token<'de>, Failed> {
        Source { reader: self.reader.clone(), parts: self.parts }.token()
    }

    pub(super) fn leave(&mut self) {
        self.reader.leave();
    }

    pub(super) fn end(&self) -> Result<(), Failed> {
        Ok(self.reader.end()?)
    }

    #[cold]
    fn whole(
        &self,
        item: ItemType,
        is_fortran: bool,
        shape: Vec<u64>,
        part: u32,
        size: usize,
    ) -> Result<Token<'de>, Failed> {
        let items = self.parts.get(part as usize).and_then(|view| view.lent_bytes());
        let items = items.filter(|items| items.len() == size);
        let items = items.ok_or_else(|| Failed::custom("an array arrived without its items"))?;
        Ok(Token::Array { item, is_fortran, shape, items })
    }
}
