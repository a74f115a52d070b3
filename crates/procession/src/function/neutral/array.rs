//! `Array`: numbers in a shape, as numpy has them.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::SeqAccess;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::channel::neutral::{APART_BYTES, ItemType, MOST_DIMENSIONS};
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Bytes, unread};
use crate::shared_memory::{Number, bytes_of, numbers_of};

use super::ARRAY_NAME;
use super::parts::{Row, offering};

/// Calls `macro` with the numbers that rows are made of, but bytes.
macro_rules! rows {
    ($call:ident) => {
        $call!(i8, u16, i16, u32, i32, u64, i64, f32, f64)
    };
}
pub(super) use rows;

mod sealed {
    use super::{ItemType, Number};

    /// A number that arrays are made of.
    pub trait Element: Number {
        /// What programs of other languages call it.
        const ITEM: ItemType;
        /// Adds the bytes of all.
        fn write(row: &[Self], into: &mut Vec<u8>);
        /// The numbers of these bytes.
        fn read(bytes: &[u8]) -> Vec<Self>;
    }
}
pub(super) use sealed::Element;

macro_rules! row {
    ($kind:literal: $($number:ty),*) => {$(
        impl Element for $number {
            const ITEM: ItemType = ItemType { kind: $kind, size: size_of::<$number>() as u8 };

            fn write(row: &[Self], into: &mut Vec<u8>) {
                if cfg!(target_endian = "little") {
                    return into.extend_from_slice(bytes_of(row));
                }
                row.iter().for_each(|number| into.extend_from_slice(&number.to_le_bytes()));
            }

            fn read(bytes: &[u8]) -> Vec<Self> {
                if cfg!(target_endian = "little") {
                    return numbers_of(bytes);
                }
                let numbers = bytes.chunks_exact(size_of::<$number>());
                numbers.map(|bytes| <$number>::from_le_bytes(bytes.try_into().expect("a chunk of its size"))).collect()
            }
        }
    )*};
}
row!(b'u': u8, u16, u32, u64);
row!(b'i': i8, i16, i32, i64);
row!(b'f': f32, f64);

/// What the numbers of this type are, if programs of other languages have them.
pub(crate) fn item_of<T: 'static>() -> Option<ItemType> {
    use std::any::TypeId;
    macro_rules! found {
        ($($number:ty),*) => {{
            $(if TypeId::of::<T>() == TypeId::of::<$number>() {
                return Some(<$number as Element>::ITEM);
            })*
            None
        }};
    }
    let of_words = || if TypeId::of::<T>() == TypeId::of::<u8>() { Some(u8::ITEM) } else { None };
    of_words().or_else(|| rows!(found))
}

/// What programs of other languages call numbers.
pub(crate) fn title(item: ItemType) -> String {
    let kind = match item.kind {
        b'b' => return "bool".into(),
        b'i' => "int",
        b'u' => "uint",
        b'f' => "float",
        _ => "complex",
    };
    format!("{kind}{}", 8 * u32::from(item.size))
}

/// Numbers in a shape: what `numpy.ndarray` is to a Python program.
///
/// They lie in one row, in the order of C (the last index changes first) unless the sender had them in that of Fortran.
/// `T` is an integer of 8 to 64 bits, `f32` or `f64`. A clone has its items in common with what it is a clone of, and so has what
/// is on its way to another process.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// use procession::Array;
///
/// let grid = Array::new(vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!((grid.shape(), grid.items()[3]), (&[2, 3][..], 4.0));
/// assert!(Array::new(vec![2, 2], vec![1, 2, 3]).is_err());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<T> {
    shape: Vec<usize>,
    is_fortran: bool,
    items: Arc<Vec<T>>,
}

impl<T: Element> Array<T> {
    /// `items` in this shape, in the order of C.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let row = procession::Array::new(vec![3], vec![1u8, 2, 3])?;
    /// assert_eq!(row, vec![1u8, 2, 3].into());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` when the shape is that of another number of items, or has more than 32 dimensions.
    pub fn new(shape: Vec<usize>, items: Vec<T>) -> Result<Array<T>> {
        Array::with_order(shape, items, false)
    }

    fn with_order(shape: Vec<usize>, items: Vec<T>, is_fortran: bool) -> Result<Array<T>> {
        let count = shape.iter().try_fold(1usize, |count, length| count.checked_mul(*length));
        if count != Some(items.len()) || shape.len() > MOST_DIMENSIONS {
            let message = format!("an array of shape {shape:?} with {} items", items.len());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Array { shape, is_fortran, items: Arc::new(items) })
    }

