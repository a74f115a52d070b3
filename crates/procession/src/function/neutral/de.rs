//! Rebuilding Rust values from the neutral form.

use serde::de::value::{BorrowedBytesDeserializer, BytesDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::channel::neutral::{ItemType, Token};

use super::source::Source;
use super::{ARRAY_NAME, Failed, SHARED_NAME};

/// Rebuilds one value.
pub(super) struct De<'a, 'de> {
    source: &'a mut Source<'de>,
}

impl<'a, 'de> De<'a, 'de> {
    pub(super) fn new(source: &'a mut Source<'de>) -> Self {
        De { source }
    }

    fn seq<V: Visitor<'de>>(self, count: u64, visitor: V) -> Result<V::Value, Failed> {
        let mut rest = Rest { source: self.source, left: count };
        let value = visitor.visit_seq(&mut rest)?;
        rest.end(count)?;
        Ok(value)
    }

    fn map<V: Visitor<'de>>(self, count: u64, visitor: V) -> Result<V::Value, Failed> {
        let mut rest = Rest { source: self.source, left: count };
        let value = visitor.visit_map(&mut rest)?;
        rest.end(count)?;
        Ok(value)
    }
}

/// The numbers of an array, as a sequence.
fn items<'de, V: Visitor<'de>>(item: ItemType, items: &[u8], visitor: V) -> Result<V::Value, Failed> {
    macro_rules! of {
        ($number:ty) => {{
            let chunks = items.chunks_exact(size_of::<$number>());
            let number = |bytes: &[u8]| <$number>::from_le_bytes(bytes.try_into().expect("a chunk of its size"));
            let mut numbers: SeqDeserializer<_, Failed> = SeqDeserializer::new(chunks.map(number));
            let value = visitor.visit_seq(&mut numbers)?;
            numbers.end()?;
            Ok(value)
        }};
    }
    match (item.kind, item.size) {
        (b'u', 1) => of!(u8),
        (b'u', 2) => of!(u16),
        (b'u', 4) => of!(u32),
        (b'u', _) => of!(u64),
        (b'i', 1) => of!(i8),
        (b'i', 2) => of!(i16),
        (b'i', 4) => of!(i32),
        (b'i', _) => of!(i64),
        (b'f', 4) => of!(f32),
        (b'f', 8) => of!(f64),
        (b'b', _) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(|item| *item != 0))),
        _ => Err(Failed::custom(format!("numbers of an array that Rust has not: {}", super::array::title(item)))),
    }
}

fn integer<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, Failed> {
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => visitor.visit_i64(value),
        (_, Ok(value)) => visitor.visit_u64(value),
        _ => visitor.visit_i128(value),
    }
}

/// Takes a value that nobody wants.
fn skip(source: &mut Source<'_>) -> Result<(), Failed> {
    let values = match source.token()? {
        Token::List(count) | Token::Tuple(count) => count,
        Token::Dict(count) => 2 * count,
        _ => return Ok(()),
    };
    (0..values).try_for_each(|_| skip(source))?;
    source.leave();
    Ok(())
}

impl<'de> Deserializer<'de> for De<'_, 'de> {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.source.token()? {
            Token::None => visitor.visit_unit(),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Int(value) => integer(value, visitor),
            Token::Float(value) => visitor.visit_f64(value),
            Token::Text(text) => visitor.visit_borrowed_str(text),
            Token::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::List(count) | Token::Tuple(count) => self.seq(count, visitor),
            Token::Dict(count) => self.map(count, visitor),
            Token::Array { item, shape, items: bytes, .. } if shape.len() == 1 => items(item, bytes, visitor),
            Token::Array { shape, .. } => {
                let count = shape.len();
                Err(Failed::custom(format!("an array of {count} dimensions: its type here is procession::Array")))
            }
            other @ (Token::Shared(_) | Token::Apart { .. }) => {
                Err(Failed::invalid_type(Unexpected::Other(other.name()), &visitor))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        if self.source.peek()? == Token::None {
            self.source.token()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.source.peek()? {
            Token::Bytes(bytes) => {
                self.source.token()?;
                items(ItemType { kind: b'u', size: 1 }, bytes, visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Failed> {
        match name {
            ARRAY_NAME => match self.source.token()? {
                Token::Array { item, is_fortran, shape, items } => {
                    let mut head = vec![item.kind, item.size, is_fortran.into(), shape.len() as u8];
                    shape.iter().for_each(|length| head.extend_from_slice(&length.to_le_bytes()));
                    visitor.visit_newtype_struct(ArrayParts { head: Some(head), items })
                }
                other => Err(Failed::invalid_type(Unexpected::Other(other.name()), &visitor)),
            },
            SHARED_NAME => match self.source.token()? {
                Token::Shared(it) => {
                    let head = [it.kind as u8, it.item.kind, it.item.size].map(u64::from);
                    let words = head.into_iter().chain([it.file.into(), it.at, it.size]);
                    visitor.visit_newtype_struct(SeqDeserializer::new(words))
                }
                other => Err(Failed::invalid_type(Unexpected::Other(other.name()), &visitor)),
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        match self.source.token()? {
            Token::Text(name) => visitor.visit_enum(name.into_deserializer()),
            Token::Dict(1) => {
                let value = visitor.visit_enum(Variant { source: self.source })?;
                self.source.leave();
                Ok(value)
            }
            other => Err(Failed::invalid_type(Unexpected::Other(other.name()), &visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        skip(self.source)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct map struct
        identifier
    }
}

/// The values of a list, a tuple or a dict that are left.
struct Rest<'a, 'de> {
    source: &'a mut Source<'de>,
    left: u64,
}

impl Rest<'_, '_> {
    fn end(self, count: u64) -> Result<(), Failed> {
        if self.left > 0 {
            let taken = count - self.left;
            return Err(Failed::custom(format!("{count} values where {taken} are expected")));
        }
        self.source.leave();
        Ok(())
    }
}

impl<'de> SeqAccess<'de> for &mut Rest<'_, 'de> {
    type Error = Failed;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failed> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(De { source: self.source }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

impl<'de> MapAccess<'de> for &mut Rest<'_, 'de> {
    type Error = Failed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failed> {
        SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failed> {
        seed.deserialize(De { source: self.source })
    }
}

/// A variant that has something: a pair of its name and that.
struct Variant<'a, 'de> {
    source: &'a mut Source<'de>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = Failed;
    type Variant = De<'a, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, De<'a, 'de>), Failed> {
        let name = seed.deserialize(De { source: self.source })?;
        Ok((name, De { source: self.source }))
    }
}

impl<'de> VariantAccess<'de> for De<'_, 'de> {
    type Error = Failed;

    fn unit_variant(self) -> Result<(), Failed> {
        serde::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failed> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Failed> {
        match self.source.token()? {
            Token::Dict(count) => self.map(count, visitor),
            other => Err(Failed::invalid_type(Unexpected::Other(other.name()), &visitor)),
        }
    }
}

/// The head and the items of an array.
struct ArrayParts<'de> {
    head: Option<Vec<u8>>,
    items: &'de [u8],
}

impl<'de> Deserializer<'de> for ArrayParts<'de> {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_seq(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for ArrayParts<'de> {
    type Error = Failed;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failed> {
        match self.head.take() {
            Some(head) => seed.deserialize(BytesDeserializer::new(&head)).map(Some),
            None => seed.deserialize(BorrowedBytesDeserializer::new(self.items)).map(Some),
        }
    }
}
