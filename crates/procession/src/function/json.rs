//! `Json`: values that cross as text which says what they are.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Bytes, unread, unwritten};

/// A value that crosses as JSON.
///
/// Arguments and results cross in a format that names nothing: both sides know the type. Some types have to be told what
/// comes: untagged enums, flattened structures, fields that are skipped, `serde_json::Value`. Within this wrapper they cross too.
/// Needs the feature `json`.
///
/// ```
/// use procession::{Json, Pool};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(untagged)]
/// enum Id { Number(u64), Name(String) }
///
/// fn show(id: Json<Id>) -> String {
///     match id.0 {
///         Id::Number(number) => format!("number {number}"),
///         Id::Name(name) => name,
///     }
/// }
///
/// # fn main() -> procession::Result<()> {
/// let shown = Pool::new(2)?.map(show, [Json(Id::Number(7)), Json(Id::Name("seven".into()))])?;
/// assert_eq!(shown, ["number 7", "seven"]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Json<T>(pub T);

impl<T> std::ops::Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Json<T> {
        Json(value)
    }
}

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&serde_json::to_vec(&self.0).map_err(unwritten)?)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<T>, D::Error> {
        let text = Bytes::deserialize(deserializer)?;
        serde_json::from_slice(&text).map(Json).map_err(unread)
    }
}
