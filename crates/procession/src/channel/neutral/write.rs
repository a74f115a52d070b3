//! Writing values down.

use super::{
    APART, ARRAY, BYTES, DICT, FALSE, FLOAT, INT, ItemType, LIST, NONE, SHARED, SharedAt, TEXT, TRUE, TUPLE, WIDE,
};

/// Adds values in the neutral form to bytes.
#[derive(Debug)]
pub struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    /// Adds to `bytes`.
    pub fn new(bytes: &'a mut Vec<u8>) -> Writer<'a> {
        Writer(bytes)
    }

    /// Nothing: Python's `None`, Rust's `()` and `None`.
    pub fn none(&mut self) {
        self.0.push(NONE);
    }

    /// A truth.
    pub fn bool(&mut self, value: bool) {
        self.0.push(if value { TRUE } else { FALSE });
    }

    /// An integer, in eight bytes where it fits.
    pub fn int(&mut self, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.number(INT, &value.to_le_bytes()),
            Err(_) => self.number(WIDE, &value.to_le_bytes()),
        }
    }

    /// A floating-point number.
    pub fn float(&mut self, value: f64) {
        self.number(FLOAT, &value.to_le_bytes());
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.sized(TEXT, text.len() as u64);
        self.raw(text.as_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.sized(BYTES, bytes.len() as u64);
        self.raw(bytes);
    }

    /// A list of so many values, which come next.
    pub fn list(&mut self, count: u64) {
        self.sized(LIST, count);
    }

    /// A tuple of so many values, which come next.
    pub fn tuple(&mut self, count: u64) {
        self.sized(TUPLE, count);
    }

    /// A dict of so many pairs, which come next: each key, then its value.
    pub fn dict(&mut self, count: u64) {
        self.sized(DICT, count);
    }

    /// An array, whose items come next, by [`Writer::raw`], in the order of Fortran or else of C.
    pub fn array(&mut self, item: ItemType, is_fortran: bool, shape: &[u64]) {
        self.raw(&[ARRAY, item.kind, item.size, is_fortran.into(), shape.len() as u8]);
        shape.iter().for_each(|length| self.raw(&length.to_le_bytes()));
    }

    /// An array whose items lie apart: which of the parts beside the value they are.
    pub fn apart(&mut self, item: ItemType, is_fortran: bool, shape: &[u64], part: u32) {
        self.raw(&[APART, item.kind, item.size, is_fortran.into(), shape.len() as u8]);
        shape.iter().for_each(|length| self.raw(&length.to_le_bytes()));
        self.raw(&part.to_le_bytes());
    }

    /// The array that begins at `place`, with its head and no item yet, is one whose items lie apart.
    pub fn apart_at(&mut self, place: usize, part: u32) {
        if let Some(tag) = self.0.get_mut(place) {
            *tag = APART;
            self.raw(&part.to_le_bytes());
        }
    }

    /// A shared thing.
    pub fn shared(&mut self, it: &SharedAt) {
        self.raw(&[SHARED, it.kind as u8, it.item.kind, it.item.size]);
        self.raw(&it.file.to_le_bytes());
        self.raw(&it.at.to_le_bytes());
        self.raw(&it.size.to_le_bytes());
    }

    /// Bytes as they are, without a tag.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Where the next value begins.
    pub fn place(&self) -> usize {
        self.0.len()
    }

    /// The count of a list, tuple or dict that begins at `place`, which was not known before.
    pub fn count_at(&mut self, place: usize, count: u64) {
        if let Some(word) = self.0.get_mut(place + 1..place + 9) {
            word.copy_from_slice(&count.to_le_bytes());
        }
    }

    /// The bytes so far, for items that are written in place.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.0
    }

    fn number(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.raw(bytes);
    }

    fn sized(&mut self, tag: u8, size: u64) {
        self.number(tag, &size.to_le_bytes());
    }
}
