//! Numbers of one kind in shared memory, read and written one at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::words::Piece;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Mapping;

/// A number as it is passed in and out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyNumber {
    /// Numbers with a sign.
    Signed(i64),
    /// Numbers without a sign.
    Unsigned(u64),
    /// With a fraction.
    Float(f64),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

/// A row of numbers. Each is one atomic access, whoever else reads or writes it; what belongs together needs a lock.
#[derive(Debug)]
pub struct Numbers {
    piece: Piece,
    kind: Kind,
    count: usize,
}

impl Numbers {
    /// The `count` numbers that begin at `place` of `mapping`, a multiple of 8, in `room` bytes; `code` is the letter that
    /// the C type has in Python's `array` and `struct` modules: one of `bBhHiIlLqQfd`.
    ///
    /// # Errors
    /// `InvalidInput` for another letter, and when the numbers do not lie in the room or the room not in the mapping.
    pub fn new(mapping: Arc<Mapping>, place: usize, room: usize, code: char, count: usize) -> Result<Numbers> {
        let (kind, size) = match code {
            'b' => (Kind::I8, 1),
            'B' => (Kind::U8, 1),
            'h' => (Kind::I16, 2),
            'H' => (Kind::U16, 2),
            'i' => (Kind::I32, 4),
            'I' => (Kind::U32, 4),
            'l' if size_of::<std::ffi::c_long>() == 4 => (Kind::I32, 4),
            'L' if size_of::<std::ffi::c_long>() == 4 => (Kind::U32, 4),
            'l' | 'q' => (Kind::I64, 8),
            'L' | 'Q' => (Kind::U64, 8),
            'f' => (Kind::F32, 4),
            'd' => (Kind::F64, 8),
            _ => return Err(Error::new(ErrorKind::InvalidInput, format!("no kind of number has the letter {code:?}"))),
        };
        let fits = count.checked_mul(size).is_some_and(|bytes| bytes <= room);
        let piece = fits.then(|| Piece::new(mapping, place, room)).flatten();
        let piece = piece.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "numbers outside of their memory"))?;
        Ok(Numbers { piece, kind, count })
    }

    /// How many there are.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The number at `index`, or none if there are not so many.
    #[inline]
    pub fn get(&self, index: usize) -> Option<AnyNumber> {
        if index >= self.count {
            return None;
        }
        let p = &self.piece;
        Some(match self.kind {
            Kind::I8 => AnyNumber::Signed((p.word8(index).load(Relaxed) as i8).into()),
            Kind::U8 => AnyNumber::Unsigned(p.word8(index).load(Relaxed).into()),
            Kind::I16 => AnyNumber::Signed((p.word16(2 * index).load(Relaxed) as i16).into()),
            Kind::U16 => AnyNumber::Unsigned(p.word16(2 * index).load(Relaxed).into()),
            Kind::I32 => AnyNumber::Signed((p.word32(4 * index).load(Relaxed) as i32).into()),
            Kind::U32 => AnyNumber::Unsigned(p.word32(4 * index).load(Relaxed).into()),
            Kind::I64 => AnyNumber::Signed(p.word64(8 * index).load(Relaxed) as i64),
            Kind::U64 => AnyNumber::Unsigned(p.word64(8 * index).load(Relaxed)),
            Kind::F32 => AnyNumber::Float(f32::from_bits(p.word32(4 * index).load(Relaxed)).into()),
            Kind::F64 => AnyNumber::Float(f64::from_bits(p.word64(8 * index).load(Relaxed))),
        })
    }

    /// Stores `number` at `index`, without the bits of a whole number that its kind has no room for, as C does; false, and
    /// nothing stored, if there are not so many or the kinds are not both with a fraction or both without.
    #[inline]
    pub fn set(&self, index: usize, number: AnyNumber) -> bool {
        if index >= self.count {
            return false;
        }
        let p = &self.piece;
        match (self.kind, number) {
            (Kind::F32, AnyNumber::Float(f)) => p.word32(4 * index).store((f as f32).to_bits(), Relaxed),
            (Kind::F64, AnyNumber::Float(f)) => p.word64(8 * index).store(f.to_bits(), Relaxed),
            (Kind::F32 | Kind::F64, _) | (_, AnyNumber::Float(_)) => return false,
            (kind, AnyNumber::Signed(n)) => self.store(kind, index, n as u64),
            (kind, AnyNumber::Unsigned(n)) => self.store(kind, index, n),
        }
        true
    }

    #[inline]
    fn store(&self, kind: Kind, index: usize, bits: u64) {
        let p = &self.piece;
        match kind {
            Kind::I8 | Kind::U8 => p.word8(index).store(bits as u8, Relaxed),
            Kind::I16 | Kind::U16 => p.word16(2 * index).store(bits as u16, Relaxed),
            Kind::I32 | Kind::U32 | Kind::F32 => p.word32(4 * index).store(bits as u32, Relaxed),
            Kind::I64 | Kind::U64 | Kind::F64 => p.word64(8 * index).store(bits, Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::memory_file;

    fn numbers(code: char, count: usize) -> Result<Numbers> {
        let mapping = Mapping::new(memory_file("test", 4096, true).unwrap(), 0, 4096, false).unwrap();
        Numbers::new(Arc::new(mapping), 4064, 32, code, count)
    }

    #[test]
    fn each_kind_gives_back_what_it_can_hold() {
        let least = |bits: u32| AnyNumber::Signed(i64::MIN >> (64 - bits));
        let most = |bits: u32| AnyNumber::Unsigned(u64::MAX >> (64 - bits));
        let cases = [
            ('b', least(8)),
            ('B', most(8)),
            ('h', least(16)),
            ('H', most(16)),
            ('i', least(32)),
            ('I', most(32)),
            ('q', least(64)),
            ('Q', most(64)),
            ('f', AnyNumber::Float(0.5)),
            ('d', AnyNumber::Float(0.1)),
        ];
        for (code, number) in cases {
            let row = numbers(code, 4).unwrap();
            assert!(row.set(3, number), "{code}");
            assert_eq!(row.get(3), Some(number), "{code}");
            assert!(
                matches!(row.get(2), Some(AnyNumber::Signed(0) | AnyNumber::Unsigned(0) | AnyNumber::Float(0.0))),
                "{code}"
            );
            assert!(row.get(4).is_none() && !row.set(4, number), "{code}");
        }
    }

    #[test]
    fn a_whole_number_loses_the_bits_that_do_not_fit() {
        let row = numbers('b', 1).unwrap();
        assert!(row.set(0, AnyNumber::Signed(0x1_80)));
        assert_eq!(row.get(0), Some(AnyNumber::Signed(-128)));
        assert!(!row.set(0, AnyNumber::Float(1.0)));
    }

    #[test]
    fn numbers_outside_of_their_room_are_refused() {
        for (code, count) in [('q', 5), ('b', 33), ('d', usize::MAX), ('x', 1)] {
            assert_eq!(numbers(code, count).unwrap_err().kind(), ErrorKind::InvalidInput, "{code} {count}");
        }
    }
}
