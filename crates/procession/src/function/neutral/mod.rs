//! Values for programs of another language: serde and the neutral form.
//!
//! A structure is a dict of its fields, a tuple a tuple, a sequence a list, a variant its name or a dict of one pair, as in
//! other formats that say what comes. Arrays and what is shared have tags of their own, which serde does not know: they cross
//! as newtypes of these names, which other formats take for what is in them.

mod array;
mod de;
mod parts;
mod ser;
mod source;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::neutral::{Token, Writer};
use crate::shared_memory::View;

use super::causes::told_by;
pub use array::Array;
use array::{Element, rows};
pub(crate) use array::{item_of, title};
pub(crate) use parts::Part;
use source::Source;

/// Around the head and the items of an array.
pub(super) const ARRAY_NAME: &str = "procession::Array";
/// Around what programs of both languages share.
pub(crate) const SHARED_NAME: &str = "procession::Shared";
/// Around what programs of this language alone share.
pub(crate) const OWN_NAME: &str = "procession::Own";

/// Why a value cannot be written down or rebuilt.
#[derive(Debug)]
pub(super) struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl serde::ser::Error for Failed {
    fn custom<T: fmt::Display>(message: T) -> Failed {
        Failed(message.to_string())
    }
}

impl serde::de::Error for Failed {
    fn custom<T: fmt::Display>(message: T) -> Failed {
        Failed(message.to_string())
    }
}

impl From<crate::error::Error> for Failed {
    fn from(error: crate::error::Error) -> Failed {
        Failed(error.to_string())
    }
}

/// As [`encode_neutral`] of a value that is given away; large rows of numbers become `parts` beside its bytes.
pub(crate) fn encode_apart<T: Serialize + 'static>(
    value: T,
    into: &mut Vec<u8>,
    parts: &mut Vec<Part>,
) -> Result<(), String> {
    let mut value = Some(value);
    let any: &mut dyn Any = &mut value;
    // A row is an array of one dimension, which has its numbers in common with whoever it is sent to.
    macro_rules! written {
        ($($number:ty),*) => {$(
            if let Some(row) = any.downcast_mut::<Option<Vec<$number>>>() {
                let array = Array::from(row.take().unwrap_or_default());
                return written(&array, into, Some(parts));
            }
        )*};
    }
    rows!(written);
    match &value {
        Some(value) if (value as &dyn Any).is::<Vec<u8>>() => encode_neutral(value, into),
        Some(value) => written(value, into, Some(parts)),
        None => Ok(()),
    }
}

fn written<T: Serialize>(value: &T, into: &mut Vec<u8>, parts: Option<&mut Vec<Part>>) -> Result<(), String> {
    let mut sink = ser::Sink { writer: Writer::new(into), parts };
    told_by(|| value.serialize(ser::Ser::new(&mut sink)))
}

/// Adds `value` in the neutral form to `into`.
pub(crate) fn encode_neutral<T: Serialize + 'static>(value: &T, into: &mut Vec<u8>) -> Result<(), String> {
    let mut writer = Writer::new(into);
    let any: &dyn Any = value;
    if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        writer.bytes(bytes);
        return Ok(());
    }
    macro_rules! written {
        ($($number:ty),*) => {$(
            if let Some(row) = any.downcast_ref::<Vec<$number>>() {
                writer.array(<$number as Element>::ITEM, false, &[row.len() as u64]);
                <$number as Element>::write(row, writer.buffer());
                return Ok(());
            }
        )*};
    }
    rows!(written);
    written(value, into, None)
}

/// The value whose neutral form these bytes are, all of them.
pub(crate) fn decode_neutral<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, String> {
    decode_apart(bytes, &[])
}