    /// How many items there are in each dimension.
    ///
    /// ```
    /// assert_eq!(procession::Array::from(vec![0.5, 1.5]).shape(), [2]);
    /// ```
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The items, as they lie in memory.
    ///
    /// ```
    /// assert_eq!(procession::Array::from(vec![0.5, 1.5]).items(), [0.5, 1.5]);
    /// ```
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// The items, as they lie in memory; copied if somebody else has them too.
    ///
    /// ```
    /// assert_eq!(procession::Array::from(vec![0.5, 1.5]).into_items(), [0.5, 1.5]);
    /// ```
    pub fn into_items(self) -> Vec<T> {
        Arc::unwrap_or_clone(self.items)
    }

    /// Whether they lie in the order of Fortran, the first index changing first; a row lies in both.
    ///
    /// ```
    /// assert!(!procession::Array::from(vec![0.5, 1.5]).is_fortran());
    /// ```
    pub fn is_fortran(&self) -> bool {
        self.is_fortran
    }

    fn head(&self) -> Bytes {
        let mut head = vec![T::ITEM.kind, T::ITEM.size, self.is_fortran.into(), self.shape.len() as u8];
        self.shape.iter().for_each(|length| head.extend_from_slice(&(*length as u64).to_le_bytes()));
        Bytes(head)
    }
}

impl<T: Element> From<Vec<T>> for Array<T> {
    fn from(items: Vec<T>) -> Array<T> {
        Array { shape: vec![items.len()], is_fortran: false, items: Arc::new(items) }
    }
}

impl<T: Element> Serialize for Array<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if cfg!(target_endian = "little") {
            let array = (self.head(), Items(Cow::Borrowed(bytes_of(&self.items))));
            if array.1.0.len() < APART_BYTES {
                return serializer.serialize_newtype_struct(ARRAY_NAME, &array);
            }
            return offering(self.items.clone(), || serializer.serialize_newtype_struct(ARRAY_NAME, &array));
        }
        let mut items = Vec::new();
        T::write(&self.items, &mut items);
        serializer.serialize_newtype_struct(ARRAY_NAME, &(self.head(), Items(Cow::Owned(items))))
    }
}

impl<T: Element> Row for Vec<T> {
    fn bytes(&self) -> &[u8] {
        bytes_of(self)
    }
}

/// The bytes of an array's items, where they lie if that can be.
struct Items<'a>(Cow<'a, [u8]>);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_bytes(Taker)
    }
}

struct Taker;

impl<'de> serde::de::Visitor<'de> for Taker {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> std::result::Result<Items<'de>, E> {
        Ok(Items(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> std::result::Result<Items<'de>, E> {
        Ok(Items(Cow::Owned(bytes.to_vec())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, row: A) -> std::result::Result<Items<'de>, A::Error> {
        let bytes = Bytes::deserialize(serde::de::value::SeqAccessDeserializer::new(row))?;
        Ok(Items(Cow::Owned(bytes.0)))
    }
}

struct Parts;

impl<'de> serde::de::Visitor<'de> for Parts {
    type Value = (Bytes, Items<'de>);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> std::result::Result<Self::Value, D::Error> {
        Deserialize::deserialize(inner)
    }
}

impl<'de, T: Element> Deserialize<'de> for Array<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (head, items) = deserializer.deserialize_newtype_struct(ARRAY_NAME, Parts)?;
        let Some(([kind, size, order, dimensions], lengths)) = head.split_first_chunk() else {
            return Err(unread("an array that is cut off"));
        };
        let item = ItemType { kind: *kind, size: *size };
        if item != T::ITEM {
            let (found, expected) = (title(item), title(T::ITEM));
            return Err(unread(format_args!("an array of {found} where one of {expected} is expected")));
        }
        if lengths.len() != 8 * usize::from(*dimensions) || !items.0.len().is_multiple_of(size_of::<T>()) {
            return Err(unread("an array that is cut off"));
        }
        let shape = lengths.as_chunks::<8>().0.iter().map(|length| u64::from_le_bytes(*length) as usize).collect();
        Array::with_order(shape, T::read(&items.0), *order != 0).map_err(unread)
    }
}
