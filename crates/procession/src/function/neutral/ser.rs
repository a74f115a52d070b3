//! Writing Rust values down in the neutral form.

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::channel::neutral::{ARRAY, SHARED, Writer};

use super::{ARRAY_NAME, Failed, OWN_NAME, SHARED_NAME};

type Done = Result<(), Failed>;

/// Writes one value.
pub(super) struct Ser<'a, 'b> {
    writer: &'a mut Writer<'b>,
    /// Whether it is a part of what has a tag of its own: its bytes alone are written.
    is_part: bool,
}

impl<'a, 'b> Ser<'a, 'b> {
    pub(super) fn new(writer: &'a mut Writer<'b>) -> Self {
        Ser { writer, is_part: false }
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
        Ok(Many { place: is_open.then_some(place), count: 0, is_part: self.is_part, writer: self.writer })
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
    writer: &'a mut Writer<'b>,
    /// Where it begins, if its count is written at its end.
    place: Option<usize>,
    count: u64,
    is_part: bool,
}

impl Many<'_, '_> {
    fn one<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.count += 1;
        value.serialize(Ser { writer: self.writer, is_part: self.is_part })
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
        if self.is_part {
            self.writer.raw(value)
        } else {
            self.writer.bytes(value)
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
        match name {
            ARRAY_NAME => self.writer.raw(&[ARRAY]),
            SHARED_NAME => self.writer.raw(&[SHARED]),
            OWN_NAME => {
                return Err(Failed::custom(
                    "programs of another language share queues made by Queue::neutral, Lock<()>, Semaphore, Event and \
                     SharedSlice of numbers, and nothing else",
                ));
            }
            _ => return value.serialize(self),
        }
        value.serialize(Ser { writer: self.writer, is_part: true })
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
