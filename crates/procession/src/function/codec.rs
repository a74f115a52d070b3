//! Values as bytes: serde and postcard, but for long rows of plain numbers, which are copied as they are.

use std::any::Any;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::causes::told;

/// Adds the bytes of `value` to `into`.
pub(crate) fn encode<T: Serialize + 'static>(value: &T, into: &mut Vec<u8>) -> Result<(), String> {
    let any: &dyn Any = value;
    if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        into.extend_from_slice(bytes);
        return Ok(());
    }
    macro_rules! rows {
        ($($number:ty),*) => {$(
            if let Some(row) = any.downcast_ref::<Vec<$number>>() {
                let start = into.len();
                into.resize(start + size_of_val(&row[..]), 0);
                let places = into[start..].chunks_exact_mut(size_of::<$number>());
                places.zip(row).for_each(|(place, number)| place.copy_from_slice(&number.to_ne_bytes()));
                return Ok(());
            }
        )*};
    }
    if is_row::<T>() {
        rows!(i8, u16, i16, u32, i32, u64, i64, usize, isize, f32, f64);
    }
    told(|| postcard::serialize_with_flavor(value, Sink(into)))
}

/// The bytes of `value`, where [`encode`] would but copy them.
pub(crate) fn as_bytes<T: 'static>(value: &T) -> Option<&[u8]> {
    let any: &dyn Any = value;
    any.downcast_ref::<Vec<u8>>().map(Vec::as_slice)
}

/// The value whose bytes these are, all of them.
pub(crate) fn decode<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, String> {
    let mut value: Option<T> = None;
    if is_row::<T>() || is_bytes::<T>() {
        let any: &mut dyn Any = &mut value;
        if let Some(row) = any.downcast_mut::<Option<Vec<u8>>>() {
            *row = Some(bytes.to_vec());
        }
        macro_rules! rows {
            ($($number:ty),*) => {$(
                if let Some(row) = any.downcast_mut::<Option<Vec<$number>>>() {
                    let numbers = bytes.chunks_exact(size_of::<$number>());
                    if !numbers.remainder().is_empty() {
                        return Err("a row of numbers that ends within one".into());
                    }
                    let number = |bytes: &[u8]| <$number>::from_ne_bytes(bytes.try_into().expect("a chunk of its size"));
                    *row = Some(numbers.map(number).collect());
                }
            )*};
        }
        rows!(i8, u16, i16, u32, i32, u64, i64, usize, isize, f32, f64);
    }
    match value {
        Some(value) => Ok(value),
        None => told(|| postcard::from_bytes(bytes)),
    }
}

/// As [`decode`]; bytes that are the value themselves are not copied.
pub(crate) fn decode_owned<T: DeserializeOwned + 'static>(bytes: Vec<u8>) -> Result<T, String> {
    if !is_bytes::<T>() {
        return decode(&bytes);
    }
    let mut value: Option<T> = None;
    let any: &mut dyn Any = &mut value;
    if let Some(row) = any.downcast_mut::<Option<Vec<u8>>>() {
        *row = Some(bytes);
    }
    value.ok_or_else(|| "bytes that are none".into())
}

fn is_bytes<T: 'static>() -> bool {
    std::any::TypeId::of::<T>() == std::any::TypeId::of::<Vec<u8>>()
}

fn is_row<T: 'static>() -> bool {
    use std::any::TypeId;
    let this = TypeId::of::<T>();
    macro_rules! any_of {
        ($($number:ty),*) => { false $(|| this == TypeId::of::<Vec<$number>>())* };
    }
    any_of!(i8, u16, i16, u32, i32, u64, i64, usize, isize, f32, f64)
}

/// Where postcard writes.
struct Sink<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Sink<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Bytes that cross as they are, wherever they stand.
///
/// Serde takes a `Vec<u8>` apart into single numbers. Where it is the whole argument or result of a task this crate sees
/// that and copies it in one go; within a tuple or a structure it cannot, and this type says it.
///
/// ```
/// use procession::{Bytes, Pool};
///
/// # fn main() -> procession::Result<()> {
/// fn page((number, text): (u32, Bytes)) -> usize { number as usize * text.len() }
/// let sizes: Vec<usize> = Pool::new(2)?.map(page, [(1, Bytes(vec![0; 10])), (2, Bytes(vec![0; 10]))])?;
/// assert_eq!(sizes, [10, 20]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl std::ops::Deref for Bytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(bytes)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Taker;
        impl<'de> Visitor<'de> for Taker {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = row.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Taker).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn again<T: Serialize + DeserializeOwned + 'static>(value: &T) -> T {
        let mut bytes = Vec::new();
        encode(value, &mut bytes).unwrap();
        decode(&bytes).unwrap()
    }

    proptest! {
        #[test]
        fn values_come_back(
            bytes in any::<Vec<u8>>(), floats in any::<Vec<u64>>(), text in any::<String>(), maybe in any::<Option<i16>>()
        ) {
            prop_assert_eq!(&again(&bytes), &bytes);
            prop_assert_eq!(&again(&floats), &floats);
            prop_assert_eq!(again(&Bytes(bytes.clone())).0, bytes.clone());
            prop_assert_eq!(again(&(text.clone(), bytes.clone(), maybe)), (text, bytes, maybe));
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in any::<Vec<u8>>()) {
            let panicked = |error: String| error.contains("panicked");
            prop_assert!(!decode::<(String, Vec<u32>, Option<Bytes>)>(&bytes).is_err_and(panicked));
            prop_assert!(!decode::<Vec<f64>>(&bytes).is_err_and(panicked));
        }
    }

    #[test]
    fn bytes_of_a_buffer_are_sent_as_they_are() {
        let mut bytes = Vec::new();
        encode(&vec![1.5f64; 3], &mut bytes).unwrap();
        assert_eq!(bytes.len(), 24);
        assert_eq!(decode::<Vec<f64>>(&bytes), Ok(vec![1.5; 3]));
    }
}
