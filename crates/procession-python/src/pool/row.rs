//! The items of a map, which are all there when it begins.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyRange, PyRangeMethods};

use crate::values::{self, Before};

/// Fewer items of a range are sent one by one.
const FEW: u32 = 4;

/// All items of a map.
pub(crate) enum MapItems {
    /// The items of any iterable, in a list.
    List(Py<PyList>),
    /// The numbers of a `range`: only the workers make objects of them.
    Range { start: i64, step: i64, count: usize },
}

impl MapItems {
    /// The items of an iterable.
    pub(crate) fn of(items: &Bound<'_, PyAny>) -> PyResult<MapItems> {
        if let Some(range) = numbers_of(items) {
            return Ok(range);
        }
        // The interpreter makes a list of any iterable faster than a loop here takes its items.
        let list = items.py().get_type::<PyList>().call1((items,))?;
        Ok(MapItems::List(list.cast_into::<PyList>()?.unbind()))
    }

    /// The same items.
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> MapItems {
        match self {
            MapItems::List(list) => MapItems::List(list.clone_ref(py)),
            MapItems::Range { start, step, count } => MapItems::Range { start: *start, step: *step, count: *count },
        }
    }

    /// How many they are.
    pub(crate) fn len(&self, py: Python<'_>) -> usize {
        match self {
            MapItems::List(list) => list.bind(py).len(),
            MapItems::Range { count, .. } => *count,
        }
    }

    /// One of them.
    pub(crate) fn get(&self, py: Python<'_>, item: u64) -> Option<Py<PyAny>> {
        match self {
            MapItems::List(list) => list.bind(py).get_item(item as usize).ok().map(Bound::unbind),
            MapItems::Range { start, step, count } => {
                let number = (item < *count as u64).then(|| start + item as i64 * step)?;
                Some(number.into_pyobject(py).ok()?.into_any().unbind())
            }
        }
    }

    /// Adds the items from `first` on by their short codes; false if one has none. `whole` when they may be sent as a range.
    pub(crate) fn encode_simple(&self, py: Python<'_>, first: u64, count: u32, whole: bool, out: &mut Vec<u8>) -> bool {
        match self {
            MapItems::List(list) => {
                let list = list.bind(py);
                let mut range = first as usize..first as usize + count as usize;
                let mut before = Before::default();
                range.all(|item| {
                    list.get_item(item)
                        .is_ok_and(|item| before.encode_same(&item, out) || values::encode_simple(&item, out))
                })
            }
            MapItems::Range { start, step, .. } => {
                let first = start + first as i64 * step;
                if whole && count >= FEW {
                    values::encode_range(first, *step, out);
                } else {
                    (0..i64::from(count)).for_each(|item| values::encode_int(first + item * step, out));
                }
                true
            }
        }
    }
}

/// An exact `range` all of whose numbers, and the one after, are small enough.
fn numbers_of(items: &Bound<'_, PyAny>) -> Option<MapItems> {
    let range = items.cast_exact::<PyRange>().ok()?;
    let (start, step) = (range.start().ok()?, range.step().ok()?);
    let count = items.len().ok()?;
    let (start, step) = (i64::try_from(start).ok()?, i64::try_from(step).ok()?);
    start.checked_add(step.checked_mul(i64::try_from(count).ok()?)?)?;
    Some(MapItems::Range { start, step, count })
}
