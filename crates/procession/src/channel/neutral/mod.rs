//! The neutral form: a value as bytes that programs of every language read the same; docs/wire.md shows each byte.
//!
//! A value is a tag, what the tag says comes next, and within a list, a tuple or a dict the values in it. All words are
//! little-endian, sizes and counts have eight bytes. Who reads checks each size against what is there, so that nothing is
//! reserved that the bytes merely speak of.

mod read;
mod write;

pub use read::{Reader, Token};
pub use write::Writer;

/// Of all that programs of two languages share: this form, the words of what is shared, the order of a worker. Whoever attaches
/// to something of another version says so.
pub const WIRE_VERSION: u32 = 3;

/// How deep lists, tuples and dicts nest.
pub const MOST_DEPTH: usize = 128;
/// The most dimensions of an array.
pub const MOST_DIMENSIONS: usize = 32;

pub(super) const NONE: u8 = 0;
pub(super) const FALSE: u8 = 1;
pub(super) const TRUE: u8 = 2;
pub(super) const INT: u8 = 3;
pub(super) const WIDE: u8 = 4;
pub(super) const FLOAT: u8 = 5;
pub(super) const TEXT: u8 = 6;
pub(super) const BYTES: u8 = 7;
pub(super) const LIST: u8 = 8;
pub(super) const TUPLE: u8 = 9;
pub(super) const DICT: u8 = 10;
pub(crate) const ARRAY: u8 = 11;
pub(crate) const SHARED: u8 = 12;
pub(crate) const APART: u8 = 13;

/// From how many bytes on the items of an array may lie apart from its value.
pub const APART_BYTES: usize = 32 << 10;

/// What the items of an array are: `kind` is `b`ool, `i`nteger, `u`nsigned, `f`loat or `c`omplex, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemType {
    /// The letter of its kind.
    pub kind: u8,
    /// The bytes of one.
    pub size: u8,
}

impl ItemType {
    /// Whether there is such a type.
    pub fn is_known(self) -> bool {
        match self.kind {
            b'b' => self.size == 1,
            b'i' | b'u' => matches!(self.size, 1 | 2 | 4 | 8),
            b'f' => matches!(self.size, 2 | 4 | 8),
            b'c' => matches!(self.size, 8 | 16),
            _ => false,
        }
    }
}

/// What a shared thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SharedKind {
    /// A lock, whose words lie at `at`.
    Lock = 1,
    /// A semaphore, likewise.
    Semaphore = 2,
    /// An event, likewise.
    Event = 3,
    /// A queue of values in the neutral form, which is all of its memory.
    Queue = 4,
    /// A row of numbers behind a lock, which is all of its memory.
    Slice = 5,
}

impl SharedKind {
    /// The kind of this number.
    pub fn of(number: u8) -> Option<SharedKind> {
        use SharedKind::{Event, Lock, Queue, Semaphore, Slice};
        [Lock, Semaphore, Event, Queue, Slice].into_iter().find(|kind| *kind as u8 == number)
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            SharedKind::Lock => "a lock",
            SharedKind::Semaphore => "a semaphore",
            SharedKind::Event => "an event",
            SharedKind::Queue => "a queue",
            SharedKind::Slice => "a shared slice",
        }
    }
}

/// Where a shared thing is: the number of the descriptor beside the value, and the place in the memory behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedAt {
    /// What it is.
    pub kind: SharedKind,
    /// What the numbers of a slice are; of others zeros.
    pub item: ItemType,
    /// Which of the descriptors.
    pub file: u32,
    /// Where its words begin.
    pub at: u64,
    /// How many bytes they are; of a slice those of its numbers.
    pub size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Copies a value token by token.
    fn copied(reader: &mut Reader<'_>, writer: &mut Writer<'_>) -> crate::Result<()> {
        let each = |reader: &mut Reader<'_>, writer: &mut Writer<'_>, count: u64| {
            (0..count).try_for_each(|_| copied(reader, writer))
        };
        match reader.token()? {
            Token::None => writer.none(),
            Token::Bool(value) => writer.bool(value),
            Token::Int(value) => writer.int(value),
            Token::Float(value) => writer.float(value),
            Token::Text(text) => writer.text(text),
            Token::Bytes(bytes) => writer.bytes(bytes),
            Token::List(count) => {
                writer.list(count);
                each(reader, writer, count)?;
                reader.leave();
            }
            Token::Tuple(count) => {
                writer.tuple(count);
                each(reader, writer, count)?;
                reader.leave();
            }
            Token::Dict(count) => {
                writer.dict(count);
                each(reader, writer, 2 * count)?;
                reader.leave();
            }
            Token::Array { item, is_fortran, shape, items } => {
                writer.array(item, is_fortran, &shape);
                writer.raw(items);
            }
            Token::Apart { item, is_fortran, shape, part, .. } => writer.apart(item, is_fortran, &shape, part),
            Token::Shared(at) => writer.shared(&at),
        }
        Ok(())
    }

    #[test]
    fn each_value_comes_back() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.dict(2);
        writer.text("numbers");
        writer.tuple(6);
        [0, -1, i128::from(i64::MIN), i128::from(u64::MAX), i128::MAX, i128::MIN]
            .into_iter()
            .for_each(|n| writer.int(n));
        writer.bytes(b"\0\xff");
        writer.list(6);
        writer.none();
        writer.bool(true);
        writer.float(-0.5);
        writer.array(ItemType { kind: b'f', size: 4 }, true, &[2, 0, 3]);
        writer.apart(ItemType { kind: b'c', size: 16 }, false, &[1 << 20, 3], 7);
        let item = ItemType { kind: b'u', size: 2 };
        writer.shared(&SharedAt { kind: SharedKind::Slice, item, file: 3, at: 64, size: 20 });
        let mut again = Vec::new();
        let mut reader = Reader::new(&bytes);
        copied(&mut reader, &mut Writer::new(&mut again)).unwrap();
        assert!(reader.end().is_ok());
        assert_eq!(bytes, again);
        for size in 0..bytes.len() {
            assert!(copied(&mut Reader::new(&bytes[..size]), &mut Writer::new(&mut again)).is_err(), "{size}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.tuple(2);
        writer.int(-2);
        writer.text("é");
        let expected = concat!("09", "0200000000000000", "03", "feffffffffffffff", "06", "0200000000000000", "c3a9");
        assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
    }

    #[test]
    fn what_speaks_of_more_than_there_is_is_refused() {
        let mut endless = [LIST, 1, 0, 0, 0, 0, 0, 0, 0].repeat(MOST_DEPTH + 1);
        endless.push(NONE);
        let text = copied(&mut Reader::new(&endless), &mut Writer::new(&mut Vec::new())).unwrap_err().to_string();
        assert!(text.contains("nested"), "{text}");
        for tag in [TEXT, BYTES, LIST, TUPLE, DICT] {
            let bytes = [&[tag][..], &u64::MAX.to_le_bytes()].concat();
            assert!(Reader::new(&bytes).token().is_err(), "{tag}");
        }
        let array = [&[ARRAY, b'f', 8, 0, 2][..], &u64::MAX.to_le_bytes(), &u64::MAX.to_le_bytes()].concat();
        assert!(Reader::new(&array).token().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in any::<Vec<u8>>()) {
            let _ = copied(&mut Reader::new(&bytes), &mut Writer::new(&mut Vec::new()));
        }
    }
}