/// As [`decode_neutral`], with the parts beside it.
pub(crate) fn decode_apart<T: DeserializeOwned + 'static>(bytes: &[u8], parts: &[Arc<View>]) -> Result<T, String> {
    let mut source = Source::new(bytes, parts);
    let mut value: Option<T> = None;
    let any: &mut dyn Any = &mut value;
    macro_rules! read {
        ($($number:ty),*) => {$(
            if let Some(row) = any.downcast_mut::<Option<Vec<$number>>>()
                && let Ok(Token::Array { item, shape, items, .. }) = source.peek()
                && item == <$number as Element>::ITEM
                && shape.len() == 1
            {
                *row = Some(<$number as Element>::read(items));
            }
        )*};
    }
    rows!(read);
    if let Some(row) = any.downcast_mut::<Option<Vec<u8>>>()
        && let Ok(Token::Bytes(bytes)) = source.peek()
    {
        *row = Some(bytes.to_vec());
    }
    told_by(|| -> Result<T, Failed> {
        let value = match value {
            Some(value) => {
                source.token()?;
                value
            }
            None => T::deserialize(de::De::new(&mut source))?,
        };
        source.end()?;
        Ok(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::Bytes;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle(f64),
        Line(i8, i8),
        Box { width: u64, name: Option<String> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        shapes: Vec<Shape>,
        unit: (),
        letter: char,
        by_name: BTreeMap<String, (bool, i128)>,
        raw: Bytes,
        grid: Array<f32>,
    }

    fn again<T: Serialize + DeserializeOwned + 'static>(value: &T) -> T {
        let mut bytes = Vec::new();
        encode_neutral(value, &mut bytes).unwrap();
        decode_neutral(&bytes).unwrap()
    }

    #[test]
    fn each_kind_of_value_comes_back() {
        let all = All {
            shapes: vec![
                Shape::Point,
                Shape::Circle(0.5),
                Shape::Line(-1, 1),
                Shape::Box { width: u64::MAX, name: None },
                Shape::Box { width: 0, name: Some("é".into()) },
            ],
            unit: (),
            letter: 'ß',
            by_name: [("a".into(), (true, i128::MIN))].into(),
            raw: Bytes(vec![0, 255]),
            grid: Array::new(vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.5]).unwrap(),
        };
        assert_eq!(again(&all), all);
        assert_eq!(again(&vec![1.5f64, 2.5]), [1.5, 2.5]);
        assert_eq!(again(&vec![9u8, 8]), [9, 8]);
    }

    fn refused<T: DeserializeOwned + fmt::Debug + 'static>(value: &(impl Serialize + 'static)) -> String {
        let mut bytes = Vec::new();
        encode_neutral(value, &mut bytes).unwrap();
        decode_neutral::<T>(&bytes).unwrap_err()
    }

    #[test]
    fn a_value_of_another_kind_says_what_it_is() {
        let text = refused::<Array<f64>>(&Array::from(vec![1i32]));
        assert!(text.contains("int32") && text.contains("float64"), "{text}");
        let text = refused::<Vec<i32>>(&Array::new(vec![1, 1], vec![1i32]).unwrap());
        assert!(text.contains("2 dimensions") && text.contains("Array"), "{text}");
        assert!(refused::<Array<f64>>(&"a").contains("an array"));
        assert!(refused::<u8>(&300).contains("300"));
        assert!(refused::<(u8, u8)>(&(1, 2, 3)).contains('3'));
    }

    #[test]
    fn numbers_of_an_array_are_read_as_other_numbers_too() {
        let mut bytes = Vec::new();
        encode_neutral(&Array::from(vec![1i16, -2]), &mut bytes).unwrap();
        assert_eq!(decode_neutral::<Vec<f64>>(&bytes), Ok(vec![1.0, -2.0]));
        assert_eq!(decode_neutral::<(i64, i8)>(&bytes), Ok((1, -2)));
    }

    #[test]
    fn arrays_of_the_neutral_form_cross_in_this_language_s_own_form_too() {
        let grid = Array::new(vec![1, 2], vec![7u64, 8]).unwrap();
        let mut bytes = Vec::new();
        super::super::encode(&grid, &mut bytes).unwrap();
        assert_eq!(super::super::decode::<Array<u64>>(&bytes), Ok(grid));
    }

    proptest! {
        #[test]
        fn values_come_back(
            rows in any::<Vec<(i64, u64, f64)>>(), text in any::<String>(), maybe in any::<Option<Vec<i8>>>(),
        ) {
            prop_assert_eq!(again(&(text.clone(), maybe.clone())), (text, maybe));
            prop_assert_eq!(again(&rows), rows);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in any::<Vec<u8>>()) {
            let panicked = |error: String| error.contains("panicked");
            prop_assert!(!decode_neutral::<(String, Vec<u32>, Option<Bytes>)>(&bytes).is_err_and(panicked));
            prop_assert!(!decode_neutral::<All>(&bytes).is_err_and(panicked));
        }
    }
}
