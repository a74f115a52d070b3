//! Writing Rust values down in the neutral form.

use std::ops::{Deref, DerefMut};

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::channel::neutral::{APART_BYTES, ARRAY, SHARED, Writer};

use super::parts::{Part, offered};
use super::{ARRAY_NAME, Failed, OWN_NAME, SHARED_NAME};

type Done = Result<(), Failed>;

/// Where values are written to: their bytes, and large rows that stay apart if there is a place for them.
pub(super) struct Sink<'b> {
    pub writer: Writer<'b>,
    pub parts: Option<&'b mut Vec<Part>>,
}

impl Sink<'_> {
    /// The items of the array that begins at `place`.
    fn items(&mut self, place: usize, items: &[u8]) {
        if let Some(parts) = &mut self.parts
            && items.len() >= APART_BYTES
            && let Some(part) = offered(items)
        {
            self.writer.apart_at(place, parts.len() as u32);
            parts.push(part);
        } else {
            self.writer.raw(items);
        }
    }
}

impl<'b> Deref for Sink<'b> {
    type Target = Writer<'b>;

    fn deref(&self) -> &Writer<'b> {
        &self.writer
    }
}

impl<'b> DerefMut for Sink<'b> {
    fn deref_mut(&mut self) -> &mut Writer<'b> {
        &mut self.writer
    }
}

/// Writes one value.
pub(super) struct Ser<'a, 'b> {
    writer: &'a mut Sink<'b>,
    /// Whether it is a part of what has a tag of its own: its bytes alone are written.
    is_part: bool,
    /// Where the array begins whose head and items it is.
    array: Option<usize>,
}

impl<'a, 'b> Ser<'a, 'b> {
    pub(super) fn new(writer: &'a mut Sink<'b>) -> Self {
        Ser { writer, is_part: false, array: None }
    }

    fn number<const N: usize>(self, value: i128, part: [u8; N]) -> Done {
        if self.is_part {
            self.writer.raw(&part)
        } else {
            self.writer.int(value)
        }
        Ok(())
    }

    /// A value whose parts come one after the other; `begin` writes its beginning for a count of them.
    fn many(self, count: Option<usize>, begin: impl FnOnce(&mut Writer<'b>, u64)) -> Result<Many<'a, 'b>, Failed> {
        let place = self.writer.place();
        if !self.is_part {
            begin(self.writer, count.unwrap_or(0) as u64);
        }
        let is_open = count.is_none() && !self.is_part;
        let (is_part, array) = (self.is_part, self.array);
        Ok(Many { place: is_open.then_some(place), count: 0, is_part, array, writer: self.writer })
    }

    /// A dict of one pair: the name of a variant, and what it has.
    fn variant(self, name: &'static str) -> Self {
        self.writer.dict(1);
        self.writer.text(name);
        self
    }
}

/// The values of a list, a tuple or a dict.
pub(super) struct Many<'a, 'b> {
    writer: &'a mut Sink<'b>,
    /// Where it begins, if its count is written at its end.
    place: Option<usize>,
    count: u64,
    is_part: bool,
    array: Option<usize>,
}

impl Many<'_, '_> {
    fn one<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.count += 1;
        // The second of an array's two are its items.
        let array = self.array.filter(|_| self.count == 2);
        value.serialize(Ser { writer: self.writer, is_part: self.is_part, array })
    }

    fn done(self, each: u64) -> Done {
        if let Some(place) = self.place {
            self.writer.count_at(place, self.count / each);
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident: $number:ty),*) => {$(
        fn $method(self, value: $number) -> Done {
            self.number(value.into(), value.to_le_bytes())
        }
    )*};
}

impl<'a, 'b> Serializer for Ser<'a, 'b> {
    type Ok = ();
    type Error = Failed;
    type SerializeSeq = Many<'a, 'b>;
    type SerializeTuple = Many<'a, 'b>;
    type SerializeTupleStruct = Many<'a, 'b>;
    type SerializeTupleVariant = Many<'a, 'b>;
    type SerializeMap = Many<'a, 'b>;
    type SerializeStruct = Many<'a, 'b>;
    type SerializeStructVariant = Many<'a, 'b>;

    integers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    );

    fn serialize_u128(self, value: u128) -> Done {
        let value = i128::try_from(value).map_err(|_| Failed::custom("an integer above 2^127 has no neutral form"))?;
        self.serialize_i128(value)
    }

    fn serialize_bool(self, value: bool) -> Done {
        self.writer.bool(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Done {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Done {
        self.writer.float(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Done {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Done {
        self.writer.text(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Done {
        match (self.is_part, self.array) {
            (_, Some(place)) => self.writer.items(place, value),
            (true, None) => self.writer.raw(value),
            (false, None) => self.writer.bytes(value),
        }
        Ok(())
    }

    fn serialize_none(self) -> Done {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        self.writer.none();
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Done {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Done {
        let place = self.writer.place();
        let array = match name {
            ARRAY_NAME => {
                self.writer.raw(&[ARRAY]);
                Some(place)
            }
            SHARED_NAME => {
                self.writer.raw(&[SHARED]);
                None
            }
            OWN_NAME => {
                return Err(Failed::custom(
                    "programs of another language share queues made by Queue::neutral, Lock<()>, Semaphore, Event and \
                     SharedSlice of numbers, and nothing else",
                ));
            }
            _ => return value.serialize(self),
        };
        value.serialize(Ser { writer: self.writer, is_part: true, array })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        value.serialize(self.variant(variant))
    }

    fn serialize_seq(self, count: Option<usize>) -> Result<Many<'a, 'b>, Failed> {
        self.many(count, Writer::list)
    }

    fn serialize_tuple(self, count: usize) -> Result<Many<'a, 'b>, Failed> {
        self.many(Some(count), Writer::tuple)
    }

    fn serialize_tuple_struct(self, _: &'static str, count: usize) -> Result<Many<'a, 'b>, Failed> {
        self.serialize_tuple(count)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        count: usize,
    ) -> Result<Many<'a, 'b>, Failed> {
        self.variant(variant).serialize_tuple(count)
    }

    fn serialize_map(self, count: Option<usize>) -> Result<Many<'a, 'b>, Failed> {
        self.many(count, Writer::dict)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Many<'a, 'b>, Failed> {
        // A field may be left out.
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        count: usize,
    ) -> Result<Many<'a, 'b>, Failed> {
        self.variant(variant).serialize_struct(name, count)
    }
}

macro_rules! values {
    ($($kind:ident::$method:ident),*) => {$(
        impl $kind for Many<'_, '_> {
            type Ok = ();
            type Error = Failed;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                self.one(value)
            }

            fn end(self) -> Done {
                self.done(1)
            }
        }
    )*};
}
values!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

impl SerializeMap for Many<'_, '_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.one(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.one(value)
    }

    fn end(self) -> Done {
        self.done(2)
    }
}

macro_rules! fields {
    ($($kind:ident),*) => {$(
        impl $kind for Many<'_, '_> {
            type Ok = ();
            type Error = Failed;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Done {
                self.one(name)?;
                self.one(value)
            }

            fn end(self) -> Done {
                self.done(2)
            }
        }
    )*};
}
fields!(SerializeStruct, SerializeStructVariant);
