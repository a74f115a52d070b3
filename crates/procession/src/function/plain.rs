//! `Plain`: rows of plain values that cross as they lie in memory.

use bytemuck::Pod;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Bytes, unread};

/// A row of plain values that crosses as it lies in memory, wherever it stands.
///
/// A `Vec` of numbers that is the whole argument or result crosses so by itself. For one within a tuple or a structure, and for
/// rows of structures of numbers (`bytemuck::Pod`), there is this type. Needs the feature `bytemuck`, which makes
/// [`SharedSlice`](crate::SharedSlice) take such structures too.
///
/// ```
/// use bytemuck::{Pod, Zeroable};
/// use procession::{Plain, Pool, SharedSlice};
///
/// #[derive(Clone, Copy, Pod, Zeroable)]
/// #[repr(C)]
/// struct Point { x: f32, y: f32 }
///
/// fn mean((points, weight): (Plain<Point>, f32)) -> f32 {
///     points.iter().map(|point| weight * (point.x + point.y)).sum::<f32>() / points.len() as f32
/// }
///
/// # fn main() -> procession::Result<()> {
/// let points = vec![Point { x: 1.0, y: 3.0 }; 1000];
/// let shared = SharedSlice::from_slice(&points)?;
/// assert_eq!(Pool::new(2)?.map(mean, [(Plain(points), 0.5)])?, [2.0]);
/// assert_eq!(shared.lock().unwrap()[999].y, 3.0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Plain<T>(pub Vec<T>);

impl<T> std::ops::Deref for Plain<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> From<Vec<T>> for Plain<T> {
    fn from(row: Vec<T>) -> Plain<T> {
        Plain(row)
    }
}

impl<T: Pod> Serialize for Plain<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytemuck::cast_slice(&self.0))
    }
}

impl<'de, T: Pod> Deserialize<'de> for Plain<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Plain<T>, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        if size_of::<T>() == 0 || !bytes.len().is_multiple_of(size_of::<T>()) {
            return Err(unread("a row of plain values that ends within one"));
        }
        Ok(Plain(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()))
    }
}
